//! The payload that a Kafka event source mapping sends to a function:
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-kafka.html>.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

/// A record of a payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventRecord {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp.
    pub timestamp_ms: i64,
    /// Its key, if any.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// The payload of these records, by partition.
#[must_use]
pub fn payload(records: impl IntoIterator<Item = EventRecord>) -> Value {
    let mut partitions: Map<String, Value> = Map::new();
    for record in records {
        let partition = format!("{}-{}", record.topic, record.partition);
        let list = partitions.entry(partition).or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut() {
            list.push(member(record));
        }
    }
    json!({"eventSource": "SelfManagedKafka", "bootstrapServers": "127.0.0.1:9092", "records": partitions})
}

fn member(record: EventRecord) -> Value {
    // Lambda writes the bytes of headers as numbers.
    let headers: Vec<Value> = record.headers.iter().map(|(name, bytes)| json!({name: bytes})).collect();
    let mut member = json!({
        "topic": record.topic, "partition": record.partition, "offset": record.offset,
        "timestamp": record.timestamp_ms, "timestampType": "CREATE_TIME", "headers": headers,
    });
    for (name, bytes) in [("key", record.key), ("value", record.value)] {
        if let (Some(bytes), Some(members)) = (bytes, member.as_object_mut()) {
            members.insert(name.to_owned(), BASE64_STANDARD.encode(bytes).into());
        }
    }
    member
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_listed_by_partition_in_their_order() {
        let record = |partition: i32, offset: i64| EventRecord {
            topic: "a.events".into(),
            partition,
            offset,
            timestamp_ms: 5,
            value: Some(b"{}".to_vec()),
            headers: vec![("h".into(), b"x".to_vec())],
            ..EventRecord::default()
        };
        let member = |partition: i32, offset: i64| {
            json!({"topic": "a.events", "partition": partition, "offset": offset, "timestamp": 5,
                "timestampType": "CREATE_TIME", "headers": [{"h": [120]}], "value": "e30="})
        };
        let payload = payload([record(0, 1), record(1, 7), record(0, 2)]);
        let expected = json!({"a.events-0": [member(0, 1), member(0, 2)], "a.events-1": [member(1, 7)]});
        assert_eq!(payload["records"], expected);
    }
}
