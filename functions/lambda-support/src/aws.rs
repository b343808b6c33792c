//! The AWS SDK's part: a managed domain's endpoint by its name, and secrets.

use std::pin::Pin;
use std::sync::Arc;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_secretsmanager::error::DisplayErrorContext;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use search_client::auth::{Auth, Secret, SecretKind};
use search_client::client::Credentials;
use tokio::sync::OnceCell;

use crate::search::ConnectError;
use crate::secrets::{Called, SecretStore};

async fn sdk_config() -> SdkConfig {
    let http_client = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(http_client).load().await
}

/// Looks a managed domain up by `DescribeDomain`:
/// <https://docs.aws.amazon.com/opensearch-service/latest/APIReference/API_DescribeDomain.html>. A domain in a VPC
/// has its endpoint under `Endpoints`.
pub(crate) async fn domain_endpoint(name: &str) -> Result<String, ConnectError> {
    let failed = |reason| ConnectError::Aws { variable: "SEARCH_DOMAIN", reason };
    let client = aws_sdk_opensearch::Client::new(&sdk_config().await);
    let described = client.describe_domain().domain_name(name).send().await;
    let described = described.map_err(|error| {
        failed(format!("the domain `{name}` can't be looked up: {}", DisplayErrorContext(&error)))
    })?;
    let status = described.domain_status.ok_or_else(|| failed(format!("there is no domain `{name}`")))?;
    let in_vpc = status.endpoints.and_then(|mut endpoints| endpoints.remove("vpc"));
    status
        .endpoint
        .or(in_vpc)
        .ok_or_else(|| failed(format!("the domain `{name}` has no endpoint yet: wait until it is created")))
}

/// Credentials in Secrets Manager.
struct SecretsManager {
    client: aws_sdk_secretsmanager::Client,
    id: String,
    kind: SecretKind,
}

pub(crate) async fn secret(id: &str, kind: SecretKind) -> Arc<dyn Credentials> {
    let client = aws_sdk_secretsmanager::Client::new(&sdk_config().await);
    Arc::new(SecretsManager { client, id: id.to_owned(), kind })
}

impl Credentials for SecretsManager {
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<Auth, String>> + Send + '_>> {
        Box::pin(async {
            let secret = self.client.get_secret_value().secret_id(&self.id).send().await;
            let secret = secret.map_err(|error| {
                format!("the secret `{}` can't be read: {}", self.id, DisplayErrorContext(&error))
            })?;
            let text = secret.secret_string.ok_or_else(|| format!("the secret `{}` is binary", self.id))?;
            Auth::from_secret(self.kind, &text).map_err(|error| format!("the secret `{}`: {error}", self.id))
        })
    }
}

/// Secrets Manager, of which any secret may be asked. Its client is made when it is needed: looking for a region takes
/// seconds where there is none.
#[derive(Default)]
struct SecretsManagerStore {
    client: OnceCell<aws_sdk_secretsmanager::Client>,
}

impl SecretsManagerStore {
    async fn client(&self) -> &aws_sdk_secretsmanager::Client {
        let make = || async { aws_sdk_secretsmanager::Client::new(&sdk_config().await) };
        self.client.get_or_init(make).await
    }
}

pub(crate) fn secret_store() -> Arc<dyn SecretStore> {
    Arc::new(SecretsManagerStore::default())
}

impl SecretStore for SecretsManagerStore {
    fn read<'c>(&'c self, id: &'c str) -> Called<'c, Option<Secret>> {
        Box::pin(async move {
            match self.client().await.get_secret_value().secret_id(id).send().await {
                Ok(value) => match value.secret_string {
                    Some(text) => Ok(Some(Secret::new(text))),
                    None => Err(format!("the secret `{id}` is binary")),
                },
                // A secret that was made without a value answers so too; one that does not exist is told by `write`.
                Err(error)
                    if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) =>
                {
                    Ok(None)
                }
                Err(error) => {
                    Err(format!("the secret `{id}` can't be read: {}", DisplayErrorContext(&error)))
                }
            }
        })
    }

    fn write<'c>(&'c self, id: &'c str, text: &'c Secret) -> Called<'c, ()> {
        Box::pin(async move {
            let put = self.client().await.put_secret_value().secret_id(id).secret_string(text.expose());
            put.send().await.map(drop).map_err(|error| {
                format!("the secret `{id}` can't be written: {}", DisplayErrorContext(&error))
            })
        })
    }
}
