//! What an invocation returns: counts, a sample of problems, and the event to continue with.

use std::collections::BTreeMap;

use indexing::bulk_writer::BulkStats;
use serde::Serialize;
use serde_json::Value;

use crate::walk::End;

/// Numbers by service and error type.
pub type Groups = BTreeMap<String, BTreeMap<String, u64>>;

/// Stands for a service or an error type that a dead letter or record does not have.
pub const NONE: &str = "(none)";

/// Most problems and dead letters that a response shows one by one.
pub const MAX_NAMED: usize = 10;

/// What a replay did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ReplayResponse {
    /// Whether everything that was requested is processed.
    pub complete: bool,
    /// Why it stopped before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// Outcomes of records and dead letters.
    #[serde(flatten)]
    pub counts: Counts,
    /// Outcomes of objects, where those were requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<ObjectCounts>,
    /// Refused records by service and error type.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refused_by_service: Groups,
    /// The first that were refused or could not be read, with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// The event to invoke the function with to continue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Value>,
    /// Requests, retries, bytes and time of the bulk requests, for the metrics.
    #[serde(skip)]
    pub stats: BulkStats,
}

/// Outcomes of records and their dead letters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Dead letters, or records of objects, that were read.
    pub read: usize,
    /// Written now.
    pub indexed: usize,
    /// Written before.
    pub duplicates: usize,
    /// Dropped by the rules of their topics, so written nowhere.
    pub dropped: usize,
    /// Refused again. The dead letter stays.
    pub refused: usize,
    /// Not written because of the cluster, so replay them again.
    pub failed: usize,
    /// Dead letters that were removed.
    pub removed: usize,
    /// Dead letters that stay although their record is indexed or dropped: replaced in the meantime, or the removal failed.
    pub not_removed: usize,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.indexed += other.indexed;
        self.duplicates += other.duplicates;
        self.dropped += other.dropped;
        self.refused += other.refused;
        self.failed += other.failed;
        self.removed += other.removed;
        self.not_removed += other.not_removed;
    }
}

/// Outcomes of objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ObjectCounts {
    /// Objects that were read.
    pub read: usize,
    /// Objects that are not on-failure records.
    pub unreadable: usize,
    /// Objects that were deleted.
    pub deleted: usize,
}

/// A dead letter, record or object that was not indexed, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Id of the dead letter, place of the record or key of the object.
    pub id: String,
    /// Type of the error.
    #[serde(rename = "type")]
    pub kind: String,
    /// Text of the error.
    pub reason: String,
}

impl Problem {
    /// Makes a problem. A reason may quote a whole document, so it is shortened.
    pub(crate) fn new(id: &str, kind: &str, reason: &str) -> Self {
        Self { id: id.to_owned(), kind: kind.to_owned(), reason: shortened(reason) }
    }
}

/// What a dry run shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DryRunResponse {
    /// Always true, which distinguishes this response from a replay's.
    pub dry_run: bool,
    /// Whether everything that was requested was looked at.
    pub complete: bool,
    /// Dead letters, or records of objects, that would be replayed.
    pub matched: u64,
    /// The same by service and error type; for objects, by service and the condition under which the mapping discarded
    /// the batch.
    pub by_service: Groups,
    /// What was found of objects, where those were requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<ObjectCounts>,
    /// The first dead letters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sample: Vec<Sample>,
    /// The first that can't be read, with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// The event to invoke the function with to continue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Value>,
}

/// A dead letter, and the index of the document that it would become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Id of the dead letter.
    pub id: String,
    /// Its service.
    pub service: String,
    /// Type of the error that made it a dead letter.
    pub error_type: String,
    /// Text of that error.
    pub reason: String,
    /// Index of the document; `None` where the record gives no document.
    pub index: Option<String>,
}

/// A response in the making, and where a later run continues.
#[derive(Debug)]
pub(crate) struct Run<R> {
    /// The response, still without its `next`.
    pub(crate) response: R,
    /// Position of the last item that was processed.
    pub(crate) after: Option<Value>,
}

impl<R> Run<R> {
    /// The same run with another response made of this one.
    pub(crate) fn map<T>(self, make: impl FnOnce(R) -> T) -> Run<T> {
        Run { response: make(self.response), after: self.after }
    }
}

impl ReplayResponse {
    /// Counts a refused record of `service`, and shows its problem if it is among the first.
    pub(crate) fn refuse(&mut self, service: &str, problem: Problem) {
        count_one(&mut self.refused_by_service, service, &problem.kind);
        self.show(problem);
    }

    /// Shows a problem if it is among the first.
    pub(crate) fn show(&mut self, problem: Problem) {
        show_first(&mut self.problems, problem);
    }

    /// Completes the response by the end of the walk that it counts.
    ///
    /// # Errors
    /// The walk's own error if nothing was read before it.
    pub(crate) fn ended<E: std::error::Error>(mut self, end: End<E>) -> Result<Self, E> {
        let n_read = self.counts.read + self.objects.unwrap_or_default().read;
        (self.complete, self.stopped) = end.summary(n_read)?;
        Ok(self)
    }
}

impl DryRunResponse {
    /// A response without anything found.
    pub(crate) fn empty() -> Self {
        Self { dry_run: true, ..Self::default() }
    }

    /// Shows a problem if it is among the first.
    pub(crate) fn show(&mut self, problem: Problem) {
        show_first(&mut self.problems, problem);
    }
}

/// Adds one to the number of `service` and `kind`.
pub(crate) fn count_one(groups: &mut Groups, service: &str, kind: &str) {
    *groups.entry(service.to_owned()).or_default().entry(kind.to_owned()).or_default() += 1;
}

/// Shortens a text that may quote a whole document.
pub(crate) fn shortened(text: &str) -> String {
    const MAX: usize = 300;
    if text.chars().count() <= MAX {
        text.to_owned()
    } else {
        text.chars().take(MAX).chain("…".chars()).collect()
    }
}

/// Adds a problem if it is among the first.
pub(crate) fn show_first(problems: &mut Vec<Problem>, problem: Problem) {
    if problems.len() < MAX_NAMED {
        problems.push(problem);
    }
}
