//! Indexes a batch: records into bulk requests, answers into outcomes, rejected documents into dead letters.

use std::convert::Infallible;
use std::sync::Arc;

use crate::bulk_writer::{BulkStats, Written, write};
use crate::transport::BulkTransport;
use event_pipeline::bulk::{BulkLimits, BulkRequest, Pushed};
use event_pipeline::document::Encoder;
use event_pipeline::event::{BatchItem, EventError, RecordError, read_batch};
use event_pipeline::item_result::ItemResult;
use event_pipeline::outcome::{Counts, Outcome};
use event_pipeline::settings::Settings;
use event_pipeline::write_error::{ErrorKind, WriteError};
use search_client::retry::RetryPolicy;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Indexes batches into one cluster.
#[derive(Debug)]
pub struct Indexer<T> {
    transport: Arc<T>,
    settings: Settings,
    limits: BulkLimits,
    retries: RetryPolicy,
}

/// A batch, with what became of each record of it.
#[derive(Debug)]
pub struct IndexedBatch<'p> {
    /// The batch.
    pub entries: Vec<BatchItem<'p>>,
    /// One outcome a record, in the batch's order.
    pub outcomes: Vec<Outcome>,
    /// How many ended in which.
    pub counts: Counts,
    /// What it took.
    pub stats: BulkStats,
}

impl<T: BulkTransport + 'static> Indexer<T> {
    /// Makes an indexer that writes by `transport`.
    pub fn new(transport: T, settings: Settings, limits: BulkLimits, retries: RetryPolicy) -> Self {
        Self { transport: Arc::new(transport), settings, limits, retries }
    }

    /// Indexes the batch in `payload` and settles every record by `deadline`.
    ///
    /// # Errors
    /// [`EventError`] when the payload is not a batch; nothing is written then.
    pub async fn index<'p>(
        &self,
        payload: &'p [u8],
        deadline: Instant,
    ) -> Result<IndexedBatch<'p>, EventError> {
        let entries = read_batch(payload)?;
        let mut encoder = Encoder::new(self.settings.clone());
        let mut account = Account::new(entries.len());

        let mut sender = self.sender(deadline);
        for (position, entry) in entries.iter().enumerate() {
            let pushed = match &entry.record {
                Ok(record) => sender.push(position, |body| encoder.append(record, body).map(drop)).await,
                Err(error) => Err(*error),
            };
            if let Err(error) = pushed {
                account.reject(position, unreadable(error));
            }
        }
        let (results, mut stats) = sender.finish().await;
        account.settle(results);

        let mut sender = self.sender(deadline);
        let rejected = std::mem::take(&mut account.rejected);
        for (position, fault) in &rejected {
            let Some(entry) = entries.get(*position) else { continue };
            let write = |body: &mut Vec<u8>| {
                encoder.append_dead_letter(entry, fault, body);
                Ok::<_, Infallible>(())
            };
            let Ok(()) = sender.push(*position, write).await;
        }
        let (results, dead_letter_stats) = sender.finish().await;
        account.settle_dead_letters(results);
        stats += dead_letter_stats;

        let outcomes = account.close(rejected);
        let counts = Counts::of(&outcomes);
        Ok(IndexedBatch { entries, outcomes, counts, stats })
    }

    fn sender(&self, deadline: Instant) -> Sender<'_, T> {
        Sender {
            indexer: self,
            deadline,
            request: BulkRequest::default(),
            in_flight: None,
            results: Vec::new(),
            stats: BulkStats::default(),
        }
    }
}

fn unreadable(error: RecordError) -> WriteError {
    WriteError { kind: ErrorKind::UnreadableRecord, status: None, reason: error.to_string() }
}

/// The cluster reported a `delete` where a `create` was sent: nothing counts as written.
fn not_a_create() -> WriteError {
    WriteError {
        kind: ErrorKind::BadResponse,
        status: None,
        reason: "the response reports a delete for a create".into(),
    }
}

/// Fills a request while another is on the wire.
struct Sender<'i, T> {
    indexer: &'i Indexer<T>,
    deadline: Instant,
    request: BulkRequest,
    in_flight: Option<JoinHandle<Written>>,
    results: Vec<(usize, ItemResult)>,
    stats: BulkStats,
}

