//! A document that was written in another form becomes the one that the pipeline writes for its record.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use base64_simd::STANDARD;
use event_pipeline::encoder::Encoder;
use event_pipeline::encoding::{Appended, Routing};
use event_pipeline::event::read_batch;
use event_pipeline::rescue::{Rescue, RescueForm};
use event_pipeline::restore::{RestoreError, restore};
use event_pipeline::settings::Settings;
use proptest::prelude::*;
use serde_json::{Value, json};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// An event of one record with this value and these headers.
fn event(value: &[u8], headers: &[(&str, &[u8])], timestamp_ms: i64) -> Vec<u8> {
    let headers: Vec<_> = headers.iter().map(|(name, bytes)| json!({*name: bytes})).collect();
    let record = json!({"topic": "order.events", "partition": 1, "offset": 7, "timestamp": timestamp_ms,
        "key": STANDARD.encode_to_string(b"k"), "value": STANDARD.encode_to_string(value), "headers": headers});
    serde_json::to_vec(&json!({"records": {"order.events-1": [record]}})).unwrap()
}

fn settings() -> Settings {
    Settings { header_fields: vec!["tenant".into()], ..Settings::default() }
}

/// The id and the document of the record in `event`, in the form `rescue` or in the usual one.
fn written(event: &[u8], form: Option<RescueForm>) -> (String, Vec<u8>) {
    let batch = read_batch(event).unwrap();
    let record = batch[0].record.as_ref().unwrap();
    let mut body = Vec::new();
    let mut encoder = Encoder::new(settings());
    let appended = match form {
        Some(form) => {
            let rescue = Rescue { form, reason: "failed to parse field [a]".into() };
            encoder.append_rescued(record, &rescue, Routing::Own, &mut body).unwrap()
        }
        None => encoder.append(record, &mut body).unwrap(),
    };
    assert_ne!(appended, Appended::Dropped);
    let mut lines = body.split(|byte| *byte == b'\n');
    let action: Value = serde_json::from_slice(lines.next().unwrap()).unwrap();
    (action["create"]["_id"].as_str().unwrap().to_owned(), lines.next().unwrap().to_vec())
}

/// The document, with the tags as a list where the payload has a single one, and none where its list is empty: what ours
/// were added to. The words of exact fields are in any order, and
/// twice where an id of ours is taken for the payload's.
fn comparable(document: &[u8]) -> Value {
    let mut document: Value = serde_json::from_slice(document).unwrap();
    match document["tags"].take() {
        Value::String(tag) => document["tags"] = json!([tag]),
        Value::Array(tags) if !tags.is_empty() => document["tags"] = json!(tags),
        Value::Null | Value::Array(_) => drop(document.as_object_mut().unwrap().remove("tags")),
        other => document["tags"] = other,
    }
    if let Some(Value::Array(words)) = document.get_mut("event_text") {
        words.sort_by_key(Value::to_string);
        words.dedup();
    }
    document
}

fn restored(event: &[u8], form: RescueForm) -> Result<Value, RestoreError> {
    let (id, rescued) = written(event, Some(form));
    restore(&settings(), &id, &rescued).map(|document| comparable(&document))
}

