//! Decides how a batch is delivered: which records go into the next invocation, what its outcome means for each of them,
//! and when they are discarded. Pure: the invocation and the clock are its caller's.
//!
//! The rules are those of <https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html>.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::event::EventShape;
use crate::mapping::{RetryPolicy, SplitOnError};
use crate::record::{Assignment, PartitionRecords, Rejection, n_records};

/// The delay before the first retry. It doubles with each further one.
const FIRST_DELAY: Duration = Duration::from_millis(200);
/// The longest delay between two attempts.
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// A batch that is being delivered.
#[derive(Debug)]
pub struct Delivery {
    policy: RetryPolicy,
    payload_limit: usize,
    /// The parts of the batch that are not done, in order. More than one only after a split.
    sub_batches: VecDeque<SubBatch>,
    /// Records that are being discarded, until the destination has them.
    discarding: Option<Discarding>,
    /// Invocations in a row without progress, for the delay.
    n_fruitless: u32,
}

#[derive(Debug)]
struct SubBatch {
    parts: Vec<PartitionRecords>,
    /// Invocations with these records that the function failed.
    n_failed: u32,
    /// Invocations with these records.
    n_invoked: u32,
}

#[derive(Debug)]
struct Discarding {
    parts: Vec<PartitionRecords>,
    condition: Condition,
    n_invoked: u32,
}

/// What to do next with the records of [`Delivery::current`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Invoke the function with them and report to [`Delivery::invoked`].
    Invoke,
    /// Send them to the destination, or drop them if there is none, and report to [`Delivery::discarded`].
    Discard {
        /// Why.
        condition: Condition,
        /// How often the function was invoked with them.
        n_invoked: u32,
    },
    /// No record is left.
    Done,
}

/// Why records are discarded, as Lambda names it to the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The function failed as often as the mapping allows.
    RetryAttemptsExhausted,
    /// The records are older than the mapping allows.
    RecordAgeExceeded,
    /// A record is larger than an invocation's payload may be.
    MaximumPayloadSizeExceeded,
    /// The schema registry does not let the records pass.
    Rejected(Rejection),
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All records are done.
    Succeeded,
    /// The function failed: its retries are counted.
    Failed,
    /// The function reported failed records, each by partition and offset.
    Partial(Vec<(i32, i64)>),
    /// The function was not invoked: throttled, a service error, no connection. Not counted as a retry.
    NotInvoked,
}

/// What a step achieved.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Assignments of which all records before the offset are done.
    pub advanced: Vec<(Assignment, i64)>,
    /// Assignments of which the batch has no more records.
    pub released: Vec<Assignment>,
    /// Timestamps of the records that the function processed.
    pub delivered_ms: Vec<i64>,
    /// How long to wait before the next step.
    pub delay: Option<Duration>,
}

impl Delivery {
    /// Starts to deliver a batch.
    #[must_use]
    pub fn new(parts: Vec<PartitionRecords>, policy: RetryPolicy, payload_limit: usize) -> Self {
        let sub_batches = VecDeque::from([SubBatch { parts, n_failed: 0, n_invoked: 0 }]);
        Self { policy, payload_limit, sub_batches, discarding: None, n_fruitless: 0 }
    }

    /// The assignments of all records that are left, each once.
    #[must_use]
    pub fn assignments(&self) -> Vec<Assignment> {
        let discarding = self.discarding.iter().flat_map(|discarding| &discarding.parts);
        let left = self.sub_batches.iter().flat_map(|sub_batch| &sub_batch.parts);
        let all: BTreeSet<Assignment> = discarding.chain(left).map(|part| part.assignment).collect();
        all.into_iter().collect()
    }

    /// Drops the records of assignments for which `holds` is false: they are no longer ours to deliver.
    pub fn retain(&mut self, mut holds: impl FnMut(Assignment) -> bool) {
        for sub_batch in &mut self.sub_batches {
            sub_batch.parts.retain(|part| holds(part.assignment));
        }
        self.sub_batches.retain(|sub_batch| !sub_batch.parts.is_empty());
        if let Some(discarding) = &mut self.discarding {
            discarding.parts.retain(|part| holds(part.assignment));
        }
        self.discarding.take_if(|discarding| discarding.parts.is_empty());
    }

