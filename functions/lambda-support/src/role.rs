//! What a function reads of AWS with its role's credentials: secrets, and the endpoints of domains. The SDK would add 3 MB to the
//! function, for two requests; this file signs them with the key type that the search client has anyway.
//!
//! Lambda sets the credentials in the environment, and they stay the same for the life of an execution environment:
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>. Programs that run elsewhere find theirs by the SDK
//! ([`crate::aws`]).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use search_client::auth::{Auth, Secret};
use search_client::backoff::Backoff;
use search_client::client::{
    BulkCompression, ClientError, ClientOptions, RequestBody, Response, SearchClient, SendError,
};
use search_client::endpoint::{Endpoint, EndpointError};
use search_client::percent::encode;
use search_client::retry::{AttemptTimeout, Attempted, LastWait, RetryPolicy, SendErrors, Statuses};
use search_client::sigv4::SigningKey;
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::domain::DomainError;
use crate::partition::service_url;
use crate::secrets::{DomainFuture, SecretStore, StoreError, StoreFuture};
use crate::variables::Variables;

/// All requests only read. AWS's clients try three times by default; a function that can't start loses more than a second more.
const RETRIES: RetryPolicy = RetryPolicy {
    statuses: Statuses::UNAVAILABLE_OR_BROKEN,
    send_errors: SendErrors::All,
    max_attempts: 4,
    max_total: Duration::from_secs(20),
    attempt_timeout: AttemptTimeout {
        divisor: 2,
        min: Duration::from_millis(50),
        max: Duration::from_secs(5),
    },
    backoff: Backoff { base: Duration::from_millis(100), max: Duration::from_secs(2), ..Backoff::DEFAULT },
    last_wait: LastWait::LeaveTimeFor(Duration::from_millis(50)),
};
/// Errors with status 400 that pass: <https://docs.aws.amazon.com/secretsmanager/latest/apireference/CommonErrors.html>.
const THROTTLED: [&str; 3] = ["ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded"];
/// Longest text of a refusal that is no JSON, in characters.
const MAX_SHOWN: usize = 200;

/// Why a request to AWS has no result. Never holds any of a secret's text.
#[derive(Debug, Error)]
enum CallError {
    #[error("{0} is not set: Lambda gives it to a function")]
    NotSet(&'static str),
    #[error("AWS_ENDPOINT_URL: {0}")]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(
        "{url} did not respond: {cause}; a function in a VPC needs an endpoint of the service, or a NAT gateway"
    )]
    Unreachable { url: String, cause: String },
    #[error("status {status} {kind}: {message}")]
    Refused { status: u16, kind: String, message: String },
    #[error("the response does not have the documented form: {0}")]
    Response(#[from] serde_json::Error),
}

/// Returns the services, by the variables that Lambda sets and those that name a LocalStack. What is missing is an error only when
/// it is needed.
pub fn role_services(lookup: &dyn Fn(&str) -> Option<String>) -> Arc<dyn SecretStore> {
    Arc::new(read(lookup))
}

fn read(lookup: &dyn Fn(&str) -> Option<String>) -> RoleServices {
    let variables = Variables::new(lookup);
    let url = |name: &str| variables.text(name).or_else(|| variables.text("AWS_ENDPOINT_URL"));
    RoleServices {
        access_key_id: variables.text("AWS_ACCESS_KEY_ID"),
        secret_access_key: variables.text("AWS_SECRET_ACCESS_KEY"),
        session_token: variables.text("AWS_SESSION_TOKEN"),
        region: variables.text("AWS_REGION"),
        is_fips: variables
            .text("AWS_USE_FIPS_ENDPOINT")
            .is_some_and(|text| text.eq_ignore_ascii_case("true")),
        secrets_manager: Service::new("secretsmanager", url("AWS_ENDPOINT_URL_SECRETS_MANAGER")),
        opensearch: Service::new("es", url("AWS_ENDPOINT_URL_OPENSEARCH")),
    }
}

struct RoleServices {
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    session_token: Option<String>,
    region: Option<String>,
    /// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-endpoints.html>
    is_fips: bool,
    secrets_manager: Service,
    opensearch: Service,
}

