//! The Secrets Manager of the stack's LocalStack.

use anyhow::{Context, Result};
use bytes::Bytes;
use http::Method;
use kafka_poller::aws::{Aws, Call};
use search_client::auth::{Auth, CredentialType};
use search_client::client::install_tls;
use serde_json::{Value, json};

/// A test's own secret.
#[derive(Clone, Debug)]
pub(crate) struct TestSecret {
    aws: Aws,
    pub(crate) id: String,
}

impl TestSecret {
    /// Creates a secret without a credential.
    pub(crate) async fn create(name: &str) -> Result<Self> {
        install_tls();
        // The same variables as the functions' SDK uses; `stack.py with` sets them.
        let endpoint = std::env::var("AWS_ENDPOINT_URL")
            .context("AWS_ENDPOINT_URL is not set: run `make test-secured`")?;
        let aws = Aws::new(Some(&endpoint), "us-east-1", |name| std::env::var(name).ok())?;
        let token = format!("{:032x}", fastrand::u128(..));
        let secret = Self { aws, id: format!("{name}-{token}") };
        let body = json!({"Name": secret.id, "SecretString": "{}", "ClientRequestToken": token});
        secret.call("CreateSecret", &body).await?;
        Ok(secret)
    }

    /// What it holds.
    pub(crate) async fn value(&self) -> Result<Value> {
        let response = self.call("GetSecretValue", &json!({"SecretId": self.id})).await?;
        Ok(serde_json::from_str(response["SecretString"].as_str().context("a secret is a text")?)?)
    }

    /// The credential in it.
    pub(crate) async fn credential(&self, kind: CredentialType) -> Result<Auth> {
        Ok(Auth::from_secret(kind, &self.value().await?.to_string())?)
    }

    async fn call(&self, action: &str, body: &Value) -> Result<Value> {
        let target = format!("secretsmanager.{action}");
        let headers = [("x-amz-target", target.as_str()), ("content-type", "application/x-amz-json-1.1")];
        let call = Call {
            service: "secretsmanager",
            region: None,
            method: Method::POST,
            path: "/",
            headers: &headers,
            body: Bytes::from(body.to_string()),
        };
        Ok(serde_json::from_slice(&self.aws.call(call).await?.body)?)
    }
}
