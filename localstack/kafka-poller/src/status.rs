//! Keeps what a poller has done and is doing, for people, probes and Prometheus.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde::{Deserialize, Serialize};

use crate::consumer::Shared;
use crate::delivery::{Condition, Outcome};
use crate::mapping::Mapping;

/// Upper bounds of the classes of record ages, in milliseconds.
pub const AGE_BOUNDS_MS: [u64; 12] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000];

/// All mappings that the process serves.
#[derive(Debug, Default)]
pub struct Registry {
    activities: Mutex<BTreeMap<String, Arc<Activity>>>,
    api_is_down: AtomicBool,
}

/// What is done for one mapping. It outlives restarts of its poller.
#[derive(Debug)]
pub struct Activity {
    uuid: String,
    now: Mutex<Now>,
    counts: Counters,
}

#[derive(Debug, Default)]
struct Now {
    topic: String,
    function_arn: String,
    group_id: String,
    problem: Option<String>,
    last_result: Option<String>,
    shared: Weak<Shared>,
}

#[derive(Debug, Default)]
struct Counters {
    received: AtomicU64,
    filtered: AtomicU64,
    delivered: AtomicU64,
    batches: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    partial: AtomicU64,
    not_invoked: AtomicU64,
    retries: AtomicU64,
    retry_attempts_exhausted: AtomicU64,
    record_age_exceeded: AtomicU64,
    maximum_payload_size_exceeded: AtomicU64,
    sent_to_destination: AtomicU64,
    age_classes: [AtomicU64; AGE_BOUNDS_MS.len() + 1],
    age_sum_ms: AtomicU64,
}

/// What the process does, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Whether the mappings could be listed at the last try.
    pub lambda_api_reachable: bool,
    /// Each mapping that is served or should be.
    pub mappings: Vec<MappingStatus>,
}

/// What is done for one mapping, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MappingStatus {
    /// The mapping's id.
    pub uuid: String,
    /// Its topic.
    pub topic: String,
    /// Its function.
    pub function_arn: String,
    /// Its consumer group.
    pub consumer_group_id: String,
    /// Why it is not served, if it is not.
    pub problem: Option<String>,
    /// As Lambda tells it: `OK`, `PROBLEM: Function call failed`, `No records processed` …
    pub last_processing_result: String,
    /// The partitions that this process has.
    pub partitions: Vec<PartitionStatus>,
    /// What was done since the process began.
    pub counts: Counts,
}

/// One partition, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionStatus {
    /// The partition.
    pub partition: i32,
    /// The group's offset.
    pub committed: Option<i64>,
    /// The offset of the next record to be written, as last heard.
    pub end: Option<i64>,
    /// Records that wait in memory.
    pub pending: usize,
    /// Whether a batch with its records is in flight.
    pub in_flight: bool,
}

/// What was done for a mapping since the process began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Records read from Kafka.
    pub received: u64,
    /// Of these, records that no filter let through.
    pub filtered: u64,
    /// Records that the function has taken.
    pub delivered: u64,
    /// Batches begun.
    pub batches: u64,
    /// Invocations that succeeded.
    pub succeeded: u64,
    /// Invocations that the function failed.
    pub failed: u64,
    /// Invocations that the function succeeded for some records.
    pub partial: u64,
    /// Invocations that did not reach the function: throttles, service errors, no connection.
    pub not_invoked: u64,
    /// Invocations beyond a batch's first.
    pub retries: u64,
    /// Records given up because their retries were used up.
    pub retry_attempts_exhausted: u64,
    /// Records given up because of their age.
    pub record_age_exceeded: u64,
    /// Records given up because no invocation takes them.
    pub maximum_payload_size_exceeded: u64,
    /// Of the records given up, those that the on-failure destination has.
    pub sent_to_destination: u64,
    /// Delivered records by age at their invocation: up to each of [`AGE_BOUNDS_MS`], and above.
    pub age_classes: Vec<u64>,
    /// The sum of these ages in milliseconds.
    pub age_sum_ms: u64,
}

impl Registry {
    /// Gives the activity of a mapping, new or as it was before a change of the mapping.
    pub fn activity(&self, mapping: &Mapping) -> Arc<Activity> {
        let mut activities = self.activities();
        let activity = activities.entry(mapping.uuid.clone()).or_insert_with(|| {
            let uuid = mapping.uuid.clone();
            Arc::new(Activity { uuid, now: Mutex::default(), counts: Counters::default() })
        });
        {
            let mut now = activity.now();
            now.topic.clone_from(&mapping.topic);
            now.function_arn.clone_from(&mapping.function_arn);
            now.group_id.clone_from(&mapping.group_id);
        }
        Arc::clone(activity)
    }

    /// Forgets a mapping that is no longer to be served.
    pub fn remove(&self, uuid: &str) {
        self.activities().remove(uuid);
    }

    /// Notes whether the mappings could be listed.
    pub fn set_reachable(&self, reachable: bool) {
        self.api_is_down.store(!reachable, Ordering::Relaxed);
    }

