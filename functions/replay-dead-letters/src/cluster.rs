//! What a replay needs of a cluster.

use std::time::Duration;

use bytes::Bytes;
use indexing::transport::BulkTransport;
use reqwest::Method;
use search_client::client::{RequestBody, Response, SearchClient, SendError};

/// A cluster to replay into. Implemented by a cluster's client, and in tests by a stand-in.
pub trait Cluster: BulkTransport {
    /// Posts JSON, once; `None` if the response's body has more than `max_bytes`.
    fn post(
        &self,
        path: &str,
        body: Bytes,
        timeout: Duration,
        max_bytes: usize,
    ) -> impl Future<Output = Result<Option<Response>, SendError>> + Send;
}

impl Cluster for SearchClient {
    async fn post(
        &self,
        path: &str,
        body: Bytes,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<Option<Response>, SendError> {
        self.request_at_most(Method::POST, path, RequestBody::Json(body), timeout, max_bytes).await
    }
}
