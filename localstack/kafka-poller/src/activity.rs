//! Counts what pollers do and keeps what they are doing, for `/health`, `/status` and `/metrics`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::delivery::{Condition, Outcome};
use crate::mapping::Mapping;
use crate::record::Rejection;
use crate::stall::Stall;
use crate::status::{AGE_BOUNDS_MS, Counts, MappingStatus, PartitionStatus, Status, Trouble};

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

/// Whether the Lambda API responds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LambdaApi {
    /// The mappings were listed.
    Reachable,
    /// They could not be listed.
    Unreachable,
}

/// What the filter decided about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filtering {
    /// The function gets it.
    Passed,
    /// A filter kept it from the function.
    Dropped,
}

/// Whether an invocation is the first for its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvocationKind {
    /// The first.
    First,
    /// A later one.
    Retry,
}

/// Records that are discarded together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscardedRecords {
    /// Why.
    pub condition: Condition,
    /// How many.
    pub n_records: u64,
    /// Partition and offset of the last one.
    pub last: (i32, i64),
    /// The size of the event with them.
    pub n_bytes: usize,
}

/// Where discarded records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safekeeping {
    /// The on-failure destination has them.
    AtDestination,
    /// The mapping has no destination.
    Lost,
}

#[derive(Debug, Default)]
struct Now {
    topic: String,
    function_arn: String,
    group_id: String,
    problem: Option<String>,
    warning: Option<String>,
    registry_problem: Option<String>,
    last_result: Option<String>,
    partitions: Vec<PartitionStatus>,
    stalls: Vec<Stall>,
    losses: Option<Losses>,
}

/// Records that were lost since the mapping has its settings.
#[derive(Debug)]
struct Losses {
    n_records: u64,
    /// The last of them.
    last: String,
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
    schema_not_found: AtomicU64,
    deserialization_error: AtomicU64,
    lost: AtomicU64,
    sent_to_destination: AtomicU64,
    age_classes: [AtomicU64; AGE_BOUNDS_MS.len() + 1],
    age_sum_ms: AtomicU64,
}

impl Registry {
    /// Returns the activity of a mapping: a new one, or that of the mapping before it was changed.
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
            // The mapping is new or was changed, perhaps because of them.
            now.losses = None;
        }
        Arc::clone(activity)
    }

    /// Removes a mapping that is no longer served.
    pub fn remove(&self, uuid: &str) {
        self.activities().remove(uuid);
    }

    /// Records whether the mappings could be listed.
    pub fn set_lambda_api(&self, api: LambdaApi) {
        self.api_is_down.store(api == LambdaApi::Unreachable, Ordering::Relaxed);
    }

    /// The status at this moment.
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

    /// Records that the mapping is served from now on.
    pub fn serving(&self) {
        self.now().problem = None;
    }

    /// Records why the mapping is not served.
    pub fn not_served(&self, problem: &str) {
        let mut now = self.now();
        now.problem = Some(problem.to_owned());
        now.last_result = Some(format!("PROBLEM: {problem}"));
    }

    /// Sets or removes the warning about a mapping. The mapping is still served.
    pub fn set_warning(&self, warning: Option<&str>) {
        self.now().warning = warning.map(str::to_owned);
    }

    /// Records why the schema registry gives no schemas, or that it does.
    pub fn set_registry_problem(&self, problem: Option<&str>) {
        let mut now = self.now();
        now.registry_problem =
            problem.map(|problem| format!("records wait for the schema registry: {problem}"));
        if let Some(problem) = now.registry_problem.clone() {
            now.last_result = Some(format!("PROBLEM: {problem}"));
        }
    }

    /// Publishes the partitions that this process reads.
    pub fn set_partitions(&self, partitions: Vec<PartitionStatus>) {
        self.now().partitions = partitions;
    }

    /// Publishes what makes no progress.
    pub fn set_stalls(&self, stalls: Vec<Stall>) {
        self.now().stalls = stalls;
    }

    /// Counts a record that was read.
    pub fn received(&self, filtering: Filtering) {
        add(&self.counts.received, 1);
        if filtering == Filtering::Dropped {
            add(&self.counts.filtered, 1);
        }
    }

    /// Counts a batch whose delivery starts.
    pub fn batch(&self) {
        add(&self.counts.batches, 1);
    }

    /// Counts an invocation.
    pub fn invoked(&self, outcome: &Outcome, kind: InvocationKind) {
        let (counter, result) = match outcome {
            Outcome::Succeeded => (&self.counts.succeeded, "OK"),
            Outcome::Failed => (&self.counts.failed, "PROBLEM: Function call failed"),
            Outcome::Partial(_) => (&self.counts.partial, "PROBLEM: Function reported failed records"),
            Outcome::NotInvoked => (&self.counts.not_invoked, "PROBLEM: Function was not invoked"),
        };
        add(counter, 1);
        if kind == InvocationKind::Retry {
            add(&self.counts.retries, 1);
        }
        self.now().last_result = Some(result.to_owned());
    }

    /// Counts records that the function processed, by their age at its invocation.
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

    /// Counts discarded records.
    pub fn discarded(&self, discarded: DiscardedRecords, safekeeping: Safekeeping) {
        let DiscardedRecords { condition, n_records, last: (partition, offset), n_bytes } = discarded;
        let counter = match condition {
            Condition::RetryAttemptsExhausted => &self.counts.retry_attempts_exhausted,
            Condition::RecordAgeExceeded => &self.counts.record_age_exceeded,
            Condition::MaximumPayloadSizeExceeded => &self.counts.maximum_payload_size_exceeded,
            Condition::Rejected(Rejection::SchemaNotFound) => &self.counts.schema_not_found,
            Condition::Rejected(Rejection::DeserializationError) => &self.counts.deserialization_error,
        };
        add(counter, n_records);
        if safekeeping == Safekeeping::AtDestination {
            add(&self.counts.sent_to_destination, n_records);
            return;
        }
        add(&self.counts.lost, n_records);
        let mut now = self.now();
        let last =
            format!("{}-{partition} offset {offset}, {}, {n_bytes} bytes", now.topic, condition.name());
        let losses = now.losses.get_or_insert(Losses { n_records: 0, last: String::new() });
        losses.n_records += n_records;
        losses.last = last;
    }

    fn status(&self) -> MappingStatus {
        let now = self.now();
        let at = Instant::now();
        let warnings: Vec<&str> =
            [&now.warning, &now.registry_problem].into_iter().flatten().map(String::as_str).collect();
        MappingStatus {
            uuid: self.uuid.clone(),
            topic: now.topic.clone(),
            function_arn: now.function_arn.clone(),
            consumer_group_id: now.group_id.clone(),
            problem: now.problem.clone(),
            stalled: now.stalls.iter().map(|stall| stall.trouble(at)).collect(),
            lost: now.losses.as_ref().map(Losses::trouble),
            warning: (!warnings.is_empty()).then(|| warnings.join("; ")),
            last_processing_result: now
                .last_result
                .clone()
                .unwrap_or_else(|| "No records processed".to_owned()),
            partitions: now.partitions.clone(),
            counts: self.counts.read(),
        }
    }
}