    /// Decides the next step at `now_ms`, in milliseconds since the epoch.
    pub fn next(&mut self, shape: &EventShape, now_ms: i64) -> Step {
        if let Some(Discarding { condition, n_invoked, .. }) = self.discarding {
            // The destination has not taken them yet.
            return Step::Discard { condition, n_invoked };
        }
        let Some(sub_batch) = self.sub_batches.front_mut() else { return Step::Done };
        let n_invoked = sub_batch.n_invoked;
        let (parts, condition) = if let Some((rejected, rejection)) = take_rejected(sub_batch) {
            (rejected, Condition::Rejected(rejection))
        } else if let Some(old) = self.policy.max_age_ms.and_then(|age| take_older(sub_batch, now_ms - age)) {
            (old, Condition::RecordAgeExceeded)
        } else if self.policy.max_retries.is_some_and(|retries| sub_batch.n_failed > retries) {
            (std::mem::take(&mut sub_batch.parts), Condition::RetryAttemptsExhausted)
        } else if n_records(&sub_batch.parts) == 1 && shape.len(&sub_batch.parts) > self.payload_limit {
            (std::mem::take(&mut sub_batch.parts), Condition::MaximumPayloadSizeExceeded)
        } else {
            return Step::Invoke;
        };
        self.discarding = Some(Discarding { parts, condition, n_invoked });
        Step::Discard { condition, n_invoked }
    }

    /// The records of the last step.
    #[must_use]
    pub fn current(&self) -> &[PartitionRecords] {
        match (&self.discarding, self.sub_batches.front()) {
            (Some(discarding), _) => &discarding.parts,
            (None, Some(sub_batch)) => &sub_batch.parts,
            (None, None) => &[],
        }
    }

    /// Records that the records of the last [`Step::Discard`] are at the destination or dropped.
    pub fn discarded(&mut self) -> Progress {
        let discarded = self.discarding.take().map(|discarding| discarding.parts).unwrap_or_default();
        self.sub_batches.retain(|sub_batch| !sub_batch.parts.is_empty());
        self.n_fruitless = 0;
        self.finish(&discarded)
    }

    /// Records how the invocation of the last [`Step::Invoke`] ended. `jitter` in 0..1 spreads the delay.
    pub fn invoked(&mut self, outcome: &Outcome, jitter: f64) -> Progress {
        let Some(mut sub_batch) = self.sub_batches.pop_front() else { return Progress::default() };
        sub_batch.n_invoked += u32::from(*outcome != Outcome::NotInvoked);
        match outcome {
            Outcome::Succeeded => {
                self.n_fruitless = 0;
                self.delivered(&sub_batch.parts)
            }
            Outcome::NotInvoked => {
                self.sub_batches.push_front(sub_batch);
                self.wait(jitter)
            }
            Outcome::Failed => {
                self.failed(sub_batch);
                self.wait(jitter)
            }
            Outcome::Partial(failures) => {
                let done = split_off_done(&mut sub_batch.parts, failures);
                if done.is_empty() {
                    self.failed(sub_batch);
                    return self.wait(jitter);
                }
                // A new checkpoint was reached, but the records that are left failed once more.
                sub_batch.n_failed += 1;
                self.sub_batches.push_front(sub_batch);
                self.n_fruitless = 0;
                let mut progress = self.delivered(&done);
                progress.delay = self.wait(jitter).delay;
                progress
            }
        }
    }

    fn failed(&mut self, mut sub_batch: SubBatch) {
        let halves =
            (self.policy.split == SplitOnError::Halves).then(|| halve(&mut sub_batch.parts)).flatten();
        let Some(second) = halves else {
            sub_batch.n_failed += 1;
            self.sub_batches.push_front(sub_batch);
            return;
        };
        // A split is not counted as a retry: the halves have as many retries left as the whole. They wait no longer than
        // a new batch, since they may well succeed.
        self.n_fruitless = 0;
        self.sub_batches.push_front(SubBatch {
            parts: second,
            n_failed: sub_batch.n_failed,
            n_invoked: sub_batch.n_invoked,
        });
        self.sub_batches.push_front(sub_batch);
    }

