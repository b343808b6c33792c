//! Looks up how far a mapping's consumer group is behind.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::mapping::Mapping;
use crate::offsets;

const BROKER_TIMEOUT: Duration = Duration::from_secs(10);

/// One partition of a mapping's topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// The partition.
    pub partition: i32,
    /// The group's offset, if it has one.
    pub committed: Option<i64>,
    /// The oldest offset that the topic still has.
    pub oldest: i64,
    /// The offset of the next record to be written.
    pub end: i64,
}

impl Lag {
    /// Records that are not done. Without a committed offset, all that exist.
    #[must_use]
    pub fn records(&self) -> i64 {
        (self.end - self.committed.unwrap_or(self.oldest).max(self.oldest)).max(0)
    }
}

/// Asks the cluster for the lag of a mapping, without joining its group. Blocks.
///
/// # Errors
/// When the cluster does not respond.
pub fn of_mapping(mapping: &Mapping, config: &ClientConfig) -> KafkaResult<Vec<Lag>> {
    let mut config = config.clone();
    config.set("group.id", &mapping.group_id).set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create()?;
    let topic = &mapping.topic;
    let mut list = TopicPartitionList::new();
    for partition in 0..offsets::n_partitions(&consumer, topic)? {
        list.add_partition(topic, partition);
    }
    if list.count() == 0 {
        return Ok(Vec::new());
    }
    let committed = consumer.committed_offsets(list, BROKER_TIMEOUT)?;
    let mut lags = Vec::with_capacity(committed.count());
    for element in committed.elements() {
        let (oldest, end) = consumer.fetch_watermarks(topic, element.partition(), BROKER_TIMEOUT)?;
        let committed = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        lags.push(Lag { partition: element.partition(), committed, oldest, end });
    }
    Ok(lags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_counts_records_that_are_not_done_and_still_exist() {
        let lag = |committed, oldest, end| Lag { partition: 0, committed, oldest, end }.records();
        assert_eq!(lag(Some(7), 0, 10), 3);
        assert_eq!(lag(None, 4, 10), 6);
        assert_eq!(lag(Some(2), 4, 10), 6);
        assert_eq!(lag(Some(10), 0, 10), 0);
        // The topic was created again: its end is before the group's offset.
        assert_eq!(lag(Some(500), 0, 10), 0);
    }
}
