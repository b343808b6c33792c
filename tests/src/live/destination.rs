//! A test's own on-failure destination: a queue, an SNS topic, a bucket or a Kafka topic, and the records that were sent to
//! it.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Method;
use kafka_poller::aws::{Aws, Call};
use serde_json::{Value, json};

use crate::account::{Found, Place, RecordId};
use crate::live::kafka::Kafka;
use crate::live::world::{World, unique};

const OWNER: &str = "us-east-1:000000000000";

/// The service of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestinationType {
    /// An SQS queue.
    Queue,
    /// An SNS topic that the test's queue subscribes to.
    Notifications,
    /// An S3 bucket.
    Bucket,
    /// A topic of the same Kafka cluster.
    KafkaTopic,
}

/// A destination that the test has created.
#[derive(Clone, Debug)]
pub struct Destination {
    kind: DestinationType,
    name: String,
    aws: Aws,
    kafka: Kafka,
    queue_url: String,
    /// Messages received from the queue so far.
    received: Arc<Mutex<Vec<Value>>>,
}

impl Destination {
    /// Creates one.
    ///
    /// # Errors
    /// When LocalStack or Kafka rejects the request.
    pub async fn create(world: &World, kind: DestinationType) -> Result<Self> {
        let name = format!("failed-{}", unique());
        let mut created = Self {
            kind,
            name,
            aws: world.lambda.aws(),
            kafka: world.kafka.clone(),
            queue_url: String::new(),
            received: Arc::default(),
        };
        match kind {
            DestinationType::Queue => created.create_queue().await?,
            DestinationType::Notifications => {
                created.create_queue().await?;
                created.sns(&format!("Action=CreateTopic&Name={}", created.name)).await?;
                let endpoint = format!("arn:aws:sqs:{OWNER}:{}", created.name);
                let topic = created.arn();
                created
                    .sns(&format!("Action=Subscribe&Protocol=sqs&TopicArn={topic}&Endpoint={endpoint}"))
                    .await?;
            }
            DestinationType::Bucket => {
                drop(created.call("s3", Method::PUT, &format!("/{}", created.name), &[], "").await?)
            }
            DestinationType::KafkaTopic => created.kafka.create_topic(&created.name, 1).await?,
        }
        Ok(created)
    }

    /// Its name in a mapping: an ARN or `kafka://TOPIC`.
    #[must_use]
    pub fn arn(&self) -> String {
        let name = &self.name;
        match self.kind {
            DestinationType::Queue => format!("arn:aws:sqs:{OWNER}:{name}"),
            DestinationType::Notifications => format!("arn:aws:sns:{OWNER}:{name}"),
            DestinationType::Bucket => format!("arn:aws:s3:::{name}"),
            DestinationType::KafkaTopic => format!("kafka://{name}"),
        }
    }

    /// Whether `kafka-to-search account` reads it. It takes no messages of a queue.
    #[must_use]
    pub fn is_read_by_program(&self) -> bool {
        match self.kind {
            DestinationType::Queue | DestinationType::Notifications => false,
            DestinationType::Bucket | DestinationType::KafkaTopic => true,
        }
    }

    /// The records that were sent to it. `records` are those in Kafka, since a queue receives only offsets.
    ///
    /// # Errors
    /// When it can't be read, or its content is not as Lambda documents it.
    pub async fn found(&self, records: &[RecordId]) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        for document in self.documents().await? {
            let sent = sent_records(&document, records).with_context(|| format!("in {document}"))?;
            found.extend(sent.iter().map(|record| Found {
                id: record.document_id(),
                index: self.arn(),
                place: Place::Destination,
            }));
        }
        Ok(found)
    }

    async fn documents(&self) -> Result<Vec<Value>> {
        match self.kind {
            DestinationType::Queue | DestinationType::Notifications => self.queued().await,
            DestinationType::Bucket => self.objects().await,
            DestinationType::KafkaTopic => {
                let values = self.kafka.read_values(&self.name)?;
                Ok(values.iter().map(|value| serde_json::from_slice(value)).collect::<Result<_, _>>()?)
            }
        }
    }

    async fn create_queue(&mut self) -> Result<()> {
        let created = self.sqs("CreateQueue", &json!({"QueueName": self.name})).await?;
        self.queue_url = created["QueueUrl"].as_str().context("the queue has a URL")?.to_owned();
        Ok(())
    }

    /// Receives all messages of the queue; returns them with those received earlier.
    async fn queued(&self) -> Result<Vec<Value>> {
        loop {
            let request = json!({"QueueUrl": self.queue_url, "MaxNumberOfMessages": 10});
            let received = self.sqs("ReceiveMessage", &request).await?;
            let messages = received["Messages"].as_array().cloned().unwrap_or_default();
            if messages.is_empty() {
                return Ok(self.received.lock().unwrap_or_else(PoisonError::into_inner).clone());
            }
            for message in messages {
                let mut body: Value = serde_json::from_str(message["Body"].as_str().context("a body")?)?;
                if let Some(inner) = body["Message"].as_str() {
                    body = serde_json::from_str(inner)?;
                }
                self.received.lock().unwrap_or_else(PoisonError::into_inner).push(body);
                let receipt = json!({"QueueUrl": self.queue_url, "ReceiptHandle": message["ReceiptHandle"]});
                self.sqs("DeleteMessage", &receipt).await?;
            }
        }
    }

    async fn objects(&self) -> Result<Vec<Value>> {
        let list = self.call("s3", Method::GET, &format!("/{}?list-type=2", self.name), &[], "").await?;
        let list = String::from_utf8(list.to_vec())?;
        ensure!(!list.contains("<IsTruncated>true"), "bucket {} has more objects than one page", self.name);
        let mut documents = Vec::new();
        for part in list.split("<Key>").skip(1) {
            let (key, _) = part.split_once("</Key>").context("a key ends")?;
            let object = self.call("s3", Method::GET, &format!("/{}/{key}", self.name), &[], "").await?;
            documents.push(serde_json::from_slice(&object)?);
        }
        Ok(documents)
    }

    async fn sqs(&self, action: &str, body: &Value) -> Result<Value> {
        let target = format!("AmazonSQS.{action}");
        let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", target.as_str())];
        let response = self.call("sqs", Method::POST, "/", &headers, &body.to_string()).await?;
        // An action without a result has an empty response.
        if response.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&response)?) }
    }

    async fn sns(&self, form: &str) -> Result<()> {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let form = format!("Version=2010-03-31&{form}");
        self.call("sns", Method::POST, "/", &headers, &form).await.map(drop)
    }

    async fn call(
        &self,
        service: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Bytes> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        Ok(self.aws.call(Call { service, region: None, method, path, headers, body }).await?.body)
    }
}

