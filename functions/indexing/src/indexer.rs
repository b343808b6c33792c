//! Indexes a batch: encodes its records, writes the documents, and writes those that are rejected in other
//! forms, or as dead letters.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;

use event_pipeline::bulk::BulkLimits;
use event_pipeline::encoder::Encoder;
use event_pipeline::encoding::Routing;
use event_pipeline::event::{BatchItem, EventError, KafkaRecord, RecordError, read_batch};
use event_pipeline::outcome::{Counts, Outcome};
use event_pipeline::rescue::Rescue;
use event_pipeline::settings::Settings;
use event_pipeline::write_error::{ErrorKind, WriteError};
use record_formats::frame::SchemaId;
use schema_registry::fetch_error::RegistryError;
use schema_registry::registry::Registry;
use search_client::retry::RetryPolicy;
use tokio::time::Instant;

use crate::account::Account;
use crate::bulk_sender::BulkSender;
use crate::bulk_writer::BulkStats;
use crate::first_forms::{FirstForms, NotSent, Notes, Waiting, document};
use crate::noted::{Dropped, Noted};
use crate::transport::BulkTransport;

/// Indexes batches into one cluster.
pub struct Indexer<T> {
    transport: Arc<T>,
    settings: Settings,
    limits: BulkLimits,
    policy: RetryPolicy,
    registry: Option<Arc<Registry>>,
}

/// The registry gets no more than this part of the time that is left: the documents of other records are written then.
const REGISTRY_TIME_DIVISOR: u32 = 3;

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
    /// Records whose key or value could not be decoded, and that are indexed all the same.
    pub undecoded: Noted,
    /// Records that could not be redacted or transformed, dead letters among them.
    pub untransformed: Noted,
    /// Records that were routed to more indices than a batch can have, and are in the one that stands in for those.
    pub overflowing: Noted,
    /// Records that were dropped, by their rules.
    pub dropped: Vec<Dropped>,
    /// Values that look as if they were in a registry's frame, and were not read as there is no registry.
    pub n_unread_frames: usize,
}