struct Service {
    /// As signatures and endpoints name it.
    name: &'static str,
    /// Its URL, where it is not AWS's own.
    url: Option<String>,
    /// Made when it is first needed: reading the system's certificates takes tens of milliseconds.
    client: OnceCell<SearchClient>,
}

impl Service {
    fn new(name: &'static str, url: Option<String>) -> Self {
        Self { name, url, client: OnceCell::new() }
    }
}

impl RoleServices {
    async fn client<'s>(&'s self, service: &'s Service) -> Result<&'s SearchClient, CallError> {
        service.client.get_or_try_init(async || self.connect(service)).await
    }

    fn connect(&self, service: &Service) -> Result<SearchClient, CallError> {
        let set = |value: &'_ Option<String>, name| value.clone().ok_or(CallError::NotSet(name));
        let region = set(&self.region, "AWS_REGION")?;
        let key = SigningKey::new(
            &set(&self.access_key_id, "AWS_ACCESS_KEY_ID")?,
            &set(&self.secret_access_key, "AWS_SECRET_ACCESS_KEY")?,
            self.session_token.as_deref(),
            &region,
            service.name,
        );
        let name = if self.is_fips { format!("{}-fips", service.name) } else { service.name.to_owned() };
        let url = service.url.clone().unwrap_or_else(|| service_url(&name, &region));
        let endpoint = Endpoint::parse(&url)?;
        Ok(SearchClient::new(ClientOptions {
            endpoints: endpoint.into(),
            auth: Auth::SigV4(key),
            credentials: None,
            ca_certificate: None,
            compression: BulkCompression::None,
        })?)
    }

    async fn secret(&self, id: &str) -> Result<Option<SecretValue>, CallError> {
        let client = self.client(&self.secrets_manager).await?;
        let body = Bytes::from(serde_json::json!({"SecretId": id}).to_string());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        headers.insert(
            HeaderName::from_static("x-amz-target"),
            HeaderValue::from_static("secretsmanager.GetSecretValue"),
        );
        let send = async |timeout| {
            client.request_with(Method::POST, "", headers.clone(), body.clone(), timeout).await
        };
        match call(client, send).await {
            Ok(body) => Ok(Some(serde_json::from_slice(&body)?)),
            // A secret without a value gives this error too.
            Err(CallError::Refused { kind, .. }) if kind == "ResourceNotFoundException" => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn domain(&self, name: &str) -> Result<DomainResponse, CallError> {
        let client = self.client(&self.opensearch).await?;
        let path = format!("2021-01-01/opensearch/domain/{}", encode(name));
        let send = async |timeout| client.request(Method::GET, &path, RequestBody::None, timeout).await;
        Ok(serde_json::from_slice(&call(client, send).await?)?)
    }
}

/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SecretValue {
    /// Absent if the secret is binary.
    secret_string: Option<String>,
}

/// <https://docs.aws.amazon.com/opensearch-service/latest/APIReference/API_DescribeDomain.html>. A domain in a VPC has its
/// endpoint under `Endpoints`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DomainResponse {
    domain_status: Option<DomainStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DomainStatus {
    endpoint: Option<String>,
    endpoints: Option<DomainEndpoints>,
}

#[derive(Deserialize)]
struct DomainEndpoints {
    vpc: Option<String>,
}

/// Services of JSON name the type in the body, those of REST in a header that is not read here: then it stays empty.
#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(alias = "Message", default)]
    message: String,
}

/// Repeats `send` until a response counts, and returns the body of one with status 200.
async fn call<F>(client: &SearchClient, send: impl Fn(Duration) -> F) -> Result<Bytes, CallError>
where
    F: Future<Output = Result<Response, SendError>>,
{
    let attempt = async |timeout| match send(timeout).await {
        Ok(Response { status: 200, body }) => Attempted::Done(body),
        Ok(response) => {
            let (status, refusal) = (response.status, refusal(&response.body));
            let is_throttled = THROTTLED.contains(&refusal.kind.as_str());
            let error = CallError::Refused { status, kind: refusal.kind, message: refusal.message };
            if is_throttled || RETRIES.retries_status(status) {
                Attempted::Retry(error)
            } else {
                Attempted::GiveUp(error)
            }
        }
        Err(error) => {
            let url = client.endpoints().to_string();
            Attempted::Retry(CallError::Unreachable { url, cause: cause(&error) })
        }
    };
    let deadline = Instant::now() + RETRIES.max_total;
    let before_retry = |error: &CallError, wait: Duration| {
        tracing::warn!(reason = %error, delay_ms = wait.as_millis() as u64, "AWS to be asked again");
    };
    RETRIES.run(deadline, |each| attempt(each.timeout), before_retry).await
}

/// The type, without a namespace before `#` or a URL behind `:`, and the message.
fn refusal(body: &[u8]) -> Refusal {
    match serde_json::from_slice::<Refusal>(body) {
        Ok(Refusal { kind, message }) => {
            let name = kind.rsplit('#').next().unwrap_or_default().split(':').next().unwrap_or_default();
            Refusal { kind: name.to_owned(), message }
        }
        Err(_) => {
            let message = String::from_utf8_lossy(body).chars().take(MAX_SHOWN).collect();
            Refusal { kind: String::new(), message }
        }
    }
}

/// The cause of an error, without the words about a cluster.
fn cause(error: &SendError) -> String {
    if let SendError::Timeout(timeout) = error {
        return format!("no response within {timeout:?}");
    }
    let mut texts = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        texts.push(error.to_string());
        source = error.source();
    }
    texts.join(": ")
}

