//! Indexes a batch: encodes its records, writes the documents, and writes dead letters for those that are refused.

use std::convert::Infallible;
use std::sync::Arc;

use event_pipeline::bulk::BulkLimits;
use event_pipeline::encoder::Encoder;
use event_pipeline::event::{BatchItem, EventError, RecordError, read_batch};
use event_pipeline::outcome::{Counts, Outcome};
use event_pipeline::settings::Settings;
use event_pipeline::write_error::{ErrorKind, WriteError};
use search_client::retry::RetryPolicy;
use tokio::time::Instant;

use crate::account::Account;
use crate::bulk_sender::BulkSender;
use crate::bulk_writer::BulkStats;
use crate::field_limit::IndexMapping;
use crate::transport::BulkTransport;

/// Indexes batches into one cluster.
#[derive(Debug)]
pub struct Indexer<T> {
    transport: Arc<T>,
    settings: Settings,
    limits: BulkLimits,
    policy: RetryPolicy,
}

/// A batch, and what became of its records.
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

impl<T: BulkTransport + IndexMapping + 'static> Indexer<T> {
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
        for (position, item) in items.iter().enumerate() {
            let pushed = match &item.record {
                Ok(record) => sender.push(position, |body| encoder.append(record, body)).await,
                Err(error) => Err(*error),
            };
            if let Err(error) = pushed {
                account.reject(position, unreadable(error));
            }
        }
        let (results, mut stats) = sender.finish().await;
        account.enter_documents(results);

        let mut sender = self.sender(deadline);
        let rejected = account.take_rejected();
        for (position, error) in &rejected {
            let Some(item) = items.get(*position) else { continue };
            let write =
                |body: &mut Vec<u8>| Ok::<_, Infallible>(encoder.append_dead_letter(item, error, body));
            let Ok(()) = sender.push(*position, write).await;
        }
        let (results, dead_letter_stats) = sender.finish().await;
        account.enter_dead_letters(results);
        stats += dead_letter_stats;

        let outcomes = account.close(rejected);
        let counts = Counts::of(&outcomes);
        Ok(IndexedBatch { items, outcomes, counts, stats })
    }

    fn sender(&self, deadline: Instant) -> BulkSender<T> {
        BulkSender::new(Arc::clone(&self.transport), self.limits, self.policy, deadline)
    }
}

fn unreadable(error: RecordError) -> WriteError {
    WriteError { kind: ErrorKind::UnreadableRecord, status: None, reason: error.to_string() }
}
