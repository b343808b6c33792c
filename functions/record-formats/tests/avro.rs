//! Avro records and their JSON.

mod support;

use record_formats::limits::Limits;
use record_formats::notes::Notes;
use record_formats::schema::SchemaType;

use crate::support::{avro, compile, decode, decode_with, error, framed, json, long, string};

#[test]
fn the_example_of_the_specification_is_read() {
    let schema = avro(
        r#"{"type": "record", "name": "test", "fields": [{"name": "a", "type": "long"}, {"name": "b", "type": "string"}]}"#,
    );
    assert_eq!(json(&schema, b"\x36\x06foo"), r#"{"a":27,"b":"foo"}"#);
}

#[test]
fn every_primitive_has_its_json() {
    let one = |schema: &str, body: &[u8]| json(&avro(schema), body);
    assert_eq!(one(r#""null""#, b""), "null");
    assert_eq!(one(r#""boolean""#, &[1]), "true");
    assert_eq!(one(r#""int""#, &long(i32::MIN.into())), "-2147483648");
    assert_eq!(one(r#""long""#, &long(i64::MIN)), "-9223372036854775808");
    assert_eq!(one(r#""float""#, &0.1_f32.to_le_bytes()), "0.1");
    assert_eq!(one(r#""double""#, &1e300_f64.to_le_bytes()), "1e+300");
    assert_eq!(one(r#""bytes""#, &[4, 0xff, 0]), r#""/wA=""#);
    assert_eq!(one(r#""string""#, &string("é\"\\\n")), r#""é\"\\\n""#);
    assert_eq!(one(r#"{"type": "fixed", "name": "F", "size": 2}"#, &[0xff, 0]), r#""/wA=""#);
    assert_eq!(one(r#"{"type": "fixed", "name": "F", "size": 0}"#, &[]), r#""""#);
    assert_eq!(one(r#"{"type": "enum", "name": "E", "symbols": ["A", "B"]}"#, &[2]), r#""B""#);
    assert_eq!(one(r#"{"type": "record", "name": "R", "fields": []}"#, &[]), "{}");
}

#[test]
fn a_record_that_is_bytes_alone_may_come_without_its_length() {
    let schema = avro(r#""bytes""#);
    // With its length, as Python's serializer writes it, and without, as Java's does.
    for (body, expected) in [(&[4, 0xff, 0][..], r#""/wA=""#), (&[0xff, 0, 1], r#""/wAB""#), (&[], r#""""#)] {
        assert_eq!(json(&schema, body), expected);
    }
    let limits = Limits { max_json_bytes: 9, ..Limits::default() };
    assert!(decode_with(&schema, &framed(&[0xff; 6]), &limits).is_err());
    assert!(decode(&avro(r#"{"type": "array", "items": "bytes"}"#), &[2, 9, 1]).is_err());
}

#[test]
fn a_union_has_no_wrapper() {
    let schema = avro(r#"["null", "string", {"type": "array", "items": ["int", "null"]}]"#);
    assert_eq!(json(&schema, &[0]), "null");
    assert_eq!(json(&schema, &[&long(1)[..], &string("x")].concat()), r#""x""#);
    assert_eq!(json(&schema, &[4, 4, 0, 2, 2, 0]), "[1,null]");
}

#[test]
fn arrays_and_maps_come_in_blocks_of_either_sign() {
    let array = avro(r#"{"type": "array", "items": "int"}"#);
    assert_eq!(json(&array, &[0]), "[]");
    // Three blocks: two items, one item behind its size in bytes, one item.
    assert_eq!(json(&array, &[4, 2, 4, 1, 2, 6, 2, 8, 0]), "[1,2,3,4]");
    let map = avro(r#"{"type": "map", "values": "int"}"#);
    assert_eq!(json(&map, &[0]), "{}");
    let entry = |key: &str, value: i64| [string(key), long(value)].concat();
    let body = [&[1, 8][..], &entry("a\"", 1), &[2], &entry("b", 2), &[0]].concat();
    assert_eq!(json(&map, &body), r#"{"a\"":1,"b":2}"#);
}

#[test]
fn the_last_entry_of_a_key_counts_and_is_noted() {
    let schema = avro(r#"{"type": "map", "values": {"type": "map", "values": "int"}}"#);
    let entry = |key: &str, value: i64| [string(key), long(value)].concat();
    let inner = |entries: &[Vec<u8>]| match entries {
        [] => vec![0],
        _ => [&long(entries.len() as i64)[..], &entries.concat(), &[0]].concat(),
    };
    let body = [
        &[6][..],
        &string("x"),
        &inner(&[entry("a", 1), entry("b", 2), entry("a", 3)]),
        &string("y"),
        &inner(&[]),
        &string("x"),
        &inner(&[entry("c", 4)]),
        &[0],
    ]
    .concat();
    let (text, notes) = decode(&schema, &body).unwrap();
    assert_eq!(text, r#"{"y":{},"x":{"c":4}}"#);
    assert_eq!(notes, Notes { n_duplicate_keys: 2, ..Notes::default() });
}

#[test]
fn logical_types_are_text_or_exact_numbers() {
    let one = |schema: &str, body: &[u8]| json(&avro(schema), body);
    let logical = |of: &str, name: &str| format!(r#"{{"type": "{of}", "logicalType": "{name}"}}"#);
    assert_eq!(one(&logical("int", "date"), &long(20_513)), r#""2026-03-01""#);
    assert_eq!(one(&logical("int", "time-millis"), &long(34_200_007)), r#""09:30:00.007""#);
    assert_eq!(one(&logical("long", "time-micros"), &long(34_200_000_007)), r#""09:30:00.000007""#);
    assert_eq!(
        one(&logical("long", "timestamp-millis"), &long(1_772_355_000_007)),
        r#""2026-03-01T08:50:00.007Z""#
    );
    assert_eq!(one(&logical("long", "timestamp-micros"), &long(-1)), r#""1969-12-31T23:59:59.999999Z""#);
    assert_eq!(one(&logical("long", "timestamp-nanos"), &long(1)), r#""1970-01-01T00:00:00.000000001Z""#);
    assert_eq!(one(&logical("long", "local-timestamp-millis"), &long(0)), r#""1970-01-01T00:00:00.000""#);
    assert_eq!(one(&logical("long", "local-timestamp-micros"), &long(0)), r#""1970-01-01T00:00:00.000000""#);
    assert_eq!(one(&logical("string", "uuid"), &string("a UUID's text")), r#""a UUID's text""#);
    let fixed = |size: u8, more: &str| format!(r#"{{"type": "fixed", "name": "F", "size": {size}, {more}}}"#);
    let uuid = b"\x8a\x7f\x02\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd";
    assert_eq!(
        one(&fixed(16, r#""logicalType": "uuid""#), uuid),
        r#""8a7f0211-2233-4455-6677-8899aabbccdd""#
    );
    let duration =
        |months: u32, days: u32, millis: u32| [months, days, millis].map(u32::to_le_bytes).concat();
    let of_duration = fixed(12, r#""logicalType": "duration""#);
    assert_eq!(one(&of_duration, &duration(1, 2, 3004)), r#""P1M2DT3.004S""#);
    assert_eq!(one(&of_duration, &duration(14, 0, 0)), r#""P14M""#);
    assert_eq!(one(&of_duration, &duration(0, 0, 0)), r#""PT0S""#);
    let decimal = r#"{"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}"#;
    assert_eq!(one(decimal, &[4, 0xfb, 0x2e]), "-12.34");
    assert_eq!(one(decimal, &[0]), "0.00");
    let decimal = fixed(3, r#""logicalType": "decimal", "precision": 6"#);
    assert_eq!(one(&decimal, &[0, 4, 0xd2]), "1234");
    // An unscaled value as bytes and a scale as an int, within bytes.
    assert_eq!(one(&logical("bytes", "big-decimal"), &[8, 4, 4, 0xd2, 6]), "1.234");
}

#[test]
fn a_logical_type_that_is_not_valid_is_ignored() {
    let one = |schema: &str, body: &[u8]| json(&avro(schema), body);
    assert_eq!(one(r#"{"type": "long", "logicalType": "date"}"#, &long(5)), "5");
    assert_eq!(
        one(r#"{"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 3}"#, &[2, 5]),
        r#""BQ==""#
    );
    assert_eq!(one(r#"{"type": "bytes", "logicalType": "decimal"}"#, &[2, 5]), r#""BQ==""#);
    assert_eq!(one(r#"{"type": "int", "logicalType": "of-somebody"}"#, &long(5)), "5");
}

#[test]
fn floats_that_json_has_no_number_for_are_null_and_noted() {
    let schema = avro(r#"{"type": "array", "items": "double"}"#);
    let numbers = [f64::NAN, 1.0, f64::NEG_INFINITY].map(f64::to_le_bytes).concat();
    let (text, notes) = decode(&schema, &[&[6][..], &numbers, &[0]].concat()).unwrap();
    assert_eq!(text, "[null,1.0,null]");
    assert_eq!(notes, Notes { n_non_finite: 2, ..Notes::default() });
}

#[test]
fn names_are_found_in_their_namespace_and_in_references() {
    let text = r#"{"type": "record", "name": "Order", "namespace": "shop", "fields": [
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "PAID"]}},
        {"name": "before", "type": "State"},
        {"name": "full", "type": "shop.State"},
        {"name": "item", "type": {"type": "record", "name": "other.Item", "fields": [
            {"name": "same", "type": ["null", "Item"]}, {"name": "order", "type": ["null", "shop.Order"]}]}},
        {"name": "money", "type": "common.Money"},
        {"name": "id", "type": "Id"}]}"#;
    let references = [
        (
            "common.Money",
            r#"{"type": "record", "name": "Money", "namespace": "common", "fields": [{"name": "currency", "type": "Currency"}]}"#,
        ),
        ("common.Currency", r#"{"type": "fixed", "name": "Currency", "namespace": "common", "size": 3}"#),
        // A name without a namespace, where the namespace has none of this name.
        ("Id", r#"{"type": "fixed", "name": "Id", "size": 1}"#),
    ];
    let schema = compile(SchemaType::Avro, text, &references).unwrap();
    assert_eq!(
        json(&schema, b"\x00\x02\x02\x02\x00\x00\x00EUR\x01"),
        r#"{"state":"NEW","before":"PAID","full":"PAID","item":{"same":{"same":null,"order":null},"order":null},"money":{"currency":"RVVS"},"id":"AQ=="}"#
    );
    let error = compile(SchemaType::Avro, text, &references[..1]).unwrap_err().to_string();
    assert_eq!(error, "Avro schema: `Id` is not defined");
}

#[test]
fn a_recursive_schema_is_a_list_of_any_length_up_to_the_depth() {
    let schema = avro(
        r#"{"type": "record", "name": "Node", "fields": [{"name": "value", "type": "int"}, {"name": "next", "type": ["null", "Node"]}]}"#,
    );
    assert_eq!(json(&schema, &[2, 2, 4, 0]), r#"{"value":1,"next":{"value":2,"next":null}}"#);
    let nodes = |n: usize| [[2; 2].repeat(n - 1), vec![2, 0]].concat();
    assert_eq!(json(&schema, &nodes(100)).matches("value").count(), 100);
    assert!(error(&schema, &nodes(101)).ends_with("more than 100 levels at byte 200"));
}

#[test]
fn names_and_symbols_are_escaped() {
    let schema = avro(
        r#"{"type": "record", "name": "R", "fields": [{"name": "a\"b", "type": {"type": "enum", "name": "E", "symbols": ["\n"]}}]}"#,
    );
    assert_eq!(json(&schema, &[0]), r#"{"a\"b":"\n"}"#);
}

#[test]
fn a_schema_that_is_none_says_what_is_wrong() {
    let cases: &[(&str, &str)] = &[
        ("{", "Avro schema is not JSON"),
        ("7", "Avro schema: `type` of the schema is missing or not what it should be"),
        ("{}", "Avro schema: `type` of the schema is missing or not what it should be"),
        (r#""Unknown""#, "Avro schema: `Unknown` is not defined"),
        (r#"{"type": "array"}"#, "Avro schema: `items` of the schema is missing or not what it should be"),
        (r#"{"type": "map"}"#, "Avro schema: `values` of the schema is missing or not what it should be"),
        (
            r#"{"type": "record", "fields": []}"#,
            "Avro schema: `name` of the schema is missing or not what it should be",
        ),
        (
            r#"{"type": "record", "name": "R"}"#,
            "Avro schema: `fields` of R is missing or not what it should be",
        ),
        (
            r#"{"type": "record", "name": "R", "fields": [{"name": "a"}]}"#,
            "Avro schema: `type` of R.a is missing or not what it should be",
        ),
        (
            r#"{"type": "enum", "name": "n.E", "symbols": [1]}"#,
            "Avro schema: `symbols` of n.E is missing or not what it should be",
        ),
        (
            r#"{"type": "fixed", "name": "F", "size": -1}"#,
            "Avro schema: `size` of F is missing or not what it should be",
        ),
        (r#"["null", ["int"]]"#, "Avro schema: a union is directly in a union"),
        (
            r#"{"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}, {"name": "a", "type": "int"}]}"#,
            "Avro schema: `R.a` is defined twice",
        ),
        (
            r#"[{"type": "fixed", "name": "F", "size": 1}, {"type": "fixed", "name": "F", "size": 2}]"#,
            "Avro schema: `F` is defined twice",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(compile(SchemaType::Avro, text, &[]).unwrap_err().to_string(), *expected, "{text}");
    }
    let deep = format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(100_000), "}".repeat(100_000));
    assert!(compile(SchemaType::Avro, &deep, &[]).is_err(), "too deep to be read");
    let reference = compile(SchemaType::Avro, r#""int""#, &[("bad", "{")]).unwrap_err().to_string();
    assert_eq!(reference, "Avro schema `bad` is not JSON");
}

#[test]
fn a_schema_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&avro(r#""int""#));
}