    /// What is done at this moment.
    #[must_use]
    pub fn status(&self) -> Status {
        let activities: Vec<Arc<Activity>> = self.activities().values().cloned().collect();
        Status {
            lambda_api_reachable: !self.api_is_down.load(Ordering::Relaxed),
            mappings: activities.iter().map(|activity| activity.status()).collect(),
        }
    }

    fn activities(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Activity>>> {
        self.activities.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Activity {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the mapping is served from now on.
    pub fn serving(&self, shared: &Arc<Shared>) {
        let mut now = self.now();
        now.problem = None;
        now.shared = Arc::downgrade(shared);
    }

    /// Notes why the mapping is not served.
    pub fn not_served(&self, problem: &str) {
        let mut now = self.now();
        now.problem = Some(problem.to_owned());
        now.last_result = Some(format!("PROBLEM: {problem}"));
    }

    /// Counts a record that was read.
    pub fn received(&self, filtered: bool) {
        add(&self.counts.received, 1);
        add(&self.counts.filtered, u64::from(filtered));
    }

    /// Counts a batch that was begun.
    pub fn batch(&self) {
        add(&self.counts.batches, 1);
    }

    /// Counts an invocation; `is_retry` if the batch had one before.
    pub fn invoked(&self, outcome: &Outcome, is_retry: bool) {
        let (counter, result) = match outcome {
            Outcome::Succeeded => (&self.counts.succeeded, "OK"),
            Outcome::Failed => (&self.counts.failed, "PROBLEM: Function call failed"),
            Outcome::Partial(_) => (&self.counts.partial, "PROBLEM: Function reported failed records"),
            Outcome::NotInvoked => (&self.counts.not_invoked, "PROBLEM: Function was not invoked"),
        };
        add(counter, 1);
        add(&self.counts.retries, u64::from(is_retry));
        self.now().last_result = Some(result.to_owned());
    }

    /// Counts records that the function has taken, by their age at its invocation.
    pub fn delivered(&self, ages_ms: impl Iterator<Item = u64>) {
        for age_ms in ages_ms {
            add(&self.counts.delivered, 1);
            add(&self.counts.age_sum_ms, age_ms);
            let class =
                AGE_BOUNDS_MS.iter().position(|bound| age_ms <= *bound).unwrap_or(AGE_BOUNDS_MS.len());
            if let Some(class) = self.counts.age_classes.get(class) {
                add(class, 1);
            }
        }
    }

    /// Counts records that were given up, and whether the destination has them.
    pub fn discarded(&self, condition: Condition, n_records: u64, sent: bool) {
        let counter = match condition {
            Condition::RetryAttemptsExhausted => &self.counts.retry_attempts_exhausted,
            Condition::RecordAgeExceeded => &self.counts.record_age_exceeded,
            Condition::MaximumPayloadSizeExceeded => &self.counts.maximum_payload_size_exceeded,
        };
        add(counter, n_records);
        if sent {
            add(&self.counts.sent_to_destination, n_records);
        }
    }

    fn status(&self) -> MappingStatus {
        let now = self.now();
        let shared = now.shared.upgrade();
        MappingStatus {
            uuid: self.uuid.clone(),
            topic: now.topic.clone(),
            function_arn: now.function_arn.clone(),
            consumer_group_id: now.group_id.clone(),
            problem: now.problem.clone(),
            last_processing_result: now
                .last_result
                .clone()
                .unwrap_or_else(|| "No records processed".to_owned()),
            partitions: shared.map(|shared| shared.partitions()).unwrap_or_default(),
            counts: self.counts.read(),
        }
    }
}

impl Counters {
    fn read(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            received: of(&self.received),
            filtered: of(&self.filtered),
            delivered: of(&self.delivered),
            batches: of(&self.batches),
            succeeded: of(&self.succeeded),
            failed: of(&self.failed),
            partial: of(&self.partial),
            not_invoked: of(&self.not_invoked),
            retries: of(&self.retries),
            retry_attempts_exhausted: of(&self.retry_attempts_exhausted),
            record_age_exceeded: of(&self.record_age_exceeded),
            maximum_payload_size_exceeded: of(&self.maximum_payload_size_exceeded),
            sent_to_destination: of(&self.sent_to_destination),
            age_classes: self.age_classes.iter().map(of).collect(),
            age_sum_ms: of(&self.age_sum_ms),
        }
    }
}

impl Status {
    /// What keeps records from being delivered; nothing in good health.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let api = (!self.lambda_api_reachable).then(|| "the Lambda API is not reached".to_owned());
        let of = |mapping: &MappingStatus| {
            Some(format!("mapping {}: {}", mapping.uuid, mapping.problem.as_ref()?))
        };
        api.into_iter().chain(self.mappings.iter().filter_map(of)).collect()
    }
}

impl PartitionStatus {
    /// Records that are not done.
    #[must_use]
    pub fn lag(&self) -> Option<i64> {
        Some((self.end? - self.committed?).max(0))
    }
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}
