//! What every replay works with: the cluster, and the pipeline that index-events writes by.

use std::sync::Arc;

use event_pipeline::bulk::BulkLimits;
use event_pipeline::encoder::Encoder;
use event_pipeline::event::{BatchItem, EventError};
use event_pipeline::settings::Settings;
use indexing::bulk_sender::BulkSender;
use indexing::bulk_writer::BULK_RETRIES;
use indexing::config::Config;
use indexing::indexer::{IndexedBatch, Indexer};
use schema_registry::registry::Registry;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::reader::Reader;

/// Replays into one cluster.
pub(crate) struct Replayer<C> {
    cluster: Arc<C>,
    indexer: Indexer<C>,
    settings: Settings,
    limits: BulkLimits,
}

impl<C: Cluster + 'static> Replayer<C> {
    /// Makes a replayer that writes as index-events does with the same configuration.
    pub(crate) fn new(cluster: C, config: Config) -> Self {
        let Config { settings, limits, .. } = config;
        let cluster = Arc::new(cluster);
        let indexer = Indexer::new(Arc::clone(&cluster), settings.clone(), limits, BULK_RETRIES);
        Self { cluster, indexer, settings, limits }
    }

    /// The same replayer with the registry that has the schemas of the records; `None` is no registry.
    pub(crate) fn with_registry(self, registry: Option<Arc<Registry>>) -> Self {
        Self { indexer: self.indexer.with_registry(registry), ..self }
    }

    /// Makes an encoder that has the schemas which were fetched so far.
    pub(crate) async fn encoder(&self) -> Encoder {
        self.indexer.encoder().await
    }

    /// Makes an encoder that has the schemas of `items`, as far as the registry gives them by `deadline`.
    pub(crate) async fn encoder_for(&self, items: &[BatchItem<'_>], deadline: Instant) -> Encoder {
        self.indexer.encoder_for(items, deadline).await
    }

    /// The settings that records become documents by.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Indexes the batch in `payload` by `deadline`.
    ///
    /// # Errors
    /// [`EventError`] when the payload is not a batch.
    pub(crate) async fn index<'p>(
        &self,
        payload: &'p [u8],
        deadline: Instant,
    ) -> Result<IndexedBatch<'p>, EventError> {
        self.indexer.index(payload, deadline).await
    }

    /// Returns a sender of bulk operations that end by `deadline`.
    pub(crate) fn bulk_sender(&self, deadline: Instant) -> BulkSender<C> {
        BulkSender::new(Arc::clone(&self.cluster), self.limits, BULK_RETRIES, deadline)
    }

    /// Returns a reader whose requests end by `deadline`.
    pub(crate) fn reader(&self, deadline: Instant) -> Reader<'_, C> {
        Reader::new(&self.cluster, deadline)
    }
}