impl<T: BulkTransport + 'static> Indexer<T> {
    /// Makes an indexer that writes through `transport`.
    pub fn new(transport: Arc<T>, settings: Settings, limits: BulkLimits, policy: RetryPolicy) -> Self {
        Self { transport, settings, limits, policy, registry: None }
    }

    /// The same indexer with the registry that has the schemas of the records; `None` is no registry.
    #[must_use]
    pub fn with_registry(self, registry: Option<Arc<Registry>>) -> Self {
        Self { registry, ..self }
    }

    /// Makes an encoder that has the schemas which were fetched so far.
    pub async fn encoder(&self) -> Encoder {
        let known = match &self.registry {
            Some(registry) => Some(registry.known().await),
            None => None,
        };
        Encoder::new(self.settings.clone()).with_schemas(known)
    }

    /// Makes an encoder that has the schemas of `items`, as far as the registry gives them by `deadline`.
    pub async fn encoder_for(&self, items: &[BatchItem<'_>], deadline: Instant) -> Encoder {
        let mut encoder = self.encoder().await;
        let Some(registry) = &self.registry else { return encoder };
        for _ in 0..MAX_ROUNDS {
            let mut missing = BTreeSet::new();
            for record in items.iter().filter_map(|item| item.record.as_ref().ok()) {
                let appended = encoder.append(record, &mut Vec::new());
                if appended == Err(RecordError::MissingSchema) {
                    missing.extend(encoder.missing_schemas());
                }
            }
            if missing.is_empty() {
                break;
            }
            encoder.set_schemas(registry.resolve(&missing, deadline).await.known);
        }
        encoder
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
        let mut first =
            FirstForms::new(self.sender(deadline), self.encoder().await, items.len(), &self.settings.rules);
        for (position, item) in items.iter().enumerate() {
            first.push(position, item).await;
        }
        // The records whose schemas were not known have waited until the others were encoded.
        for _ in 0..MAX_ROUNDS {
            if first.waiting.is_empty() {
                break;
            }
            let ready =
                self.resolve(&mut first.waiting, &mut first.encoder, &mut first.account, deadline).await;
            for Waiting { position, .. } in ready {
                let Some(item) = items.get(position) else { continue };
                first.push(position, item).await;
            }
        }
        for Waiting { position, .. } in first.waiting.drain(..) {
            first.account.fail(position, no_schema("the schema was not fetched".into(), None));
        }
        let FirstForms { sender, encoder, mut account, too_deep, mut cap, notes, .. } = first;
        let (results, stats) = sender.finish().await;
        account.enter_documents(results, &too_deep);

        let overflowing = HashSet::new();
        let mut batch = Batch { items: &items, encoder, account, stats, notes, overflowing };
        self.finish(&mut batch, deadline).await;
        self.write_held(&mut batch, cap.take_held(), deadline).await;

        let Batch { encoder, account, stats, notes, .. } = batch;
        let outcomes = account.close();
        let counts = Counts::of(&outcomes);
        let dropped = Dropped::of(&items, &outcomes, &self.settings.rules);
        let Notes { undecoded, untransformed, overflowing } = notes;
        let n_unread_frames = encoder.n_unread_frames();
        Ok(IndexedBatch {
            items,
            outcomes,
            counts,
            stats,
            undecoded,
            untransformed,
            overflowing,
            dropped,
            n_unread_frames,
        })
    }

    /// Writes the documents that were rejected in other forms, or as dead letters.
    async fn finish(&self, batch: &mut Batch<'_, '_>, deadline: Instant) {
        let rejected = self.rescue(batch, deadline).await;
        self.write_dead_letters(batch, &rejected, deadline).await;
        batch.account.settle(rejected);
    }

    /// Writes the records that were held back, if every other one has its outcome and none has failed. A batch that is delivered
    /// again is decided alike then: what is written now has not been written elsewhere.
    async fn write_held(&self, batch: &mut Batch<'_, '_>, held: Vec<(usize, Routing)>, deadline: Instant) {
        if held.is_empty() {
            return;
        }
        let positions: HashSet<usize> = held.iter().map(|(position, _)| *position).collect();
        if batch.account.has_failed(|position| !positions.contains(&position)) {
            for position in positions {
                batch.account.fail(position, held_back());
            }
            return;
        }
        let mut sender = self.sender(deadline);
        let mut too_deep = HashMap::new();
        for (position, routing) in held {
            let Some(Ok(record)) = batch.items.get(position).map(|item| &item.record) else { continue };
            let encoder = &mut batch.encoder;
            let write = |body: &mut Vec<u8>| document(encoder.append_routed(record, routing, body));
            let pushed = sender.push(position, write).await;
            batch.notes.note(position, &batch.encoder);
            if routing == Routing::Fallback {
                batch.overflowing.insert(position);
                batch.notes.overflowing.note(position, Some("more indices than max_indices"));
            }
            too_deep.extend(batch.encoder.rescue_of_last().map(|rescue| (position, rescue)));
            // It was encoded before, and is the same document again.
            if let Err(NotSent::Unreadable(error)) = pushed {
                batch.account.reject(position, batch.encoder.write_error(error));
            }
        }
        let (results, stats) = sender.finish().await;
        batch.stats += stats;
        batch.account.enter_documents(results, &too_deep);
        self.finish(batch, deadline).await;
    }

    /// Asks the registry for the schemas of the records in `waiting`, which is empty then, and gives them to `encoder`. Returns
    /// the records that can be encoded; the others have failed.
    async fn resolve(
        &self,
        waiting: &mut Vec<Waiting>,
        encoder: &mut Encoder,
        account: &mut Account,
        deadline: Instant,
    ) -> Vec<Waiting> {
        let Some(registry) = &self.registry else { return Vec::new() };
        let ids: BTreeSet<SchemaId> = waiting.iter().flat_map(|record| &record.schemas).copied().collect();
        let now = Instant::now();
        let time_left = deadline.saturating_duration_since(now);
        let resolved = registry.resolve(&ids, now + time_left / REGISTRY_TIME_DIVISOR).await;
        encoder.set_schemas(resolved.known);
        let (failed, ready): (Vec<_>, Vec<_>) = waiting
            .drain(..)
            .partition(|record| record.schemas.iter().any(|id| resolved.failed.contains_key(id)));
        for Waiting { position, schemas } in failed {
            let error = schemas.iter().find_map(|id| resolved.failed.get(id));
            let status = error.and_then(RegistryError::status);
            account.fail(position, no_schema(error.map(ToString::to_string).unwrap_or_default(), status));
        }
        ready
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
                let routing =
                    if batch.overflowing.contains(&position) { Routing::Fallback } else { Routing::Own };
                let write =
                    |body: &mut Vec<u8>| document(encoder.append_rescued(record, &rescue, routing, body));
                let pushed = sender.push(position, write).await;
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
    notes: Notes,
    /// Positions of the records that go to the index which stands in for too many.
    overflowing: HashSet<usize>,
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

/// Rounds of asking the registry: a record names the schema of its key and that of its value, at once or one after the other.
const MAX_ROUNDS: usize = 3;

/// The record has not been written, so that it goes to the same index when the batch is delivered again.
fn held_back() -> WriteError {
    WriteError {
        kind: ErrorKind::HeldBack,
        status: None,
        reason: "it is routed to one index too many, and waits for the records of its batch that have failed"
            .into(),
    }
}

/// The registry is away: nothing is wrong with the record.
fn no_schema(reason: String, status: Option<u16>) -> WriteError {
    WriteError { kind: ErrorKind::SchemaRegistry, status, reason }
}
