//! The account of a topic, and of each of its partitions.

use super::destination::AtDestination;
use super::documents::Refreshed;
use super::mappings::Mapping;
use super::outcome::Counts;
use crate::offsets::{OffsetRange, OffsetSet};

/// A topic, and who reads it.
#[derive(Debug, Clone)]
pub struct TopicSource {
    /// The topic.
    pub topic: String,
    /// The consumer group whose committed offsets say what should be there.
    pub group: String,
    /// The group's event source mapping; `None` for another reader, or where it is not known.
    pub mapping: Option<Mapping>,
}

impl From<Mapping> for TopicSource {
    fn from(mapping: Mapping) -> Self {
        Self { topic: mapping.topic.clone(), group: mapping.group.clone(), mapping: Some(mapping) }
    }
}

/// The account of a topic.
#[derive(Debug, Clone)]
pub struct TopicAccount {
    /// The topic and its reader.
    pub source: TopicSource,
    /// Its partitions that were counted, in order.
    pub partitions: Vec<PartitionAccount>,
    /// Its partitions for which there was no time left.
    pub uncounted: Vec<i32>,
    /// What a reader has to know.
    pub notes: Vec<String>,
}

impl TopicAccount {
    /// Whether all its partitions were counted.
    pub fn is_whole(&self) -> bool {
        self.uncounted.is_empty()
    }

    /// The counts of the partitions that were counted.
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        for partition in &self.partitions {
            total += partition.counts;
        }
        total
    }
}

/// The account of a partition.
#[derive(Debug, Clone)]
pub struct PartitionAccount {
    /// Its number.
    pub partition: i32,
    /// Its offsets since the time that was asked for.
    pub range: OffsetRange,
    /// The group's committed offset, if it has one.
    pub committed: Option<i64>,
    /// Where they are.
    pub counts: Counts,
    /// The missing ones, up to a million ranges.
    pub missing: OffsetSet,
    /// Records that are in more than one index.
    pub doubled: u64,
}

/// What a reader has to know of the whole topic.
pub(crate) fn notes(
    account: &TopicAccount,
    destination: Option<&AtDestination>,
    refreshed: Refreshed,
) -> Vec<String> {
    let topic = &account.source.topic;
    let mut notes = Vec::new();
    let doubled: u64 = account.partitions.iter().map(|partition| partition.doubled).sum();
    if doubled > 0 {
        notes.push(format!(
            "{topic}: {doubled} records are in more than one index: rules that route them elsewhere were changed, or a dead letter \
             was not removed"
        ));
    }
    if let Some(unread) = destination.and_then(AtDestination::unread) {
        notes.push(format!("{topic}: {unread}"));
    }
    let is_missing = account.partitions.iter().any(|partition| partition.counts.missing > 0);
    if refreshed == Refreshed::Refused && is_missing {
        notes.push(format!(
            "{topic}: this user may not refresh the indices, so that dead letters of the last seconds count as missing"
        ));
    }
    notes
}
