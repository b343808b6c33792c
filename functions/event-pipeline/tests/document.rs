//! The document contract: the whole action line and document of a record.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test or benchmark fails by panicking")]

use base64_simd::STANDARD;
use event_pipeline::encoder::Encoder;
use event_pipeline::encoding::Routing;
use event_pipeline::event::{RecordError, read_batch};
use event_pipeline::rescue::{Rescue, RescueForm};
use event_pipeline::settings::{DocumentId, Settings};
use event_pipeline::write_error::{ErrorKind, WriteError};
use serde_json::{Value, json};

/// 2026-03-01T10:20:30.123Z
const K: i64 = 1_772_360_430_123;

struct Case {
    record: Value,
    settings: Settings,
}

fn value(bytes: impl AsRef<[u8]>) -> Case {
    let record = json!({"topic": "order.events", "partition": 2, "offset": 42, "timestamp": K,
        "timestampType": "CREATE_TIME", "value": STANDARD.encode_to_string(bytes.as_ref())});
    Case { record, settings: Settings::default() }
}

impl Case {
    fn with(mut self, name: &str, value: Value) -> Self {
        self.record[name] = value;
        self
    }

    fn keep_headers(mut self, names: &[&str]) -> Self {
        self.settings.header_fields = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    fn payload(&self) -> Vec<u8> {
        serde_json::to_vec(&json!({"eventSource": "aws:kafka", "records": {"order.events-2": [self.record]}}))
            .unwrap()
    }

    fn text(&self) -> String {
        let payload = self.payload();
        let batch = read_batch(&payload).unwrap();
        let mut body = Vec::new();
        Encoder::new(self.settings.clone())
            .append(batch[0].record.as_ref().unwrap(), &mut body)
            .unwrap()
            .document()
            .unwrap();
        String::from_utf8(body).unwrap()
    }

    fn document(&self) -> Value {
        let text = self.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "one action line and one document line: {text}");
        serde_json::from_str(lines[1]).unwrap()
    }

    fn dead_letter(&self) -> String {
        let payload = self.payload();
        let batch = read_batch(&payload).unwrap();
        let mut body = Vec::new();
        let fault = WriteError {
            kind: ErrorKind::cluster("mapper_parsing_exception"),
            status: Some(400),
            reason: "field [a] \"x\"".into(),
        };
        Encoder::new(self.settings.clone()).append_dead_letter(&batch[0], &fault, &mut body);
        String::from_utf8(body).unwrap()
    }
}

fn headers(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(name, text)| json!({*name: text.as_bytes()})).collect()
}

