//! Names and units of the function's metrics, in one place.

use event_pipeline::outcome::Counts;
use indexing::bulk_writer::BulkStats;
use lambda_support::metrics::{Unit, embedded_metrics};

/// CloudWatch namespace of the metrics.
const NAMESPACE: &str = "KafkaToSearch";

/// Measures of one invocation.
pub(crate) struct Measures {
    pub(crate) counts: Counts,
    pub(crate) stats: BulkStats,
    /// Records that could not be decoded, and are indexed all the same.
    pub(crate) n_undecoded: usize,
    /// Records that could not be redacted or transformed.
    pub(crate) n_untransformed: usize,
    /// Records in the index that stands in for too many.
    pub(crate) n_overflowing: usize,
    /// Time from the oldest record's timestamp to now; `None` where no record has a timestamp.
    pub(crate) oldest_age_ms: Option<u64>,
}

impl Measures {
    /// The line of embedded metrics.
    pub(crate) fn line(&self, timestamp_ms: u64, function_name: &str) -> String {
        let Self { counts, stats, n_undecoded, n_untransformed, n_overflowing, oldest_age_ms } = self;
        let mut metrics = vec![
            ("EventsReceived", Unit::Count, counts.received as u64),
            ("EventsIndexed", Unit::Count, counts.indexed as u64),
            ("EventsRescued", Unit::Count, counts.rescued as u64),
            ("EventsDuplicate", Unit::Count, counts.duplicates as u64),
            ("EventsDeadLettered", Unit::Count, counts.dead_lettered as u64),
            ("EventsFailed", Unit::Count, counts.failed as u64),
            ("RecordsDropped", Unit::Count, counts.dropped as u64),
            ("RecordsUndecoded", Unit::Count, *n_undecoded as u64),
            ("TransformFailures", Unit::Count, *n_untransformed as u64),
            ("IndexOverflow", Unit::Count, *n_overflowing as u64),
            ("BulkRequests", Unit::Count, stats.requests.into()),
            ("BulkRetries", Unit::Count, stats.retries.into()),
            ("BulkBytes", Unit::Bytes, stats.bytes),
            ("BulkLatency", Unit::Milliseconds, stats.waited.as_millis() as u64),
        ];
        if let Some(age_ms) = oldest_age_ms {
            metrics.push(("OldestEventAge", Unit::Milliseconds, *age_ms));
        }
        embedded_metrics(timestamp_ms, NAMESPACE, &[("FunctionName", function_name)], &metrics)
    }
}
