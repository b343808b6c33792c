//! Metrics in CloudWatch's embedded metric format,
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.

use serde_json::{Map, Value, json};

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
    line.insert(
        "_aws".into(),
        json!({"Timestamp": timestamp_ms, "CloudWatchMetrics": [
            {"Namespace": namespace, "Dimensions": [names], "Metrics": definitions}]}),
    );
    line.extend(dimensions.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))));
    line.extend(metrics.iter().map(|(name, _, value)| ((*name).to_owned(), Value::from(*value))));
    Value::Object(line).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_defines_its_metrics_and_holds_their_values() {
        let line = embedded_metrics(
            5,
            "N",
            &[("FunctionName", "f")],
            &[("A", Unit::Count, 1), ("B", Unit::Bytes, 2)],
        );
        let expected = json!({
            "_aws": {"Timestamp": 5, "CloudWatchMetrics": [{"Namespace": "N", "Dimensions": [["FunctionName"]],
                "Metrics": [{"Name": "A", "Unit": "Count"}, {"Name": "B", "Unit": "Bytes"}]}]},
            "FunctionName": "f", "A": 1, "B": 2});
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
    }
}
