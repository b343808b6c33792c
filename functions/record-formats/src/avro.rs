//! Avro: the writer's schema alone decides what the bytes are.

mod decode;
mod logical;
mod model;
mod parse;
mod schema_text;

use crate::avro::decode::append_record;
use crate::avro::model::{Type, Types};
use crate::avro::parse::parse;
use crate::decode_error::DecodeError;
use crate::limits::Limits;
use crate::notes::Notes;
use crate::output::append_base64;
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
        let start = json.len();
        let read = append_record(&self.types, body, limits, json);
        // Confluent's serializer for Java writes such a record without its length, others with it.
        let is_bytes = matches!(self.types.get(self.types.root), Type::Bytes);
        if read.is_err() && is_bytes && body.len() / 3 * 4 + 6 <= limits.max_json_bytes {
            json.truncate(start);
            append_base64(json, body);
            return Ok(Notes::default());
        }
        read
    }
}
