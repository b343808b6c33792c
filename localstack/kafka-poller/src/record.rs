//! Consumed records, encoded for the event that the function receives.

use std::time::Instant;

/// A record as it appears in the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedRecord {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in milliseconds since the epoch; −1 if it has none.
    pub timestamp_ms: i64,
    /// When the poller received it.
    pub received: Instant,
    /// Its JSON text in the event.
    pub json: Box<[u8]>,
    /// Why the function does not get it, if its schema is unknown or it does not fit it.
    pub rejected: Option<Rejection>,
}

/// Why a record does not pass the schema registry, as Lambda names it to the destination:
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-consume-kafka-events.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The registry does not have its schema.
    SchemaNotFound,
    /// It does not fit its schema, or names none.
    DeserializationError,
}

/// Records of one partition, in offset order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRecords {
    /// The assignment under which they were read.
    pub assignment: Assignment,
    /// Never empty.
    pub records: Vec<EncodedRecord>,
}

/// One assignment of a partition to this consumer. A partition that is revoked and assigned again gets another
/// generation, so that a late result of the first assignment can't move the offset of the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Assignment {
    /// The partition.
    pub partition: i32,
    /// Counts the assignments of this consumer.
    pub generation: u64,
}

impl PartitionRecords {
    /// The partition that they were read from.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.assignment.partition
    }
}

/// Counts the records of several partitions.
#[must_use]
pub fn n_records(partitions: &[PartitionRecords]) -> usize {
    partitions.iter().map(|partition| partition.records.len()).sum()
}
