//! Protobuf: random schemas and messages that prost-reflect writes, joined and reordered, and any bytes that it reads.

use std::borrow::Cow;
use std::collections::HashMap;

use prost_reflect::prost::Message;
use prost_reflect::prost::bytes::Bytes;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, SerializeOptions, Value,
};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use record_formats::decode_error::{DecodeError, DecodeErrorKind};
use record_formats::frame::{Framed, SchemaId};
use record_formats::limits::Limits;
use record_formats::notes::Notes;
use record_formats::schema::{Schema, SchemaSource, SchemaType};

use super::choices::Choices;
use super::leaves;

const MAX_DEPTH: u8 = 4;

pub(crate) fn check(data: &[u8]) {
    let mut choices = Choices::new(data);
    let text = schema(&mut choices);
    let source =
        SchemaSource { schema_type: SchemaType::Protobuf, text: text.clone(), references: Vec::new() };
    let ours = Schema::compile(&source).unwrap_or_else(|error| panic!("{error:?}: {text}"));
    let theirs = descriptor(&text);

    let first = encoded(&theirs, &mut choices);
    let second = encoded(&theirs, &mut choices);
    assert_is_read(check_bytes(&ours, &theirs, &text, &first));
    // Joined messages are merged.
    let joined = [&first[..], &second].concat();
    assert_is_read(check_bytes(&ours, &theirs, &text, &joined));
    let reordered = reordered(&joined, &mut choices);
    assert_is_read(check_bytes(&ours, &theirs, &text, &reordered));

    for cut in 0..first.len().min(200) {
        let _ = check_bytes(&ours, &theirs, &text, &first[..cut]);
    }
    let mut changed = first;
    let place = usize::from(choices.byte()) % changed.len().max(1);
    if let Some(byte) = changed.get_mut(place) {
        *byte ^= choices.byte();
    }
    let _ = check_bytes(&ours, &theirs, &text, &changed);
    let _ = check_bytes(&ours, &theirs, &text, choices.rest());
}

/// Any bytes are JSON or an error; where prost-reflect reads them and has JSON for them, it is the same.
fn check_bytes(
    ours: &Schema,
    theirs: &MessageDescriptor,
    text: &str,
    bytes: &[u8],
) -> Result<Notes, DecodeError> {
    let body = [&[0][..], bytes].concat();
    let framed = Framed { id: SchemaId::Confluent(1), message_indexes: None, body: Cow::Borrowed(&body) };
    let mut json = Vec::new();
    let result = ours.append_json(&framed, &Limits::default(), &mut json);
    let tree = result.as_ref().ok().map(|_| leaves::read(&json));
    let Some(expected) = their_json(theirs, bytes) else {
        return result;
    };
    let n_non_finite = result.as_ref().map_or(0, |notes| notes.n_non_finite);
    // prost-reflect reads the entry of a map whatever its wire type is; to us such a field is unknown.
    if text.contains("map<") && result.as_ref().map_or(1, |notes| notes.n_unknown_fields) > 0 {
        return result;
    }
    match tree {
        // Theirs are texts.
        Some(_) if n_non_finite > 0 => {}
        Some(tree) => assert_eq!(tree, leaves::read(&expected), "{text} {bytes:?}"),
        // A duration whose parts have two signs has no JSON; theirs has one.
        None if matches!(result.as_ref().unwrap_err().kind(), DecodeErrorKind::TimeRange { .. }) => {}
        None => panic!("{result:?} {text} {bytes:?}"),
    }
    result
}

/// What prost-reflect wrote has no unknown fields, and only merged durations can be out of range.
fn assert_is_read(result: Result<Notes, DecodeError>) {
    match result {
        Ok(notes) => assert_eq!(notes.n_unknown_fields, 0),
        Err(error) => assert!(matches!(error.kind(), DecodeErrorKind::TimeRange { .. }), "{error}"),
    }
}

