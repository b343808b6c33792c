//! Properties that hold for any record.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test or benchmark fails by panicking")]

use std::collections::HashSet;

use base64_simd::STANDARD;
use event_pipeline::address::ActionLine;
use event_pipeline::bulk::{BulkLimits, BulkRequest, Pushed};
use event_pipeline::encoder::Encoder;
use event_pipeline::event::{BatchItem, KafkaRecord, RecordError, read_batch};
use event_pipeline::name_table::NameTable;
use event_pipeline::object::ObjectScanner;
use event_pipeline::settings::Settings;
use event_pipeline::write_error::{ErrorKind, WriteError};
use proptest::prelude::*;
use serde_json::{Value, json};

/// JSON-like text made of tokens, our own field names and odd values among them.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec![
        "a",
        "service",
        "@timestamp",
        "timestamp",
        "tags",
        "trace",
        "traceId",
        "correlation_id",
        "correlationId",
        "original",
        "kafka_headers",
        "message",
        r"\u0073ervice",
        "time",
        "span",
        "traceparent",
        "",
    ]);
    let scalar = prop::sample::select(vec![
        "1",
        "-2.5e3",
        "null",
        "true",
        r#""x""#,
        r#""2026-03-01T00:00:00Z""#,
        r#"["a"]"#,
        "[]",
        "{}",
        r#"{"id":"i"}"#,
        r#"{"a":1,"a":2}"#,
        "\"\n\"",
        "1772360430123",
        "99999999999999",
        r#""\ud800""#,
    ]);
    let space = prop::sample::select(vec!["", "", " ", "\n", "\r\n\t"]);
    let member = (name, scalar, space).prop_map(|(n, v, s)| format!("{s}\"{n}\"{s}:{s}{v}{s}"));
    let object = prop::collection::vec(member, 0..6)
        .prop_map(|members| format!("{{{}}}", members.join(",")).into_bytes());
    prop_oneof![
        6 => object,
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => ".*".prop_map(String::into_bytes),
    ]
}

fn record() -> impl Strategy<Value = Value> {
    let number = prop_oneof![4 => 0..2_000_000_000_000i64, 1 => Just(-1), 1 => any::<i64>()];
    let key = prop::option::of(prop::collection::vec(any::<u8>(), 0..6));
    let header = (
        prop::sample::select(vec!["traceparent", "x-correlation-id", "tenant"]),
        prop::collection::vec(any::<i8>(), 0..6),
    );
    (payload(), number, key, prop::collection::vec(header, 0..3), 0..20u8).prop_map(
        |(value, time, key, headers, odd)| {
            let mut record = json!({"topic": "order.events", "partition": 1, "timestamp": time,
            "key": key.map(|key| STANDARD.encode_to_string(key)), "value": STANDARD.encode_to_string(value),
            "headers": headers.into_iter().map(|(name, bytes)| json!({name: bytes})).collect::<Vec<_>>()});
            match odd {
                0 => record["value"] = Value::Null,
                1 => record["value"] = json!("not base64!"),
                2 => record["headers"] = json!(5),
                3 => record = json!([record]),
                4 => record["timestamp"] = json!("soon"),
                _ => {}
            }
            record
        },
    )
}

fn event(records: &[Value]) -> Vec<u8> {
    let numbered: Vec<_> = records
        .iter()
        .enumerate()
        .map(|(offset, record)| {
            let mut record = record.clone();
            if let Some(fields) = record.as_object_mut() {
                fields.insert("offset".into(), json!(offset));
            }
            record
        })
        .collect();
    serde_json::to_vec(&json!({"records": {"order.events-1": numbered}})).unwrap()
}

fn settings() -> Settings {
    Settings { header_fields: vec!["tenant".into()], ..Settings::default() }
}

fn fault() -> WriteError {
    WriteError { kind: ErrorKind::UnreadableRecord, status: None, reason: String::new() }
}

/// The two lines of an item: its document, or its dead letter if it can't have a document.
fn lines(encoder: &mut Encoder, item: &BatchItem<'_>) -> String {
    let mut body = Vec::new();
    let written = item.record.as_ref().is_ok_and(|record| encoder.append(record, &mut body).is_ok());
    if !written {
        assert_eq!(body, b"", "nothing is left of a document that can't be written");
        encoder.append_dead_letter(item, &fault(), &mut body);
    }
    String::from_utf8(body).unwrap()
}

