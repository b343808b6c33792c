//! The HTTP client of a cluster: one connection pool, one method of authentication, and the endpoints that take turns.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Certificate, Method};
use thiserror::Error;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::auth::Auth;
pub use crate::body::{BulkCompression, RequestBody};
pub use crate::credentials::{Credentials, FetchError, Renewed};
use crate::endpoints::Endpoints;
use crate::rotation::{Changed, Rotation, Turn};
pub use crate::send_error::SendError;

/// Time to connect to a cluster's only endpoint.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time to connect to one of several endpoints, since another one may take the request.
const CONNECT_TIMEOUT_OF_SEVERAL: Duration = Duration::from_secs(2);
/// Time in which an endpoint that was left has to respond to a check before it gets requests again.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a client can't be made.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The CA certificate is not PEM.
    #[error("the CA certificate is not PEM: {0}")]
    CaCertificate(#[source] reqwest::Error),
    /// The CA certificate's PEM text holds none.
    #[error("the CA certificate's PEM text holds no certificate")]
    NoCertificate,
    /// The client could not be built, for its TLS settings.
    #[error("the HTTP client can't be built: {0}")]
    Build(#[source] reqwest::Error),
}

/// A response of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: Bytes,
}

/// What a client is made from.
pub struct ClientOptions<'o> {
    /// The cluster's URLs.
    pub endpoints: Endpoints,
    /// Credentials to start with.
    pub auth: Auth,
    /// Source of new credentials, if there is one.
    pub credentials: Option<Arc<dyn Credentials>>,
    /// PEM text of the certificates to trust instead of the system's.
    pub ca_certificate: Option<&'o str>,
    /// Whether bulk bodies are compressed.
    pub compression: BulkCompression,
}

/// A client of one cluster. Create it once: it holds the connections, and knows which endpoints fail.
///
/// With several endpoints, requests go to each in its turn. One that can't be reached, does not respond in time or returns
/// 502, 503 or 504 is left for a while, longer each time; the caller's next attempt goes to another one. Before an endpoint
/// gets requests again, `GET /` checks whether it is back.
pub struct SearchClient {
    http: reqwest::Client,
    endpoints: Endpoints,
    rotation: Arc<Mutex<Rotation>>,
    auth: RwLock<Auth>,
    credentials: Option<Arc<dyn Credentials>>,
    compression: BulkCompression,
}

/// A request on its way to one of the endpoints.
struct Request {
    /// The endpoint's position.
    at: usize,
    http: reqwest::Request,
    timeout: Duration,
}

