//! Handles an invocation: does what CloudFormation asks for, and answers it in any case.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lambda_runtime::Diagnostic;
use lambda_support::secrets::SecretStore;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use search_client::backoff::Backoff;
use search_client::client::install_tls;
use serde_json::{Map, Value};
use thiserror::Error;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::custom_resource::{Answer, Kind, NotARequest, ResourceRequest, Sender, id_of, was_created};
use crate::provision::{Done, Mode, Request, Rotation, apply, delete};
use crate::report::{Line, Outcome, Report};
use crate::settings::{Config, DeleteData};

/// Left of an invocation's time for the answer.
const FOR_THE_ANSWER: Duration = Duration::from_secs(5);
/// Left of the work's time when the cluster is asked no more.
const TO_TELL: Duration = Duration::from_secs(1);
/// Left of an invocation's time when sending the answer ends.
const AT_THE_END: Duration = Duration::from_millis(500);
/// One attempt to send the answer.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Says why an invocation failed. Lambda then tries again, which does no harm.
#[derive(Debug, Error)]
pub enum InvocationError {
    /// Nobody waits for an answer.
    #[error(transparent)]
    NotARequest(#[from] NotARequest),
    /// CloudFormation did not get its answer, and waits for an hour.
    #[error("CloudFormation could not be answered: {0}")]
    NotAnswered(String),
}

impl From<InvocationError> for Diagnostic {
    fn from(error: InvocationError) -> Self {
        let error_type = match error {
            InvocationError::NotARequest(_) => "NotARequest",
            InvocationError::NotAnswered(_) => "NotAnswered",
        };
        Self { error_type: error_type.into(), error_message: error.to_string() }
    }
}

/// Gives an environment variable's text.
pub type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Handles invocations. Make one and keep it.
pub struct Handler {
    lookup: Arc<Lookup>,
    secrets: Arc<dyn SecretStore>,
    http: reqwest::Client,
    backoff: Backoff,
}

impl Handler {
    /// Makes a handler that reads its environment by `lookup`, at each invocation: a bad one is told to CloudFormation.
    ///
    /// # Errors
    /// When the HTTP client can't be made.
    pub fn new(lookup: Arc<Lookup>, secrets: Arc<dyn SecretStore>) -> Result<Self, reqwest::Error> {
        install_tls();
        let http = reqwest::Client::builder()
            .user_agent(concat!("kafka-to-search/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(5))
            .build()?;
        Ok(Self { lookup, secrets, http, backoff: Backoff::default() })
    }

    /// Handles one invocation, whose Lambda deadline is `deadline_ms` since the epoch.
    ///
    /// # Errors
    /// [`InvocationError`] when CloudFormation got no answer.
    pub async fn handle(&self, payload: &[u8], deadline_ms: u64) -> Result<(), InvocationError> {
        let left = (UNIX_EPOCH + Duration::from_millis(deadline_ms))
            .duration_since(SystemTime::now())
            .unwrap_or_default();
        let (begin, deadline) = (Instant::now(), Instant::now() + left);
        // Half of it where that is more: an answer that comes in time is worth more than another attempt.
        let work_until = begin + left.saturating_sub(FOR_THE_ANSWER).max(left / 2);
        let answer_until = deadline - AT_THE_END.min(left / 4);
        match ResourceRequest::parse(payload) {
            Ok(request) => {
                let answer = self.answer_to(&request, work_until).await;
                self.send(&answer, &request.kind, &request.sender, answer_until).await
            }
            Err(mut error) => match error.sender.take() {
                None => Err(error.into()),
                // Of an unknown kind: the resource keeps the id that it has.
                Some(sender) => {
                    let answer = Answer::Failure { reason: error.to_string() };
                    self.send(&answer, &Kind::Delete, &sender, answer_until).await
                }
            },
        }
    }

    /// Does what is asked for, in a task of its own: should it panic, there still is an answer.
    async fn answer_to(&self, request: &ResourceRequest, until: Instant) -> Answer {
        let (lookup, secrets) = (Arc::clone(&self.lookup), Arc::clone(&self.secrets));
        // A request that ends by itself says which one it was.
        let left = until.saturating_duration_since(Instant::now());
        let requests_until = until - TO_TELL.min(left / 10);
        let (kind, properties) = (request.kind.clone(), request.properties.clone());
        let id = request.sender.physical_resource_id.clone();
        let mut work = tokio::spawn(async move {
            match kind {
                Kind::Delete => {
                    deleted(&properties, id.as_deref(), &*lookup, secrets.as_ref(), requests_until).await
                }
                _ => applied(&kind, &properties, &*lookup, secrets.as_ref(), requests_until).await,
            }
        });
        match tokio::time::timeout_at(until, &mut work).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                error!(error = %error, "provisioning broke off");
                let reason =
                    "provisioning broke off by an error of its own; the function's log has it".into();
                Answer::Failure { reason }
            }
            Err(_) => {
                work.abort();
                let reason = "the cluster was not ready before the function's timeout; give the function more time, and \
                              update the stack again: what is done already is left as it is";
                Answer::Failure { reason: reason.into() }
            }
        }
    }

