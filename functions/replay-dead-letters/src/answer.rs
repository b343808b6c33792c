//! What an invocation answers: counts, a sample, and where to go on.

use std::collections::BTreeMap;

use indexing::bulk_writer::BulkStats;
use serde::Serialize;
use serde_json::Value;

/// How many by service and error type.
pub type Groups = BTreeMap<String, BTreeMap<String, u64>>;

/// Most that an answer names one by one.
pub const MAX_NAMED: usize = 10;

/// What a replay did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Answer {
    /// Whether everything that was asked for has been dealt with.
    pub complete: bool,
    /// Why it stopped before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// The counts.
    #[serde(flatten)]
    pub counts: Counts,
    /// Objects, where those were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<ObjectCounts>,
    /// Refused records by service and error type.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refused_by_service: Groups,
    /// Some of what was refused or can't be read, with why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// The event to invoke with to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Value>,
    /// What it took; for the metrics.
    #[serde(skip)]
    pub stats: BulkStats,
}

/// What became of records and their dead letters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Dead letters, or records of objects.
    pub read: usize,
    /// Written now.
    pub indexed: usize,
    /// In the index before.
    pub duplicates: usize,
    /// Refused again: the dead letter stays.
    pub refused: usize,
    /// Not written, although they may be sound: to be replayed again.
    pub failed: usize,
    /// Dead letters that were removed.
    pub removed: usize,
    /// Dead letters whose record is indexed, but which stay: they were replaced meanwhile, or removing them failed.
    pub not_removed: usize,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.indexed += other.indexed;
        self.duplicates += other.duplicates;
        self.refused += other.refused;
        self.failed += other.failed;
        self.removed += other.removed;
        self.not_removed += other.not_removed;
    }
}

/// What became of objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ObjectCounts {
    /// Objects that were read.
    pub read: usize,
    /// Objects that are no on-failure records.
    pub unreadable: usize,
    /// Objects that were deleted.
    pub deleted: usize,
}

/// One thing that did not go through, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Id of the dead letter or key of the object.
    pub id: String,
    /// Type of the error.
    #[serde(rename = "type")]
    pub kind: String,
    /// The error in words.
    pub reason: String,
}

/// What a dry run shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Preview {
    /// Always true; tells this answer from a replay's.
    pub dry_run: bool,
    /// Whether everything that was asked for has been looked at.
    pub complete: bool,
    /// Dead letters, or records of objects, that would be replayed.
    pub matched: u64,
    /// By service and error type, or, for objects, by service and why the mapping gave up.
    pub by_service: Groups,
    /// Objects, where those were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<ObjectCounts>,
    /// The first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sample: Vec<Sample>,
    /// Some of what can't be read, with why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// The event to invoke with to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Value>,
}

/// One dead letter, and the document that it would become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Id of the dead letter.
    pub id: String,
    /// Its service.
    pub service: String,
    /// Why it was refused.
    pub error_type: String,
    /// The same in words.
    pub reason: String,
    /// Index that its document would go to; `None` where no document can be made of it.
    pub index: Option<String>,
}

/// Shortens what may quote a whole document.
pub(crate) fn shortened(reason: &str) -> String {
    const MAX: usize = 300;
    if reason.chars().count() <= MAX {
        reason.to_owned()
    } else {
        reason.chars().take(MAX).chain("…".chars()).collect()
    }
}

/// Counts one more.
pub(crate) fn count_one(groups: &mut Groups, service: &str, kind: &str) {
    *groups.entry(service.to_owned()).or_default().entry(kind.to_owned()).or_default() += 1;
}
