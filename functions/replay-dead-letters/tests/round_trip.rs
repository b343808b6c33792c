//! The record that is made from a dead letter gives the same document, id and index as the original, and the same dead
//! letter if it is refused again. Holds for every record of `tests/fixtures/parity`, and for odd ones.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use base64_simd::STANDARD;
use event_pipeline::encoder::Encoder;
use event_pipeline::event::{BatchItem, read_batch};
use event_pipeline::settings::Settings;
use event_pipeline::write_error::{ErrorKind, WriteError};
use replay_dead_letters::dead_letter::{DeadLetter, event_of};
use serde_json::{Value, json};

fn settings() -> Settings {
    Settings { header_fields: vec!["tenant".into(), "signature".into()], ..Settings::default() }
}

/// The bulk lines of the record's document; `None` where the record gives no document.
fn document(item: &BatchItem<'_>) -> Option<String> {
    let mut body = Vec::new();
    Encoder::new(settings()).append(item.record.as_ref().ok()?, &mut body).ok()?.document()?;
    Some(String::from_utf8(body).unwrap())
}

fn dead_letter(item: &BatchItem<'_>) -> String {
    let error = match (&item.record, document(item)) {
        (Err(error), _) => {
            WriteError { kind: ErrorKind::UnreadableRecord, status: None, reason: error.to_string() }
        }
        (Ok(_), None) => {
            WriteError { kind: ErrorKind::UnreadableRecord, status: None, reason: "not base64".into() }
        }
        (Ok(_), Some(_)) => WriteError {
            kind: ErrorKind::cluster("mapper_parsing_exception"),
            status: Some(400),
            reason: "x".into(),
        },
    };
    let mut body = Vec::new();
    Encoder::new(settings()).append_dead_letter(item, &error, &mut body);
    String::from_utf8(body).unwrap()
}

/// Makes the record again and compares both documents and both dead letters, byte by byte.
fn assert_round_trip(payload: &[u8], what: &str) {
    let batch = read_batch(payload).unwrap();
    let [item] = batch.as_slice() else { panic!("{what}: one record") };
    let dead_letter_lines = dead_letter(item);
    let [action, source] = dead_letter_lines.lines().collect::<Vec<_>>().try_into().unwrap();
    let action: Value = serde_json::from_str(action).unwrap();
    let id = action.pointer("/create/_id").and_then(Value::as_str).unwrap();
    let record = DeadLetter::parse(source)
        .unwrap()
        .record(id)
        .unwrap_or_else(|error| panic!("{what}: {error}\n{source}"));
    let again = event_of([&record]);
    let batch_again = read_batch(again.as_bytes()).unwrap();
    let [item_again] = batch_again.as_slice() else { panic!("{what}: one record again") };
    assert_eq!(document(item_again), document(item), "{what}\n{source}\n{again}");
    assert_eq!(dead_letter(item_again), dead_letter_lines, "{what}\n{again}");
}

/// A text or null member, or its `_base64` twin, as base64.
fn base64(of: &Value, name: &str) -> Value {
    match of.get(format!("{name}_base64")) {
        Some(base64) => base64.clone(),
        None => of
            .get(name)
            .and_then(Value::as_str)
            .map_or(Value::Null, |text| STANDARD.encode_to_string(text).into()),
    }
}

fn header(of: &Value) -> Value {
    let bytes = STANDARD.decode_to_vec(base64(of, "value").as_str().unwrap()).unwrap();
    json!({of.get("name").unwrap().as_str().unwrap(): bytes})
}

#[test]
fn every_parity_fixture_is_made_again_unchanged() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/parity");
    let mut n_fixtures = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let fixture: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let record = fixture.get("record").unwrap();
        let member = |name: &str| record.get(name).unwrap_or(&Value::Null);
        let headers: Vec<_> = member("headers").as_array().into_iter().flatten().map(header).collect();
        let partition_key = format!("{}-{}", member("topic").as_str().unwrap(), member("partition"));
        let payload = json!({"eventSource": "SelfManagedKafka", "records": {partition_key: [{
            "topic": member("topic"), "partition": member("partition"), "offset": member("offset"),
            "timestamp": member("timestamp"), "timestampType": "CREATE_TIME",
            "key": base64(record, "key"), "value": base64(record, "value"), "headers": headers,
        }]}});
        assert_round_trip(payload.to_string().as_bytes(), &path.display().to_string());
        n_fixtures += 1;
    }
    assert!(n_fixtures > 50, "the fixtures are there");
}

