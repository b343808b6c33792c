//! Names and units of the function's metrics, in one place.

use kafka_to_search::account::outcome::Counts;
use kafka_to_search::account::report::Report;
use lambda_support::metrics::{Unit, embedded_metrics};

/// CloudWatch namespace of the metrics.
const NAMESPACE: &str = "KafkaToSearch";

/// The lines of embedded metrics: one of the function, and one of each topic of which something was counted.
pub fn lines(report: &Report, timestamp_ms: u64, function_name: &str) -> Vec<String> {
    let function = ("FunctionName", function_name);
    let uncounted = report.uncounted.len() + report.topics.iter().filter(|topic| !topic.is_whole()).count();
    let mut metrics = counts(report.total()).to_vec();
    metrics.push(("TopicsUncounted", Unit::Count, uncounted as u64));
    let mut lines = vec![embedded_metrics(timestamp_ms, NAMESPACE, &[function], &metrics)];
    for topic in &report.topics {
        let dimensions = [function, ("Topic", topic.source.topic.as_str())];
        lines.push(embedded_metrics(timestamp_ms, NAMESPACE, &dimensions, &counts(topic.total())));
    }
    lines
}

fn counts(counts: Counts) -> [(&'static str, Unit, u64); 3] {
    [
        ("RecordsAccounted", Unit::Count, counts.records()),
        ("RecordsMissing", Unit::Count, counts.missing),
        ("RecordsPending", Unit::Count, counts.pending),
    ]
}

#[cfg(test)]
mod tests {
    use kafka_to_search::account::report::Uncounted;
    use kafka_to_search::account::topic_account::{PartitionAccount, TopicAccount, TopicSource};
    use kafka_to_search::offsets::OffsetRange;
    use serde_json::Value;

    use super::*;

    #[test]
    fn missing_records_are_counted_for_the_function_and_for_each_topic() {
        let partition = PartitionAccount {
            partition: 0,
            range: OffsetRange::new(0, 10),
            committed: Some(9),
            counts: Counts { offsets: 10, indexed: 6, missing: 3, pending: 1, ..Counts::default() },
            missing: [1, 2, 3].into_iter().collect(),
            doubled: 0,
        };
        let topic = TopicAccount {
            source: TopicSource { topic: "a".into(), group: "g".into(), mapping: None },
            partitions: vec![partition],
            uncounted: vec![1],
            notes: Vec::new(),
        };
        let uncounted = vec![Uncounted { topic: "b".into(), reason: "why".into() }];
        let report = Report { since: "2h".into(), topics: vec![topic], uncounted, healed: None };
        let lines: Vec<Value> =
            lines(&report, 5, "f").iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let numbers = |line: &Value| {
            ["RecordsAccounted", "RecordsMissing", "RecordsPending", "TopicsUncounted"]
                .map(|name| line[name].as_u64())
        };
        assert_eq!(
            lines.iter().map(numbers).collect::<Vec<_>>(),
            [[Some(9), Some(3), Some(1), Some(2)], [Some(9), Some(3), Some(1), None],]
        );
        assert_eq!((&lines[0]["FunctionName"], &lines[0]["Topic"]), (&Value::from("f"), &Value::Null));
        assert_eq!(lines[1]["Topic"], "a");
    }
}
