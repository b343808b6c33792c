//! Protobuf schemas of the editions 2023 and 2024, as text and as the descriptor that `protoc` 35.1 makes of it.
//!
//! The records, and their JSON, are those of Protobuf's own library for Python, 7.36.

mod support;

use record_formats::schema::{Schema, SchemaType};

use crate::support::{bytes, compile, error, first, json, number, proto};

const TEXT_2023: &str = r#"// The edition is "2023".
edition = "2023";

package shop;

import "google/protobuf/cpp_features.proto";

option features.field_presence = IMPLICIT;
option features.message_encoding = DELIMITED;
option features.(pb.cpp).string_type = VIEW;

message Order {
  option features.json_format = ALLOW;
  reserved old_name, older_name;
  reserved 90 to 99;
  string order_id = 1;
  string note = 2 [features.field_presence = EXPLICIT, json_name = "remark"];
  int32 count = 3 [default = 7, features.field_presence = EXPLICIT];
  int64 total = 4 [features.field_presence = LEGACY_REQUIRED];
  repeated int32 packed = 5;
  repeated int32 expanded = 6 [features.repeated_field_encoding = EXPANDED];
  Item item = 7;
  Item framed = 8 [features.message_encoding = LENGTH_PREFIXED];
  repeated Item items = 9;
  map<string, Item> by_name = 10;
  Status status = 11 [features.field_presence = EXPLICIT];
  string raw = 12 [features.utf8_validation = NONE];
  oneof way { string mail = 13; int32 phone = 14; }
  bool gift = 15;
  message Item {
    string sku = 1;
    int32 n = 2;
  }
  enum Status {
    option features.enum_type = CLOSED;
    PAID = 1;
    SENT = 2;
  }
  extensions 100 to max;
}

