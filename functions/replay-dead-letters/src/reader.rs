//! Reads from the cluster, with few retries: a read that fails ends the run, which can be run again.

use std::time::Duration;

use bytes::Bytes;
use search_client::backoff::Backoff;
use search_client::client::{Renewed, Response, SendError};
use search_client::retry::{
    Attempt, AttemptTimeout, Attempted, CredentialRenewal, LastWait, RetryPolicy, SendErrors, Statuses,
};
use serde_json::Value;
use thiserror::Error;
use tokio::time::Instant;
use tracing::warn;

use crate::cluster::Cluster;

/// Why dead letters could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// There was no response.
    #[error("{0}")]
    Send(#[from] SendError),
    /// The cluster refused the request.
    #[error("the cluster refused {path} with status {status}: {text}{}", hint(*.status))]
    Refused {
        /// HTTP status.
        status: u16,
        /// Path of the request.
        path: String,
        /// Beginning of the response.
        text: String,
    },
    /// The response does not have the documented form.
    #[error("the cluster's response to {path} can't be read: {source}")]
    Form {
        /// Path of the request.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The response does not cover everything that was requested.
    #[error("the cluster's response to {path} is incomplete: {what}")]
    Incomplete {
        /// Path of the request.
        path: String,
        /// What is missing.
        what: String,
    },
}

impl ReadError {
    pub(crate) fn form(path: &str, source: serde_json::Error) -> Self {
        Self::Form { path: path.to_owned(), source }
    }

    pub(crate) fn incomplete(path: &str, what: String) -> Self {
        Self::Incomplete { path: path.to_owned(), what }
    }

    fn refused(path: &str, response: &Response) -> Self {
        let text = String::from_utf8_lossy(&response.body).chars().take(MAX_TEXT).collect();
        Self::Refused { status: response.status, path: path.to_owned(), text }
    }
}

/// Retries of one read.
const READ_RETRIES: RetryPolicy = RetryPolicy {
    statuses: Statuses::UNAVAILABLE_OR_BROKEN,
    send_errors: SendErrors::All,
    max_attempts: 6,
    max_total: Duration::MAX,
    attempt_timeout: AttemptTimeout { divisor: 2, min: Duration::ZERO, max: Duration::from_secs(60) },
    backoff: Backoff::DEFAULT,
    last_wait: LastWait::GiveUp,
};

/// Longest part of an error's response that is kept, in characters.
const MAX_TEXT: usize = 500;

/// Reads from one cluster until a deadline.
pub(crate) struct Reader<'r, C> {
    cluster: &'r C,
    deadline: Instant,
}

impl<'r, C: Cluster> Reader<'r, C> {
    /// Makes a reader whose requests end by `deadline`.
    pub(crate) fn new(cluster: &'r C, deadline: Instant) -> Self {
        Self { cluster, deadline }
    }

    /// Posts `body` and returns the response's body; `None` if that has more than `max_bytes`.
    ///
    /// # Errors
    /// [`ReadError`] when there is no response, or none with status 200.
    pub(crate) async fn read(
        &self,
        path: &str,
        body: &Value,
        max_bytes: usize,
    ) -> Result<Option<Bytes>, ReadError> {
        let body = Bytes::from(body.to_string());
        let renewal = CredentialRenewal::default();
        let attempt = async |attempt: Attempt| match self
            .cluster
            .post(path, body.clone(), attempt.timeout, max_bytes)
            .await
        {
            Ok(None) => Attempted::Done(None),
            Ok(Some(Response { status: 200, body })) => Attempted::Done(Some(body)),
            Ok(Some(response)) => self.after_refusal(path, &response, &renewal).await,
            Err(error) if READ_RETRIES.retries_send_error(&error) => Attempted::Retry(error.into()),
            Err(error) => Attempted::GiveUp(error.into()),
        };
        let log_retry = |error: &ReadError, wait: Duration| {
            warn!(reason = %error, delay_ms = wait.as_millis() as u64, "read failed, retrying");
        };
        READ_RETRIES.run(self.deadline, attempt, log_retry).await
    }

    async fn after_refusal(
        &self,
        path: &str,
        response: &Response,
        renewal: &CredentialRenewal,
    ) -> Attempted<Option<Bytes>, ReadError> {
        let error = ReadError::refused(path, response);
        if READ_RETRIES.retries_status(response.status) {
            return Attempted::Retry(error);
        }
        match renewal.after(response.status, self.cluster.renew_credentials()).await {
            Renewed::Yes => Attempted::RetryAtOnce(error),
            Renewed::No => Attempted::GiveUp(error),
        }
    }
}

fn hint(status: u16) -> &'static str {
    match status {
        401 => "; check SEARCH_AUTH and the secret",
        403 => {
            "; the function must be allowed to search, read and delete in the dead-letter indices, and to search, read and \
             replace in those of the events: apply the roles again"
        }
        _ => "",
    }
}
