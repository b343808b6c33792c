//! A record becomes a dead letter and is made again from it: the same document, id and index, and the same dead letter
//! should it be refused again. For every record of `tests/fixtures/parity`, and for odd ones.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use base64_simd::STANDARD;
use event_pipeline::encoder::Encoder;
use event_pipeline::event::{BatchItem, read_batch};
use event_pipeline::settings::Settings;
use event_pipeline::write_error::{ErrorKind, WriteError};
use replay_dead_letters::letter::{Letter, event};
use serde_json::{Value, json};

fn settings() -> Settings {
    Settings { header_fields: vec!["tenant".into(), "signature".into()], ..Settings::default() }
}

/// The bulk lines of the record's document; `None` where no document can be made.
fn document(entry: &BatchItem<'_>) -> Option<String> {
    let mut body = Vec::new();
    Encoder::new(settings()).append(entry.record.as_ref().ok()?, &mut body).ok()?;
    Some(String::from_utf8(body).unwrap())
}

fn dead_letter(entry: &BatchItem<'_>) -> String {
    let fault = match (&entry.record, document(entry)) {
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
    Encoder::new(settings()).append_dead_letter(entry, &fault, &mut body);
    String::from_utf8(body).unwrap()
}

/// Makes the record again and compares both documents and both dead letters, byte by byte.
fn assert_round_trip(payload: &[u8], what: &str) {
    let batch = read_batch(payload).unwrap();
    let [entry] = batch.as_slice() else { panic!("{what}: one record") };
    let letter = dead_letter(entry);
    let [action, source] = letter.lines().collect::<Vec<_>>().try_into().unwrap();
    let action: Value = serde_json::from_str(action).unwrap();
    let id = action.pointer("/create/_id").and_then(Value::as_str).unwrap();
    let record =
        Letter::parse(source).unwrap().record(id).unwrap_or_else(|fault| panic!("{what}: {fault}\n{source}"));
    let again = event([&record]);
    let batch_again = read_batch(again.as_bytes()).unwrap();
    let [entry_again] = batch_again.as_slice() else { panic!("{what}: one record again") };
    assert_eq!(document(entry_again), document(entry), "{what}\n{source}\n{again}");
    assert_eq!(dead_letter(entry_again), letter, "{what}\n{again}");
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
fn every_parity_fixture_is_the_same_record_again() {
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
        let place = format!("{}-{}", member("topic").as_str().unwrap(), member("partition"));
        let payload = json!({"eventSource": "SelfManagedKafka", "records": {place: [{
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
fn odd_records_are_the_same_records_again() {
    for record in [
        // Timestamps that are none.
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
        // What can't be read as a record.
        r#"{"value":"e30="}"#,
        r#"{"offset":7,"value":{"not":"base64"}}"#,
        r#"{"topic":"a.events","partition":0,"offset":-7,"value":[1]}"#,
        r#"17"#,
        "[\n1,\n2]",
        r#""}]}}""#,
        "null",
    ] {
        for place in ["a.events-0", "with-many-dashes-3", "nowhere", ""] {
            assert_round_trip(format!(r#"{{"records":{{"{place}":[{record}]}}}}"#).as_bytes(), record);
        }
    }
}

#[test]
fn several_records_keep_their_order() {
    let letter = |offset: i64| {
        json!({"kafka_topic": "a", "kafka_partition": offset % 2, "kafka_offset": offset, "payload": "{}"})
            .to_string()
    };
    let letters: Vec<String> = (0..5).map(letter).collect();
    let records: Vec<_> =
        letters.iter().map(|text| Letter::parse(text).unwrap().record("any").unwrap()).collect();
    let event = event(&records);
    let batch = read_batch(event.as_bytes()).unwrap();
    let offsets: Vec<_> = batch.iter().map(|entry| entry.record.as_ref().unwrap().offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4]);
}

#[test]
fn what_is_no_dead_letter_is_refused_in_words() {
    let refused = |text: &str, id: &str| match Letter::parse(text) {
        Ok(letter) => letter.record(id).unwrap_err().to_string(),
        Err(fault) => fault.to_string(),
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
