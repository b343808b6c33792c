//! A TLS proxy in front of OpenSearch, whose certificate can be replaced.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use rustls::ServerConfig;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A running proxy. It stops when dropped.
#[derive(Debug)]
pub struct TlsProxy {
    state: Arc<State>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    upstream: String,
    config: Mutex<Arc<ServerConfig>>,
    rejected: AtomicUsize,
}

impl Drop for TlsProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TlsProxy {
    /// Starts a proxy on a free port in front of the server at `upstream`, a URL.
    ///
    /// # Errors
    /// When there is no free port, or the URL is not HTTP.
    pub async fn start(upstream: &str, config: Arc<ServerConfig>) -> Result<Self> {
        let upstream = upstream.strip_prefix("http://").context("the server speaks plain HTTP")?.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { upstream, config: Mutex::new(config), rejected: AtomicUsize::new(0) });
        let serving = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let state = Arc::clone(&serving);
                // An error means that either side closed the connection.
                tokio::spawn(async move { state.serve(connection).await });
            }
        });
        Ok(Self { state, address, task })
    }

    /// URL of the proxy.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Presents another certificate from the next connection on.
    pub fn present(&self, config: Arc<ServerConfig>) {
        *self.state.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// The number of connections that clients closed because of the certificate.
    #[must_use]
    pub fn rejected(&self) -> usize {
        self.state.rejected.load(Ordering::Relaxed)
    }
}

impl State {
    async fn serve(&self, connection: TcpStream) -> Result<()> {
        let config = Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner));
        let mut plain = match TlsAcceptor::from(config).accept(connection).await {
            Ok(plain) => plain,
            Err(error) => {
                self.rejected.fetch_add(1, Ordering::Relaxed);
                return Err(error.into());
            }
        };
        let mut upstream = TcpStream::connect(&self.upstream).await?;
        copy_bidirectional(&mut plain, &mut upstream).await?;
        Ok(())
    }
}