extend Order {
  int32 more = 100;
}
"#;
const DESCRIPTOR_2023: &str = "CgtlMjAyMy5wcm90bxIEc2hvcBoiZ29vZ2xlL3Byb3RvYnVmL2NwcF9mZWF0dXJlcy5wcm90byLCBQoFT3JkZXISGQoIb3JkZXJfaWQYASABKAlSB29yZGVySWQSGwoEbm90ZRgCIAEoCUIFqgECCAFSBnJlbWFyaxIeCgVjb3VudBgDIAEoBToBN0IFqgECCAFSBWNvdW50EhsKBXRvdGFsGAQgASgDQgWqAQIIA1IFdG90YWwSFgoGcGFja2VkGAUgAygFUgZwYWNrZWQSIQoIZXhwYW5kZWQYBiADKAVCBaoBAhgCUghleHBhbmRlZBIkCgRpdGVtGAcgASgLMhAuc2hvcC5PcmRlci5JdGVtUgRpdGVtEi8KBmZyYW1lZBgIIAEoCzIQLnNob3AuT3JkZXIuSXRlbUIFqgECKAFSBmZyYW1lZBImCgVpdGVtcxgJIAMoCzIQLnNob3AuT3JkZXIuSXRlbVIFaXRlbXMSMAoHYnlfbmFtZRgKIAMoCzIXLnNob3AuT3JkZXIuQnlOYW1lRW50cnlSBmJ5TmFtZRIxCgZzdGF0dXMYCyABKA4yEi5zaG9wLk9yZGVyLlN0YXR1c0IFqgECCAFSBnN0YXR1cxIXCgNyYXcYDCABKAlCBaoBAiADUgNyYXcSFAoEbWFpbBgNIAEoCUgAUgRtYWlsEhYKBXBob25lGA4gASgFSABSBXBob25lEhIKBGdpZnQYDyABKAhSBGdpZnQaSwoLQnlOYW1lRW50cnkSEAoDa2V5GAEgASgJUgNrZXkSJgoFdmFsdWUYAiABKAsyEC5zaG9wLk9yZGVyLkl0ZW1SBXZhbHVlOgI4ARomCgRJdGVtEhAKA3NrdRgBIAEoCVIDc2t1EgwKAW4YAiABKAVSAW4iIgoGU3RhdHVzEggKBFBBSUQQARIICgRTRU5UEAIaBDoCEAIqCAhkEICAgIACOgRiAjABQgUKA3dheUoECFoQZFIIb2xkX25hbWVSCm9sZGVyX25hbWU6HwoEbW9yZRILLnNob3AuT3JkZXIYZCABKAVSBG1vcmVCDJIDCQgCKALCPgIQAWIIZWRpdGlvbnNw6Ac=";
const RECORDS_2023: [(&str, &str); 2] = [
    (
        "1200180020002a020102300330043b0a016110013c42030a01624b0a01634c4b4c52080a016b12030a016458026202c3a96a00",
        r#"{"remark":"","count":0,"total":0,"packed":[1,2],"expanded":[3,4],"item":{"sku":"a","n":1},"framed":{"sku":"b"},"items":[{"sku":"c"},{}],"byName":{"k":{"sku":"d"}},"status":"SENT","raw":"é","mail":""}"#,
    ),
    ("0a016f200570007801a00600", r#"{"orderId":"o","total":5,"phone":0,"gift":true,"[shop.more]":0}"#),
];

const TEXT_2024: &str = r#"edition = "2024";
package shop;
import option "google/protobuf/cpp_features.proto";
option features = { field_presence: IMPLICIT };
export message Order {
  string order_id = 1;
  string count = 2 [features = { utf8_validation: NONE, field_presence: EXPLICIT }];
  Item item = 3 [features.message_encoding = DELIMITED];
  local enum Status { UNKNOWN = 0; PAID = 1; }
  Status status = 4;
}
local message Item { string sku = 1; string local = 2; }
"#;
const DESCRIPTOR_2024: &str = "CgtlMjAyNC5wcm90bxIEc2hvcCK5AQoFT3JkZXISGQoIb3JkZXJfaWQYASABKAlSB29yZGVySWQSHQoFY291bnQYAiABKAlCB6oBBAgBIANSBWNvdW50EiUKBGl0ZW0YAyABKAsyCi5zaG9wLkl0ZW1CBaoBAigCUgRpdGVtEioKBnN0YXR1cxgEIAEoDjISLnNob3AuT3JkZXIuU3RhdHVzUgZzdGF0dXMiIQoGU3RhdHVzEgsKB1VOS05PV04QABIICgRQQUlEEAEwAVgCIjAKBEl0ZW0SEAoDc2t1GAEgASgJUgNza3USFAoFbG9jYWwYAiABKAlSBWxvY2FsWAFCBZIDAggCYghlZGl0aW9uc3DpB3oiZ29vZ2xlL3Byb3RvYnVmL2NwcF9mZWF0dXJlcy5wcm90bw==";
const RECORDS_2024: [(&str, &str); 2] = [
    ("12001b0a01611c", r#"{"count":"","item":{"sku":"a"}}"#),
    ("0a01781201331b1c2001", r#"{"orderId":"x","count":"3","item":{},"status":"PAID"}"#),
];

fn reads(schema: &Schema, records: &[(&str, &str)]) {
    for (hex, expected) in records {
        let digits: Vec<char> = hex.chars().collect();
        let byte = |pair: &[char]| {
            u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("hexadecimal digits")
        };
        let body: Vec<u8> = digits.chunks(2).map(byte).collect();
        // Both files begin with the message.
        assert_eq!(&json(schema, &[&[0], body.as_slice()].concat()), expected);
    }
}

#[test]
fn a_schema_of_an_edition_is_read_from_its_text_and_from_its_descriptor() {
    for (text, descriptor, records) in
        [(TEXT_2023, DESCRIPTOR_2023, RECORDS_2023), (TEXT_2024, DESCRIPTOR_2024, RECORDS_2024)]
    {
        reads(&proto(text), &records);
        reads(&proto(descriptor), &records);
    }
}

#[test]
fn without_features_fields_have_presence_and_messages_their_length() {
    let schema = proto(
        r#"edition = "2023"; message M { int32 a = 1; M m = 2; repeated int32 r = 3; enum E { ZERO = 0; } E e = 4; }"#,
    );
    let body = first(&[number(1, 0), bytes(2, &number(1, 1)), number(4, 0)]);
    assert_eq!(json(&schema, &body), r#"{"a":0,"m":{"a":1},"e":"ZERO"}"#);
}

#[test]
fn a_file_keeps_its_own_features_when_files_of_other_editions_import_each_other() {
    let main = r#"syntax = "proto3"; import "b.proto"; import "c.proto"; message A { int32 n = 1; B b = 2; C c = 3; }"#;
    let references = [
        (
            "b.proto",
            r#"edition = "2023"; option features.field_presence = IMPLICIT; message B { int32 n = 1; }"#,
        ),
        ("c.proto", r#"edition = "2024"; message C { int32 n = 1; }"#),
    ];
    let schema = compile(SchemaType::Protobuf, main, &references).unwrap();
    let zero = number(1, 0);
    let body = first(&[zero.clone(), bytes(2, &zero), bytes(3, &zero)]);
    assert_eq!(json(&schema, &body), r#"{"b":{},"c":{"n":0}}"#);
}

#[test]
fn words_of_editions_are_names_in_fields_options_and_comments() {
    let schema = proto(
        r#"/* edition = "2029"; */ edition = '2024'; // export message
        message local { string export = 1; local message = 2; local reserved_by = 3; int32 default = 4 [default = 3, deprecated = true]; }
        enum export { option allow_alias = true; NONE = 0; reserved a, b; }"#,
    );
    let body = first(&[bytes(1, b"x"), bytes(2, &number(4, 0))]);
    assert_eq!(json(&schema, &body), r#"{"export":"x","message":{"default":0}}"#);
}

#[test]
fn an_edition_that_is_not_known_is_named_in_the_error() {
    // The same descriptor, whose last two bytes are the edition: 1002.
    let descriptor = DESCRIPTOR_2023.replace("cOgH", "cOoH").replace("w6Ac=", "w6gc=");
    for (schema, edition) in [(r#"edition = "2026"; message A {}"#, "2026"), (descriptor.as_str(), "2026")] {
        let failed = compile(SchemaType::Protobuf, schema, &[]).unwrap_err().to_string();
        assert_eq!(failed, format!("Protobuf schema is of the edition {edition}: 2023 and 2024 can be read"));
    }
}

#[test]
fn a_delimited_message_that_has_no_end_is_an_error() {
    let schema = proto(TEXT_2024);
    assert!(error(&schema, b"\0\x1b\x0a\x01a").to_string().contains("end"));
}