    /// Puts the answer to its URL, again until CloudFormation has it.
    async fn send(
        &self,
        answer: &Answer,
        kind: &Kind,
        sender: &Sender,
        until: Instant,
    ) -> Result<(), InvocationError> {
        match answer {
            Answer::Success { reason, .. } => info!(reason, "answering CloudFormation: success"),
            Answer::Failure { reason } => error!(reason, "answering CloudFormation: failure"),
        }
        let body = answer.body(kind, sender);
        let mut n_failures = 0;
        loop {
            // The URL is signed for an empty content type.
            let put = self.http.put(&sender.response_url).header(CONTENT_TYPE, HeaderValue::from_static(""));
            let left = until.saturating_duration_since(Instant::now());
            let sent = put.body(body.clone()).timeout(left.min(ATTEMPT)).send().await;
            // The URL lets whoever has it answer: it is kept out of logs.
            let reason = match sent.map_err(reqwest::Error::without_url) {
                Ok(response) if response.status().is_success() => return Ok(()),
                Ok(response) => format!("its URL was answered {}", response.status()),
                Err(error) => error.to_string(),
            };
            n_failures += 1;
            let delay = self.backoff.delay(n_failures);
            warn!(reason, "CloudFormation was not answered");
            if Instant::now() + delay >= until {
                return Err(InvocationError::NotAnswered(reason));
            }
            tokio::time::sleep(delay).await;
        }
    }
}

async fn applied(
    kind: &Kind,
    properties: &Map<String, Value>,
    lookup: &Lookup,
    secrets: &dyn SecretStore,
    until: Instant,
) -> Answer {
    let config = match Config::of_custom_resource(properties, &lookup) {
        Ok(config) => config,
        Err(error) => return Answer::Failure { reason: error.to_string() },
    };
    let request = Request { mode: Mode::Apply, rotation: rotation(kind, properties), until };
    let Done { product, report } = apply(&config, secrets, request).await;
    log(&report);
    if !report.failures.is_empty() {
        return Answer::Failure { reason: report.failures.join("; ") };
    }
    let (engine, version) = match product {
        Some(product) => (
            product.engine.to_string(),
            product.version.map(|version| version.to_string()).unwrap_or_else(|| "unknown".into()),
        ),
        None => ("unknown".into(), "unknown".into()),
    };
    let n_applied = report.count(|outcome| *outcome == Outcome::Applied);
    let data = vec![
        ("Engine", engine),
        ("Version", version),
        ("Applied", n_applied.to_string()),
        ("NotApplied", report.not_applied().join("; ")),
    ];
    Answer::Success { id: id_of(&config.settings.index_prefix), reason: report.summary(), data }
}

/// A revision that changed asks for new credentials, also in the place of those that a person made.
fn rotation(kind: &Kind, properties: &Map<String, Value>) -> Rotation {
    const REVISION: &str = "CredentialRevision";
    match kind {
        Kind::Update(old) if old.get(REVISION) != properties.get(REVISION) => Rotation::RevisionChanged,
        _ => Rotation::IfNeeded,
    }
}

async fn deleted(
    properties: &Map<String, Value>,
    id: Option<&str>,
    lookup: &Lookup,
    secrets: &dyn SecretStore,
    until: Instant,
) -> Answer {
    let id = id.unwrap_or_default().to_owned();
    let success = |reason: String| Answer::Success { id: id.clone(), reason, data: Vec::new() };
    if !was_created(Some(&id)) {
        return success("nothing was created under this id, so nothing is deleted".into());
    }
    let config = match Config::of_custom_resource(properties, &lookup) {
        Ok(config) => config,
        Err(error) => {
            let takes_data = properties.get("DeleteData").is_some_and(|value| {
                value == &Value::Bool(true)
                    || value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true"))
            });
            let reason = format!("nothing was deleted in the cluster: {error}");
            return if takes_data { Answer::Failure { reason } } else { success(reason) };
        }
    };
    if id != id_of(&config.settings.index_prefix) {
        return success(format!("{id} is not the id of these properties, so nothing is deleted"));
    }
    let request = Request { mode: Mode::Apply, rotation: Rotation::IfNeeded, until };
    let Done { report, .. } = delete(&config, secrets, request).await;
    log(&report);
    if report.failures.is_empty() {
        return success(report.summary());
    }
    let reason = report.failures.join("; ");
    // A stack can be deleted after its cluster, or after the administrator's secret.
    if report.given_up() && config.settings.delete_data == DeleteData::No {
        return success(format!("roles and credentials may be left in the cluster: {reason}"));
    }
    Answer::Failure { reason }
}

fn log(report: &Report) {
    for Line { what, outcome, note } in &report.lines {
        let reason = outcome.why().unwrap_or_default();
        info!(thing = what, outcome = outcome.word(), reason, note, "provisioned");
    }
    for failure in &report.failures {
        error!(reason = failure, "not provisioned");
    }
}
