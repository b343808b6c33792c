//! Writes dead letters: what could not be indexed, with why, where it came from, and the payload as it was.
//!
//! A dead letter holds the whole record (payload, key, headers, timestamp), so that it can be put through the
//! pipeline again and gives the same document, id and index.

use crate::address::{ActionLine, Address, append_create};
use crate::event::{BatchItem, KafkaRecord, parse_partition_key};
use crate::object::{NameTable, ObjectScanner};
use crate::origin::{append_identity, append_record_time_and_key};
use crate::settings::Settings;
use crate::text::{append_decoded, append_json_string, append_number};
use crate::timestamp::Timestamp;
use crate::write_error::WriteError;

/// Appends the action line and the dead letter of `item` to `body`; `time` is its document's.
pub(crate) fn append(
    body: &mut Vec<u8>,
    settings: &Settings,
    item: &BatchItem<'_>,
    time: Timestamp,
    fault: &WriteError,
) -> ActionLine {
    let line = append_create(body, &Address::of_dead_letter(settings, item, time));
    append_opening(body, settings, time, fault);
    match &item.record {
        Ok(record) => append_record(body, settings, record),
        Err(_) => append_unreadable(body, settings, item),
    }
    body.extend_from_slice(b"}\n");
    line
}

fn append_record(body: &mut Vec<u8>, settings: &Settings, record: &KafkaRecord<'_>) {
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
}

/// Appends what is known of an item that can't be read as a Kafka record.
fn append_unreadable(body: &mut Vec<u8>, settings: &Settings, item: &BatchItem<'_>) {
    if let Some((topic, partition)) = parse_partition_key(item.partition_key) {
        body.push(b',');
        append_identity(body, settings, topic);
        append_name(body, "kafka_partition");
        append_number(body, partition);
    }
    if let Some(offset) = item.offset {
        append_name(body, "kafka_offset");
        append_number(body, offset);
    }
    append_name(body, "payload");
    append_json_string(body, &String::from_utf8_lossy(item.json));
}

fn append_opening(body: &mut Vec<u8>, settings: &Settings, time: Timestamp, fault: &WriteError) {
    body.extend_from_slice(br#"{"@timestamp":""#);
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
