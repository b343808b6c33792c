//! Handles an invocation: indexes the batch, logs and measures the outcome, and responds to the event source mapping.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use event_pipeline::batch_response::BatchResponse;
use event_pipeline::event::{BatchItem, EventError};
use event_pipeline::outcome::Outcome;
use event_pipeline::write_error::WriteError;
use indexing::bulk_writer::BULK_RETRIES;
use indexing::indexer::{IndexedBatch, Indexer};
use indexing::transport::BulkTransport;
use lambda_runtime::Diagnostic;
use lambda_support::deadline::work_until;
use schema_registry::registry::Registry;
use thiserror::Error;
use tracing::{error, info, warn};

use crate::config::{BatchFailures, Config};
use crate::metrics::Measures;

/// Why an invocation is an error, after which the event source mapping delivers the batch again.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvocationError {
    /// The payload is not a batch of Kafka records.
    #[error(transparent)]
    Payload(#[from] EventError),
    /// Records could not be written and they are not reported one by one.
    #[error("{n_failed} of {n_records} records failed, the first at {place}: {error}")]
    RecordsFailed {
        /// Records that failed.
        n_failed: usize,
        /// Records in the batch.
        n_records: usize,
        /// Partition and offset of the first.
        place: String,
        /// Why the first failed.
        error: WriteError,
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

/// Handles invocations. Create one and keep it.
pub struct Handler<T> {
    indexer: Indexer<T>,
    batch_failures: BatchFailures,
    function_name: String,
}

impl<T: BulkTransport + 'static> Handler<T> {
    /// Creates a handler that writes through `transport`, and decodes by the schemas of `registry`.
    pub fn new(transport: T, registry: Option<Arc<Registry>>, config: Config, function_name: String) -> Self {
        let Config { indexing, batch_failures } = config;
        let indexer = Indexer::new(Arc::new(transport), indexing.settings, indexing.limits, BULK_RETRIES)
            .with_registry(registry);
        Self { indexer, batch_failures, function_name }
    }

    /// Handles one invocation, whose Lambda deadline is `deadline_ms` since the epoch.
    ///
    /// # Errors
    /// [`InvocationError`] when the whole batch must be delivered again.
    pub async fn handle(&self, payload: &[u8], deadline_ms: u64) -> Result<BatchResponse, InvocationError> {
        let deadline = work_until(deadline_ms, SystemTime::now());
        let batch = match self.indexer.index(payload, deadline).await {
            Ok(batch) => batch,
            Err(reason) => {
                error!(reason = %reason, "payload is not a batch");
                return Err(reason.into());
            }
        };
        log_outcomes(&batch);
        self.write_metrics(&batch);
        respond(&batch, self.batch_failures)
    }

    fn write_metrics(&self, batch: &IndexedBatch<'_>) {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let times = batch.items.iter().filter_map(|item| item.record.as_ref().ok()?.timestamp_ms);
        let oldest_ms = times.filter(|time_ms| *time_ms >= 0).min();
        let oldest_age_ms = oldest_ms.map(|time_ms| now_ms.saturating_sub(time_ms as u64));
        let measures = Measures { counts: batch.counts, stats: batch.stats, oldest_age_ms };
        // Metrics go to standard output. If it is closed, there is nowhere left to report that.
        let _ = writeln!(std::io::stdout().lock(), "{}", measures.line(now_ms, &self.function_name));
    }
}

fn log_outcomes(batch: &IndexedBatch<'_>) {
    let counts = batch.counts;
    info!(
        n_received = counts.received,
        n_indexed = counts.indexed,
        n_rescued = counts.rescued,
        n_duplicates = counts.duplicates,
        n_dropped = counts.dropped,
        n_dead_lettered = counts.dead_lettered,
        n_failed = counts.failed,
        n_requests = batch.stats.requests,
        n_retries = batch.stats.retries,
        bulk_ms = batch.stats.waited.as_millis() as u64,
        "batch indexed"
    );
    if let Some((position, reason)) = &batch.undecoded.first {
        let (n, first) = (batch.undecoded.n, batch.items.get(*position).map(place).unwrap_or_default());
        warn!(n, first, reason, "records not decoded by their schemas, and indexed as they came");
    }
    if batch.n_unread_frames > 0 {
        let n = batch.n_unread_frames;
        warn!(
            n,
            "values look as if a schema registry's serializer wrote them, but SCHEMA_REGISTRY_URL is not set"
        );
    }
    let pairs = || batch.items.iter().zip(&batch.outcomes);
    if let Some((item, rescue)) = pairs().find_map(|(item, outcome)| match outcome {
        Outcome::Rescued(rescue) => Some((item, rescue)),
        _ => None,
    }) {
        let (n, first, fields, reason) =
            (counts.rescued, place(item), rescue.fields().join(","), &rescue.reason);
        warn!(n, first, fields, reason, "documents rejected, and written in another form");
    }
    if let Some((item, WriteError { kind, reason, .. })) = pairs().find_map(|(item, outcome)| match outcome {
        Outcome::DeadLettered(error) => Some((item, error)),
        _ => None,
    }) {
        let (n, first, kind) = (counts.dead_lettered, place(item), kind.as_str());
        warn!(n, first, kind, reason, "documents dead-lettered");
    }
    if let Some((item, error)) = first_failed(batch) {
        error!(n = counts.failed, first = place(item), reason = %error, "records failed");
    }
}

/// Makes the response to the event source mapping: the failed records, or an error that stands for them.
fn respond(
    batch: &IndexedBatch<'_>,
    batch_failures: BatchFailures,
) -> Result<BatchResponse, InvocationError> {
    let Some((item, error)) = first_failed(batch) else { return Ok(BatchResponse::default()) };
    let outcomes = batch.items.iter().zip(&batch.outcomes);
    let failed = outcomes.filter_map(|(item, outcome)| matches!(outcome, Outcome::Failed(_)).then_some(item));
    // A failed record without an offset can't be reported: then only the error is safe.
    if batch_failures == BatchFailures::Report
        && let Some(response) = BatchResponse::of(failed)
    {
        return Ok(response);
    }
    Err(InvocationError::RecordsFailed {
        n_failed: batch.counts.failed,
        n_records: batch.counts.received,
        place: place(item),
        error: error.clone(),
    })
}

fn first_failed<'b, 'p>(batch: &'b IndexedBatch<'p>) -> Option<(&'b BatchItem<'p>, &'b WriteError)> {
    batch.items.iter().zip(&batch.outcomes).find_map(|(item, outcome)| match outcome {
        Outcome::Failed(error) => Some((item, error)),
        _ => None,
    })
}

fn place(item: &BatchItem<'_>) -> String {
    match item.offset {
        Some(offset) => format!("{} offset {offset}", item.partition_key),
        None => format!("{}, a record without an offset", item.partition_key),
    }
}