/// Appends the document of a record that no rule drops.
fn document(
    encoder: &mut Encoder,
    record: &KafkaRecord<'_>,
    body: &mut Vec<u8>,
) -> Result<ActionLine, RecordError> {
    encoder.append(record, body).map(|appended| appended.document().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn every_line_is_an_object_without_duplicate_keys(records in prop::collection::vec(record(), 1..4)) {
        let payload = event(&records);
        let batch = read_batch(&payload).unwrap();
        prop_assert_eq!(batch.len(), records.len());
        let mut encoder = Encoder::new(settings());
        for item in &batch {
            let text = lines(&mut encoder, item);
            prop_assert_eq!(text.matches('\n').count(), 2, "{}", text);
            for line in text.lines() {
                // Two independent parsers agree. Ours also refuses duplicate keys.
                let scanned = ObjectScanner::default().scan(line.as_bytes(), &NameTable::default());
                prop_assert!(scanned.is_ok(), "{:?}: {}", scanned, line);
                prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(line).is_ok(), "{}", line);
            }
        }
    }

    #[test]
    fn a_record_is_the_same_document_however_batched(records in prop::collection::vec(record(), 1..8)) {
        let payload = event(&records);
        let batch = read_batch(&payload).unwrap();
        let mut one_encoder = Encoder::new(settings());
        let together: Vec<_> = batch.iter().map(|item| lines(&mut one_encoder, item)).collect();
        let alone: Vec<_> = batch.iter().map(|item| lines(&mut Encoder::new(settings()), item)).collect();
        prop_assert_eq!(&together, &alone);
        let actions: HashSet<_> = together.iter().map(|text| text.lines().next()).collect();
        let n_arrays = records.iter().filter(|record| record.is_array()).count();
        prop_assert!(actions.len() + n_arrays.saturating_sub(1) >= batch.len(), "ids are distinct: {:?}", actions);
    }

    #[test]
    fn an_address_is_known_without_writing_and_kept_when_written(records in prop::collection::vec(record(), 1..4)) {
        let payload = event(&records);
        let limits = BulkLimits::default();
        let mut encoder = Encoder::new(settings());
        for item in &read_batch(&payload).unwrap() {
            let mut request = BulkRequest::default();
            let address = encoder.document_address(item);
            let written = item.record.clone().and_then(|record| {
                request.push(0, limits, |body| document(&mut encoder, &record, body)).map(drop)
            });
            prop_assert_eq!(written.map(|()| request.read_address(0)), address);

            let mut request = BulkRequest::default();
            let address = encoder.dead_letter_address(item);
            let fault = fault();
            request.push(0, limits, |body| Ok::<_, ()>(encoder.append_dead_letter(item, &fault, body))).unwrap();
            prop_assert_eq!(request.read_address(0), Some(address));
        }
    }

    #[test]
    fn requests_hold_every_document_once_within_their_limits(
        records in prop::collection::vec(record(), 1..12),
        max_bytes in 1..3000usize,
        max_operations in 1..5usize,
    ) {
        let payload = event(&records);
        let batch = read_batch(&payload).unwrap();
        let limits = BulkLimits { max_bytes, max_operations };
        let mut encoder = Encoder::new(settings());
        let (mut requests, mut request, mut unwritten) = (Vec::new(), BulkRequest::default(), Vec::new());
        for (i, item) in batch.iter().enumerate() {
            let Ok(record) = &item.record else { unwritten.push(i); continue };
            loop {
                match request.push(i, limits, |body| document(&mut encoder, record, body)) {
                    Ok(Pushed::Added) => break,
                    Ok(Pushed::Full) => requests.push(std::mem::take(&mut request)),
                    Err(_) => { unwritten.push(i); break }
                }
            }
        }
        requests.push(request);
        let mut seen: Vec<_> = requests.iter().flat_map(|r| r.operations()).map(|o| o.record).chain(unwritten).collect();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..batch.len()).collect::<Vec<_>>());
        for request in &requests {
            prop_assert!(request.len() <= max_operations);
            prop_assert!(request.body().len() <= max_bytes || request.len() == 1);
            prop_assert_eq!(request.body().iter().filter(|b| **b == b'\n').count(), request.len() * 2);
        }
    }

    #[test]
    fn no_payload_causes_a_panic(payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_batch(&payload);
    }
}
