//! Handles an invocation: replays what its event requests, or shows what a replay would do.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use event_pipeline::settings::DocumentId;
use indexing::config::Config;
use lambda_runtime::Diagnostic;
use lambda_support::deadline::work_until;
use schema_registry::registry::Registry;
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;
use tracing::info;

use crate::cluster::Cluster;
use crate::conflict_fix::fix_conflicts;
use crate::conflict_list::list_conflicts;
use crate::conflict_response::{ConflictList, FixResponse};
use crate::dead_letter_preview::preview_dead_letters;
use crate::dead_letter_walk::replay_dead_letters;
use crate::metrics;
use crate::object_walk::{preview_objects, replay_objects};
use crate::reader::ReadError;
use crate::replayer::Replayer;
use crate::request::{Mode, Request, Source};
use crate::request_error::RequestError;
use crate::response::{DryRunResponse, ReplayResponse, Run};
use crate::s3::{ObjectStore, S3Error};
use crate::time_budget::TimeBudget;

/// Why an invocation did nothing.
#[derive(Debug, Error)]
pub enum InvocationError {
    /// The event is not valid.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Documents without ids of their own would be written twice.
    #[error(
        "DOCUMENT_ID is `auto`: a record that is replayed twice would become two documents; set it to `deterministic` \
         for this function, and write to indices that accept ids"
    )]
    NoIds,
    /// The dead letters can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The objects can't be read.
    #[error(transparent)]
    S3(#[from] S3Error),
}

impl From<InvocationError> for Diagnostic {
    fn from(error: InvocationError) -> Self {
        let error_type = match error {
            InvocationError::Request(_) => "BadRequest",
            InvocationError::NoIds => "NoDocumentIds",
            InvocationError::Read(_) => "DeadLettersUnreadable",
            InvocationError::S3(_) => "ObjectsUnreadable",
        };
        Self { error_type: error_type.into(), error_message: error.to_string() }
    }
}

/// What an invocation returns.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Response {
    /// Of a replay.
    Replay(ReplayResponse),
    /// Of a dry run.
    DryRun(DryRunResponse),
    /// Of a list of conflicts.
    Conflicts(ConflictList),
    /// Of conflicts that were fixed.
    Fix(FixResponse),
}

/// Handles invocations. Create one and keep it.
pub struct Handler<C, S> {
    replayer: Replayer<C>,
    store: S,
    function_name: String,
}

impl<C: Cluster + 'static, S: ObjectStore> Handler<C, S> {
    /// Creates a handler that replays into `cluster`, and reads objects from `store`.
    pub fn new(cluster: C, store: S, config: Config, function_name: String) -> Self {
        Self { replayer: Replayer::new(cluster, config), store, function_name }
    }

    /// The same handler with the registry that has the schemas of the records; `None` is no registry.
    #[must_use]
    pub fn with_registry(self, registry: Option<Arc<Registry>>) -> Self {
        Self { replayer: self.replayer.with_registry(registry), ..self }
    }

    /// Handles one invocation, whose Lambda deadline is `deadline_ms` since the epoch.
    ///
    /// # Errors
    /// [`InvocationError`] when nothing was done.
    pub async fn handle(&self, payload: &[u8], deadline_ms: u64) -> Result<Response, InvocationError> {
        let mut budget = TimeBudget::until(work_until(deadline_ms, SystemTime::now()));
        let request = Request::parse(payload)?;
        let is_conflicts = matches!(request.source, Source::Conflicts { .. });
        if self.replayer.settings().document_id == DocumentId::Auto && !is_conflicts {
            return Err(InvocationError::NoIds);
        }
        let Run { mut response, after } = match request.mode {
            Mode::Replay => self.replay(&request.source, &mut budget).await?,
            Mode::DryRun => self.preview(&request.source, &mut budget).await?,
        };
        response.continue_with(|| request.next_event(after));
        self.report(&response);
        Ok(response)
    }

    async fn replay(
        &self,
        source: &Source,
        budget: &mut TimeBudget,
    ) -> Result<Run<Response>, InvocationError> {
        let Self { replayer, store, .. } = self;
        Ok(match source {
            Source::DeadLetters { filter, after } => {
                replay_dead_letters(replayer, filter, after.clone(), budget).await?.map(Response::Replay)
            }
            Source::Objects { objects, after } => {
                replay_objects(replayer, store, objects, after.clone(), budget).await?.map(Response::Replay)
            }
            Source::Conflicts { filter, after } => {
                fix_conflicts(replayer, filter, after.clone(), budget).await?.map(Response::Fix)
            }
        })
    }

    async fn preview(
        &self,
        source: &Source,
        budget: &mut TimeBudget,
    ) -> Result<Run<Response>, InvocationError> {
        let Self { replayer, store, .. } = self;
        Ok(match source {
            Source::DeadLetters { filter, .. } => {
                let response = preview_dead_letters(replayer, filter, budget).await?;
                Run { response: Response::DryRun(response), after: None }
            }
            Source::Objects { objects, after } => {
                let settings = replayer.settings();
                preview_objects(settings, store, objects, after.clone(), budget).await?.map(Response::DryRun)
            }
            Source::Conflicts { filter, after } => {
                list_conflicts(replayer, filter, after.clone(), budget).await?.map(Response::Conflicts)
            }
        })
    }

    /// Logs and measures what was changed.
    fn report(&self, response: &Response) {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let line = match response {
            Response::Replay(response) => {
                log_replay(response);
                metrics::line(response, now_ms, &self.function_name)
            }
            Response::Fix(response) => {
                log_fix(response);
                metrics::fix_line(response, now_ms, &self.function_name)
            }
            Response::DryRun(_) | Response::Conflicts(_) => return,
        };
        // Metrics go to standard output. If it is closed, there is nowhere left to report that.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}

impl Response {
    /// Sets the event to continue with, if the response is not complete.
    fn continue_with(&mut self, next: impl FnOnce() -> Value) {
        let (complete, slot) = match self {
            Self::Replay(response) => (response.complete, &mut response.next),
            Self::DryRun(response) => (response.complete, &mut response.next),
            Self::Conflicts(response) => (response.complete, &mut response.next),
            Self::Fix(response) => (response.complete, &mut response.next),
        };
        *slot = (!complete).then(next);
    }
}

fn log_replay(response: &ReplayResponse) {
    let counts = response.counts;
    info!(
        complete = response.complete,
        stopped = response.stopped,
        n_read = counts.read,
        n_indexed = counts.indexed,
        n_duplicates = counts.duplicates,
        n_dropped = counts.dropped,
        n_refused = counts.refused,
        n_failed = counts.failed,
        n_removed = counts.removed,
        "replay ended"
    );
}

fn log_fix(response: &FixResponse) {
    let counts = response.counts;
    info!(
        complete = response.complete,
        stopped = response.stopped,
        n_read = counts.read,
        n_fixed = counts.fixed,
        n_fixed_before = counts.fixed_before,
        n_changed = counts.changed,
        n_still_rejected = counts.still_rejected,
        n_failed = counts.failed,
        "conflicts fixed"
    );
}
