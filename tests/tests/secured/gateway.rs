//! A gateway like that of Amazon OpenSearch Service: it checks each request's signature and forwards correctly signed
//! requests to the real cluster.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use reqwest::Certificate;
use reqwest::header::CONTENT_TYPE;
use search_client::client::install_tls;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::servers::Server;
use crate::signature::{Received, Signer};

/// A running gateway. It stops when dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) endpoint: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    signer: Signer,
    cluster: Server,
    http: reqwest::Client,
    judged: Mutex<Judged>,
}

/// What became of the requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// Method and path of those that were forwarded.
    pub(crate) forwarded: Vec<String>,
    /// Why the others were not.
    pub(crate) refused: Vec<String>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gateway {
    /// Starts a gateway to the cluster on a free port.
    pub(crate) async fn start(cluster: &Server, signer: Signer) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        install_tls();
        let certificates = Certificate::from_pem_bundle(cluster.ca.as_bytes())?;
        let http = reqwest::Client::builder().tls_certs_only(certificates).build()?;
        let state = Arc::new(State { signer, cluster: cluster.clone(), http, judged: Mutex::default() });
        let serving = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let state = Arc::clone(&serving);
                let service = service_fn(move |request| answer(Arc::clone(&state), request));
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(connection), service);
                // An error means that the client went away.
                tokio::spawn(serving);
            }
        });
        Ok(Self { endpoint, state, task })
    }

    /// What became of the requests until now.
    pub(crate) fn judged(&self) -> Judged {
        self.state.judged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match state.judge_and_forward(request).await {
        Ok(answer) => answer,
        Err(error) => (502, Bytes::from(json!({"message": format!("{error:#}")}).to_string())),
    };
    let response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    Ok(response.body(Full::new(body)).expect("a status and a content type make a response"))
}

impl State {
    async fn judge_and_forward(&self, request: Request<Incoming>) -> Result<(u16, Bytes)> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| Ok((name.as_str().to_owned(), value.to_str()?.to_owned())))
            .collect::<Result<_>>()?;
        let received = Received {
            method: head.method.as_str(),
            path: head.uri.path(),
            query: head.uri.query().unwrap_or_default(),
            headers,
            body: &body,
        };
        if let Err(reason) = self.signer.check(&received) {
            self.note(|judged| judged.refused.push(reason));
            // As Amazon OpenSearch Service answers.
            let message = "The request signature we calculated does not match the signature you provided.";
            return Ok((403, json!({"message": message}).to_string().into()));
        }
        self.note(|judged| judged.forwarded.push(format!("{} {}", head.method, head.uri.path())));
        let url = format!("{}{}", self.cluster.endpoint, head.uri);
        let mut forwarded = self.http.request(head.method, url).body(body);
        for name in ["content-type", "content-encoding", "accept"] {
            if let Some(value) = head.headers.get(name) {
                forwarded = forwarded.header(name, value);
            }
        }
        let password = Some(&self.cluster.password);
        let response = forwarded.basic_auth(&self.cluster.username, password).send().await?;
        Ok((response.status().as_u16(), response.bytes().await?))
    }

    fn note(&self, change: impl FnOnce(&mut Judged)) {
        change(&mut self.judged.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
