//! The calls to Lambda, S3 and MSK that an account makes. The SDK's crates for them would add minutes to the build; this file signs with
//! the key type that the search client has anyway.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use lambda_support::partition::service_url;
use reqwest::{Method, StatusCode, Url};
use search_client::backoff::Backoff;
use search_client::client::{SendError, install_tls};
use search_client::percent::encode;
use search_client::retry::{AttemptTimeout, Attempted, LastWait, RetryPolicy, SendErrors, Statuses};
use search_client::sigv4::SigningKey;
use serde::Deserialize;
use thiserror::Error;
use tokio::time::Instant;

/// Longer than the longest timeout of a function, 900 s.
const TIMEOUT: Duration = Duration::from_secs(930);
/// All calls may be executed twice.
const RETRIES: RetryPolicy = RetryPolicy {
    statuses: Statuses::UNAVAILABLE,
    send_errors: SendErrors::All,
    max_attempts: 4,
    max_total: Duration::from_secs(1800),
    attempt_timeout: AttemptTimeout { divisor: 1, min: Duration::ZERO, max: TIMEOUT },
    backoff: Backoff::DEFAULT,
    last_wait: LastWait::GiveUp,
};

/// Why a call to AWS failed.
#[derive(Debug, Error)]
pub enum AwsError {
    /// There are no credentials or no region.
    #[error(
        "{0} is not set: for a profile run `eval \"$(aws configure export-credentials --format env)\"` and set AWS_REGION"
    )]
    NotSet(&'static str),
    /// The endpoint is not a URL.
    #[error("AWS_ENDPOINT_URL is `{0}`, which is not a URL")]
    Endpoint(String),
    /// The HTTP client can't be built.
    #[error("the HTTP client for AWS can't be built: {0}")]
    Build(#[source] reqwest::Error),
    /// There was no response.
    #[error("{service} did not respond: {source}")]
    Unreachable {
        /// The service.
        service: &'static str,
        /// What happened.
        source: reqwest::Error,
    },
    /// The request could not be signed.
    #[error(transparent)]
    Signing(#[from] SendError),
    /// The service refused the call.
    #[error("{service} refused {what} with status {status}: {message}")]
    Refused {
        /// The service.
        service: &'static str,
        /// What was asked for.
        what: String,
        /// The status.
        status: StatusCode,
        /// The beginning of the response.
        message: String,
    },
    /// A response in JSON does not have the documented form.
    #[error("the response of {service} does not have the documented form: {source}")]
    Json {
        /// The service.
        service: &'static str,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A list of objects does not have the documented form.
    #[error("the list of the bucket {bucket} does not have the documented form: {source}")]
    List {
        /// The bucket.
        bucket: String,
        /// What is wrong.
        source: quick_xml::DeError,
    },
}

impl AwsError {
    /// Whether another attempt may succeed. What is called does the same a second time.
    fn is_passing(&self) -> bool {
        match self {
            Self::Refused { status, .. } => RETRIES.retries_status(status.as_u16()),
            Self::Unreachable { .. } => true,
            _ => false,
        }
    }
}

/// A client of AWS with the credentials of the environment.
pub struct Aws {
    http: reqwest::Client,
    endpoint: Option<String>,
    region: String,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws").field("region", &self.region).finish_non_exhaustive()
    }
}

/// The response to an invocation.
#[derive(Debug)]
pub struct Invocation {
    /// What the function returned; for an error, its description.
    pub payload: Bytes,
    /// `Handled` or `Unhandled` if the function failed.
    pub function_error: Option<String>,
}

#[derive(Deserialize)]
struct List {
    #[serde(rename = "Contents", default)]
    contents: Vec<Content>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(rename = "Key")]
    key: String,
}

struct Call<'a> {
    service: &'static str,
    method: Method,
    path: &'a str,
    headers: &'a [(&'static str, &'static str)],
    body: Bytes,
    /// The region, where it is not the client's.
    region: Option<&'a str>,
}