impl SecretStore for RoleServices {
    fn read<'s>(&'s self, id: &'s str) -> StoreFuture<'s, Option<Secret>> {
        Box::pin(async move {
            match self.secret(id).await {
                Ok(None) => Ok(None),
                Ok(Some(SecretValue { secret_string: Some(text) })) => Ok(Some(Secret::new(text))),
                Ok(Some(SecretValue { secret_string: None })) => Err(StoreError::Binary(id.to_owned())),
                Err(source) => Err(StoreError::Read { id: id.to_owned(), source: source.into() }),
            }
        })
    }

    fn write<'s>(&'s self, id: &'s str, _text: &'s Secret) -> StoreFuture<'s, ()> {
        Box::pin(std::future::ready(Err(StoreError::ReadOnly(id.to_owned()))))
    }

    fn domain_endpoint<'s>(&'s self, name: &'s str) -> DomainFuture<'s> {
        Box::pin(async move {
            let described = self.domain(name).await;
            let described = described
                .map_err(|source| DomainError::Describe { name: name.to_owned(), source: source.into() })?;
            let status = described.domain_status.ok_or_else(|| DomainError::NotFound(name.to_owned()))?;
            let in_vpc = status.endpoints.and_then(|endpoints| endpoints.vpc);
            status.endpoint.or(in_vpc).ok_or_else(|| DomainError::NoEndpoint(name.to_owned()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::{Value, json};
    use testing::environment::lookup;
    use testing::http_server::{HttpServer, ReceivedRequest, json_response};

    use super::*;

    /// Starts an AWS that gives these responses, one after the other.
    async fn aws(responses: Vec<(u16, Value)>) -> HttpServer {
        let responses = Mutex::new(responses.into_iter());
        HttpServer::start(move |_request: ReceivedRequest| {
            let next = responses.lock().unwrap().next();
            let (status, body) = next.unwrap_or((599, json!({"message": "asked too often"})));
            async move { json_response(status, &body) }
        })
        .await
        .unwrap()
    }

    fn services(endpoint: &str) -> Arc<dyn SecretStore> {
        role_services(&lookup([
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("AWS_SESSION_TOKEN", "session"),
        ]))
    }

    #[tokio::test]
    async fn a_secrets_text_is_read_by_a_signed_request() {
        let aws = aws(vec![(200, json!({"ARN": "arn:x", "SecretString": "text"}))]).await;
        let secret = services(aws.endpoint()).read("arn:x").await.unwrap();
        assert_eq!(secret.map(|secret| secret.expose().to_owned()).as_deref(), Some("text"));
        let requests = aws.take_requests();
        let [request] = requests.as_slice() else { panic!("{} requests", requests.len()) };
        assert_eq!((request.head.method.as_str(), request.json()), ("POST", json!({"SecretId": "arn:x"})));
        assert_eq!(request.header("x-amz-target"), Some("secretsmanager.GetSecretValue"));
        assert_eq!(request.header("content-type"), Some("application/x-amz-json-1.1"));
        assert_eq!(request.header("x-amz-security-token"), Some("session"));
        let scope = "/eu-central-1/secretsmanager/aws4_request";
        assert!(request.header("authorization").is_some_and(|text| text.contains(scope)));
    }

    #[tokio::test]
    async fn a_secret_that_is_not_there_binary_or_refused_is_none_or_an_error() {
        let missing = json!({"__type": "com.amazonaws.secretsmanager#ResourceNotFoundException"});
        let denied =
            json!({"__type": "AccessDeniedException", "Message": "no identity-based policy allows it"});
        let aws = aws(vec![(400, missing), (200, json!({"SecretBinary": "AA=="})), (400, denied)]).await;
        let services = services(aws.endpoint());
        assert!(services.read("a").await.unwrap().is_none());
        let binary = services.read("a").await.err().map(|error| error.to_string());
        assert_eq!(binary.as_deref(), Some("the secret `a` is binary"));
        let denied = services.read("a").await.err().map(|error| error.to_string());
        assert_eq!(
            denied.as_deref(),
            Some(
                "the secret `a` can't be read: status 400 AccessDeniedException: no identity-based policy allows it"
            )
        );
        assert_eq!(aws.take_requests().len(), 3, "none is repeated");
    }

    #[tokio::test]
    async fn a_request_is_repeated_while_aws_is_busy() {
        let throttled = json!({"__type": "ThrottlingException", "message": "Rate exceeded"});
        let found = json!({"SecretString": "text"});
        let aws = aws(vec![(400, throttled), (503, Value::Null), (200, found)]).await;
        assert!(services(aws.endpoint()).read("a").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_domain_has_its_endpoint_or_that_in_its_vpc() {
        let status = |status: Value| (200, json!({"DomainStatus": status}));
        let aws = aws(vec![
            status(json!({"Endpoint": "search-a.eu-central-1.es.amazonaws.com"})),
            status(json!({"Endpoints": {"vpc": "vpc-a.eu-central-1.es.amazonaws.com"}})),
            status(json!({"Processing": true})),
            (409, json!({"message": "Domain not found: a"})),
        ])
        .await;
        let services = services(aws.endpoint());
        let endpoint = async || services.domain_endpoint("a").await.map_err(|error| error.to_string());
        assert_eq!(endpoint().await.as_deref(), Ok("search-a.eu-central-1.es.amazonaws.com"));
        assert_eq!(endpoint().await.as_deref(), Ok("vpc-a.eu-central-1.es.amazonaws.com"));
        let not_yet = "the domain `a` has no endpoint yet: wait until it is created";
        assert_eq!(endpoint().await.unwrap_err(), not_yet);
        assert_eq!(
            endpoint().await.unwrap_err(),
            "the domain `a` can't be looked up: status 409 : Domain not found: a"
        );
        let requests = aws.take_requests();
        assert!(requests.iter().all(|request| request.path() == "2021-01-01/opensearch/domain/a"));
    }

    #[tokio::test]
    async fn the_endpoints_are_those_of_the_region() {
        for (fips, url) in [
            ("", "https://secretsmanager.eu-central-1.amazonaws.com/"),
            ("true", "https://secretsmanager-fips.eu-central-1.amazonaws.com/"),
        ] {
            let services = read(&lookup([
                ("AWS_REGION", "eu-central-1"),
                ("AWS_ACCESS_KEY_ID", "AKID"),
                ("AWS_SECRET_ACCESS_KEY", "hunter2"),
                ("AWS_USE_FIPS_ENDPOINT", fips),
            ]));
            let client = services.client(&services.secrets_manager).await.unwrap();
            assert_eq!(client.endpoints().to_string(), url);
        }
    }

    #[tokio::test]
    async fn what_lambda_did_not_set_is_named() {
        let services = role_services(&lookup([("AWS_REGION", "eu-central-1")]));
        let error = services.read("a").await.err().map(|error| error.to_string());
        let expected =
            "the secret `a` can't be read: AWS_ACCESS_KEY_ID is not set: Lambda gives it to a function";
        assert_eq!(error.as_deref(), Some(expected));
    }
}
