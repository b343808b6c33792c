//! Protobuf records and their JSON.

mod support;

use std::borrow::Cow;

use record_formats::decode_error::DecodeErrorKind;
use record_formats::frame::{Framed, SchemaId};
use record_formats::limits::Limits;
use record_formats::notes::Notes;
use record_formats::schema::SchemaType;

use crate::support::{
    bytes, compile, decode, decode_with, double, error, first, group, json, long, message, number, proto,
    varint,
};

#[test]
fn the_examples_of_the_encoding_guide_are_read() {
    let schema = proto(
        r#"syntax = "proto3"; message Test { int32 a = 1; string b = 2; Test c = 3; repeated int32 d = 4; repeated int32 e = 6; }"#,
    );
    assert_eq!(json(&schema, b"\0\x08\x96\x01"), r#"{"a":150}"#);
    assert_eq!(json(&schema, b"\0\x12\x07testing"), r#"{"b":"testing"}"#);
    assert_eq!(json(&schema, b"\0\x1a\x03\x08\x96\x01"), r#"{"c":{"a":150}}"#);
    assert_eq!(json(&schema, b"\0\x32\x06\x03\x8e\x02\x9e\xa7\x05"), r#"{"e":[3,270,86942]}"#);
    assert_eq!(json(&schema, b"\0"), "{}");
}

#[test]
fn names_are_lower_camel_or_what_json_name_says() {
    let schema = proto(
        r#"syntax = "proto3"; message M { string order_id = 1; string b = 2 [json_name = "say \"b\""]; bool UPPER_Case_x9 = 3; }"#,
    );
    let body = first(&[bytes(1, b"7"), bytes(2, b""), bytes(2, b"x"), number(3, 1)]);
    assert_eq!(json(&schema, &body), r#"{"orderId":"7","say \"b\"":"x","UPPERCaseX9":true}"#);
}

#[test]
fn every_scalar_is_a_number_a_boolean_or_text() {
    let schema = proto(
        r#"syntax = "proto3"; message M { double a = 1; float b = 2; int32 c = 3; int64 d = 4; uint32 e = 5; uint64 f = 6; sint32 g = 7;
        sint64 h = 8; fixed32 i = 9; fixed64 j = 10; sfixed32 k = 11; sfixed64 l = 12; bool m = 13; string n = 14; bytes o = 15; }"#,
    );
    let fixed32 = |field: u64, number: u32| [varint(field << 3 | 5), number.to_le_bytes().to_vec()].concat();
    let fixed64 = |field: u64, number: u64| [varint(field << 3 | 1), number.to_le_bytes().to_vec()].concat();
    let body = first(&[
        double(1, 1.5),
        fixed32(2, 0.1_f32.to_bits()),
        number(3, -7_i64 as u64),
        number(4, i64::MIN as u64),
        number(5, u32::MAX.into()),
        number(6, u64::MAX),
        number(7, 1),
        number(8, u64::MAX),
        fixed32(9, u32::MAX),
        fixed64(10, u64::MAX),
        fixed32(11, u32::MAX),
        fixed64(12, u64::MAX),
        number(13, 1),
        bytes(14, "é\"\n".as_bytes()),
        bytes(15, &[0xff, 0]),
    ]);
    assert_eq!(
        json(&schema, &body),
        r#"{"a":1.5,"b":0.1,"c":-7,"d":-9223372036854775808,"e":4294967295,"f":18446744073709551615,"g":-1,"#
            .to_owned()
            + r#""h":-9223372036854775808,"i":4294967295,"j":18446744073709551615,"k":-1,"l":-1,"m":true,"n":"é\"\n","o":"/wA="}"#
    );
}

#[test]
fn a_default_value_is_none_unless_the_field_knows_presence() {
    let schema = proto(
        r#"syntax = "proto3"; message M { int32 a = 1; optional int32 b = 2; oneof o { string c = 3; M d = 4; } }"#,
    );
    assert_eq!(json(&schema, &first(&[number(1, 0), number(2, 0), bytes(3, b"")])), r#"{"b":0,"c":""}"#);
    let old = proto(
        r#"syntax = "proto2"; message M { optional int32 a = 1 [default = 5]; required string b = 2; }"#,
    );
    assert_eq!(json(&old, &first(&[])), "{}", "proto2's defaults are not in the record");
    assert_eq!(json(&old, &first(&[number(1, 0)])), r#"{"a":0}"#);
}

#[test]
fn enums_are_names_and_unknown_numbers_are_numbers() {
    let schema = proto(
        r#"syntax = "proto3"; enum E { option allow_alias = true; NONE = 0; ONE = 1; EINS = 1; FAR = 100; BEFORE = -1; }
        message M { E e = 1; repeated E all = 2; }"#,
    );
    let all = [1, 100, u64::MAX, 7, 0].map(varint).concat();
    assert_eq!(
        json(&schema, &first(&[number(1, 1), bytes(2, &all)])),
        r#"{"e":"ONE","all":["ONE","FAR","BEFORE",7,"NONE"]}"#
    );
}

#[test]
fn the_last_value_of_a_field_counts_and_messages_are_merged() {
    let schema = proto(
        r#"syntax = "proto3"; message M { int32 a = 1; M m = 2; repeated int32 r = 3; oneof o { int32 x = 4; M y = 5; } string s = 6; }"#,
    );
    assert_eq!(json(&schema, &first(&[number(1, 1), number(1, 2)])), r#"{"a":2}"#);
    assert_eq!(json(&schema, &first(&[number(1, 1), number(1, 0)])), "{}");
    let merged = [
        message(2, &[number(1, 1), number(3, 1), message(2, &[number(1, 5)])]),
        bytes(6, b"between"),
        message(2, &[number(1, 2), number(3, 2), message(2, &[number(3, 9)])]),
    ];
    assert_eq!(
        json(&schema, &first(&merged)),
        r#"{"m":{"a":2,"m":{"a":5,"r":[9]},"r":[1,2]},"s":"between"}"#
    );
    let members = [number(4, 1), message(5, &[number(1, 1)]), message(5, &[number(3, 1)])];
    assert_eq!(json(&schema, &first(&members)), r#"{"y":{"a":1,"r":[1]}}"#);
    let again = [message(5, &[number(1, 1)]), number(4, 1), message(5, &[number(3, 1)])];
    assert_eq!(json(&schema, &first(&again)), r#"{"y":{"r":[1]}}"#);
}

#[test]
fn lists_are_packed_or_not_and_may_be_interrupted() {
    let schema = proto(
        r#"syntax = "proto3"; message M { repeated sint32 r = 1; repeated string s = 2; repeated M m = 3; int32 i = 4; }"#,
    );
    let parts =
        [number(1, 1), bytes(1, &[2, 3]), bytes(2, b"a"), number(1, 4), bytes(1, &[]), bytes(2, b"b")];
    assert_eq!(json(&schema, &first(&parts)), r#"{"r":[-1,1,-2,2],"s":["a","b"]}"#);
    assert_eq!(json(&schema, &first(&[bytes(1, &[])])), "{}");
    assert_eq!(
        json(
            &schema,
            &first(&[
                message(3, &[number(4, 1)]),
                message(3, &[]),
                number(4, 5),
                message(3, &[number(1, 0)])
            ])
        ),
        r#"{"m":[{"i":1},{},{"r":[0]}],"i":5}"#
    );
}

#[test]
fn maps_are_objects_and_the_last_entry_of_a_key_counts() {
    let schema = proto(
        r#"syntax = "proto3"; enum E { A = 0; B = 1; } message M { map<string, int64> s = 1; map<bool, E> b = 2; map<sint32, M> m = 3;
        map<uint64, double> d = 4; int32 i = 5; }"#,
    );
    let entry = |field, key, value| message(field, &[key, value]);
    let body = first(&[
        entry(1, bytes(1, b"a\""), number(2, 5)),
        message(1, &[]),
        message(2, &[number(2, 1)]),
        message(2, &[number(1, 1)]),
        entry(3, number(1, 1), message(2, &[number(5, 7)])),
        message(3, &[]),
        message(4, &[number(1, u64::MAX)]),
    ]);
    assert_eq!(
        json(&schema, &body),
        r#"{"s":{"a\"":5,"":0},"b":{"false":"B","true":"A"},"m":{"-1":{"i":7},"0":{}},"d":{"18446744073709551615":0.0}}"#
    );
    let twice = first(&[
        entry(1, bytes(1, b"a"), number(2, 5)),
        number(5, 1),
        entry(1, bytes(1, b"a"), number(2, 6)),
    ]);
    let (text, notes) = decode(&schema, &twice).unwrap();
    assert_eq!((text.as_str(), notes.n_duplicate_keys), (r#"{"s":{"a":6},"i":1}"#, 1));
    // Within one entry a message is merged.
    let merged = first(&[message(
        3,
        &[message(2, &[number(5, 1)]), number(1, 2), message(2, &[entry(1, bytes(1, b"k"), number(2, 1))])],
    )]);
    assert_eq!(json(&schema, &merged), r#"{"m":{"1":{"s":{"k":1},"i":1}}}"#);
}

#[test]
fn groups_and_extensions_are_members() {
    let schema = proto(
        r#"syntax = "proto2"; package p; message M { optional group Item = 1 { optional int32 a = 2; repeated group Sub = 3 { optional int32 b = 4; } }
        extensions 100 to 200; } extend M { optional string note = 100; repeated int32 more = 101; }"#,
    );
    let body = first(&[
        group(1, &[number(2, 1), group(3, &[number(4, 1)]), group(3, &[])]),
        bytes(100, b"x"),
        number(101, 1),
        number(101, 2),
    ]);
    assert_eq!(
        json(&schema, &body),
        r#"{"item":{"a":1,"sub":[{"b":1},{}]},"[p.note]":"x","[p.more]":[1,2]}"#
    );
}

const WELL_KNOWN: &str = r#"syntax = "proto3";
import "google/protobuf/any.proto"; import "google/protobuf/duration.proto"; import "google/protobuf/empty.proto";
import "google/protobuf/field_mask.proto"; import "google/protobuf/struct.proto"; import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto"; import "confluent/type/decimal.proto";
package p;
message M {
  google.protobuf.Timestamp t = 1; google.protobuf.Duration d = 2; google.protobuf.Struct s = 3; google.protobuf.Value v = 4;
  google.protobuf.ListValue l = 5; google.protobuf.Int64Value i = 6; google.protobuf.StringValue str = 7; google.protobuf.FieldMask f = 8;
  google.protobuf.Empty e = 9; google.protobuf.Any a = 10; confluent.type.Decimal c = 11; google.protobuf.NullValue n = 12;
  repeated google.protobuf.Timestamp ts = 13; google.protobuf.DoubleValue w = 14; google.protobuf.BytesValue b = 15; int32 x = 16;
}"#;

#[test]
fn well_known_types_have_their_own_json() {
    let schema = proto(WELL_KNOWN);
    let one = |field: Vec<u8>| json(&schema, &first(&[field]));
    assert_eq!(
        one(message(1, &[number(1, 1_772_355_000), number(2, 7_000_000)])),
        r#"{"t":"2026-03-01T08:50:00.007Z"}"#
    );
    assert_eq!(one(message(1, &[number(1, -62_135_596_800_i64 as u64)])), r#"{"t":"0001-01-01T00:00:00Z"}"#);
    assert_eq!(
        one(message(2, &[number(1, -1_i64 as u64), number(2, -500_000_000_i64 as u64)])),
        r#"{"d":"-1.500s"}"#
    );
    assert_eq!(one(message(2, &[])), r#"{"d":"0s"}"#);
    assert_eq!(one(message(6, &[])), r#"{"i":0}"#);
    assert_eq!(one(message(6, &[number(1, 0)])), r#"{"i":0}"#);
    assert_eq!(one(message(6, &[number(1, u64::MAX)])), r#"{"i":-1}"#);
    assert_eq!(one(message(7, &[bytes(1, b"x")])), r#"{"str":"x"}"#);
    assert_eq!(one(message(14, &[])), r#"{"w":0.0}"#);
    assert_eq!(one(message(15, &[bytes(1, &[255])])), r#"{"b":"/w=="}"#);
    assert_eq!(
        one(message(8, &[bytes(1, b"user.display_name"), bytes(1, b"photo")])),
        r#"{"f":"user.displayName,photo"}"#
    );
    assert_eq!(one(message(9, &[])), r#"{"e":{}}"#);
    assert_eq!(one(message(11, &[bytes(1, &[0x04, 0xd2]), number(3, 2)])), r#"{"c":12.34}"#);
    assert_eq!(one(message(13, &[])), r#"{"ts":["1970-01-01T00:00:00Z"]}"#);
    assert_eq!(one(message(5, &[])), r#"{"l":[]}"#);
    assert_eq!(one(message(4, &[])), r#"{"v":null}"#);
    let value = |field: Vec<u8>| vec![field];
    let list = message(
        6,
        &[
            message(1, &value(number(4, 1))),
            message(1, &value(number(1, 0))),
            message(1, &value(message(6, &[]))),
        ],
    );
    let entry = |key: &[u8], field: Vec<u8>| message(1, &[bytes(1, key), message(2, &value(field))]);
    let object = [
        entry(b"a", double(2, 1.5)),
        entry(b"b", bytes(3, b"x")),
        entry(b"c", list),
        entry(b"d", message(5, &[])),
    ];
    assert_eq!(one(message(3, &object)), r#"{"s":{"a":1.5,"b":"x","c":[true,null,[]],"d":{}}}"#);
}

#[test]
fn an_any_is_the_message_that_it_holds() {
    let schema = proto(WELL_KNOWN);
    let any = |url: &[u8], value: &[Vec<u8>]| first(&[message(10, &[bytes(1, url), message(2, value)])]);
    assert_eq!(
        json(&schema, &any(b"type.googleapis.com/p.M", &[number(16, 1)])),
        r#"{"a":{"@type":"type.googleapis.com/p.M","x":1}}"#
    );
    assert_eq!(
        json(&schema, &any(b"type.googleapis.com/p.M", &[])),
        r#"{"a":{"@type":"type.googleapis.com/p.M"}}"#
    );
    assert_eq!(
        json(&schema, &any(b"type.googleapis.com/google.protobuf.Duration", &[number(1, 3)])),
        r#"{"a":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"3s"}}"#
    );
    assert_eq!(json(&schema, &any(b"", &[])), r#"{"a":{}}"#);
    let (text, notes) = decode(&schema, &any(b"x/p.Other", &[number(1, 1)])).unwrap();
    assert_eq!(text, r#"{"a":{"@type":"x/p.Other","value":"CAE="}}"#);
    assert_eq!(notes, Notes { n_unknown_types: 1, ..Notes::default() });
}

#[test]
fn what_json_has_no_number_for_is_null_and_noted() {
    let schema = proto(r#"syntax = "proto3"; message M { repeated double d = 1; float f = 2; }"#);
    let (text, notes) =
        decode(&schema, &first(&[double(1, f64::NAN), double(1, 1.0), double(1, f64::INFINITY)])).unwrap();
    assert_eq!((text.as_str(), notes.n_non_finite), (r#"{"d":[null,1.0,null]}"#, 2));
}

#[test]
fn unknown_fields_and_other_wire_types_are_left_out_and_counted() {
    let schema = proto(r#"syntax = "proto3"; message M { int32 a = 1; string b = 2; }"#);
    let body = first(&[
        number(9, 1),
        number(1, 5),
        bytes(1, b"not an int"),
        number(2, 1),
        group(7, &[number(1, 1), group(8, &[])]),
        double(10, 1.0),
        [varint(11 << 3 | 5), vec![0; 4]].concat(),
    ]);
    let (text, notes) = decode(&schema, &body).unwrap();
    assert_eq!(text, r#"{"a":5}"#);
    assert_eq!(notes, Notes { n_unknown_fields: 6, ..Notes::default() });
}

#[test]
fn the_message_indexes_choose_the_type() {
    let schema = proto(
        r#"syntax = "proto3"; message A { int32 a = 1; message X { int32 x = 1; message Y { int32 y = 1; } } map<string, string> m = 2; message Z { int32 z = 1; } }
        message B { int32 b = 1; }"#,
    );
    let one = |indexes: &[i64]| {
        let mut body = long(indexes.len() as i64);
        indexes.iter().for_each(|index| body.extend(long(*index)));
        body.extend(number(1, 1));
        decode(&schema, &body).map(|it| it.0).map_err(|error| error.kind().clone())
    };
    assert_eq!(json(&schema, b"\0\x08\x01"), r#"{"a":1}"#, "a lone zero is the first message");
    assert_eq!(one(&[0]).unwrap(), r#"{"a":1}"#);
    assert_eq!(one(&[1]).unwrap(), r#"{"b":1}"#);
    assert_eq!(one(&[0, 0]).unwrap(), r#"{"x":1}"#);
    assert_eq!(one(&[0, 0, 0]).unwrap(), r#"{"y":1}"#);
    assert_eq!(one(&[0, 1]).unwrap(), r#"{"z":1}"#, "Java doesn't count the entries of maps");
    assert_eq!(one(&[0, 2]).unwrap(), r#"{"z":1}"#, "other languages do");
    for wrong in [&[2][..], &[-1], &[0, 3], &[1, 0], &[0, 0, 0, 0]] {
        assert_eq!(one(wrong), Err(DecodeErrorKind::MessageIndexes), "{wrong:?}");
    }
    assert_eq!(one(&[0; 100_000]), Err(DecodeErrorKind::MessageIndexes));
    let count = [long(i64::MAX), long(0)].concat();
    assert!(decode(&schema, &count).is_err());
    assert!(decode(&schema, &long(-1)).is_err());
}

#[test]
fn indexes_in_a_header_and_glues_number_choose_the_type() {
    let schema = proto(
        r#"syntax = "proto3"; message B { message C { int32 c = 1; } message A { int32 a = 1; message D { int32 d = 1; } } }"#,
    );
    let body = number(1, 1);
    let in_header = |header: &[u8]| {
        let framed = Framed {
            id: SchemaId::ConfluentGuid([0; 16]),
            message_indexes: Some(header),
            body: Cow::Borrowed(&body),
        };
        decode_with(&schema, &framed, &Limits::default()).map(|it| it.0).map_err(|error| error.kind().clone())
    };
    assert_eq!(in_header(&[4, 0, 0]).unwrap(), r#"{"c":1}"#);
    assert_eq!(in_header(&[4, 0, 2]).unwrap(), r#"{"a":1}"#);
    for wrong in [&[4, 0][..], &[4, 0, 4], &[4, 0, 2, 7], &[0x80]] {
        assert_eq!(in_header(wrong), Err(DecodeErrorKind::MessageIndexes), "{wrong:?}");
    }
    let by_number = |number: u8| {
        let body = [&[number][..], &body].concat();
        let framed = Framed { id: SchemaId::Glue([0; 16]), message_indexes: None, body: Cow::Owned(body) };
        decode_with(&schema, &framed, &Limits::default()).map(|it| it.0).map_err(|error| error.kind().clone())
    };
    assert_eq!(by_number(1).unwrap(), r#"{"a":1}"#);
    assert_eq!(by_number(2).unwrap(), r#"{"d":1}"#);
    assert_eq!(by_number(3).unwrap(), r#"{"c":1}"#);
    assert_eq!(by_number(4), Err(DecodeErrorKind::MessageIndexes));
}

#[test]
fn an_error_says_what_and_where() {
    let schema = proto(
        r#"syntax = "proto3"; message M { repeated N all = 1; } message N { string s = 1; map<string, int32> m = 2; }"#,
    );
    let wrong = first(&[message(1, &[]), message(1, &[bytes(1, b"\xff")])]);
    assert_eq!(error(&schema, &wrong), "`all.s`: a string that is not UTF-8 at byte 6");
    assert_eq!(
        error(&schema, &first(&[bytes(1, b"\x0a\x05ab")])),
        "`all.s`: a length of 5 bytes, more than there are at byte 4"
    );
    assert_eq!(error(&schema, b"\0\x0a"), "`all`: the bytes end within a value at byte 2");
    assert_eq!(error(&schema, b"\0\x0c"), "a group ends with another number than it began with at byte 1");
    assert_eq!(error(&schema, b"\0\x0e"), "14 is no Protobuf tag at byte 1");
    assert_eq!(error(&schema, b"\0\x00\x00"), "0 is no Protobuf tag at byte 1");
    assert_eq!(error(&schema, b""), "the bytes end within a value at byte 0");
}

#[test]
fn references_are_the_imports() {
    let text = r#"syntax = "proto3"; import "other.proto"; message M { o.Other other = 1; }"#;
    let other = r#"syntax = "proto3"; package o; message Other { int32 a = 1; }"#;
    let schema = compile(SchemaType::Protobuf, text, &[("other.proto", other)]).unwrap();
    assert_eq!(json(&schema, &first(&[message(1, &[number(1, 1)])])), r#"{"other":{"a":1}}"#);
    assert!(compile(SchemaType::Protobuf, text, &[]).is_err());
    assert!(compile(SchemaType::Protobuf, "syntax = \"proto3\"; enum E { A = 0; }", &[]).is_err());
}

/// Confluent's Java serializer registers such text when it makes it from a descriptor.
#[test]
fn the_entries_of_maps_may_be_messages_of_the_text() {
    let schema = proto(
        r#"syntax = "proto3"; message A { repeated MEntry m = 1; message MEntry { option map_entry = true; string key = 1; int32 value = 2; }
        message Z { int32 z = 1; } message Y { int32 y = 1; } }"#,
    );
    assert_eq!(json(&schema, &first(&[message(1, &[bytes(1, b"k"), number(2, 1)])])), r#"{"m":{"k":1}}"#);
    let second = [long(2), long(0), long(1), number(1, 1)].concat();
    assert_eq!(json(&schema, &second), r#"{"z":1}"#, "the entry is counted");
}

#[test]
fn where_serializers_count_differently_the_message_with_the_fields_is_it() {
    let schema = proto(
        r#"syntax = "proto3"; message A { map<string, string> m = 1; message Y { int32 y = 1; } message Z { string z = 2; int32 more = 3; } }"#,
    );
    let second_of_a = |fields: &[Vec<u8>]| [&[4, 0, 2][..], &fields.concat()].concat();
    assert_eq!(
        json(&schema, &second_of_a(&[bytes(2, b"z")])),
        r#"{"z":"z"}"#,
        "Java: the second in the text"
    );
    assert_eq!(
        json(&schema, &second_of_a(&[number(1, 1)])),
        r#"{"y":1}"#,
        "Python: the first behind the entries of the map"
    );
    let (text, notes) = decode(&schema, &second_of_a(&[bytes(2, b"z"), number(9, 1)])).unwrap();
    assert_eq!((text.as_str(), notes.n_unknown_fields), (r#"{"z":"z"}"#, 1));
    assert_eq!(json(&schema, &second_of_a(&[])), "{}");
    assert!(error(&schema, &second_of_a(&[vec![0x0a, 5]])).contains("more than there are"));
}
