//! An HTTP server that responds by a script and records the requests that it gets.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request as it was received.
#[derive(Clone, Debug)]
pub(crate) struct RecordedRequest {
    pub(crate) method: String,
    /// Path and query, without the first slash.
    pub(crate) path: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl RecordedRequest {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// Method and path without the query.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path.split('?').next().unwrap())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// What a script does with a request.
pub(crate) enum ScriptedResponse {
    /// Responds with a status and a JSON body.
    Json(u16, Value),
    /// Never responds.
    Hang,
}

/// A running server. It stops when it is dropped.
pub(crate) struct Server {
    pub(crate) endpoint: String,
    requests: Arc<Mutex<Vec<RecordedRequest>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(
        script: impl Fn(&RecordedRequest) -> ScriptedResponse + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, script) = (Arc::clone(&requests), Arc::new(script));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                let service =
                    service_fn(move |request| respond(request, Arc::clone(&log), Arc::clone(&script)));
                tokio::spawn(async move {
                    // A client may close its connection at any time.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { endpoint, requests, task }
    }

    /// Returns the requests since the last call.
    pub(crate) fn take_requests(&self) -> Vec<RecordedRequest> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

async fn respond(
    request: Request<Incoming>,
    log: Arc<Mutex<Vec<RecordedRequest>>>,
    script: Arc<impl Fn(&RecordedRequest) -> ScriptedResponse>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let request = RecordedRequest {
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().unwrap().as_str().trim_start_matches('/').to_owned(),
        headers: parts.headers,
        text: String::from_utf8_lossy(&body).into_owned(),
    };
    log.lock().unwrap().push(request.clone());
    match script(&request) {
        ScriptedResponse::Hang => std::future::pending().await,
        ScriptedResponse::Json(status, body) => {
            let body = if body.is_null() { String::new() } else { body.to_string() };
            Ok(Response::builder().status(status).body(Full::from(body)).unwrap())
        }
    }
}
