//! What a command that compares records with their documents needs: the settings, the cluster, and the registry.

use std::sync::Arc;

use event_pipeline::rules::Rules;
use event_pipeline::settings::{DocumentId, Settings};
use indexing::config::Config;
use lambda_support::registry::RegistryConfigError;
use lambda_support::search::ConnectError;
use lambda_support::secrets::SecretStore;
use reqwest::Method;
use schema_registry::registry::Registry;
use search_client::client::SearchClient;
use thiserror::Error;

use crate::cluster::{CallError, call};

/// A cluster that responds, and the settings by which its documents were made.
pub struct Connection {
    /// The function's settings, with the rules.
    pub settings: Settings,
    /// The cluster.
    pub client: SearchClient,
    /// The registry, if there is one.
    pub registry: Option<Registry>,
}

/// Why records can't be compared with documents.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// Documents have no ids.
    #[error(
        "DOCUMENT_ID is `auto`, so that the cluster makes the ids, and no record can be compared with its document"
    )]
    AutoIds,
    /// The cluster's client can't be made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The registry's client can't be made.
    #[error(transparent)]
    Registry(#[from] RegistryConfigError),
    /// The cluster fails.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl Connection {
    /// Connects by `config`, and asks the cluster for a sign of life.
    ///
    /// # Errors
    /// [`ConnectionError`]
    pub async fn open(
        config: Config,
        rules: Rules,
        secrets: &Arc<dyn SecretStore>,
    ) -> Result<Self, ConnectionError> {
        let settings = Settings { rules, ..config.settings };
        if settings.document_id == DocumentId::Auto {
            return Err(ConnectionError::AutoIds);
        }
        let client = config.search.connect(secrets).await?;
        // Before Kafka: the cluster responds at once, and Kafka's client tries for seconds.
        match call(&client, Method::GET, "", None).await {
            // A role that reads documents need not see the cluster.
            Err(error) if error.status() == Some(403) => {}
            other => drop(other?),
        }
        let registry = match &config.registry {
            Some(registry) => Some(registry.connect(secrets).await?),
            None => None,
        };
        Ok(Self { settings, client, registry })
    }
}
