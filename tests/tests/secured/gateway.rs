//! A gateway like that of Amazon OpenSearch Service: it checks each request's signature and forwards correctly signed
//! requests to the real cluster.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bytes::Bytes;
use http::Response;
use reqwest::Certificate;
use search_client::client::install_tls;
use serde_json::json;
use testing::http_server::{HttpServer, ReceivedRequest, json_response};
use testing::sigv4::{SignedRequest, Signer};

use crate::servers::Server;

/// A running gateway. It stops when dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    server: HttpServer,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    signer: Signer,
    cluster: Server,
    http: reqwest::Client,
    outcomes: Mutex<Outcomes>,
}

/// The outcomes of the requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcomes {
    /// Method and path of those that were forwarded.
    pub(crate) forwarded: Vec<String>,
    /// Why the others were rejected.
    pub(crate) rejected: Vec<String>,
}

impl Gateway {
    /// Starts a gateway to the cluster on a free port.
    pub(crate) async fn start(cluster: &Server, signer: Signer) -> Result<Self> {
        install_tls();
        let certificates = Certificate::from_pem_bundle(cluster.ca.as_bytes())?;
        let http = reqwest::Client::builder().tls_certs_only(certificates).build()?;
        let state = Arc::new(State { signer, cluster: cluster.clone(), http, outcomes: Mutex::default() });
        let responding = Arc::clone(&state);
        let server = HttpServer::start(move |request| respond(Arc::clone(&responding), request)).await?;
        Ok(Self { server, state })
    }

    /// Its URL.
    pub(crate) fn endpoint(&self) -> &str {
        self.server.endpoint()
    }

    /// The outcomes of the requests so far.
    pub(crate) fn outcomes(&self) -> Outcomes {
        self.state.outcomes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn respond(state: Arc<State>, request: ReceivedRequest) -> Response<Bytes> {
    let forwarded = state.check_and_forward(&request).await;
    forwarded.unwrap_or_else(|error| json_response(502, &json!({"message": format!("{error:#}")})))
}

impl State {
    async fn check_and_forward(&self, request: &ReceivedRequest) -> Result<Response<Bytes>> {
        if let Err(error) = self.signer.check(&SignedRequest::from(request)) {
            self.note(|outcomes| outcomes.rejected.push(error.to_string()));
            // The text of Amazon OpenSearch Service.
            let message = "The request signature we calculated does not match the signature you provided.";
            return Ok(json_response(403, &json!({"message": message})));
        }
        self.note(|outcomes| outcomes.forwarded.push(request.line()));
        let url = format!("{}{}", self.cluster.endpoint, request.head.uri);
        let mut forwarded = self.http.request(request.head.method.clone(), url).body(request.body.clone());
        for name in ["content-type", "content-encoding", "accept"] {
            if let Some(value) = request.head.headers.get(name) {
                forwarded = forwarded.header(name, value);
            }
        }
        let password = Some(&self.cluster.password);
        let response = forwarded.basic_auth(&self.cluster.username, password).send().await?;
        let forwarded =
            Response::builder().status(response.status()).header("content-type", "application/json");
        Ok(forwarded.body(response.bytes().await?)?)
    }

    fn note(&self, change: impl FnOnce(&mut Outcomes)) {
        change(&mut self.outcomes.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
