//! Metrics in CloudWatch's embedded metric format,
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.

use chrono::{DateTime, Datelike as _, SecondsFormat};
use serde_json::{Map, Value, json};

/// Level of the lines of metrics. It says nothing about the invocation: it keeps Lambda from dropping them.
const LEVEL: &str = "FATAL";

/// Unit of a metric, as CloudWatch names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// How many.
    Count,
    /// An amount of data.
    Bytes,
    /// A duration.
    Milliseconds,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Bytes => "Bytes",
            Self::Milliseconds => "Milliseconds",
        }
    }
}

/// Returns the log line that records `metrics` under `namespace` with one set of dimensions.
///
/// With the JSON log format, Lambda drops lines below the function's log level before CloudWatch sees them. It reads the level
/// from the line's `level`, and the time from its `timestamp` in the form of RFC 3339. A line whose level is missing or
/// invalid, or whose timestamp is, counts as INFO, so at WARN the metrics would be lost. The highest level is FATAL, which
/// every setting lets through:
/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>. The metric format allows such
/// further members at the root.
pub fn embedded_metrics(
    timestamp_ms: u64,
    namespace: &str,
    dimensions: &[(&str, &str)],
    metrics: &[(&str, Unit, u64)],
) -> String {
    let names: Vec<_> = dimensions.iter().map(|(name, _)| *name).collect();
    let definitions: Vec<_> =
        metrics.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit.name()})).collect();
    let mut line = Map::new();
    line.insert("level".into(), LEVEL.into());
    line.insert("timestamp".into(), rfc_3339(timestamp_ms).into());
    line.insert(
        "_aws".into(),
        json!({"Timestamp": timestamp_ms, "CloudWatchMetrics": [
            {"Namespace": namespace, "Dimensions": [names], "Metrics": definitions}]}),
    );
    line.extend(dimensions.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))));
    line.extend(metrics.iter().map(|(name, _, value)| ((*name).to_owned(), Value::from(*value))));
    Value::Object(line).to_string()
}

/// Returns a time as RFC 3339, which ends with the year 9999; the epoch for any time after that.
fn rfc_3339(timestamp_ms: u64) -> String {
    let time = i64::try_from(timestamp_ms).ok().and_then(DateTime::from_timestamp_millis);
    let time = time.filter(|time| time.year() <= 9999).unwrap_or(DateTime::UNIX_EPOCH);
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use testing::lambda_logs::{LEVELS, is_sent};

    use super::*;

    #[test]
    fn a_line_defines_its_metrics_and_holds_their_values() {
        let line = embedded_metrics(
            5,
            "N",
            &[("FunctionName", "f")],
            &[("A", Unit::Count, 1), ("B", Unit::Bytes, 2)],
        );
        let expected = json!({"level": "FATAL", "timestamp": "1970-01-01T00:00:00.005Z",
            "_aws": {"Timestamp": 5, "CloudWatchMetrics": [{"Namespace": "N", "Dimensions": [["FunctionName"]],
                "Metrics": [{"Name": "A", "Unit": "Count"}, {"Name": "B", "Unit": "Bytes"}]}]},
            "FunctionName": "f", "A": 1, "B": 2});
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
    }

    #[test]
    fn no_log_level_of_the_function_drops_the_metrics() {
        for time_ms in [0, 1_577_990_934_044, u64::MAX] {
            let line = embedded_metrics(time_ms, "N", &[("FunctionName", "f")], &[("A", Unit::Count, 1)]);
            for level in LEVELS {
                assert!(is_sent(&line, level), "{level} drops {line}");
            }
        }
    }
}
