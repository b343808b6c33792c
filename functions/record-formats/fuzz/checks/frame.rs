//! Any bytes as a frame, a compressed value, a key, and a record of schemas that have everything.

use std::borrow::Cow;
use std::sync::LazyLock;

use record_formats::compression::{Compression, decompress};
use record_formats::frame::{Framed, SchemaId, read};
use record_formats::key::{Primitive, append_json};
use record_formats::limits::Limits;
use record_formats::schema::{Schema, SchemaSource, SchemaType};

use super::leaves;

const MAX_BYTES: usize = 100_000;

const AVRO: &str = r#"{"type": "record", "name": "R", "fields": [
    {"name": "next", "type": ["null", "R", {"type": "array", "items": "R"}, {"type": "map", "values": "R"}, "long", "string",
        {"type": "bytes", "logicalType": "decimal", "precision": 1000, "scale": 3}]},
    {"name": "nulls", "type": {"type": "array", "items": "null"}},
    {"name": "big", "type": {"type": "bytes", "logicalType": "big-decimal"}}]}"#;

const PROTOBUF: &str = r#"syntax = "proto2"; import "google/protobuf/any.proto"; import "google/protobuf/struct.proto";
    import "google/protobuf/timestamp.proto"; import "google/protobuf/field_mask.proto"; import "confluent/type/decimal.proto";
    message M { optional M m = 1; repeated M all = 2; map<string, M> map = 3; optional google.protobuf.Any any = 4;
    optional google.protobuf.Value value = 5; repeated group G = 6 { optional M m = 1; repeated double d = 2; } repeated sint64 n = 7;
    optional string s = 8; oneof o { M a = 9; string b = 10; google.protobuf.Timestamp t = 11; } map<bool, google.protobuf.ListValue> l = 12;
    optional google.protobuf.FieldMask f = 13; optional confluent.type.Decimal c = 14; message Nested { optional bytes b = 1; } }"#;

static SCHEMAS: LazyLock<[Schema; 2]> = LazyLock::new(|| {
    [(SchemaType::Avro, AVRO), (SchemaType::Protobuf, PROTOBUF)].map(|(schema_type, text)| {
        Schema::compile(&SchemaSource { schema_type, text: text.to_owned(), references: Vec::new() }).unwrap()
    })
});

pub(crate) fn check(data: &[u8]) {
    let (header, body) = data.split_at(data.len().min(usize::from(data.first().copied().unwrap_or(0))));
    for framed in [read(data, None, MAX_BYTES), read(body, Some(header), MAX_BYTES)] {
        if let Ok(Some(framed)) = framed {
            assert!(framed.body.len() <= data.len().max(MAX_BYTES));
            check_record(&framed);
        }
    }
    for id in [SchemaId::Confluent(1), SchemaId::Glue([0; 16])] {
        check_record(&Framed { id, message_indexes: None, body: Cow::Borrowed(data) });
    }
    for compression in [Compression::Gzip, Compression::Zlib, Compression::Snappy, Compression::Zstd] {
        if let Ok(value) = decompress(compression, data, MAX_BYTES) {
            assert!(value.len() <= MAX_BYTES);
        }
    }
    for primitive in [Primitive::Long, Primitive::Int, Primitive::Uuid, Primitive::Text, Primitive::Base64] {
        let mut json = Vec::new();
        match append_json(primitive, data, &mut json) {
            Ok(()) => drop(leaves::read(&json)),
            Err(_) => assert!(json.is_empty()),
        }
    }
    let text = String::from_utf8_lossy(data).into_owned();
    for schema_type in [SchemaType::Avro, SchemaType::Protobuf] {
        let source = SchemaSource { schema_type, text: text.clone(), references: Vec::new() };
        if let Ok(schema) = Schema::compile(&source) {
            let mut json = Vec::new();
            let framed =
                Framed { id: SchemaId::Confluent(1), message_indexes: None, body: Cow::Borrowed(&[0]) };
            let _ = schema.append_json(&framed, &limits(), &mut json);
        }
    }
}

fn limits() -> Limits {
    Limits { max_json_bytes: MAX_BYTES, ..Limits::default() }
}

fn check_record(framed: &Framed<'_>) {
    for schema in SCHEMAS.iter() {
        let mut json = b"x".to_vec();
        match schema.append_json(framed, &limits(), &mut json) {
            Ok(_) => drop(leaves::read(&json[1..])),
            Err(error) => {
                assert_eq!(json, b"x");
                assert!(error.offset() <= framed.body.len());
                assert!(error.to_string().len() < 2000);
            }
        }
    }
}
