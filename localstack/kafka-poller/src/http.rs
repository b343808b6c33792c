//! Serves probes, Prometheus and `kafka-poller status` over HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tracing::{debug, info, warn};

use crate::activity::Registry;
use crate::metrics;

/// Listens on `address`. Returns the address and a future that serves it.
///
/// # Errors
/// When the address can't be listened on.
pub async fn listen(
    address: &str,
    registry: Arc<Registry>,
) -> std::io::Result<(SocketAddr, impl Future<Output = ()> + Send + use<>)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    info!(%address, "serving /health, /status and /metrics");
    Ok((address, accept(listener, registry)))
}

async fn accept(listener: TcpListener, registry: Arc<Registry>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "an HTTP connection could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let registry = Arc::clone(&registry);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = respond(&request, &registry);
                async move { Ok::<_, Infallible>(response) }
            });
            if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
                debug!(%error, "an HTTP connection broke");
            }
        });
    }
}

fn respond(request: &http::Request<Incoming>, registry: &Registry) -> http::Response<Full<Bytes>> {
    const JSON: &str = "application/json";
    let status = registry.status();
    let (code, content_type, body) = match request.uri().path() {
        "/health" => {
            let problems = status.problems();
            let code = if problems.is_empty() { 200 } else { 503 };
            (code, JSON, json!({"healthy": problems.is_empty(), "problems": problems}).to_string())
        }
        "/status" => (200, JSON, json!(status).to_string()),
        "/metrics" => (200, metrics::CONTENT_TYPE, metrics::text(&status)),
        _ => (404, JSON, json!({"paths": ["/health", "/status", "/metrics"]}).to_string()),
    };
    let mut response = http::Response::new(Full::from(body));
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}
