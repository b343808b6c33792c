//! The HTTP client of a cluster: one connection pool, one endpoint, one method of authentication.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Certificate, Method};
use thiserror::Error;
use tracing::{error, info};

use crate::auth::Auth;
pub use crate::body::{BulkCompression, RequestBody};
pub use crate::credentials::{Credentials, FetchError, Renewed};
use crate::endpoint::Endpoint;
pub use crate::send_error::SendError;

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
    /// The cluster's URL.
    pub endpoint: Endpoint,
    /// Credentials to start with.
    pub auth: Auth,
    /// Source of new credentials, if there is one.
    pub credentials: Option<Arc<dyn Credentials>>,
    /// PEM text of the certificates to trust instead of the system's.
    pub ca_certificate: Option<&'o str>,
    /// Whether bulk bodies are compressed.
    pub compression: BulkCompression,
}

/// A client of one cluster. Create it once: it holds the connections.
pub struct SearchClient {
    http: reqwest::Client,
    endpoint: Endpoint,
    auth: RwLock<Auth>,
    credentials: Option<Arc<dyn Credentials>>,
    compression: BulkCompression,
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

    /// A client of the same cluster, over the same connections, that authenticates by `auth`.
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
        let mut request = self.new_request(method, path_and_query);
        body.set(&mut request, self.compression);
        let (status, body) = self.exchange(request, timeout, reqwest::Response::bytes).await?;
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
        let mut request = self.new_request(method, path_and_query);
        body.set(&mut request, self.compression);
        let read = |response| read_at_most(response, max_bytes);
        let (status, body) = self.exchange(request, timeout, read).await?;
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
        let mut request = self.new_request(method, path_and_query);
        *request.headers_mut() = headers;
        *request.body_mut() = Some(body.into());
        let (status, body) = self.exchange(request, timeout, reqwest::Response::bytes).await?;
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

    fn new_request(&self, method: Method, path_and_query: &str) -> reqwest::Request {
        reqwest::Request::new(method, self.endpoint.join(path_and_query))
    }

    /// Authenticates and sends a complete request, once, and has `read` read the response's body.
    async fn exchange<B, F>(
        &self,
        mut request: reqwest::Request,
        timeout: Duration,
        read: impl FnOnce(reqwest::Response) -> F,
    ) -> Result<(u16, B), SendError>
    where
        F: Future<Output = Result<B, reqwest::Error>>,
    {
        let auth = self.auth.read().unwrap_or_else(PoisonError::into_inner).clone();
        auth.apply(&mut request)?;
        let exchange = async {
            let response = self.http.execute(request).await?;
            let status = response.status().as_u16();
            Ok((status, read(response).await?))
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(exchanged) => exchanged.map_err(SendError::Connection),
            Err(_) => Err(SendError::Timeout(timeout)),
        }
    }
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
