//! Signed requests to AWS services, or to one endpoint that stands in for all of them.
//!
//! The poller makes a handful of calls to six services. The SDK's crates for them take minutes to build; these lines and
//! `aws-sigv4` take seconds.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningError, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_sigv4::sign::v4::signing_params::BuildError;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use reqwest::{Client, Url};
use serde::Deserialize;

/// Longer than the longest timeout of a function, 900 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(930);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client for all services: endpoint, region and credentials.
#[derive(Clone, Debug)]
pub struct Aws {
    http: Client,
    region: String,
    endpoint: Option<Url>,
    credentials: Credentials,
}

/// A request to a service.
#[derive(Debug)]
pub struct Call<'a> {
    /// The service's name in signatures and host names, such as `lambda`.
    pub service: &'a str,
    /// The region, if it is not the client's own.
    pub region: Option<&'a str>,
    /// The method.
    pub method: Method,
    /// Path and query, percent-encoded.
    pub path: &'a str,
    /// Headers, without those of the signature.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: Bytes,
}

/// A response, whatever its status.
#[derive(Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// There are no credentials in the environment.
    #[error(
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set; for LocalStack any value will do, for a profile run \
         `eval \"$(aws configure export-credentials --format env)\"`"
    )]
    Credentials,
    /// The endpoint is not a URL.
    #[error("endpoint `{endpoint}` is not a URL")]
    Endpoint {
        /// As given.
        endpoint: String,
    },
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be made")]
    Http(#[from] reqwest::Error),
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The connection failed or broke.
    #[error("{service} was not reached")]
    Unreachable {
        /// The service.
        service: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// The service returned an error.
    #[error("{service} returned {status} {code}: {message}")]
    Refused {
        /// The service.
        service: String,
        /// The HTTP status.
        status: StatusCode,
        /// The error's code.
        code: String,
        /// The error's text.
        message: String,
    },
    /// The service's response can't be parsed.
    #[error("{service} returned a response that can't be parsed")]
    Unreadable {
        /// The service.
        service: String,
        /// The parser's error.
        #[source]
        source: serde_json::Error,
    },
    /// The request could not be built.
    #[error("a request could not be built")]
    Request(#[from] http::Error),
    /// The request could not be signed.
    #[error("a request could not be signed")]
    Signing(#[from] SigningError),
    /// The signature's parameters are incomplete.
    #[error("a request could not be signed")]
    SigningParameters(#[from] BuildError),
}

/// Makes rustls use ring in this process; call it before the first client is made. rustls chooses no provider by itself if
/// several are linked in.
pub fn use_ring() {
    // It fails if the process has a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl Aws {
    /// Makes a client with the credentials that `lookup` finds under the usual environment variables.
    ///
    /// # Errors
    /// When the credentials are missing or the endpoint is no URL.
    pub fn new(
        endpoint: Option<&str>,
        region: &str,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SetupError> {
        let (Some(key_id), Some(secret)) = (lookup("AWS_ACCESS_KEY_ID"), lookup("AWS_SECRET_ACCESS_KEY"))
        else {
            return Err(SetupError::Credentials);
        };
        let credentials = Credentials::from_keys(key_id, secret, lookup("AWS_SESSION_TOKEN"));
        let endpoint = endpoint
            .map(|endpoint| {
                Url::parse(endpoint).map_err(|_| SetupError::Endpoint { endpoint: endpoint.to_owned() })
            })
            .transpose()?;
        let http = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .tcp_keepalive(Duration::from_secs(30))
            .build()?;
        Ok(Self { http, region: region.to_owned(), endpoint, credentials })
    }

    /// Makes a call and returns the response, whatever its status.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn send(&self, call: Call<'_>) -> Result<Response, CallError> {
        let region = call.region.unwrap_or(&self.region);
        let base = match &self.endpoint {
            Some(endpoint) => endpoint.as_str().trim_end_matches('/').to_owned(),
            None => format!("https://{}.{region}.amazonaws.com", call.service),
        };
        let mut request = Request::builder().method(call.method).uri(format!("{base}{}", call.path));
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(call.body)?;
        self.sign(&mut request, call.service, region)?;

        let unreachable = |source| CallError::Unreachable { service: call.service.to_owned(), source };
        let request = reqwest::Request::try_from(request).map_err(unreachable)?;
        let response = self.http.execute(request).await.map_err(unreachable)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.map_err(unreachable)?;
        Ok(Response { status, headers, body })
    }

    /// Makes a call and returns the response if it is a success.
    ///
    /// # Errors
    /// When there is no response or it is an error.
    pub async fn call(&self, call: Call<'_>) -> Result<Response, CallError> {
        let service = call.service.to_owned();
        let response = self.send(call).await?;
        if response.status.is_success() { Ok(response) } else { Err(response.refused(&service)) }
    }

    fn sign(&self, request: &mut Request<Bytes>, service: &str, region: &str) -> Result<(), CallError> {
        let mut settings = SigningSettings::default();
        if service == "s3" {
            // S3 signs paths as they are, and requires the body's hash in a header.
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(service)
            .time(SystemTime::now())
            .settings(settings)
            .build()?
            .into();
        let headers =
            request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let uri = request.uri().to_string();
        let body = SignableBody::Bytes(request.body());
        let signable = SignableRequest::new(request.method().as_str(), uri, headers, body)?;
        let (instructions, _signature) = sign(signable, &params)?.into_parts();
        instructions.apply_to_request_http1x(request);
        Ok(())
    }
}

impl Response {
    /// Parses the response as an error.
    #[must_use]
    pub fn refused(&self, service: &str) -> CallError {
        #[derive(Default, Deserialize)]
        struct ErrorBody {
            #[serde(rename = "__type", alias = "Type", default)]
            code: String,
            #[serde(alias = "Message", default)]
            message: String,
        }
        let parsed = serde_json::from_slice(&self.body).unwrap_or_else(|_| ErrorBody {
            code: String::new(),
            message: String::from_utf8_lossy(self.body.get(..300).unwrap_or(&self.body)).into_owned(),
        });
        let header = self.header("x-amzn-errortype").map(str::to_owned);
        CallError::Refused {
            service: service.to_owned(),
            status: self.status,
            code: header.unwrap_or(parsed.code),
            message: parsed.message,
        }
    }

    /// Returns a header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
