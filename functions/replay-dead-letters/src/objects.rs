//! Replays on-failure records of event source mappings from a bucket, one object after the other.

use event_pipeline::event::{EventError, parse_partition_key, read_batch};
use event_pipeline::outcome::Outcome;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;
use tracing::{info, warn};

use crate::answer::{Answer, Counts, MAX_NAMED, ObjectCounts, Preview, Problem, count_one, shortened};
use crate::cluster::Cluster;
use crate::pace::Pace;
use crate::query::NONE;
use crate::replay::Replayer;
use crate::request::{Afterwards, Keys, Objects};
use crate::s3::{ObjectStore, S3Error};

/// Says why an object holds no batch.
#[derive(Debug, Error)]
pub enum ObjectFault {
    /// It is not what an event source mapping writes.
    #[error("it is not an on-failure record of an event source mapping: {0}")]
    Form(#[from] serde_json::Error),
    /// It was made for another kind of destination.
    #[error(
        "it has no `payload`: only mappings with an S3 destination keep the batch; read the records of \
         `KafkaBatchInfo` from Kafka again"
    )]
    NoPayload,
    /// The batch is not one of Kafka records.
    #[error("its `payload` is not a batch of Kafka records: {0}")]
    Batch(#[from] EventError),
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html>
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OnFailureRecord<'a> {
    request_context: Option<RequestContext>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RequestContext {
    condition: Option<String>,
}

/// A batch that a mapping gave up, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// The event that the function was invoked with.
    pub event: String,
    /// `RetryAttemptsExhausted`, `RecordAgeExceeded` …
    pub condition: String,
}

impl GivenUp {
    /// Reads an object. The event in `payload` is text, or the JSON itself.
    ///
    /// # Errors
    /// [`ObjectFault`] when it holds no event.
    pub fn parse(object: &[u8]) -> Result<Self, ObjectFault> {
        let record: OnFailureRecord<'_> = serde_json::from_slice(object)?;
        let payload = record.payload.ok_or(ObjectFault::NoPayload)?.get();
        let event =
            if payload.starts_with('"') { serde_json::from_str(payload)? } else { payload.to_owned() };
        let condition = record.request_context.and_then(|context| context.condition);
        Ok(Self { event, condition: condition.unwrap_or_else(|| NONE.to_owned()) })
    }
}

enum Ended {
    Complete,
    OutOfTime,
    Failed(String),
}

