//! Decides what becomes of a batch: which records go into the next invocation, what its outcome means for each, when
//! they are given up. Pure: the invocation itself and the clock are its caller's.
//!
//! The rules are those of <https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html>.

use std::collections::VecDeque;
use std::time::Duration;

use crate::batch::{Assignment, Slice};
use crate::event::EventShape;
use crate::mapping::{RetryPolicy, SplitOnError};

/// The delay before the first retry; it doubles with each further one.
const FIRST_DELAY: Duration = Duration::from_millis(200);
/// The longest delay between two tries.
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// A batch on its way to the function.
#[derive(Debug)]
pub struct Delivery {
    policy: RetryPolicy,
    payload_limit: usize,
    /// Parts of the batch that are not done, in order. More than one only after a split.
    pieces: VecDeque<Piece>,
    /// Records that are being discarded, until they are safe elsewhere.
    discarding: Option<Discarding>,
    /// Invocations in a row that brought nothing forward, for the delay.
    n_fruitless: u32,
}

#[derive(Debug)]
struct Piece {
    slices: Vec<Slice>,
    /// Invocations that the function has failed with these records.
    n_failed: u32,
    /// Invocations with these records.
    n_invoked: u32,
}

#[derive(Debug)]
struct Discarding {
    slices: Vec<Slice>,
    condition: Condition,
    n_invoked: u32,
}

/// What to do next with the records of [`Delivery::current`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Invoke the function with them and tell [`Delivery::invoked`].
    Invoke,
    /// Send them to the destination, or give them up without one, and tell [`Delivery::discarded`].
    Discard {
        /// Why.
        condition: Condition,
        /// How often the function was invoked with them.
        n_invoked: u32,
    },
    /// Nothing is left.
    Done,
}

/// Why records are discarded, as the destination is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The function has failed as often as it may.
    RetryAttemptsExhausted,
    /// The records are older than the mapping allows.
    RecordAgeExceeded,
    /// A record is larger than an invocation's payload may be.
    MaximumPayloadSizeExceeded,
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All records are done.
    Succeeded,
    /// The function failed: its retries are counted.
    Failed,
    /// The function named the partitions that did not get through, and each one's lowest failed offset.
    Partial(Vec<(i32, i64)>),
    /// The function was not reached: throttled, a service error, no connection. Not counted as a retry.
    NotInvoked,
}

/// What a step has brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Partitions of which all records before the offset are done.
    pub advanced: Vec<(i32, Assignment, i64)>,
    /// Partitions of which the batch has no more records.
    pub released: Vec<(i32, Assignment)>,
    /// Timestamps of the records that the function has taken.
    pub delivered_ms: Vec<i64>,
    /// How long to wait before the next step.
    pub delay: Option<Duration>,
}

impl Delivery {
    /// Begins to deliver a batch.
    #[must_use]
    pub fn new(slices: Vec<Slice>, policy: RetryPolicy, payload_limit: usize) -> Self {
        let pieces = VecDeque::from([Piece { slices, n_failed: 0, n_invoked: 0 }]);
        Self { policy, payload_limit, pieces, discarding: None, n_fruitless: 0 }
    }

    /// Gives up all partitions for which `holds` is false: they are no longer ours to deliver.
    pub fn retain(&mut self, mut holds: impl FnMut(i32, Assignment) -> bool) {
        for piece in &mut self.pieces {
            piece.slices.retain(|slice| holds(slice.partition, slice.assignment));
        }
        self.pieces.retain(|piece| !piece.slices.is_empty());
        if let Some(discarding) = &mut self.discarding {
            discarding.slices.retain(|slice| holds(slice.partition, slice.assignment));
        }
        self.discarding.take_if(|discarding| discarding.slices.is_empty());
    }

    /// Says what is next at `now_ms`, in milliseconds since the epoch.
    pub fn next(&mut self, shape: &EventShape, now_ms: i64) -> Step {
        if let Some(Discarding { condition, n_invoked, .. }) = self.discarding {
            // The destination has not taken them yet.
            return Step::Discard { condition, n_invoked };
        }
        let Some(piece) = self.pieces.front_mut() else { return Step::Done };
        let n_invoked = piece.n_invoked;
        let (slices, condition) =
            if let Some(old) = self.policy.max_age_ms.and_then(|age| take_older(piece, now_ms - age)) {
                (old, Condition::RecordAgeExceeded)
            } else if self.policy.max_retries.is_some_and(|retries| piece.n_failed > retries) {
                (std::mem::take(&mut piece.slices), Condition::RetryAttemptsExhausted)
            } else if n_records(&piece.slices) == 1 && shape.len(&piece.slices) > self.payload_limit {
                (std::mem::take(&mut piece.slices), Condition::MaximumPayloadSizeExceeded)
            } else {
                return Step::Invoke;
            };
        self.discarding = Some(Discarding { slices, condition, n_invoked });
        Step::Discard { condition, n_invoked }
    }

    /// The records that the last step was about.
    #[must_use]
    pub fn current(&self) -> &[Slice] {
        match (&self.discarding, self.pieces.front()) {
            (Some(discarding), _) => &discarding.slices,
            (None, Some(piece)) => &piece.slices,
            (None, None) => &[],
        }
    }

    /// Notes that the records of the last [`Step::Discard`] are safe elsewhere or given up.
    pub fn discarded(&mut self) -> Progress {
        let discarded = self.discarding.take().map(|discarding| discarding.slices).unwrap_or_default();
        self.pieces.retain(|piece| !piece.slices.is_empty());
        self.n_fruitless = 0;
        self.finish(&discarded)
    }

