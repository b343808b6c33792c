//! Avro: the writer's schema alone decides what the bytes are.

mod decode;
mod logical;
mod model;
mod parse;

use crate::avro::decode::append_record;
use crate::avro::model::Types;
use crate::avro::parse::parse;
use crate::decode_error::DecodeError;
use crate::limits::Limits;
use crate::notes::Notes;
use crate::schema_error::SchemaError;

/// A compiled Avro schema.
#[derive(Debug)]
pub(crate) struct Avro {
    types: Types,
}

impl Avro {
    /// Compiles a schema and its references, each a name and a text.
    pub(crate) fn compile<'s>(
        text: &'s str,
        references: impl Iterator<Item = (&'s str, &'s str)>,
    ) -> Result<Self, SchemaError> {
        Ok(Self { types: parse(text, references)? })
    }

    /// Appends a record as JSON; on an error a part of it may have been written.
    pub(crate) fn append_json(
        &self,
        body: &[u8],
        limits: &Limits,
        json: &mut Vec<u8>,
    ) -> Result<Notes, DecodeError> {
        append_record(&self.types, body, limits, json)
    }
}
