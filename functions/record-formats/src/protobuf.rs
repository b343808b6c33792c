//! Protobuf, as proto3's JSON mapping has it (<https://protobuf.dev/programming-guides/json/>).
//!
//! It differs where a document needs it to: 64-bit integers are numbers, NaN and infinity are null, a `confluent.type.Decimal` is a
//! number, and an `Any` of a type that the schema doesn't have keeps its bytes as base64 in `value`.

mod build;
mod built_in;
mod decode;
mod edition;
mod edition_descriptor;
mod edition_text;
mod indexes;
mod json_names;
mod model;
mod slots;
mod source;
mod tagged;
mod tokens;
mod well_known;
mod wire;

use crate::decode_error::DecodeError;
use crate::frame::Framed;
use crate::input::Input;
use crate::limits::Limits;
use crate::notes::Notes;
use crate::protobuf::build::build;
use crate::protobuf::decode::append_message;
use crate::protobuf::indexes::message_types;
use crate::protobuf::model::Types;
use crate::protobuf::source::{Sources, read_files};
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
        let Sources { files, main, features } = read_files(text, references)?;
        let types = build(&files, &main, &features, text);
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
        let candidates = message_types(&self.types, framed, &mut input)?;
        let append = |message, json: &mut Vec<u8>| {
            append_message(&self.types, message, &framed.body, input, limits, json)
        };
        let start = json.len();
        let first = append(candidates.first, json);
        let Some(second) = candidates.second else { return first };
        let n_unknown = |notes: &Notes| notes.n_unknown_fields;
        if first.as_ref().is_ok_and(|notes| n_unknown(notes) == 0) {
            return first;
        }
        // The counts of serializers lead to two messages, and the first doesn't have all fields.
        let mut of_second = Vec::new();
        match append(second, &mut of_second) {
            Ok(notes) if first.as_ref().map_or(true, |first| n_unknown(&notes) < n_unknown(first)) => {
                json.truncate(start);
                json.append(&mut of_second);
                Ok(notes)
            }
            _ => first,
        }
    }
}
