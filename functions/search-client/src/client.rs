//! The HTTP client: one connection pool, one endpoint, one way of authentication.

use std::io::Write as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Certificate, Method};
use thiserror::Error;
use tracing::info;

use crate::auth::Auth;
use crate::endpoint::Endpoint;

/// Says why a request got no response.
#[derive(Debug, Error)]
pub enum SendError {
    /// No connection, or one that broke.
    #[error("the cluster could not be reached: {}", with_causes(.0))]
    Connection(#[source] reqwest::Error),
    /// Nothing, or not all of it, came in time.
    #[error("the cluster did not answer within {0:?}")]
    Timeout(Duration),
    /// The request could not be signed.
    #[error("the request could not be signed: {0}")]
    Signing(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl SendError {
    /// Whether the request can't have reached the cluster, so that sending it again does nothing twice.
    pub fn never_arrived(&self) -> bool {
        match self {
            Self::Connection(error) => error.is_connect(),
            Self::Timeout(_) => false,
            Self::Signing(_) => true,
        }
    }

    pub(crate) fn signing(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Signing(error.into())
    }
}

/// reqwest's own text names the URL but not the cause.
fn with_causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Says why a client can't be made.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The CA certificate is not PEM.
    #[error("the CA certificate is not PEM: {0}")]
    CaCertificate(#[source] reqwest::Error),
    /// The CA certificate's PEM text holds none.
    #[error("the CA certificate's PEM text holds no certificate")]
    NoCertificate,
    /// The TLS set-up failed.
    #[error("the HTTP client can't be made: {0}")]
    Build(#[source] reqwest::Error),
}

/// What a response said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Body, whole.
    pub body: Bytes,
}

/// Whether bulk bodies are compressed on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkCompression {
    /// gzip at its quickest level: the level that costs less time than it saves.
    Gzip,
    /// Sent as they are.
    None,
}

/// Why [`Credentials`] could not be fetched, by whatever keeps them.
pub type FetchError = Box<dyn std::error::Error + Send + Sync>;

/// Gives credentials anew when the cluster refuses those in use. Resolved where secrets live.
pub trait Credentials: Send + Sync {
    /// Fetches the credentials of now.
    ///
    /// # Errors
    /// [`FetchError`] says why there are none; the old ones stay in use.
    fn fetch(&self) -> std::pin::Pin<Box<dyn Future<Output = Result<Auth, FetchError>> + Send + '_>>;
}

/// What a client is made of.
pub struct ClientOptions<'o> {
    /// The cluster's URL.
    pub endpoint: Endpoint,
    /// Credentials to begin with.
    pub auth: Auth,
    /// Where credentials come from anew, if they can.
    pub credentials: Option<Arc<dyn Credentials>>,
    /// PEM text of the certificates to trust instead of the system's.
    pub ca_certificate: Option<&'o str>,
    /// Whether bulk bodies are compressed.
    pub compression: BulkCompression,
}

/// A client of one cluster. Make one and keep it: it holds the connections.
pub struct SearchClient {
    http: reqwest::Client,
    endpoint: Endpoint,
    auth: RwLock<Auth>,
    credentials: Option<Arc<dyn Credentials>>,
    compression: BulkCompression,
}

impl SearchClient {
    /// Makes a client. No connection is opened yet.
    ///
    /// # Errors
    /// [`ClientError`] when the CA certificate can't be used.
    pub fn new(options: ClientOptions<'_>) -> Result<Self, ClientError> {
        install_tls();
        let builder = reqwest::Client::builder()
            .user_agent(concat!("kafka-to-search/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(5))
            // A function is frozen between invocations: connections idle for long are dead more often than not.
            .pool_idle_timeout(Duration::from_secs(60))
            .redirect(reqwest::redirect::Policy::none())
            .http1_only();
        let builder = match options.ca_certificate {
            Some(pem) => {
                let certificates =
                    Certificate::from_pem_bundle(pem.as_bytes()).map_err(ClientError::CaCertificate)?;
                if certificates.is_empty() {
                    return Err(ClientError::NoCertificate);
                }
                builder.tls_certs_only(certificates)
            }
            None if options.endpoint.is_https() => builder,
            // Reading the system's certificates takes tens of milliseconds that http does not need.
            None => builder.tls_certs_only([]),
        };
        Ok(Self {
            http: builder.build().map_err(ClientError::Build)?,
            endpoint: options.endpoint,
            auth: RwLock::new(options.auth),
            credentials: options.credentials,
            compression: options.compression,
        })
    }

    /// A client of the same cluster, over the same connections, that proves itself by `auth`.
    pub fn with_auth(&self, auth: Auth) -> Self {
        Self {
            http: self.http.clone(),
            endpoint: self.endpoint.clone(),
            auth: RwLock::new(auth),
            credentials: None,
            compression: self.compression,
        }
    }

    /// The cluster's URL.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends one request, once, and reads the response whole.
    ///
    /// # Errors
    /// [`SendError`] when no whole response came within `timeout`.
    pub async fn request(
        &self,
        method: Method,
        path_and_query: &str,
        body: RequestBody,
        timeout: Duration,
    ) -> Result<Response, SendError> {
        let request = self.signed(method, path_and_query, body)?;
        in_time(timeout, async {
            let response = self.http.execute(request).await?;
            let status = response.status().as_u16();
            Ok(Response { status, body: response.bytes().await? })
        })
        .await
    }

    /// Sends one request, once, and reads the response whole, if it has at most `max_bytes`; `None` where it has more.
    ///
    /// # Errors
    /// [`SendError`] when no whole response came within `timeout`.
    pub async fn request_at_most(
        &self,
        method: Method,
        path_and_query: &str,
        body: RequestBody,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<Option<Response>, SendError> {
        let request = self.signed(method, path_and_query, body)?;
        in_time(timeout, async {
            let mut response = self.http.execute(request).await?;
            let status = response.status().as_u16();
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                if body.len() + chunk.len() > max_bytes {
                    return Ok(None);
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Some(Response { status, body: body.into() }))
        })
        .await
    }

    /// Sends one request with headers and a body of the caller's own, once, and reads the response whole: for APIs
    /// beside the cluster's, such as that of Dashboards.
    ///
    /// # Errors
    /// [`SendError`] when no whole response came within `timeout`.
    pub async fn request_with(
        &self,
        method: Method,
        path_and_query: &str,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Response, SendError> {
        let mut request = reqwest::Request::new(method, self.endpoint.join(path_and_query));
        *request.headers_mut() = headers;
        *request.body_mut() = Some(body.into());
        let auth = self.auth.read().unwrap_or_else(PoisonError::into_inner).clone();
        auth.apply(&mut request)?;
        in_time(timeout, async {
            let response = self.http.execute(request).await?;
            let status = response.status().as_u16();
            Ok(Response { status, body: response.bytes().await? })
        })
        .await
    }

    /// Fetches the credentials again from their source.
    pub async fn renew_credentials(&self) -> Renewed {
        let Some(source) = &self.credentials else { return Renewed::No };
        match source.fetch().await {
            Ok(auth) => {
                *self.auth.write().unwrap_or_else(PoisonError::into_inner) = auth;
                info!("credentials of the cluster read again");
                Renewed::Yes
            }
            Err(error) => {
                tracing::error!(error = %error, "credentials of the cluster could not be read again");
                Renewed::No
            }
        }
    }

    fn signed(
        &self,
        method: Method,
        path_and_query: &str,
        body: RequestBody,
    ) -> Result<reqwest::Request, SendError> {
        let mut request = reqwest::Request::new(method, self.endpoint.join(path_and_query));
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        match body {
            RequestBody::None => {}
            RequestBody::Json(text) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                *request.body_mut() = Some(text.into());
            }
            RequestBody::Ndjson(text) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
                let text = match self.compression {
                    BulkCompression::Gzip => {
                        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                        gzip(&text)
                    }
                    BulkCompression::None => text,
                };
                // Bytes in memory are sent with Content-Length; OpenSearch warns of chunked bulk requests.
                *request.body_mut() = Some(text.into());
            }
        }
        let auth = self.auth.read().unwrap_or_else(PoisonError::into_inner).clone();
        auth.apply(&mut request)?;
        Ok(request)
    }
}

/// Installs the TLS implementation that every HTTP client of the process then uses; a second time does nothing.
pub fn install_tls() {
    // Err means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

async fn in_time<A>(
    timeout: Duration,
    exchange: impl Future<Output = Result<A, reqwest::Error>>,
) -> Result<A, SendError> {
    match tokio::time::timeout(timeout, exchange).await {
        Ok(answer) => answer.map_err(SendError::Connection),
        Err(_) => Err(SendError::Timeout(timeout)),
    }
}

/// Body of a request.
#[derive(Debug, Clone)]
pub enum RequestBody {
    /// None.
    None,
    /// `application/json`.
    Json(Bytes),
    /// `application/x-ndjson`, compressed by the client's setting.
    Ndjson(Bytes),
}

fn gzip(text: &[u8]) -> Bytes {
    // Events shrink to about an eighth; the buffer grows if they don't.
    let mut gzip = GzEncoder::new(Vec::with_capacity(text.len() / 6), Compression::fast());
    gzip.write_all(text).expect("compressing into memory does not fail");
    gzip.finish().expect("compressing into memory does not fail").into()
}

/// Whether credentials were fetched anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// There are new ones.
    Yes,
    /// The source has none, or there is no source.
    No,
}
