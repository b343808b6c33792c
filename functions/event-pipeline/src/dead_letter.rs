//! Writes dead letters: what could not be indexed, with why, where it came from, and the payload as it was.
//!
//! A dead letter holds the whole record (payload, key, headers, timestamp), so that it can be put through the
//! pipeline again and gives the same document, id and index.

use crate::document::{Encoder, append_identity, append_record_time_and_key};
use crate::event::{BatchItem, KafkaRecord};
use crate::object::{NameTable, ObjectScanner};
use crate::settings::{DocumentId, Settings};
use crate::text::{append_decoded, append_json_string, append_number};
use crate::timestamp::Timestamp;
use crate::write_error::WriteError;

impl Encoder {
    /// Appends the action line and the dead letter of `entry` to `body`.
    pub fn append_dead_letter(&mut self, entry: &BatchItem<'_>, fault: &WriteError, body: &mut Vec<u8>) {
        match &entry.record {
            Ok(record) => {
                let mut document = Vec::new();
                match self.append(record, &mut document) {
                    Ok(time) => append_record(body, self.settings(), record, time, fault),
                    Err(_) => {
                        let time =
                            record.timestamp_ms.and_then(Timestamp::from_kafka).unwrap_or(Timestamp::EPOCH);
                        append_record(body, self.settings(), record, time, fault);
                    }
                }
            }
            Err(_) => append_unreadable(body, self.settings(), entry, fault),
        }
    }
}

fn append_record(
    body: &mut Vec<u8>,
    settings: &Settings,
    record: &KafkaRecord<'_>,
    time: Timestamp,
    fault: &WriteError,
) {
    let timestamp = record.timestamp_ms.unwrap_or(-1);
    let id = format!("{}-{}-{}-{timestamp}", record.topic, record.partition, record.offset);
    append_opening(body, settings, &id, time, fault);
    body.push(b',');
    append_identity(body, settings, record.topic);
    for (name, number) in [("kafka_partition", record.partition), ("kafka_offset", record.offset)] {
        append_name(body, name);
        append_number(body, number);
    }
    let mut bytes = Vec::new();
    append_record_time_and_key(body, record, &mut bytes);
    if let Some(headers) = record.headers {
        append_name(body, "kafka_headers_raw");
        if is_sound(headers) {
            append_on_one_line(body, headers);
        } else {
            append_json_string(body, &String::from_utf8_lossy(headers));
        }
    }
    if let Some(value) = record.value {
        bytes.clear();
        let decoded = append_decoded(&mut bytes, value);
        let base64 = value.unescape();
        match (decoded, std::str::from_utf8(&bytes)) {
            (Ok(()), Ok(text)) => {
                append_name(body, "payload");
                append_json_string(body, text);
            }
            (Ok(()), Err(_)) => {
                append_name(body, "payload_base64");
                append_json_string(body, &String::from_utf8_lossy(&base64));
            }
            // What should be base64 and is not is kept as it stands.
            (Err(_), _) => {
                append_name(body, "payload");
                append_json_string(body, &String::from_utf8_lossy(&base64));
            }
        }
    }
    body.extend_from_slice(b"}\n");
}

/// Writes what can't be read as a Kafka record under an id made of its place and content, so that the same text
/// delivered again is the same dead letter.
fn append_unreadable(body: &mut Vec<u8>, settings: &Settings, entry: &BatchItem<'_>, fault: &WriteError) {
    let raw = entry.raw;
    let id = format!("{}-unreadable-{:016x}", raw.partition_key, fnv1a(raw.json));
    append_opening(body, settings, &id, Timestamp::EPOCH, fault);
    if let Some((topic, partition)) = raw.topic_and_partition() {
        body.push(b',');
        append_identity(body, settings, topic);
        append_name(body, "kafka_partition");
        append_number(body, partition);
    }
    if let Some(offset) = raw.offset() {
        append_name(body, "kafka_offset");
        append_number(body, offset);
    }
    append_name(body, "payload");
    append_json_string(body, &String::from_utf8_lossy(raw.json));
    body.extend_from_slice(b"}\n");
}

fn append_opening(body: &mut Vec<u8>, settings: &Settings, id: &str, time: Timestamp, fault: &WriteError) {
    body.extend_from_slice(br#"{"create":{"_index":"#);
    append_json_string(body, &settings.dead_letter_prefix.daily(time));
    if settings.document_id == DocumentId::Deterministic {
        append_name(body, "_id");
        append_json_string(body, id);
    }
    body.extend_from_slice(b"}}\n{\"@timestamp\":\"");
    body.extend_from_slice(&time.to_text());
    body.extend_from_slice(br#"","error":{"type":"#);
    append_json_string(body, fault.kind.as_str());
    append_name(body, "reason");
    append_json_string(body, &fault.reason);
    append_name(body, "status");
    append_number(body, fault.status_number().into());
    body.push(b'}');
    append_name(body, "target_index");
    append_json_string(body, &settings.index_prefix.daily(time));
}

fn append_name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Appends JSON text without its line ends, which are white space there.
fn append_on_one_line(out: &mut Vec<u8>, json: &[u8]) {
    out.extend(json.iter().filter(|byte| !matches!(byte, b'\n' | b'\r')));
}

/// Whether JSON text can stand in a document as it is.
fn is_sound(json: &[u8]) -> bool {
    let object = [br#"{"headers":"#, json, b"}"].concat();
    std::str::from_utf8(json).is_ok() && ObjectScanner::default().scan(&object, &NameTable::default()).is_ok()
}

/// FNV-1a, <http://www.isthe.com/chongo/tech/comp/fnv/>: the same on every build, as ids have to be.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