    fn wait(&mut self, jitter: f64) -> Progress {
        let delay = FIRST_DELAY.saturating_mul(1 << self.n_fruitless.min(16)).min(LONGEST_DELAY);
        self.n_fruitless += 1;
        // Half of it is fixed, so that no retry follows immediately.
        Progress { delay: Some(delay.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))), ..Progress::default() }
    }

    fn delivered(&self, done: &[PartitionRecords]) -> Progress {
        let mut progress = self.finish(done);
        progress.delivered_ms = done.iter().flat_map(|it| &it.records).map(|it| it.timestamp_ms).collect();
        progress
    }

    fn finish(&self, done: &[PartitionRecords]) -> Progress {
        let mut progress = Progress::default();
        for part in done {
            let Some(last) = part.records.last() else { continue };
            progress.advanced.push((part.assignment, last.offset + 1));
            let mut left = self.sub_batches.iter().flat_map(|sub_batch| &sub_batch.parts);
            if !left.any(|other| other.assignment == part.assignment) {
                progress.released.push(part.assignment);
            }
        }
        progress
    }
}

/// Removes from each partition the records with a timestamp before `oldest_ms`, up to the first younger one.
fn take_older(sub_batch: &mut SubBatch, oldest_ms: i64) -> Option<Vec<PartitionRecords>> {
    let mut old = Vec::new();
    for part in &mut sub_batch.parts {
        let is_young = |timestamp_ms: i64| timestamp_ms < 0 || timestamp_ms >= oldest_ms;
        let n_old = part
            .records
            .iter()
            .position(|record| is_young(record.timestamp_ms))
            .unwrap_or(part.records.len());
        if n_old > 0 {
            let records = part.records.drain(..n_old).collect();
            old.push(PartitionRecords { assignment: part.assignment, records });
        }
    }
    sub_batch.parts.retain(|part| !part.records.is_empty());
    (!old.is_empty()).then_some(old)
}

/// Removes the partitions whose records the schema registry does not let pass, those of one reason. A partition's records in a
/// batch all pass, or none does.
fn take_rejected(sub_batch: &mut SubBatch) -> Option<(Vec<PartitionRecords>, Rejection)> {
    let of = |part: &PartitionRecords| part.records.first().and_then(|record| record.rejected);
    let rejection = sub_batch.parts.iter().find_map(of)?;
    let rejected = sub_batch.parts.extract_if(.., |part| of(part) == Some(rejection)).collect();
    Some((rejected, rejection))
}

/// Removes what is done: whole partitions without a failure, and the records before a partition's lowest failure.
fn split_off_done(parts: &mut Vec<PartitionRecords>, failures: &[(i32, i64)]) -> Vec<PartitionRecords> {
    let mut done = Vec::new();
    for part in parts.iter_mut() {
        let lowest = failures
            .iter()
            .filter(|(partition, _)| *partition == part.partition())
            .map(|(_, offset)| *offset);
        let n_done = match lowest.min() {
            Some(lowest) => {
                part.records.iter().position(|record| record.offset >= lowest).unwrap_or(part.records.len())
            }
            None => part.records.len(),
        };
        if n_done > 0 {
            let records = part.records.drain(..n_done).collect();
            done.push(PartitionRecords { assignment: part.assignment, records });
        }
    }
    parts.retain(|part| !part.records.is_empty());
    done
}

/// Leaves the first half in `parts` and returns the second; `None` if there is only one record.
fn halve(parts: &mut Vec<PartitionRecords>) -> Option<Vec<PartitionRecords>> {
    let total = n_records(parts);
    if total < 2 {
        return None;
    }
    let mut left = total / 2;
    let mut first = Vec::new();
    let mut second = Vec::new();
    for mut part in parts.drain(..) {
        let n_first = left.min(part.records.len());
        left -= n_first;
        let rest = part.records.split_off(n_first);
        if !rest.is_empty() {
            second.push(PartitionRecords { assignment: part.assignment, records: rest });
        }
        if !part.records.is_empty() {
            first.push(part);
        }
    }
    *parts = first;
    Some(second)
}

impl Condition {
    /// Lambda's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RetryAttemptsExhausted => "RetryAttemptsExhausted",
            Self::RecordAgeExceeded => "RecordAgeExceeded",
            Self::MaximumPayloadSizeExceeded => "MaximumPayloadSizeExceeded",
            Self::Rejected(Rejection::SchemaNotFound) => "SCHEMA_NOT_FOUND",
            Self::Rejected(Rejection::DeserializationError) => "DESERIALIZATION_ERROR",
        }
    }
}

#[cfg(test)]
mod tests;