impl<C: Cluster + 'static> Replayer<C> {
    /// Replays the objects behind `after`; `going_on` makes the event that goes on.
    ///
    /// # Errors
    /// [`S3Error`] when the first can't be read. What fails later is told by the answer.
    pub(crate) async fn replay_objects(
        &self,
        store: &impl ObjectStore,
        objects: &Objects,
        mut after: Option<String>,
        going_on: impl Fn(Option<Value>) -> Value,
        pace: &mut Pace,
    ) -> Result<Answer, S3Error> {
        let mut answer = Answer { objects: Some(ObjectCounts::default()), ..Answer::default() };
        let mut counts = ObjectCounts::default();
        match self.replay_keys(store, objects, &mut after, (&mut answer, &mut counts), pace).await {
            Ok(Ended::Complete) => answer.complete = true,
            Ok(Ended::OutOfTime) => answer.stopped = Some("the invocation's time is over".into()),
            Ok(Ended::Failed(reason)) => answer.stopped = Some(reason),
            Err(error) if counts == ObjectCounts::default() => return Err(error),
            Err(error) => answer.stopped = Some(error.to_string()),
        }
        answer.objects = Some(counts);
        if !answer.complete {
            answer.next = Some(going_on(after.map(Value::String)));
        }
        Ok(answer)
    }

    async fn replay_keys(
        &self,
        store: &impl ObjectStore,
        objects: &Objects,
        after: &mut Option<String>,
        (answer, counts): (&mut Answer, &mut ObjectCounts),
        pace: &mut Pace,
    ) -> Result<Ended, S3Error> {
        loop {
            let keys = next_keys(store, objects, after.as_deref()).await?;
            if keys.is_empty() {
                return Ok(Ended::Complete);
            }
            for key in keys {
                if !pace.begin_page() {
                    return Ok(Ended::OutOfTime);
                }
                let object = store.get(&objects.bucket, &key).await?;
                match GivenUp::parse(&object) {
                    Ok(given_up) => {
                        counts.read += 1;
                        let replayed = self.replay_object(&key, &given_up, answer, pace).await;
                        pace.end_page();
                        match replayed {
                            Ok(IsWhole::Yes) if objects.afterwards == Afterwards::Delete => {
                                store.delete(&objects.bucket, &key).await?;
                                counts.deleted += 1;
                            }
                            Ok(_) => {}
                            Err(Stop::Failed(reason)) => return Ok(Ended::Failed(reason)),
                            Err(Stop::Object(fault)) => note_unreadable(answer, counts, &key, &fault),
                        }
                    }
                    Err(fault) => {
                        counts.read += 1;
                        note_unreadable(answer, counts, &key, &fault);
                    }
                }
                *after = Some(key);
            }
            if matches!(objects.keys, Keys::One(_)) {
                return Ok(Ended::Complete);
            }
        }
    }

    async fn replay_object(
        &self,
        key: &str,
        given_up: &GivenUp,
        answer: &mut Answer,
        pace: &Pace,
    ) -> Result<IsWhole, Stop> {
        let batch =
            self.index(given_up.event.as_bytes(), pace).await.map_err(|error| Stop::Object(error.into()))?;
        let counted = Counts {
            read: batch.counts.received,
            indexed: batch.counts.indexed,
            duplicates: batch.counts.duplicates,
            refused: batch.counts.dead_lettered,
            failed: batch.counts.failed,
            ..Counts::default()
        };
        answer.counts += counted;
        answer.stats += batch.stats;
        let mut failure = None;
        for (entry, outcome) in batch.items.iter().zip(&batch.outcomes) {
            match outcome {
                Outcome::Indexed | Outcome::Duplicate => {}
                Outcome::DeadLettered(fault) => {
                    count_one(
                        &mut answer.refused_by_service,
                        &self.service(parse_partition_key(entry.partition_key)),
                        fault.kind.as_str(),
                    );
                    if answer.problems.len() < MAX_NAMED {
                        let offset =
                            entry.offset.map_or_else(|| "none".to_owned(), |offset| offset.to_string());
                        let id = format!("{} offset {offset} in {key}", entry.partition_key);
                        let reason = shortened(&fault.reason);
                        answer.problems.push(Problem { id, kind: fault.kind.to_string(), reason });
                    }
                }
                Outcome::Failed(reason) => {
                    failure.get_or_insert(reason);
                }
            }
        }
        info!(
            key,
            condition = given_up.condition,
            n_received = counted.read,
            n_indexed = counted.indexed,
            n_duplicates = counted.duplicates,
            n_dead_lettered = counted.refused,
            n_failed = counted.failed,
            n_requests = batch.stats.requests,
            n_retries = batch.stats.retries,
            "object replayed"
        );
        match failure {
            Some(failure) => {
                Err(Stop::Failed(format!("{} records of {key} failed: {failure}", counted.failed)))
            }
            None if counted.refused > 0 => Ok(IsWhole::No),
            None => Ok(IsWhole::Yes),
        }
    }

    fn service(&self, place: Option<(&str, i64)>) -> String {
        let Some((topic, _)) = place else { return NONE.to_owned() };
        topic.strip_suffix(self.settings().topic_suffix.as_str()).unwrap_or(topic).to_owned()
    }

    /// Counts what the objects hold, and changes nothing.
    ///
    /// # Errors
    /// [`S3Error`] when an object can't be read.
    pub(crate) async fn preview_objects(
        &self,
        store: &impl ObjectStore,
        objects: &Objects,
        mut after: Option<String>,
        going_on: impl Fn(Option<Value>) -> Value,
        pace: &mut Pace,
    ) -> Result<Preview, S3Error> {
        let mut preview = Preview { dry_run: true, ..Preview::default() };
        let mut counts = ObjectCounts::default();
        'keys: loop {
            let keys = next_keys(store, objects, after.as_deref()).await?;
            preview.complete = keys.is_empty();
            if preview.complete {
                break;
            }
            for key in keys {
                if !pace.begin_page() {
                    break 'keys;
                }
                counts.read += 1;
                if let Err(fault) =
                    self.preview_object(&store.get(&objects.bucket, &key).await?, &mut preview)
                {
                    counts.unreadable += 1;
                    if preview.problems.len() < MAX_NAMED {
                        preview.problems.push(unreadable(&key, &fault));
                    }
                }
                pace.end_page();
                after = Some(key);
            }
            if matches!(objects.keys, Keys::One(_)) {
                preview.complete = true;
                break;
            }
        }
        preview.objects = Some(counts);
        if !preview.complete {
            preview.next = Some(going_on(after.map(Value::String)));
        }
        Ok(preview)
    }

    fn preview_object(&self, object: &[u8], preview: &mut Preview) -> Result<(), ObjectFault> {
        let given_up = GivenUp::parse(object)?;
        for entry in read_batch(given_up.event.as_bytes())? {
            preview.matched += 1;
            let service = self.service(parse_partition_key(entry.partition_key));
            count_one(&mut preview.by_service, &service, &given_up.condition);
        }
        Ok(())
    }
}

