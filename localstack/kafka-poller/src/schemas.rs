//! The task that fetches a mapping's schemas, so that the consumer thread need not wait for the registry.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::activity::Activity;
use crate::decoder::{CompiledSchema, Lookup};
use crate::mailbox::{Mailbox, Message};
use crate::mapping::Mapping;
use crate::registry::{FetchError, Registry};

/// Waits between two requests for a schema while the registry does not respond.
const DELAYS: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// What the fetches of a mapping have in common.
pub struct Fetcher {
    /// The mapping.
    pub mapping: Arc<Mapping>,
    /// Publishes that the registry does not respond.
    pub activity: Arc<Activity>,
    /// The registry.
    pub registry: Registry,
    /// Reaches the consumer thread.
    pub mailbox: Mailbox,
}

/// Fetches each schema of `requests` once, and sends what the registry says of it, until nobody can ask any more. A registry that
/// does not respond is asked again without limit, and the records wait.
pub async fn run(fetcher: Arc<Fetcher>, mut requests: UnboundedReceiver<u32>) {
    let mut fetches = JoinSet::new();
    while let Some(id) = requests.recv().await {
        fetches.spawn(fetch(Arc::clone(&fetcher), id));
        while fetches.try_join_next().is_some() {}
    }
    // Whoever waits for them has ended: they end with the set.
}

async fn fetch(fetcher: Arc<Fetcher>, id: u32) {
    let mapping = &fetcher.mapping.uuid;
    let mut delays = DELAYS.iter().copied();
    let mut delay = Duration::ZERO;
    let lookup = loop {
        match fetcher.registry.fetch(id).await {
            // A large schema takes a while.
            Ok(source) => match spawn_blocking(move || CompiledSchema::compile(&source)).await {
                Ok(Ok(schema)) => break Lookup::Found(Arc::new(schema)),
                Ok(Err(reason)) => break Lookup::Unusable(reason),
                Err(panic) => break Lookup::Unusable(panic.to_string()),
            },
            Err(FetchError::NotFound(reason)) => break Lookup::NotFound(reason),
            Err(FetchError::Unusable(reason)) => break Lookup::Unusable(reason),
            Err(FetchError::Unavailable(reason)) => {
                delay = delays.next().unwrap_or(delay);
                warn!(%mapping, id, reason, retry_in = ?delay, "a schema could not be fetched; its records wait");
                fetcher.activity.set_registry_problem(Some(&reason));
                sleep(delay).await;
            }
        }
    };
    fetcher.activity.set_registry_problem(None);
    debug!(%mapping, id, ?lookup, "schema");
    // A thread that has ended waits for no schema.
    let _ = fetcher.mailbox.send(Message::Schema { id, lookup });
}
