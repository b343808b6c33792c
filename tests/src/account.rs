//! The account: every record that is in Kafka stands in the index or among the dead letters, once, and nothing else
//! does. Each record that does not is named.

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

/// Which of the two kinds of index a document was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A daily index.
    Index,
    /// A daily index of dead letters.
    DeadLetters,
}

/// A document that the cluster has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its `_id`.
    pub id: String,
    /// Its index.
    pub index: String,
    /// What kind of index that is.
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
    /// Ids of records that are nowhere.
    pub lost: Vec<String>,
    /// Ids of records that are in more than one place, with the places.
    pub doubled: Vec<String>,
    /// Ids of documents that stand for no record, with their index.
    pub extra: Vec<String>,
}

impl Account {
    /// Holds what the cluster has against what Kafka has.
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
        let Self { records, indexed, dead_lettered, lost, doubled, extra } = self;
        write!(
            f,
            "{records} records in, {indexed} indexed, {dead_lettered} dead-lettered, {} lost, {} twice, {} extra",
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
        let place = if index.starts_with("dead") { Place::DeadLetters } else { Place::Index };
        Found { id: id.into(), index: index.into(), place }
    }

    #[test]
    fn records_in_the_index_or_among_the_dead_letters_are_accounted_for() {
        let account = Account::of(
            &[record(0), record(1)],
            &[found("a.events-1-0-5", "m-2026.11.24"), found("a.events-1-1-5", "dead-2026.11.24")],
        );
        assert!(account.is_whole());
        assert_eq!(account.to_string(), "2 records in, 1 indexed, 1 dead-lettered, 0 lost, 0 twice, 0 extra");
    }

    #[test]
    fn a_record_that_is_nowhere_is_named() {
        let account = Account::of(&[record(0), record(1)], &[found("a.events-1-0-5", "m-2026.11.24")]);
        assert_eq!(account.lost, ["a.events-1-1-5"]);
        assert!(!account.is_whole());
        assert!(account.to_string().ends_with("\n  lost: a.events-1-1-5"), "{account}");
    }

    #[test]
    fn a_record_of_two_days_or_two_kinds_is_named() {
        for other in ["m-2026.11.23", "dead-2026.11.24"] {
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
