//! Who a credential belongs to, according to the cluster.

use search_client::engine::Engine;
use serde_json::Value;

use super::credential::Credential;
use crate::call_error::CallError;
use crate::run::Run;

/// Logs in with a credential and returns the cluster's description of its user.
pub(super) async fn identity_of(run: &Run<'_>, credential: &Credential) -> Result<Option<Value>, CallError> {
    let path = match run.product.engine {
        Engine::OpenSearch => "_plugins/_security/authinfo",
        Engine::Elasticsearch => "_security/_authenticate",
    };
    run.cluster.with_auth(credential.auth()).get(path).await
}
