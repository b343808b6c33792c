//! Replays one page of dead letters: indexes their records, then removes those whose records are indexed.
//!
//! A dead letter is removed after its record is indexed, never before. So a run that was interrupted anywhere can be run
//! again: it finds what it indexed as duplicates, removes those dead letters, and ends with the same result.

use std::convert::Infallible;

use event_pipeline::address::append_delete;
use event_pipeline::encoder::Encoder;
use event_pipeline::item_result::ItemResult;
use event_pipeline::outcome::Outcome;
use event_pipeline::write_error::{ErrorKind, WriteError};
use indexing::bulk_writer::BulkStats;
use indexing::indexer::IndexedBatch;
use tracing::{info, warn};

use crate::cluster::Cluster;
use crate::dead_letter::{DeadLetter, RecordText, event_of};
use crate::replayer::Replayer;
use crate::response::{Counts, NONE, Problem, ReplayResponse};
use crate::stored::StoredDocument;
use crate::time_budget::TimeBudget;

/// The outcome of a page.
#[derive(Default)]
pub(crate) struct ReplayedPage {
    counts: Counts,
    stats: BulkStats,
    refused: Vec<Refusal>,
    /// The first error that another attempt may not meet.
    pub(crate) error: Option<WriteError>,
}

/// A dead letter whose record was refused again, or that gives no record.
struct Refusal {
    service: String,
    problem: Problem,
}

/// A dead letter, and the record made of it.
struct Replayable<'p> {
    stored: &'p StoredDocument<'p>,
    service: Option<String>,
    record: RecordText,
}

/// A dead letter to remove.
struct Removal<'p> {
    stored: &'p StoredDocument<'p>,
    reason: RemovalReason,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RemovalReason {
    /// Its record is indexed, or dropped by the rules of its topic.
    Settled,
    /// Its record was refused again, and has its dead letter at another address now.
    Moved,
}

/// Replays a page of dead letters. Errors that end the run are in the result.
pub(crate) async fn replay_page<C: Cluster + 'static>(
    replayer: &Replayer<C>,
    dead_letters: &[StoredDocument<'_>],
    budget: &TimeBudget,
) -> ReplayedPage {
    let mut page = ReplayedPage::default();
    page.counts.read = dead_letters.len();
    let replayable = page.take_records(dead_letters);
    let event = event_of(replayable.iter().map(|Replayable { record, .. }| record));
    let reason = match replayer.index(event.as_bytes(), budget.index_deadline()).await {
        Ok(batch) if batch.items.len() == replayable.len() => {
            let removals = page.take_outcomes(&replayable, &batch, replayer.encoder().await);
            page.remove(replayer, &removals, budget).await;
            return page;
        }
        Ok(batch) => format!("{} records became a batch of {}", replayable.len(), batch.items.len()),
        Err(error) => error.to_string(),
    };
    page.counts.failed += replayable.len();
    page.error = Some(WriteError { kind: ErrorKind::Page, status: None, reason });
    page
}

