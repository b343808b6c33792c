//! Events, batches and parallelism, as AWS documents them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use crate::kafka::{Topic, bootstrap_servers};
use crate::lambda_api::{LambdaApi, OK};
use crate::process::{Poller, lag};
use crate::wait;

#[test]
fn every_record_is_delivered_once_in_order_and_committed() {
    let topic = Topic::new("order.events", 3);
    for partition in 0..3 {
        topic.produce_numbers(partition, 0..1_000);
    }
    let api = LambdaApi::start();
    let uuid = api.map(&topic, json!({}));
    let _poller = Poller::start(&api);
    wait::until("all are delivered", || api.n_delivered() >= 3_000);
    let expected: BTreeMap<i32, Vec<i64>> =
        (0..3).map(|partition| (partition, (0..1_000).collect())).collect();
    assert_eq!(api.delivered(), expected);
    assert!(api.invocations().iter().all(|it| (1..=100).contains(&it.records().count())));
    wait::until("all is committed", || {
        (0..3).all(|partition| topic.committed(&uuid, partition) == Some(1_000))
    });
    let table = lag(&api);
    let cells: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let row =
        |partition: &'static str| vec![uuid.as_str(), topic.name.as_str(), partition, "1000", "1000", "0"];
    let heading = vec!["MAPPING", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG"];
    assert_eq!(cells, [heading, row("0"), row("1"), row("2")]);
}

#[test]
fn the_event_is_the_documented_one() {
    let topic = Topic::new("order.events", 1);
    topic.produce_whole(
        b"key",
        Some(b"Hello"),
        &[("trace", Some(&[1, 200])), ("trace", Some(b"")), ("none", None)],
    );
    topic.produce_whole(b"key", None, &[]);
    topic.produce_at(0, 1_764_000_000_123, "x");
    let api = LambdaApi::start();
    api.map(&topic, json!({"MaximumBatchingWindowInSeconds": 1}));
    let _poller = Poller::start(&api);
    wait::until("all are delivered", || api.n_delivered() == 3);
    let mut event = api.invocations()[0].event.clone();
    let records = event["records"][format!("{}-0", topic.name)].as_array_mut().unwrap();
    for record in &mut records[..2] {
        assert!(record["timestamp"].as_i64().unwrap() > 1_764_000_000_000);
        record["timestamp"] = json!(0);
    }
    let record =
        |offset: i64, timestamp: i64, key: Option<&str>, value: Option<&str>, headers: serde_json::Value| {
            json!({"topic": topic.name, "partition": 0, "offset": offset, "timestamp": timestamp,
            "timestampType": "CREATE_TIME", "key": key, "value": value, "headers": headers})
        };
    let expected = json!({
        "eventSource": "SelfManagedKafka",
        "bootstrapServers": bootstrap_servers(),
        "records": { format!("{}-0", topic.name): [
            record(0, 0, Some("a2V5"), Some("SGVsbG8="), json!([{"trace": [1, -56]}, {"trace": []}, {"none": []}])),
            record(1, 0, Some("a2V5"), None, json!([])),
            record(2, 1_764_000_000_123, None, Some("eA=="), json!([])),
        ]},
    });
    assert_eq!(event, expected);
}

#[test]
fn no_event_is_larger_than_an_invocation_takes() {
    let topic = Topic::new("large.events", 1);
    topic.produce(0, (0..12).map(|_| vec![b'x'; 1_000_000]));
    let api = LambdaApi::start();
    api.map(&topic, json!({"BatchSize": 1_000}));
    let _poller = Poller::start(&api);
    wait::until("all are delivered", || api.n_delivered() == 12);
    let sizes: Vec<usize> = api.invocations().iter().map(|it| it.n_bytes).collect();
    assert_eq!(sizes.len(), 3, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 6 * 1024 * 1024), "{sizes:?}");
}

#[test]
fn records_are_gathered_for_the_batching_window() {
    let topic = Topic::new("slow.events", 2);
    let api = LambdaApi::start();
    let uuid = api.map(&topic, json!({"MaximumBatchingWindowInSeconds": 2}));
    let _poller = Poller::start(&api);
    wait::until("the group has begun", || topic.committed(&uuid, 1).is_some());
    topic.produce_numbers(0, 0..2);
    std::thread::sleep(Duration::from_millis(500));
    topic.produce_numbers(1, 0..2);
    wait::until("all are delivered", || api.n_delivered() == 4);
    assert_eq!(api.invocations().len(), 1, "one event has the records of both partitions");
}

#[test]
fn partitions_are_served_in_parallel_but_none_twice_at_once() {
    let topic = Topic::new("busy.events", 3);
    for partition in 0..3 {
        topic.produce_numbers(partition, 0..400);
    }
    let api = LambdaApi::start();
    api.function(|_| (Duration::from_millis(150), OK));
    api.map(&topic, json!({}));
    let _poller = Poller::start(&api);
    wait::until("all are delivered", || api.n_delivered() == 1_200);
    let invocations = api.invocations();
    let mut parallel = 0;
    for (place, earlier) in invocations.iter().enumerate() {
        for later in &invocations[place + 1..] {
            if later.began < earlier.ended.unwrap() {
                parallel += 1;
                let (earlier, later) = (earlier.offsets(), later.offsets());
                assert!(
                    earlier.keys().all(|partition| !later.contains_key(partition)),
                    "a partition was served twice"
                );
            }
        }
    }
    assert!(parallel > 3, "{parallel} pairs of invocations ran in parallel");
}

#[test]
fn provisioned_pollers_bound_the_invocations_at_once() {
    let topic = Topic::new("busy.events", 3);
    for partition in 0..3 {
        topic.produce_numbers(partition, 0..200);
    }
    let api = LambdaApi::start();
    api.function(|_| (Duration::from_millis(50), OK));
    api.map(&topic, json!({"ProvisionedPollerConfig": {"MinimumPollers": 1, "MaximumPollers": 1}}));
    let _poller = Poller::start(&api);
    wait::until("all are delivered", || api.n_delivered() == 600);
    let invocations = api.invocations();
    let overlaps = invocations.windows(2).filter(|pair| pair[1].began < pair[0].ended.unwrap()).count();
    assert_eq!(overlaps, 0);
}

#[test]
fn only_records_that_match_a_filter_are_delivered() {
    let topic = Topic::new("mixed.events", 1);
    let values =
        (0..50).map(|number| json!({"type": if number % 5 == 0 { "kept" } else { "dropped" }}).to_string());
    topic.produce(0, values);
    let api = LambdaApi::start();
    let pattern = json!({"value": {"type": ["kept"]}}).to_string();
    let uuid = api.map(&topic, json!({"FilterCriteria": {"Filters": [{"Pattern": pattern}]}}));
    let _poller = Poller::start(&api);
    wait::until("what was dropped is committed too", || topic.committed(&uuid, 0) == Some(50));
    assert_eq!(api.delivered()[&0], (0..50).step_by(5).collect::<Vec<i64>>());
}