fn their_json(theirs: &MessageDescriptor, bytes: &[u8]) -> Option<Vec<u8>> {
    let message = DynamicMessage::decode(theirs.clone(), bytes).ok()?;
    let mut json = Vec::new();
    let options = SerializeOptions::new().stringify_64_bit_integers(false);
    message.serialize_with_options(&mut serde_json::Serializer::new(&mut json), &options).ok()?;
    Some(json)
}

/// The message's fields in another order.
fn reordered(bytes: &[u8], choices: &mut Choices<'_>) -> Vec<u8> {
    let mut fields = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let before = rest;
        let (tag, wire_type) = prost_reflect::prost::encoding::decode_key(&mut rest).unwrap();
        prost_reflect::prost::encoding::skip_field(wire_type, tag, &mut rest, Default::default()).unwrap();
        fields.push(&before[..before.len() - rest.len()]);
    }
    for i in 1..fields.len() {
        fields.swap(i, usize::from(choices.byte()) % (i + 1));
    }
    fields.concat()
}

fn descriptor(text: &str) -> MessageDescriptor {
    struct Text(String);
    impl FileResolver for Text {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            match name {
                "a.proto" => File::from_source(name, &self.0),
                _ => Err(protox::Error::file_not_found(name)),
            }
        }
    }
    let mut files = ChainFileResolver::new();
    files.add(Text(text.to_owned()));
    files.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(files);
    compiler.include_imports(true).open_file("a.proto").unwrap();
    compiler.descriptor_pool().get_message_by_name("M0").unwrap()
}

const SCALARS: [&str; 15] = [
    "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64",
    "sfixed32", "sfixed64", "bool", "string", "bytes",
];
const MESSAGES: [&str; 12] = [
    "M0",
    "M1",
    "M2",
    "google.protobuf.Timestamp",
    "google.protobuf.Duration",
    "google.protobuf.Struct",
    "google.protobuf.Value",
    "google.protobuf.ListValue",
    "google.protobuf.Int64Value",
    "google.protobuf.StringValue",
    "google.protobuf.FieldMask",
    "google.protobuf.Empty",
];

/// Three messages that may hold each other.
fn schema(choices: &mut Choices<'_>) -> String {
    let (syntax, label) = if choices.below(3) == 0 { ("proto2", "optional ") } else { ("proto3", "") };
    let mut text = format!("syntax = \"{syntax}\";\n");
    for import in ["timestamp", "duration", "struct", "wrappers", "field_mask", "empty"] {
        text += &format!("import \"google/protobuf/{import}.proto\";\n");
    }
    text += "enum E { ZERO = 0; ONE = 1; FAR = 300; NEGATIVE = -1; }\n";
    for i in 0..3 {
        text += &format!("message M{i} {{\n");
        let mut number = 0;
        for j in 0..choices.below(7) {
            number += 1 + u32::from(choices.below(40));
            text += &field(choices, label, j, number);
        }
        text += "}\n";
    }
    text
}

