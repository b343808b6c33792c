//! The counts of an account: each offset is in one of them.

use std::ops::AddAssign;

use serde::Serialize;

use super::survey::Tally;

/// Where a record was found, or why it has no document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// In a daily index, in the usual form.
    Indexed,
    /// In a daily index, in the form of a mapping conflict.
    Rescued,
    /// Among the dead letters.
    DeadLettered,
    /// The rules of its topic drop it.
    Dropped,
    /// At the on-failure destination of its mapping.
    AtDestination,
    /// Nowhere.
    Missing,
}

/// Offsets of a partition, each in one place: they add up to `offsets`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All offsets.
    pub offsets: u64,
    /// Offsets of records whose documents are in the usual form.
    pub indexed: u64,
    /// Of documents in the form of a mapping conflict.
    pub rescued: u64,
    /// Of dead letters.
    pub dead_lettered: u64,
    /// Of records that the rules drop.
    pub dropped: u64,
    /// Of records at an on-failure destination.
    pub at_destination: u64,
    /// Offsets that no record has: compaction removed it, or they are of transactions' markers or of an aborted transaction.
    pub removed: u64,
    /// Offsets that the group has not committed yet.
    pub pending: u64,
    /// Of records that are nowhere.
    pub missing: u64,
}

impl Counts {
    /// Records of the offsets that are committed.
    pub fn records(self) -> u64 {
        self.offsets.saturating_sub(self.removed).saturating_sub(self.pending)
    }

    /// Whether each offset is in one place.
    pub fn is_balanced(self) -> bool {
        let Self {
            offsets,
            indexed,
            rescued,
            dead_lettered,
            dropped,
            at_destination,
            removed,
            pending,
            missing,
        } = self;
        let placed = [indexed, rescued, dead_lettered, dropped, at_destination, removed, pending, missing];
        placed.iter().sum::<u64>() == offsets
    }

    /// Counts one record.
    pub fn add(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Indexed => &mut self.indexed,
            Outcome::Rescued => &mut self.rescued,
            Outcome::DeadLettered => &mut self.dead_lettered,
            Outcome::Dropped => &mut self.dropped,
            Outcome::AtDestination => &mut self.at_destination,
            Outcome::Missing => &mut self.missing,
        } += 1;
    }

    /// Counts documents, of one offset each.
    pub fn add_tally(&mut self, tally: Tally) {
        self.indexed += tally.indexed;
        self.rescued += tally.rescued;
        self.dead_lettered += tally.dead_lettered;
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.offsets += other.offsets;
        self.indexed += other.indexed;
        self.rescued += other.rescued;
        self.dead_lettered += other.dead_lettered;
        self.dropped += other.dropped;
        self.at_destination += other.at_destination;
        self.removed += other.removed;
        self.pending += other.pending;
        self.missing += other.missing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_offset_is_counted_in_one_place() {
        let mut counts = Counts { offsets: 14, removed: 1, pending: 2, ..Counts::default() };
        assert!(!counts.is_balanced());
        let outcomes = [
            Outcome::Indexed,
            Outcome::Rescued,
            Outcome::DeadLettered,
            Outcome::Dropped,
            Outcome::AtDestination,
            Outcome::Missing,
        ];
        for outcome in outcomes {
            counts.add(outcome);
        }
        counts.add_tally(Tally { indexed: 3, rescued: 1, dead_lettered: 1 });
        let expected = Counts {
            offsets: 14,
            indexed: 4,
            rescued: 2,
            dead_lettered: 2,
            dropped: 1,
            at_destination: 1,
            removed: 1,
            pending: 2,
            missing: 1,
        };
        assert_eq!((counts, counts.is_balanced(), counts.records()), (expected, true, 11));
        let mut sum = counts;
        sum += counts;
        assert_eq!((sum.offsets, sum.missing, sum.is_balanced()), (28, 2, true));
    }
}
