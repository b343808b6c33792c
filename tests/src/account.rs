//! The account: every record that is in Kafka stands in the index, among the dead letters or in an on-failure
//! destination, once, and nothing else does. Each record that does not is named.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How many records a report names of each kind.
const MAX_NAMED: usize = 20;

/// A record as Kafka has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordId {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, in milliseconds since the epoch.
    pub timestamp_ms: i64,
}

impl RecordId {
    /// The `_id` of the record's document, or of its dead letter.
    #[must_use]
    pub fn document_id(&self) -> String {
        let Self { topic, partition, offset, timestamp_ms } = self;
        format!("{topic}-{partition}-{offset}-{timestamp_ms}")
    }
}

/// What a record was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A daily index.
    Index,
    /// A daily index of dead letters.
    DeadLetters,
    /// An on-failure destination of the mapping.
    Destination,
}

/// A document that the cluster has, or a record that a destination was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its `_id`, or the one that it would have.
    pub id: String,
    /// Its index, or the destination.
    pub index: String,
    /// What that is.
    pub place: Place,
}

/// What became of the records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Records in Kafka.
    pub records: usize,
    /// Documents in daily indices that stand for one of them.
    pub indexed: usize,
    /// Dead letters that stand for one of them.
    pub dead_lettered: usize,
    /// Records that the mapping gave up and a destination has.
    pub to_destinations: usize,
    /// Ids of records that are nowhere.
    pub lost: Vec<String>,
    /// Ids of records that are in more than one place, with the places.
    pub doubled: Vec<String>,
    /// Ids of documents that stand for no record, with their place.
    pub extra: Vec<String>,
}

impl Account {
    /// Holds what the cluster and the destinations have against what Kafka has.
    #[must_use]
    pub fn of(records: &[RecordId], found: &[Found]) -> Self {
        let expected: BTreeSet<String> = records.iter().map(RecordId::document_id).collect();
        let mut account = Self { records: expected.len(), ..Self::default() };
        let mut places: BTreeMap<&str, Vec<&Found>> = BTreeMap::new();
        for document in found {
            places.entry(&document.id).or_default().push(document);
        }
        for (id, documents) in &places {
            let indices: Vec<&str> = documents.iter().map(|document| document.index.as_str()).collect();
            if !expected.contains(*id) {
                account.extra.push(format!("{id} in {}", indices.join(" and ")));
                continue;
            }
            if documents.len() > 1 {
                account.doubled.push(format!("{id} in {}", indices.join(" and ")));
            }
            for document in documents {
                match document.place {
                    Place::Index => account.indexed += 1,
                    Place::DeadLetters => account.dead_lettered += 1,
                    Place::Destination => account.to_destinations += 1,
                }
            }
        }
        account.lost = expected.into_iter().filter(|id| !places.contains_key(id.as_str())).collect();
        account
    }

    /// Whether every record is in one place, and nothing else is.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.extra.is_empty()
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, indexed, dead_lettered, to_destinations, lost, doubled, extra } = self;
        write!(
            f,
            "{records} records in, {indexed} indexed, {dead_lettered} dead-lettered, {to_destinations} to destinations, \
             {} lost, {} twice, {} extra",
            lost.len(),
            doubled.len(),
            extra.len()
        )?;
        for (kind, named) in [("lost", lost), ("twice", doubled), ("extra", extra)] {
            for name in named.iter().take(MAX_NAMED) {
                write!(f, "\n  {kind}: {name}")?;
            }
            if named.len() > MAX_NAMED {
                write!(f, "\n  {kind}: and {} more", named.len() - MAX_NAMED)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: i64) -> RecordId {
        RecordId { topic: "a.events".into(), partition: 1, offset, timestamp_ms: 5 }
    }

    fn found(id: &str, index: &str) -> Found {
        let place = match index.split('-').next() {
            Some("dead") => Place::DeadLetters,
            Some("queue") => Place::Destination,
            _ => Place::Index,
        };
        Found { id: id.into(), index: index.into(), place }
    }

    #[test]
    fn records_in_the_index_the_dead_letters_or_a_destination_are_accounted_for() {
        let account = Account::of(
            &[record(0), record(1), record(2)],
            &[
                found("a.events-1-0-5", "m-2026.11.24"),
                found("a.events-1-1-5", "dead-2026.11.24"),
                found("a.events-1-2-5", "queue-failed"),
            ],
        );
        assert!(account.is_whole());
        assert_eq!(
            account.to_string(),
            "3 records in, 1 indexed, 1 dead-lettered, 1 to destinations, 0 lost, 0 twice, 0 extra"
        );
    }

    #[test]
    fn a_record_that_is_nowhere_is_named() {
        let account = Account::of(&[record(0), record(1)], &[found("a.events-1-0-5", "m-2026.11.24")]);
        assert_eq!(account.lost, ["a.events-1-1-5"]);
        assert!(!account.is_whole());
        assert!(account.to_string().ends_with("\n  lost: a.events-1-1-5"), "{account}");
    }

    #[test]
    fn a_record_in_two_places_is_named() {
        for other in ["m-2026.11.23", "dead-2026.11.24", "queue-failed"] {
            let twice = [found("a.events-1-0-5", "m-2026.11.24"), found("a.events-1-0-5", other)];
            let account = Account::of(&[record(0)], &twice);
            assert_eq!(account.doubled, [format!("a.events-1-0-5 in m-2026.11.24 and {other}")]);
            assert!(!account.is_whole());
        }
    }

    #[test]
    fn a_document_that_stands_for_no_record_is_named() {
        // The same offset with another timestamp is another record: that of a topic which was deleted.
        let account = Account::of(
            &[record(0)],
            &[found("a.events-1-0-5", "m-2026.11.24"), found("a.events-1-0-6", "m-2026.11.24")],
        );
        assert_eq!(account.extra, ["a.events-1-0-6 in m-2026.11.24"]);
        assert_eq!((account.indexed, account.is_whole()), (1, false));
    }

    #[test]
    fn a_long_list_is_cut() {
        let records: Vec<_> = (0..30).map(record).collect();
        assert!(Account::of(&records, &[]).to_string().ends_with("lost: and 10 more"));
    }
}
