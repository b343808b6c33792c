//! Replays on-failure records of event source mappings from a bucket, or counts what they hold, one object after the other.

use event_pipeline::event::{parse_partition_key, read_batch};
use event_pipeline::outcome::Outcome;
use event_pipeline::settings::Settings;
use indexing::indexer::IndexedBatch;
use serde_json::Value;
use tracing::{info, warn};

use crate::cluster::Cluster;
use crate::discarded_batch::{DiscardedBatch, ObjectError};
use crate::replayer::Replayer;
use crate::response::{Counts, DryRunResponse, NONE, ObjectCounts, Problem, ReplayResponse, Run, count_one};
use crate::s3::{ObjectStore, S3Error};
use crate::selection::{AfterIndexing, Keys, Objects};
use crate::time_budget::TimeBudget;
use crate::walk::{End, Step, Stopped, Walk, walk};

/// Replays the objects behind the key `after`.
///
/// # Errors
/// [`S3Error`] when the first object can't be read. What fails later is in the response.
pub(crate) async fn replay_objects<C: Cluster + 'static, S: ObjectStore>(
    replayer: &Replayer<C>,
    store: &S,
    objects: &Objects,
    after: Option<String>,
    budget: &mut TimeBudget,
) -> Result<Run<ReplayResponse>, S3Error> {
    let mut replay = ObjectReplay {
        replayer,
        store,
        objects,
        counts: ObjectCounts::default(),
        response: ReplayResponse::default(),
    };
    let Stopped { after, end } = walk(&mut replay, after, budget).await;
    let response = ReplayResponse { objects: Some(replay.counts), ..replay.response };
    Ok(Run { response: response.ended(end)?, after: after.map(Value::from) })
}

/// Counts what the objects behind the key `after` hold, and changes nothing.
///
/// # Errors
/// [`S3Error`] when an object can't be read.
pub(crate) async fn preview_objects<S: ObjectStore>(
    settings: &Settings,
    store: &S,
    objects: &Objects,
    after: Option<String>,
    budget: &mut TimeBudget,
) -> Result<Run<DryRunResponse>, S3Error> {
    let counts = ObjectCounts::default();
    let mut preview = ObjectPreview { settings, store, objects, counts, response: DryRunResponse::empty() };
    let Stopped { after, end } = walk(&mut preview, after, budget).await;
    let complete = match end {
        End::Complete => true,
        End::OutOfTime | End::Failed(_) => false,
        End::Unreadable(error) => return Err(error),
    };
    let response = DryRunResponse { complete, objects: Some(preview.counts), ..preview.response };
    Ok(Run { response, after: after.map(Value::from) })
}

struct ObjectReplay<'r, C, S> {
    replayer: &'r Replayer<C>,
    store: &'r S,
    objects: &'r Objects,
    counts: ObjectCounts,
    response: ReplayResponse,
}

/// The outcome of the records of an object.
enum ReplayedObject {
    /// All are indexed.
    Indexed,
    /// Some were refused. They are dead letters now, and the object stays.
    Refused,
    /// Some could not be written, for this reason.
    Failed(String),
}

impl<C: Cluster + 'static, S: ObjectStore> Walk for ObjectReplay<'_, C, S> {
    type Item = String;
    type Position = String;
    type Error = S3Error;

    async fn list(&mut self, after: Option<&String>) -> Result<Vec<String>, S3Error> {
        next_keys(self.store, self.objects, after).await
    }

    fn position(key: &String) -> String {
        key.clone()
    }

    async fn process(&mut self, keys: &[String], budget: &TimeBudget) -> Result<Step, S3Error> {
        let Some(key) = keys.first() else { return Ok(Step::Processed(0)) };
        let object = self.store.get(&self.objects.bucket, key).await?;
        self.counts.read += 1;
        match self.replay_object(key, &object, budget).await {
            Ok(ReplayedObject::Indexed) if self.objects.after_indexing == AfterIndexing::Delete => {
                self.store.delete(&self.objects.bucket, key).await?;
                self.counts.deleted += 1;
            }
            Ok(ReplayedObject::Indexed | ReplayedObject::Refused) => {}
            Ok(ReplayedObject::Failed(reason)) => return Ok(Step::Failed(reason)),
            Err(error) => {
                warn!(key, reason = %error, "object not replayed");
                self.counts.unreadable += 1;
                self.response.show(unreadable(key, &error));
            }
        }
        Ok(Step::Processed(1))
    }
}

