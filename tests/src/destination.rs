//! An on-failure destination of a test's own: a queue, an SNS topic, a bucket or a Kafka topic, and the records that it
//! was told of.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Method;
use kafka_poller::aws::{Aws, Call};
use serde_json::{Value, json};

use crate::account::{Found, Place, RecordId};
use crate::flow::{World, unique};
use crate::kafka::Kafka;

const OWNER: &str = "us-east-1:000000000000";

/// What takes the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An SQS queue.
    Queue,
    /// An SNS topic, which a queue of the test subscribes to.
    Notifications,
    /// An S3 bucket.
    Bucket,
    /// A topic of the same cluster.
    KafkaTopic,
}

/// A destination.
#[derive(Clone, Debug)]
pub struct Destination {
    kind: Kind,
    name: String,
    aws: Aws,
    kafka: Kafka,
    queue_url: String,
    /// What was taken out of the queue by now.
    taken: Arc<Mutex<Vec<Value>>>,
}

impl Destination {
    /// Makes one.
    ///
    /// # Errors
    /// When LocalStack or Kafka refuses.
    pub async fn make(world: &World, kind: Kind) -> Result<Self> {
        let name = format!("failed-{}", unique());
        let mut made = Self {
            kind,
            name,
            aws: world.lambda.aws(),
            kafka: world.kafka.clone(),
            queue_url: String::new(),
            taken: Arc::default(),
        };
        match kind {
            Kind::Queue => made.make_queue().await?,
            Kind::Notifications => {
                made.make_queue().await?;
                made.sns(&format!("Action=CreateTopic&Name={}", made.name)).await?;
                let endpoint = format!("arn:aws:sqs:{OWNER}:{}", made.name);
                let topic = made.arn();
                made.sns(&format!("Action=Subscribe&Protocol=sqs&TopicArn={topic}&Endpoint={endpoint}"))
                    .await?;
            }
            Kind::Bucket => drop(made.call("s3", Method::PUT, &format!("/{}", made.name), &[], "").await?),
            Kind::KafkaTopic => made.kafka.create_topic(&made.name, 1).await?,
        }
        Ok(made)
    }

    /// As a mapping names it.
    #[must_use]
    pub fn arn(&self) -> String {
        let name = &self.name;
        match self.kind {
            Kind::Queue => format!("arn:aws:sqs:{OWNER}:{name}"),
            Kind::Notifications => format!("arn:aws:sns:{OWNER}:{name}"),
            Kind::Bucket => format!("arn:aws:s3:::{name}"),
            Kind::KafkaTopic => format!("kafka://{name}"),
        }
    }

    /// The records that it was told of. `records` are those of Kafka: a queue is told of offsets alone.
    ///
    /// # Errors
    /// When it can't be read, or what is in it is not as Lambda documents it.
    pub async fn found(&self, records: &[RecordId]) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        for document in self.documents().await? {
            let told = told_records(&document, records).with_context(|| format!("in {document}"))?;
            found.extend(told.iter().map(|record| Found {
                id: record.document_id(),
                index: self.arn(),
                place: Place::Destination,
            }));
        }
        Ok(found)
    }

    async fn documents(&self) -> Result<Vec<Value>> {
        match self.kind {
            Kind::Queue | Kind::Notifications => self.queued().await,
            Kind::Bucket => self.objects().await,
            Kind::KafkaTopic => {
                let values = self.kafka.read_values(&self.name)?;
                Ok(values.iter().map(|value| serde_json::from_slice(value)).collect::<Result<_, _>>()?)
            }
        }
    }

    async fn make_queue(&mut self) -> Result<()> {
        let made = self.sqs("CreateQueue", &json!({"QueueName": self.name})).await?;
        self.queue_url = made["QueueUrl"].as_str().context("the queue has a URL")?.to_owned();
        Ok(())
    }

    /// Takes all messages out of the queue; gives them with those that were taken before.
    async fn queued(&self) -> Result<Vec<Value>> {
        loop {
            let asked = json!({"QueueUrl": self.queue_url, "MaxNumberOfMessages": 10});
            let received = self.sqs("ReceiveMessage", &asked).await?;
            let messages = received["Messages"].as_array().cloned().unwrap_or_default();
            if messages.is_empty() {
                return Ok(self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone());
            }
            for message in messages {
                let mut body: Value = serde_json::from_str(message["Body"].as_str().context("a body")?)?;
                if let Some(inner) = body["Message"].as_str() {
                    body = serde_json::from_str(inner)?;
                }
                self.taken.lock().unwrap_or_else(PoisonError::into_inner).push(body);
                let taken = json!({"QueueUrl": self.queue_url, "ReceiptHandle": message["ReceiptHandle"]});
                self.sqs("DeleteMessage", &taken).await?;
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
        let answer = self.call("sqs", Method::POST, "/", &headers, &body.to_string()).await?;
        // An action without a result answers with nothing.
        if answer.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&answer)?) }
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

