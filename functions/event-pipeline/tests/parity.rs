//! The pipeline writes the documents of `tests/fixtures/parity`, as the Logstash pipeline in `infra/elk` does.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads its fixtures"
)]

use std::fs;
use std::path::Path;

use base64_simd::STANDARD;
use event_pipeline::encoder::Encoder;
use event_pipeline::event::read_batch;
use event_pipeline::settings::Settings;
use serde_json::{Value, json};

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

fn event(record: &Value) -> Vec<u8> {
    let member = |name: &str| record.get(name).unwrap_or(&Value::Null);
    let headers = member("headers").as_array().into_iter().flatten().map(header);
    let record = json!({
        "topic": member("topic"), "partition": member("partition"), "offset": member("offset"),
        "timestamp": member("timestamp"), "timestampType": "CREATE_TIME",
        "key": base64(record, "key"), "value": base64(record, "value"), "headers": headers.collect::<Vec<_>>(),
    });
    serde_json::to_vec(&json!({"eventSource": "SelfManagedKafka", "records": {"any-0": [record]}})).unwrap()
}

#[test]
fn every_fixture_gives_its_expected_document() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/parity");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    assert!(paths.len() > 50, "the fixtures are there");
    let mut differing = Vec::new();
    for path in paths {
        let fixture: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let payload = event(fixture.get("record").unwrap());
        let batch = read_batch(&payload).unwrap();
        let mut body = Vec::new();
        Encoder::new(Settings::default())
            .append(batch.first().unwrap().record.as_ref().unwrap(), &mut body)
            .unwrap()
            .document()
            .unwrap();
        let lines: Vec<Value> = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        let [action, document] = lines.try_into().unwrap();
        let create = action.get("create").unwrap();
        let got = json!({"index": create.get("_index"), "id": create.get("_id"), "document": document});
        let expected = fixture.get("expected").unwrap();
        if got != *expected {
            differing.push(format!("{}\n  expected {expected}\n  got      {got}", path.display()));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
