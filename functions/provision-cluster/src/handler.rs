//! Handles an invocation: does what CloudFormation requests, and always sends a response.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lambda_runtime::Diagnostic;
use lambda_support::secrets::SecretStore;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use search_client::backoff::Backoff;
use search_client::client::install_tls;
use search_client::retry::{Attempt, AttemptTimeout, Attempted, LastWait, RetryPolicy, SendErrors, Statuses};
use serde_json::{Map, Value};
use thiserror::Error;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::custom_resource::{
    NotARequest, RequestType, ResourceRequest, ResourceResponse, ResponseTarget, physical_id, was_created,
};
use crate::provision::{RunOutcome, apply, delete};
use crate::report::{Outcome, Report, ReportLine};
use crate::run::{Mode, Rotation, RunOptions};
use crate::settings::DeleteData;

/// Reserved at the end of an invocation for the response.
const RESPONSE_TIME: Duration = Duration::from_secs(5);
/// Reserved at the end of the work for its report.
const REPORT_TIME: Duration = Duration::from_secs(1);
/// Reserved at the end of an invocation, after sending the response.
const MARGIN: Duration = Duration::from_millis(500);
/// Retries of the response: after everything but success, because CloudFormation waits for an hour without it.
const RESPONSE_RETRIES: RetryPolicy = RetryPolicy {
    statuses: Statuses(&[0..=199, 300..=u16::MAX]),
    send_errors: SendErrors::All,
    max_attempts: u32::MAX,
    max_total: Duration::MAX,
    attempt_timeout: AttemptTimeout { divisor: 1, min: Duration::ZERO, max: Duration::from_secs(10) },
    backoff: Backoff::DEFAULT,
    last_wait: LastWait::GiveUp,
};

/// Why an invocation failed. Lambda then retries it, which does no harm.
#[derive(Debug, Error)]
pub enum InvocationError {
    /// No response is expected.
    #[error(transparent)]
    NotARequest(#[from] NotARequest),
    /// CloudFormation did not get its response, and waits for an hour.
    #[error("the response could not be sent to CloudFormation: {0}")]
    ResponseNotSent(String),
}

impl From<InvocationError> for Diagnostic {
    fn from(error: InvocationError) -> Self {
        let error_type = match error {
            InvocationError::NotARequest(_) => "NotARequest",
            InvocationError::ResponseNotSent(_) => "ResponseNotSent",
        };
        Self { error_type: error_type.into(), error_message: error.to_string() }
    }
}

/// Returns the text of an environment variable.
pub type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Handles invocations. Make one and keep it.
pub struct Handler {
    lookup: Arc<Lookup>,
    secrets: Arc<dyn SecretStore>,
    http: reqwest::Client,
}

impl Handler {
    /// Makes a handler. It reads its environment by `lookup` in each invocation, and reports problems to CloudFormation.
    ///
    /// # Errors
    /// When the HTTP client can't be made.
    pub fn new(lookup: Arc<Lookup>, secrets: Arc<dyn SecretStore>) -> Result<Self, reqwest::Error> {
        install_tls();
        let http = reqwest::Client::builder()
            .user_agent(concat!("kafka-to-search/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(5))
            .build()?;
        Ok(Self { lookup, secrets, http })
    }

    /// Handles one invocation, whose Lambda deadline is `deadline_ms` since the epoch.
    ///
    /// # Errors
    /// [`InvocationError`] when CloudFormation got no response.
    pub async fn handle(&self, payload: &[u8], deadline_ms: u64) -> Result<(), InvocationError> {
        let left = (UNIX_EPOCH + Duration::from_millis(deadline_ms))
            .duration_since(SystemTime::now())
            .unwrap_or_default();
        let (begin, deadline) = (Instant::now(), Instant::now() + left);
        // At least half of it: with little time, a response in time is worth more than another attempt.
        let work_deadline = begin + left.saturating_sub(RESPONSE_TIME).max(left / 2);
        let response_deadline = deadline - MARGIN.min(left / 4);
        match ResourceRequest::parse(payload) {
            Ok(request) => {
                let response = self.respond_to(&request, work_deadline).await;
                self.send(&response, &request.request_type, &request.target, response_deadline).await
            }
            Err(mut error) => match error.target.take() {
                None => Err(error.into()),
                // The type of the request is unknown. With `Delete` the resource keeps its id.
                Some(target) => {
                    let response = ResourceResponse::Failure { reason: error.to_string() };
                    self.send(&response, &RequestType::Delete, &target, response_deadline).await
                }
            },
        }
    }

    /// Executes a request. It runs in a task of its own, so that there is a response even if it panics.
    async fn respond_to(&self, request: &ResourceRequest, deadline: Instant) -> ResourceResponse {
        let (lookup, secrets) = (Arc::clone(&self.lookup), Arc::clone(&self.secrets));
        // Requests to the cluster end earlier, because their errors name the request.
        let left = deadline.saturating_duration_since(Instant::now());
        let cluster_deadline = deadline - REPORT_TIME.min(left / 10);
        let (request_type, properties) = (request.request_type.clone(), request.properties.clone());
        let id = request.target.physical_resource_id.clone();
        let mut work = tokio::spawn(async move {
            match request_type {
                RequestType::Delete => {
                    handle_delete(&properties, id.as_deref(), &*lookup, &secrets, cluster_deadline).await
                }
                _ => handle_apply(&request_type, &properties, &*lookup, &secrets, cluster_deadline).await,
            }
        });
        match tokio::time::timeout_at(deadline, &mut work).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                error!(error = %error, "provisioning panicked");
                let reason = "provisioning stopped by a bug of its own; the function's log has it".into();
                ResourceResponse::Failure { reason }
            }
            Err(_) => {
                work.abort();
                let reason = "the cluster was not ready before the function's timeout; give the function more time, and \
                              update the stack again: what is already done stays";
                ResourceResponse::Failure { reason: reason.into() }
            }
        }
    }

