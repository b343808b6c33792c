//! Short ways to write schemas, frames and Protobuf bytes.

#![allow(dead_code, reason = "each test file uses some of them")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::borrow::Cow;

use record_formats::decode_error::DecodeError;
use record_formats::frame::{Framed, SchemaId};
use record_formats::limits::Limits;
use record_formats::notes::Notes;
use record_formats::schema::{Reference, Schema, SchemaSource, SchemaType};
use record_formats::schema_error::SchemaError;

pub(crate) fn compile(
    schema_type: SchemaType,
    text: &str,
    references: &[(&str, &str)],
) -> Result<Schema, SchemaError> {
    let references = references
        .iter()
        .map(|(name, text)| Reference { name: (*name).to_owned(), text: (*text).to_owned() });
    Schema::compile(&SchemaSource { schema_type, text: text.to_owned(), references: references.collect() })
}

pub(crate) fn avro(text: &str) -> Schema {
    compile(SchemaType::Avro, text, &[]).unwrap()
}

pub(crate) fn proto(text: &str) -> Schema {
    compile(SchemaType::Protobuf, text, &[]).unwrap()
}

/// A body as Confluent's frame has it; of Protobuf the message indexes are the body's beginning.
pub(crate) fn framed(body: &[u8]) -> Framed<'_> {
    Framed { id: SchemaId::Confluent(1), message_indexes: None, body: Cow::Borrowed(body) }
}

pub(crate) fn decode_with(
    schema: &Schema,
    framed: &Framed<'_>,
    limits: &Limits,
) -> Result<(String, Notes), DecodeError> {
    let mut json = b"before".to_vec();
    let result = schema.append_json(framed, limits, &mut json);
    let json = String::from_utf8(json).expect("JSON is UTF-8");
    let added = json.strip_prefix("before").expect("what was there stays");
    assert!(result.is_ok() || added.is_empty(), "an error leaves nothing behind: {added}");
    result.map(|notes| (added.to_owned(), notes))
}

pub(crate) fn decode(schema: &Schema, body: &[u8]) -> Result<(String, Notes), DecodeError> {
    decode_with(schema, &framed(body), &Limits::default())
}

/// The JSON of a body that has nothing to note.
pub(crate) fn json(schema: &Schema, body: &[u8]) -> String {
    let (json, notes) = decode(schema, body).unwrap();
    assert_eq!(notes, Notes::default());
    json
}

/// The error's text.
pub(crate) fn error(schema: &Schema, body: &[u8]) -> String {
    decode(schema, body).expect_err("the bytes don't fit the schema").to_string()
}

/// A Protobuf body behind the index of the first message.
pub(crate) fn first(fields: &[Vec<u8>]) -> Vec<u8> {
    [&[0][..], &fields.concat()].concat()
}

pub(crate) fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

pub(crate) fn number(field: u64, number: u64) -> Vec<u8> {
    [varint(field << 3), varint(number)].concat()
}

pub(crate) fn bytes(field: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

pub(crate) fn message(field: u64, fields: &[Vec<u8>]) -> Vec<u8> {
    bytes(field, &fields.concat())
}

pub(crate) fn double(field: u64, number: f64) -> Vec<u8> {
    [varint(field << 3 | 1), number.to_le_bytes().to_vec()].concat()
}

pub(crate) fn group(field: u64, fields: &[Vec<u8>]) -> Vec<u8> {
    [varint(field << 3 | 3), fields.concat(), varint(field << 3 | 4)].concat()
}

/// A zigzag number of Avro.
pub(crate) fn long(number: i64) -> Vec<u8> {
    varint((number << 1 ^ number >> 63) as u64)
}

pub(crate) fn string(text: &str) -> Vec<u8> {
    [long(text.len() as i64), text.as_bytes().to_vec()].concat()
}
