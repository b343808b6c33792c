//! Requests to the cluster, with their retries.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;
use search_client::auth::Auth;
use search_client::backoff::Backoff;
use search_client::client::{RequestBody, Response, SearchClient, SendError};
use search_client::retry::{Attempt, AttemptTimeout, Attempted, LastWait, RetryPolicy, SendErrors, Statuses};
use serde_json::Value;
use tokio::time::Instant;

use crate::call_error::{CallError, is_missing_api, message_of};

/// Retries of requests that may be executed twice. Putting a template waits for the cluster manager up to 30 s. The limit for
/// all attempts lets CloudFormation learn within a minute that a cluster is out of reach.
const REPEATABLE: RetryPolicy = RetryPolicy {
    statuses: Statuses::UNAVAILABLE,
    send_errors: SendErrors::All,
    max_attempts: u32::MAX,
    max_total: Duration::from_secs(40),
    attempt_timeout: AttemptTimeout { divisor: 1, min: Duration::ZERO, max: Duration::from_secs(30) },
    backoff: Backoff::DEFAULT,
    last_wait: LastWait::GiveUp,
};

/// Retries of requests that create something each time they are executed: only while none was executed.
const NOT_REPEATABLE: RetryPolicy =
    RetryPolicy { statuses: Statuses::TURNED_AWAY, send_errors: SendErrors::NeverArrived, ..REPEATABLE };

/// The cluster or its Dashboards, for use until a deadline.
pub struct Cluster {
    client: SearchClient,
    deadline: Instant,
}

impl Cluster {
    /// Takes a client, for use until `deadline`.
    pub fn new(client: SearchClient, deadline: Instant) -> Self {
        Self { client, deadline }
    }

    /// Returns the same cluster with another credential.
    pub fn with_auth(&self, auth: Auth) -> Self {
        Self { client: self.client.with_auth(auth), deadline: self.deadline }
    }

    /// The client.
    pub fn client(&self) -> &SearchClient {
        &self.client
    }

    /// When the last request must be over.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Gets a resource; `None` if it does not exist.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn get(&self, path: &str) -> Result<Option<Value>, CallError> {
        match self.exchange(&Method::GET, path, None, &REPEATABLE).await? {
            Response { status: 404, .. } => Ok(None),
            response => read(&Method::GET, path, &response).map(Some),
        }
    }

    /// Posts a query; `None` if what it searches does not exist.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn search(&self, path: &str, body: &Value) -> Result<Option<Value>, CallError> {
        match self.exchange(&Method::POST, path, Some(body), &REPEATABLE).await? {
            Response { status: 404, .. } => Ok(None),
            response => read(&Method::POST, path, &response).map(Some),
        }
    }

    /// Puts a resource.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.change(&Method::PUT, path, Some(body), &REPEATABLE).await
    }

    /// Posts a change that may be executed twice.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.change(&Method::POST, path, Some(body), &REPEATABLE).await
    }

    /// Creates a resource that the cluster assigns an id to. Not repeated once it may have been executed.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn create(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.change(&Method::POST, path, Some(body), &NOT_REPEATABLE).await
    }

    /// Deletes a resource. Returns whether it existed.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn delete(&self, path: &str) -> Result<bool, CallError> {
        self.delete_matching(path, None).await.map(|response| response.is_some())
    }

    /// Deletes what the body describes, and returns the response; `None` if nothing matches.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn delete_matching(
        &self,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Option<Value>, CallError> {
        match self.exchange(&Method::DELETE, path, body, &REPEATABLE).await? {
            Response { status: 404, .. } => Ok(None),
            response => read(&Method::DELETE, path, &response).map(Some),
        }
    }

    /// Posts a body with the caller's headers. It may be executed twice.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn post_with_headers(
        &self,
        path: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Value, CallError> {
        let send =
            |timeout| self.client.request_with(Method::POST, path, headers.clone(), body.clone(), timeout);
        let response = self.send_with_retries(&format!("POST /{path}"), &REPEATABLE, send).await?;
        read(&Method::POST, path, &self.check(&Method::POST, path, response)?)
    }

    /// Deletes a resource with the caller's headers. Returns whether it existed.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn delete_with_headers(&self, path: &str, headers: &HeaderMap) -> Result<bool, CallError> {
        let send =
            |timeout| self.client.request_with(Method::DELETE, path, headers.clone(), Bytes::new(), timeout);
        let response = self.send_with_retries(&format!("DELETE /{path}"), &REPEATABLE, send).await?;
        match self.check(&Method::DELETE, path, response)? {
            Response { status: 404, .. } => Ok(false),
            response => read(&Method::DELETE, path, &response).map(|_| true),
        }
    }

    async fn change(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        policy: &RetryPolicy,
    ) -> Result<Value, CallError> {
        let response = self.exchange(method, path, body, policy).await?;
        if response.status == 404 {
            // A change needs no existing resource, so the API itself is missing.
            return Err(CallError::MissingApi { message: format!("404: {}", message_of(&response)) });
        }
        read(method, path, &response)
    }

    /// Sends a request with retries. A response that rejects the credential or the API is an error.
    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        policy: &RetryPolicy,
    ) -> Result<Response, CallError> {
        let body = body.map(|body| Bytes::from(body.to_string()));
        let send = |timeout| {
            let body = body.clone().map_or(RequestBody::None, RequestBody::Json);
            self.client.request(method.clone(), path, body, timeout)
        };
        let response = self.send_with_retries(&format!("{method} /{path}"), policy, send).await?;
        self.check(method, path, response)
    }

    async fn send_with_retries<S>(
        &self,
        request: &str,
        policy: &RetryPolicy,
        send: impl Fn(Duration) -> S,
    ) -> Result<Response, CallError>
    where
        S: Future<Output = Result<Response, SendError>>,
    {
        let attempt = async |attempt: Attempt| {
            let (reason, may_retry) = match send(attempt.timeout).await {
                Ok(response) if Statuses::UNAVAILABLE.contains(response.status) => {
                    let reason = format!("status {}: {}", response.status, message_of(&response));
                    (reason, policy.retries_status(response.status))
                }
                Ok(response) => return Attempted::Done(response),
                Err(error) => (error.to_string(), policy.retries_send_error(&error)),
            };
            let endpoint = self.client.endpoints().to_string();
            let error = CallError::Unreachable { endpoint, request: request.to_owned(), reason };
            if may_retry { Attempted::Retry(error) } else { Attempted::GiveUp(error) }
        };
        policy.run(self.deadline, attempt, |_, _| {}).await
    }

    /// Returns an error for a response that rejects the credential, or the API as a whole.
    fn check(&self, method: &Method, path: &str, response: Response) -> Result<Response, CallError> {
        if response.status < 400 {
            return Ok(response);
        }
        let message = message_of(&response);
        let request = format!("{method} /{path}");
        if is_missing_api(response.status, &message, path) {
            return Err(CallError::MissingApi { message });
        }
        match response.status {
            401 => Err(CallError::Unauthenticated {
                endpoint: self.client.endpoints().to_string(),
                request,
                message,
            }),
            403 => Err(CallError::Forbidden { request, message }),
            _ => Ok(response),
        }
    }
}

/// Reads the JSON of a successful response.
fn read(method: &Method, path: &str, response: &Response) -> Result<Value, CallError> {
    let request = format!("{method} /{path}");
    if !(200..300).contains(&response.status) {
        return Err(CallError::Refused { request, status: response.status, message: message_of(response) });
    }
    if response.body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&response.body)
        .map_err(|error| CallError::UnexpectedResponse { request, what: format!("it is not JSON: {error}") })
}