impl<T: BulkTransport + 'static> Sender<'_, T> {
    /// Adds an operation that `encode` writes, sending the request off first when it is full.
    async fn push<E>(
        &mut self,
        record: usize,
        mut encode: impl FnMut(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.request.push(record, self.indexer.limits, &mut encode)? == Pushed::Full {
            self.send().await;
        }
        Ok(())
    }

    /// Sends what is left, waits for all of it, and returns what became of every operation.
    async fn finish(mut self) -> (Vec<(usize, ItemResult)>, BulkStats) {
        if !self.request.is_empty() {
            self.send().await;
        }
        self.wait().await;
        (self.results, self.stats)
    }

    async fn send(&mut self) {
        let spare = self.wait().await;
        let request = std::mem::replace(&mut self.request, spare);
        let (transport, retries) = (Arc::clone(&self.indexer.transport), self.indexer.retries);
        let deadline = self.deadline;
        self.in_flight =
            Some(tokio::spawn(async move { write(transport.as_ref(), request, deadline, &retries).await }));
    }

    /// Waits for the request on the wire and returns its memory, empty.
    async fn wait(&mut self) -> BulkRequest {
        let Some(task) = self.in_flight.take() else { return BulkRequest::default() };
        match task.await {
            Ok(mut written) => {
                self.results.append(&mut written.results);
                self.stats += written.stats;
                written.spare
            }
            Err(error) => {
                // Its operations stay unsettled, which counts as failed.
                tracing::error!(error = %error, "task of a bulk request ended early");
                BulkRequest::default()
            }
        }
    }
}

/// Keeps what became of each record, once.
struct Account {
    outcomes: Vec<Option<Outcome>>,
    rejected: Vec<(usize, WriteError)>,
    is_dead_lettered: Vec<bool>,
}

impl Account {
    fn new(n_records: usize) -> Self {
        Self {
            outcomes: vec![None; n_records],
            rejected: Vec::new(),
            is_dead_lettered: vec![false; n_records],
        }
    }

    fn reject(&mut self, record: usize, error: WriteError) {
        self.rejected.push((record, error));
    }

    fn set(&mut self, record: usize, outcome: Outcome) {
        if let Some(slot) = self.outcomes.get_mut(record) {
            debug_assert_eq!(*slot, None, "record {record} is settled once");
            *slot = Some(outcome);
        }
    }

    fn settle(&mut self, results: Vec<(usize, ItemResult)>) {
        for (record, result) in results {
            match result {
                ItemResult::Indexed => self.set(record, Outcome::Indexed),
                ItemResult::Duplicate => self.set(record, Outcome::Duplicate),
                ItemResult::Rejected(error) => self.reject(record, error),
                ItemResult::Failed(error) => self.set(record, Outcome::Failed(error)),
                ItemResult::Deleted | ItemResult::NotFound | ItemResult::Changed => {
                    self.set(record, Outcome::Failed(not_a_create()));
                }
            }
        }
    }

    fn settle_dead_letters(&mut self, results: Vec<(usize, ItemResult)>) {
        for (record, result) in results {
            match result {
                ItemResult::Indexed | ItemResult::Duplicate => {
                    if let Some(flag) = self.is_dead_lettered.get_mut(record) {
                        *flag = true;
                    }
                }
                ItemResult::Rejected(WriteError { kind, status, reason }) => {
                    let reason = format!("the dead-letter index refuses the dead letter: {kind}: {reason}");
                    let error = WriteError { kind: ErrorKind::DeadLetterRefused, status, reason };
                    self.set(record, Outcome::Failed(error));
                }
                ItemResult::Failed(error) => {
                    let reason = format!("the dead letter could not be written: {error}");
                    self.set(record, Outcome::Failed(WriteError { reason, ..error }));
                }
                ItemResult::Deleted | ItemResult::NotFound | ItemResult::Changed => {
                    self.set(record, Outcome::Failed(not_a_create()));
                }
            }
        }
    }

    /// Gives every record its outcome; one that nothing settled has failed.
    fn close(mut self, rejected: Vec<(usize, WriteError)>) -> Vec<Outcome> {
        for (record, fault) in rejected {
            if self.is_dead_lettered.get(record) == Some(&true) {
                self.set(record, Outcome::DeadLettered(fault));
            }
        }
        let unsettled = || {
            Outcome::Failed(WriteError {
                kind: ErrorKind::Unsettled,
                status: None,
                reason: "the request that held the record ended early".into(),
            })
        };
        self.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(unsettled)).collect()
    }
}