impl Aws {
    /// Makes a client with the credentials, the region and the endpoint that `lookup` finds under the names that the SDKs use.
    ///
    /// # Errors
    /// [`AwsError`] names what is missing.
    pub fn new(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, AwsError> {
        let text = |name: &str| lookup(name).filter(|text| !text.is_empty());
        let required = |name: &'static str| text(name).ok_or(AwsError::NotSet(name));
        let endpoint = text("AWS_ENDPOINT_URL");
        if let Some(url) = endpoint.as_deref().filter(|url| Url::parse(url).is_err()) {
            return Err(AwsError::Endpoint(url.to_owned()));
        }
        install_tls();
        let http = reqwest::Client::builder()
            .user_agent(concat!("kafka-to-search/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(5))
            .timeout(TIMEOUT)
            .tcp_keepalive(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(AwsError::Build)?;
        Ok(Self {
            http,
            endpoint,
            region: text("AWS_REGION")
                .or_else(|| text("AWS_DEFAULT_REGION"))
                .ok_or(AwsError::NotSet("AWS_REGION"))?,
            access_key_id: required("AWS_ACCESS_KEY_ID")?,
            secret_access_key: required("AWS_SECRET_ACCESS_KEY")?,
            session_token: text("AWS_SESSION_TOKEN"),
        })
    }

    /// A page of the event source mappings, as JSON, from `marker` on.
    ///
    /// # Errors
    /// [`AwsError`]
    pub async fn event_source_mappings(&self, marker: Option<&str>) -> Result<Bytes, AwsError> {
        let mut path = "/2015-03-31/event-source-mappings/?MaxItems=100".to_owned();
        if let Some(marker) = marker {
            path = format!("{path}&Marker={}", encode(marker));
        }
        Ok(self.send(get("lambda", &path)).await?.bytes)
    }

    /// The configuration of a function, as JSON.
    ///
    /// # Errors
    /// [`AwsError`]
    pub async fn function_configuration(&self, function: &str) -> Result<Bytes, AwsError> {
        let path = format!("/2015-03-31/functions/{}/configuration", encode(function));
        Ok(self.send(get("lambda", &path)).await?.bytes)
    }

    /// The addresses of an MSK cluster's brokers, as JSON:
    /// <https://docs.aws.amazon.com/msk/1.0/apireference/clusters-clusterarn-bootstrap-brokers.html>.
    ///
    /// # Errors
    /// [`AwsError`]
    pub async fn bootstrap_brokers(&self, cluster_arn: &str) -> Result<Bytes, AwsError> {
        let path = format!("/v1/clusters/{}/bootstrap-brokers", encode(cluster_arn));
        Ok(self.send(get("kafka", &path)).await?.bytes)
    }

    /// Invokes a function and waits for its response. An error of the function itself is in the response.
    ///
    /// # Errors
    /// [`AwsError`] when it was not invoked.
    pub async fn invoke(&self, function_arn: &str, event: Bytes) -> Result<Invocation, AwsError> {
        let path = format!("/2015-03-31/functions/{}/invocations", encode(function_arn));
        let headers = [("content-type", "application/json"), ("x-amz-invocation-type", "RequestResponse")];
        let region = function_arn.split(':').nth(3);
        let call = Call {
            service: "lambda",
            method: Method::POST,
            path: &path,
            headers: &headers,
            body: event,
            region,
        };
        let response = self.send(call).await?;
        Ok(Invocation { payload: response.bytes, function_error: response.function_error })
    }

    /// The next keys behind `after` that begin with `prefix`, in order. No keys means that there are no more.
    ///
    /// # Errors
    /// [`AwsError`]
    pub async fn object_keys(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<String>, AwsError> {
        // A signature covers the parameters in the order of their names, each value escaped in the same way.
        let mut path = format!("/{}?list-type=2&prefix={}", encode(bucket), encode(prefix));
        if let Some(after) = after {
            path = format!("{path}&start-after={}", encode(after));
        }
        let body = self.send(get("s3", &path)).await?.bytes;
        let list: List = quick_xml::de::from_reader(body.as_ref())
            .map_err(|source| AwsError::List { bucket: bucket.to_owned(), source })?;
        Ok(list.contents.into_iter().map(|content| content.key).collect())
    }

    /// An object's content.
    ///
    /// # Errors
    /// [`AwsError`]
    pub async fn object(&self, bucket: &str, key: &str) -> Result<Bytes, AwsError> {
        let key: Vec<_> = key.split('/').map(encode).collect();
        let path = format!("/{}/{}", encode(bucket), key.join("/"));
        Ok(self.send(get("s3", &path)).await?.bytes)
    }

    async fn send(&self, call: Call<'_>) -> Result<Received, AwsError> {
        let attempt = async || match self.send_once(&call).await {
            Ok(received) => Attempted::Done(received),
            Err(error) if error.is_passing() => Attempted::Retry(error),
            Err(error) => Attempted::GiveUp(error),
        };
        RETRIES.run(Instant::now() + RETRIES.max_total, |_| attempt(), |_, _| {}).await
    }

    async fn send_once(&self, call: &Call<'_>) -> Result<Received, AwsError> {
        let Call { service, method, path, headers, body, region } = call;
        let region = region.unwrap_or(&self.region);
        let base = match &self.endpoint {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => service_url(service, region),
        };
        let url = format!("{base}{path}");
        let url = Url::parse(&url).map_err(|_| AwsError::Endpoint(url))?;
        let mut request = reqwest::Request::new(method.clone(), url);
        for (name, value) in *headers {
            request.headers_mut().insert(*name, reqwest::header::HeaderValue::from_static(value));
        }
        *request.body_mut() = Some(body.clone().into());
        let token = self.session_token.as_deref();
        SigningKey::new(&self.access_key_id, &self.secret_access_key, token, region, service)
            .sign(&mut request)?;
        let unreachable = |source| AwsError::Unreachable { service, source };
        let response = self.http.execute(request).await.map_err(unreachable)?;
        let status = response.status();
        let function_error = response.headers().get("x-amz-function-error");
        let function_error = function_error.map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned());
        let bytes = response.bytes().await.map_err(unreachable)?;
        if status.is_success() {
            return Ok(Received { bytes, function_error });
        }
        Err(AwsError::Refused {
            service,
            what: path.split('?').next().unwrap_or_default().to_owned(),
            status,
            message: String::from_utf8_lossy(&bytes).chars().take(300).collect(),
        })
    }
}

struct Received {
    bytes: Bytes,
    function_error: Option<String>,
}

fn get<'a>(service: &'static str, path: &'a str) -> Call<'a> {
    Call { service, method: Method::GET, path, headers: &[], body: Bytes::new(), region: None }
}
