//! Protobuf, as proto3's JSON mapping has it (<https://protobuf.dev/programming-guides/json/>).
//!
//! It differs where a document needs it to: 64-bit integers are numbers, NaN and infinity are null, a `confluent.type.Decimal` is a
//! number, and an `Any` of a type that the schema doesn't have keeps its bytes as base64 in `value`.

mod build;
mod decode;
mod indexes;
mod model;
mod source;
mod well_known;
mod wire;

use crate::decode_error::DecodeError;
use crate::frame::Framed;
use crate::input::Input;
use crate::limits::Limits;
use crate::notes::Notes;
use crate::protobuf::build::build;
use crate::protobuf::decode::append_message;
use crate::protobuf::indexes::message_type;
use crate::protobuf::model::Types;
use crate::protobuf::source::read_files;
use crate::schema_error::SchemaError;

/// A compiled Protobuf schema.
#[derive(Debug)]
pub(crate) struct Protobuf {
    types: Types,
}

impl Protobuf {
    /// Compiles a schema and its references, each the path that is imported and its text.
    pub(crate) fn compile<'s>(
        text: &'s str,
        references: impl Iterator<Item = (&'s str, &'s str)>,
    ) -> Result<Self, SchemaError> {
        let (files, main) = read_files(text, references)?;
        let types = build(&files, &main);
        if types.top.is_empty() { Err(SchemaError::NoMessage) } else { Ok(Self { types }) }
    }

    /// Appends a record as JSON; on an error a part of it may have been written.
    pub(crate) fn append_json(
        &self,
        framed: &Framed<'_>,
        limits: &Limits,
        json: &mut Vec<u8>,
    ) -> Result<Notes, DecodeError> {
        let mut input = Input::new(&framed.body);
        let message = message_type(&self.types, framed, &mut input)?;
        append_message(&self.types, message, &framed.body, input, limits, json)
    }
}
