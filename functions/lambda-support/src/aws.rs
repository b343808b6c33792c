//! What the AWS SDK does: Secrets Manager, and the endpoint of a managed domain, with the credentials that it finds wherever a program runs.
//! The functions that serve events read them by `role.rs`, without the SDK.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_secretsmanager::error::DisplayErrorContext;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use search_client::auth::Secret;
use tokio::sync::OnceCell;

use crate::domain::DomainError;
use crate::secrets::{DomainFuture, SecretStore, StoreError, StoreFuture};

/// Returns Secrets Manager, with the role and region of the environment. Call it once a process: each store makes a
/// client of its own, when it is first used.
pub fn secrets_manager() -> Arc<dyn SecretStore> {
    Arc::new(SecretsManager::default())
}

/// Secrets Manager. The client is made when it is first needed: without a region in the environment, looking for one
/// takes seconds.
#[derive(Default)]
struct SecretsManager {
    client: OnceCell<aws_sdk_secretsmanager::Client>,
}

impl SecretsManager {
    async fn client(&self) -> &aws_sdk_secretsmanager::Client {
        let make = || async { aws_sdk_secretsmanager::Client::new(&sdk_config().await) };
        self.client.get_or_init(make).await
    }
}

impl SecretStore for SecretsManager {
    fn read<'s>(&'s self, id: &'s str) -> StoreFuture<'s, Option<Secret>> {
        Box::pin(async move {
            match self.client().await.get_secret_value().secret_id(id).send().await {
                Ok(value) => match value.secret_string {
                    Some(text) => Ok(Some(Secret::new(text))),
                    None => Err(StoreError::Binary(id.to_owned())),
                },
                // A secret without a value gives this error too. Writing to a missing secret fails in `write`.
                Err(error)
                    if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) =>
                {
                    Ok(None)
                }
                Err(error) => Err(StoreError::Read { id: id.to_owned(), source: SdkFailure(error).into() }),
            }
        })
    }

    fn write<'s>(&'s self, id: &'s str, text: &'s Secret) -> StoreFuture<'s, ()> {
        Box::pin(async move {
            let put = self.client().await.put_secret_value().secret_id(id).secret_string(text.expose());
            let put = put.send().await.map(drop);
            put.map_err(|error| StoreError::Write { id: id.to_owned(), source: SdkFailure(error).into() })
        })
    }

    /// A domain in a VPC has its endpoint under `Endpoints`.
    fn domain_endpoint<'s>(&'s self, name: &'s str) -> DomainFuture<'s> {
        Box::pin(async move {
            let client = aws_sdk_opensearch::Client::new(&sdk_config().await);
            let response = client.describe_domain().domain_name(name).send().await;
            let response = response.map_err(|error| DomainError::Describe {
                name: name.to_owned(),
                source: SdkFailure(error).into(),
            })?;
            let status = response.domain_status.ok_or_else(|| DomainError::NotFound(name.to_owned()))?;
            let in_vpc = status.endpoints.and_then(|mut endpoints| endpoints.remove("vpc"));
            status.endpoint.or(in_vpc).ok_or_else(|| DomainError::NoEndpoint(name.to_owned()))
        })
    }
}

/// An error of the SDK that is shown with all its causes. Its own text names none of them.
#[derive(Debug)]
struct SdkFailure<E>(E);

impl<E: Error> fmt::Display for SdkFailure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        DisplayErrorContext(&self.0).fmt(f)
    }
}

impl<E: Error> Error for SdkFailure<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

async fn sdk_config() -> SdkConfig {
    let http_client = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(http_client).load().await
}
