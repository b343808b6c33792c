//! Handles an invocation: reads what is asked for, replays it or shows it, and answers.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use event_pipeline::settings::DocumentId;
use indexing::config::Config;
use lambda_runtime::Diagnostic;
use lambda_support::deadline::work_until;
use search_client::backoff::Backoff;
use serde::Serialize;
use thiserror::Error;
use tracing::info;

use crate::answer::{Answer, Preview};
use crate::cluster::{Cluster, ReadError};
use crate::metrics;
use crate::pace::Pace;
use crate::replay::Replayer;
use crate::request::{Mode, Request, RequestError, Source};
use crate::s3::{ObjectStore, S3Error};

/// Says why an invocation did nothing.
#[derive(Debug, Error)]
pub enum InvocationError {
    /// The event is not valid.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Documents without ids of their own can't be told apart.
    #[error(
        "DOCUMENT_ID is `auto`: a record that is replayed twice would be two documents; set it to `deterministic` for \
         this function, and write to indices that take ids"
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

/// What an invocation answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// What was done.
    Answer(Answer),
    /// What would be done.
    Preview(Preview),
}

/// Handles invocations. Make one and keep it.
pub struct Handler<C, S> {
    replayer: Replayer<C>,
    store: S,
    function_name: String,
}

impl<C: Cluster + 'static, S: ObjectStore> Handler<C, S> {
    /// Makes a handler that reads and writes `cluster`, and reads objects from `store`.
    pub fn new(cluster: C, store: S, config: Config, function_name: String) -> Self {
        let replayer = Replayer::new(Arc::new(cluster), config, Backoff::default());
        Self { replayer, store, function_name }
    }

    /// Handles one invocation, whose Lambda deadline is `deadline_ms` since the epoch.
    ///
    /// # Errors
    /// [`InvocationError`] when nothing was done.
    pub async fn handle(&self, payload: &[u8], deadline_ms: u64) -> Result<Reply, InvocationError> {
        let mut pace = Pace::begin(work_until(deadline_ms, SystemTime::now()));
        let request = Request::parse(payload)?;
        if self.replayer.settings().document_id == DocumentId::Auto {
            return Err(InvocationError::NoIds);
        }
        let going_on = |after: Option<_>| request.going_on_after(after.or_else(|| request.after()));
        match (&request.source, request.mode) {
            (Source::DeadLetters { filter, after }, Mode::Replay) => {
                let answer = self.replayer.replay(filter, after.clone(), going_on, &mut pace).await?;
                Ok(self.told(answer))
            }
            (Source::DeadLetters { filter, .. }, Mode::DryRun) => {
                Ok(Reply::Preview(self.replayer.preview(filter, &pace).await?))
            }
            (Source::Objects { objects, after }, Mode::Replay) => {
                let replayed =
                    self.replayer.replay_objects(&self.store, objects, after.clone(), going_on, &mut pace);
                Ok(self.told(replayed.await?))
            }
            (Source::Objects { objects, after }, Mode::DryRun) => {
                let previewed =
                    self.replayer.preview_objects(&self.store, objects, after.clone(), going_on, &mut pace);
                Ok(Reply::Preview(previewed.await?))
            }
        }
    }

    fn told(&self, answer: Answer) -> Reply {
        let counts = answer.counts;
        info!(
            complete = answer.complete,
            stopped = answer.stopped,
            n_read = counts.read,
            n_indexed = counts.indexed,
            n_duplicates = counts.duplicates,
            n_refused = counts.refused,
            n_failed = counts.failed,
            n_removed = counts.removed,
            "replay ended"
        );
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        // Standard output is the way metrics are recorded; if it is closed there is nobody to tell.
        let _ = writeln!(std::io::stdout().lock(), "{}", metrics::line(&answer, now_ms, &self.function_name));
        Reply::Answer(answer)
    }
}
