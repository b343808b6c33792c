//! What an invocation returns about conflicts: groups with the mapping that ends them, or the outcome for each document.

use indexing::bulk_writer::BulkStats;
use serde::Serialize;
use serde_json::Value;

use crate::response::{Problem, show_first};
use crate::walk::End;

/// The conflicts of documents, by topic, field and reason.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ConflictList {
    /// Whether every document is in it. If not, the response to `next` has the others.
    pub complete: bool,
    /// Why it stopped before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// Documents with a conflict.
    pub documents: usize,
    /// Their conflicts, those with the most documents first. A document is in a group for each field that was moved.
    pub groups: Vec<ConflictGroup>,
    /// Documents whose group is not in `groups`, where there are too many.
    #[serde(skip_serializing_if = "is_zero")]
    pub not_shown: usize,
    /// All proposed mappings together, as a change of the component template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Value>,
    /// Name of that component template.
    pub component_template: String,
    /// The event to invoke the function with to continue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Value>,
}

/// Documents of one topic with the same conflict in the same field.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConflictGroup {
    /// The topic.
    pub topic: String,
    /// The member that was moved; `*` for the whole payload.
    pub field: String,
    /// The cluster's words, without the document's own values.
    pub reason: String,
    /// How many documents.
    pub documents: usize,
    /// The first of their indices.
    pub indices: Vec<String>,
    /// Indices that are not in `indices`.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_indices: usize,
    /// One of the documents.
    pub example: ConflictExample,
    /// The change of the component template that ends the conflict; `None` where none does.
    pub proposal: Option<Value>,
    /// What the change does, or why there is none.
    pub advice: String,
}

/// A document with a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConflictExample {
    /// Its index.
    pub index: String,
    /// Its id.
    pub id: String,
    /// Beginning of what was moved, as JSON text; `None` if the document is gone.
    pub value: Option<String>,
}

/// What a fix did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FixResponse {
    /// Whether every document is processed.
    pub complete: bool,
    /// Why it stopped before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// Outcomes of the documents.
    #[serde(flatten)]
    pub counts: FixCounts,
    /// How to fix the documents that the mapping of their index still rejects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<&'static str>,
    /// The first that were not fixed, with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// The event to invoke the function with to continue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Value>,
    /// Requests, retries, bytes and time of the bulk requests, for the metrics.
    #[serde(skip)]
    pub stats: BulkStats,
}

/// Outcomes of documents with a conflict. The other counts add up to `read`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct FixCounts {
    /// Documents that were found.
    pub read: usize,
    /// Written in their usual form now.
    pub fixed: usize,
    /// In their usual form already, which a search shows only after the next refresh.
    pub fixed_before: usize,
    /// Changed since the pipeline wrote them, or deleted. Not fixed.
    pub changed: usize,
    /// Still rejected by the mapping of their index. Not fixed.
    pub still_rejected: usize,
    /// Not written because of the cluster, so fix them again.
    pub failed: usize,
}

/// What to do with the documents that are still rejected.
const ADVICE: &str = "a field keeps its type in an existing index. The mapping in the component template applies from the next \
                      day's index on. For an earlier day: reindex the index to another name, delete it, reindex it back, and \
                      fix its conflicts again. For today: wait until the day is over, then do the same";

impl std::ops::AddAssign for FixCounts {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.fixed += other.fixed;
        self.fixed_before += other.fixed_before;
        self.changed += other.changed;
        self.still_rejected += other.still_rejected;
        self.failed += other.failed;
    }
}

impl FixResponse {
    /// Shows a problem if it is among the first.
    pub(crate) fn show(&mut self, problem: Problem) {
        show_first(&mut self.problems, problem);
    }

    /// Completes the response by the end of the walk that it counts.
    ///
    /// # Errors
    /// The walk's own error if nothing was read before it.
    pub(crate) fn ended<E: std::error::Error>(mut self, end: End<E>) -> Result<Self, E> {
        self.advice = (self.counts.still_rejected > 0).then_some(ADVICE);
        (self.complete, self.stopped) = end.summary(self.counts.read)?;
        Ok(self)
    }
}

impl ConflictList {
    /// Completes the response by the end of the walk that it counts.
    ///
    /// # Errors
    /// The walk's own error if nothing was read before it.
    pub(crate) fn ended<E: std::error::Error>(mut self, end: End<E>) -> Result<Self, E> {
        (self.complete, self.stopped) = end.summary(self.documents)?;
        Ok(self)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the member by reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}
