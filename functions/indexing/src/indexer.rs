//! Indexes a batch: records into bulk requests, answers into outcomes, rejected documents into dead letters.

use std::convert::Infallible;
use std::sync::Arc;

use crate::bulk_writer::{BulkStats, Settlement, Written, write};
use crate::transport::BulkTransport;
use event_pipeline::address::ActionLine;
use event_pipeline::bulk::{BulkLimits, BulkRequest, Pushed};
use event_pipeline::encoder::Encoder;
use event_pipeline::event::{BatchItem, EventError, RecordError, read_batch};
use event_pipeline::outcome::{Counts, Failure, Fault, Outcome};
use event_pipeline::settings::Settings;
use search_client::backoff::Backoff;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Indexes batches into one cluster.
#[derive(Debug)]
pub struct Indexer<T> {
    transport: Arc<T>,
    settings: Settings,
    limits: BulkLimits,
    backoff: Backoff,
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
    pub fn new(transport: T, settings: Settings, limits: BulkLimits, backoff: Backoff) -> Self {
        Self { transport: Arc::new(transport), settings, limits, backoff }
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
                Ok(record) => sender.push(position, |body| encoder.append(record, body)).await,
                Err(error) => Err(*error),
            };
            if let Err(error) = pushed {
                account.reject(position, unreadable(error));
            }
        }
        let (settled, mut stats) = sender.finish().await;
        account.settle(settled);

        let mut sender = self.sender(deadline);
        let rejected = std::mem::take(&mut account.rejected);
        for (position, fault) in &rejected {
            let Some(entry) = entries.get(*position) else { continue };
            let write =
                |body: &mut Vec<u8>| Ok::<_, Infallible>(encoder.append_dead_letter(entry, fault, body));
            let Ok(()) = sender.push(*position, write).await;
        }
        let (settled, dead_letter_stats) = sender.finish().await;
        account.settle_dead_letters(settled);
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
            settled: Vec::new(),
            stats: BulkStats::default(),
        }
    }
}

fn unreadable(error: RecordError) -> Fault {
    Fault { kind: "unreadable_record".into(), reason: error.to_string(), status: 0 }
}

/// Fills a request while another is on the wire.
struct Sender<'i, T> {
    indexer: &'i Indexer<T>,
    deadline: Instant,
    request: BulkRequest,
    in_flight: Option<JoinHandle<Written>>,
    settled: Vec<(usize, Settlement)>,
    stats: BulkStats,
}

impl<T: BulkTransport + 'static> Sender<'_, T> {
    /// Adds an operation that `encode` writes, sending the request off first when it is full.
    async fn push<E>(
        &mut self,
        record: usize,
        mut encode: impl FnMut(&mut Vec<u8>) -> Result<ActionLine, E>,
    ) -> Result<(), E> {
        while self.request.push(record, self.indexer.limits, &mut encode)? == Pushed::Full {
            self.send().await;
        }
        Ok(())
    }

    /// Sends what is left, waits for all of it, and returns what became of every operation.
    async fn finish(mut self) -> (Vec<(usize, Settlement)>, BulkStats) {
        if !self.request.is_empty() {
            self.send().await;
        }
        self.wait().await;
        (self.settled, self.stats)
    }

    async fn send(&mut self) {
        let spare = self.wait().await;
        let request = std::mem::replace(&mut self.request, spare);
        let (transport, backoff) = (Arc::clone(&self.indexer.transport), self.indexer.backoff);
        let deadline = self.deadline;
        self.in_flight =
            Some(tokio::spawn(async move { write(transport.as_ref(), request, deadline, &backoff).await }));
    }

    /// Waits for the request on the wire and returns its memory, empty.
    async fn wait(&mut self) -> BulkRequest {
        let Some(task) = self.in_flight.take() else { return BulkRequest::default() };
        match task.await {
            Ok(mut written) => {
                self.settled.append(&mut written.settled);
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
    rejected: Vec<(usize, Fault)>,
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

    fn reject(&mut self, record: usize, fault: Fault) {
        self.rejected.push((record, fault));
    }

    fn set(&mut self, record: usize, outcome: Outcome) {
        if let Some(slot) = self.outcomes.get_mut(record) {
            debug_assert_eq!(*slot, None, "record {record} is settled once");
            *slot = Some(outcome);
        }
    }

    fn settle(&mut self, settled: Vec<(usize, Settlement)>) {
        for (record, settlement) in settled {
            match settlement {
                Settlement::Indexed => self.set(record, Outcome::Indexed),
                Settlement::Duplicate => self.set(record, Outcome::Duplicate),
                Settlement::Rejected(fault) => self.reject(record, fault),
                Settlement::Failed(failure) => self.set(record, Outcome::Failed(failure)),
            }
        }
    }

    fn settle_dead_letters(&mut self, settled: Vec<(usize, Settlement)>) {
        for (record, settlement) in settled {
            match settlement {
                Settlement::Indexed | Settlement::Duplicate => {
                    if let Some(flag) = self.is_dead_lettered.get_mut(record) {
                        *flag = true;
                    }
                }
                Settlement::Rejected(Fault { kind, reason, status }) => {
                    let reason = format!("the dead-letter index refuses the dead letter: {kind}: {reason}");
                    let failure = Failure { kind: "dead_letter_refused".into(), reason, status };
                    self.set(record, Outcome::Failed(failure));
                }
                Settlement::Failed(failure) => {
                    let reason = format!("the dead letter could not be written: {failure}");
                    self.set(record, Outcome::Failed(Failure { reason, ..failure }));
                }
            }
        }
    }

    /// Gives every record its outcome; one that nothing settled has failed.
    fn close(mut self, rejected: Vec<(usize, Fault)>) -> Vec<Outcome> {
        for (record, fault) in rejected {
            if self.is_dead_lettered.get(record) == Some(&true) {
                self.set(record, Outcome::DeadLettered(fault));
            }
        }
        let unsettled = || {
            Outcome::Failed(Failure {
                kind: "unsettled".into(),
                reason: "the request that held the record ended early".into(),
                status: 0,
            })
        };
        self.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(unsettled)).collect()
    }
}
