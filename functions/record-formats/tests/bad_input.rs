//! Records that don't fit their schema: each is an error that says what is wrong and where, or what Avro and Protobuf say it is.

mod support;

use record_formats::decode_error::DecodeErrorKind;
use record_formats::limits::Limits;
use record_formats::schema::{Schema, SchemaType};

use crate::support::{
    avro, bytes, compile, decode, decode_with, error, first, framed, group, json, long, message, number,
    proto, string, varint,
};

/// A table of bodies that are an error, each as one test.
macro_rules! refused {
    ($($name:ident: $schema:expr, $body:expr => $error:expr;)+) => {
        $(#[test]
        fn $name() {
            let body: Vec<u8> = $body.to_vec();
            assert_eq!(error(&$schema, &body), $error);
        })+
    };
}

const ORDER: &str = r#"{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"},
    {"name": "lines", "type": {"type": "array", "items": {"type": "record", "name": "Line", "fields": [{"name": "sku", "type": "string"}]}}},
    {"name": "paid", "type": "boolean"}]}"#;

const ORDER_PROTO: &str = r#"syntax = "proto3"; message Order { string id = 1; repeated Line lines = 2; map<string, Line> by_sku = 3; }
    message Line { string sku = 1; Order order = 2; }"#;

refused! {
    an_empty_avro_record: avro(ORDER), b"" => "`id`: the bytes end within a value at byte 0";
    a_cut_avro_string: avro(ORDER), b"\x06ab" => "`id`: a length of 3 bytes, more than there are at byte 1";
    a_cut_avro_item: avro(ORDER), b"\x02a\x04\x02b" => "`lines[1].sku`: the bytes end within a value at byte 5";
    a_missing_end_of_an_avro_array: avro(ORDER), b"\x02a\x02\x02b" => "`lines`: the bytes end within a value at byte 5";
    a_byte_behind_an_avro_record: avro(ORDER), b"\x02a\0\x01x" => "1 bytes follow the value at byte 4";
    an_avro_boolean_of_two: avro(ORDER), b"\x02a\0\x02" => "`paid`: 2 is no boolean at byte 3";
    a_negative_avro_length: avro(ORDER), b"\x01a\0\x01" => "`id`: a length of -1 bytes, more than there are at byte 0";
    an_avro_length_beyond_everything: avro(ORDER), long(i64::MAX) =>
        "`id`: a length of 9223372036854775807 bytes, more than there are at byte 10";
    an_avro_string_that_is_not_utf8: avro(ORDER), b"\x02\xff\0\x01" => "`id`: a string that is not UTF-8 at byte 2";
    an_avro_number_without_an_end: avro(r#""long""#), [0x80; 20] => "a number of more than 64 bits at byte 0";
    an_avro_int_of_33_bits: avro(r#""int""#), long(1 << 31) => "2147483648 is no number of 32 bits at byte 0";
    an_avro_branch_that_is_none: avro(r#"["null", "int"]"#), long(2) => "2 is not one of 2 branches at byte 0";
    a_negative_avro_branch: avro(r#"["null", "int"]"#), long(-1) => "-1 is not one of 2 branches at byte 0";
    an_empty_avro_union: avro("[]"), long(0) => "0 is not one of 0 branches at byte 0";
    an_avro_symbol_that_is_none: avro(r#"{"type": "enum", "name": "E", "symbols": ["A"]}"#), long(1) => "1 is not one of 1 symbols at byte 0";
    a_cut_avro_fixed: avro(r#"{"type": "fixed", "name": "F", "size": 4}"#), b"abc" => "a length of 4 bytes, more than there are at byte 0";
    a_cut_avro_double: avro(r#""double""#), b"1234567" => "the bytes end within a value at byte 0";
    an_avro_block_of_the_lowest_number: avro(r#"{"type": "array", "items": "null"}"#), [long(i64::MIN), long(0)].concat() =>
        "a block of -9223372036854775808 items at byte 0";
    an_avro_block_that_is_larger_than_the_record: avro(r#"{"type": "array", "items": "null"}"#), [long(-1), long(9)].concat() =>
        "a block of -1 items at byte 0";
    an_avro_time_beyond_midnight: avro(r#"{"type": "int", "logicalType": "time-millis"}"#), long(86_400_000) =>
        "86400000 is out of range for a time of day at byte 0";
    an_avro_decimal_beyond_any_precision: avro(r#"{"type": "bytes", "logicalType": "decimal", "precision": 9}"#), [long(1025), vec![1; 1025]].concat() =>
        "a decimal of 1025 bytes at byte 1027";
    a_cut_protobuf_string: proto(ORDER_PROTO), b"\0\x0a\x05ab" => "`id`: a length of 5 bytes, more than there are at byte 2";
    a_cut_protobuf_message: proto(ORDER_PROTO), b"\0\x12\x06\x0a\x03ab" => "`lines`: a length of 6 bytes, more than there are at byte 2";
    a_protobuf_field_that_leaves_its_message: proto(ORDER_PROTO), b"\0\x12\x02\x0a\x03abc" =>
        "`lines.sku`: a length of 3 bytes, more than there are at byte 4";
    a_cut_protobuf_map_entry: proto(ORDER_PROTO), b"\0\x1a\x02\x0a\x01" => "`bySku`: a length of 1 bytes, more than there are at byte 4";
    a_protobuf_string_that_is_not_utf8: proto(ORDER_PROTO), b"\0\x0a\x01\xff" => "`id`: a string that is not UTF-8 at byte 2";
    a_protobuf_length_beyond_everything: proto(ORDER_PROTO), [b"\0\x0a", &varint(u64::MAX)[..]].concat() =>
        "`id`: a length of 9223372036854775807 bytes, more than there are at byte 2";
    a_protobuf_group_without_an_end: proto(ORDER_PROTO), b"\0\x4b\x08\x01" => "the bytes end within a value at byte 4";
    a_protobuf_group_with_another_end: proto(ORDER_PROTO), b"\0\x4b\x54" => "a group ends with another number than it began with at byte 2";
    protobuf_message_indexes_without_a_body: proto(ORDER_PROTO), b"\x04" => "the bytes end within a value at byte 1";
    a_protobuf_message_that_the_schema_does_not_have: proto(ORDER_PROTO), b"\x02\x08" =>
        "the frame's message indexes lead to no message of the schema at byte 0";
}

#[test]
fn a_record_read_with_a_wrong_schema_is_an_error_or_says_that_fields_are_unknown() {
    let order = [&string("4711")[..], &[0, 1]].concat();
    let wrong =
        avro(r#"{"type": "record", "name": "Payment", "fields": [{"name": "amount", "type": "double"}]}"#);
    assert_eq!(error(&wrong, &order), "`amount`: the bytes end within a value at byte 0");
    let payment = proto(r#"syntax = "proto3"; message Payment { int64 amount = 9; }"#);
    let (text, notes) = decode(&payment, &first(&[bytes(1, b"4711")])).unwrap();
    assert_eq!((text.as_str(), notes.n_unknown_fields), ("{}", 1));
}

#[test]
fn of_an_evolved_schema_the_version_that_wrote_the_record_decides() {
    let old = avro(r#"{"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}"#);
    let new = avro(
        r#"{"type": "record", "name": "R", "fields": [{"name": "b", "type": "string", "default": "none"}, {"name": "a", "type": "int", "aliases": ["c"]}]}"#,
    );
    assert_eq!(json(&old, &long(7)), r#"{"a":7}"#, "no default of a later schema comes in");
    assert_eq!(json(&new, &[string("x"), long(7)].concat()), r#"{"b":"x","a":7}"#);
    assert!(decode(&new, &long(7)).is_err());
    assert!(decode(&old, &[string("x"), long(7)].concat()).is_err());
    let old = proto(r#"syntax = "proto3"; message R { int32 a = 1; }"#);
    let new = proto(r#"syntax = "proto3"; message R { int32 a = 1; string b = 2; }"#);
    assert_eq!(json(&new, &first(&[number(1, 7)])), r#"{"a":7}"#);
    let (text, notes) = decode(&old, &first(&[number(1, 7), bytes(2, b"x")])).unwrap();
    assert_eq!((text.as_str(), notes.n_unknown_fields), (r#"{"a":7}"#, 1));
}

#[test]
fn deep_recursion_is_an_error_at_the_limit() {
    let order = proto(ORDER_PROTO);
    let nested = |n: usize| (0..n).fold(Vec::new(), |inner, _| message(2, &[inner]));
    assert!(decode(&order, &first(&[nested(99)])).is_ok());
    assert!(error(&order, &first(&[nested(100)])).contains("more than 100 levels"));
    assert!(error(&order, &first(&[nested(50_000)])).contains("more than 100 levels"));
    let twice = first(&[nested(5_000), bytes(1, b"a"), nested(5_000)]);
    assert!(error(&order, &twice).contains("more than 100 levels"), "merged messages too");
    let groups = proto(
        r#"syntax = "proto2"; message M { optional group G = 1 { optional M m = 2; } optional M n = 3; }"#,
    );
    assert!(
        decode(&groups, &first(&[(0..20_000).fold(Vec::new(), |inner, _| group(9, &[inner]))]))
            .is_ok_and(|it| it.1.n_unknown_fields == 1)
    );
    let array = avro(
        r#"{"type": "record", "name": "R", "fields": [{"name": "r", "type": {"type": "array", "items": "R"}}]}"#,
    );
    assert!(error(&array, &[2; 100_000]).contains("more than 100 levels"));
    let map = avro(
        r#"{"type": "record", "name": "R", "fields": [{"name": "r", "type": {"type": "map", "values": "R"}}]}"#,
    );
    assert!(error(&map, &[2, 0].repeat(50_000)).contains("more than 100 levels"));
    let value = proto(
        r#"syntax = "proto3"; import "google/protobuf/struct.proto"; message M { google.protobuf.Value v = 1; }"#,
    );
    let lists = (0..5_000).fold(Vec::new(), |inner, _| message(6, &[message(1, &[inner])]));
    assert!(error(&value, &first(&[message(1, &[lists])])).contains("more than 100 levels"));
    let any = proto(
        r#"syntax = "proto3"; import "google/protobuf/any.proto"; message M { google.protobuf.Any a = 1; }"#,
    );
    let url = || bytes(1, b"/google.protobuf.Any");
    let anys = (0..5_000).fold(Vec::new(), |inner, _| [url(), message(2, &[inner])].concat());
    assert!(error(&any, &first(&[message(1, &[anys])])).contains("more than 100 levels"));
}

#[test]
fn a_recursive_record_without_bytes_is_an_error_at_the_limit() {
    let schema = avro(r#"{"type": "record", "name": "R", "fields": [{"name": "r", "type": "R"}]}"#);
    assert!(error(&schema, b"").contains("more than 100 levels"));
}

#[test]
fn items_without_bytes_are_bounded() {
    let nulls = avro(r#"{"type": "array", "items": "null"}"#);
    let limits = Limits::default();
    let n = i64::from(limits.max_empty_items);
    assert_eq!(json(&nulls, &[long(n), long(0)].concat()).len() as i64, n * 5 + 1);
    assert!(error(&nulls, &[long(n + 1), long(0)].concat()).contains("more than 65536 items without bytes"));
    assert!(
        error(&nulls, &[long(1 << 60), long(0)].concat()).contains("more than 65536 items without bytes")
    );
    assert!(
        error(&nulls, &[long(-(1 << 60)), long(0), long(0)].concat())
            .contains("more than 65536 items without bytes")
    );
    let records = avro(
        r#"{"type": "array", "items": {"type": "array", "items": {"type": "record", "name": "E", "fields": []}}}"#,
    );
    let one = [long(60_000), long(0)].concat();
    assert!(
        error(&records, &[&long(2)[..], &one, &one, &[0]].concat()).contains("items without bytes"),
        "over the whole record"
    );
}

#[test]
fn the_json_is_bounded() {
    let limits = Limits { max_json_bytes: 1000, ..Limits::default() };
    let kind = |schema, body: &[u8]| {
        decode_with(schema, &framed(body), &limits).map_err(|error| error.kind().clone())
    };
    let strings = avro(r#"{"type": "array", "items": "string"}"#);
    let many = [long(500), string("a").repeat(500), long(0)].concat();
    assert_eq!(kind(&strings, &many), Err(DecodeErrorKind::JsonBytes(1000)));
    let numbers = proto(
        r#"syntax = "proto3"; message M { repeated bool with_a_long_name = 1; map<int32, bool> m = 2; }"#,
    );
    assert_eq!(kind(&numbers, &first(&[bytes(1, &[1; 900])])), Err(DecodeErrorKind::JsonBytes(1000)));
    assert_eq!(kind(&numbers, &first(&[message(2, &[]).repeat(200)])), Err(DecodeErrorKind::JsonBytes(1000)));
    let any = compile(SchemaType::Json, "{}", &[]).unwrap();
    assert_eq!(kind(&any, &[b' '; 1001]), Err(DecodeErrorKind::JsonBytes(1000)));
    assert!(kind(&any, &[b' '; 1000]).is_ok());
    // A schema of few bytes whose records of no bytes would be 2^60 objects.
    let text = |i: usize| match i {
        0 => r#"{"type": "fixed", "name": "R0", "size": 0}"#.to_owned(),
        _ => format!(
            r#"{{"type": "record", "name": "R{i}", "fields": [{{"name": "a", "type": "R{0}"}}, {{"name": "b", "type": "R{0}"}}]}}"#,
            i - 1
        ),
    };
    let texts: Vec<String> = (0..60).map(text).collect();
    let references: Vec<(&str, &str)> = texts.iter().map(|text| ("R", text.as_str())).collect();
    let schema = compile(SchemaType::Avro, &text(60), &references).unwrap();
    assert_eq!(kind(&schema, b""), Err(DecodeErrorKind::JsonBytes(1000)));
}

#[test]
fn json_schema_bodies_are_as_they_are() {
    let schema = compile(SchemaType::Json, r#"{"type": "object"}"#, &[]).unwrap();
    assert_eq!(json(&schema, br#" {"a": [1e999]} "#), r#" {"a": [1e999]} "#);
}

#[test]
fn many_fields_that_come_again_take_time_in_proportion() {
    let schema = proto(
        r#"syntax = "proto3"; message M { map<int32, int32> m = 1; int32 a = 2; repeated int32 r = 3; }"#,
    );
    let entry = |key: u64| message(1, &[number(1, key)]);
    let many: Vec<Vec<u8>> =
        (0..100_000).map(|i| [entry(i % 50_000), number(2, i), number(3, 1)].concat()).collect();
    let (text, notes) = decode(&schema, &first(&many)).unwrap();
    assert_eq!(notes.n_duplicate_keys, 50_000);
    assert!(text.contains(r#""a":99999"#));
}

/// The most bytes that decoding has allocated at once.
fn peak(schema: &Schema, body: &[u8]) -> u64 {
    allocation_counter::measure(|| drop(decode(schema, body))).bytes_max
}

#[test]
fn claimed_lengths_allocate_nothing() {
    const KB: u64 = 1024;
    for schema in [
        r#"{"type": "array", "items": "long"}"#,
        r#"{"type": "map", "values": "long"}"#,
        r#""bytes""#,
        r#""string""#,
    ] {
        for claimed in [i64::MAX, 1 << 60, 1 << 32] {
            assert!(peak(&avro(schema), &[long(claimed), long(1)].concat()) < 4 * KB, "{schema}");
        }
    }
    assert!(peak(&avro(r#"{"type": "fixed", "name": "F", "size": 4611686018427387904}"#), b"") < 4 * KB);
    assert!(
        peak(&avro(r#"{"type": "array", "items": "null"}"#), &[long(1 << 60), long(0)].concat()) < 2000 * KB
    );
    let order = proto(ORDER_PROTO);
    for field in [1, 2, 3, 9] {
        assert!(peak(&order, &[&[0][..], &varint(field << 3 | 2), &varint(u64::MAX)].concat()) < 4 * KB);
    }
    assert!(peak(&order, &[long(i64::MAX), long(0)].concat()) < 4 * KB);
}

#[test]
fn a_large_record_takes_memory_in_proportion_to_itself_and_its_json() {
    let schema = proto(
        r#"syntax = "proto3"; message M { M m = 1; repeated int32 r = 2; string s = 3; map<string, string> map = 4; }"#,
    );
    // Out of order at each of its levels: everything is sorted.
    let level = |inner: Vec<u8>| [number(2, 1), bytes(3, b"x"), message(1, &[inner]), number(2, 1)].concat();
    let deep = (0..90).fold([number(2, 5), bytes(3, b"")].concat().repeat(100_000), |inner, _| level(inner));
    let entries = [message(4, &[bytes(1, b"")]), number(2, 1)].concat().repeat(100_000);
    let groups = vec![9 << 3 | 3; 1_000_000];
    for body in [first(&[deep]), first(&[entries]), first(&[groups])] {
        let json = decode(&schema, &body).map_or(0, |it| it.0.len());
        let most = 16 * body.len() + 3 * json + 4096;
        assert!(
            peak(&schema, &body) < most as u64,
            "{} for {} bytes, {json} of JSON",
            peak(&schema, &body),
            body.len()
        );
    }
}
