//! Reads the records of a topic from Kafka, from a time to the end that the topic has now, and commits nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use thiserror::Error;
use tokio::sync::mpsc::Sender;

use crate::kafka_options::{Consumer, KafkaOptions};
use crate::offsets::OffsetRange;
use crate::record::Record;
use crate::since::Since;

/// Records in a batch.
const BATCH: usize = 500;
/// Bytes of a batch; a record that is larger is a batch by itself.
const BATCH_BYTES: usize = 4 << 20;
/// How long a broker may take for a response.
pub const BROKER_TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const POLL: Duration = Duration::from_millis(100);
/// Without any record or end of a partition for so long, the brokers count as out of reach.
pub const SILENCE: Duration = Duration::from_secs(60);

/// Why a topic can't be read.
#[derive(Debug, Error)]
pub enum SourceError {
    /// A property is unknown or has a bad value.
    #[error("the Kafka client takes not all of its properties: {0}")]
    Config(#[source] KafkaError),
    /// No broker responded.
    #[error("no Kafka broker of {brokers} responded within {} s: {source}", BROKER_TIMEOUT.as_secs())]
    Unreachable {
        /// The brokers that were tried.
        brokers: String,
        /// The client's error.
        source: KafkaError,
    },
    /// There is no such topic.
    #[error("Kafka has no topic `{0}`, or does not show it to this user")]
    UnknownTopic(String),
    /// There is nothing to read.
    #[error("topic `{topic}` has no records {}", since_text(*since))]
    NoRecords {
        /// The topic.
        topic: String,
        /// Where reading would have begun.
        since: Since,
    },
    /// Reading failed.
    #[error("reading topic `{topic}` failed: {source}")]
    Read {
        /// The topic.
        topic: String,
        /// The client's error.
        source: KafkaError,
    },
    /// The brokers became silent.
    #[error("Kafka sent neither records nor the end of topic `{topic}` for {} s", SILENCE.as_secs())]
    Silence {
        /// The topic.
        topic: String,
    },
}

fn since_text(since: Since) -> String {
    match since {
        Since::Beginning => "at all".into(),
        Since::Time(millis) => {
            let time = chrono::DateTime::from_timestamp_millis(millis);
            format!("since {}", time.map(|time| time.to_rfc3339()).unwrap_or_default())
        }
    }
}

/// A topic that is about to be read.
pub struct Source {
    consumer: Consumer,
    topic: String,
    ranges: BTreeMap<i32, OffsetRange>,
}

/// The offsets of each partition of `topic` from a time on, up to the end that it has now. Some may be empty.
///
/// # Errors
/// [`SourceError`]; `brokers` are named in it.
pub fn ranges(
    consumer: &Consumer,
    brokers: &str,
    topic: &str,
    since: Since,
) -> Result<BTreeMap<i32, OffsetRange>, SourceError> {
    let unreachable = |source| SourceError::Unreachable { brokers: brokers.to_owned(), source };
    let metadata = consumer.fetch_metadata(Some(topic), BROKER_TIMEOUT).map_err(unreachable)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
    let Some(found) = found.filter(|found| !found.partitions().is_empty()) else {
        return Err(SourceError::UnknownTopic(topic.to_owned()));
    };
    let mut ranges = BTreeMap::new();
    for partition in found.partitions() {
        let (start, end) =
            consumer.fetch_watermarks(topic, partition.id(), BROKER_TIMEOUT).map_err(unreachable)?;
        ranges.insert(partition.id(), OffsetRange::new(start, end));
    }
    if let Since::Time(millis) = since {
        let mut times = TopicPartitionList::new();
        for partition in ranges.keys() {
            times
                .add_partition_offset(topic, *partition, Offset::Offset(millis))
                .map_err(SourceError::Config)?;
        }
        let offsets = consumer.offsets_for_times(times, BROKER_TIMEOUT).map_err(unreachable)?;
        for element in offsets.elements() {
            let Some(range) = ranges.get_mut(&element.partition()) else { continue };
            let start = match element.offset() {
                Offset::Offset(offset) => offset.clamp(range.start, range.end),
                _ => range.end,
            };
            range.start = start;
        }
    }
    Ok(ranges)
}

impl Source {
    /// Finds out which records are to be read.
    ///
    /// # Errors
    /// [`SourceError`]
    pub fn open(kafka: &KafkaOptions, topic: &str, since: Since) -> Result<Self, SourceError> {
        // Nothing is committed, and with `assign` no group is joined.
        let consumer = kafka.consumer("kafka-to-search-simulate").map_err(SourceError::Config)?;
        let mut ranges = ranges(&consumer, &kafka.bootstrap, topic, since)?;
        ranges.retain(|_, range| !range.is_empty());
        if ranges.is_empty() {
            return Err(SourceError::NoRecords { topic: topic.to_owned(), since });
        }
        Ok(Self { consumer, topic: topic.to_owned(), ranges })
    }

