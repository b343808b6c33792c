//! The cluster in memory as the crate's own [`Cluster`]: it can be slow, lose a response, and stop responding.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use indexing::transport::BulkTransport;
use replay_dead_letters::cluster::Cluster;
use search_client::client::{Renewed, Response, SendError};
use serde_json::Value;

use crate::memory_cluster::{MemoryCluster, StatusAndBody};

/// What the stand-in does instead of responding.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Trouble {
    #[default]
    None,
    /// From the n-th request on, nothing is done and nothing responds, as if the process had died.
    SilentFrom(usize),
    /// The n-th request is done, and its response lost.
    ResponseLost(usize),
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) cluster: MemoryCluster,
    pub(crate) trouble: Trouble,
    /// How long each request takes.
    pub(crate) takes: Duration,
    /// Is called once, before the next bulk request.
    pub(crate) before_bulk: Option<fn(&StandIn)>,
    /// Is called once, after the next bulk request.
    pub(crate) after_bulk: Option<fn(&StandIn)>,
    pub(crate) n_requests: usize,
    /// Bytes of the largest response to a multi-get that was read.
    pub(crate) largest_get: usize,
    /// Responses that were too large to be read.
    pub(crate) n_too_large: usize,
}

/// A cluster in memory, shared by its clones.
#[derive(Clone, Default)]
pub(crate) struct StandIn(Arc<Mutex<State>>);

impl StandIn {
    /// Reads or changes the state.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    /// Puts a document.
    pub(crate) fn put(&self, index: &str, id: &str, source: Value) {
        self.change(|state| state.cluster.put(index, id, source));
    }

    /// Ids of the documents in indices whose names start with `prefix`.
    pub(crate) fn ids(&self, prefix: &str) -> Vec<String> {
        self.change(|state| state.cluster.ids(prefix))
    }

    async fn respond(
        &self,
        timeout: Duration,
        respond: impl FnOnce(&mut MemoryCluster) -> StatusAndBody + Send,
    ) -> Result<Response, SendError> {
        let (trouble, takes) = self.change(|state| {
            state.n_requests += 1;
            let trouble = match state.trouble {
                Trouble::SilentFrom(n) if state.n_requests >= n => Trouble::SilentFrom(n),
                Trouble::ResponseLost(n) if state.n_requests == n => Trouble::ResponseLost(n),
                _ => Trouble::None,
            };
            (trouble, state.takes)
        });
        tokio::time::sleep(takes).await;
        if matches!(trouble, Trouble::SilentFrom(_)) {
            return std::future::pending().await;
        }
        let (status, body) = self.change(|state| respond(&mut state.cluster));
        match trouble {
            Trouble::ResponseLost(_) => Err(SendError::Timeout(timeout)),
            _ => Ok(Response { status, body: body.into() }),
        }
    }
}

impl BulkTransport for StandIn {
    async fn send_bulk(&self, body: Bytes, timeout: Duration) -> Result<Response, SendError> {
        if let Some(before_bulk) = self.change(|state| state.before_bulk.take()) {
            before_bulk(self);
        }
        let response = self.respond(timeout, |cluster| cluster.bulk(&body)).await;
        if let Some(after_bulk) = self.change(|state| state.after_bulk.take()) {
            after_bulk(self);
        }
        response
    }

    async fn renew_credentials(&self) -> Renewed {
        Renewed::No
    }
}

impl Cluster for StandIn {
    async fn post(
        &self,
        path: &str,
        body: Bytes,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<Option<Response>, SendError> {
        let body: Value = serde_json::from_slice(&body).unwrap();
        let is_get = path == "_mget";
        let respond = |cluster: &mut MemoryCluster| match path {
            "_mget" => cluster.multi_get(&body),
            path if path.contains("_field_caps") => cluster.field_capabilities(),
            _ => cluster.search(&body),
        };
        let response = self.respond(timeout, respond).await?;
        let fits = response.body.len() <= max_bytes;
        self.change(|state| {
            state.n_too_large += usize::from(!fits);
            if is_get && fits {
                state.largest_get = state.largest_get.max(response.body.len());
            }
        });
        Ok(fits.then_some(response))
    }
}
