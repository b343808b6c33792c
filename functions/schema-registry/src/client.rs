//! Sends requests to a registry until one gets a response that counts.

use std::time::Duration;

use bytes::Bytes;
use search_client::backoff::Backoff;
use search_client::client::{Renewed, Response, SearchClient, SendError};
use search_client::retry::{
    Attempt, AttemptTimeout, Attempted, CredentialRenewal, LastWait, RetryPolicy, SendErrors, Statuses,
};
use tokio::time::Instant;
use tracing::warn;

use crate::fetch_error::RegistryError;

/// Bytes of the longest response that is read: a schema is much shorter, and a stranger's page may be endless.
pub(crate) const MAX_RESPONSE: usize = 1024 * 1024;
/// Longest part of a response that an error shows, in characters.
const MAX_SHOWN: usize = 200;

/// Retries of requests to a registry. They only read, so every server error is retried. The whole time is short: the other
/// records of the batch wait meanwhile.
pub const REGISTRY_RETRIES: RetryPolicy = RetryPolicy {
    statuses: Statuses::UNAVAILABLE_OR_BROKEN,
    send_errors: SendErrors::All,
    max_attempts: 6,
    max_total: Duration::from_secs(10),
    attempt_timeout: AttemptTimeout {
        divisor: 2,
        min: Duration::from_millis(50),
        max: Duration::from_secs(5),
    },
    backoff: Backoff { base: Duration::from_millis(100), max: Duration::from_secs(2), ..Backoff::DEFAULT },
    last_wait: LastWait::LeaveTimeFor(Duration::from_millis(50)),
};

/// A response that is not an error of the registry itself.
pub(crate) enum Received {
    /// 200, with its body.
    Found(Bytes),
    /// 200, with more than [`MAX_RESPONSE`] bytes.
    TooLarge,
    /// Another status that says something about what was asked for.
    Refused(Response),
}

/// A client of one registry.
pub(crate) struct Client {
    pub(crate) http: SearchClient,
    pub(crate) policy: RetryPolicy,
}

impl Client {
    /// Repeats `send` by the policy until there is a response that counts. `refusals` are the statuses that the caller reads
    /// by itself. 401 and 403 renew the credentials, once.
    pub(crate) async fn request<F>(
        &self,
        deadline: Instant,
        refusals: &[u16],
        send: impl Fn(Duration) -> F,
    ) -> Result<Received, RegistryError>
    where
        F: Future<Output = Result<Option<Response>, SendError>>,
    {
        let renewal = CredentialRenewal::default();
        let attempt = async |attempt: Attempt| match send(attempt.timeout).await {
            Ok(Some(response)) => self.read(response, refusals, &renewal).await,
            Ok(None) => Attempted::Done(Received::TooLarge),
            Err(error) => Attempted::Retry(RegistryError::Unreachable(cause(&error))),
        };
        let before_retry = |error: &RegistryError, wait: Duration| {
            warn!(reason = %error, delay_ms = wait.as_millis() as u64, "schema to be asked for again");
        };
        self.policy.run(deadline, attempt, before_retry).await
    }

    async fn read(
        &self,
        response: Response,
        refusals: &[u16],
        renewal: &CredentialRenewal,
    ) -> Attempted<Received, RegistryError> {
        match response.status {
            200 => Attempted::Done(Received::Found(response.body)),
            status if refusals.contains(&status) => Attempted::Done(Received::Refused(response)),
            status @ (401 | 403) => {
                let error = RegistryError::Unauthorized { status, reason: shown(&response.body) };
                match renewal.after(status, self.http.renew_credentials()).await {
                    Renewed::Yes => Attempted::RetryAtOnce(error),
                    Renewed::No => Attempted::GiveUp(error),
                }
            }
            status => {
                let error = RegistryError::Status { status, reason: shown(&response.body) };
                if self.policy.retries_status(status) {
                    Attempted::Retry(error)
                } else {
                    Attempted::GiveUp(error)
                }
            }
        }
    }
}

/// The cause of an error, without the words about a cluster.
fn cause(error: &SendError) -> String {
    let mut text = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let separator = if text.is_empty() { "" } else { ": " };
        text = format!("{text}{separator}{error}");
        source = error.source();
    }
    match error {
        SendError::Timeout(timeout) => format!("no response within {timeout:?}"),
        SendError::Connection(_) | SendError::Signing(_) => text,
    }
}

/// The beginning of a body, for an error.
pub(crate) fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..MAX_SHOWN * 4).unwrap_or(body));
    text.chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(MAX_SHOWN)
        .collect()
}
