//! Makes the payloads that an event source mapping would send from generated events, for benchmarks and tests.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::generate::Generator;

/// How many partitions each topic has.
const N_PARTITIONS: u64 = 3;

/// Whether the records of a payload have headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordHeaders {
    /// No headers, as from producers without tracing.
    None,
    /// `traceparent` and `x-correlation-id`.
    TraceAndCorrelation,
}

/// A Lambda payload and the amount of data in it.
#[derive(Clone, Debug)]
pub struct Payload {
    /// The event of a Kafka event source mapping, as JSON.
    pub json: Vec<u8>,
    /// Its records.
    pub n_records: usize,
    /// Bytes of their values, decoded.
    pub value_bytes: usize,
}

/// Makes a payload with as many events as fit into `max_bytes`. Lambda's limit is 6 MB.
#[must_use]
pub fn payload(seed: u64, now_ms: i64, max_bytes: usize, headers: RecordHeaders) -> Payload {
    const OPENING: &str =
        r#"{"eventSource":"SelfManagedKafka","bootstrapServers":"127.0.0.1:9092","records":{"#;
    let mut partitions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut bytes, mut n_records, mut value_bytes) = (OPENING.len() + 2, 0, 0);
    for event in Generator::new(seed, now_ms) {
        let hash =
            event.key.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let partition = hash % N_PARTITIONS;
        let list = partitions.entry(format!("{}-{partition}", event.topic)).or_default();
        let headers_json = match headers {
            RecordHeaders::None => String::from("[]"),
            RecordHeaders::TraceAndCorrelation => {
                let each =
                    event.headers().map(|(name, text)| format!("{{\"{name}\":{:?}}}", text.as_bytes()));
                format!("[{}]", each.join(",")).replace(", ", ",")
            }
        };
        let record = format!(
            r#"{{"topic":"{}","partition":{partition},"offset":{},"timestamp":{},"timestampType":"CREATE_TIME","key":"{}","value":"{}","headers":{headers_json}}}"#,
            event.topic,
            list.len(),
            event.timestamp_ms,
            BASE64_STANDARD.encode(&event.key),
            BASE64_STANDARD.encode(&event.value),
        );
        // The comma, and the list's own punctuation where it is new.
        bytes += record.len() + if list.is_empty() { 40 } else { 1 };
        if bytes > max_bytes {
            break;
        }
        n_records += 1;
        value_bytes += event.value.len();
        list.push(record);
    }
    let lists: Vec<_> = partitions
        .into_iter()
        .filter(|(_, records)| !records.is_empty())
        .map(|(key, records)| format!("\"{key}\":[{}]", records.join(",")))
        .collect();
    let json = format!("{OPENING}{}}}}}", lists.join(",")).into_bytes();
    Payload { json, n_records, value_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_fills_its_limit_and_has_the_reported_number_of_records() {
        for headers in [RecordHeaders::None, RecordHeaders::TraceAndCorrelation] {
            let payload = payload(1, 1_772_360_430_123, 100_000, headers);
            assert!((98_000..=100_000).contains(&payload.json.len()), "{}", payload.json.len());
            let event: serde_json::Value = serde_json::from_slice(&payload.json).unwrap();
            let lists = event["records"].as_object().unwrap();
            assert_eq!(
                lists.values().map(|list| list.as_array().unwrap().len()).sum::<usize>(),
                payload.n_records
            );
        }
    }
}
