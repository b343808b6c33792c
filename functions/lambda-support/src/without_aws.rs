//! What stands in for `aws.rs` in a build without the AWS SDK: says that it is missing.

use std::pin::Pin;
use std::sync::Arc;

use search_client::auth::{Auth, SecretKind};
use search_client::client::Credentials;

use crate::search::ConnectError;

const REASON: &str = "this build has no AWS SDK: build with the feature `aws`";

pub(crate) async fn domain_endpoint(_name: &str) -> Result<String, ConnectError> {
    Err(ConnectError::Aws { variable: "SEARCH_DOMAIN", reason: REASON.into() })
}

struct NoSecrets;

impl Credentials for NoSecrets {
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<Auth, String>> + Send + '_>> {
        Box::pin(std::future::ready(Err(REASON.into())))
    }
}

pub(crate) async fn secret(_id: &str, _kind: SecretKind) -> Arc<dyn Credentials> {
    Arc::new(NoSecrets)
}
