//! Writes the metrics in Prometheus's text format.

use std::fmt::Write;

use crate::status::{AGE_BOUNDS_MS, MappingStatus, PartitionStatus, Status};

/// The content type of what [`text`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes all metrics.
#[must_use]
pub fn text(status: &Status) -> String {
    let mut out = Out { text: String::new(), status };
    out.header(
        "kafka_poller_lambda_api_up",
        "gauge",
        "Whether the mappings could be listed at the last attempt.",
    );
    out.line(format_args!("kafka_poller_lambda_api_up {}", u8::from(status.lambda_api_reachable)));

    out.each("kafka_poller_mapping_up", "gauge", "Whether the mapping is served.", |mapping| {
        vec![(String::new(), u64::from(mapping.problem.is_none()))]
    });
    let help = "Whether a partition has records and makes no progress.";
    out.each("kafka_poller_mapping_stalled", "gauge", help, |mapping| {
        vec![(String::new(), u64::from(!mapping.stalled.is_empty()))]
    });
    out.each("kafka_poller_lag_records", "gauge", "Records of a partition that are not done.", |mapping| {
        let lag = |partition: &PartitionStatus| {
            let lag = u64::try_from(partition.lag()?).ok()?;
            Some((format!(",partition=\"{}\"", partition.partition), lag))
        };
        mapping.partitions.iter().filter_map(lag).collect()
    });
    out.each("kafka_poller_records_received_total", "counter", "Records read from Kafka.", |mapping| {
        vec![(String::new(), mapping.counts.received)]
    });
    out.each(
        "kafka_poller_records_filtered_total",
        "counter",
        "Records that no filter let through.",
        |mapping| vec![(String::new(), mapping.counts.filtered)],
    );
    out.each(
        "kafka_poller_records_delivered_total",
        "counter",
        "Records that the function processed.",
        |mapping| vec![(String::new(), mapping.counts.delivered)],
    );
    out.each("kafka_poller_batches_total", "counter", "Batches whose delivery started.", |mapping| {
        vec![(String::new(), mapping.counts.batches)]
    });
    out.each("kafka_poller_invocations_total", "counter", "Invocations by result.", |mapping| {
        let counts = &mapping.counts;
        [
            ("succeeded", counts.succeeded),
            ("failed", counts.failed),
            ("partial", counts.partial),
            ("not_invoked", counts.not_invoked),
        ]
        .map(|(result, count)| (format!(",result=\"{result}\""), count))
        .to_vec()
    });
    out.each("kafka_poller_retries_total", "counter", "Invocations beyond a batch's first.", |mapping| {
        vec![(String::new(), mapping.counts.retries)]
    });
    out.each(
        "kafka_poller_records_discarded_total",
        "counter",
        "Discarded records, by condition.",
        |mapping| {
            let counts = &mapping.counts;
            [
                ("RetryAttemptsExhausted", counts.retry_attempts_exhausted),
                ("RecordAgeExceeded", counts.record_age_exceeded),
                ("MaximumPayloadSizeExceeded", counts.maximum_payload_size_exceeded),
                ("SCHEMA_NOT_FOUND", counts.schema_not_found),
                ("DESERIALIZATION_ERROR", counts.deserialization_error),
            ]
            .map(|(condition, count)| (format!(",condition=\"{condition}\""), count))
            .to_vec()
        },
    );
    let help = "Discarded records that are lost, since the mapping has no on-failure destination.";
    out.each("kafka_poller_records_lost_total", "counter", help, |mapping| {
        vec![(String::new(), mapping.counts.lost)]
    });
    let help = "Discarded records that the on-failure destination has.";
    out.each("kafka_poller_records_sent_to_destination_total", "counter", help, |mapping| {
        vec![(String::new(), mapping.counts.sent_to_destination)]
    });
    out.ages();
    out.text
}

struct Out<'a> {
    text: String,
    status: &'a Status,
}