    /// Puts the response to its URL, with retries until CloudFormation has it.
    async fn send(
        &self,
        response: &ResourceResponse,
        request_type: &RequestType,
        target: &ResponseTarget,
        deadline: Instant,
    ) -> Result<(), InvocationError> {
        match response {
            ResourceResponse::Success { reason, .. } => {
                info!(reason, "responding to CloudFormation: success")
            }
            ResourceResponse::Failure { reason } => error!(reason, "responding to CloudFormation: failure"),
        }
        let body = response.body(request_type, target);
        let attempt = async |attempt: Attempt| {
            // The URL is signed for an empty content type.
            let put = self.http.put(&target.response_url).header(CONTENT_TYPE, HeaderValue::from_static(""));
            let sent = put.body(body.clone()).timeout(attempt.timeout).send().await;
            // The URL stays out of logs: whoever has it can respond.
            let reason = match sent.map_err(reqwest::Error::without_url) {
                Ok(response) if !RESPONSE_RETRIES.retries_status(response.status().as_u16()) => {
                    return Attempted::Done(());
                }
                Ok(response) => format!("its URL returned {}", response.status()),
                Err(error) => error.to_string(),
            };
            warn!(reason, "response not sent to CloudFormation");
            Attempted::Retry(InvocationError::ResponseNotSent(reason))
        };
        RESPONSE_RETRIES.run(deadline, attempt, |_, _| {}).await
    }
}

/// Executes a create or an update.
async fn handle_apply(
    request_type: &RequestType,
    properties: &Map<String, Value>,
    lookup: &Lookup,
    secrets: &Arc<dyn SecretStore>,
    deadline: Instant,
) -> ResourceResponse {
    let config = match Config::of_custom_resource(properties, &lookup) {
        Ok(config) => config,
        Err(error) => return ResourceResponse::Failure { reason: error.to_string() },
    };
    let options = RunOptions { mode: Mode::Apply, rotation: rotation(request_type, properties), deadline };
    let RunOutcome { product, report } = apply(&config, secrets, options).await;
    log(&report);
    if !report.failures.is_empty() {
        return ResourceResponse::Failure { reason: report.failures.join("; ") };
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
    ResourceResponse::Success {
        id: physical_id(&config.settings.index_prefix),
        reason: report.summary(),
        data,
    }
}

/// Returns the rotation of a request. A changed revision replaces the credentials that a person created as well.
fn rotation(request_type: &RequestType, properties: &Map<String, Value>) -> Rotation {
    const REVISION: &str = "CredentialRevision";
    match request_type {
        RequestType::Update(old) if old.get(REVISION) != properties.get(REVISION) => {
            Rotation::RevisionChanged
        }
        _ => Rotation::IfNeeded,
    }
}

/// Executes a delete.
async fn handle_delete(
    properties: &Map<String, Value>,
    id: Option<&str>,
    lookup: &Lookup,
    secrets: &Arc<dyn SecretStore>,
    deadline: Instant,
) -> ResourceResponse {
    let id = id.unwrap_or_default().to_owned();
    let success = |reason: String| ResourceResponse::Success { id: id.clone(), reason, data: Vec::new() };
    if !was_created(Some(&id)) {
        return success("nothing was created under this id, so nothing is deleted".into());
    }
    let config = match Config::of_custom_resource(properties, &lookup) {
        Ok(config) => config,
        Err(error) => {
            let deletes_data = properties.get("DeleteData").is_some_and(|value| {
                value == &Value::Bool(true)
                    || value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true"))
            });
            let reason = format!("nothing was deleted in the cluster: {error}");
            return if deletes_data { ResourceResponse::Failure { reason } } else { success(reason) };
        }
    };
    if id != physical_id(&config.settings.index_prefix) {
        return success(format!("{id} is not the id of these properties, so nothing is deleted"));
    }
    let options = RunOptions { mode: Mode::Apply, rotation: Rotation::IfNeeded, deadline };
    let RunOutcome { report, .. } = delete(&config, secrets, options).await;
    log(&report);
    if report.failures.is_empty() {
        return success(report.summary());
    }
    let reason = report.failures.join("; ");
    // A stack must be deletable after its cluster, or after the administrator's secret.
    if report.given_up() && config.settings.delete_data == DeleteData::No {
        return success(format!("roles and credentials may remain in the cluster: {reason}"));
    }
    ResourceResponse::Failure { reason }
}

/// Logs one line for each thing.
fn log(report: &Report) {
    for ReportLine { what, outcome, note } in &report.lines {
        let reason = outcome.reason().unwrap_or_default();
        info!(thing = what, outcome = outcome.word(), reason, note, "provisioned");
    }
    for failure in &report.failures {
        error!(reason = failure, "not provisioned");
    }
}