impl<C: Cluster + 'static, S: ObjectStore> ObjectReplay<'_, C, S> {
    async fn replay_object(
        &mut self,
        key: &str,
        object: &[u8],
        budget: &TimeBudget,
    ) -> Result<ReplayedObject, ObjectError> {
        let DiscardedBatch { event, condition } = DiscardedBatch::parse(object)?;
        let batch = self.replayer.index(event.as_bytes(), budget.index_deadline()).await?;
        info!(
            key,
            condition,
            n_received = batch.counts.received,
            n_indexed = batch.counts.indexed,
            n_duplicates = batch.counts.duplicates,
            n_dropped = batch.counts.dropped,
            n_dead_lettered = batch.counts.dead_lettered,
            n_failed = batch.counts.failed,
            n_requests = batch.stats.requests,
            n_retries = batch.stats.retries,
            "object replayed"
        );
        Ok(self.take_outcomes(key, &batch))
    }

    fn take_outcomes(&mut self, key: &str, batch: &IndexedBatch<'_>) -> ReplayedObject {
        self.response.counts += Counts {
            read: batch.counts.received,
            indexed: batch.counts.indexed,
            duplicates: batch.counts.duplicates,
            dropped: batch.counts.dropped,
            refused: batch.counts.dead_lettered,
            failed: batch.counts.failed,
            ..Counts::default()
        };
        self.response.stats += batch.stats;
        let mut first_failure = None;
        for (item, outcome) in batch.items.iter().zip(&batch.outcomes) {
            match outcome {
                Outcome::Indexed | Outcome::Rescued(_) | Outcome::Duplicate | Outcome::Dropped => {}
                Outcome::DeadLettered(error) => {
                    let offset = item.offset.map_or_else(|| "none".to_owned(), |offset| offset.to_string());
                    let id = format!("{} offset {offset} in {key}", item.partition_key);
                    let problem = Problem::new(&id, error.kind.as_str(), &error.reason);
                    self.response.refuse(service(self.replayer.settings(), item.partition_key), problem);
                }
                Outcome::Failed(error) => {
                    first_failure.get_or_insert(error);
                }
            }
        }
        match first_failure {
            Some(error) => {
                ReplayedObject::Failed(format!("{} records of {key} failed: {error}", batch.counts.failed))
            }
            None if batch.counts.dead_lettered > 0 => ReplayedObject::Refused,
            None => ReplayedObject::Indexed,
        }
    }
}

struct ObjectPreview<'r, S> {
    settings: &'r Settings,
    store: &'r S,
    objects: &'r Objects,
    counts: ObjectCounts,
    response: DryRunResponse,
}

impl<S: ObjectStore> Walk for ObjectPreview<'_, S> {
    type Item = String;
    type Position = String;
    type Error = S3Error;

    async fn list(&mut self, after: Option<&String>) -> Result<Vec<String>, S3Error> {
        next_keys(self.store, self.objects, after).await
    }

    fn position(key: &String) -> String {
        key.clone()
    }

    async fn process(&mut self, keys: &[String], _budget: &TimeBudget) -> Result<Step, S3Error> {
        let Some(key) = keys.first() else { return Ok(Step::Processed(0)) };
        let object = self.store.get(&self.objects.bucket, key).await?;
        self.counts.read += 1;
        if let Err(error) = self.count_records(&object) {
            self.counts.unreadable += 1;
            self.response.show(unreadable(key, &error));
        }
        Ok(Step::Processed(1))
    }
}

impl<S> ObjectPreview<'_, S> {
    fn count_records(&mut self, object: &[u8]) -> Result<(), ObjectError> {
        let DiscardedBatch { event, condition } = DiscardedBatch::parse(object)?;
        for item in read_batch(event.as_bytes())? {
            self.response.matched += 1;
            let service = service(self.settings, item.partition_key);
            count_one(&mut self.response.by_service, service, &condition);
        }
        Ok(())
    }
}

/// Keys of the next objects behind `after`.
async fn next_keys(
    store: &impl ObjectStore,
    objects: &Objects,
    after: Option<&String>,
) -> Result<Vec<String>, S3Error> {
    match &objects.keys {
        Keys::One(key) if after.is_none() => Ok(vec![key.clone()]),
        Keys::One(_) => Ok(Vec::new()),
        Keys::Prefix(prefix) => store.list(&objects.bucket, prefix, after.map(String::as_str)).await,
    }
}

/// The service that the records under `partition_key` are from.
fn service<'k>(settings: &Settings, partition_key: &'k str) -> &'k str {
    let Some((topic, _)) = parse_partition_key(partition_key) else { return NONE };
    topic.strip_suffix(settings.topic_suffix.as_str()).unwrap_or(topic)
}

fn unreadable(key: &str, error: &ObjectError) -> Problem {
    Problem::new(key, "not_an_on_failure_record", &error.to_string())
}
