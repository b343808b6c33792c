//! The status that `/status` returns, and that `/health` and `/metrics` are made of.

use serde::{Deserialize, Serialize};

/// Upper bounds of the classes of record ages, in milliseconds.
pub const AGE_BOUNDS_MS: [u64; 12] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000];

/// The status of the process at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Whether the mappings could be listed at the last attempt.
    pub lambda_api_reachable: bool,
    /// Each mapping that is served or should be.
    pub mappings: Vec<MappingStatus>,
}

/// The status of one mapping.
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
    /// What makes no progress although records wait.
    #[serde(default)]
    pub stalled: Vec<Trouble>,
    /// Records that are lost, since the mapping has no on-failure destination.
    #[serde(default)]
    pub lost: Option<Trouble>,
    /// A problem that does not keep it from being served.
    #[serde(default)]
    pub warning: Option<String>,
    /// In Lambda's words: `OK`, `PROBLEM: Function call failed`, `No records processed` …
    pub last_processing_result: String,
    /// The partitions that this process reads.
    pub partitions: Vec<PartitionStatus>,
    /// What was done since the process started.
    pub counts: Counts,
}

/// Something that is wrong, and what ends it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What is wrong, without a full stop.
    pub what: String,
    /// What to do about it: a sentence.
    pub fix: String,
}

/// The status of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionStatus {
    /// The partition.
    pub partition: i32,
    /// The group's offset.
    pub committed: Option<i64>,
    /// The offset of the next record to be written, as last reported.
    pub end: Option<i64>,
    /// Records that wait in memory.
    pub pending: usize,
    /// Whether a batch with its records is in flight.
    pub in_flight: bool,
}

/// What was done for a mapping since the process started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Records read from Kafka.
    pub received: u64,
    /// Of these, records that the filters dropped.
    pub filtered: u64,
    /// Records that the function processed.
    pub delivered: u64,
    /// Batches whose delivery started.
    pub batches: u64,
    /// Invocations that succeeded.
    pub succeeded: u64,
    /// Invocations that the function failed.
    pub failed: u64,
    /// Invocations that succeeded for some records.
    pub partial: u64,
    /// Invocations that did not reach the function: throttles, service errors, no connection.
    pub not_invoked: u64,
    /// Invocations beyond a batch's first.
    pub retries: u64,
    /// Records discarded because their retries were used up.
    pub retry_attempts_exhausted: u64,
    /// Records discarded because of their age.
    pub record_age_exceeded: u64,
    /// Records discarded because they are larger than an invocation's payload may be.
    pub maximum_payload_size_exceeded: u64,
    /// Records discarded because the registry does not have their schema.
    pub schema_not_found: u64,
    /// Records discarded because they name no schema or don't fit theirs.
    pub deserialization_error: u64,
    /// Of the discarded records, those that are lost: the mapping has no on-failure destination.
    #[serde(default)]
    pub lost: u64,
    /// Of the discarded records, those that the on-failure destination has.
    pub sent_to_destination: u64,
    /// Delivered records by age at their invocation: up to each of [`AGE_BOUNDS_MS`], and above.
    pub age_classes: Vec<u64>,
    /// The sum of these ages in milliseconds.
    pub age_sum_ms: u64,
}

impl Status {
    /// What keeps records from being delivered, and what was lost. Empty while the process is healthy.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let api = (!self.lambda_api_reachable).then(|| "the Lambda API is not reachable".to_owned());
        api.into_iter().chain(self.mappings.iter().flat_map(MappingStatus::problems)).collect()
    }

    /// Problems that do not keep records from being delivered.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let of = |mapping: &MappingStatus| {
            Some(format!("mapping {} of {}: {}", mapping.uuid, mapping.topic, mapping.warning.as_ref()?))
        };
        self.mappings.iter().filter_map(of).collect()
    }
}

impl MappingStatus {
    /// What keeps its records from being delivered, and what was lost of them.
    fn problems(&self) -> Vec<String> {
        let troubles = self.stalled.iter().chain(&self.lost).map(|it| format!("{}. {}", it.what, it.fix));
        let problems = self.problem.iter().cloned().chain(troubles);
        problems.map(|problem| format!("mapping {} of {}: {problem}", self.uuid, self.topic)).collect()
    }
}

impl PartitionStatus {
    /// Records that are not done.
    #[must_use]
    pub fn lag(&self) -> Option<i64> {
        Some((self.end? - self.committed?).max(0))
    }
}
