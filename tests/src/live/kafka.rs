//! Kafka as a test uses it: topics, records, and how far a consumer group is.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::block_in_place;

use crate::account::RecordId;

const TIMEOUT: Duration = Duration::from_secs(30);
/// Longer than the broker is ever down in a test.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(120);

/// Leaves the number of replicas to the brokers.
const BROKERS_DEFAULT: i32 = -1;

/// The cluster.
#[derive(Clone, Debug)]
pub struct Kafka {
    bootstrap_servers: String,
}

/// A record to publish.
#[derive(Clone, Debug, Default)]
pub struct NewRecord {
    /// The key, if any.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The timestamp; `None` for now.
    pub timestamp_ms: Option<i64>,
    /// The partition; `None` to choose by key.
    pub partition: Option<i32>,
}

impl NewRecord {
    /// A record with only a value.
    pub fn of(value: impl Into<Vec<u8>>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }
}

impl Kafka {
    /// Names the cluster.
    #[must_use]
    pub fn new(bootstrap_servers: &str) -> Self {
        Self { bootstrap_servers: bootstrap_servers.to_owned() }
    }

    /// Creates a topic with the cluster's own number of replicas; returns when it can be written to.
    ///
    /// # Errors
    /// When the broker rejects the request.
    pub async fn create_topic(&self, topic: &str, partitions: i32) -> Result<()> {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(BROKERS_DEFAULT));
        let results = self.admin()?.create_topics([&new], &admin_options()).await?;
        done(results.into_iter().next(), topic)?;
        self.wait_for_partitions(topic, partitions)
    }

    /// Deletes a topic; returns when it is gone.
    ///
    /// # Errors
    /// When the broker rejects the request.
    pub async fn delete_topic(&self, topic: &str) -> Result<()> {
        let results = self.admin()?.delete_topics(&[topic], &admin_options()).await?;
        done(results.into_iter().next(), topic)?;
        self.wait_for_partitions(topic, 0)
    }

    /// Adds partitions to a topic, up to `total`.
    ///
    /// # Errors
    /// When the broker rejects the request.
    pub async fn add_partitions(&self, topic: &str, total: i32) -> Result<()> {
        let new = NewPartitions::new(topic, usize::try_from(total)?);
        let results = self.admin()?.create_partitions([&new], &admin_options()).await?;
        done(results.into_iter().next(), topic)?;
        self.wait_for_partitions(topic, total)
    }

    /// Removes a partition's records before `offset`, as retention does.
    ///
    /// # Errors
    /// When the broker rejects the request.
    pub async fn delete_records(&self, topic: &str, partition: i32, offset: i64) -> Result<()> {
        let mut before = TopicPartitionList::new();
        before.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        let deleted = self.admin()?.delete_records(&before, &admin_options()).await?;
        deleted.elements().iter().try_for_each(|element| element.error()).context("records are not deleted")
    }

    /// Publishes records in order; returns when Kafka has them all.
    ///
    /// # Errors
    /// When Kafka did not accept one of them.
    pub fn publish(&self, topic: &str, records: &[NewRecord]) -> Result<()> {
        let publisher = Publisher::new(self, topic)?;
        for record in records {
            publisher.send(record)?;
        }
        publisher.finish()
    }

    /// Reads a topic from end to end.
    ///
    /// # Errors
    /// When the broker does not respond.
    pub fn read(&self, topic: &str) -> Result<Vec<RecordId>> {
        self.read_with(topic, |record, _| record)
    }

    /// Reads the values of a topic from end to end; a tombstone's is empty.
    ///
    /// # Errors
    /// When the broker does not respond.
    pub fn read_values(&self, topic: &str) -> Result<Vec<Vec<u8>>> {
        self.read_with(topic, |_, value| value.to_vec())
    }

    fn read_with<T>(&self, topic: &str, read: impl Fn(RecordId, &[u8]) -> T) -> Result<Vec<T>> {
        block_in_place(|| {
            let mut left = BTreeMap::new();
            let mut assignment = TopicPartitionList::new();
            let consumer = self.consumer("integration-tests-reader")?;
            for partition in partitions(&consumer, topic)? {
                let (low, high) = consumer.fetch_watermarks(topic, partition, TIMEOUT)?;
                if low < high {
                    left.insert(partition, high);
                    assignment.add_partition_offset(topic, partition, Offset::Offset(low))?;
                }
            }
            consumer.assign(&assignment)?;
            let mut records = Vec::new();
            let deadline = Instant::now() + Duration::from_secs(60);
            while !left.is_empty() {
                ensure!(Instant::now() < deadline, "reading {topic} does not end; left: {left:?}");
                let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
                let message = message?;
                let (partition, offset) = (message.partition(), message.offset());
                if left.get(&partition).is_some_and(|end| offset + 1 >= *end) {
                    left.remove(&partition);
                }
                let timestamp_ms = message.timestamp().to_millis().unwrap_or(-1);
                let record = RecordId { topic: topic.to_owned(), partition, offset, timestamp_ms };
                records.push(read(record, message.payload().unwrap_or_default()));
            }
            Ok(records)
        })
    }

    /// The end offset of each partition of a topic.
    ///
    /// # Errors
    /// When the broker does not respond.
    pub fn end_offsets(&self, topic: &str) -> Result<BTreeMap<i32, i64>> {
        block_in_place(|| {
            let consumer = self.consumer("integration-tests-reader")?;
            let mut ends = BTreeMap::new();
            for partition in partitions(&consumer, topic)? {
                ends.insert(partition, consumer.fetch_watermarks(topic, partition, TIMEOUT)?.1);
            }
            Ok(ends)
        })
    }

    /// How many records a consumer group is behind. Without a committed offset, it counts from the topic's beginning.
    ///
    /// # Errors
    /// When the broker does not respond.
    pub fn lag(&self, group: &str, topic: &str) -> Result<i64> {
        block_in_place(|| {
            let consumer = self.consumer(group)?;
            let mut all = TopicPartitionList::new();
            let mut ranges = BTreeMap::new();
            for partition in partitions(&consumer, topic)? {
                all.add_partition(topic, partition);
                ranges.insert(partition, consumer.fetch_watermarks(topic, partition, TIMEOUT)?);
            }
            let mut lag = 0;
            for element in consumer.committed_offsets(all, TIMEOUT)?.elements() {
                let (low, high) = ranges.get(&element.partition()).context("a partition of the topic")?;
                let committed = match element.offset() {
                    Offset::Offset(offset) => offset,
                    _ => *low,
                };
                lag += (high - committed).max(0);
            }
            Ok(lag)
        })
    }

    /// The partitions of a topic without a leader, or with fewer in-sync replicas than they have.
    ///
    /// # Errors
    /// When no broker responds.
    pub fn under_replicated(&self, topic: &str) -> Result<Vec<i32>> {
        block_in_place(|| {
            let consumer = self.consumer("integration-tests-reader")?;
            let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            let partitions = found.context("the metadata of the topic")?.partitions();
            ensure!(!partitions.is_empty(), "{topic} has no partitions at the moment");
            let lacking =
                partitions.iter().filter(|it| it.leader() < 0 || it.isr().len() < it.replicas().len());
            Ok(lacking.map(|partition| partition.id()).collect())
        })
    }

    fn wait_for_partitions(&self, topic: &str, n_partitions: i32) -> Result<()> {
        block_in_place(|| {
            let consumer = self.consumer("integration-tests-reader")?;
            let deadline = Instant::now() + TIMEOUT;
            loop {
                // A missing topic is an error here.
                let found = partitions(&consumer, topic).map_or(0, |partitions| partitions.len());
                if i32::try_from(found)? == n_partitions {
                    return Ok(());
                }
                ensure!(
                    Instant::now() < deadline,
                    "topic {topic} has {found} partitions, not {n_partitions}"
                );
                std::thread::sleep(Duration::from_millis(50));
            }
        })
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap_servers).set("reconnect.backoff.max.ms", "1000");
        config
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(self.config().create()?)
    }

    fn consumer(&self, group: &str) -> Result<BaseConsumer> {
        let mut config = self.config();
        config.set("group.id", group).set("enable.auto.commit", "false").set("auto.offset.reset", "error");
        Ok(config.create()?)
    }
}

