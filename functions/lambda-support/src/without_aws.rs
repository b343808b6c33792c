//! Takes the place of `aws.rs` in a build without the AWS SDK: every call returns an error that says so.

use std::sync::Arc;

use search_client::auth::Secret;

use crate::domain::DomainError;
use crate::secrets::{SecretStore, StoreError, StoreFuture};

/// Returns a store that refuses each call.
pub fn secrets_manager() -> Arc<dyn SecretStore> {
    Arc::new(NoSecrets)
}

pub(crate) async fn domain_endpoint(_name: &str) -> Result<String, DomainError> {
    Err(DomainError::NoSdk)
}

struct NoSecrets;

impl SecretStore for NoSecrets {
    fn read<'s>(&'s self, _id: &'s str) -> StoreFuture<'s, Option<Secret>> {
        Box::pin(std::future::ready(Err(StoreError::NoSdk)))
    }

    fn write<'s>(&'s self, _id: &'s str, _text: &'s Secret) -> StoreFuture<'s, ()> {
        Box::pin(std::future::ready(Err(StoreError::NoSdk)))
    }
}
