//! Sends bulk requests: to a cluster, or in tests to a script.

use std::time::Duration;

use bytes::Bytes;
use event_pipeline::bulk_response::FILTER_PATH;
use reqwest::Method;
use search_client::client::{Renewed, RequestBody, Response, SearchClient, SendError};
use search_client::endpoint::Endpoint;

/// Time for which the cluster holds the response for items of a shard without a primary; then they are
/// `unavailable_shards_exception`, and are sent again alone. The cluster's default is a minute, longer than an attempt:
/// the results of the other items, which are written by then, would not arrive. OpenSearch Serverless has no shards to wait for.
/// <https://docs.opensearch.org/latest/api-reference/document-apis/bulk/#query-parameters>
const SHARD_WAIT: &str = "5s";

/// Sends bulk requests. Implemented by a cluster's client, and in tests by a script.
pub trait BulkTransport: Send + Sync {
    /// Sends one bulk body, once.
    fn send_bulk(
        &self,
        body: Bytes,
        timeout: Duration,
    ) -> impl Future<Output = Result<Response, SendError>> + Send;

    /// Fetches the credentials again and returns whether there are new ones to try with.
    fn renew_credentials(&self) -> impl Future<Output = Renewed> + Send;
}

impl BulkTransport for SearchClient {
    async fn send_bulk(&self, body: Bytes, timeout: Duration) -> Result<Response, SendError> {
        let path = match self.endpoints().iter().any(Endpoint::is_serverless) {
            true => format!("_bulk?{FILTER_PATH}"),
            false => format!("_bulk?{FILTER_PATH}&timeout={SHARD_WAIT}"),
        };
        self.request(Method::POST, &path, RequestBody::Ndjson(body), timeout).await
    }

    async fn renew_credentials(&self) -> Renewed {
        SearchClient::renew_credentials(self).await
    }
}
