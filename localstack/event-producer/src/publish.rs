//! Publishes records to Kafka and reports how many each topic took, and which were refused and why.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

/// How many partitions a missing topic is created with.
pub const PARTITIONS: i32 = 3;

/// A record to be published.
#[derive(Debug)]
pub struct Record<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its key, if any: records with the same key stay in order.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: &'a [u8],
    /// Its headers, in order.
    pub headers: &'a [(&'a str, &'a str)],
    /// Its timestamp in milliseconds since the epoch; `None` is now.
    pub timestamp_ms: Option<i64>,
    /// Its line in the file or its number among the events. Names it if it is refused.
    pub origin: u64,
}

/// A record that Kafka did not take.
#[derive(Debug)]
pub struct Refused {
    /// The record's [`Record::origin`].
    pub origin: u64,
    /// Why.
    pub error: KafkaError,
}

/// How many records were published and which were refused.
#[derive(Debug, Default)]
pub struct Report {
    /// Records that each topic took.
    pub delivered: BTreeMap<String, u64>,
    /// Records that were refused, in any order.
    pub refused: Vec<Refused>,
}

/// Why records could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The client configuration is wrong.
    #[error("the Kafka client could not be created")]
    Client(#[source] KafkaError),
    /// No broker responded.
    #[error("no Kafka broker responds at {bootstrap_servers}; is it started?")]
    NoBroker {
        /// The addresses that were tried.
        bootstrap_servers: String,
        /// The client's error.
        #[source]
        source: KafkaError,
    },
    /// A topic is missing and could not be created.
    #[error("topic {topic} could not be created: {code}")]
    Topic {
        /// The topic's name.
        topic: String,
        /// The broker's error.
        code: RDKafkaErrorCode,
    },
    /// Some records were still waiting for the broker at the timeout.
    #[error("Kafka did not take the last records in time")]
    Flush(#[source] KafkaError),
}

/// A producer that counts the records that Kafka took.
pub struct Publisher {
    producer: BaseProducer<Deliveries>,
}

/// Takes the delivery reports.
#[derive(Default)]
struct Deliveries {
    report: Mutex<Report>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, origin: Box<u64>) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(message) => *report.delivered.entry(message.topic().to_owned()).or_default() += 1,
            Err((error, _)) => report.refused.push(Refused { origin: *origin, error: error.clone() }),
        }
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Publisher").finish_non_exhaustive()
    }
}

impl Publisher {
    /// Makes a producer and waits until a broker responds.
    ///
    /// # Errors
    /// When no broker responds within `timeout`.
    pub fn connect(bootstrap_servers: &str, timeout: Duration) -> Result<Self, PublishError> {
        let producer: BaseProducer<Deliveries> = client_config(bootstrap_servers)
            // A retry after a lost response must not write a record twice.
            .set("enable.idempotence", "true")
            .set("linger.ms", "20")
            // How long a topic may be unknown before its records are refused.
            .set("topic.metadata.propagation.max.ms", "5000")
            .set("queue.buffering.max.kbytes", "65536")
            .create_with_context(Deliveries::default())
            .map_err(PublishError::Client)?;
        producer.client().fetch_metadata(None, timeout).map_err(|source| PublishError::NoBroker {
            bootstrap_servers: bootstrap_servers.to_owned(),
            source,
        })?;
        Ok(Self { producer })
    }

    /// Queues a record. Waits while the queue is full. A record that can't be queued is in the report, too.
    pub fn publish(&self, record: &Record<'_>) {
        let mut outgoing = base_record(record);
        loop {
            match self.producer.send(outgoing) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    outgoing = back;
                    self.producer.poll(Duration::from_millis(20));
                }
                Err((error, _)) => {
                    let mut report =
                        self.producer.context().report.lock().unwrap_or_else(PoisonError::into_inner);
                    report.refused.push(Refused { origin: record.origin, error });
                    break;
                }
            }
        }
        self.producer.poll(Duration::ZERO);
    }

    /// Waits until every record is taken or refused. Returns the report.
    ///
    /// # Errors
    /// When records are still waiting after `timeout`.
    pub fn finish(self, timeout: Duration) -> Result<Report, PublishError> {
        self.producer.flush(timeout).map_err(PublishError::Flush)?;
        let mut report = self.producer.context().report.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut report))
    }
}

fn base_record<'a>(record: &Record<'a>) -> BaseRecord<'a, [u8], [u8], Box<u64>> {
    let mut outgoing =
        BaseRecord::with_opaque_to(record.topic, Box::new(record.origin)).payload(record.value);
    if let Some(key) = record.key {
        outgoing = outgoing.key(key);
    }
    if let Some(timestamp_ms) = record.timestamp_ms {
        outgoing = outgoing.timestamp(timestamp_ms);
    }
    if !record.headers.is_empty() {
        let headers = record
            .headers
            .iter()
            .fold(OwnedHeaders::new_with_capacity(record.headers.len()), |headers, (name, value)| {
                headers.insert(Header { key: name, value: Some(*value) })
            });
        outgoing = outgoing.headers(headers);
    }
    outgoing
}

/// Creates the missing ones of `topics`, with [`PARTITIONS`] partitions. Returns the created ones.
///
/// # Errors
/// When the broker does not respond or refuses.
pub async fn create_missing_topics(
    bootstrap_servers: &str,
    topics: &[&str],
    timeout: Duration,
) -> Result<Vec<String>, PublishError> {
    let admin: AdminClient<DefaultClientContext> =
        client_config(bootstrap_servers).create().map_err(PublishError::Client)?;
    // -1 leaves the replication factor to the broker's default.
    let wanted: Vec<NewTopic<'_>> =
        topics.iter().map(|topic| NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(-1))).collect();
    let options = AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
    let results = admin.create_topics(&wanted, &options).await.map_err(|source| PublishError::NoBroker {
        bootstrap_servers: bootstrap_servers.to_owned(),
        source,
    })?;
    let mut made = Vec::new();
    for result in results {
        match result {
            Ok(topic) => made.push(topic),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(PublishError::Topic { topic, code }),
        }
    }
    Ok(made)
}

fn client_config(bootstrap_servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap_servers).set("client.id", "event-producer");
    config
}
