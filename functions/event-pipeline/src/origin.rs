//! Writes the fields that documents and dead letters have in common: where an event came from.
//!
//! Every function appends whole members, each with a comma before it.

use crate::append::{Value, append_decoded, append_member, append_name};
use crate::event::KafkaRecord;
use crate::event_time;
use crate::settings::Settings;

/// Appends the fields that all events of a topic have in common.
pub(crate) fn append_identity(out: &mut Vec<u8>, settings: &Settings, topic: &str) {
    for (name, value) in [
        ("service", topic),
        ("service_name", service_name(&settings.topic_suffix, topic)),
        ("environment", &settings.environment),
        ("platform", &settings.platform),
        ("kafka_topic", topic),
    ] {
        append_member(out, name, Value::Text(value));
    }
}

/// The topic without the configured suffix.
pub(crate) fn service_name<'t>(topic_suffix: &str, topic: &'t str) -> &'t str {
    topic.strip_suffix(topic_suffix).unwrap_or(topic)
}

/// Appends the record's timestamp, where it has one.
pub(crate) fn append_record_time(out: &mut Vec<u8>, record: &KafkaRecord<'_>) {
    if let Some(time) = event_time::indexable(record.timestamp_ms) {
        append_member(out, "kafka_timestamp", Value::Number(time.millis()));
    }
}

/// Appends the record's key as base64, where it has one.
pub(crate) fn append_key_base64(out: &mut Vec<u8>, record: &KafkaRecord<'_>) {
    if let Some(key) = record.key {
        let base64 = key.unescape();
        append_member(out, "kafka_key_base64", Value::Text(&String::from_utf8_lossy(&base64)));
    }
}

/// Appends the record's timestamp and key, each where it has one. Returns the key where it is text.
pub(crate) fn append_record_time_and_key<'s>(
    out: &mut Vec<u8>,
    record: &KafkaRecord<'_>,
    scratch: &'s mut Vec<u8>,
) -> Option<&'s str> {
    append_record_time(out, record);
    let key = record.key?;
    scratch.clear();
    if append_decoded(scratch, key).is_err() {
        // Not base64: kept as the event has it.
        scratch.clear();
        scratch.extend_from_slice(String::from_utf8_lossy(&key.unescape()).as_bytes());
    }
    match std::str::from_utf8(scratch) {
        Ok(text) => {
            append_member(out, "kafka_key", Value::Text(text));
            Some(text)
        }
        Err(_) => {
            append_name(out, "kafka_key_base64");
            out.push(b'"');
            out.extend_from_slice(&key.unescape());
            out.push(b'"');
            None
        }
    }
}