/// The records that a document of a destination is about.
fn told_records(document: &Value, records: &[RecordId]) -> Result<Vec<RecordId>> {
    let event: Option<Value> = match &document["payload"] {
        Value::Null => None,
        // S3 has the event as text, Kafka as it is.
        Value::String(text) => Some(serde_json::from_str(text)?),
        event => Some(event.clone()),
    };
    let Some(event) = event else {
        return records_of_ranges(&document["KafkaBatchInfo"]["recordsInfo"], records);
    };
    let mut told = Vec::new();
    for record in event["records"].as_object().context("records by partition")?.values() {
        for record in record.as_array().context("a list of records")? {
            let number =
                |name: &str| record[name].as_i64().with_context(|| format!("a record without {name}"));
            told.push(RecordId {
                topic: record["topic"].as_str().context("a record without topic")?.to_owned(),
                partition: i32::try_from(number("partition")?)?,
                offset: number("offset")?,
                timestamp_ms: number("timestamp")?,
            });
        }
    }
    ensure!(!told.is_empty(), "an event without records");
    Ok(told)
}

/// The records of Kafka between the first and the last offset that `ranges` has for each partition.
fn records_of_ranges(ranges: &Value, records: &[RecordId]) -> Result<Vec<RecordId>> {
    let mut told = Vec::new();
    for (partition, range) in ranges.as_object().context("ranges by partition")? {
        let offset = |name: &str| -> Result<i64> { Ok(range[name].as_str().context("an offset")?.parse()?) };
        let offsets = offset("firstRecordOffset")?..=offset("lastRecordOffset")?;
        let is_told = |record: &&RecordId| {
            *partition == format!("{}-{}", record.topic, record.partition) && offsets.contains(&record.offset)
        };
        told.extend(records.iter().filter(is_told).cloned());
    }
    ensure!(!told.is_empty(), "ranges without a record");
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(partition: i32, offset: i64) -> RecordId {
        RecordId { topic: "a.events".into(), partition, offset, timestamp_ms: 5 }
    }

    #[test]
    fn a_queue_tells_of_all_offsets_from_the_first_to_the_last() {
        let records: Vec<_> = (0..5).flat_map(|offset| [record(0, offset), record(1, offset)]).collect();
        let range = |first: &str, last: &str| json!({"firstRecordOffset": first, "lastRecordOffset": last});
        let info = json!({"a.events-0": range("1", "3"), "a.events-1": range("4", "4")});
        let told = told_records(&json!({"KafkaBatchInfo": {"recordsInfo": info}}), &records).unwrap();
        assert_eq!(told, [record(0, 1), record(0, 2), record(0, 3), record(1, 4)]);
    }

    #[test]
    fn a_bucket_and_a_topic_have_the_records_themselves() {
        let event = json!({"records": {"a.events-0": [
            {"topic": "a.events", "partition": 0, "offset": 7, "timestamp": 5},
        ]}});
        for payload in [json!(event.to_string()), event] {
            assert_eq!(told_records(&json!({"payload": payload}), &[]).unwrap(), [record(0, 7)]);
        }
    }

    #[test]
    fn a_document_about_no_record_is_refused() {
        assert!(told_records(&json!({"KafkaBatchInfo": {"recordsInfo": {}}}), &[]).is_err());
        assert!(told_records(&json!({"payload": {"records": {}}}), &[]).is_err());
    }
}
