//! The AWS SDK's part: a managed domain's endpoint by its name, and secrets.

use std::pin::Pin;
use std::sync::Arc;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_secretsmanager::error::DisplayErrorContext;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use search_client::auth::{Auth, SecretKind};
use search_client::client::Credentials;

use crate::search::ConnectError;

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
