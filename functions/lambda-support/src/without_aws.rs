//! Takes the place of `aws.rs` in a build without the AWS SDK: every call returns an error that says so.

use std::sync::Arc;

use search_client::auth::Secret;

use crate::domain::DomainError;
use crate::secrets::{DomainFuture, SecretStore, StoreError, StoreFuture};

/// Returns a store that refuses each call.
pub fn secrets_manager() -> Arc<dyn SecretStore> {
    Arc::new(NoSecrets)
}

struct NoSecrets;

impl SecretStore for NoSecrets {
    fn read<'s>(&'s self, _id: &'s str) -> StoreFuture<'s, Option<Secret>> {
        Box::pin(std::future::ready(Err(StoreError::NoSdk)))
    }

    fn write<'s>(&'s self, _id: &'s str, _text: &'s Secret) -> StoreFuture<'s, ()> {
        Box::pin(std::future::ready(Err(StoreError::NoSdk)))
    }

    fn domain_endpoint<'s>(&'s self, _name: &'s str) -> DomainFuture<'s> {
        Box::pin(std::future::ready(Err(DomainError::NoSdk)))
    }
}
