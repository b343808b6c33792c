//! What is noted of a batch besides the outcomes of its records.

use std::collections::BTreeMap;

use event_pipeline::event::{BatchItem, parse_partition_key};
use event_pipeline::outcome::Outcome;
use event_pipeline::rules::Rules;
use event_pipeline::write_error::shortened;

/// Records of which something is noted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noted {
    /// How many there are.
    pub n: usize,
    /// Position of the first in the batch, and why it is one.
    pub first: Option<(usize, String)>,
}

impl Noted {
    /// Notes the record at `position`, for the reason `why`, if there is one.
    pub(crate) fn note(&mut self, position: usize, why: Option<&str>) {
        if let Some(why) = why {
            self.n += 1;
            if self.first.as_ref().is_none_or(|(first, _)| position < *first) {
                self.first = Some((position, shortened(why).to_owned()));
            }
        }
    }
}

/// Records that the same rules drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The pattern of the rules.
    pub pattern: String,
    /// How many there are.
    pub n: usize,
    /// Position of the first in the batch.
    pub first: usize,
}

impl Dropped {
    /// Counts the dropped records of a batch by their rules.
    pub(crate) fn of(items: &[BatchItem<'_>], outcomes: &[Outcome], rules: &Rules) -> Vec<Self> {
        let mut by_rules: BTreeMap<usize, Self> = BTreeMap::new();
        for (first, (item, _)) in
            items.iter().zip(outcomes).enumerate().filter(|(_, (_, outcome))| **outcome == Outcome::Dropped)
        {
            let Some((position, found)) = topic(item).and_then(|topic| rules.of(topic)) else { continue };
            let dropped = by_rules.entry(position).or_insert_with(|| Self {
                pattern: found.pattern.to_string(),
                n: 0,
                first,
            });
            dropped.n += 1;
        }
        by_rules.into_values().collect()
    }
}

/// The topic that an item is of; `None` where it does not say.
pub(crate) fn topic<'i>(item: &'i BatchItem<'_>) -> Option<&'i str> {
    match &item.record {
        Ok(record) => Some(record.topic),
        Err(_) => parse_partition_key(item.partition_key).map(|(topic, _)| topic),
    }
}
