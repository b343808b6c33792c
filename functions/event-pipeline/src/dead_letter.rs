//! Writes dead letters: records that could not be indexed, with the error and their origin.
//!
//! A dead letter holds the whole record (payload, key, headers, timestamp), so that a replay gives the same
//! document under the same id in the same index.

use crate::address::{ActionLine, Address, append_create};
use crate::append::{Value, append_decoded, append_json_string, append_member, append_name};
use crate::event::{BatchItem, KafkaRecord, parse_partition_key};
use crate::name_table::NameTable;
use crate::object::ObjectScanner;
use crate::origin::{append_identity, append_record_time_and_key};
use crate::settings::Settings;
use crate::timestamp::Timestamp;
use crate::write_error::WriteError;

/// Appends the action line and the dead letter of `item` to `body`; `time` is its document's, which would be in the index
/// `target`.
pub(crate) fn append(
    body: &mut Vec<u8>,
    settings: &Settings,
    item: &BatchItem<'_>,
    time: Timestamp,
    target: &str,
    error: &WriteError,
) -> ActionLine {
    let line = append_create(body, &Address::of_dead_letter(settings, item, time));
    append_opening(body, time, target, error);
    match &item.record {
        Ok(record) => append_record(body, settings, record),
        Err(_) => append_unreadable(body, settings, item),
    }
    body.extend_from_slice(b"}\n");
    line
}

fn append_record(body: &mut Vec<u8>, settings: &Settings, record: &KafkaRecord<'_>) {
    append_identity(body, settings, record.topic);
    append_member(body, "kafka_partition", Value::Number(record.partition));
    append_member(body, "kafka_offset", Value::Number(record.offset));
    let mut bytes = Vec::new();
    append_record_time_and_key(body, record, &mut bytes);
    for (name, metadata) in
        [("kafka_key_schema_raw", record.key_schema), ("kafka_schema_raw", record.value_schema)]
    {
        if let Some(metadata) = metadata.filter(|metadata| is_sound(metadata)) {
            append_name(body, name);
            append_on_one_line(body, metadata);
        }
    }
    if let Some(headers) = record.headers {
        if is_sound(headers) {
            append_name(body, "kafka_headers_raw");
            append_on_one_line(body, headers);
        } else {
            append_member(body, "kafka_headers_raw", Value::Text(&String::from_utf8_lossy(headers)));
        }
    }
    if let Some(value) = record.value {
        bytes.clear();
        let decoded = append_decoded(&mut bytes, value);
        let base64 = value.unescape();
        let base64 = String::from_utf8_lossy(&base64);
        let (name, text) = match (decoded, std::str::from_utf8(&bytes)) {
            (Ok(()), Ok(text)) => ("payload", text),
            (Ok(()), Err(_)) => ("payload_base64", base64.as_ref()),
            // What should be base64 and is not is kept as it is.
            (Err(_), _) => ("payload", base64.as_ref()),
        };
        append_member(body, name, Value::Text(text));
    }
}

/// Appends what is known of an item that can't be read as a Kafka record.
fn append_unreadable(body: &mut Vec<u8>, settings: &Settings, item: &BatchItem<'_>) {
    if let Some((topic, partition)) = parse_partition_key(item.partition_key) {
        append_identity(body, settings, topic);
        append_member(body, "kafka_partition", Value::Number(partition));
    }
    if let Some(offset) = item.offset {
        append_member(body, "kafka_offset", Value::Number(offset));
    }
    append_member(body, "payload", Value::Text(&String::from_utf8_lossy(item.json)));
}

fn append_opening(body: &mut Vec<u8>, time: Timestamp, target: &str, error: &WriteError) {
    body.extend_from_slice(br#"{"@timestamp":""#);
    body.extend_from_slice(&time.to_text());
    body.extend_from_slice(br#"","error":{"type":"#);
    append_json_string(body, error.kind.as_str());
    append_member(body, "reason", Value::Text(&error.reason));
    append_member(body, "status", Value::Number(error.status_number().into()));
    body.push(b'}');
    append_member(body, "target_index", Value::Text(target));
}

/// Appends JSON text without its line ends, which can only be white space between its tokens.
fn append_on_one_line(out: &mut Vec<u8>, json: &[u8]) {
    out.extend(json.iter().filter(|byte| !matches!(byte, b'\n' | b'\r')));
}

/// Whether the JSON text of a value can be part of a document as it is.
fn is_sound(json: &[u8]) -> bool {
    let object = [br#"{"headers":"#, json, b"}"].concat();
    std::str::from_utf8(json).is_ok() && ObjectScanner::default().scan(&object, &NameTable::default()).is_ok()
}