fn any_type(choices: &mut Choices<'_>) -> &'static str {
    match choices.below(3) {
        0 => MESSAGES[usize::from(choices.below(MESSAGES.len() as u8))],
        1 if choices.below(4) == 0 => "E",
        _ => SCALARS[usize::from(choices.below(SCALARS.len() as u8))],
    }
}

fn field(choices: &mut Choices<'_>, label: &str, name: u8, number: u32) -> String {
    match choices.below(8) {
        0 | 1 => format!("{label}{} some_name_{name} = {number};\n", any_type(choices)),
        // Only proto2 has groups.
        7 if !label.is_empty() => {
            format!("repeated group G{name} = {number} {{ optional {} g = 1; }}\n", any_type(choices))
        }
        2 => format!("optional {} o{name} = {number};\n", any_type(choices)),
        3 => format!("repeated {} all_{name} = {number};\n", any_type(choices)),
        4 => {
            let keys = ["string", "int32", "uint64", "bool", "sint64", "fixed32"];
            let key = keys[usize::from(choices.below(keys.len() as u8))];
            format!("map<{key}, {}> m{name} = {number};\n", any_type(choices))
        }
        5 => format!(
            "repeated {} u{name} = {number} [packed = false];\n",
            SCALARS[usize::from(choices.below(13))]
        ),
        _ => {
            let (a, b) = (any_type(choices), any_type(choices));
            format!("oneof c{name} {{ {a} a{name} = {number}; {b} b{name} = {}; }}\n", number + 1000)
        }
    }
}

fn encoded(descriptor: &MessageDescriptor, choices: &mut Choices<'_>) -> Vec<u8> {
    message(descriptor, choices, 0).encode_to_vec()
}

fn message(descriptor: &MessageDescriptor, choices: &mut Choices<'_>, depth: u8) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    match descriptor.full_name() {
        "google.protobuf.Timestamp" => {
            message.set_field_by_name("seconds", Value::I64(choices.long().rem_euclid(250_000_000_000)));
            message.set_field_by_name("nanos", Value::I32(choices.int().rem_euclid(1_000_000_000)));
        }
        "google.protobuf.Duration" => {
            let sign = if choices.below(2) == 0 { 1 } else { -1 };
            message.set_field_by_name("seconds", Value::I64(choices.long().rem_euclid(1_000_000) * sign));
            message.set_field_by_name(
                "nanos",
                Value::I32(choices.int().rem_euclid(1_000_000_000) * sign as i32),
            );
        }
        "google.protobuf.Value" => {
            let fields: Vec<FieldDescriptor> = descriptor.fields().collect();
            let n_kinds = if depth < MAX_DEPTH { 6 } else { 4 };
            let field = &fields[usize::from(choices.below(n_kinds))];
            message.set_field(field, value(&field.kind(), choices, depth + 1));
        }
        "google.protobuf.FieldMask" => {
            let paths = (0..choices.below(3)).map(|_| {
                Value::String(["user_name", "a.b_c", "x"][usize::from(choices.below(3))].to_owned())
            });
            message.set_field_by_name("paths", Value::List(paths.collect()));
        }
        _ => {
            for field in descriptor.fields() {
                let is_message = matches!(field.kind(), Kind::Message(_));
                if choices.below(4) == 0 || is_message && depth >= MAX_DEPTH {
                    continue;
                }
                let value = if field.is_map() {
                    map(&field, choices, depth + 1)
                } else if field.is_list() {
                    Value::List(
                        (0..choices.below(4)).map(|_| value(&field.kind(), choices, depth + 1)).collect(),
                    )
                } else {
                    value(&field.kind(), choices, depth + 1)
                };
                message.set_field(&field, value);
            }
        }
    }
    message
}

fn map(field: &FieldDescriptor, choices: &mut Choices<'_>, depth: u8) -> Value {
    let entry = field.kind();
    let entry = entry.as_message().unwrap();
    let (key, each) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
    let mut entries: HashMap<MapKey, Value> = HashMap::new();
    for _ in 0..choices.below(4) {
        entries.insert(value(&key, choices, depth).into_map_key().unwrap(), value(&each, choices, depth));
    }
    Value::Map(entries)
}

fn value(kind: &Kind, choices: &mut Choices<'_>, depth: u8) -> Value {
    match kind {
        Kind::Double => {
            Value::F64(Some(f64::from_bits(choices.long() as u64)).filter(|it| it.is_finite()).unwrap_or(0.5))
        }
        Kind::Float => {
            Value::F32(Some(f32::from_bits(choices.int() as u32)).filter(|it| it.is_finite()).unwrap_or(0.5))
        }
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(choices.int()),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(choices.long()),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(choices.int() as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(choices.long() as u64),
        Kind::Bool => Value::Bool(choices.below(2) == 1),
        Kind::String => Value::String(choices.text()),
        Kind::Bytes => Value::Bytes(Bytes::from({
            let len = choices.below(5);
            choices.bytes(len.into())
        })),
        Kind::Enum(each) if each.name() == "NullValue" => Value::EnumNumber(0),
        Kind::Enum(_) => Value::EnumNumber(choices.int()),
        Kind::Message(descriptor) => Value::Message(message(descriptor, choices, depth)),
    }
}
