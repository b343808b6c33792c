//! The account: every record in Kafka is in the index, among the dead letters or at an on-failure destination, exactly once,
//! and nothing else is. It names each record that is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Most records that an account names of each kind.
const MAX_NAMED: usize = 20;

/// A record in Kafka.
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

/// Where a record was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A daily index.
    Index,
    /// A daily index of dead letters.
    DeadLetters,
    /// The mapping's on-failure destination.
    Destination,
}

/// A document in the cluster, or a record at a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its `_id`, or the one it would have.
    pub id: String,
    /// Its index, or the destination.
    pub index: String,
    /// The type of place.
    pub place: Place,
}

/// The outcomes of all records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Records in Kafka.
    pub records: usize,
    /// Documents of these records in daily indices.
    pub indexed: usize,
    /// Dead letters of these records.
    pub dead_lettered: usize,
    /// Records that the mapping abandoned and sent to a destination.
    pub to_destinations: usize,
    /// Ids of records that were not found.
    pub lost: Vec<String>,
    /// Ids of records found in more than one place, with the places.
    pub doubled: Vec<String>,
    /// Ids of documents without a record, with their place.
    pub extra: Vec<String>,
}

impl Account {
    /// Compares what the cluster and the destinations have with what Kafka has.
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

    /// Whether every record is in exactly one place, and nothing else is.
    #[must_use]
    pub fn is_complete(&self) -> bool {
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
    fn records_in_the_index_the_dead_letters_or_at_a_destination_are_accounted_for() {
        let account = Account::of(
            &[record(0), record(1), record(2)],
            &[
                found("a.events-1-0-5", "m-2026.11.24"),
                found("a.events-1-1-5", "dead-2026.11.24"),
                found("a.events-1-2-5", "queue-failed"),
            ],
        );
        assert!(account.is_complete());
        assert_eq!(
            account.to_string(),
            "3 records in, 1 indexed, 1 dead-lettered, 1 to destinations, 0 lost, 0 twice, 0 extra"
        );
    }

    #[test]
    fn a_lost_record_is_named() {
        let account = Account::of(&[record(0), record(1)], &[found("a.events-1-0-5", "m-2026.11.24")]);
        assert_eq!(account.lost, ["a.events-1-1-5"]);
        assert!(!account.is_complete());
        assert!(account.to_string().ends_with("\n  lost: a.events-1-1-5"), "{account}");
    }

    #[test]
    fn a_record_in_two_places_is_named() {
        for other in ["m-2026.11.23", "dead-2026.11.24", "queue-failed"] {
            let twice = [found("a.events-1-0-5", "m-2026.11.24"), found("a.events-1-0-5", other)];
            let account = Account::of(&[record(0)], &twice);
            assert_eq!(account.doubled, [format!("a.events-1-0-5 in m-2026.11.24 and {other}")]);
            assert!(!account.is_complete());
        }
    }

    #[test]
    fn a_document_without_a_record_is_named() {
        // The same offset with another timestamp is another record, from a topic that was deleted.
        let account = Account::of(
            &[record(0)],
            &[found("a.events-1-0-5", "m-2026.11.24"), found("a.events-1-0-6", "m-2026.11.24")],
        );
        assert_eq!(account.extra, ["a.events-1-0-6 in m-2026.11.24"]);
        assert_eq!((account.indexed, account.is_complete()), (1, false));
    }

    #[test]
    fn a_long_list_is_shortened() {
        let records: Vec<_> = (0..30).map(record).collect();
        assert!(Account::of(&records, &[]).to_string().ends_with("lost: and 10 more"));
    }
}