impl SearchClient {
    /// Creates a client, without opening a connection.
    ///
    /// # Errors
    /// [`ClientError`] when the CA certificate can't be used.
    pub fn new(options: ClientOptions<'_>) -> Result<Self, ClientError> {
        install_tls();
        let builder = reqwest::Client::builder()
            .user_agent(concat!("kafka-to-search/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(match options.endpoints.only() {
                Some(_) => CONNECT_TIMEOUT,
                None => CONNECT_TIMEOUT_OF_SEVERAL,
            })
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
            None if options.endpoints.is_https() => builder,
            // Reading the system's certificates takes tens of milliseconds that http does not need.
            None => builder.tls_certs_only([]),
        };
        // Each execution environment has a client: if all began with the same endpoint, it would get the most.
        let n_endpoints = options.endpoints.n_endpoints();
        let rotation = Rotation::new(n_endpoints, fastrand::usize(..n_endpoints));
        Ok(Self {
            http: builder.build().map_err(ClientError::Build)?,
            endpoints: options.endpoints,
            rotation: Arc::new(Mutex::new(rotation)),
            auth: RwLock::new(options.auth),
            credentials: options.credentials,
            compression: options.compression,
        })
    }

    /// A client of the same cluster, over the same connections, that authenticates by `auth`.
    pub fn with_auth(&self, auth: Auth) -> Self {
        Self {
            http: self.http.clone(),
            endpoints: self.endpoints.clone(),
            rotation: Arc::clone(&self.rotation),
            auth: RwLock::new(auth),
            credentials: None,
            compression: self.compression,
        }
    }

    /// The cluster's URLs.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Sends one request, once, and reads the whole response.
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
        let mut request = self.new_request(method, path_and_query, timeout).await;
        body.set(&mut request.http, self.compression);
        let (status, body) = self.exchange(request, reqwest::Response::bytes).await?;
        Ok(Response { status, body })
    }

    /// Sends one request, once, and reads the whole response; `None` where its body has more than `max_bytes`.
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
        let mut request = self.new_request(method, path_and_query, timeout).await;
        body.set(&mut request.http, self.compression);
        let read = |response| read_at_most(response, max_bytes);
        let (status, body) = self.exchange(request, read).await?;
        Ok(body.map(|body| Response { status, body }))
    }

    /// Sends one request with the caller's headers and body, once, and reads the whole response: for APIs beside the
    /// cluster's, such as that of Dashboards.
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
        let mut request = self.new_request(method, path_and_query, timeout).await;
        *request.http.headers_mut() = headers;
        *request.http.body_mut() = Some(body.into());
        let (status, body) = self.exchange(request, reqwest::Response::bytes).await?;
        Ok(Response { status, body })
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
                error!(error = %error, "credentials of the cluster could not be read again");
                Renewed::No
            }
        }
    }

    /// An empty request to the endpoint whose turn it is.
    async fn new_request(&self, method: Method, path_and_query: &str, timeout: Duration) -> Request {
        let started = Instant::now();
        let at = match self.endpoints.only() {
            Some(_) => 0,
            None => self.next_endpoint(timeout).await,
        };
        let timeout = timeout.saturating_sub(started.elapsed());
        Request {
            at,
            http: reqwest::Request::new(method, self.endpoints.at(at).join(path_and_query)),
            timeout,
        }
    }

    /// The position of the endpoint that gets the next request, after checks of those that may be back.
    async fn next_endpoint(&self, timeout: Duration) -> usize {
        let deadline = Instant::now() + timeout;
        loop {
            // A turn to check an endpoint postpones its next one, so this ends: there are only so many endpoints.
            let turn = self.rotation().turn(Instant::now());
            let at = match turn {
                Turn::Send(at) => return at,
                Turn::Check(at) => at,
            };
            // With little time left, the request itself needs it.
            if deadline.saturating_duration_since(Instant::now()) >= 2 * CHECK_TIMEOUT {
                let http = reqwest::Request::new(Method::GET, self.endpoints.at(at).join(""));
                let check = Request { at, http, timeout: CHECK_TIMEOUT };
                let checked = self.exchange(check, reqwest::Response::bytes).await;
                if checked.is_ok_and(|(status, _)| !is_away(status)) {
                    return at;
                }
            }
        }
    }

    fn rotation(&self) -> MutexGuard<'_, Rotation> {
        self.rotation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records how a request to an endpoint ended: with a status, or without a response.
    fn note(&self, at: usize, ended: Result<u16, &SendError>) {
        if self.endpoints.only().is_some() {
            return;
        }
        let endpoint = self.endpoints.at(at).as_str();
        match ended {
            Err(SendError::Signing(_)) => {}
            // So little time says nothing about the endpoint.
            Err(SendError::Timeout(timeout)) if *timeout < CHECK_TIMEOUT => {}
            Ok(status) if !is_away(status) => {
                if self.rotation().succeeded(at) == Changed::Yes {
                    info!(endpoint, "endpoint of the cluster is back");
                }
            }
            Ok(status) => {
                if self.rotation().failed(at, Instant::now()) == Changed::Yes {
                    warn!(endpoint, status, "endpoint of the cluster fails, using the others");
                }
            }
            Err(error) => {
                if self.rotation().failed(at, Instant::now()) == Changed::Yes {
                    warn!(endpoint, error = %error, "endpoint of the cluster fails, using the others");
                }
            }
        }
    }

    /// Authenticates and sends a complete request, once, and has `read` read the response's body.
    async fn exchange<B, F>(
        &self,
        request: Request,
        read: impl FnOnce(reqwest::Response) -> F,
    ) -> Result<(u16, B), SendError>
    where
        F: Future<Output = Result<B, reqwest::Error>>,
    {
        let Request { at, mut http, timeout } = request;
        let auth = self.auth.read().unwrap_or_else(PoisonError::into_inner).clone();
        auth.apply(&mut http)?;
        let exchange = async {
            let response = self.http.execute(http).await?;
            let status = response.status().as_u16();
            Ok((status, read(response).await?))
        };
        let exchanged = match tokio::time::timeout(timeout, exchange).await {
            Ok(exchanged) => exchanged.map_err(SendError::Connection),
            Err(_) => Err(SendError::Timeout(timeout)),
        };
        self.note(at, exchanged.as_ref().map(|(status, _)| *status));
        exchanged
    }
}

/// Whether a status means that an endpoint, or what it stands before, can't take requests now.
fn is_away(status: u16) -> bool {
    matches!(status, 502..=504)
}

/// Installs the TLS implementation that every HTTP client of the process then uses; a second time does nothing.
pub fn install_tls() {
    // Err means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

async fn read_at_most(
    mut response: reqwest::Response,
    max_bytes: usize,
) -> Result<Option<Bytes>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > max_bytes {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body.into()))
}
