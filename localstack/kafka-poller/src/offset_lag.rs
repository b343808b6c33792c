//! Puts each mapping's `OffsetLag` into CloudWatch, as Lambda does once a minute:
//! <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html>. LocalStack writes no such metric of its own.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use http::Method;
use tokio::time::MissedTickBehavior;
use tracing::{debug, warn};

use crate::activity::Registry;
use crate::aws::{Aws, Call};
use crate::causes::with_causes;
use crate::percent::encode;
use crate::status::{MappingStatus, PartitionStatus};

/// How often Lambda writes the metric.
pub const INTERVAL: Duration = Duration::from_secs(60);

/// Writes the lag of all mappings every `interval`, for ever. AWS itself takes no metrics under `AWS/Lambda`, so call it only
/// for an endpoint that stands in for AWS.
pub async fn run(aws: &Aws, registry: &Registry, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_written = true;
    loop {
        ticks.tick().await;
        for mapping in registry.status().mappings {
            let Some(lag) = lag(&mapping) else { continue };
            match write(aws, &mapping.function_arn, lag).await {
                Ok(()) => {
                    was_written = true;
                    debug!(mapping = %mapping.uuid, lag, "OffsetLag written");
                }
                Err(error) if std::mem::replace(&mut was_written, false) => {
                    warn!(
                        error = with_causes(&error),
                        "OffsetLag could not be written to CloudWatch, retrying"
                    );
                }
                Err(_) => {}
            }
        }
    }
}

/// Records of the topic that are not done, over all partitions that this process reads; `None` if none of them is known.
fn lag(mapping: &MappingStatus) -> Option<i64> {
    mapping.partitions.iter().filter_map(PartitionStatus::lag).reduce(i64::saturating_add)
}

async fn write(aws: &Aws, function_arn: &str, lag: i64) -> Result<(), crate::aws::CallError> {
    let call = Call {
        service: "monitoring",
        region: function_arn.split(':').nth(3),
        method: Method::POST,
        path: "/",
        headers: &[("content-type", "application/x-www-form-urlencoded")],
        body: Bytes::from(form(function_arn, lag, SystemTime::now())),
    };
    aws.call(call).await.map(drop)
}

/// The form of PutMetricData: the lag of the function, and of its alias or version if the mapping invokes one.
fn form(function_arn: &str, lag: i64, time: SystemTime) -> String {
    let mut parts = function_arn.split(':').skip(6);
    let (name, qualifier) = (parts.next().unwrap_or_default(), parts.next());
    let resource = qualifier.map(|qualifier| format!("{name}:{qualifier}"));
    let dimension_sets = [vec![("FunctionName", name)]]
        .into_iter()
        .chain(resource.as_deref().map(|resource| vec![("FunctionName", name), ("Resource", resource)]));
    let time = DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut pairs = vec![
        ("Action".to_owned(), "PutMetricData".to_owned()),
        ("Version".to_owned(), "2010-08-01".to_owned()),
        ("Namespace".to_owned(), "AWS/Lambda".to_owned()),
    ];
    for (datum, dimensions) in (1..).zip(dimension_sets) {
        let prefix = format!("MetricData.member.{datum}");
        pairs.push((format!("{prefix}.MetricName"), "OffsetLag".to_owned()));
        pairs.push((format!("{prefix}.Timestamp"), time.clone()));
        pairs.push((format!("{prefix}.Unit"), "Count".to_owned()));
        pairs.push((format!("{prefix}.Value"), lag.to_string()));
        for (position, (dimension, value)) in (1..).zip(dimensions) {
            let prefix = format!("{prefix}.Dimensions.member.{position}");
            pairs.push((format!("{prefix}.Name"), dimension.to_owned()));
            pairs.push((format!("{prefix}.Value"), value.to_owned()));
        }
    }
    let pairs = pairs.iter().map(|(name, value)| format!("{name}={}", encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_is_that_of_the_topic() {
        let partition = |end, committed| PartitionStatus { end, committed, ..PartitionStatus::default() };
        let of = |partitions| lag(&MappingStatus { partitions, ..MappingStatus::default() });
        assert_eq!(
            of(vec![partition(Some(10), Some(7)), partition(Some(5), Some(1)), partition(None, Some(1))]),
            Some(7)
        );
        assert_eq!(of(vec![partition(Some(10), Some(10))]), Some(0));
        assert_eq!(of(vec![partition(None, None)]), None);
        assert_eq!(of(Vec::new()), None);
    }

    #[test]
    fn the_metric_is_that_of_the_function_and_of_its_alias() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:index-events";
        let head = "Action=PutMetricData&Version=2010-08-01&Namespace=AWS%2FLambda";
        let datum = |n: u8| {
            format!(
                "&MetricData.member.{n}.MetricName=OffsetLag&MetricData.member.{n}.Timestamp=2026-01-01T00%3A00%3A00Z\
                 &MetricData.member.{n}.Unit=Count&MetricData.member.{n}.Value=3\
                 &MetricData.member.{n}.Dimensions.member.1.Name=FunctionName\
                 &MetricData.member.{n}.Dimensions.member.1.Value=index-events"
            )
        };
        assert_eq!(form(arn, 3, time), format!("{head}{}", datum(1)));
        let alias = "&MetricData.member.2.Dimensions.member.2.Name=Resource\
                     &MetricData.member.2.Dimensions.member.2.Value=index-events%3Alive";
        assert_eq!(form(&format!("{arn}:live"), 3, time), format!("{head}{}{}{alias}", datum(1), datum(2)));
    }
}