impl ReplayedPage {
    /// Makes the records of the dead letters. Those that give no record are refused.
    fn take_records<'p>(&mut self, dead_letters: &'p [StoredDocument<'p>]) -> Vec<Replayable<'p>> {
        let mut replayable = Vec::with_capacity(dead_letters.len());
        for stored in dead_letters {
            let (service, record) = match DeadLetter::parse(stored.source) {
                Ok(dead_letter) => (dead_letter.service().map(str::to_owned), dead_letter.record(&stored.id)),
                Err(error) => (None, Err(error)),
            };
            match record {
                Ok(record) => replayable.push(Replayable { stored, service, record }),
                Err(error) => {
                    let problem = Problem::new(&stored.id, "not_a_dead_letter", &error.to_string());
                    self.refuse(service.as_deref(), problem);
                }
            }
        }
        replayable
    }

    /// Counts the outcomes, and returns the dead letters to remove.
    fn take_outcomes<'p>(
        &mut self,
        replayable: &[Replayable<'p>],
        batch: &IndexedBatch<'_>,
        mut encoder: Encoder,
    ) -> Vec<Removal<'p>> {
        self.stats += batch.stats;
        let mut removals = Vec::new();
        let outcomes = batch.items.iter().zip(&batch.outcomes);
        for (Replayable { stored, service, .. }, (item, outcome)) in replayable.iter().zip(outcomes) {
            let stored = *stored;
            match outcome {
                Outcome::Indexed | Outcome::Rescued(_) => {
                    self.counts.indexed += 1;
                    removals.push(Removal { stored, reason: RemovalReason::Settled });
                }
                Outcome::Duplicate => {
                    self.counts.duplicates += 1;
                    removals.push(Removal { stored, reason: RemovalReason::Settled });
                }
                Outcome::Dropped => {
                    self.counts.dropped += 1;
                    removals.push(Removal { stored, reason: RemovalReason::Settled });
                }
                Outcome::DeadLettered(error) => {
                    let problem = Problem::new(&stored.id, error.kind.as_str(), &error.reason);
                    self.refuse(service.as_deref(), problem);
                    // With settings other than those it was written by, a record may now have its dead letter elsewhere.
                    let address = encoder.dead_letter_address(item);
                    if address.id.is_some() && address != stored.address() {
                        removals.push(Removal { stored, reason: RemovalReason::Moved });
                    }
                }
                Outcome::Failed(error) => {
                    self.counts.failed += 1;
                    self.error.get_or_insert_with(|| error.clone());
                }
            }
        }
        removals
    }

    /// Removes dead letters, each only if it still is the one that was read.
    async fn remove<C: Cluster + 'static>(
        &mut self,
        replayer: &Replayer<C>,
        removals: &[Removal<'_>],
        budget: &TimeBudget,
    ) {
        let mut sender = replayer.bulk_sender(budget.deadline());
        for (position, Removal { stored, .. }) in removals.iter().enumerate() {
            let (address, version) = (stored.address(), stored.version);
            let write = |body: &mut Vec<u8>| Ok::<_, Infallible>(append_delete(body, &address, version));
            let Ok(()) = sender.push(position, write).await;
        }
        let (results, stats) = sender.finish().await;
        self.stats += stats;
        for (position, result) in results {
            // Not found: a request whose response was lost has removed it, or another replay has.
            let is_removed = matches!(result, ItemResult::Deleted | ItemResult::NotFound);
            match removals.get(position).map(|removal| removal.reason) {
                Some(RemovalReason::Settled) if is_removed => self.counts.removed += 1,
                Some(RemovalReason::Settled) => self.counts.not_removed += 1,
                Some(RemovalReason::Moved) | None => {}
            }
            // A dead letter that was replaced in the meantime is not an error: the next run replays the new one.
            if let ItemResult::Failed(error) = result {
                self.error.get_or_insert(error);
            }
        }
    }

    fn refuse(&mut self, service: Option<&str>, problem: Problem) {
        self.counts.refused += 1;
        self.refused.push(Refusal { service: service.unwrap_or(NONE).to_owned(), problem });
    }

    /// Logs the page, whose dead letters took `n_bytes`.
    pub(crate) fn log(&self, n_bytes: usize) {
        let Self { counts, stats, refused, error } = self;
        info!(
            n_read = counts.read,
            n_indexed = counts.indexed,
            n_duplicates = counts.duplicates,
            n_dropped = counts.dropped,
            n_refused = counts.refused,
            n_failed = counts.failed,
            n_removed = counts.removed,
            n_not_removed = counts.not_removed,
            n_requests = stats.requests,
            n_retries = stats.retries,
            n_bytes,
            first_refused = refused.first().map(|refusal| refusal.problem.reason.as_str()),
            "page of dead letters replayed"
        );
        if let Some(error) = error {
            warn!(reason = %error, "page replayed only in part");
        }
    }

    /// Adds the page to the response.
    pub(crate) fn add_to(self, response: &mut ReplayResponse) {
        response.counts += self.counts;
        response.stats += self.stats;
        for Refusal { service, problem } in self.refused {
            response.refuse(&service, problem);
        }
    }
}