impl Losses {
    fn trouble(&self) -> Trouble {
        let what = match self.n_records {
            1 => format!("1 record is lost ({})", self.last),
            n => format!("{n} records are lost, the last {}", self.last),
        };
        let fix = "The mapping has no on-failure destination: give it an S3 bucket, which keeps whole records of any size. \
            A lost record can be read from Kafka until its retention ends. This message stays until the mapping is changed or \
            the poller is started again.";
        Trouble { what, fix: fix.to_owned() }
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
            schema_not_found: of(&self.schema_not_found),
            deserialization_error: of(&self.deserialization_error),
            lost: of(&self.lost),
            sent_to_destination: of(&self.sent_to_destination),
            age_classes: self.age_classes.iter().map(of).collect(),
            age_sum_ms: of(&self.age_sum_ms),
        }
    }
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::mapping;

    #[test]
    fn a_warning_is_in_the_status_but_is_no_problem() {
        let registry = Registry::default();
        let activity = registry.activity(&mapping());
        activity.set_warning(Some("the topic's id is unknown"));
        let status = registry.status();
        assert_eq!(status.mappings[0].warning.as_deref(), Some("the topic's id is unknown"));
        assert_eq!(status.problems(), Vec::<String>::new());
        assert_eq!(status.warnings(), ["mapping uuid of order.events: the topic's id is unknown"]);
        activity.set_registry_problem(Some("connection refused"));
        let both = "the topic's id is unknown; records wait for the schema registry: connection refused";
        assert_eq!(registry.status().mappings[0].warning.as_deref(), Some(both));
        activity.set_warning(None);
        activity.set_registry_problem(None);
        assert_eq!(registry.status().mappings[0].warning, None);
    }

    #[test]
    fn lost_records_are_a_problem_until_the_mapping_is_changed() {
        let registry = Registry::default();
        let activity = registry.activity(&mapping());
        let condition = Condition::MaximumPayloadSizeExceeded;
        let too_large = DiscardedRecords { condition, n_records: 1, last: (3, 41), n_bytes: 8_000_210 };
        activity.discarded(too_large, Safekeeping::AtDestination);
        assert_eq!(registry.status().problems(), Vec::<String>::new());
        activity.discarded(too_large, Safekeeping::Lost);
        activity.discarded(DiscardedRecords { last: (3, 45), ..too_large }, Safekeeping::Lost);
        let status = registry.status();
        let lost = status.mappings[0].lost.as_ref().unwrap();
        let last = "order.events-3 offset 45, MaximumPayloadSizeExceeded, 8000210 bytes";
        assert_eq!(lost.what, format!("2 records are lost, the last {last}"));
        assert_eq!(status.problems(), [format!("mapping uuid of order.events: {}. {}", lost.what, lost.fix)]);
        let counts = &status.mappings[0].counts;
        assert_eq!(
            (counts.maximum_payload_size_exceeded, counts.lost, counts.sent_to_destination),
            (3, 2, 1)
        );
        // A destination was given to it.
        registry.activity(&mapping());
        assert_eq!(registry.status().problems(), Vec::<String>::new());
    }
}
