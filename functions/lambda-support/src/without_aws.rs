//! What stands in for `aws.rs` in a build without the AWS SDK: says that it is missing.

use std::pin::Pin;
use std::sync::Arc;

use search_client::auth::{Auth, Secret, SecretKind};
use search_client::client::Credentials;

use crate::search::ConnectError;
use crate::secrets::{Called, SecretStore};

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

pub(crate) fn secret_store() -> Arc<dyn SecretStore> {
    Arc::new(NoSecrets)
}

impl SecretStore for NoSecrets {
    fn read<'c>(&'c self, _id: &'c str) -> Called<'c, Option<Secret>> {
        Box::pin(std::future::ready(Err(REASON.into())))
    }

    fn write<'c>(&'c self, _id: &'c str, _text: &'c Secret) -> Called<'c, ()> {
        Box::pin(std::future::ready(Err(REASON.into())))
    }
}
