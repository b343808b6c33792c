//! Names and units of the function's metrics, in one place.

use indexing::bulk_writer::BulkStats;
use lambda_support::metrics::{Unit, embedded_metrics};

use crate::conflict_response::FixResponse;
use crate::response::ReplayResponse;

/// CloudWatch namespace of the metrics, the same as that of index-events.
const NAMESPACE: &str = "KafkaToSearch";

/// Returns the line of embedded metrics that records what a replay did.
pub(crate) fn line(response: &ReplayResponse, timestamp_ms: u64, function_name: &str) -> String {
    let counts = &response.counts;
    let metrics = [
        ("ReplayRead", Unit::Count, counts.read as u64),
        ("EventsIndexed", Unit::Count, counts.indexed as u64),
        ("EventsDuplicate", Unit::Count, counts.duplicates as u64),
        ("RecordsDropped", Unit::Count, counts.dropped as u64),
        ("EventsFailed", Unit::Count, counts.failed as u64),
        ("ReplayRefused", Unit::Count, counts.refused as u64),
        ("DeadLettersRemoved", Unit::Count, counts.removed as u64),
    ];
    with_bulk_metrics(&metrics, &response.stats, timestamp_ms, function_name)
}

/// Returns the line of embedded metrics that records which conflicts were fixed.
pub(crate) fn fix_line(response: &FixResponse, timestamp_ms: u64, function_name: &str) -> String {
    let counts = &response.counts;
    let metrics = [
        ("ConflictsRead", Unit::Count, counts.read as u64),
        ("ConflictsFixed", Unit::Count, counts.fixed as u64),
        ("ConflictsChanged", Unit::Count, counts.changed as u64),
        ("ConflictsRejected", Unit::Count, counts.still_rejected as u64),
        ("EventsFailed", Unit::Count, counts.failed as u64),
    ];
    with_bulk_metrics(&metrics, &response.stats, timestamp_ms, function_name)
}

fn with_bulk_metrics(
    metrics: &[(&'static str, Unit, u64)],
    stats: &BulkStats,
    timestamp_ms: u64,
    function_name: &str,
) -> String {
    let bulk = [
        ("BulkRequests", Unit::Count, stats.requests.into()),
        ("BulkRetries", Unit::Count, stats.retries.into()),
        ("BulkBytes", Unit::Bytes, stats.bytes),
        ("BulkLatency", Unit::Milliseconds, stats.waited.as_millis() as u64),
    ];
    let all = [metrics, &bulk].concat();
    embedded_metrics(timestamp_ms, NAMESPACE, &[("FunctionName", function_name)], &all)
}
