//! Handles an invocation: indexes the batch, says what became of it, and answers the event source mapping.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use event_pipeline::batch_response::BatchResponse;
use event_pipeline::event::{BatchItem, EventError};
use event_pipeline::outcome::{Failure, Fault, Outcome};
use indexing::transport::BulkTransport;
use lambda_runtime::Diagnostic;
use lambda_support::deadline::work_until;
use search_client::backoff::Backoff;
use thiserror::Error;
use tracing::{error, info, warn};

use crate::metrics::Measures;
use indexing::config::{BatchFailures, Config};
use indexing::indexer::{IndexedBatch, Indexer};

/// Says why an invocation is an error, so that the event source mapping delivers the batch again.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvocationError {
    /// The payload is not a batch of Kafka records.
    #[error(transparent)]
    Payload(#[from] EventError),
    /// Records could not be written and the function is not set to report them one by one.
    #[error("{n_failed} of {n_records} records failed, the first at {place}: {failure}")]
    RecordsFailed {
        /// Records that failed.
        n_failed: usize,
        /// Records in the batch.
        n_records: usize,
        /// Partition and offset of the first.
        place: String,
        /// What happened to the first.
        failure: Failure,
    },
}

impl From<InvocationError> for Diagnostic {
    fn from(error: InvocationError) -> Self {
        let error_type = match error {
            InvocationError::Payload(_) => "NotAKafkaEvent",
            InvocationError::RecordsFailed { .. } => "RecordsFailed",
        };
        Self { error_type: error_type.into(), error_message: error.to_string() }
    }
}

/// Handles invocations. Make one and keep it.
pub struct Handler<T> {
    indexer: Indexer<T>,
    batch_failures: BatchFailures,
    function_name: String,
}

impl<T: BulkTransport + 'static> Handler<T> {
    /// Makes a handler that writes by `transport`.
    pub fn new(transport: T, config: Config, function_name: String) -> Self {
        let indexer = Indexer::new(transport, config.settings, config.limits, Backoff::default());
        Self { indexer, batch_failures: config.batch_failures, function_name }
    }

    /// Handles one invocation, whose Lambda deadline is `deadline_ms` since the epoch.
    ///
    /// # Errors
    /// [`InvocationError`] when the batch has to be delivered again as a whole.
    pub async fn handle(&self, payload: &[u8], deadline_ms: u64) -> Result<BatchResponse, InvocationError> {
        let deadline = work_until(deadline_ms, SystemTime::now());
        let batch = match self.indexer.index(payload, deadline).await {
            Ok(batch) => batch,
            Err(reason) => {
                error!(reason = %reason, "payload is not a batch");
                return Err(reason.into());
            }
        };
        self.tell(&batch);
        answer(&batch, self.batch_failures)
    }

    fn tell(&self, batch: &IndexedBatch<'_>) {
        let counts = batch.counts;
        info!(
            n_received = counts.received,
            n_indexed = counts.indexed,
            n_duplicates = counts.duplicates,
            n_dead_lettered = counts.dead_lettered,
            n_failed = counts.failed,
            n_requests = batch.stats.requests,
            n_retries = batch.stats.retries,
            bulk_ms = batch.stats.waited.as_millis() as u64,
            "batch indexed"
        );
        let pairs = || batch.entries.iter().zip(&batch.outcomes);
        if let Some((entry, Fault { kind, reason, .. })) =
            pairs().find_map(|(entry, outcome)| match outcome {
                Outcome::DeadLettered(fault) => Some((entry, fault)),
                _ => None,
            })
        {
            warn!(n = counts.dead_lettered, first = place(entry), kind, reason, "documents dead-lettered");
        }
        if let Some((entry, failure)) = first_failed(batch) {
            error!(n = counts.failed, first = place(entry), reason = %failure, "records failed");
        }
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let times = batch.entries.iter().filter_map(|entry| entry.record.as_ref().ok()?.timestamp_ms);
        let oldest_ms = times.filter(|time_ms| *time_ms >= 0).min();
        let oldest_age_ms = oldest_ms.map(|time_ms| now_ms.saturating_sub(time_ms as u64));
        let measures = Measures { counts, stats: batch.stats, oldest_age_ms };
        // Standard output is the way metrics are recorded; if it is closed there is nobody to tell.
        let _ = writeln!(std::io::stdout().lock(), "{}", measures.line(now_ms, &self.function_name));
    }
}

/// The answer to the event source mapping: the failed records, or an error that stands for them.
fn answer(batch: &IndexedBatch<'_>, batch_failures: BatchFailures) -> Result<BatchResponse, InvocationError> {
    let Some((entry, failure)) = first_failed(batch) else { return Ok(BatchResponse::default()) };
    let failed = batch
        .entries
        .iter()
        .zip(&batch.outcomes)
        .filter_map(|(entry, outcome)| matches!(outcome, Outcome::Failed(_)).then_some(entry));
    // A record that can't be named in a report leaves only the error.
    if batch_failures == BatchFailures::Report
        && let Some(response) = BatchResponse::of(failed)
    {
        return Ok(response);
    }
    Err(InvocationError::RecordsFailed {
        n_failed: batch.counts.failed,
        n_records: batch.counts.received,
        place: place(entry),
        failure: failure.clone(),
    })
}

fn first_failed<'b, 'p>(batch: &'b IndexedBatch<'p>) -> Option<(&'b BatchItem<'p>, &'b Failure)> {
    batch.entries.iter().zip(&batch.outcomes).find_map(|(entry, outcome)| match outcome {
        Outcome::Failed(failure) => Some((entry, failure)),
        _ => None,
    })
}

fn place(entry: &BatchItem<'_>) -> String {
    match entry.offset {
        Some(offset) => format!("{} offset {offset}", entry.partition_key),
        None => format!("{}, a record without an offset", entry.partition_key),
    }
}