#[test]
fn our_fields_follow_those_of_the_payload() {
    let case =
        value(r#"{"eventType":"OrderCreated", "total": 1.10,"timestamp":"2026-03-01T12:20:29+02:00"}"#)
            .with("key", json!(STANDARD.encode_to_string("o-1")));
    let expected = [
        r#"{"create":{"_index":"microservices-2026.03.01","_id":"order.events-2-42-1772360430123"}}"#,
        "\n",
        r#"{"eventType":"OrderCreated", "total": 1.10,"timestamp":"2026-03-01T12:20:29+02:00","#,
        r#""@timestamp":"2026-03-01T10:20:29.000Z","service":"order.events","service_name":"order","#,
        r#""environment":"kubernetes","platform":"demo-micro","kafka_topic":"order.events","kafka_partition":2,"#,
        r#""kafka_offset":42,"kafka_timestamp":1772360430123,"kafka_key":"o-1"}"#,
        "\n",
    ];
    assert_eq!(case.text(), expected.concat());
}

#[test]
fn the_index_is_that_of_the_events_own_utc_day() {
    let case = value(r#"{"eventTime":"2026-02-28T23:30:00-03:00"}"#);
    assert!(case.text().starts_with(r#"{"create":{"_index":"microservices-2026.03.01""#));
    let case = value(r#"{"eventTime":"2026-03-01T01:00:00+02:00"}"#);
    assert!(case.text().starts_with(r#"{"create":{"_index":"microservices-2026.02.28""#));
}

#[test]
fn the_first_timestamp_field_that_parses_counts() {
    let case = value(r#"{"time":5,"occurredAt":"2026-03-01T09:00:00Z","timestamp":"soon","createdAt":1}"#);
    assert_eq!(case.document()["@timestamp"], "2026-03-01T09:00:00.000Z");
}

#[test]
fn an_event_without_a_time_gets_that_of_its_record() {
    for payload in [r#"{"a":1}"#, r#"{"timestamp":"never"}"#, r#"{"nested":{"timestamp":0}}"#] {
        assert_eq!(value(payload).document()["@timestamp"], "2026-03-01T10:20:30.123Z", "{payload}");
    }
}

#[test]
fn a_far_off_time_is_tagged_and_not_used() {
    let day_ms = 24 * 60 * 60 * 1000;
    for (time, tagged) in
        [(K - 30 * day_ms, false), (K - 30 * day_ms - 1, true), (K + day_ms, false), (K + day_ms + 1, true)]
    {
        let document = value(format!(r#"{{"timestamp":{time}}}"#)).document();
        assert_eq!(document.get("tags"), tagged.then(|| json!(["_timestampoutofrange"])).as_ref(), "{time}");
        assert_eq!(document["@timestamp"] == "2026-03-01T10:20:30.123Z", tagged, "{time}");
        assert_eq!(document["timestamp"], time, "the payload's own field stays");
    }
}

#[test]
fn a_document_without_any_time_is_tagged() {
    let case = value(r#"{"a":1}"#).with("timestamp", json!(-1));
    let text = case.text();
    assert!(text.contains(r#""_index":"microservices-1970.01.01","_id":"order.events-2-42--1""#), "{text}");
    let document = case.document();
    assert_eq!(document["tags"], json!(["_timestampmissing"]));
    assert_eq!(document.get("kafka_timestamp"), None);
    let own = value(r#"{"timestamp":"2026-03-01T09:00:00Z"}"#).with("timestamp", json!(-1)).document();
    assert_eq!((&own["@timestamp"], own.get("tags")), (&json!("2026-03-01T09:00:00.000Z"), None));
}

#[test]
fn clashing_members_go_to_original() {
    let document = value(
        r#"{ "service" : {"a":1} ,"x":1, "@timestamp":"2026-03-01T09:00:00Z","original":2,"kafka_offset":null }"#,
    )
    .document();
    assert_eq!(
        document["original"],
        json!({"service": {"a": 1}, "@timestamp": "2026-03-01T09:00:00Z", "original": 2, "kafka_offset": null})
    );
    assert_eq!((&document["service"], &document["x"]), (&json!("order.events"), &json!(1)));
    assert_eq!(document["@timestamp"], "2026-03-01T09:00:00.000Z");
    assert_eq!(document["kafka_offset"], 42);
}

#[test]
fn a_payload_of_nothing_but_clashes_leaves_a_valid_document() {
    for payload in [r#"{"service":1}"#, r#"{ "service":1 , "platform":2 }"#, "{}", " { } "] {
        assert_eq!(value(payload).document()["service"], "order.events", "{payload}");
    }
}

#[test]
fn an_escaped_key_clashes_like_a_plain_one() {
    let document = value(r#"{"\u0073ervice":1}"#).document();
    assert_eq!(document["original"], json!({"service": 1}));
}

#[test]
fn line_ends_between_tokens_become_spaces() {
    let document = value("\r\n{\n \"a\": [1,\n2],\r\n \"service\": {\n}\n}\n").document();
    assert_eq!((&document["a"], &document["original"]), (&json!([1, 2]), &json!({"service": {}})));
}

#[test]
fn a_payload_that_is_not_a_json_object_is_kept_whole_in_message() {
    for payload in
        ["", "plain text", "[1,2]", "17", "\"a\"", "null", r#"{"a":1"#, "{}{}", "NaN", "\u{feff}[]"]
    {
        let document = value(payload).document();
        assert_eq!(document["message"], payload);
        assert_eq!(document["tags"], json!(["_jsonparsefailure"]), "{payload}");
        assert_eq!(document["service_name"], "order");
    }
}

#[test]
fn what_is_nearly_json_keeps_its_fields_and_says_what_was_changed() {
    for (payload, fields, tags) in [
        ("\u{feff}{\"a\":1}", json!({"a": 1}), Value::Null),
        (r#"{"a":1,"a":2}"#, json!({"a": 2}), json!(["_duplicatekey"])),
        (
            r#"{"a":NaN,"b":{"c":1,"c":-Infinity}}"#,
            json!({"a": null, "b": {"c": null}}),
            json!(["_duplicatekey", "_nonfinite"]),
        ),
        (r#"{"tags":["x"],"a":NaN}"#, json!({"a": null}), json!(["x", "_nonfinite"])),
    ] {
        let document = value(payload).document();
        for (name, expected) in fields.as_object().unwrap() {
            assert_eq!(&document[name], expected, "{payload}");
        }
        assert_eq!(document["tags"], tags, "{payload}");
    }
}

#[test]
fn names_that_the_engines_keep_to_themselves_go_to_original() {
    let document =
        value(r#"{"_id":"a","_source":{"e":1},"_doc_count":7,"_links":1,"conflict":2}"#).document();
    assert_eq!(
        document["original"],
        json!({"_id": "a", "_source": {"e": 1}, "_doc_count": 7, "conflict": 2})
    );
    assert_eq!((&document["_links"], document.get("_id")), (&json!(1), None));
}

#[test]
fn an_object_deeper_than_any_cluster_reads_is_kept_as_text() {
    let payload =
        format!("{{\"a\":{}1{},\"timestamp\":\"2026-02-28T23:00:00Z\"}}", "[".repeat(1200), "]".repeat(1200));
    let case = value(&payload);
    let document = case.document();
    assert!(case.text().contains("-2026.02.28"), "its time counts");
    assert_eq!(document["message"], payload);
    assert_eq!(document["tags"], json!(["_mappingconflict"]));
    assert_eq!(document["conflict_reason"], "the payload is nested deeper than 250 levels");
}

#[test]
fn a_rejected_document_is_written_again_under_its_own_address() {
    let case = value(r#"{"a":{"b":1}, "service":"x","timestamp":"2026-02-28T23:00:00Z","c":2}"#);
    let payload = case.payload();
    let batch = read_batch(&payload).unwrap();
    let record = batch[0].record.as_ref().unwrap();
    let mut encoder = Encoder::new(Settings::default());
    let mut written = |form| {
        let mut body = Vec::new();
        let rescue = Rescue { form, reason: "failed to parse field [a]".into() };
        encoder.append_rescued(record, &rescue, Routing::Own, &mut body).unwrap().document().unwrap();
        let text = String::from_utf8(body).unwrap();
        let (action, document) = text.trim_end().split_once('\n').unwrap();
        assert_eq!(action, case.text().lines().next().unwrap(), "the address stays");
        let document: Value = serde_json::from_str(document).unwrap();
        assert_eq!(document["tags"], json!(["_mappingconflict"]));
        assert_eq!(document["conflict_reason"], "failed to parse field [a]");
        assert_eq!((&document["service"], &document["kafka_offset"]), (&json!("order.events"), &json!(42)));
        document
    };

    let document = written(RescueForm::Members(vec!["a".into()]));
    assert_eq!(document["conflict"], json!({"a": {"b": 1}}));
    assert_eq!(document["conflict_text"], r#"{"a":{"b":1}}"#);
    assert_eq!(
        (&document["c"], &document["original"], document.get("a")),
        (&json!(2), &json!({"service": "x"}), None)
    );
    assert_eq!(document["conflict_field"], json!(["a"]));

    let document = written(RescueForm::Members(vec!["service".into(), "c".into()]));
    assert_eq!(document["conflict"], json!({"c": 2, "service": "x"}), "it does not go to `original` too");
    assert_eq!((document.get("original"), &document["a"]), (None, &json!({"b": 1})));

    let document = written(RescueForm::Payload);
    assert_eq!(
        document["conflict"],
        json!({"a": {"b": 1}, "service": "x", "timestamp": "2026-02-28T23:00:00Z", "c": 2})
    );
    assert_eq!((document.get("a"), &document["conflict_field"]), (None, &json!(["*"])));

    let document = written(RescueForm::Text);
    assert_eq!(
        document["message"],
        r#"{"a":{"b":1}, "service":"x","timestamp":"2026-02-28T23:00:00Z","c":2}"#
    );
    assert_eq!((document.get("a"), document.get("conflict")), (None, None));
}

#[test]
fn bytes_that_are_not_utf8_are_kept_as_base64() {
    let document = value([0xff, 0xfe, b'{']).document();
    assert_eq!(document["message_base64"], "//57");
    assert_eq!((document.get("message"), &document["tags"]), (None, &json!(["_jsonparsefailure"])));
}

#[test]
fn a_tombstone_is_a_document_without_a_payload() {
    let document = value("").with("value", Value::Null).with("key", json!("by0x")).document();
    let expected = json!({"@timestamp": "2026-03-01T10:20:30.123Z", "service": "order.events",
        "service_name": "order", "environment": "kubernetes", "platform": "demo-micro",
        "kafka_topic": "order.events", "kafka_partition": 2, "kafka_offset": 42, "kafka_timestamp": K,
        "kafka_key": "o-1", "tags": ["_tombstone"]});
    assert_eq!(document, expected);
}

#[test]
fn a_key_that_is_not_utf8_is_kept_as_base64() {
    let document = value("{}").with("key", json!("//4=")).document();
    assert_eq!((&document["kafka_key_base64"], document.get("kafka_key")), (&json!("//4="), None));
}

#[test]
fn tags_of_the_payload_stay_before_ours() {
    for (tags, expected) in [
        (r#"["a" , "b"]"#, json!(["a", "b", "_timestampoutofrange"])),
        ("[]", json!(["_timestampoutofrange"])),
        (r#""a""#, json!(["a", "_timestampoutofrange"])),
        ("7", json!(["_timestampoutofrange"])),
    ] {
        let document = value(format!(r#"{{"time":1,"tags":{tags}}}"#)).document();
        assert_eq!(document["tags"], expected);
        assert_eq!(document.get("original").is_some(), tags == "7", "{tags}");
    }
    assert_eq!(value(r#"{"tags":{"a":1}}"#).document()["tags"], json!({"a": 1}));
}

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn trace_and_correlation_come_from_headers_first() {
    let document = value(r#"{"trace":{"id":"mine"},"correlation_id":"mine","traceId":"t","span":"s"}"#)
        .with("headers", headers(&[("traceparent", TRACEPARENT), ("X-Correlation-ID", "c-1")]))
        .document();
    assert_eq!(document["trace"], json!({"id": "4bf92f3577b34da6a3ce929d0e0e4736"}));
    assert_eq!(document["span"], json!({"id": "00f067aa0ba902b7"}));
    assert_eq!((&document["correlation_id"], &document["traceId"]), (&json!("c-1"), &json!("t")));
    assert_eq!(document["original"], json!({"trace": {"id": "mine"}, "correlation_id": "mine", "span": "s"}));
}

#[test]
fn trace_and_correlation_come_from_the_payload_otherwise() {
    let document = value(r#"{"traceId":"t-1","span_id":"s-1","correlationId":"c-1"}"#).document();
    assert_eq!(
        (&document["trace"], &document["span"], &document["correlation_id"]),
        (&json!({"id": "t-1"}), &json!({"id": "s-1"}), &json!("c-1"))
    );
    let document = value(format!(r#"{{"traceparent":"{TRACEPARENT}","correlation_id":7}}"#)).document();
    assert_eq!(document["trace"]["id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(document["correlation_id"], 7);
    let document = value(r#"{"trace":{"id":"own"},"trace_id":"other"}"#).document();
    assert_eq!((&document["trace"], document.get("original")), (&json!({"id": "own"}), None));
}

#[test]
fn configured_headers_are_kept() {
    let record_headers = json!([{"tenant": [97, 34]}, {"other": [98]}, {"blob": [-1]}]);
    let document =
        value("{}").with("headers", record_headers).keep_headers(&["tenant", "blob", "absent"]).document();
    assert_eq!(document["kafka_headers"], json!({"tenant": "a\"", "blob_base64": "/w=="}));
}

#[test]
fn the_cluster_can_generate_the_ids() {
    let mut case = value("{}");
    case.settings.document_id = DocumentId::Auto;
    assert!(
        case.text().starts_with("{\"create\":{\"_index\":\"microservices-2026.03.01\"}}\n{\"@timestamp\"")
    );
}

#[test]
fn a_dead_letter_has_the_error_the_payload_and_the_origin_under_the_same_id() {
    let case = value(r#"{"total":"x","time":"2026-02-28T10:00:00Z"}"#)
        .with("key", json!("by0x"))
        .with("headers", headers(&[("h", "v")]));
    let expected = [
        r#"{"create":{"_index":"dead-letters-microservices-2026.02.28","_id":"order.events-2-42-1772360430123"}}"#,
        "\n",
        r#"{"@timestamp":"2026-02-28T10:00:00.000Z","error":{"type":"mapper_parsing_exception","#,
        r#""reason":"field [a] \"x\"","status":400},"target_index":"microservices-2026.02.28","#,
        r#""service":"order.events","service_name":"order","environment":"kubernetes","platform":"demo-micro","#,
        r#""kafka_topic":"order.events","kafka_partition":2,"kafka_offset":42,"kafka_timestamp":1772360430123,"#,
        r#""kafka_key":"o-1","kafka_headers_raw":[{"h":[118]}],"#,
        r#""payload":"{\"total\":\"x\",\"time\":\"2026-02-28T10:00:00Z\"}"}"#,
        "\n",
    ];
    assert_eq!(case.dead_letter(), expected.concat());
}

#[test]
fn a_dead_letter_keeps_bytes_that_are_not_text() {
    let text = value([0xff]).dead_letter();
    assert!(text.ends_with("\"payload_base64\":\"/w==\"}\n"), "{text}");
}

#[test]
fn a_record_with_headers_that_are_not_json_is_a_dead_letter_with_their_text() {
    for headers in ["[{\"a\":[1 2]}]", "[1,{\"a\":01}]", "[{]", "[{\"traceparent\":[48]},]"] {
        let payload =
            format!(r#"{{"records":{{"t-0":[{{"offset":1,"value":"e30=","headers":{headers}}}]}}}}"#);
        let batch = read_batch(payload.as_bytes()).unwrap();
        let (mut encoder, mut body) = (Encoder::new(Settings::default()), Vec::new());
        let refused = encoder.append(batch[0].record.as_ref().unwrap(), &mut body);
        assert_eq!((refused, body.as_slice()), (Err(RecordError::Headers), &b""[..]), "{headers}");
        assert_eq!(encoder.document_address(&batch[0]), Err(RecordError::Headers), "{headers}");
        let error = WriteError {
            kind: ErrorKind::UnreadableRecord,
            status: None,
            reason: RecordError::Headers.to_string(),
        };
        encoder.append_dead_letter(&batch[0], &error, &mut body);
        let dead_letter: Value =
            serde_json::from_slice(body.split(|byte| *byte == b'\n').nth(1).unwrap()).unwrap();
        assert_eq!(dead_letter["kafka_headers_raw"], json!(headers));
        assert_eq!(dead_letter["payload"], json!("{}"));
    }
}

#[test]
fn headers_that_the_cluster_would_refuse_are_kept_as_text_in_a_dead_letter() {
    let payload = br#"{"records":{"t-0":[{"offset":1,"value":"e30=","headers":[{"a":[1],"a":[2]}]}]}}"#;
    let batch = read_batch(payload).unwrap();
    let mut body = Vec::new();
    let fault = WriteError { kind: ErrorKind::cluster("k"), status: Some(400), reason: "r".into() };
    Encoder::new(Settings::default()).append_dead_letter(&batch[0], &fault, &mut body);
    let text = String::from_utf8(body).unwrap();
    assert!(text.contains(r#""kafka_headers_raw":"[{\"a\":[1],\"a\":[2]}]""#), "{text}");
}

#[test]
fn a_key_that_is_not_base64_is_kept_as_it_is() {
    let document = value("{}").with("key", json!("no base64!")).document();
    assert_eq!(document["kafka_key"], "no base64!");
}

#[test]
fn an_unreadable_record_has_a_dead_letter_too() {
    let text = value("").with("value", json!({"a": 1})).dead_letter();
    let document: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    assert!(text.contains(r#""_id":"order.events-2-unreadable-"#), "{text}");
    assert_eq!((&document["kafka_offset"], &document["kafka_topic"]), (&json!(42), &json!("order.events")));
    assert!(document["payload"].as_str().unwrap().contains(r#""value":{"a":1}"#));
}