fn admin_options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT))
}

fn done(result: Option<Result<String, (String, RDKafkaErrorCode)>>, topic: &str) -> Result<()> {
    match result {
        Some(Ok(_)) => Ok(()),
        Some(Err((_, code))) => bail!("topic {topic}: {code}"),
        None => bail!("topic {topic}: no result"),
    }
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    let topics = metadata.topics();
    let found = topics.iter().find(|found| found.name() == topic).context("the metadata of the topic")?;
    if let Some(error) = found.error() {
        bail!("topic {topic}: {}", RDKafkaErrorCode::from(error));
    }
    Ok(found.partitions().iter().map(|partition| partition.id()).collect())
}

/// Publishes to one topic.
pub struct Publisher {
    producer: BaseProducer<Rejections>,
    topic: String,
}

/// Receives the delivery reports; keeps those of records that Kafka rejected.
#[derive(Default)]
struct Rejections(Mutex<Vec<KafkaError>>);

impl ClientContext for Rejections {}

impl ProducerContext for Rejections {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(error.clone());
        }
    }
}

impl Publisher {
    /// Creates an idempotent producer that waits while the broker is down.
    ///
    /// # Errors
    /// When it can't be created.
    pub fn new(kafka: &Kafka, topic: &str) -> Result<Self> {
        let mut config = kafka.config();
        config
            .set("enable.idempotence", "true")
            .set("message.max.bytes", "8000000")
            .set("message.timeout.ms", PUBLISH_TIMEOUT.as_millis().to_string());
        Ok(Self { producer: config.create_with_context(Rejections::default())?, topic: topic.to_owned() })
    }

