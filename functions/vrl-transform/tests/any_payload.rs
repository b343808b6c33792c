//! What holds for every payload, and every sequence of bytes.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::fmt::Write as _;
use std::sync::LazyLock;

use common::{BARE, compile, outcome};
use event_pipeline::transform::SharedTransform;
use proptest::prelude::*;

static IDENTITY: LazyLock<SharedTransform> = LazyLock::new(|| compile("."));
static ADDS: LazyLock<SharedTransform> = LazyLock::new(|| compile(".added = 1"));
static READS: LazyLock<SharedTransform> = LazyLock::new(|| compile(READING));

/// Reads every member, has variables, and fails for some payloads.
const READING: &str = "count = length(keys(.))
if count > 2 { .many, err = .a + .b
 if err != null { .err = err } }
for_each(.) -> |k, v| { if is_string(v) { .text = upcase(k) } }
.count = count";

/// A JSON value as a tree that keeps the text of numbers, so that a judge can compare what a parser would round.
#[derive(Debug, Clone, PartialEq)]
enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Json {
    /// Writes the value with white space and escapes that a writer of ours would not write.
    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => write!(out, "{value}").unwrap(),
            Self::Number(text) => out.push_str(text),
            Self::Text(text) => write_escaped(text, out),
            Self::Array(elements) => {
                out.push_str("[ ");
                for (index, element) in elements.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { "\n," });
                    element.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    out.push_str(if index == 0 { "\t" } else { " ," });
                    write_escaped(name, out);
                    out.push_str(" : ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// Escapes every other character.
fn write_escaped(text: &str, out: &mut String) {
    out.push('"');
    for (index, character) in text.chars().enumerate() {
        if index % 2 == 0 || character < ' ' || matches!(character, '"' | '\\') {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04X}").unwrap();
            }
        } else {
            out.push(character);
        }
    }
    out.push('"');
}

/// Numbers of every length, which doubles and 64-bit integers hold and do not hold.
fn number() -> impl Strategy<Value = String> {
    "-?(0|[1-9][0-9]{0,30})([.][0-9]{1,30})?([eE][+-]?[0-9]{1,3})?".boxed().prop_union(
        prop_oneof![
            Just("18446744073709551615".to_owned()),
            Just("-0".to_owned()),
            Just("-0.0".to_owned()),
            Just("9223372036854775808".to_owned()),
            Just("-9223372036854775808".to_owned()),
            Just("0.1".to_owned()),
            Just("0.10000000000000001".to_owned()),
            Just("1e400".to_owned()),
        ]
        .boxed(),
    )
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        number().prop_map(Json::Number),
        any::<String>().prop_map(Json::Text),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::Array),
            object(inner).prop_map(Json::Object),
        ]
    })
}

fn object(value: impl Strategy<Value = Json>) -> impl Strategy<Value = Vec<(String, Json)>> {
    prop::collection::btree_map(any::<String>(), value, 0..6)
        .prop_map(|members| members.into_iter().collect())
}

fn text_of(members: Vec<(String, Json)>) -> String {
    let mut text = String::new();
    Json::Object(members).write(&mut text);
    text
}

/// Reads what a transform wrote with `serde_json`, whose raw values keep the text of numbers.
fn read(text: &str) -> Json {
    let text = text.trim();
    match text.as_bytes()[0] {
        b'{' => {
            let members: std::collections::BTreeMap<String, &serde_json::value::RawValue> =
                serde_json::from_str(text).unwrap();
            Json::Object(members.into_iter().map(|(name, value)| (name, read(value.get()))).collect())
        }
        b'[' => {
            let elements: Vec<&serde_json::value::RawValue> = serde_json::from_str(text).unwrap();
            Json::Array(elements.into_iter().map(|value| read(value.get())).collect())
        }
        b'"' => Json::Text(serde_json::from_str(text).unwrap()),
        b't' | b'f' => Json::Bool(serde_json::from_str(text).unwrap()),
        b'n' => Json::Null,
        _ => Json::Number(text.to_owned()),
    }
}

proptest! {
    #[test]
    fn a_payload_that_no_script_touches_stays_the_same_value(members in object(json())) {
        let text = text_of(members.clone());
        prop_assert_eq!(read(&outcome(&IDENTITY, &BARE, text.as_bytes())), Json::Object(members));
    }

    #[test]
    fn a_field_beside_the_others_changes_none_of_them(members in object(json())) {
        let mut expected: std::collections::BTreeMap<_, _> = members.clone().into_iter().collect();
        expected.insert("added".to_owned(), Json::Number("1".to_owned()));
        let shaped = outcome(&ADDS, &BARE, text_of(members).as_bytes());
        prop_assert_eq!(read(&shaped), Json::Object(expected.into_iter().collect()));
    }

    #[test]
    fn bytes_of_any_kind_are_shaped_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let result = outcome(&IDENTITY, &BARE, &bytes);
        prop_assert!(result.starts_with("error: payload ") || result.starts_with('{'), "{}", result);
    }

    #[test]
    fn a_cut_payload_is_an_error(members in object(json()), cut in any::<prop::sample::Index>()) {
        let text = text_of(members);
        let cut = cut.index(text.len());
        let result = outcome(&IDENTITY, &BARE, &text.as_bytes()[..cut]);
        prop_assert!(result.starts_with("error: payload "), "{}", result);
    }

    #[test]
    fn a_record_gives_the_same_whatever_is_between(members in object(json()), others in prop::collection::vec(object(json()), 0..4)) {
        let transform = &READS;
        let text = text_of(members);
        let first = outcome(transform, &BARE, text.as_bytes());
        for other in others {
            outcome(transform, &BARE, text_of(other).as_bytes());
        }
        prop_assert_eq!(&outcome(transform, &BARE, text.as_bytes()), &first);
        prop_assert_eq!(&outcome(&compile(READING), &BARE, text.as_bytes()), &first);
    }
}
