//! Writes the event that the function of a Kafka event source mapping receives, and knows its size in advance.
//!
//! The form is that of <https://docs.aws.amazon.com/lambda/latest/dg/with-kafka.html#smaa-sample-event>.

use base64_simd::STANDARD;
use rdkafka::Timestamp;

use crate::mapping::{Mapping, Source};
use crate::record::{EncodedRecord, PartitionRecords};

/// The largest payload that a synchronous invocation takes, in bytes.
pub const MAX_PAYLOAD: usize = 6 * 1024 * 1024;

/// What all events of one mapping have in common.
#[derive(Clone, Debug)]
pub struct EventShape {
    /// From the opening brace to that of `records`.
    head: Vec<u8>,
    /// `"topic-`, as the keys of `records` begin.
    key_head: Vec<u8>,
}

impl EventShape {
    /// Prepares the fixed parts of the events of `mapping`, with `bootstrap_servers` in them.
    #[must_use]
    pub fn new(mapping: &Mapping, bootstrap_servers: &str) -> Self {
        let mut head = b"{".to_vec();
        match &mapping.source {
            Source::SelfManaged { .. } => push_field(&mut head, "eventSource", "SelfManagedKafka"),
            Source::Msk { cluster_arn } => {
                push_field(&mut head, "eventSource", "aws:kafka");
                push_field(&mut head, "eventSourceArn", cluster_arn);
            }
        }
        push_field(&mut head, "bootstrapServers", bootstrap_servers);
        head.extend_from_slice(b"\"records\":{");
        // A topic's name consists of letters, digits, `.`, `_` and `-`.
        Self { head, key_head: format!("\"{}-", mapping.topic).into_bytes() }
    }

    /// The bytes of an event without records.
    #[must_use]
    pub fn base_len(&self) -> usize {
        self.head.len() + b"}}".len()
    }

    /// The bytes that a partition adds to those of its records. Counts a comma that the event's first partition does not have.
    #[must_use]
    pub fn partition_len(&self, partition: i32) -> usize {
        self.key_head.len() + itoa::Buffer::new().format(partition).len() + b"\":[],".len()
    }

    /// The bytes that `record` adds to a partition of the event.
    #[must_use]
    pub fn record_len(record: &EncodedRecord) -> usize {
        record.json.len() + b",".len()
    }

    /// An upper bound of the bytes of an event with `parts`: at most one byte too high for each part, plus one.
    #[must_use]
    pub fn len(&self, parts: &[PartitionRecords]) -> usize {
        let partitions: usize = parts.iter().map(|part| self.partition_len(part.partition())).sum();
        let records: usize = parts.iter().flat_map(|part| &part.records).map(Self::record_len).sum();
        self.base_len() + partitions + records
    }

    /// Writes the event with `parts`.
    #[must_use]
    pub fn event(&self, parts: &[PartitionRecords]) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.len(parts));
        body.extend_from_slice(&self.head);
        for (place, part) in parts.iter().enumerate() {
            if place > 0 {
                body.push(b',');
            }
            body.extend_from_slice(&self.key_head);
            push_integer(&mut body, part.partition());
            body.extend_from_slice(b"\":[");
            for (place, record) in part.records.iter().enumerate() {
                if place > 0 {
                    body.push(b',');
                }
                body.extend_from_slice(&record.json);
            }
            body.push(b']');
        }
        body.extend_from_slice(b"}}");
        body
    }
}

/// The parts of a Kafka record that are in the event.
#[derive(Clone, Copy, Debug)]
pub struct RecordParts<'a, H> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp and who set it.
    pub timestamp: Timestamp,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers, in order. A name may occur more than once.
    pub headers: H,
    /// The schema that the key was validated by.
    pub key_schema: Option<PartSchema>,
    /// The schema that the value was validated by.
    pub value_schema: Option<PartSchema>,
}

/// The schema of a key or value, as the event names it:
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-consume-kafka-events.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartSchema {
    /// `AVRO`, `PROTOBUF` or `JSON`.
    pub data_format: &'static str,
    /// Its id in the registry.
    pub id: u32,
}

