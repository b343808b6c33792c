//! Gives documents with a conflict their usual form, where the mapping of their index takes it now.
//!
//! A document is replaced under its own id and in its own index, and only if it is unchanged since it was read and,
//! unless the request names its id, since the pipeline wrote it. A document that is still rejected stays as it is.

use std::collections::HashMap;
use std::convert::Infallible;

use event_pipeline::address::append_index;
use event_pipeline::item_result::ItemResult;
use event_pipeline::restore::{RestoreError, restore};
use event_pipeline::write_error::{ErrorKind, WriteError};
use indexing::bulk_writer::BulkStats;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use tracing::{info, warn};

use crate::cluster::Cluster;
use crate::conflict_response::{FixCounts, FixResponse};
use crate::conflict_search::ConflictSearch;
use crate::page_size::{HITS, PageSize};
use crate::reader::ReadError;
use crate::replayer::Replayer;
use crate::response::{Problem, Run};
use crate::search::Hit;
use crate::selection::ConflictFilter;
use crate::stored::{MAX_PAGE_BYTES, StoredDocument, multi_get, stored_in};
use crate::time_budget::TimeBudget;
use crate::walk::{Step, Stopped, Walk, walk};

/// Fixes the documents that `filter` finds behind the sort values `after`.
///
/// # Errors
/// [`ReadError`] when the first documents can't be read. What fails later is in the response.
pub(crate) async fn fix_conflicts<C: Cluster + 'static>(
    replayer: &Replayer<C>,
    filter: &ConflictFilter,
    after: Option<Vec<Value>>,
    budget: &mut TimeBudget,
) -> Result<Run<FixResponse>, ReadError> {
    let reader = replayer.reader(budget.deadline());
    let search = ConflictSearch::prepare(reader, &replayer.settings().index_prefix, filter).await?;
    let edited = if filter.records.ids.is_empty() { Edited::Keep } else { Edited::Replace };
    let mut fix =
        Fix { replayer, search, edited, page_size: PageSize::default(), response: FixResponse::default() };
    let Stopped { after, end } = walk(&mut fix, after, budget).await;
    Ok(Run { response: fix.response.ended(end)?, after: after.map(Value::from) })
}

/// What happens to a document that was written more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edited {
    /// It stays as it is.
    Keep,
    /// It is replaced: the request names it.
    Replace,
}

struct Fix<'r, C> {
    replayer: &'r Replayer<C>,
    search: ConflictSearch<'r, C>,
    edited: Edited,
    page_size: PageSize,
    response: FixResponse,
}

/// The outcomes of the documents of a page.
#[derive(Default)]
struct Page {
    counts: FixCounts,
    stats: BulkStats,
    problems: Vec<Problem>,
    /// The first error that another attempt may not meet.
    error: Option<WriteError>,
}

impl<C: Cluster + 'static> Walk for Fix<'_, C> {
    type Item = Hit;
    type Position = Vec<Value>;
    type Error = ReadError;

    async fn list(&mut self, after: Option<&Vec<Value>>) -> Result<Vec<Hit>, ReadError> {
        self.search.hits(after.map(Vec::as_slice), HITS, &[]).await
    }

    fn position(hit: &Hit) -> Vec<Value> {
        hit.sort.clone()
    }

    async fn process(&mut self, hits: &[Hit], budget: &TimeBudget) -> Result<Step, ReadError> {
        let hits = self.page_size.page(hits);
        let addresses = hits.iter().map(|hit| (hit.index.as_str(), hit.id.as_str()));
        let Some(text) = multi_get(self.search.reader(), addresses).await? else {
            self.page_size = PageSize::after_too_large(hits.len());
            let [hit] = hits else { return Ok(Step::Processed(0)) };
            self.leave_too_large(hit);
            return Ok(Step::Processed(1));
        };
        let documents = stored_in(&text, hits.len())?;
        let mut page = Page::default();
        page.counts.read = hits.len();
        // A document that is gone was deleted since the search.
        page.counts.changed = hits.len() - documents.len();
        self.write(&mut page, &documents, budget).await?;
        page.log(text.len());
        let error = page.error.take();
        self.add(page);
        if let Some(error) = error {
            return Ok(Step::Failed(format!("the cluster can't continue now: {error}")));
        }
        self.page_size = PageSize::after(hits.len(), text.len());
        Ok(Step::Processed(hits.len()))
    }
}

