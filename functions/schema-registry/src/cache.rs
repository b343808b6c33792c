//! The schemas that were fetched, compiled, within bounds of number and size.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use record_formats::frame::SchemaId;
use record_formats::schema::Schema;
use tokio::time::Instant;

/// What is known of the schemas of a batch: a compiled schema, or why there is none.
pub type Known = HashMap<SchemaId, Result<Arc<Schema>, Arc<str>>>;

/// Most ids that are kept.
const MAX_IDS: usize = 2000;
/// Most bytes of the texts of the schemas that are kept.
const MAX_TEXT: usize = 4 * 1024 * 1024;
/// How long an id without a schema is not asked for again. The schema may be registered meanwhile.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(crate) struct Cache {
    known: Arc<Known>,
    /// The ids in the order in which they came, each with the bytes of its texts.
    order: VecDeque<(SchemaId, usize)>,
    n_bytes: usize,
    /// Ids without a schema, and until when.
    unknown: Vec<(SchemaId, Instant)>,
}

impl Cache {
    /// What is known at `now`.
    pub(crate) fn known(&mut self, now: Instant) -> Arc<Known> {
        let expired: Vec<_> =
            self.unknown.extract_if(.., |(_, until)| *until <= now).map(|(id, _)| id).collect();
        if !expired.is_empty() {
            self.order.retain(|(id, _)| !expired.contains(id));
            let known = Arc::make_mut(&mut self.known);
            expired.iter().for_each(|id| drop(known.remove(id)));
        }
        Arc::clone(&self.known)
    }

    /// Keeps a compiled schema, whose texts have `n_bytes`; the oldest give way.
    pub(crate) fn keep(&mut self, id: SchemaId, schema: Arc<Schema>, n_bytes: usize) {
        self.put(id, Ok(schema), n_bytes);
    }

    /// Keeps for a while why an id has no schema.
    pub(crate) fn keep_unknown(&mut self, id: SchemaId, reason: Arc<str>, now: Instant) {
        self.unknown.push((id, now + UNKNOWN_FOR));
        let n_bytes = reason.len();
        self.put(id, Err(reason), n_bytes);
    }

    fn put(&mut self, id: SchemaId, found: Result<Arc<Schema>, Arc<str>>, n_bytes: usize) {
        let known = Arc::make_mut(&mut self.known);
        while self.order.len() >= MAX_IDS || (self.n_bytes + n_bytes > MAX_TEXT && !self.order.is_empty()) {
            let Some((oldest, freed)) = self.order.pop_front() else { break };
            known.remove(&oldest);
            self.unknown.retain(|(id, _)| *id != oldest);
            self.n_bytes -= freed;
        }
        known.insert(id, found);
        self.order.push_back((id, n_bytes));
        self.n_bytes += n_bytes;
    }
}