/// Encodes a record as it appears in the event.
#[must_use]
pub fn encode_record<'a, H>(record: RecordParts<'a, H>) -> Box<[u8]>
where
    H: Iterator<Item = (&'a str, Option<&'a [u8]>)>,
{
    let base64 = |bytes: Option<&[u8]>| STANDARD.encoded_length(bytes.unwrap_or_default().len());
    let mut json = Vec::with_capacity(256 + base64(record.key) + base64(record.value));
    let (timestamp_type, timestamp_ms) = match record.timestamp {
        Timestamp::NotAvailable => ("NO_TIMESTAMP_TYPE", -1),
        Timestamp::CreateTime(ms) => ("CREATE_TIME", ms),
        Timestamp::LogAppendTime(ms) => ("LOG_APPEND_TIME", ms),
    };
    json.push(b'{');
    push_field(&mut json, "topic", record.topic);
    json.extend_from_slice(b"\"partition\":");
    push_integer(&mut json, record.partition);
    json.extend_from_slice(b",\"offset\":");
    push_integer(&mut json, record.offset);
    json.extend_from_slice(b",\"timestamp\":");
    push_integer(&mut json, timestamp_ms);
    json.push(b',');
    push_field(&mut json, "timestampType", timestamp_type);
    json.extend_from_slice(b"\"key\":");
    push_base64(&mut json, record.key);
    json.extend_from_slice(b",\"value\":");
    push_base64(&mut json, record.value);
    json.extend_from_slice(b",\"headers\":[");
    for (place, (name, value)) in record.headers.enumerate() {
        if place > 0 {
            json.push(b',');
        }
        json.push(b'{');
        push_string(&mut json, name);
        json.extend_from_slice(b":[");
        for (place, byte) in value.unwrap_or_default().iter().enumerate() {
            if place > 0 {
                json.push(b',');
            }
            // AWS sends Java's bytes, which are signed.
            push_integer(&mut json, i8::from_ne_bytes([*byte]));
        }
        json.extend_from_slice(b"]}");
    }
    json.push(b']');
    push_schema(&mut json, "keySchemaMetadata", record.key_schema);
    push_schema(&mut json, "valueSchemaMetadata", record.value_schema);
    json.push(b'}');
    json.into_boxed_slice()
}

fn push_schema(json: &mut Vec<u8>, name: &str, schema: Option<PartSchema>) {
    let Some(PartSchema { data_format, id }) = schema else { return };
    json.push(b',');
    push_string(json, name);
    json.extend_from_slice(b":{");
    push_field(json, "dataFormat", data_format);
    json.extend_from_slice(b"\"schemaId\":\"");
    push_integer(json, id);
    json.extend_from_slice(b"\"}");
}

fn push_field(json: &mut Vec<u8>, name: &str, value: &str) {
    push_string(json, name);
    json.push(b':');
    push_string(json, value);
    json.push(b',');
}

fn push_string(json: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(json, text).expect("a string is written to memory");
}

