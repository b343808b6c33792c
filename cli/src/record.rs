//! Kafka records as bytes, and the event in which a mapping would deliver them.

use serde_json::{Map, Value, json};

/// A Kafka record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Name of the topic.
    pub topic: String,
    /// Number of the partition.
    pub partition: i64,
    /// Offset in the partition.
    pub offset: i64,
    /// Milliseconds since the epoch; `None` if the record has no time.
    pub timestamp_ms: Option<i64>,
    /// The key; `None` is null.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is null, a tombstone.
    pub value: Option<Vec<u8>>,
    /// Names and values of the headers, in the record's order. A null value is empty, as in a mapping's events.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// Bytes of the key, the value and the headers.
    pub fn len(&self) -> usize {
        let of = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        of(&self.key) + of(&self.value) + headers
    }

    /// Whether the record has neither key, value nor headers.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id of its document, where ids are not the cluster's.
    pub fn document_id(&self) -> String {
        format!("{}-{}", self.place(), self.timestamp_ms.unwrap_or(-1))
    }

    /// `topic-partition-offset`, by which Kafka's users know a record.
    pub fn place(&self) -> String {
        format!("{}-{}-{}", self.topic, self.partition, self.offset)
    }
}

/// Writes the event in which an event source mapping delivers `records`, in their order,
/// <https://docs.aws.amazon.com/lambda/latest/dg/with-kafka-process.html>. Each record is in a list of its own, since lists
/// by partition would change the order.
pub fn event(records: &[Record]) -> Vec<u8> {
    let mut out = br#"{"eventSource":"SelfManagedKafka","records":{"#.to_vec();
    for (position, record) in records.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        let list = json!([member(record)]);
        let key = Value::String(format!("{}-{}", record.topic, record.partition));
        out.extend_from_slice(format!("{key}:{list}").as_bytes());
    }
    out.extend_from_slice(b"}}");
    out
}

/// The record as a mapping's event has it.
pub fn member(record: &Record) -> Value {
    let base64 = |bytes: &Option<Vec<u8>>| {
        bytes.as_ref().map(|bytes| base64_simd::STANDARD.encode_to_string(bytes.as_slice()))
    };
    let headers: Vec<Value> = record
        .headers
        .iter()
        // Java's bytes have a sign.
        .map(|(name, value)| json!({ name.as_str(): value.iter().map(|byte| *byte as i8).collect::<Vec<_>>() }))
        .collect();
    let mut member = Map::new();
    member.insert("topic".into(), record.topic.clone().into());
    member.insert("partition".into(), record.partition.into());
    member.insert("offset".into(), record.offset.into());
    if let Some(timestamp) = record.timestamp_ms {
        member.insert("timestamp".into(), timestamp.into());
    }
    member.insert("key".into(), base64(&record.key).into());
    member.insert("value".into(), base64(&record.value).into());
    member.insert("headers".into(), headers.into());
    Value::Object(member)
}

#[cfg(test)]
mod tests {
    use event_pipeline::event::read_batch;

    use super::*;

    #[test]
    fn the_pipeline_reads_the_records_of_an_event_in_their_order() {
        let record = |topic: &str, partition, value: Option<&[u8]>| Record {
            topic: topic.into(),
            partition,
            offset: 7,
            timestamp_ms: Some(5),
            key: Some(b"k\"\xff".to_vec()),
            value: value.map(<[u8]>::to_vec),
            headers: vec![("trace".into(), vec![1, 200]), ("trace".into(), Vec::new())],
        };
        let records = [record("a-b", 0, Some(b"{}")), record("c", 1, None), record("a-b", 0, Some(b"\x00"))];
        let event = event(&records);
        let items = read_batch(&event).unwrap();
        assert_eq!(items.len(), 3);
        for (item, expected) in items.iter().zip(&records) {
            let record = item.record.as_ref().unwrap();
            assert_eq!(
                (record.topic, record.partition, record.offset, record.timestamp_ms),
                (expected.topic.as_str(), expected.partition, 7, Some(5))
            );
            let value =
                record.value.map(|text| base64_simd::STANDARD.decode_to_vec(text.unescape()).unwrap());
            assert_eq!(value, expected.value);
            assert_eq!(record.headers, Some(&br#"[{"trace":[1,-56]},{"trace":[]}]"#[..]));
        }
    }
}
