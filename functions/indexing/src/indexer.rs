//! Indexes a batch: encodes its records, writes the documents, and writes those that are rejected in other
//! forms, or as dead letters.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use event_pipeline::bulk::BulkLimits;
use event_pipeline::encoder::Encoder;
use event_pipeline::event::{BatchItem, EventError, KafkaRecord, RecordError, read_batch};
use event_pipeline::outcome::{Counts, Outcome};
use event_pipeline::rescue::Rescue;
use event_pipeline::settings::Settings;
use event_pipeline::write_error::{ErrorKind, WriteError};
use search_client::retry::RetryPolicy;
use tokio::time::Instant;

use crate::account::Account;
use crate::bulk_sender::BulkSender;
use crate::bulk_writer::BulkStats;
use crate::transport::BulkTransport;

/// Indexes batches into one cluster.
#[derive(Debug)]
pub struct Indexer<T> {
    transport: Arc<T>,
    settings: Settings,
    limits: BulkLimits,
    policy: RetryPolicy,
}

/// A batch and the outcomes of its records.
#[derive(Debug)]
pub struct IndexedBatch<'p> {
    /// The records.
    pub items: Vec<BatchItem<'p>>,
    /// One outcome for each record, in the batch's order.
    pub outcomes: Vec<Outcome>,
    /// How many records ended in which outcome.
    pub counts: Counts,
    /// Requests, retries, bytes and time that it took.
    pub stats: BulkStats,
}

impl<T: BulkTransport + 'static> Indexer<T> {
    /// Makes an indexer that writes through `transport`.
    pub fn new(transport: Arc<T>, settings: Settings, limits: BulkLimits, policy: RetryPolicy) -> Self {
        Self { transport, settings, limits, policy }
    }

    /// Indexes the batch in `payload` and gives every record its outcome by `deadline`.
    ///
    /// # Errors
    /// [`EventError`] when the payload is not a batch; nothing is written then.
    pub async fn index<'p>(
        &self,
        payload: &'p [u8],
        deadline: Instant,
    ) -> Result<IndexedBatch<'p>, EventError> {
        let items = read_batch(payload)?;
        let mut encoder = Encoder::new(self.settings.clone());
        let mut account = Account::new(items.len());

        let mut sender = self.sender(deadline);
        let mut too_deep = HashMap::new();
        for (position, item) in items.iter().enumerate() {
            let pushed = match &item.record {
                Ok(record) => sender.push(position, |body| encoder.append(record, body)).await,
                Err(error) => Err(*error),
            };
            if item.record.is_ok() {
                too_deep.extend(encoder.rescue_of_last().map(|rescue| (position, rescue)));
            }
            if let Err(error) = pushed {
                account.reject(position, unreadable(error));
            }
        }
        let (results, stats) = sender.finish().await;
        account.enter_documents(results, &too_deep);

        let mut batch = Batch { items: &items, encoder, account, stats };
        let rejected = self.rescue(&mut batch, deadline).await;
        self.write_dead_letters(&mut batch, &rejected, deadline).await;

        let Batch { account, stats, .. } = batch;
        let outcomes = account.close(rejected);
        let counts = Counts::of(&outcomes);
        Ok(IndexedBatch { items, outcomes, counts, stats })
    }

    /// Writes the documents again that the cluster rejected, each form in one more request for those documents alone.
    /// Returns those that the cluster accepts in no form.
    ///
    /// A document that makes the cluster fail counts as rejected too, once the cluster has accepted another one. Where it took
    /// none, one document is tried first: if no form of it is written either, the cluster is at fault, and all have failed.
    async fn rescue(&self, batch: &mut Batch<'_, '_>, deadline: Instant) -> Vec<(usize, WriteError)> {
        let (rejected, mut suspects) = (batch.account.take_rejected(), batch.account.take_suspects());
        let mut left = self.rescue_all(batch, rejected, deadline).await;
        if !suspects.is_empty() && !batch.account.has_written() {
            let first = suspects.remove(0);
            let first_left = self.rescue_all(batch, vec![first], deadline).await;
            if batch.account.has_written() {
                left.extend(first_left);
            } else {
                for (record, error) in first_left.into_iter().chain(suspects.drain(..)) {
                    batch.account.fail(record, error);
                }
            }
        }
        left.extend(self.rescue_all(batch, suspects, deadline).await);
        left
    }

    async fn rescue_all(
        &self,
        batch: &mut Batch<'_, '_>,
        mut rejected: Vec<(usize, WriteError)>,
        deadline: Instant,
    ) -> Vec<(usize, WriteError)> {
        let mut left = Vec::new();
        let mut rescues: HashMap<usize, Rescue> = HashMap::new();
        while !rejected.is_empty() {
            let mut sender = self.sender(deadline);
            for (position, error) in rejected {
                let Some((record, rescue)) = batch.next_form(position, &error, rescues.remove(&position))
                else {
                    left.push((position, error));
                    continue;
                };
                let encoder = &mut batch.encoder;
                let pushed =
                    sender.push(position, |body| encoder.append_rescued(record, &rescue, body)).await;
                match pushed {
                    Ok(()) => drop(rescues.insert(position, rescue)),
                    Err(_) => left.push((position, error)),
                }
            }
            let (results, stats) = sender.finish().await;
            batch.stats += stats;
            batch.account.enter_documents(results, &rescues);
            rejected = batch.account.take_rejected();
            rejected.append(&mut batch.account.take_suspects());
        }
        left
    }

    async fn write_dead_letters(
        &self,
        batch: &mut Batch<'_, '_>,
        rejected: &[(usize, WriteError)],
        deadline: Instant,
    ) {
        let mut sender = self.sender(deadline);
        for (position, error) in rejected {
            let Some(item) = batch.items.get(*position) else { continue };
            let encoder = &mut batch.encoder;
            let write =
                |body: &mut Vec<u8>| Ok::<_, Infallible>(encoder.append_dead_letter(item, error, body));
            let Ok(()) = sender.push(*position, write).await;
        }
        let (results, stats) = sender.finish().await;
        batch.account.enter_dead_letters(results);
        batch.stats += stats;
    }

    fn sender(&self, deadline: Instant) -> BulkSender<T> {
        BulkSender::new(Arc::clone(&self.transport), self.limits, self.policy, deadline)
    }
}

/// A batch that is being indexed.
struct Batch<'b, 'p> {
    items: &'b [BatchItem<'p>],
    encoder: Encoder,
    account: Account,
    stats: BulkStats,
}

impl<'b, 'p> Batch<'b, 'p> {
    /// The next form for the document of the item at `position`, which the cluster rejected with `error` in the form
    /// `previous`; `None` where there is none.
    fn next_form(
        &mut self,
        position: usize,
        error: &WriteError,
        previous: Option<Rescue>,
    ) -> Option<(&'b KafkaRecord<'p>, Rescue)> {
        // Another form of a document is no smaller.
        if error.kind == ErrorKind::DocumentTooLarge {
            return None;
        }
        let record = self.items.get(position)?.record.as_ref().ok()?;
        let payload = self.encoder.object_payload(record)?;
        Some((record, Rescue::after(previous, error, &payload)?))
    }
}

fn unreadable(error: RecordError) -> WriteError {
    WriteError { kind: ErrorKind::UnreadableRecord, status: None, reason: error.to_string() }
}