/// The records that a destination's document describes.
fn sent_records(document: &Value, records: &[RecordId]) -> Result<Vec<RecordId>> {
    let event: Option<Value> = match &document["payload"] {
        Value::Null => None,
        // S3 has the event as text, Kafka as it is.
        Value::String(text) => Some(serde_json::from_str(text)?),
        event => Some(event.clone()),
    };
    let Some(event) = event else {
        return records_of_ranges(&document["KafkaBatchInfo"]["recordsInfo"], records);
    };
    let mut sent = Vec::new();
    for record in event["records"].as_object().context("records by partition")?.values() {
        for record in record.as_array().context("a list of records")? {
            let number =
                |name: &str| record[name].as_i64().with_context(|| format!("a record without {name}"));
            sent.push(RecordId {
                topic: record["topic"].as_str().context("a record without topic")?.to_owned(),
                partition: i32::try_from(number("partition")?)?,
                offset: number("offset")?,
                timestamp_ms: number("timestamp")?,
            });
        }
    }
    ensure!(!sent.is_empty(), "an event without records");
    Ok(sent)
}

/// The records of Kafka between the first and the last offset that `ranges` has for each partition.
fn records_of_ranges(ranges: &Value, records: &[RecordId]) -> Result<Vec<RecordId>> {
    let mut sent = Vec::new();
    for (partition, range) in ranges.as_object().context("ranges by partition")? {
        let offset = |name: &str| -> Result<i64> { Ok(range[name].as_str().context("an offset")?.parse()?) };
        let offsets = offset("firstRecordOffset")?..=offset("lastRecordOffset")?;
        let is_sent = |record: &&RecordId| {
            *partition == format!("{}-{}", record.topic, record.partition) && offsets.contains(&record.offset)
        };
        sent.extend(records.iter().filter(is_sent).cloned());
    }
    ensure!(!sent.is_empty(), "ranges without a record");
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(partition: i32, offset: i64) -> RecordId {
        RecordId { topic: "a.events".into(), partition, offset, timestamp_ms: 5 }
    }

    #[test]
    fn a_queue_receives_the_range_of_offsets() {
        let records: Vec<_> = (0..5).flat_map(|offset| [record(0, offset), record(1, offset)]).collect();
        let range = |first: &str, last: &str| json!({"firstRecordOffset": first, "lastRecordOffset": last});
        let info = json!({"a.events-0": range("1", "3"), "a.events-1": range("4", "4")});
        let sent = sent_records(&json!({"KafkaBatchInfo": {"recordsInfo": info}}), &records).unwrap();
        assert_eq!(sent, [record(0, 1), record(0, 2), record(0, 3), record(1, 4)]);
    }

    #[test]
    fn a_bucket_and_a_topic_receive_the_records_themselves() {
        let event = json!({"records": {"a.events-0": [
            {"topic": "a.events", "partition": 0, "offset": 7, "timestamp": 5},
        ]}});
        for payload in [json!(event.to_string()), event] {
            assert_eq!(sent_records(&json!({"payload": payload}), &[]).unwrap(), [record(0, 7)]);
        }
    }

    #[test]
    fn a_document_without_records_is_an_error() {
        assert!(sent_records(&json!({"KafkaBatchInfo": {"recordsInfo": {}}}), &[]).is_err());
        assert!(sent_records(&json!({"payload": {"records": {}}}), &[]).is_err());
    }
}
