//! What the rules of topics make of records: the whole document, its index, and what is dropped or fails.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use base64_simd::STANDARD;
use event_pipeline::encoder::Encoder;
use event_pipeline::encoding::{Appended, Routing};
use event_pipeline::event::{RecordError, read_batch};
use event_pipeline::field_path::FieldPath;
use event_pipeline::formats::ValueFormat;
use event_pipeline::rescue::{Rescue, RescueForm};
use event_pipeline::restore::restore;
use event_pipeline::routing::IndexRoute;
use event_pipeline::rules::{HashedField, Keep, OnError, Overrides, Rules, TopicRules};
use event_pipeline::salt::{Salt, Salts};
use event_pipeline::sampling::SampleRate;
use event_pipeline::settings::Settings;
use event_pipeline::topic_pattern::TopicPattern;
use event_pipeline::transform::{RecordContext, SharedTransform, Transform, TransformError, Transformed};
use event_pipeline::write_error::{ErrorKind, WriteError};
use serde_json::{Value, json};

/// 2026-03-01T10:20:30.123Z
const K: i64 = 1_772_360_430_123;

/// Drops, fails or writes something else, by the member `do`. Any other payload gets what the transform can read.
#[derive(Debug)]
struct ByMember;

impl Transform for ByMember {
    fn apply(
        &self,
        about: &RecordContext<'_>,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Transformed, TransformError> {
        let seen: Value = serde_json::from_slice(payload).unwrap();
        match seen["do"].as_str() {
            Some("drop") => return Ok(Transformed::Dropped),
            Some("fail") => {
                out.extend_from_slice(b"{\"half\":");
                return Err(TransformError { reason: "it was to fail".into() });
            }
            Some("list") => out.extend_from_slice(b"[1]"),
            Some("keep") => out.extend_from_slice(payload),
            Some("twice") => out.extend_from_slice(br#"{"a":1,"a":NaN}"#),
            Some("time") => out.extend_from_slice(br#"{"timestamp":"2026-02-28T00:00:00Z"}"#),
            _ => {
                let about = json!([
                    about.topic,
                    about.service_name,
                    about.partition,
                    about.offset,
                    about.timestamp.map(|time| time.millis()),
                    about.key,
                    about.headers
                ]);
                serde_json::to_writer(out, &json!({"seen": seen, "about": about})).unwrap();
            }
        }
        Ok(Transformed::Payload)
    }
}

fn paths(texts: &[&str]) -> Vec<FieldPath> {
    texts.iter().map(|text| FieldPath::parse(text).unwrap()).collect()
}

fn rules(change: impl FnOnce(&mut TopicRules)) -> TopicRules {
    let mut rules = TopicRules::new(TopicPattern::parse("order.*").unwrap());
    change(&mut rules);
    rules
}

fn settings(rules: TopicRules) -> Settings {
    let salts = Salts::from([("s".to_owned(), Salt::parse("0123456789abcdef").unwrap())]);
    let rules = Rules::new(vec![rules], 20, &salts).unwrap();
    Settings { rules, header_fields: vec!["tenant".into()], ..Settings::default() }
}

fn record(value: Option<&[u8]>) -> Value {
    json!({"topic": "order.events", "partition": 2, "offset": 42, "timestamp": K, "key": STANDARD.encode_to_string("k"),
        "headers": [{"Tenant": b"ACME"}, {"x": [255]}],
        "value": value.map(|value| STANDARD.encode_to_string(value))})
}

fn event(record: &Value) -> Vec<u8> {
    serde_json::to_vec(&json!({"records": {"order.events-2": [record]}})).unwrap()
}

/// What a record became: its index and document, or why there is none.
#[derive(Debug, PartialEq)]
enum Made {
    Document(String, Value),
    Dropped,
    Failed(String),
}

fn made(settings: &Settings, record: &Value) -> Made {
    let event = event(record);
    let batch = read_batch(&event).unwrap();
    let (mut encoder, mut body) = (Encoder::new(settings.clone()), Vec::new());
    let appended = encoder.append(batch[0].record.as_ref().unwrap(), &mut body);
    let address = encoder.document_address(&batch[0]);
    let made = match appended {
        Ok(Appended::Document(_)) => {
            let lines: Vec<_> = body.split(|byte| *byte == b'\n').collect();
            assert_eq!(lines.len(), 3, "{}", String::from_utf8_lossy(&body));
            let action: Value = serde_json::from_slice(lines[0]).unwrap();
            let address = address.unwrap().unwrap();
            assert_eq!(action["create"]["_index"], *address.index);
            assert_eq!(action["create"]["_id"], "order.events-2-42-1772360430123");
            return Made::Document(address.index.into_owned(), serde_json::from_slice(lines[1]).unwrap());
        }
        Ok(Appended::Dropped) => {
            assert_eq!(address, Ok(None));
            Made::Dropped
        }
        Err(error) => {
            assert_eq!(
                (error, &address),
                (RecordError::TransformFailure, &Err(RecordError::TransformFailure))
            );
            Made::Failed(encoder.transform_failure().unwrap().to_owned())
        }
    };
    assert_eq!(body, b"", "nothing is written");
    made
}

/// The members that the payload gave the document, and the document's tags.
fn shaped(rules: TopicRules, value: &str) -> (Value, Value) {
    match made(&settings(rules), &record(Some(value.as_bytes()))) {
        Made::Document(_, mut document) => {
            let fields = document.as_object_mut().unwrap();
            let tags = fields.remove("tags").unwrap_or_default();
            fields.retain(|name, _| {
                !["@timestamp", "service", "service_name", "environment", "platform", "event_text"]
                    .contains(&name.as_str())
                    && !name.starts_with("kafka_")
            });
            (document, tags)
        }
        other => panic!("{value}: {other:?}"),
    }
}

fn hash(path: &str) -> Vec<HashedField> {
    vec![HashedField { path: FieldPath::parse(path).unwrap(), salt: "s".into() }]
}

const HASH_OF_17: &str = "9ab8a6f4a4b05f76aac6a8c8c7c66d9a03e6bc9eb2ef7c8d073d8be90e431743";

#[test]
fn fields_are_parsed_then_removed_then_hashed() {
    let rules = || {
        rules(|rules| {
            rules.parse_json = paths(&["context", "raw"]);
            rules.remove = paths(&["context.secret", "items.secret", "card.cvv"]);
            rules.hash = hash("context.id");
        })
    };
    let value = r#"{"context":"{\"secret\":1,\"id\":17,\"k\":2}","items":[{"secret":1,"n":1},{"n":2}],"card.cvv":3,"raw":"no"}"#;
    let expected = json!({"context": {"id": HASH_OF_17, "k": 2}, "items": [{"n": 1}, {"n": 2}], "raw": "no"});
    assert_eq!(shaped(rules(), value), (expected, json!(["_parsejsonfailure"])));
    let repaired = "\u{feff}{\"card\":{\"cvv\":1,\"cvv\":NaN,\"n\":1}}";
    assert_eq!(
        shaped(rules(), repaired),
        (json!({"card": {"n": 1}}), json!(["_duplicatekey", "_nonfinite"]))
    );
    assert_eq!(shaped(rules(), r#"{"a":1}"#), (json!({"a": 1}), Value::Null));
}

#[test]
fn a_payload_that_has_no_fields_is_not_redacted_and_not_indexed() {
    let reason = "the payload is no JSON object, so that `remove` and `hash` can't be applied";
    for value in [
        &b"card.cvv=123"[..],
        br#"{"card":{"cvv":123}"#,
        br#""{\"card\":{\"cvv\":123}}""#,
        br#"["cvv 123"]"#,
        b"\xff123",
    ] {
        for change in [
            |rules: &mut TopicRules| rules.remove = paths(&["card.cvv"]),
            |rules: &mut TopicRules| rules.hash = hash("card.cvv"),
        ] {
            let mut rules = rules(change);
            assert_eq!(made(&settings(rules.clone()), &record(Some(value))), Made::Failed(reason.into()));
            rules.on_error = OnError::Index;
            let Made::Document(_, document) = made(&settings(rules), &record(Some(value))) else {
                panic!("a document")
            };
            assert_eq!(document["tags"], json!(["_jsonparsefailure", "_transformfailure"]));
        }
    }
    let plain = rules(|rules| {
        rules.overrides.format = Some(ValueFormat::Text);
        rules.remove = paths(&["a"]);
    });
    assert_eq!(made(&settings(plain), &record(Some(b"{\"a\":1}"))), Made::Failed(reason.into()));
}

#[test]
fn lists_and_the_field_of_a_text_are_redacted() {
    let list = r#"[{"a":1,"b":2},[{"a":3}], 4, null]"#;
    let expected = json!({"message": r#"[{"b":2},[{}], 4, null]"#});
    assert_eq!(
        shaped(rules(|rules| rules.remove = paths(&["a"])), list),
        (expected, json!(["_jsonparsefailure"]))
    );
    let no_message = shaped(rules(|rules| rules.remove = paths(&["message"])), "secret");
    assert_eq!(no_message, (json!({}), json!(["_jsonparsefailure"])));
    let hashed = shaped(rules(|rules| rules.hash = hash("message")), " 17".trim());
    assert_eq!(hashed, (json!({"message": HASH_OF_17}), json!(["_jsonparsefailure"])));
    let parsed = rules(|rules| {
        rules.parse_json = paths(&["message"]);
        rules.remove = paths(&["message.a"]);
    });
    assert_eq!(
        shaped(parsed, r#"[{"a":1,"b":2}]"#),
        (json!({"message": [{"b": 2}]}), json!(["_jsonparsefailure"]))
    );
}

#[test]
fn a_string_that_hides_what_is_to_be_removed_is_not_indexed() {
    let rules = rules(|rules| {
        rules.parse_json = paths(&["context"]);
        rules.remove = paths(&["context.secret"]);
    });
    let record = record(Some(br#"{"context":"{\"secret\":1"}"#));
    let reason = "`context` is a string that is not JSON, so that `context.secret` can't be redacted";
    assert_eq!(made(&settings(rules), &record), Made::Failed(reason.into()));
}

#[test]
fn a_deep_payload_is_redacted_and_not_transformed() {
    let deep = format!(r#"{{"a":{}1{},"b":{{"a":2}}}}"#, "[".repeat(300), "]".repeat(300));
    let Made::Document(_, document) =
        made(&settings(rules(|rules| rules.remove = paths(&["a"]))), &record(Some(deep.as_bytes())))
    else {
        panic!("a document")
    };
    assert_eq!((&document["b"], &document["message"]), (&json!({"a": 2}), &Value::Null));
    let transformed = made(
        &settings(rules(|rules| rules.transform = Some(SharedTransform::new(ByMember)))),
        &record(Some(deep.as_bytes())),
    );
    assert_eq!(transformed, Made::Failed("the payload is nested deeper than 250 levels".into()));
}

fn transforming() -> TopicRules {
    rules(|rules| rules.transform = Some(SharedTransform::new(ByMember)))
}

#[test]
fn a_transform_sees_what_the_document_would_have_of_the_payload() {
    let about = json!(["order.events", "order", 2, 42, K, "k", [["Tenant", "ACME"]]]);
    for (value, seen, tags) in [
        (Some(&br#" {"a":1}"#[..]), json!({"a": 1}), Value::Null),
        (Some(b"say \"x\""), json!({"message": "say \"x\""}), json!(["_jsonparsefailure"])),
        (Some(b"\xff"), json!({"message_base64": "/w=="}), json!(["_jsonparsefailure"])),
        (None, json!({}), json!(["_tombstone"])),
    ] {
        let Made::Document(_, document) = made(&settings(transforming()), &record(value)) else {
            panic!("a document")
        };
        assert_eq!((&document["seen"], &document["about"], &document["tags"]), (&seen, &about, &tags));
        assert_eq!((document.get("message"), document.get("message_base64")), (None, None));
    }
}

#[test]
fn a_transform_drops_fails_or_gives_another_payload() {
    let made_of = |what: &str, on_error| {
        let rules = TopicRules { on_error, remove: paths(&["gone"]), ..transforming() };
        made(&settings(rules), &record(Some(format!(r#"{{"do":"{what}","gone":1}}"#).as_bytes())))
    };
    assert_eq!(made_of("drop", OnError::DeadLetter), Made::Dropped);
    for (what, reason) in [("fail", "it was to fail"), ("list", "the transform's payload is no JSON object")]
    {
        assert_eq!(made_of(what, OnError::DeadLetter), Made::Failed(reason.into()));
        let Made::Document(_, document) = made_of(what, OnError::Index) else { panic!("a document") };
        assert_eq!(
            (&document["do"], &document["gone"]),
            (&json!(what), &Value::Null),
            "the other steps hold"
        );
        assert_eq!(document["tags"], json!(["_transformfailure"]));
    }
    let Made::Document(_, document) = made_of("twice", OnError::DeadLetter) else { panic!("a document") };
    assert_eq!((&document["a"], &document["tags"]), (&Value::Null, &json!(["_duplicatekey", "_nonfinite"])));
    let Made::Document(index, document) = made_of("time", OnError::DeadLetter) else { panic!("a document") };
    assert_eq!(
        (index.as_str(), &document["@timestamp"]),
        ("microservices-2026.02.28", &json!("2026-02-28T00:00:00.000Z"))
    );
}

#[test]
fn records_are_dropped_before_they_are_read() {
    let unreadable =
        json!({"topic": "order.events", "partition": 2, "offset": 42, "timestamp": K, "value": "no base64!"});
    assert_eq!(made(&settings(rules(|rules| rules.keep = Keep::None)), &unreadable), Made::Dropped);
    for rate in [0.0, 1.0] {
        let sampled = rules(|rules| rules.keep = Keep::Sample(SampleRate::new(rate).unwrap()));
        assert_eq!(made(&settings(sampled), &record(Some(b"{}"))) == Made::Dropped, rate == 0.0);
    }
}

#[test]
fn the_index_is_made_of_the_shaped_payload_the_headers_and_the_topic() {
    let index = |route: &str, value: &str| {
        let rules = rules(|rules| {
            rules.index = Some(IndexRoute::parse(route).unwrap());
            rules.parse_json = paths(&["context"]);
            rules.remove = paths(&["secret"]);
        });
        match made(&settings(rules), &record(Some(value.as_bytes()))) {
            Made::Document(index, _) => index.strip_suffix("-2026.03.01").unwrap().to_owned(),
            other => panic!("{other:?}"),
        }
    };
    for (route, value, expected) in [
        ("orders", "{}", "orders"),
        ("p-{service}-{header.tenant|x}", "{}", "p-order-acme"),
        ("p-{header.none|x}", "{}", "p-x"),
        ("p-{header.none}", "{}", "microservices"),
        ("p-{payload.a.b|x}", r#"{"a":[{"b":"T 1"}]}"#, "p-t-1"),
        ("p-{payload.a|x}", r#"{"a":-1.50}"#, "p--1.50"),
        ("p-{payload.a|x}", r#"{"a":null}"#, "p-x"),
        ("p-{payload.a|x}", r#"{"a":["b"]}"#, "p-x"),
        ("p-{payload.a|x}", r#"{"a":""}"#, "p-x"),
        ("p-{payload.secret|x}", r#"{"secret":"s"}"#, "p-x"),
        ("p-{payload.context.t|x}", r#"{"context":"{\"t\":\"s\"}"}"#, "p-s"),
        ("p-{payload.a|x}", r#"[{"a":1}]"#, "p-x"),
        ("dead-{payload.a|x}", r#"{"a":"letters-microservices"}"#, "dead-x"),
    ] {
        assert_eq!(index(route, value), expected, "{route} {value}");
    }
}

#[test]
fn a_record_that_is_one_too_many_goes_to_the_fallback_with_a_tag() {
    let settings = settings(rules(|rules| rules.index = Some(IndexRoute::parse("p-{payload.a|x}").unwrap())));
    let event = event(&record(Some(br#"{"a":"b"}"#)));
    let batch = read_batch(&event).unwrap();
    let record = batch[0].record.as_ref().unwrap();
    let (mut encoder, mut body) = (Encoder::new(settings), Vec::new());
    let _ = encoder.append(record, &mut body).unwrap();
    assert_eq!(encoder.routed().map(|(rule, prefix)| (rule, prefix.as_str())), Some((0, "p-b")));
    body.clear();
    let _ = encoder.append_routed(record, Routing::Fallback, &mut body).unwrap();
    assert_eq!(encoder.routed(), None);
    let text = String::from_utf8(body.clone()).unwrap();
    assert!(
        text.starts_with(r#"{"create":{"_index":"p-x-2026.03.01","_id":"order.events-2-42-1772360430123"}}"#),
        "{text}"
    );
    assert!(text.contains(r#""tags":["_indexoverflow"]"#), "{text}");
    body.clear();
    let rescue = Rescue { form: RescueForm::Payload, reason: "r".into() };
    let _ = encoder.append_rescued(record, &rescue, Routing::Fallback, &mut body).unwrap();
    let text = String::from_utf8(body).unwrap();
    assert!(
        text.starts_with(r#"{"create":{"_index":"p-x-2026.03.01""#)
            && text.contains(r#"["_indexoverflow","_mappingconflict"]"#),
        "{text}"
    );
}

#[test]
fn settings_of_a_topic_are_its_own() {
    let rules = rules(|rules| {
        rules.overrides = Overrides {
            timestamp_fields: Some(vec!["at".into()]),
            timestamp_zone: Some("Europe/Paris".parse().unwrap()),
            header_fields: Some(vec!["x".into()]),
            format: Some(ValueFormat::Text),
            ..Overrides::default()
        };
    });
    let Made::Document(_, document) = made(&settings(rules.clone()), &record(Some(b"{}"))) else {
        panic!("a document")
    };
    assert_eq!(
        (&document["message"], &document["kafka_headers"]),
        (&json!("{}"), &json!({"x_base64": "/w=="}))
    );
    let timed = TopicRules { overrides: Overrides { format: None, ..rules.overrides }, ..rules };
    let value = br#"{"at":"2026-03-01T00:30:00","timestamp":"2026-03-01T05:00:00Z"}"#;
    let Made::Document(index, document) = made(&settings(timed), &record(Some(value))) else {
        panic!("a document")
    };
    assert_eq!(
        (index.as_str(), &document["@timestamp"]),
        ("microservices-2026.02.28", &json!("2026-02-28T23:30:00.000Z"))
    );
    let mut other = record(Some(b"{}"));
    other["topic"] = json!("payment.events");
    let event = event(&other);
    let batch = read_batch(&event).unwrap();
    let with = |settings: Settings| {
        let mut body = Vec::new();
        let _ = Encoder::new(settings).append(batch[0].record.as_ref().unwrap(), &mut body).unwrap();
        body
    };
    let plain = Settings { header_fields: vec!["tenant".into()], ..Settings::default() };
    assert_eq!(with(settings(transforming())), with(plain), "a topic that no rule matches has none");
}

#[test]
fn a_dead_letter_has_the_record_as_it_came_and_the_index_of_its_document() {
    let rules = rules(|rules| {
        rules.remove = paths(&["a"]);
        rules.index = Some(IndexRoute::parse("p-{payload.b|x}").unwrap());
    });
    let settings = settings(rules);
    let fault = WriteError { kind: ErrorKind::TransformFailure, status: None, reason: "r".into() };
    for (value, target) in [(r#"{"a":1,"b":"c"}"#, "p-c-2026.03.01"), ("text", "p-x-2026.03.01")] {
        let event = event(&record(Some(value.as_bytes())));
        let batch = read_batch(&event).unwrap();
        let mut body = Vec::new();
        Encoder::new(settings.clone()).append_dead_letter(&batch[0], &fault, &mut body);
        let lines: Vec<Value> = body
            .split(|byte| *byte == b'\n')
            .take(2)
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        assert_eq!(lines[0]["create"]["_index"], "dead-letters-microservices-2026.03.01");
        let letter = &lines[1];
        assert_eq!((&letter["payload"], &letter["target_index"]), (&json!(value), &json!(target)));
        assert_eq!(letter["error"]["type"], "transform_failure");
    }
}

#[test]
fn a_rescued_document_has_the_shaped_payload_and_is_not_shaped_again() {
    let settings = settings(rules(|rules| {
        rules.hash = hash("id");
        rules.transform = Some(SharedTransform::new(ByMember));
        rules.index = Some(IndexRoute::parse("p-{payload.seen.tenant|x}").unwrap());
    }));
    let event = event(&record(Some(br#"{"id":17,"tenant":"T"}"#)));
    let batch = read_batch(&event).unwrap();
    let record = batch[0].record.as_ref().unwrap();
    let mut encoder = Encoder::new(settings.clone());
    let lines = |body: &[u8]| body.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let mut body = Vec::new();
    let _ = encoder.append(record, &mut body).unwrap();
    let usual = lines(&body);
    let payload: Value = serde_json::from_slice(&encoder.object_payload(record).unwrap()).unwrap();
    assert_eq!(payload["seen"], json!({"id": HASH_OF_17, "tenant": "T"}));
    for form in [RescueForm::Members(vec!["seen".into()]), RescueForm::Payload, RescueForm::Text] {
        let rescue = Rescue { form, reason: "failed to parse field [seen]".into() };
        let mut body = Vec::new();
        let _ = encoder.append_rescued(record, &rescue, Routing::Own, &mut body).unwrap();
        let rescued = lines(&body);
        assert_eq!(rescued[0], usual[0], "another form has the same address");
        let restored = restore(&settings, "order.events-2-42-1772360430123", &rescued[1]).unwrap();
        let value = |line: &[u8]| {
            let mut value: Value = serde_json::from_slice(line).unwrap();
            value.as_object_mut().unwrap().retain(|name, _| name != "kafka_headers");
            value
        };
        assert_eq!(value(&restored), value(&usual[1]));
    }
}
