//! Sends bulk requests: to a cluster, or in tests to a script.

use std::time::Duration;

use bytes::Bytes;
use event_pipeline::bulk_response::FILTER_PATH;
use reqwest::Method;
use search_client::client::{Renewed, RequestBody, Response, SearchClient, SendError};

/// Sends bulk requests to a cluster; tests implement it by a script.
pub trait BulkTransport: Send + Sync {
    /// Sends one bulk body, once.
    fn send_bulk(
        &self,
        body: Bytes,
        timeout: Duration,
    ) -> impl Future<Output = Result<Response, SendError>> + Send;

    /// Fetches the credentials again and returns whether there are new ones to try with.
    fn renew_credentials(&self) -> impl Future<Output = Renewed> + Send;

    /// Asks once that `index` store fields that it has no mapping for without adding one.
    fn stop_mapping_new_fields(
        &self,
        index: &str,
        timeout: Duration,
    ) -> impl Future<Output = Result<Response, SendError>> + Send;
}

impl BulkTransport for SearchClient {
    async fn send_bulk(&self, body: Bytes, timeout: Duration) -> Result<Response, SendError> {
        let path = format!("_bulk?{FILTER_PATH}");
        self.request(Method::POST, &path, RequestBody::Ndjson(body), timeout).await
    }

    async fn renew_credentials(&self) -> Renewed {
        SearchClient::renew_credentials(self).await
    }

    /// <https://docs.opensearch.org/latest/mappings/dynamic/>: with `false`, fields without a mapping are kept in
    /// `_source` and not indexed.
    async fn stop_mapping_new_fields(&self, index: &str, timeout: Duration) -> Result<Response, SendError> {
        let body = RequestBody::Json(Bytes::from_static(br#"{"dynamic":false}"#));
        self.request(Method::PUT, &format!("{index}/_mapping"), body, timeout).await
    }
}
