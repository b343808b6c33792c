//! The document of any value: what serde_json reads in the payload is in the document, beside fields of ours.

use std::cell::RefCell;

use base64_simd::STANDARD;
use event_pipeline::encoder::Encoder;
use event_pipeline::event::{BatchItem, read_batch};
use event_pipeline::name_table::NameTable;
use event_pipeline::object::ObjectScanner;
use event_pipeline::settings::Settings;
use serde_json::{Map, Value};

use super::reading::{is_json, value_and_duplicates};

thread_local! {
    /// Kept from one input to the next, as it is from one record to the next.
    static ENCODER: RefCell<Encoder> = RefCell::new(Encoder::new(Settings::default()));
}

/// Fields that a document can have besides its payload's.
pub(crate) const OURS: [&str; 27] = [
    "@timestamp",
    "service",
    "service_name",
    "environment",
    "platform",
    "kafka_topic",
    "kafka_partition",
    "kafka_offset",
    "kafka_timestamp",
    "kafka_key",
    "kafka_key_base64",
    "kafka_headers",
    "original",
    "correlation_id",
    "correlation_id_base64",
    "trace",
    "span",
    "tags",
    "message",
    "message_base64",
    "conflict",
    "conflict_field",
    "conflict_reason",
    "conflict_text",
    "event_text",
    "trace.id",
    "span.id",
];

pub(crate) fn check(data: &[u8]) {
    with_record(data, |item| {
        let mut body = Vec::new();
        ENCODER
            .with_borrow_mut(|encoder| encoder.append(item.record.as_ref().unwrap(), &mut body))
            .unwrap()
            .document()
            .unwrap();
        let document = document_line(&body);
        let Some((Value::Object(payload), has_duplicates)) = value_and_duplicates(data) else {
            check_text(data, document);
            return;
        };
        // Unpaired surrogates and immense numbers are JSON that `Value` can't hold.
        let Some((Value::Object(document), false)) = value_and_duplicates(document) else {
            panic!("no document: {}", String::from_utf8_lossy(document))
        };
        let has_tag = |tag: &str| {
            document.get("tags").and_then(Value::as_array).is_some_and(|tags| tags.contains(&tag.into()))
        };
        assert_eq!(has_duplicates, has_duplicates && has_tag("_duplicatekey"));
        assert!(
            !has_tag("_jsonparsefailure") || payload.get("tags").is_some(),
            "an object is taken for text"
        );
        contains(&document, &payload);
    });
}

/// What is no object is kept whole.
fn check_text(data: &[u8], document: &[u8]) {
    let Some((document, _)) = value_and_duplicates(document) else { return };
    if let Some(message) = document.get("message_base64").and_then(Value::as_str) {
        assert!(std::str::from_utf8(data).is_err());
        assert_eq!(STANDARD.decode_to_vec(message).unwrap(), data);
    } else if document
        .get("tags")
        .and_then(Value::as_array)
        .is_some_and(|tags| tags.contains(&"_jsonparsefailure".into()))
    {
        assert_eq!(document.get("message").and_then(Value::as_str).map(str::as_bytes), Some(data));
    }
}

/// Checks that every member of `payload` is in `document`, and nothing else but fields of ours.
pub(crate) fn contains(document: &Map<String, Value>, payload: &Map<String, Value>) {
    for (name, value) in payload {
        let places = [document.get(name), document.get("original").and_then(|moved| moved.get(name))];
        let is_kept = places.into_iter().flatten().any(|kept| kept == value);
        let is_joined = name == "tags" && document.contains_key("tags");
        assert!(is_kept || is_joined, "{name} is lost in {document:?}");
    }
    for name in document.keys() {
        assert!(payload.contains_key(name) || OURS.contains(&name.as_str()), "{name} is not the payload's");
    }
}

/// The document of a bulk body of one operation, which is checked to be two lines of sound JSON.
pub(crate) fn document_line(body: &[u8]) -> &[u8] {
    let lines: Vec<_> = body.split(|byte| *byte == b'\n').collect();
    let [action, document, b""] = lines[..] else { panic!("{} lines", lines.len()) };
    for line in [action, document] {
        assert!(is_json(line), "{}", String::from_utf8_lossy(line));
        let scanned = ObjectScanner::default().scan(line, &NameTable::default());
        assert!(scanned.is_ok(), "{scanned:?}: {}", String::from_utf8_lossy(line));
    }
    document
}

/// Reads a record with this value.
pub(crate) fn with_record(value: &[u8], use_it: impl FnOnce(&BatchItem<'_>)) {
    let value = STANDARD.encode_to_string(value);
    let event = format!(
        r#"{{"records":{{"a.events-0":[{{"topic":"a.events","partition":0,"offset":1,"timestamp":1772360430123,"value":"{value}"}}]}}}}"#
    );
    use_it(&read_batch(event.as_bytes()).unwrap()[0]);
}