fn push_integer(json: &mut Vec<u8>, number: impl itoa::Integer) {
    json.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn push_base64(json: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else {
        json.extend_from_slice(b"null");
        return;
    };
    json.push(b'"');
    STANDARD.encode_append(bytes, json);
    json.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{mapping, records, shape};

    fn encoded(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, Option<&[u8]>)]) -> Value {
        let json = encode_record(RecordParts {
            topic: "order.events",
            partition: 2,
            offset: 15,
            timestamp: Timestamp::CreateTime(1_545_084_650_987),
            key,
            value,
            headers: headers.iter().copied(),
            key_schema: None,
            value_schema: None,
        });
        serde_json::from_slice(&json).unwrap()
    }

    #[test]
    fn a_record_has_the_documented_form() {
        let json = encode_record(RecordParts {
            topic: "mytopic",
            partition: 0,
            offset: 15,
            timestamp: Timestamp::CreateTime(1_545_084_650_987),
            key: Some(b"recordKey"),
            value: Some(b"Hello, this is a test."),
            headers: [("headerKey", Some(b"headerValue".as_slice()))].into_iter(),
            key_schema: None,
            value_schema: Some(PartSchema { data_format: "AVRO", id: 17 }),
        });
        let expected = r#"{"topic":"mytopic","partition":0,"offset":15,"timestamp":1545084650987,"#
            .to_owned()
            + r#""timestampType":"CREATE_TIME","key":"cmVjb3JkS2V5","value":"SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==","#
            + r#""headers":[{"headerKey":[104,101,97,100,101,114,86,97,108,117,101]}],"#
            + r#""valueSchemaMetadata":{"dataFormat":"AVRO","schemaId":"17"}}"#;
        assert_eq!(str::from_utf8(&json), Ok(expected.as_str()));
    }

    #[test]
    fn a_tombstone_without_key_or_headers_has_nulls() {
        let record = encoded(None, None, &[]);
        assert_eq!(
            (&record["key"], &record["value"], &record["headers"]),
            (&json!(null), &json!(null), &json!([]))
        );
    }

    #[test]
    fn an_empty_value_is_not_a_null_value() {
        assert_eq!(encoded(Some(b""), Some(b""), &[])["value"], json!(""));
    }

    #[test]
    fn header_bytes_are_signed_and_each_header_stands_alone() {
        let headers: [(&str, Option<&[u8]>); 4] =
            [("a", Some(&[0, 127, 128, 255])), ("a", Some(b"")), ("quote\"", None), ("b", Some(b"1"))];
        let expected = json!([{"a": [0, 127, -128, -1]}, {"a": []}, {"quote\"": []}, {"b": [49]}]);
        assert_eq!(encoded(None, None, &headers)["headers"], expected);
    }

    #[test]
    fn an_event_has_the_documented_form() {
        let event = shape().event(&[records(0, 0..2), records(12, 5..6)]);
        let expected = r#"{"eventSource":"SelfManagedKafka","bootstrapServers":"a:9092","records":"#
            .to_owned()
            + r#"{"order.events-0":[{},{}],"order.events-12":[{}]}}"#;
        assert_eq!(str::from_utf8(&event), Ok(expected.as_str()));
    }

    #[test]
    fn an_msk_event_names_its_cluster() {
        let mut mapping = mapping();
        mapping.source = Source::Msk { cluster_arn: "arn:aws:kafka:us-east-1:0:cluster/c/1".to_owned() };
        let event = EventShape::new(&mapping, "b-1:9092,b-2:9092").event(&[records(0, 0..1)]);
        let expected =
            r#"{"eventSource":"aws:kafka","eventSourceArn":"arn:aws:kafka:us-east-1:0:cluster/c/1","#
                .to_owned()
                + r#""bootstrapServers":"b-1:9092,b-2:9092","records":{"order.events-0":[{}]}}"#;
        assert_eq!(str::from_utf8(&event), Ok(expected.as_str()));
    }

    proptest! {
        #[test]
        fn any_record_is_valid_json_and_reads_back(
            key in proptest::option::of(vec(any::<u8>(), 0..40)),
            value in proptest::option::of(vec(any::<u8>(), 0..400)),
            headers in vec((any::<String>(), vec(any::<u8>(), 0..20)), 0..4),
        ) {
            let parts: Vec<(&str, Option<&[u8]>)> =
                headers.iter().map(|(name, bytes)| (name.as_str(), Some(bytes.as_slice()))).collect();
            let record = encoded(key.as_deref(), value.as_deref(), &parts);
            let bytes = |field: &str| record[field].as_str().map(|text| STANDARD.decode_to_vec(text).unwrap());
            prop_assert_eq!(bytes("key"), key);
            prop_assert_eq!(bytes("value"), value);
            for (read, (name, bytes)) in record["headers"].as_array().unwrap().iter().zip(&headers) {
                let signed: Vec<i8> = bytes.iter().map(|byte| i8::from_ne_bytes([*byte])).collect();
                prop_assert_eq!(read, &json!({ name: signed }));
            }
        }

        #[test]
        fn the_size_is_known_before_the_event_is_written(sizes in vec((0..2_000_i32, 1..5_i64), 1..6)) {
            let parts: Vec<PartitionRecords> = sizes.iter().map(|(partition, size)| records(*partition, 0..*size)).collect();
            let (actual, bound) = (shape().event(&parts).len(), shape().len(&parts));
            prop_assert!(actual <= bound && bound - actual <= parts.len() + 1, "{} bytes, bound {}", actual, bound);
        }
    }
}
