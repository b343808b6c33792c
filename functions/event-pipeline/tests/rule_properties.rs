//! Properties that hold for any rules and any record.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use base64_simd::STANDARD;
use event_pipeline::encoder::Encoder;
use event_pipeline::encoding::{Appended, Routing};
use event_pipeline::event::{BatchItem, KafkaRecord, read_batch};
use event_pipeline::field_path::FieldPath;
use event_pipeline::name_table::NameTable;
use event_pipeline::object::ObjectScanner;
use event_pipeline::rescue::{Rescue, RescueForm};
use event_pipeline::routing::IndexRoute;
use event_pipeline::rules::{HashedField, Keep, OnError, Rules, TopicRules};
use event_pipeline::salt::{Salt, Salts};
use event_pipeline::sampling::SampleRate;
use event_pipeline::settings::Settings;
use event_pipeline::topic_pattern::TopicPattern;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A value that is removed or hashed wherever it stands, which is below a member of the name `secret`.
const SECRET: &str = "hunter2";

/// JSON in which each `SECRET` is at a path that ends in `secret`, in strings of JSON too; and whether one is at none of
/// [`secret_paths`].
fn payload() -> impl Strategy<Value = (String, bool)> {
    let leaf = prop_oneof![
        Just(json!(null)),
        Just(json!(17)),
        Just(json!("x y")),
        Just(json!("2026-03-01T00:00:00Z")),
        Just(json!({"secret": SECRET})),
        Just(json!({"\u{73}ecret": [SECRET, {"deep": SECRET}]})),
        Just(json!({"secret": {"a": SECRET}, "b": 1})),
    ];
    let value = leaf.prop_recursive(4, 24, 4, |inner| {
        let name = prop::sample::select(vec![
            "a",
            "b",
            "tags",
            "message",
            "_id",
            "service",
            "traceparent",
            "timestamp",
            "*",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.prop_map(str::to_owned), inner.clone(), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
            inner.prop_map(|value| json!({"context": value.to_string()})),
        ]
    });
    (value, 0..12u8).prop_map(|(value, odd)| {
        let is_beyond = is_beyond(&value, if matches!(odd, 2 | 5) { 1 } else { 0 });
        let text = match odd {
            0 => format!("\u{feff}{value}"),
            1 => serde_json::to_string_pretty(&value).unwrap(),
            2 => format!("{{\"a\":{value},\"a\":{value},\"b\":NaN}}"),
            3 => value.to_string().chars().take(40).collect(),
            4 => Value::from(value.to_string()).to_string(),
            5 => format!("{{\"a\":{}{value}{}}}", "[".repeat(300), "]".repeat(300)),
            6 => "\u{0}not json".into(),
            _ => value.to_string(),
        };
        (text, is_beyond)
    })
}

/// Every path of up to six names that ends in `secret`.
fn secret_paths() -> Vec<FieldPath> {
    let names = ["a", "b", "tags", "message", "_id", "service", "traceparent", "timestamp", "context"];
    let mut paths = vec!["secret".to_owned()];
    let mut starts = vec![String::new()];
    for _ in 0..3 {
        starts = starts.iter().flat_map(|start| names.map(|name| format!("{start}{name}."))).collect();
        paths.extend(starts.iter().map(|start| format!("{start}secret")));
    }
    paths.iter().map(|path| FieldPath::parse(path).unwrap()).collect()
}

fn settings(rules: TopicRules) -> Settings {
    let salts = Salts::from([("s".to_owned(), Salt::parse("0123456789abcdef").unwrap())]);
    Settings { rules: Rules::new(vec![rules], 20, &salts).unwrap(), ..Settings::default() }
}

fn rules() -> impl Strategy<Value = TopicRules> {
    let path = || {
        prop::sample::select(vec![
            "a",
            "a.b",
            "secret",
            "a.secret",
            "context",
            "context.secret",
            "message",
            "tags",
            "b.a",
        ])
    };
    let paths = || prop::collection::vec(path().prop_map(|path| FieldPath::parse(path).unwrap()), 0..4);
    let keep = prop_oneof![
        4 => Just(Keep::All), 1 => Just(Keep::None), 2 => (0.0..1.0f64).prop_map(|rate| Keep::Sample(SampleRate::new(rate).unwrap())),
    ];
    let route = prop::option::of(prop::sample::select(vec![
        "p",
        "p-{topic}",
        "p-{payload.a|x}",
        "p-{payload.a.b}-{header.h|y}",
    ]));
    (paths(), paths(), paths(), keep, route, any::<bool>()).prop_map(
        |(parse_json, remove, hash, keep, route, indexes)| TopicRules {
            index: route.map(|route| IndexRoute::parse(route).unwrap()),
            keep,
            parse_json,
            remove,
            hash: hash.into_iter().map(|path| HashedField { path, salt: "s".into() }).collect(),
            on_error: if indexes { OnError::Index } else { OnError::DeadLetter },
            ..TopicRules::new(TopicPattern::parse("order.*").unwrap())
        },
    )
}

fn event(payloads: &[Vec<u8>]) -> Vec<u8> {
    let records: Vec<_> = (0..)
        .zip(payloads)
        .map(|(offset, payload): (i64, _)| {
            json!({"topic": if offset % 3 == 2 { "other" } else { "order.events" }, "partition": 1, "offset": offset,
                "timestamp": 1_772_360_430_123_i64, "headers": [{"h": b"A b"}], "value": STANDARD.encode_to_string(payload)})
        })
        .collect();
    serde_json::to_vec(&json!({"records": {"order.events-1": records}})).unwrap()
}

/// What a record becomes: its lines, empty where it is dropped; `None` where it can't be shaped.
fn written(encoder: &mut Encoder, item: &BatchItem<'_>) -> Option<Vec<u8>> {
    let record = item.record.as_ref().unwrap();
    let mut body = Vec::new();
    match encoder.append(record, &mut body) {
        Ok(Appended::Document(_)) => {
            let action: Value =
                serde_json::from_slice(body.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
            let address = encoder.document_address(item).unwrap().unwrap();
            assert_eq!(action.pointer("/create/_index").unwrap(), &*address.index);
            assert_eq!(action.pointer("/create/_id").unwrap(), &*address.id.unwrap());
            Some(body)
        }
        Ok(Appended::Dropped) => {
            assert_eq!((body.as_slice(), encoder.document_address(item)), (&b""[..], Ok(None)));
            Some(body)
        }
        Err(error) => {
            assert_eq!((body.as_slice(), encoder.document_address(item)), (&b""[..], Err(error)));
            assert!(encoder.transform_failure().is_some());
            None
        }
    }
}

/// The document of a record in every form that it can have.
fn forms(encoder: &mut Encoder, record: &KafkaRecord<'_>) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for form in
        [None, Some(RescueForm::Members(vec!["a".into()])), Some(RescueForm::Payload), Some(RescueForm::Text)]
    {
        let mut body = Vec::new();
        let appended = match form {
            None => encoder.append(record, &mut body),
            Some(form) => {
                let rescue = Rescue { form, reason: "failed to parse field [a]".into() };
                encoder.append_rescued(record, &rescue, Routing::Own, &mut body)
            }
        };
        if appended.is_ok() {
            forms.push(body);
        }
    }
    forms
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_rules_and_bytes_give_whole_lines_that_are_the_same_alone_and_in_a_batch(
        rules in rules(),
        payloads in prop::collection::vec(prop_oneof![4 => payload().prop_map(|(text, _)| text.into_bytes()), 1 => any::<Vec<u8>>()], 1..5),
    ) {
        let event = event(&payloads);
        let batch = read_batch(&event).unwrap();
        let settings = settings(rules);
        let mut encoder = Encoder::new(settings.clone());
        for item in &batch {
            let lines = written(&mut encoder, item);
            prop_assert_eq!(&lines, &written(&mut Encoder::new(settings.clone()), item));
            let text = String::from_utf8(lines.unwrap_or_default()).unwrap();
            prop_assert!(matches!(text.matches('\n').count(), 0 | 2), "{}", text);
            for line in text.lines() {
                let scanned = ObjectScanner::default().scan(line.as_bytes(), &NameTable::default());
                prop_assert!(scanned.is_ok(), "{:?}: {}", scanned, line);
                prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(line).is_ok(), "{}", line);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_removed_or_hashed_is_nowhere_in_a_document_of_any_form((payload, is_beyond) in payload(), is_hashed in any::<bool>()) {
        let mut rules = TopicRules::new(TopicPattern::parse("*").unwrap());
        rules.parse_json = vec![FieldPath::parse("context").unwrap()];
        if is_hashed {
            rules.hash = secret_paths().into_iter().map(|path| HashedField { path, salt: "s".into() }).collect();
        } else {
            rules.remove = secret_paths();
        }
        prop_assume!(!is_beyond);
        let event = event(&[payload.into_bytes()]);
        let batch = read_batch(&event).unwrap();
        let record = batch.first().unwrap().record.as_ref().unwrap();
        for form in forms(&mut Encoder::new(settings(rules)), record) {
            let text = String::from_utf8(form).unwrap();
            prop_assert!(!text.contains(SECRET), "{}", text);
        }
    }
}

/// Whether the secret stands below more names than the paths have, or in a string that is not parsed.
fn is_beyond(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(elements) => elements.iter().any(|element| is_beyond(element, depth)),
        Value::Object(members) => members.iter().any(|(name, value)| match (name.as_str(), value.as_str()) {
            ("secret", _) => depth > 3,
            ("context", Some(text)) if depth == 0 => {
                serde_json::from_str(text).is_ok_and(|value: Value| is_beyond(&value, 1))
            }
            (_, Some(text)) => text.contains(SECRET),
            ("*", None) => value.to_string().contains(SECRET),
            (_, None) => is_beyond(value, depth + 1),
        }),
        _ => false,
    }
}
