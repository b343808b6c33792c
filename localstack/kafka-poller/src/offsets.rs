//! Looks up where an assigned partition is read from.
//!
//! A committed offset is always followed. Where there is none, the mapping's starting position applies to the partitions
//! that the topic had when the consumer group began. A partition added later is read from its beginning, or LATEST would
//! lose its first records. To distinguish the two in later assignments, each commit carries in its metadata the number of
//! partitions that the topic had when the group began. It also carries the topic's id: an offset of a topic that was
//! deleted means nothing in the topic that was created in its place (`topic_id.rs`).

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use crate::mapping::StartingPosition;

const BROKER_TIMEOUT: Duration = Duration::from_secs(10);
/// A commit's metadata: `initial-partitions=3 topic-id=…`.
const INITIAL_PARTITIONS: &str = "initial-partitions=";
const TOPIC_ID: &str = "topic-id=";

/// Where partitions are read from.
#[derive(Debug)]
pub struct Positions {
    /// How many partitions the topic had when the group began.
    pub n_initial: i32,
    /// The id of the topic that the committed offsets belong to, if they have one. Empty if they belong to several.
    pub topic_id: Option<String>,
    /// Partitions with a committed offset.
    pub committed: BTreeMap<i32, i64>,
    /// Partitions without one, and where they start.
    pub starts: BTreeMap<i32, i64>,
}

/// Looks up where each of `assigned` is read from.
///
/// # Errors
/// When the broker does not respond.
pub fn look_up<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    starting_position: StartingPosition,
    assigned: &[i32],
) -> KafkaResult<Positions> {
    let n_partitions = n_partitions(consumer, topic)?;
    let mut all = TopicPartitionList::new();
    for partition in 0..n_partitions {
        all.add_partition(topic, partition);
    }
    let all = consumer.committed_offsets(all, BROKER_TIMEOUT)?;
    let elements = all.elements();
    let committed: BTreeMap<i32, i64> =
        elements.iter().filter_map(|element| Some((element.partition(), at(element.offset())?))).collect();
    let metadata: Vec<&str> = elements
        .iter()
        .filter(|element| at(element.offset()).is_some())
        .map(|element| element.metadata())
        .collect();
    let n_initial = n_initial(&metadata, n_partitions);

    let mut starts = BTreeMap::new();
    for partition in assigned.iter().copied().filter(|partition| !committed.contains_key(partition)) {
        let position = if partition < n_initial { starting_position } else { StartingPosition::TrimHorizon };
        starts.insert(partition, start(consumer, topic, partition, position)?);
    }
    Ok(Positions { n_initial, topic_id: topic_id(&metadata), committed, starts })
}

/// Lists the offsets to commit, with [`Positions::n_initial`] and the topic's id, if it is known, as metadata.
///
/// # Errors
/// When the client refuses an offset.
pub fn commit_list(
    topic: &str,
    n_initial: i32,
    topic_id: Option<&str>,
    positions: &[(i32, i64)],
) -> KafkaResult<TopicPartitionList> {
    let mut metadata = format!("{INITIAL_PARTITIONS}{n_initial}");
    if let Some(id) = topic_id {
        metadata = format!("{metadata} {TOPIC_ID}{id}");
    }
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for (partition, offset) in positions {
        let mut element = list.add_partition(topic, *partition);
        element.set_offset(Offset::Offset(*offset))?;
        element.set_metadata(&metadata);
    }
    Ok(list)
}

/// Counts a topic's partitions; 0 if it does not exist.
///
/// # Errors
/// When the broker does not respond.
pub fn n_partitions<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str) -> KafkaResult<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), BROKER_TIMEOUT)?;
    let n_partitions =
        metadata.topics().iter().find(|it| it.name() == topic).map_or(0, |it| it.partitions().len());
    Ok(i32::try_from(n_partitions).unwrap_or(i32::MAX))
}

/// The number of partitions in the commits' metadata; the current one without it.
fn n_initial(metadata: &[&str], n_now: i32) -> i32 {
    let numbers = metadata.iter().filter_map(|metadata| field(metadata, INITIAL_PARTITIONS)?.parse().ok());
    numbers.min().unwrap_or(n_now)
}

/// The topic id in the commits' metadata; an empty one, which no topic has, if they differ.
fn topic_id(metadata: &[&str]) -> Option<String> {
    let mut ids = metadata.iter().filter_map(|metadata| field(metadata, TOPIC_ID));
    let first = ids.next()?;
    Some(if ids.all(|id| id == first) { first.to_owned() } else { String::new() })
}

fn field<'m>(metadata: &'m str, name: &str) -> Option<&'m str> {
    metadata.split(' ').find_map(|word| word.strip_prefix(name))
}

fn start<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
    position: StartingPosition,
) -> KafkaResult<i64> {
    let (oldest, next) = consumer.fetch_watermarks(topic, partition, BROKER_TIMEOUT)?;
    match position {
        StartingPosition::TrimHorizon => Ok(oldest),
        StartingPosition::Latest => Ok(next),
        StartingPosition::AtTimestamp(timestamp_ms) => {
            let mut times = TopicPartitionList::new();
            times.add_partition_offset(topic, partition, Offset::Offset(timestamp_ms))?;
            let found = consumer.offsets_for_times(times, BROKER_TIMEOUT)?;
            // No record is that young, but those written from now on are.
            Ok(found.elements().first().and_then(|element| at(element.offset())).unwrap_or(next))
        }
    }
}

fn at(offset: Offset) -> Option<i64> {
    match offset {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_group_begins_with_the_current_partitions() {
        assert_eq!(n_initial(&[], 3), 3);
    }

    #[test]
    fn a_group_remembers_how_many_partitions_it_began_with() {
        assert_eq!(n_initial(&["initial-partitions=3", "initial-partitions=3", ""], 6), 3);
    }

    #[test]
    fn commits_carry_the_id_of_their_topic() {
        let metadata = [
            "initial-partitions=3 topic-id=one",
            "initial-partitions=3",
            "initial-partitions=3 topic-id=one",
        ];
        assert_eq!((n_initial(&metadata, 6), topic_id(&metadata).as_deref()), (3, Some("one")));
        assert_eq!(topic_id(&["initial-partitions=3", ""]), None);
        assert_eq!(topic_id(&["topic-id=one", "topic-id=two"]).as_deref(), Some(""));
    }

    #[test]
    fn metadata_of_another_kind_of_consumer_is_ignored() {
        assert_eq!(n_initial(&["", "something"], 6), 6);
    }
}