    /// Queues a record; waits while the buffer is full.
    ///
    /// # Errors
    /// When it can't be queued.
    pub fn send(&self, record: &NewRecord) -> Result<()> {
        let mut outgoing: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.topic);
        if let Some(key) = &record.key {
            outgoing = outgoing.key(key);
        }
        if let Some(value) = &record.value {
            outgoing = outgoing.payload(value);
        }
        if let Some(timestamp_ms) = record.timestamp_ms {
            outgoing = outgoing.timestamp(timestamp_ms);
        }
        if let Some(partition) = record.partition {
            outgoing = outgoing.partition(partition);
        }
        if !record.headers.is_empty() {
            let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key, value: Some(value) })
            });
            outgoing = outgoing.headers(headers);
        }
        loop {
            match self.producer.send(outgoing) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    outgoing = back;
                    self.producer.poll(Duration::from_millis(20));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    /// Serves delivery reports without waiting for the broker.
    pub fn poll(&self) {
        self.producer.poll(Duration::ZERO);
    }

    /// Waits until Kafka has every record.
    ///
    /// # Errors
    /// When Kafka did not accept a record.
    pub fn finish(self) -> Result<()> {
        let unacknowledged = self.settle()?;
        match unacknowledged.first() {
            None => Ok(()),
            Some(first) => bail!("Kafka did not accept {} records: {first}", unacknowledged.len()),
        }
    }

    /// Waits until each record is acknowledged or given up. Returns an error for each that was given up: Kafka may have it or not.
    ///
    /// # Errors
    /// When some are neither in time.
    pub fn settle(self) -> Result<Vec<KafkaError>> {
        // A record is given up in this time, so that the flush ends before.
        self.producer.flush(PUBLISH_TIMEOUT + TIMEOUT).context("Kafka does not accept the last records")?;
        let mut rejected = self.producer.context().0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *rejected))
    }
}
