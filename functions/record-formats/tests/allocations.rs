//! Records that serializers write become JSON without an allocation.

mod support;

use record_formats::limits::Limits;
use record_formats::schema::Schema;

use crate::support::{avro, bytes, double, first, framed, long, message, number, proto, string};

fn allocations(schema: &Schema, body: &[u8]) -> u64 {
    let (framed, limits) = (framed(body), Limits::default());
    let mut json = Vec::with_capacity(4096);
    let measured = allocation_counter::measure(|| {
        schema.append_json(&framed, &limits, &mut json).expect("the record fits the schema");
    });
    assert!(json.len() > 50, "{}", String::from_utf8_lossy(&json));
    measured.count_total
}

#[test]
fn an_avro_record_allocates_nothing() {
    let schema = avro(
        r#"{"type": "record", "name": "R", "fields": [{"name": "id", "type": ["null", "string"]}, {"name": "at",
        "type": {"type": "long", "logicalType": "timestamp-millis"}}, {"name": "price", "type": {"type": "bytes", "logicalType": "decimal",
        "precision": 9, "scale": 2}}, {"name": "labels", "type": {"type": "map", "values": "string"}}, {"name": "items",
        "type": {"type": "array", "items": "double"}}]}"#,
    );
    let labels = [long(2), string("a"), string("1"), string("b"), string("2"), long(0)].concat();
    let items = [long(1), 1.5_f64.to_le_bytes().to_vec(), long(0)].concat();
    let body = [long(1), string("4711"), long(1_772_355_000_007), vec![4, 4, 0xd2], labels, items].concat();
    assert_eq!(allocations(&schema, &body), 0);
}

#[test]
fn a_protobuf_record_allocates_nothing() {
    let schema = proto(
        r#"syntax = "proto3"; import "google/protobuf/timestamp.proto"; message M { string id = 1; google.protobuf.Timestamp at = 2;
        repeated M all = 3; map<string, string> labels = 4; repeated double prices = 5; oneof o { int64 a = 6; bool b = 7; } }"#,
    );
    let label = |key: &[u8]| message(4, &[bytes(1, key), bytes(2, b"x")]);
    let body = first(&[
        bytes(1, b"4711"),
        message(2, &[number(1, 1_772_355_000)]),
        message(3, &[bytes(1, b"1")]),
        message(3, &[bytes(1, b"2")]),
        label(b"a"),
        label(b"b"),
        double(5, 1.5),
        number(6, 7),
    ]);
    assert_eq!(allocations(&schema, &body), 0);
}
