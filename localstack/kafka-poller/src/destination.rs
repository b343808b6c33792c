//! Sends discarded records to the mapping's on-failure destination.
//!
//! The records' form is that of <https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html> and
//! <https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure-destination.html>.

use std::time::Duration;

use base64_simd::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use http::Method;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::aws::{Aws, Call, CallError};
use crate::delivery::Condition;
use crate::event::EventShape;
use crate::mapping::{Mapping, Source};
use crate::percent::encode;
use crate::record::{EncodedRecord, PartitionRecords};

const PRODUCE_TIMEOUT: Duration = Duration::from_secs(30);

/// Where discarded records go.
pub enum Destination {
    /// An SQS queue: gets a description of the records.
    Sqs {
        /// Makes the calls.
        aws: Aws,
        /// The queue.
        queue: Arn,
    },
    /// An SNS topic: gets a description of the records.
    Sns {
        /// Makes the calls.
        aws: Aws,
        /// The topic.
        topic: Arn,
    },
    /// An S3 bucket: gets the description and the whole event.
    S3 {
        /// Makes the calls.
        aws: Aws,
        /// The bucket.
        bucket: String,
    },
    /// A topic of the same Kafka cluster: gets each record.
    Kafka {
        /// Writes to the cluster.
        producer: FutureProducer,
        /// The topic.
        topic: String,
        /// The form of the events in it.
        shape: EventShape,
    },
}

/// Names a resource of AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arn {
    text: String,
    region: String,
    account: String,
    resource: String,
}

/// Discarded records, and why they are discarded.
#[derive(Debug)]
pub struct Discarded<'a> {
    /// The mapping.
    pub mapping: &'a Mapping,
    /// Why.
    pub condition: Condition,
    /// How often the function was invoked with them.
    pub n_invoked: u32,
    /// The last of these invocations.
    pub last: Option<&'a LastInvocation>,
    /// The event that the function gets for them.
    pub event: Bytes,
    /// The records.
    pub parts: &'a [PartitionRecords],
}

/// How the last invocation ended.
#[derive(Clone, Debug)]
pub struct LastInvocation {
    /// Its id.
    pub request_id: String,
    /// The HTTP status.
    pub status: u16,
    /// The version that ran.
    pub executed_version: String,
    /// `Handled` or `Unhandled` if the function failed.
    pub function_error: Option<String>,
}

/// Why a destination can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// Lambda has no such destination.
    #[error(
        "on-failure destination `{destination}` is not the ARN of an SQS queue, SNS topic or S3 bucket, nor kafka://TOPIC"
    )]
    Unknown {
        /// As the mapping names it.
        destination: String,
    },
    /// Its records would come back to the same mapping.
    #[error("on-failure destination kafka://{topic} is the topic that the mapping reads")]
    OwnTopic {
        /// The topic.
        topic: String,
    },
    /// A call to AWS failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The queue's URL is not in the response.
    #[error("SQS did not return the queue's URL")]
    QueueUrl(#[source] serde_json::Error),
    /// Kafka did not take a record.
    #[error("topic {topic} did not take the record")]
    Produce {
        /// The topic.
        topic: String,
        /// Why.
        #[source]
        source: KafkaError,
    },
    /// An encoded record can't be parsed.
    #[error("a discarded record can't be read back")]
    Record(#[source] serde_json::Error),
}

impl Destination {
    /// Makes the destination that a mapping names. `kafka` is the configuration of its cluster.
    ///
    /// # Errors
    /// When Lambda has no such destination.
    pub fn new(
        mapping: &Mapping,
        aws: &Aws,
        kafka: &ClientConfig,
        shape: &EventShape,
    ) -> Result<Option<Self>, DestinationError> {
        let Some(destination) = &mapping.destination else { return Ok(None) };
        if let Some(topic) = destination.strip_prefix("kafka://") {
            if topic == mapping.topic {
                return Err(DestinationError::OwnTopic { topic: topic.to_owned() });
            }
            let produce_error = |source| DestinationError::Produce { topic: topic.to_owned(), source };
            let mut config = kafka.clone();
            config
                .set("message.timeout.ms", "15000")
                .set("topic.metadata.propagation.max.ms", "5000")
                .set("enable.idempotence", "true")
                // The topic decides what is too large.
                .set("message.max.bytes", "100000000");
            let producer = config.create().map_err(produce_error)?;
            return Ok(Some(Self::Kafka { producer, topic: topic.to_owned(), shape: shape.clone() }));
        }
        let unknown = || DestinationError::Unknown { destination: destination.clone() };
        let (service, arn) = Arn::parse(destination).ok_or_else(unknown)?;
        let aws = aws.clone();
        Ok(Some(match service.as_str() {
            "sqs" => Self::Sqs { aws, queue: arn },
            "sns" => Self::Sns { aws, topic: arn },
            "s3" => Self::S3 { aws, bucket: arn.resource },
            _ => return Err(unknown()),
        }))
    }

    /// Sends discarded records. `now_ms` is the time in their description.
    ///
    /// # Errors
    /// When the destination did not take all of them.
    pub async fn send(&self, discarded: &Discarded<'_>, now_ms: i64) -> Result<(), DestinationError> {
        match self {
            Self::Sqs { aws, queue } => {
                send_to_queue(aws, queue, &metadata(discarded, now_ms).to_string()).await
            }
            Self::Sns { aws, topic } => publish(aws, topic, &metadata(discarded, now_ms).to_string()).await,
            Self::S3 { aws, bucket } => {
                let mut document = metadata(discarded, now_ms);
                if let Some(fields) = document.as_object_mut() {
                    let event = String::from_utf8_lossy(&discarded.event).into_owned();
                    fields.insert("payload".to_owned(), Value::String(event));
                }
                put_object(aws, bucket, &object_key(discarded, now_ms), document.to_string()).await
            }
            Self::Kafka { producer, topic, shape } => {
                produce(producer, topic, shape, discarded, now_ms).await
            }
        }
    }
}

impl Arn {
    /// Parses an ARN. Returns its service, too.
    #[must_use]
    pub fn parse(text: &str) -> Option<(String, Self)> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", _, service, region, account, resource] = parts.as_slice() else { return None };
        let arn = Self {
            text: text.to_owned(),
            region: (*region).to_owned(),
            account: (*account).to_owned(),
            resource: (*resource).to_owned(),
        };
        Some(((*service).to_owned(), arn))
    }
}