/// Whether every record of an object is indexed.
enum IsWhole {
    Yes,
    /// Some were refused; they are dead letters now, and the object stays.
    No,
}

enum Stop {
    Failed(String),
    Object(ObjectFault),
}

async fn next_keys(
    store: &impl ObjectStore,
    objects: &Objects,
    after: Option<&str>,
) -> Result<Vec<String>, S3Error> {
    match &objects.keys {
        Keys::One(key) if after.is_none() => Ok(vec![key.clone()]),
        Keys::One(_) => Ok(Vec::new()),
        Keys::Prefix(prefix) => store.list(&objects.bucket, prefix, after).await,
    }
}

fn note_unreadable(answer: &mut Answer, counts: &mut ObjectCounts, key: &str, fault: &ObjectFault) {
    warn!(key, reason = %fault, "object not replayed");
    counts.unreadable += 1;
    if answer.problems.len() < MAX_NAMED {
        answer.problems.push(unreadable(key, fault));
    }
}

fn unreadable(key: &str, fault: &ObjectFault) -> Problem {
    Problem { id: key.to_owned(), kind: "not_an_on_failure_record".into(), reason: fault.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"records":{"t-0":[{"offset":1,"value":"e30="}]}}"#;

    #[test]
    fn the_event_is_text_or_the_json_itself() {
        let text =
            serde_json::json!({"requestContext": {"condition": "RetryAttemptsExhausted"}, "payload": EVENT});
        let json =
            format!(r#"{{"requestContext":{{"condition":"RetryAttemptsExhausted"}},"payload":{EVENT}}}"#);
        for object in [text.to_string(), json] {
            let given_up = GivenUp::parse(object.as_bytes()).unwrap();
            assert_eq!(given_up, GivenUp { event: EVENT.into(), condition: "RetryAttemptsExhausted".into() });
        }
    }

    #[test]
    fn what_holds_no_batch_says_what_to_do() {
        let refused = |object: &str| GivenUp::parse(object.as_bytes()).unwrap_err().to_string();
        assert!(refused(r#"{"requestContext":{},"KafkaBatchInfo":{}}"#).contains("from Kafka again"));
        assert!(refused("<html>").contains("not an on-failure record"));
    }
}
