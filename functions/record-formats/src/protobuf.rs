//! Protobuf as proto3's JSON mapping has it.

use crate::decode_error::DecodeError;
use crate::frame::Framed;
use crate::limits::Limits;
use crate::notes::Notes;
use crate::schema_error::SchemaError;

/// A compiled Protobuf schema.
#[derive(Debug)]
pub(crate) struct Protobuf;

impl Protobuf {
    /// Compiles a schema and its references, each the path that is imported and its text.
    pub(crate) fn compile<'s>(
        _text: &str,
        _references: impl Iterator<Item = (&'s str, &'s str)>,
    ) -> Result<Self, SchemaError> {
        Err(SchemaError::NoMessage)
    }

    /// Appends a record as JSON; on an error a part of it may have been written.
    pub(crate) fn append_json(
        &self,
        _framed: &Framed<'_>,
        _limits: &Limits,
        _json: &mut Vec<u8>,
    ) -> Result<Notes, DecodeError> {
        Ok(Notes::default())
    }
}
