//! Requests to the cluster, with their retries.

use std::time::Duration;

use reqwest::Method;
use search_client::backoff::Backoff;
use search_client::client::{RequestBody, Response, SearchClient, SendError};
use search_client::retry::{AttemptTimeout, Attempted, LastWait, RetryPolicy, SendErrors, Statuses};
use serde_json::Value;
use thiserror::Error;
use tokio::time::Instant;

/// All requests may be executed twice.
const RETRIES: RetryPolicy = RetryPolicy {
    statuses: Statuses::UNAVAILABLE,
    send_errors: SendErrors::All,
    max_attempts: 4,
    max_total: Duration::from_secs(60),
    attempt_timeout: AttemptTimeout { divisor: 1, min: Duration::ZERO, max: Duration::from_secs(30) },
    backoff: Backoff::DEFAULT,
    last_wait: LastWait::GiveUp,
};

/// Why a request has no result.
#[derive(Debug, Error)]
pub enum CallError {
    /// No response came.
    #[error("{endpoint}: {source}")]
    Send {
        /// URL of the cluster.
        endpoint: String,
        /// Why.
        source: SendError,
    },
    /// The cluster refused it.
    #[error("the cluster refused {method} {path} with status {status}: {reason}")]
    Status {
        /// The method.
        method: Method,
        /// The path.
        path: String,
        /// The status.
        status: u16,
        /// The cluster's reason.
        reason: String,
    },
    /// The response is not of the documented form.
    #[error("the response to {path} does not have the documented form: {source}")]
    Response {
        /// The path.
        path: String,
        /// Why.
        source: serde_json::Error,
    },
}

impl CallError {
    /// The status, if the cluster responded.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// Sends a request and returns the body of the response, whose status is one of success.
///
/// # Errors
/// [`CallError`]
pub async fn call(
    client: &SearchClient,
    method: Method,
    path_and_query: &str,
    body: Option<&Value>,
) -> Result<bytes::Bytes, CallError> {
    let body = body.map_or(RequestBody::None, |body| RequestBody::Json(body.to_string().into()));
    let path = path_and_query.split('?').next().unwrap_or_default();
    let attempt = async |timeout| {
        let send_error = |source| CallError::Send { endpoint: client.endpoints().to_string(), source };
        match client.request(method.clone(), path_and_query, body.clone(), timeout).await {
            Ok(Response { status: 200..=299, body }) => Attempted::Done(body),
            Ok(Response { status, body }) => {
                let error = CallError::Status {
                    method: method.clone(),
                    path: path.to_owned(),
                    status,
                    reason: reason(&body),
                };
                if RETRIES.retries_status(status) {
                    Attempted::Retry(error)
                } else {
                    Attempted::GiveUp(error)
                }
            }
            // A wrong address stays wrong.
            Err(error) if error.never_arrived() => Attempted::GiveUp(send_error(error)),
            Err(error) => Attempted::Retry(send_error(error)),
        }
    };
    let deadline = Instant::now() + RETRIES.max_total;
    RETRIES.run(deadline, |each| attempt(each.timeout), |_, _| {}).await
}

/// The reason in the body of a refusal.
fn reason(body: &[u8]) -> String {
    let Ok(parsed) = serde_json::from_slice::<Value>(body) else {
        return String::from_utf8_lossy(body).chars().take(300).collect();
    };
    let text =
        parsed.pointer("/error/reason").or_else(|| parsed.get("error")).or_else(|| parsed.get("message"));
    match text {
        Some(Value::String(reason)) => reason.clone(),
        Some(other) => other.to_string(),
        None => "it gave no reason".into(),
    }
}
