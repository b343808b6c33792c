//! Lets an index that has no room for new fields store them without mapping them.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use event_pipeline::write_error::{ErrorKind, WriteError};
use reqwest::Method;
use search_client::client::{RequestBody, Response, SearchClient, SendError};
use search_client::retry::RetryPolicy;
use tracing::warn;

use crate::response_error::{response_error, send_error};

/// Changes the mapping of an index. Implemented by a cluster's client, and in tests by a script.
pub trait IndexMapping: Send + Sync {
    /// Sends one request that sets `index` to store fields without a mapping and add none for them.
    fn stop_mapping_new_fields(
        &self,
        index: &str,
        timeout: Duration,
    ) -> impl Future<Output = Result<Response, SendError>> + Send;
}

impl IndexMapping for SearchClient {
    /// <https://docs.opensearch.org/latest/mappings/dynamic/>: with `false`, fields without a mapping are kept in
    /// `_source` and not indexed.
    async fn stop_mapping_new_fields(&self, index: &str, timeout: Duration) -> Result<Response, SendError> {
        let body = RequestBody::Json(Bytes::from_static(br#"{"dynamic":false}"#));
        self.request(Method::PUT, &format!("{index}/_mapping"), body, timeout).await
    }
}

/// Whether an index stopped mapping new fields.
#[derive(Debug, Clone)]
pub(crate) enum MappingStop {
    /// It did, so its documents are worth sending again.
    Done,
    /// The cluster could not do it now.
    Unavailable(WriteError),
    /// The index did not, or it makes no difference: why.
    Refused(String),
}

/// The indices that had no room for a new field.
#[derive(Debug, Default)]
pub(crate) struct FullIndices(HashMap<String, MappingStop>);

impl FullIndices {
    /// Stops `index` from mapping new fields, with one request for each index and bulk response.
    pub(crate) async fn make_room(
        &mut self,
        mapping: &impl IndexMapping,
        index: &str,
        policy: &RetryPolicy,
        timeout: Duration,
    ) -> MappingStop {
        if let Some(known) = self.0.get(index) {
            return known.clone();
        }
        let stop = match mapping.stop_mapping_new_fields(index, timeout).await {
            Ok(Response { status: 200, .. }) => {
                warn!(index, "index has no room for new fields: it now stores them unmapped");
                MappingStop::Done
            }
            Ok(response) if policy.retries_status(response.status) => {
                MappingStop::Unavailable(response_error(ErrorKind::Unavailable, &response))
            }
            Ok(response) => {
                let WriteError { reason, .. } = response_error(ErrorKind::Refused, &response);
                let status = response.status;
                warn!(
                    index,
                    status, reason, "index has no room for new fields, and its mapping can't be changed"
                );
                MappingStop::Refused(format!(
                    "the index could not be set to map no more fields: {status}: {reason}"
                ))
            }
            Err(error) => MappingStop::Unavailable(send_error(&error)),
        };
        self.0.insert(index.to_owned(), stop.clone());
        stop
    }

    /// Ends a bulk response. An index that stopped mapping and still refuses a document in the next response will not take
    /// it; one that could not be changed is worth another request.
    pub(crate) fn end_response(&mut self) {
        self.0.retain(|_, stop| !matches!(stop, MappingStop::Unavailable(_)));
        for stop in self.0.values_mut().filter(|stop| matches!(stop, MappingStop::Done)) {
            let why = "the index was set to map no more fields, and refuses the document all the same";
            *stop = MappingStop::Refused(why.into());
        }
    }
}
