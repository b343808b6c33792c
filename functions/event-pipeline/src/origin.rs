//! Writes the fields that documents and dead letters have in common: where an event came from.

use crate::event::KafkaRecord;
use crate::settings::Settings;
use crate::text::{append_decoded, append_json_string, append_number};
use crate::timestamp::Timestamp;

/// Appends the fields that say where an event came from, without braces.
pub(crate) fn append_identity(out: &mut Vec<u8>, settings: &Settings, topic: &str) {
    let service_name = topic.strip_suffix(settings.topic_suffix.as_str()).unwrap_or(topic);
    for (i, (name, value)) in [
        ("service", topic),
        ("service_name", service_name),
        ("environment", &settings.environment),
        ("platform", &settings.platform),
        ("kafka_topic", topic),
    ]
    .into_iter()
    .enumerate()
    {
        out.extend_from_slice(if i == 0 { b"\"" } else { b",\"" });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        append_json_string(out, value);
    }
}

/// Appends the record's timestamp and key, each where it has one.
pub(crate) fn append_record_time_and_key(out: &mut Vec<u8>, record: &KafkaRecord<'_>, scratch: &mut Vec<u8>) {
    if let Some(time) = record.timestamp_ms.and_then(Timestamp::from_kafka) {
        out.extend_from_slice(br#","kafka_timestamp":"#);
        append_number(out, time.millis());
    }
    let Some(key) = record.key else { return };
    scratch.clear();
    let decoded = append_decoded(scratch, key);
    match (decoded, std::str::from_utf8(scratch)) {
        (Ok(()), Ok(text)) => {
            out.extend_from_slice(br#","kafka_key":"#);
            append_json_string(out, text);
        }
        (Err(_), _) => {
            // Not base64 after all: kept as the event has it.
            out.extend_from_slice(br#","kafka_key":"#);
            append_json_string(out, &String::from_utf8_lossy(&key.unescape()));
        }
        (Ok(()), Err(_)) => {
            out.extend_from_slice(br#","kafka_key_base64":""#);
            out.extend_from_slice(&key.unescape());
            out.push(b'"');
        }
    }
}
