//! Sends operations in bulk requests: fills one while another is on the wire.

use std::sync::Arc;

use event_pipeline::address::ActionLine;
use event_pipeline::bulk::{BulkLimits, BulkRequest, Pushed};
use event_pipeline::item_result::ItemResult;
use search_client::retry::RetryPolicy;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::error;

use crate::bulk_writer::{BulkStats, Written, write};
use crate::transport::BulkTransport;

/// Sends operations until a deadline: push them one by one, then finish.
#[derive(Debug)]
pub struct BulkSender<T> {
    transport: Arc<T>,
    limits: BulkLimits,
    policy: RetryPolicy,
    deadline: Instant,
    request: BulkRequest,
    in_flight: Option<JoinHandle<Written>>,
    results: Vec<(usize, ItemResult)>,
    stats: BulkStats,
}

impl<T: BulkTransport + 'static> BulkSender<T> {
    /// Makes a sender whose requests keep within `limits` and are retried by `policy` until `deadline`.
    pub fn new(transport: Arc<T>, limits: BulkLimits, policy: RetryPolicy, deadline: Instant) -> Self {
        Self {
            transport,
            limits,
            policy,
            deadline,
            request: BulkRequest::default(),
            in_flight: None,
            results: Vec::new(),
            stats: BulkStats::default(),
        }
    }

    /// Adds an operation for `record`, whose lines `encode` writes. A full request is sent first; `encode` is called again
    /// then.
    ///
    /// # Errors
    /// The error of `encode`; the operation is not added then.
    pub async fn push<E>(
        &mut self,
        record: usize,
        mut encode: impl FnMut(&mut Vec<u8>) -> Result<ActionLine, E>,
    ) -> Result<(), E> {
        while self.request.push(record, self.limits, &mut encode)? == Pushed::Full {
            self.send().await;
        }
        Ok(())
    }

    /// Sends the last request, waits for every response, and returns the result of each operation by its record. An operation
    /// without a result belongs to a request whose task ended early.
    pub async fn finish(mut self) -> (Vec<(usize, ItemResult)>, BulkStats) {
        if !self.request.is_empty() {
            self.send().await;
        }
        self.wait().await;
        (self.results, self.stats)
    }

    async fn send(&mut self) {
        let spare = self.wait().await;
        let request = std::mem::replace(&mut self.request, spare);
        let (transport, policy, deadline) = (Arc::clone(&self.transport), self.policy, self.deadline);
        let task = async move { write(transport.as_ref(), request, deadline, &policy).await };
        self.in_flight = Some(tokio::spawn(task));
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
                error!(error = %error, "task of a bulk request ended early");
                BulkRequest::default()
            }
        }
    }
}
