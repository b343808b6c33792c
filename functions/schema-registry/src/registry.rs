//! A registry whose schemas are fetched when records first name them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use record_formats::frame::SchemaId;
use record_formats::schema::{Schema, SchemaSource};
use search_client::client::SearchClient;
use search_client::retry::RetryPolicy;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::cache::Cache;
pub use crate::cache::Known;
use crate::client::Client;
pub use crate::client::REGISTRY_RETRIES;
use crate::confluent;
use crate::fetch_error::{FetchError, RegistryError};
use crate::glue;

/// Which API a registry has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// Confluent's, as Apicurio, Karapace and others have it too.
    Confluent,
    /// AWS Glue's.
    Glue,
}

/// Requests that are on the wire at once.
const MAX_CONCURRENT: usize = 8;

/// A registry and the schemas that it gave. Create one and keep it.
pub struct Registry {
    client: Arc<Client>,
    api: Api,
    cache: Mutex<Cache>,
}

/// What became of the ids that were asked for.
#[derive(Debug, Default)]
pub struct Resolved {
    /// The schemas that are there, those of earlier batches included, and why others are not.
    pub known: Arc<Known>,
    /// Ids that the registry could not be asked for: their records have to be delivered again.
    pub failed: HashMap<SchemaId, RegistryError>,
}

impl Registry {
    /// Makes a registry of this API, whose requests are sent by `http` and retried by `policy`. Sends nothing.
    pub fn new(http: SearchClient, api: Api, policy: RetryPolicy) -> Self {
        Self { client: Arc::new(Client { http, policy }), api, cache: Mutex::default() }
    }

    /// The schemas that are there, without a request.
    pub async fn known(&self) -> Arc<Known> {
        self.cache.lock().await.known(Instant::now())
    }

    /// Fetches those of `ids` that are not there, each with one request and those of its references, by `deadline`.
    pub async fn resolve(&self, ids: &BTreeSet<SchemaId>, deadline: Instant) -> Resolved {
        // Held meanwhile, so that nobody else asks for the same schema.
        let mut cache = self.cache.lock().await;
        let known = cache.known(Instant::now());
        let mut missing = ids.iter().filter(|id| !known.contains_key(id)).copied();
        let mut fetches = JoinSet::new();
        let mut failed = HashMap::new();
        let mut found = HashMap::new();
        loop {
            while fetches.len() < MAX_CONCURRENT
                && let Some(id) = missing.next()
            {
                let (client, api) = (Arc::clone(&self.client), self.api);
                fetches.spawn(async move { (id, fetch(&client, api, id, deadline).await) });
            }
            let Some(joined) = fetches.join_next().await else { break };
            let (id, fetched) = match joined {
                Ok(fetched) => fetched,
                Err(error) => {
                    error!(error = %error, "task that fetches a schema ended early");
                    continue;
                }
            };
            match fetched {
                Ok((schema, n_bytes)) => {
                    info!(id = %id, kind = schema.schema_type().name(), "schema fetched");
                    let schema = Arc::new(schema);
                    found.insert(id, Ok(Arc::clone(&schema)));
                    cache.keep(id, schema, n_bytes);
                }
                Err(FetchError::Schema(reason)) => {
                    warn!(id = %id, reason, "no such schema");
                    let reason: Arc<str> = reason.into();
                    found.insert(id, Err(Arc::clone(&reason)));
                    cache.keep_unknown(id, reason, Instant::now());
                }
                Err(FetchError::Registry(error)) => drop(failed.insert(id, error)),
            }
        }
        // The batch has what was fetched for it, even if the cache can't hold it all.
        let known = if found.is_empty() { known } else { Arc::new(with_earlier(found, &known)) };
        Resolved { known, failed }
    }
}

fn with_earlier(mut found: Known, earlier: &Known) -> Known {
    for (id, schema) in earlier {
        found.entry(*id).or_insert_with(|| schema.clone());
    }
    found
}

async fn fetch(
    client: &Client,
    api: Api,
    id: SchemaId,
    deadline: Instant,
) -> Result<(Schema, usize), FetchError> {
    let source = match api {
        Api::Confluent => confluent::fetch(client, id, deadline).await?,
        Api::Glue => glue::fetch(client, id, deadline).await?,
    };
    let n_bytes = n_bytes(&source);
    let compiled = Schema::compile(&source);
    let schema = compiled.map_err(|error| FetchError::Schema(unusable(id, &error)))?;
    Ok((schema, n_bytes))
}

fn n_bytes(source: &SchemaSource) -> usize {
    source.text.len() + source.references.iter().map(|reference| reference.text.len()).sum::<usize>()
}

fn unusable(id: SchemaId, error: &dyn std::error::Error) -> String {
    let mut text = format!("the schema {id} can't be used: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
