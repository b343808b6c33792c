//! Reads offsets, and the records at some of them, from Kafka. It commits nothing and joins no group.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc::Sender;

use crate::kafka_options::{Consumer, KafkaOptions};
use crate::offsets::{OffsetRange, OffsetSet};
use crate::record::Record;
use crate::since::Since;
use crate::source::{BROKER_TIMEOUT, SILENCE, SourceError, is_passing, ranges, record};

/// Records in a batch.
const BATCH: usize = 500;
/// Bytes of a batch; a record that is larger is a batch by itself.
const BATCH_BYTES: usize = 4 << 20;
const POLL: Duration = Duration::from_millis(100);
/// Offsets that are read and skipped, rather than to seek behind them.
const SKIPPED: u32 = 2_000;

/// A consumer that reads partitions of a topic by their offsets. Its calls block.
pub struct Broker {
    consumer: Consumer,
    brokers: String,
}

impl Broker {
    /// Makes one that knows the committed offsets of `group`.
    ///
    /// # Errors
    /// [`SourceError::Config`]
    pub fn new(kafka: &KafkaOptions, group: &str) -> Result<Self, SourceError> {
        let consumer = kafka.consumer(group).map_err(SourceError::Config)?;
        Ok(Self { consumer, brokers: kafka.bootstrap.clone() })
    }

    /// The offsets of each partition of `topic` from a time on, up to the end that it has now.
    ///
    /// # Errors
    /// [`SourceError`]
    pub fn ranges(&self, topic: &str, since: Since) -> Result<BTreeMap<i32, OffsetRange>, SourceError> {
        ranges(&self.consumer, &self.brokers, topic, since)
    }

    /// The offset that the group has committed for each of these partitions, without which the map has none.
    ///
    /// # Errors
    /// [`SourceError`]
    pub fn committed(
        &self,
        topic: &str,
        partitions: impl IntoIterator<Item = i32>,
    ) -> Result<BTreeMap<i32, i64>, SourceError> {
        let mut all = TopicPartitionList::new();
        for partition in partitions {
            all.add_partition(topic, partition);
        }
        let committed = self
            .consumer
            .committed_offsets(all, BROKER_TIMEOUT)
            .map_err(|source| self.unreachable(source))?;
        let mut offsets = BTreeMap::new();
        for element in committed.elements() {
            element.error().map_err(|source| self.unreachable(source))?;
            if let Offset::Offset(offset) = element.offset() {
                offsets.insert(element.partition(), offset);
            }
        }
        Ok(offsets)
    }

    /// The oldest offset that a partition has.
    ///
    /// # Errors
    /// [`SourceError`]
    pub fn oldest(&self, topic: &str, partition: i32) -> Result<i64, SourceError> {
        let marks = self.consumer.fetch_watermarks(topic, partition, BROKER_TIMEOUT);
        Ok(marks.map_err(|source| self.unreachable(source))?.0)
    }

    /// Whether the partition has a record with this timestamp or a later one.
    ///
    /// # Errors
    /// [`SourceError`]
    pub fn has_since(&self, topic: &str, partition: i32, millis: i64) -> Result<bool, SourceError> {
        let mut times = TopicPartitionList::new();
        times.add_partition_offset(topic, partition, Offset::Offset(millis)).map_err(SourceError::Config)?;
        let found = self.consumer.offsets_for_times(times, BROKER_TIMEOUT);
        let found = found.map_err(|source| self.unreachable(source))?;
        Ok(found.elements().iter().any(|element| matches!(element.offset(), Offset::Offset(_))))
    }

    /// The first record in `range`; `None` if no offset of it has one.
    ///
    /// # Errors
    /// [`SourceError`]
    pub fn first(
        &self,
        topic: &str,
        partition: i32,
        range: OffsetRange,
    ) -> Result<Option<Record>, SourceError> {
        let mut first = None;
        self.read_range(topic, partition, range, &mut |record| {
            first = Some(record);
            Continue::No
        })?;
        Ok(first)
    }

    /// Reads the records at `offsets` and sends them in batches, until nobody takes them any more. Offsets without a record are
    /// passed over.
    ///
    /// # Errors
    /// [`SourceError`]
    pub fn read(
        &self,
        topic: &str,
        partition: i32,
        offsets: &OffsetSet,
        batches: &Sender<Vec<Record>>,
    ) -> Result<(), SourceError> {
        let (mut batch, mut n_bytes) = (Vec::new(), 0);
        for span in offsets.spans(SKIPPED) {
            self.read_range(topic, partition, span, &mut |record| {
                if !offsets.contains(record.offset) {
                    return Continue::Yes;
                }
                n_bytes += record.len();
                batch.push(record);
                if batch.len() == BATCH || n_bytes >= BATCH_BYTES {
                    n_bytes = 0;
                    if batches.blocking_send(std::mem::take(&mut batch)).is_err() {
                        return Continue::No;
                    }
                }
                Continue::Yes
            })?;
        }
        if !batch.is_empty() {
            // Nobody takes it if the account has ended with an error.
            let _ = batches.blocking_send(batch);
        }
        Ok(())
    }

    fn read_range(
        &self,
        topic: &str,
        partition: i32,
        range: OffsetRange,
        take: &mut dyn FnMut(Record) -> Continue,
    ) -> Result<(), SourceError> {
        let read = |source| SourceError::Read { topic: topic.to_owned(), source };
        let mut assigned = TopicPartitionList::new();
        assigned.add_partition_offset(topic, partition, Offset::Offset(range.start)).map_err(read)?;
        self.consumer.assign(&assigned).map_err(read)?;
        let mut silence = Duration::ZERO;
        loop {
            match self.consumer.poll(POLL) {
                None => {
                    silence += POLL;
                    if silence >= SILENCE {
                        return Err(SourceError::Silence { topic: topic.to_owned() });
                    }
                    continue;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(error)) if is_passing(&error) => continue,
                Some(Err(error)) => return Err(read(error)),
                Some(Ok(message)) => {
                    let offset = message.offset();
                    if offset >= range.end {
                        break;
                    }
                    if offset >= range.start && take(record(&message)) == Continue::No {
                        break;
                    }
                    if offset + 1 >= range.end {
                        break;
                    }
                }
            }
            silence = Duration::ZERO;
        }
        self.consumer.unassign().map_err(read)
    }

    fn unreachable(&self, source: KafkaError) -> SourceError {
        SourceError::Unreachable { brokers: self.brokers.clone(), source }
    }
}

/// Whether reading goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Continue {
    Yes,
    No,
}