impl<C: Cluster + 'static> Fix<'_, C> {
    /// Writes the usual form of each document that can have it, and counts all outcomes.
    async fn write(
        &self,
        page: &mut Page,
        documents: &[StoredDocument<'_>],
        budget: &TimeBudget,
    ) -> Result<(), ReadError> {
        let mut sender = self.replayer.bulk_sender(budget.index_deadline());
        let mut sent = HashMap::new();
        for (position, document) in documents.iter().enumerate() {
            let Some(restored) = self.restored(page, document) else { continue };
            let (address, version) = (document.address(), document.version);
            let write = |body: &mut Vec<u8>| {
                let action = append_index(body, &address, version);
                body.extend_from_slice(&restored);
                body.push(b'\n');
                Ok::<_, Infallible>(action)
            };
            let Ok(()) = sender.push(position, write).await;
            sent.insert(position, document);
        }
        let (results, stats) = sender.finish().await;
        page.stats += stats;
        let mut unclear = Vec::new();
        for (position, result) in results {
            let Some(document) = sent.remove(&position) else { continue };
            match result {
                ItemResult::Indexed => page.counts.fixed += 1,
                ItemResult::Rejected(error) => page.keep(document, &error),
                // The cluster fails on this document while it takes others.
                ItemResult::Failed(error) if error.may_be_the_documents() => page.keep(document, &error),
                // A request that was sent again may have found its own document.
                ItemResult::Changed if stats.retries > 0 => unclear.push(document),
                ItemResult::Changed => page.leave(document, "it was changed while it was read"),
                ItemResult::Failed(error) => page.fail(error),
                ItemResult::Duplicate | ItemResult::Deleted | ItemResult::NotFound => {
                    page.leave(document, "the response is not that of a replacement");
                }
            }
        }
        // Operations without a result belong to a request whose task ended early.
        for _ in sent.values() {
            let reason = "the request that held the document ended early".into();
            page.fail(WriteError { kind: ErrorKind::NoResult, status: None, reason });
        }
        self.look_again(page, &unclear).await
    }

    /// The usual form of a document; `None` if it has none, which is counted then.
    fn restored(&self, page: &mut Page, document: &StoredDocument<'_>) -> Option<Vec<u8>> {
        if is_usual(document) {
            page.counts.fixed_before += 1;
            return None;
        }
        if document.n_writes != 1 && self.edited == Edited::Keep {
            page.leave(
                document,
                "it was changed since the pipeline wrote it; name its id in `ids` to replace it anyway",
            );
            return None;
        }
        match restore(self.replayer.settings(), &document.id, document.source.as_bytes()) {
            Ok(restored) => Some(restored),
            Err(error @ RestoreError::TooDeep) => {
                page.counts.still_rejected += 1;
                page.problems.push(Problem::new(&document.id, "too_deep", &error.to_string()));
                None
            }
            Err(error) => {
                page.leave(document, &error.to_string());
                None
            }
        }
    }

    /// Reads documents again whose replacement may have been done by a request whose response was lost.
    async fn look_again(&self, page: &mut Page, documents: &[&StoredDocument<'_>]) -> Result<(), ReadError> {
        if documents.is_empty() {
            return Ok(());
        }
        let addresses = documents.iter().map(|document| (document.index.as_str(), document.id.as_str()));
        let text = multi_get(self.search.reader(), addresses).await?;
        let stored = match &text {
            Some(text) => stored_in(text, documents.len())?,
            None => Vec::new(),
        };
        for document in documents {
            let now = stored.iter().find(|now| now.address() == document.address());
            match now {
                Some(now) if is_usual(now) => page.counts.fixed += 1,
                _ => page.leave(document, "it was changed while it was read"),
            }
        }
        Ok(())
    }

    fn leave_too_large(&mut self, hit: &Hit) {
        let reason = format!("it is larger than {MAX_PAGE_BYTES} bytes, which no event of Lambda is");
        self.response.counts.read += 1;
        self.response.counts.changed += 1;
        self.response.show(Problem::new(&hit.id, "changed", &reason));
    }

    fn add(&mut self, page: Page) {
        self.response.counts += page.counts;
        self.response.stats += page.stats;
        page.problems.into_iter().for_each(|problem| self.response.show(problem));
    }
}

impl Page {
    /// Counts a document that the cluster still rejects.
    fn keep(&mut self, document: &StoredDocument<'_>, error: &WriteError) {
        self.counts.still_rejected += 1;
        self.problems.push(Problem::new(&document.id, error.kind.as_str(), &error.reason));
    }

    /// Counts a document that was changed since the pipeline wrote it.
    fn leave(&mut self, document: &StoredDocument<'_>, reason: &str) {
        self.counts.changed += 1;
        self.problems.push(Problem::new(&document.id, "changed", reason));
    }

    fn fail(&mut self, error: WriteError) {
        self.counts.failed += 1;
        self.error.get_or_insert(error);
    }

    /// Logs the page, whose documents took `n_bytes`.
    fn log(&self, n_bytes: usize) {
        let Self { counts, stats, problems, error } = self;
        info!(
            n_read = counts.read,
            n_fixed = counts.fixed,
            n_fixed_before = counts.fixed_before,
            n_changed = counts.changed,
            n_still_rejected = counts.still_rejected,
            n_failed = counts.failed,
            n_requests = stats.requests,
            n_retries = stats.retries,
            n_bytes,
            first_problem = problems.first().map(|problem| problem.reason.as_str()),
            "page of conflicts fixed"
        );
        if let Some(error) = error {
            warn!(reason = %error, "page fixed only in part");
        }
    }
}

/// Whether a document has its usual form: a search finds it as it was before until the next refresh.
fn is_usual(document: &StoredDocument<'_>) -> bool {
    #[derive(Deserialize)]
    struct Fields {
        conflict_field: Option<IgnoredAny>,
    }
    serde_json::from_str::<Fields>(document.source).is_ok_and(|fields| fields.conflict_field.is_none())
}