    /// Offsets that are to be read. There are fewer records where the topic is compacted or has transactions.
    pub fn n_offsets(&self) -> u64 {
        self.ranges.values().map(|range| range.len()).sum()
    }

    /// Reads everything and sends it in batches, until `stop` is set or nobody takes them any more. Blocks.
    ///
    /// # Errors
    /// [`SourceError`]
    pub fn read(self, stop: &AtomicBool, batches: &Sender<Vec<Record>>) -> Result<(), SourceError> {
        let read = |source| SourceError::Read { topic: self.topic.clone(), source };
        let mut assigned = TopicPartitionList::new();
        for (partition, range) in &self.ranges {
            assigned
                .add_partition_offset(&self.topic, *partition, Offset::Offset(range.start))
                .map_err(read)?;
        }
        self.consumer.assign(&assigned).map_err(read)?;
        let mut left = self.ranges.clone();
        let (mut batch, mut n_bytes) = (Vec::new(), 0);
        let mut silence = Duration::ZERO;
        while !left.is_empty() && !stop.load(Ordering::Relaxed) {
            let done = match self.consumer.poll(POLL) {
                None => {
                    silence += POLL;
                    if silence >= SILENCE {
                        return Err(SourceError::Silence { topic: self.topic });
                    }
                    continue;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => Some(partition),
                Some(Err(error)) if is_passing(&error) => continue,
                Some(Err(error)) => return Err(read(error)),
                Some(Ok(message)) => {
                    let Some(range) = left.get(&message.partition()) else { continue };
                    if message.offset() < range.end {
                        let record = record(&message);
                        n_bytes += record.len();
                        batch.push(record);
                    }
                    (message.offset() + 1 >= range.end).then(|| message.partition())
                }
            };
            silence = Duration::ZERO;
            if let Some(partition) = done
                && left.remove(&partition).is_some()
            {
                let mut paused = TopicPartitionList::new();
                paused.add_partition(&self.topic, partition);
                self.consumer.pause(&paused).map_err(read)?;
            }
            if batch.len() == BATCH || n_bytes >= BATCH_BYTES {
                n_bytes = 0;
                if batches.blocking_send(std::mem::take(&mut batch)).is_err() {
                    return Ok(());
                }
            }
        }
        if !batch.is_empty() {
            // Nobody takes it if the simulation has ended.
            let _ = batches.blocking_send(batch);
        }
        Ok(())
    }
}

/// Whether the client goes on by itself after this error.
pub fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
        )
    )
}

/// The record of a message.
pub fn record(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map(|headers| {
        let each = headers.iter();
        each.map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec())).collect()
    });
    Record {
        topic: message.topic().to_owned(),
        partition: message.partition().into(),
        offset: message.offset(),
        timestamp_ms: Some(message.timestamp().to_millis().unwrap_or(-1)),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}