/// The description for SQS and SNS. For S3 the event is added to it.
#[must_use]
pub fn metadata(discarded: &Discarded<'_>, now_ms: i64) -> Value {
    let topic = &discarded.mapping.topic;
    let mut records_info = Map::new();
    for part in discarded.parts {
        let (Some(first), Some(last)) = (part.records.first(), part.records.last()) else { continue };
        let info = json!({
            "firstRecordOffset": first.offset.to_string(),
            "lastRecordOffset": last.offset.to_string(),
            "firstRecordTimestamp": iso(first.timestamp_ms),
            "lastRecordTimestamp": iso(last.timestamp_ms),
        });
        records_info.insert(format!("{topic}-{}", part.partition()), info);
    }
    let n_records = discarded.parts.iter().map(|part| part.records.len()).sum();
    let batch_info =
        batch_info(discarded, n_records, discarded.event.len(), ("recordsInfo", records_info.into()));
    document(discarded, &batch_info, now_ms)
}

fn document(discarded: &Discarded<'_>, batch_info: &Value, now_ms: i64) -> Value {
    let response =
        match discarded.last.filter(|_| discarded.condition != Condition::MaximumPayloadSizeExceeded) {
            None => Value::Null,
            Some(last) => {
                let mut response =
                    json!({"statusCode": last.status, "executedVersion": last.executed_version});
                if let (Some(error), Some(fields)) = (&last.function_error, response.as_object_mut()) {
                    fields.insert("functionError".to_owned(), Value::String(error.clone()));
                }
                response
            }
        };
    json!({
        "requestContext": {
            "requestId": discarded.last.map_or("", |last| &last.request_id),
            "functionArn": discarded.mapping.function_arn,
            "condition": discarded.condition.name(),
            "approximateInvokeCount": discarded.n_invoked,
        },
        "responseContext": response,
        "version": "1.0",
        "timestamp": iso(now_ms),
        "KafkaBatchInfo": batch_info,
    })
}

fn batch_info(discarded: &Discarded<'_>, n_records: usize, n_bytes: usize, records: (&str, Value)) -> Value {
    let mut info = json!({"batchSize": n_records, "payloadSize": n_bytes});
    if let Some(fields) = info.as_object_mut() {
        if let Source::Msk { cluster_arn } = &discarded.mapping.source {
            fields.insert("eventSourceArn".to_owned(), Value::String(cluster_arn.clone()));
        }
        let servers = EventHead::bootstrap_servers(&discarded.event);
        fields.insert("bootstrapServers".to_owned(), Value::String(servers));
        fields.insert(records.0.to_owned(), records.1);
    }
    info
}

#[derive(Deserialize)]
struct EventHead {
    #[serde(rename = "bootstrapServers")]
    bootstrap_servers: String,
}

impl EventHead {
    fn bootstrap_servers(event: &[u8]) -> String {
        serde_json::from_slice(event).map(|head: Self| head.bootstrap_servers).unwrap_or_default()
    }
}