#[test]
fn each_form_gives_back_the_usual_document() {
    let value = br#"{"a":{"b":1.50},"service":"x","tags":["t"],"trace":"y","traceId":"z","n":[1e400,"x"],"correlation_id":3}"#;
    let headers: [(&str, &[u8]); 3] =
        [("traceparent", TRACE.as_bytes()), ("x-correlation-id", b"c"), ("tenant", b"\xff")];
    for headers in [&headers[..], &headers[1..2], &[]] {
        let event = event(value, headers, 1_795_827_846_251);
        let (id, usual) = written(&event, None);
        for form in [
            RescueForm::Members(vec!["a".into()]),
            RescueForm::Members(vec!["n".into(), "service".into(), "trace".into()]),
            RescueForm::Members(vec!["tags".into(), "correlation_id".into()]),
            RescueForm::Payload,
            RescueForm::Text,
        ] {
            let (_, rescued) = written(&event, Some(form.clone()));
            let again = String::from_utf8(restore(&settings(), &id, &rescued).unwrap()).unwrap();
            let sorted = |text: &str| {
                let mut bytes = text.as_bytes().to_vec();
                bytes.sort_unstable();
                bytes
            };
            // No parser reads 1e400: the same bytes in another order.
            assert_eq!(sorted(&again), sorted(str::from_utf8(&usual).unwrap()), "{form:?}: {again}");
            assert!(again.contains(r#""b":1.50"#), "{again}");
        }
    }
}

#[test]
fn words_of_exact_fields_are_kept_in_any_order_and_missing_ones_are_added() {
    let value = br#"{"a":{"id":"one two"},"userId":"three four","_b":"seven"}"#;
    let event = event(value, &[("x-correlation-id", b"five six")], 1_795_827_846_251);
    let (id, usual) = written(&event, None);
    let words = |document: &[u8]| {
        let document: Value = serde_json::from_slice(document).unwrap();
        let mut words: Vec<String> = serde_json::from_value(document["event_text"].clone()).unwrap();
        words.sort();
        words
    };
    assert_eq!(words(&usual), ["five six", "one two", "seven", "three four"]);
    for form in [RescueForm::Members(vec!["a".into()]), RescueForm::Payload, RescueForm::Text] {
        let (_, rescued) = written(&event, Some(form.clone()));
        assert_eq!(words(&restore(&settings(), &id, &rescued).unwrap()), words(&usual), "{form:?}");
        // As versions wrote it that knew no such field.
        let mut older: Value = serde_json::from_slice(&rescued).unwrap();
        older.as_object_mut().unwrap().remove("event_text");
        let restored = restore(&settings(), &id, older.to_string().as_bytes()).unwrap();
        assert_eq!(words(&restored), words(&usual), "{form:?}");
    }
}

#[test]
fn what_was_repaired_keeps_its_tag() {
    let event = event(br#"{"a":NaN,"b":1,"b":2,"time":"never"}"#, &[], 1_795_827_846_251);
    for form in [RescueForm::Members(vec!["a".into()]), RescueForm::Payload, RescueForm::Text] {
        let document = restored(&event, form).unwrap();
        assert_eq!(document["tags"], json!(["_duplicatekey", "_nonfinite", "_timestampunparsed"]));
        assert_eq!((&document["a"], &document["b"]), (&Value::Null, &json!(2)));
    }
}

#[test]
fn a_member_with_the_name_of_the_whole_payload_leaves_the_tags_beside_it() {
    let event = event(br#"{"*":1,"tags":"x"}"#, &[], 5);
    let usual = comparable(&written(&event, None).1);
    assert_eq!(usual["tags"], json!(["x", "_timestampmissing"]));
    assert_eq!(restored(&event, RescueForm::Members(vec!["*".into()])), Ok(usual));
}

#[test]
fn a_document_that_is_not_as_it_was_written_is_refused() {
    let event = event(br#"{"a":{"b":1},"c":2}"#, &[], 5);
    let (id, rescued) = written(&event, Some(RescueForm::Payload));
    let changed = |change: fn(&mut Value)| {
        let mut document: Value = serde_json::from_slice(&rescued).unwrap();
        change(&mut document);
        restore(&settings(), &id, document.to_string().as_bytes())
    };
    assert!(changed(|_| ()).is_ok());
    for change in [
        (|document| document["conflict_field"] = json!(["a", "*"])) as fn(&mut Value),
        |document| document["tags"] = json!(["_mappingconflict", "seen"]),
        |document| document["reviewed"] = json!("by hand"),
        |document| document["conflict"] = json!("text"),
        |document| document["kafka_offset"] = json!("x"),
        |document| *document = json!({"tags": ["_mappingconflict"]}),
    ] {
        assert!(matches!(changed(change), Err(RestoreError::Changed(_))));
    }
    assert!(matches!(restore(&settings(), &id, b"[]"), Err(RestoreError::Json(_))));
}

#[test]
fn an_object_that_no_cluster_reads_has_no_other_form() {
    let value = format!("{{\"a\":{}1{}}}", "[".repeat(1001), "]".repeat(1001));
    let (id, document) = written(&event(value.as_bytes(), &[], 5), None);
    assert_eq!(restore(&settings(), &id, &document), Err(RestoreError::TooDeep));
}

/// A JSON object with names that mean something to the pipeline, some of them twice.
fn object() -> impl Strategy<Value = (Vec<String>, Vec<u8>)> {
    let name = prop::sample::select(vec![
        "a",
        "*",
        "service",
        "timestamp",
        "time",
        "tags",
        "trace",
        "traceId",
        "span",
        "spanId",
        "traceparent",
        "correlation_id",
        "correlationId",
        "original",
        "conflict",
        "conflict_field",
        "event_text",
        "message",
        "kafka_headers",
        "é\\n",
        "",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "-2.50e3",
        "null",
        r#""x""#,
        r#""two words""#,
        r#"["a"]"#,
        "[]",
        "{}",
        r#"{"id":"i"}"#,
        r#"{"id":"4bf92f3577b34da6a3ce929d0e0e4736"}"#,
        r#"{"id":"00f067aa0ba902b7"}"#,
        r#""00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01""#,
        r#"{"a":1,"a":2}"#,
        "NaN",
        "1795827846251",
    ]);
    prop::collection::vec((name, value), 1..7).prop_map(|members| {
        let texts: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\" : {value}")).collect();
        let names = members.iter().map(|(name, _)| name.replace("\\n", "\n")).collect();
        (names, format!("{{{}}}", texts.join(",\n")).into_bytes())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_rescued_document_becomes_the_usual_one(
        (names, value) in object(),
        (has_trace, has_correlation, has_tenant) in any::<(bool, bool, bool)>(),
        correlation in prop::sample::select(vec![&b"c"[..], b"\xff", b""]),
        timestamp_ms in prop::sample::select(vec![1_795_827_846_251, -1, 0, 5, i64::MAX]),
        form in 0..5_usize,
    ) {
        let mut headers: Vec<(&str, &[u8])> = Vec::new();
        headers.extend(has_trace.then_some(("traceparent", TRACE.as_bytes())));
        headers.extend(has_correlation.then_some(("correlation_id", correlation)));
        headers.extend(has_tenant.then_some(("tenant", &b"t"[..])));
        let event = event(&value, &headers, timestamp_ms);
        let form = match form {
            0 => RescueForm::Payload,
            1 => RescueForm::Text,
            n => {
                let mut moved: Vec<String> = names.into_iter().take(n - 1).collect();
                moved.dedup();
                RescueForm::Members(moved)
            }
        };
        let usual = comparable(&written(&event, None).1);
        prop_assert_eq!(restored(&event, form).unwrap(), usual);
    }
}
