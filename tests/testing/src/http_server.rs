//! An HTTP server on a free port that responds as a test says and keeps the requests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// A running server. It stops when dropped, and its connections with it.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    endpoint: String,
    requests: Requests,
    task: JoinHandle<()>,
}

type Requests = Arc<Mutex<Vec<ReceivedRequest>>>;

/// A request as it was received.
#[derive(Clone, Debug)]
pub struct ReceivedRequest {
    /// Method, URI and headers.
    pub head: http::request::Parts,
    /// The whole body, as sent.
    pub body: Bytes,
}

impl ReceivedRequest {
    /// Method and path, without the first slash and the query: `GET _cat/indices`.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {}", self.head.method, self.path())
    }

    /// The path, without the first slash and the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.uri.path().trim_start_matches('/')
    }

    /// Path and query, without the first slash.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        self.head.uri.path_and_query().map_or("", |it| it.as_str().trim_start_matches('/'))
    }

    /// A header's value, if it is there and text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// A response with a JSON body; null has no body.
#[must_use]
pub fn json_response(status: u16, body: &Value) -> Response<Bytes> {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(text.into()).expect("a status and a content type make a response")
}

/// Never responds.
pub async fn silence() -> Response<Bytes> {
    std::future::pending().await
}

impl HttpServer {
    /// Starts a server on a free port, which responds to each request with what `respond` returns.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start<R, F>(respond: R) -> std::io::Result<Self>
    where
        R: Fn(ReceivedRequest) -> F + Send + Sync + 'static,
        F: Future<Output = Response<Bytes>> + Send + 'static,
    {
        Self::start_at(([127, 0, 0, 1], 0).into(), respond).await
    }

    /// Starts a server at an address, such as that of a server which was dropped.
    ///
    /// # Errors
    /// When the address is in use.
    pub async fn start_at<R, F>(address: SocketAddr, respond: R) -> std::io::Result<Self>
    where
        R: Fn(ReceivedRequest) -> F + Send + Sync + 'static,
        F: Future<Output = Response<Bytes>> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let requests = Requests::default();
        let task = tokio::spawn(accept(listener, Arc::clone(&requests), Arc::new(respond)));
        Ok(Self { address, endpoint: format!("http://{address}"), requests, task })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, without a slash at the end.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Removes and returns the requests since the last call, in their order.
    pub fn take_requests(&self) -> Vec<ReceivedRequest> {
        std::mem::take(&mut self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept<R, F>(listener: TcpListener, requests: Requests, respond: Arc<R>)
where
    R: Fn(ReceivedRequest) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Bytes>> + Send + 'static,
{
    // Aborts the connections when it is dropped.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (requests, respond) = (Arc::clone(&requests), Arc::clone(&respond));
        let service = service_fn(move |request| serve(request, Arc::clone(&requests), Arc::clone(&respond)));
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        // An error means that the client closed the connection.
        connections.spawn(async move { drop(connection.await) });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve<R, F>(
    request: Request<Incoming>,
    requests: Requests,
    respond: Arc<R>,
) -> Result<Response<Full<Bytes>>, Infallible>
where
    R: Fn(ReceivedRequest) -> F,
    F: Future<Output = Response<Bytes>>,
{
    let (head, body) = request.into_parts();
    // A client that was killed sends half a body.
    let Ok(body) = body.collect().await else {
        let mut response = Response::new(Full::default());
        *response.status_mut() = http::StatusCode::BAD_REQUEST;
        return Ok(response);
    };
    let request = ReceivedRequest { head, body: body.to_bytes() };
    requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
    Ok(respond(request).await.map(Full::new))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    async fn exchange(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    }

    const REQUEST: &str = "PUT /a/b?c=d HTTP/1.1\r\nhost: x\r\nx-name: value\r\nconnection: close\r\n\
                           content-length: 7\r\n\r\n{\"n\":1}";

    #[tokio::test]
    async fn requests_are_kept_and_responded_to_as_the_test_says() {
        let server = HttpServer::start(async |request: ReceivedRequest| {
            json_response(201, &json!({"line": request.line(), "n": request.json()["n"]}))
        });
        let server = server.await.unwrap();
        let response = exchange(server.address(), REQUEST).await;
        assert!(response.starts_with("HTTP/1.1 201 "), "{response}");
        assert!(response.ends_with(r#"{"line":"PUT a/b","n":1}"#), "{response}");
        let [request] = server.take_requests().try_into().unwrap();
        assert_eq!((request.path_and_query(), request.header("x-name")), ("a/b?c=d", Some("value")));
        assert!(server.take_requests().is_empty());
    }

    #[tokio::test]
    async fn a_dropped_server_closes_its_connections_and_frees_its_address() {
        let server = HttpServer::start(|_| silence()).await.unwrap();
        let address = server.address();
        let waiting = tokio::spawn(async move { exchange(address, REQUEST).await });
        while server.take_requests().is_empty() {
            tokio::task::yield_now().await;
        }
        drop(server);
        assert_eq!(waiting.await.unwrap(), "");
        let again = HttpServer::start_at(address, async |_| json_response(204, &Value::Null)).await.unwrap();
        assert!(exchange(again.address(), REQUEST).await.starts_with("HTTP/1.1 204 "));
    }
}