    /// Notes how the invocation of the last [`Step::Invoke`] ended. `jitter` in 0..1 spreads the delay.
    pub fn invoked(&mut self, outcome: &Outcome, jitter: f64) -> Progress {
        let Some(mut piece) = self.pieces.pop_front() else { return Progress::default() };
        piece.n_invoked += u32::from(*outcome != Outcome::NotInvoked);
        match outcome {
            Outcome::Succeeded => {
                self.n_fruitless = 0;
                self.delivered(&piece.slices)
            }
            Outcome::NotInvoked => {
                self.pieces.push_front(piece);
                self.wait(jitter)
            }
            Outcome::Failed => {
                self.failed(piece);
                self.wait(jitter)
            }
            Outcome::Partial(failures) => {
                let done = split_off_done(&mut piece.slices, failures);
                if done.is_empty() {
                    self.failed(piece);
                    return self.wait(jitter);
                }
                // A new checkpoint was reached: the records that are left have still failed once more.
                piece.n_failed += 1;
                self.pieces.push_front(piece);
                self.n_fruitless = 0;
                let mut progress = self.delivered(&done);
                progress.delay = self.wait(jitter).delay;
                progress
            }
        }
    }

    fn failed(&mut self, mut piece: Piece) {
        let halves = (self.policy.split == SplitOnError::Halves).then(|| halve(&mut piece.slices)).flatten();
        let Some(second) = halves else {
            piece.n_failed += 1;
            self.pieces.push_front(piece);
            return;
        };
        // A split is not counted as a retry: the halves have as many left as the whole, and wait no longer than a new
        // batch, since they may well succeed.
        self.n_fruitless = 0;
        self.pieces.push_front(Piece {
            slices: second,
            n_failed: piece.n_failed,
            n_invoked: piece.n_invoked,
        });
        self.pieces.push_front(piece);
    }

    fn wait(&mut self, jitter: f64) -> Progress {
        let delay = FIRST_DELAY.saturating_mul(1 << self.n_fruitless.min(16)).min(LONGEST_DELAY);
        self.n_fruitless += 1;
        // Half of it is fixed, so that a retry never follows at once.
        Progress { delay: Some(delay.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))), ..Progress::default() }
    }

    fn delivered(&self, done: &[Slice]) -> Progress {
        let mut progress = self.finish(done);
        progress.delivered_ms = done.iter().flat_map(|it| &it.records).map(|it| it.timestamp_ms).collect();
        progress
    }

    fn finish(&self, done: &[Slice]) -> Progress {
        let mut progress = Progress::default();
        for slice in done {
            let Some(last) = slice.records.last() else { continue };
            let key = (slice.partition, slice.assignment);
            progress.advanced.push((key.0, key.1, last.offset + 1));
            let left = self.pieces.iter().flat_map(|piece| &piece.slices);
            if !left.into_iter().any(|other| (other.partition, other.assignment) == key) {
                progress.released.push(key);
            }
        }
        progress
    }
}

fn n_records(slices: &[Slice]) -> usize {
    slices.iter().map(|slice| slice.records.len()).sum()
}

/// Takes the records with a timestamp before `oldest_ms` out of each partition, up to the first that is not.
fn take_older(piece: &mut Piece, oldest_ms: i64) -> Option<Vec<Slice>> {
    let mut old = Vec::new();
    for slice in &mut piece.slices {
        let is_young = |timestamp_ms: i64| timestamp_ms < 0 || timestamp_ms >= oldest_ms;
        let n_old = slice
            .records
            .iter()
            .position(|record| is_young(record.timestamp_ms))
            .unwrap_or(slice.records.len());
        if n_old > 0 {
            let records = slice.records.drain(..n_old).collect();
            old.push(Slice { records, ..empty_of(slice) });
        }
    }
    piece.slices.retain(|slice| !slice.records.is_empty());
    (!old.is_empty()).then_some(old)
}

/// Takes out what is done: whole partitions that are not named, and the records before a partition's lowest failure.
fn split_off_done(slices: &mut Vec<Slice>, failures: &[(i32, i64)]) -> Vec<Slice> {
    let mut done = Vec::new();
    for slice in slices.iter_mut() {
        let lowest =
            failures.iter().filter(|(partition, _)| *partition == slice.partition).map(|(_, offset)| *offset);
        let n_done = match lowest.min() {
            Some(lowest) => {
                slice.records.iter().position(|record| record.offset >= lowest).unwrap_or(slice.records.len())
            }
            None => slice.records.len(),
        };
        if n_done > 0 {
            let records = slice.records.drain(..n_done).collect();
            done.push(Slice { records, ..empty_of(slice) });
        }
    }
    slices.retain(|slice| !slice.records.is_empty());
    done
}

/// Leaves the first half in `slices` and gives the second; `None` if there is only one record.
fn halve(slices: &mut Vec<Slice>) -> Option<Vec<Slice>> {
    let total = n_records(slices);
    if total < 2 {
        return None;
    }
    let mut left = total / 2;
    let mut first = Vec::new();
    let mut second = Vec::new();
    for mut slice in slices.drain(..) {
        let n_first = left.min(slice.records.len());
        left -= n_first;
        let rest = slice.records.split_off(n_first);
        if !rest.is_empty() {
            second.push(Slice { records: rest, ..empty_of(&slice) });
        }
        if !slice.records.is_empty() {
            first.push(slice);
        }
    }
    *slices = first;
    Some(second)
}

fn empty_of(slice: &Slice) -> Slice {
    Slice { partition: slice.partition, assignment: slice.assignment, records: Vec::new() }
}

impl Condition {
    /// The name that Lambda tells the destination.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RetryAttemptsExhausted => "RetryAttemptsExhausted",
            Self::RecordAgeExceeded => "RecordAgeExceeded",
            Self::MaximumPayloadSizeExceeded => "MaximumPayloadSizeExceeded",
        }
    }
}

#[cfg(test)]
mod tests;