#[test]
fn odd_records_are_made_again_unchanged() {
    for record in [
        // Timestamps that are missing or not valid.
        r#"{"topic":"a.events","partition":0,"offset":1,"timestamp":-1,"value":"e30="}"#,
        r#"{"topic":"a.events","partition":0,"offset":1,"value":"e30="}"#,
        r#"{"topic":"a.events","partition":0,"offset":1,"timestamp":9223372036854775807,"value":"e30="}"#,
        r#"{"topic":"a.events","partition":0,"offset":1,"timestamp":-62135596800001,"value":"e30="}"#,
        // Keys and values: not base64, not UTF-8, with escapes, none.
        r#"{"topic":"a.events","partition":0,"offset":1,"timestamp":5,"key":"not base64","value":"e30="}"#,
        r#"{"topic":"a.events","partition":0,"offset":1,"timestamp":5,"key":"\/\/8=","value":"\/\/8="}"#,
        r#"{"topic":"a.events","partition":0,"offset":1,"timestamp":5,"key":"","value":"not base64"}"#,
        r#"{"topic":"a.events","partition":0,"offset":1,"timestamp":5,"value":"{\"a\":1}"}"#,
        r#"{"topic":"a.events","partition":0,"offset":1,"timestamp":5,"key":null,"value":null}"#,
        r#"{"topic":"a.events","partition":0,"offset":1,"timestamp":5,"value":"AAECCg0=","headers":[]}"#,
        // Headers: signed bytes, odd kinds, not JSON at all.
        r#"{"topic":"a.events","partition":0,"offset":1,"timestamp":5,"value":"e30=","headers":[{"tenant":[-61,-87]},{"signature":[255,0]}]}"#,
        "{\"topic\":\"a.events\",\"partition\":0,\"offset\":1,\"timestamp\":5,\"value\":\"e30=\",\"headers\":[\n{\"tenant\" : [97]},\r\n5, null, {\"tenant\":null}, {\"signature\":[300]}]}",
        r#"{"topic":"a.events","partition":0,"offset":1,"timestamp":5,"value":"e30=","headers":[{"tenant":[97]},,]}"#,
        r#"{"topic":"a.events","partition":0,"offset":1,"timestamp":5,"value":"e30=","headers":[{"tenant":[97],"tenant":[98]}]}"#,
        // A topic that looks like the id of a dead letter.
        r#"{"topic":"a-unreadable","partition":12,"offset":1,"timestamp":1234567890123456,"value":"e30="}"#,
        // Text that can't be read as a record.
        r#"{"value":"e30="}"#,
        r#"{"offset":7,"value":{"not":"base64"}}"#,
        r#"{"topic":"a.events","partition":0,"offset":-7,"value":[1]}"#,
        r#"17"#,
        "[\n1,\n2]",
        r#""}]}}""#,
        "null",
    ] {
        for partition_key in ["a.events-0", "with-many-dashes-3", "nowhere", ""] {
            assert_round_trip(
                format!(r#"{{"records":{{"{partition_key}":[{record}]}}}}"#).as_bytes(),
                record,
            );
        }
    }
}

#[test]
fn a_record_that_the_mapping_named_the_schema_of_is_made_again_unchanged() {
    for value in ["eyJhIjoxfQ==", "AAAAAAUC/w=="] {
        let record = json!({"topic": "a", "partition": 0, "offset": 5, "timestamp": 1_795_825_805_123_i64, "key": "aw==",
            "value": value, "keySchemaMetadata": {"dataFormat": "JSON", "schemaId": 17},
            "valueSchemaMetadata": {"schemaId": "8a7f0211-2233-4455-6677-8899aabbccdd", "dataFormat": "AVRO"}});
        assert_round_trip(json!({"records": {"a-0": [record]}}).to_string().as_bytes(), value);
    }
}

#[test]
fn several_records_keep_their_order() {
    let source = |offset: i64| {
        json!({"kafka_topic": "a", "kafka_partition": offset % 2, "kafka_offset": offset, "payload": "{}"})
            .to_string()
    };
    let sources: Vec<String> = (0..5).map(source).collect();
    let records: Vec<_> =
        sources.iter().map(|text| DeadLetter::parse(text).unwrap().record("any").unwrap()).collect();
    let event = event_of(&records);
    let batch = read_batch(event.as_bytes()).unwrap();
    let offsets: Vec<_> = batch.iter().map(|item| item.record.as_ref().unwrap().offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4]);
}

#[test]
fn a_document_that_is_not_a_dead_letter_is_refused_with_the_reason() {
    let refused = |text: &str, id: &str| match DeadLetter::parse(text) {
        Ok(dead_letter) => dead_letter.record(id).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    assert!(refused(r#"{"payload":"{}"}"#, "x").contains("kafka_topic"));
    assert!(refused(r#"{"kafka_offset":"x"}"#, "x").contains("form of a dead letter"));
    assert!(
        refused(r#"{"error":{"type":"unreadable_record"}}"#, "t-0-unreadable-0123456789abcdef")
            .contains("payload")
    );
    // Text that would break out of its record is never sent on.
    let breaks_out = json!({"error": {"type": "unreadable_record"}, "payload": "1],\"b-0\":[2"}).to_string();
    assert!(refused(&breaks_out, "t-0-unreadable-0123456789abcdef").contains("2 records"));
    let breaks_out = json!({"kafka_topic": "a", "kafka_partition": 0, "kafka_offset": 1, "payload": "{}",
        "kafka_headers_raw": "[]},{\"offset\":2"})
    .to_string();
    assert!(refused(&breaks_out, "a-0-1--1").contains("2 records"));
}