async fn send_to_queue(aws: &Aws, queue: &Arn, message: &str) -> Result<(), DestinationError> {
    #[derive(Deserialize)]
    struct QueueUrl {
        #[serde(rename = "QueueUrl")]
        url: String,
    }
    let call = async |action: &str, body: Value| {
        let target = format!("AmazonSQS.{action}");
        let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", target.as_str())];
        let body = Bytes::from(body.to_string());
        let region = Some(queue.region.as_str());
        aws.call(Call { service: "sqs", region, method: Method::POST, path: "/", headers: &headers, body })
            .await
    };
    let name = json!({"QueueName": queue.resource, "QueueOwnerAWSAccountId": queue.account});
    let response = call("GetQueueUrl", name).await?;
    let QueueUrl { url } = serde_json::from_slice(&response.body).map_err(DestinationError::QueueUrl)?;
    call("SendMessage", json!({"QueueUrl": url, "MessageBody": message})).await?;
    Ok(())
}

async fn publish(aws: &Aws, topic: &Arn, message: &str) -> Result<(), DestinationError> {
    let form = format!(
        "Action=Publish&Version=2010-03-31&TopicArn={}&Message={}",
        encode(&topic.text),
        encode(message)
    );
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let region = Some(topic.region.as_str());
    let body = Bytes::from(form);
    aws.call(Call { service: "sns", region, method: Method::POST, path: "/", headers: &headers, body })
        .await?;
    Ok(())
}

async fn put_object(aws: &Aws, bucket: &str, key: &str, body: String) -> Result<(), DestinationError> {
    let key: Vec<String> = key.split('/').map(encode).collect();
    let path = format!("/{bucket}/{}", key.join("/"));
    let headers = [("content-type", "application/json")];
    let body = Bytes::from(body);
    aws.call(Call { service: "s3", region: None, method: Method::PUT, path: &path, headers: &headers, body })
        .await?;
    Ok(())
}

/// The object's key: like Lambda's it has the mapping, the source and the time. Instead of a random number it ends with
/// the first record's offset, so that a record sent twice after a crash is one object.
fn object_key(discarded: &Discarded<'_>, now_ms: i64) -> String {
    let Mapping { uuid, topic, .. } = discarded.mapping;
    let first = discarded.parts.first().and_then(|part| Some((part.partition(), part.records.first()?)));
    let (partition, offset, time_ms) =
        first.map_or((0, 0, now_ms), |(partition, record)| (partition, record.offset, record.timestamp_ms));
    let time = DateTime::from_timestamp_millis(time_ms).unwrap_or_default();
    let n_records: usize = discarded.parts.iter().map(|part| part.records.len()).sum();
    format!(
        "aws/lambda/{uuid}/{topic}-{partition}/{}-{offset}-{n_records}",
        time.format("%Y/%m/%d/%Y-%m-%dT%H.%M.%S")
    )
}

async fn produce(
    producer: &FutureProducer,
    topic: &str,
    shape: &EventShape,
    discarded: &Discarded<'_>,
    now_ms: i64,
) -> Result<(), DestinationError> {
    for part in discarded.parts {
        for record in &part.records {
            let key = key_of(record)?;
            let value = record_document(shape, discarded, part, record, now_ms)?;
            let mut outgoing = FutureRecord::to(topic).payload(&value);
            if let Some(key) = &key {
                outgoing = outgoing.key(key);
            }
            producer
                .send(outgoing, PRODUCE_TIMEOUT)
                .await
                .map_err(|(source, _)| DestinationError::Produce { topic: topic.to_owned(), source })?;
        }
    }
    Ok(())
}

/// The description of one record, with the record as the function would get it.
fn record_document(
    shape: &EventShape,
    discarded: &Discarded<'_>,
    part: &PartitionRecords,
    record: &EncodedRecord,
    now_ms: i64,
) -> Result<String, DestinationError> {
    let single = PartitionRecords { assignment: part.assignment, records: vec![record.clone()] };
    let event = shape.event(&[single]);
    let info = json!({"offset": record.offset.to_string(), "timestamp": iso(record.timestamp_ms)});
    let batch_info = batch_info(discarded, 1, event.len(), ("recordInfo", info));
    let mut document: Map<String, Value> = match document(discarded, &batch_info, now_ms) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    let payload = serde_json::from_slice(&event).map_err(DestinationError::Record)?;
    document.insert("payload".to_owned(), payload);
    Ok(Value::Object(document).to_string())
}

fn key_of(record: &EncodedRecord) -> Result<Option<Vec<u8>>, DestinationError> {
    #[derive(Deserialize)]
    struct Key {
        key: Option<String>,
    }
    let Key { key } = serde_json::from_slice(&record.json).map_err(DestinationError::Record)?;
    Ok(key.and_then(|key| STANDARD.decode_to_vec(key).ok()))
}

/// Formats a time as Lambda does. A record without a timestamp has −1.
fn iso(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}
