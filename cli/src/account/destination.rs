//! The records at the on-failure destination of a mapping, where that can be read.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;
use tokio::sync::mpsc;

use super::broker::Broker;
use super::mappings::Mapping;
use crate::aws_api::{Aws, AwsError};
use crate::kafka_options::KafkaOptions;
use crate::record::Record;
use crate::since::Since;
use crate::source::SourceError;

/// The records at a destination.
#[derive(Debug, Default)]
pub struct AtDestination {
    /// Timestamps by partition and offset.
    records: HashMap<(i64, i64), i64>,
    /// Why the destination can't be read, if it can't.
    unread: Option<String>,
}

/// Why a destination that can be read is not known.
#[derive(Debug, Error)]
pub enum DestinationError {
    /// Lambda or S3 fails.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// Kafka fails.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Something at the destination is not what a mapping writes.
    #[error("{place} is not what an event source mapping sends to its destination: {source}")]
    Form {
        /// Which object or record.
        place: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The thread that read Kafka ended without a result.
    #[error("the thread that reads Kafka ended early")]
    Thread,
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html>: S3 has the event as text, Kafka as it is.
#[derive(Deserialize)]
struct Sent {
    payload: Option<Value>,
}

#[derive(Deserialize)]
struct Event {
    records: HashMap<String, Vec<SentRecord>>,
}

#[derive(Deserialize)]
struct SentRecord {
    topic: String,
    partition: i64,
    offset: i64,
    #[serde(default)]
    timestamp: Option<i64>,
}

impl AtDestination {
    /// Reads what a mapping has sent since a time. A queue or a notification can't be read without taking its messages, and has only
    /// offsets.
    ///
    /// # Errors
    /// [`DestinationError`]
    pub async fn read(
        mapping: &Mapping,
        aws: Option<&Aws>,
        kafka: &KafkaOptions,
        since: Since,
    ) -> Result<Self, DestinationError> {
        let mut at = Self::default();
        let Some(destination) = &mapping.destination else { return Ok(at) };
        if let Some(topic) = destination.strip_prefix("kafka://") {
            at.read_topic(mapping, topic, kafka, since).await?;
        } else if let (Some(bucket), Some(aws)) = (destination.strip_prefix("arn:aws:s3:::"), aws) {
            at.read_bucket(mapping, bucket, aws).await?;
        } else {
            at.unread = Some(format!(
                "{} may have gone to {destination}, which can't be read without taking its messages: look there first",
                "records that count as missing"
            ));
        }
        Ok(at)
    }

    /// Whether it has this record.
    pub fn has(&self, record: &Record) -> bool {
        let timestamp = self.records.get(&(record.partition, record.offset));
        timestamp.is_some_and(|timestamp| *timestamp == record.timestamp_ms.unwrap_or(-1))
    }

    /// Why it can't be read, if it can't.
    pub fn unread(&self) -> Option<&str> {
        self.unread.as_deref()
    }

    async fn read_bucket(
        &mut self,
        mapping: &Mapping,
        bucket: &str,
        aws: &Aws,
    ) -> Result<(), DestinationError> {
        let prefix = format!("aws/lambda/{}/", mapping.uuid);
        let mut after: Option<String> = None;
        loop {
            let keys = aws.object_keys(bucket, &prefix, after.as_deref()).await?;
            let Some(last) = keys.last().cloned() else { return Ok(()) };
            for key in keys {
                let object = aws.object(bucket, &key).await?;
                self.add(&mapping.topic, &object, || format!("s3://{bucket}/{key}"))?;
            }
            after = Some(last);
        }
    }

    async fn read_topic(
        &mut self,
        mapping: &Mapping,
        topic: &str,
        kafka: &KafkaOptions,
        since: Since,
    ) -> Result<(), DestinationError> {
        let (sender, mut batches) = mpsc::channel(2);
        // The login of the mapping may use its own group, and perhaps no other.
        let (kafka, name, group) = (kafka.clone(), topic.to_owned(), mapping.group.clone());
        let reader = tokio::task::spawn_blocking(move || {
            let broker = Broker::new(&kafka, &group)?;
            for (partition, range) in broker.ranges(&name, since)? {
                if !range.is_empty() {
                    broker.read(&name, partition, &range.into(), &sender)?;
                }
            }
            Ok::<_, SourceError>(())
        });
        while let Some(batch) = batches.recv().await {
            for record in batch {
                let value = record.value.as_deref().unwrap_or_default();
                self.add(&mapping.topic, value, || format!("record {}", record.place()))?;
            }
        }
        Ok(reader.await.map_err(|_| DestinationError::Thread)??)
    }

    fn add(
        &mut self,
        topic: &str,
        document: &[u8],
        place: impl Fn() -> String,
    ) -> Result<(), DestinationError> {
        let form = |source| DestinationError::Form { place: place(), source };
        let event: Event = match serde_json::from_slice::<Sent>(document).map_err(form)?.payload {
            Some(Value::String(text)) => serde_json::from_str(&text),
            Some(event) => serde_json::from_value(event),
            None => return Ok(()),
        }
        .map_err(form)?;
        for record in event.records.into_values().flatten().filter(|record| record.topic == topic) {
            self.records.insert((record.partition, record.offset), record.timestamp.unwrap_or(-1));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(offset: i64, timestamp_ms: i64) -> Record {
        Record {
            topic: "a.events".into(),
            partition: 2,
            offset,
            timestamp_ms: Some(timestamp_ms),
            key: None,
            value: None,
            headers: Vec::new(),
        }
    }

    #[test]
    fn a_bucket_has_the_event_as_text_and_a_topic_as_json() {
        let event = json!({"records": {"a.events-2": [
            {"topic": "a.events", "partition": 2, "offset": 7, "timestamp": 5},
            {"topic": "other", "partition": 2, "offset": 8, "timestamp": 5},
        ]}});
        for payload in [json!(event.to_string()), event] {
            let mut at = AtDestination::default();
            at.add("a.events", json!({"payload": payload}).to_string().as_bytes(), String::new).unwrap();
            assert!(at.has(&record(7, 5)));
            // The record of a topic that was deleted and created again.
            assert!(!at.has(&record(7, 6)));
            assert!(!at.has(&record(8, 5)));
        }
    }

    #[test]
    fn something_else_in_a_bucket_is_named() {
        let error = AtDestination::default().add("t", b"text", || "s3://b/k".into()).unwrap_err().to_string();
        assert!(error.starts_with("s3://b/k is not what an event source mapping sends"), "{error}");
    }
}
