//! Requests to the cluster, with their retries.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;
use search_client::auth::Auth;
use search_client::backoff::Backoff;
use search_client::client::{RequestBody, Response, SearchClient, SendError};
use serde_json::Value;
use tokio::time::Instant;

use crate::refusal::{CallError, is_lacking, said};

/// One attempt gets so long: a template waits for the cluster's manager up to 30 s.
const ATTEMPT: Duration = Duration::from_secs(30);
/// A request gets so long with all its attempts, so that CloudFormation hears of an unreachable cluster in a minute.
const PATIENCE: Duration = Duration::from_secs(40);
/// Whether a request may be sent again when its answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// A second time does nothing more.
    Always,
    /// It makes something each time.
    IfItNeverArrived,
}

/// The cluster, or its Dashboards, until a deadline.
pub struct Cluster {
    client: SearchClient,
    until: Instant,
    backoff: Backoff,
}

impl Cluster {
    /// Takes a client, to be used until `until`.
    pub fn new(client: SearchClient, until: Instant) -> Self {
        Self { client, until, backoff: Backoff::default() }
    }

    /// The same cluster, asked by another.
    pub fn as_other(&self, auth: Auth) -> Self {
        Self { client: self.client.with_auth(auth), until: self.until, backoff: self.backoff }
    }

    /// The client.
    pub fn client(&self) -> &SearchClient {
        &self.client
    }

    /// Until when it may be used.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Reads something; `None` where there is no such thing.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn get(&self, path: &str) -> Result<Option<Value>, CallError> {
        match self.exchange(&Method::GET, path, None, Repeat::Always).await? {
            Response { status: 404, .. } => Ok(None),
            reply => read(&Method::GET, path, &reply).map(Some),
        }
    }

    /// Searches, or asks something else with a body; `None` where there is no such thing.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn ask(&self, path: &str, body: &Value) -> Result<Option<Value>, CallError> {
        match self.exchange(&Method::POST, path, Some(body), Repeat::Always).await? {
            Response { status: 404, .. } => Ok(None),
            reply => read(&Method::POST, path, &reply).map(Some),
        }
    }

    /// Puts something under its name.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.change(&Method::PUT, path, Some(body), Repeat::Always).await
    }

    /// Asks for a change that is the same when it is made twice.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.change(&Method::POST, path, Some(body), Repeat::Always).await
    }

    /// Makes something whose name the cluster gives.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn create(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.change(&Method::POST, path, Some(body), Repeat::IfItNeverArrived).await
    }

    /// Deletes something; whether it was there.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn delete(&self, path: &str) -> Result<bool, CallError> {
        self.delete_by(path, None).await.map(|answer| answer.is_some())
    }

    /// Deletes what the body describes, and returns the answer; `None` where there is no such thing.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn delete_by(&self, path: &str, body: Option<&Value>) -> Result<Option<Value>, CallError> {
        match self.exchange(&Method::DELETE, path, body, Repeat::Always).await? {
            Response { status: 404, .. } => Ok(None),
            reply => read(&Method::DELETE, path, &reply).map(Some),
        }
    }

    /// Sends a body with headers of its own, and again when the answer is lost.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn post_with(&self, path: &str, headers: &HeaderMap, body: Bytes) -> Result<Value, CallError> {
        let send =
            |timeout| self.client.request_with(Method::POST, path, headers.clone(), body.clone(), timeout);
        let reply = self.retried(&format!("POST /{path}"), Repeat::Always, send).await?;
        read(&Method::POST, path, &self.judged(&Method::POST, path, reply)?)
    }

    /// Deletes with headers of the caller's own; whether it was there.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn delete_with(&self, path: &str, headers: &HeaderMap) -> Result<bool, CallError> {
        let send =
            |timeout| self.client.request_with(Method::DELETE, path, headers.clone(), Bytes::new(), timeout);
        let reply = self.retried(&format!("DELETE /{path}"), Repeat::Always, send).await?;
        match self.judged(&Method::DELETE, path, reply)? {
            Response { status: 404, .. } => Ok(false),
            reply => read(&Method::DELETE, path, &reply).map(|_| true),
        }
    }

    async fn change(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        repeat: Repeat,
    ) -> Result<Value, CallError> {
        let reply = self.exchange(method, path, body, repeat).await?;
        if reply.status == 404 {
            // What is put needs nothing to be there: so the API is missing.
            return Err(CallError::Lacking { said: format!("404: {}", said(&reply)) });
        }
        read(method, path, &reply)
    }

    /// Sends a request until it is answered; an answer that refuses the credential or the API is an error.
    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        repeat: Repeat,
    ) -> Result<Response, CallError> {
        let body = body.map(|body| Bytes::from(body.to_string()));
        let send = |timeout| {
            let body = body.clone().map_or(RequestBody::None, RequestBody::Json);
            self.client.request(method.clone(), path, body, timeout)
        };
        let reply = self.retried(&format!("{method} /{path}"), repeat, send).await?;
        self.judged(method, path, reply)
    }

    async fn retried<S>(
        &self,
        request: &str,
        repeat: Repeat,
        send: impl Fn(Duration) -> S,
    ) -> Result<Response, CallError>
    where
        S: Future<Output = Result<Response, SendError>>,
    {
        let give_up = self.until.min(Instant::now() + PATIENCE);
        let mut n_failures = 0;
        loop {
            let left = give_up.saturating_duration_since(Instant::now());
            let (reason, may_repeat) = match send(left.min(ATTEMPT)).await {
                Ok(reply) if matches!(reply.status, 429 | 502 | 503 | 504) => {
                    // A gateway that gave up may have passed the request on.
                    let may_repeat = repeat == Repeat::Always || matches!(reply.status, 429 | 503);
                    (format!("it answers {}: {}", reply.status, said(&reply)), may_repeat)
                }
                Ok(reply) => return Ok(reply),
                Err(error) => {
                    let may_repeat = repeat == Repeat::Always || error.never_arrived();
                    (error.to_string(), may_repeat)
                }
            };
            n_failures += 1;
            let delay = self.backoff.delay(n_failures);
            if !may_repeat || Instant::now() + delay >= give_up {
                return Err(CallError::Unreachable {
                    endpoint: self.client.endpoint().as_str().to_owned(),
                    request: request.to_owned(),
                    reason,
                });
            }
            tokio::time::sleep(delay).await;
        }
    }

    /// Turns answers that refuse the credential or the API as a whole into errors.
    fn judged(&self, method: &Method, path: &str, reply: Response) -> Result<Response, CallError> {
        if reply.status < 400 {
            return Ok(reply);
        }
        let said = said(&reply);
        let request = format!("{method} /{path}");
        if is_lacking(reply.status, &said, path) {
            return Err(CallError::Lacking { said });
        }
        match reply.status {
            401 => Err(CallError::Unauthenticated {
                endpoint: self.client.endpoint().as_str().to_owned(),
                request,
                said,
            }),
            403 => Err(CallError::Forbidden { request, said }),
            _ => Ok(reply),
        }
    }
}

/// Reads the JSON of a success.
fn read(method: &Method, path: &str, reply: &Response) -> Result<Value, CallError> {
    let request = format!("{method} /{path}");
    if !(200..300).contains(&reply.status) {
        return Err(CallError::Refused { request, status: reply.status, said: said(reply) });
    }
    if reply.body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&reply.body)
        .map_err(|error| CallError::NotUnderstood { request, what: format!("it is not JSON: {error}") })
}