impl Out<'_> {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("a string takes everything");
    }

    fn header(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// Writes a metric with what `values` returns for each mapping: further labels and a value.
    fn each(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        values: impl Fn(&MappingStatus) -> Vec<(String, u64)>,
    ) {
        self.header(name, kind, help);
        for mapping in &self.status.mappings {
            for (labels, value) in values(mapping) {
                self.line(format_args!("{name}{{{}{labels}}} {value}", labels_of(mapping)));
            }
        }
    }

    fn ages(&mut self) {
        let name = "kafka_poller_record_age_seconds";
        self.header(name, "histogram", "Age of delivered records at their invocation.");
        for mapping in &self.status.mappings {
            let labels = labels_of(mapping);
            let mut n_records = 0;
            let bounds = AGE_BOUNDS_MS.iter().map(|ms| seconds(*ms)).chain(["+Inf".to_owned()]);
            for (bound, count) in bounds.zip(&mapping.counts.age_classes) {
                n_records += count;
                self.line(format_args!("{name}_bucket{{{labels},le=\"{bound}\"}} {n_records}"));
            }
            self.line(format_args!("{name}_sum{{{labels}}} {}", seconds(mapping.counts.age_sum_ms)));
            self.line(format_args!("{name}_count{{{labels}}} {n_records}"));
        }
    }
}

// UUIDs and topics have no character that a label's value must escape.
fn labels_of(mapping: &MappingStatus) -> String {
    format!("mapping=\"{}\",topic=\"{}\"", mapping.uuid, mapping.topic)
}

fn seconds(ms: u64) -> String {
    let text = format!("{}.{:03}", ms / 1_000, ms % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Counts, PartitionStatus};

    #[test]
    fn metrics_are_written_as_prometheus_reads_them() {
        let mut age_classes = vec![0; AGE_BOUNDS_MS.len() + 1];
        age_classes[1] = 3;
        age_classes[AGE_BOUNDS_MS.len()] = 1;
        let partition =
            |partition, end| PartitionStatus { partition, end, committed: Some(7), ..Default::default() };
        let mapping = MappingStatus {
            uuid: "u".to_owned(),
            topic: "order.events".to_owned(),
            partitions: vec![partition(0, Some(10)), partition(1, None)],
            counts: Counts {
                received: 12,
                failed: 2,
                age_classes,
                age_sum_ms: 4_005_250,
                ..Counts::default()
            },
            ..MappingStatus::default()
        };
        let text = text(&Status { lambda_api_reachable: true, mappings: vec![mapping] });
        for line in [
            "# TYPE kafka_poller_lag_records gauge",
            "kafka_poller_lambda_api_up 1",
            "kafka_poller_mapping_up{mapping=\"u\",topic=\"order.events\"} 1",
            "kafka_poller_mapping_stalled{mapping=\"u\",topic=\"order.events\"} 0",
            "kafka_poller_records_lost_total{mapping=\"u\",topic=\"order.events\"} 0",
            "kafka_poller_lag_records{mapping=\"u\",topic=\"order.events\",partition=\"0\"} 3",
            "kafka_poller_records_received_total{mapping=\"u\",topic=\"order.events\"} 12",
            "kafka_poller_invocations_total{mapping=\"u\",topic=\"order.events\",result=\"failed\"} 2",
            "kafka_poller_record_age_seconds_bucket{mapping=\"u\",topic=\"order.events\",le=\"0.1\"} 0",
            "kafka_poller_record_age_seconds_bucket{mapping=\"u\",topic=\"order.events\",le=\"0.25\"} 3",
            "kafka_poller_record_age_seconds_bucket{mapping=\"u\",topic=\"order.events\",le=\"3600\"} 3",
            "kafka_poller_record_age_seconds_bucket{mapping=\"u\",topic=\"order.events\",le=\"+Inf\"} 4",
            "kafka_poller_record_age_seconds_sum{mapping=\"u\",topic=\"order.events\"} 4005.25",
            "kafka_poller_record_age_seconds_count{mapping=\"u\",topic=\"order.events\"} 4",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("partition=\"1\""), "an unknown lag is left out");
    }
}
