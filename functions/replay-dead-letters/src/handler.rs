//! Handles an invocation: replays what its event requests, or shows what a replay would do.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use event_pipeline::settings::DocumentId;
use indexing::config::Config;
use lambda_runtime::Diagnostic;
use lambda_support::deadline::work_until;
use thiserror::Error;
use tracing::info;

use crate::cluster::Cluster;
use crate::dead_letter_preview::preview_dead_letters;
use crate::dead_letter_walk::replay_dead_letters;
use crate::metrics;
use crate::object_walk::{preview_objects, replay_objects};
use crate::reader::ReadError;
use crate::replayer::Replayer;
use crate::request::{Mode, Request, RequestError, Source};
use crate::response::{DryRunResponse, ReplayResponse, Response, Run};
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

    /// Handles one invocation, whose Lambda deadline is `deadline_ms` since the epoch.
    ///
    /// # Errors
    /// [`InvocationError`] when nothing was done.
    pub async fn handle(&self, payload: &[u8], deadline_ms: u64) -> Result<Response, InvocationError> {
        let mut budget = TimeBudget::until(work_until(deadline_ms, SystemTime::now()));
        let request = Request::parse(payload)?;
        if self.replayer.settings().document_id == DocumentId::Auto {
            return Err(InvocationError::NoIds);
        }
        match request.mode {
            Mode::Replay => {
                let Run { mut response, after } = self.replay(&request.source, &mut budget).await?;
                response.next = (!response.complete).then(|| request.next_event(after));
                self.report(&response);
                Ok(Response::Replay(response))
            }
            Mode::DryRun => {
                let Run { mut response, after } = self.preview(&request.source, &mut budget).await?;
                response.next = (!response.complete).then(|| request.next_event(after));
                Ok(Response::DryRun(response))
            }
        }
    }

    async fn replay(
        &self,
        source: &Source,
        budget: &mut TimeBudget,
    ) -> Result<Run<ReplayResponse>, InvocationError> {
        let Self { replayer, store, .. } = self;
        match source {
            Source::DeadLetters { filter, after } => {
                Ok(replay_dead_letters(replayer, filter, after.clone(), budget).await?)
            }
            Source::Objects { objects, after } => {
                Ok(replay_objects(replayer, store, objects, after.clone(), budget).await?)
            }
        }
    }

    async fn preview(
        &self,
        source: &Source,
        budget: &mut TimeBudget,
    ) -> Result<Run<DryRunResponse>, InvocationError> {
        match source {
            Source::DeadLetters { filter, .. } => {
                let response = preview_dead_letters(&self.replayer, filter, budget).await?;
                Ok(Run { response, after: None })
            }
            Source::Objects { objects, after } => {
                let settings = self.replayer.settings();
                Ok(preview_objects(settings, &self.store, objects, after.clone(), budget).await?)
            }
        }
    }

    /// Logs and measures a replay.
    fn report(&self, response: &ReplayResponse) {
        let counts = response.counts;
        info!(
            complete = response.complete,
            stopped = response.stopped,
            n_read = counts.read,
            n_indexed = counts.indexed,
            n_duplicates = counts.duplicates,
            n_refused = counts.refused,
            n_failed = counts.failed,
            n_removed = counts.removed,
            "replay ended"
        );
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        // Metrics go to standard output. If it is closed, there is nowhere left to report that.
        let _ =
            writeln!(std::io::stdout().lock(), "{}", metrics::line(response, now_ms, &self.function_name));
    }
}
