//! Where a consumer group starts, and that it continues from there whatever happens to the poller or the topic.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::kafka::Topic;
use crate::lambda_api::{LambdaApi, OK};
use crate::process::Poller;
use crate::wait;

#[test]
fn latest_starts_with_records_written_from_then_on_also_after_a_restart() {
    let topic = Topic::new("order.events", 1);
    topic.produce(0, ["before"]);
    let api = LambdaApi::start();
    let uuid = api.map(&topic, json!({"StartingPosition": "LATEST"}));
    let poller = Poller::start(&api);
    wait::until("the beginning is committed", || topic.committed(&uuid, 0) == Some(1));
    poller.kill();
    topic.produce(0, ["while the poller is down"]);
    let _poller = Poller::start(&api);
    wait::until("it is delivered", || api.n_delivered() == 1);
    assert_eq!(api.values(), ["while the poller is down"]);
}

#[test]
fn at_timestamp_starts_with_the_first_record_of_that_time() {
    let topic = Topic::new("order.events", 2);
    for (partition, timestamp_ms) in [(0, 1_000), (0, 2_000), (0, 3_000), (1, 1_500), (1, 1_999)] {
        topic.produce_at(partition, 1_764_000_000_000 + timestamp_ms, &format!("{partition} {timestamp_ms}"));
    }
    let api = LambdaApi::start();
    let timestamp = json!({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1_764_000_002.0});
    let uuid = api.map(&topic, timestamp);
    let _poller = Poller::start(&api);
    wait::until("all is committed", || {
        topic.committed(&uuid, 0) == Some(3) && topic.committed(&uuid, 1) == Some(2)
    });
    assert_eq!(api.values(), ["0 2000", "0 3000"]);
}

#[test]
fn the_offsets_of_an_existing_group_override_the_starting_position() {
    let topic = Topic::new("order.events", 1);
    topic.produce_numbers(0, 0..10);
    let group_id = format!("group-{}", topic.name);
    topic.commit(&group_id, 0, 7);
    let api = LambdaApi::start();
    api.map(&topic, json!({"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": group_id}}));
    let _poller = Poller::start(&api);
    wait::until("the rest is delivered", || api.n_delivered() == 3);
    assert_eq!(api.values(), ["7", "8", "9"]);
}

#[test]
fn a_partition_that_is_added_is_read_from_its_beginning() {
    let mut topic = Topic::new("order.events", 1);
    topic.produce(0, ["before"]);
    let api = LambdaApi::start();
    let uuid = api.map(&topic, json!({"StartingPosition": "LATEST"}));
    let _poller = Poller::start(&api);
    wait::until("the beginning is committed", || topic.committed(&uuid, 0) == Some(1));
    topic.grow_to(2);
    topic.produce(1, ["before the poller knows of the partition"]);
    wait::until("it is delivered", || api.n_delivered() == 1);
    assert_eq!(api.values(), ["before the poller knows of the partition"]);
}

#[test]
fn a_recreated_topic_is_read_from_its_beginning() {
    let mut topic = Topic::new("order.events", 1);
    topic.produce_numbers(0, 0..20);
    let api = LambdaApi::start();
    let uuid = api.map(&topic, json!({"StartingPosition": "LATEST"}));
    topic.commit(&uuid, 0, 0);
    let _poller = Poller::start(&api);
    wait::until("the first are delivered", || api.n_delivered() == 20);
    topic.recreate(1);
    topic.produce(0, (0..5).map(|number| format!("new {number}")));
    wait::until("the new ones are delivered", || api.n_delivered() >= 25);
    let expected: Vec<String> = (0..5).map(|number| format!("new {number}")).collect();
    let (old, new): (Vec<String>, Vec<String>) =
        api.values().into_iter().partition(|value| !value.starts_with("new"));
    // The new topic is read from its beginning when its id is known, whatever was read of it until then.
    assert_eq!((old.len(), new.iter().collect::<BTreeSet<_>>()), (20, expected.iter().collect()));
    wait::until("the new offsets are committed", || topic.committed(&uuid, 0) == Some(5));
}

#[test]
fn an_offset_of_a_deleted_topic_is_not_followed() {
    let topic = Topic::new("order.events", 1);
    topic.produce_numbers(0, 0..10);
    let group_id = format!("group-{}", topic.name);
    topic.commit_with_metadata(&group_id, 0, 7, "initial-partitions=1 topic-id=another");
    let api = LambdaApi::start();
    let group = json!({"ConsumerGroupId": group_id});
    api.map(&topic, json!({"StartingPosition": "LATEST", "SelfManagedKafkaEventSourceConfig": group}));
    let _poller = Poller::start(&api);
    // The client learns the topic's id only after it started to read: the last three may come twice.
    let all: BTreeSet<String> = (0..10).map(|number| number.to_string()).collect();
    wait::until("all are delivered", || api.values().into_iter().collect::<BTreeSet<_>>() == all);
    wait::until("they are committed", || topic.committed(&group_id, 0) == Some(10));
}

#[test]
fn a_graceful_stop_waits_for_the_invocation_and_commits_it() {
    let topic = Topic::new("order.events", 1);
    topic.produce_numbers(0, 0..30);
    let api = LambdaApi::start();
    api.function(|_| (Duration::from_millis(1_500), OK));
    let uuid = api.map(&topic, json!({"BatchSize": 10}));
    let poller = Poller::start(&api);
    wait::until("an invocation runs", || !api.invocations().is_empty());
    assert!(poller.stop().success());
    assert_eq!(api.n_delivered(), 10, "the running invocation ends, and no other is started");
    assert_eq!(topic.committed(&uuid, 0), Some(10));
    api.function(|_| (Duration::ZERO, OK));
    let _poller = Poller::start(&api);
    wait::until("the rest is delivered", || api.n_delivered() >= 30);
    assert_eq!(api.delivered()[&0], (0..30).collect::<Vec<i64>>(), "nothing twice");
}

#[test]
fn nothing_is_lost_or_out_of_order_when_the_poller_is_killed_again_and_again() {
    let topic = Topic::new("order.events", 3);
    let api = LambdaApi::start();
    api.function(|_| (Duration::from_millis(20), OK));
    api.map(&topic, json!({"BatchSize": 20}));
    for round in 0..4 {
        for partition in 0..3 {
            topic.produce_numbers(partition, round * 200..(round + 1) * 200);
        }
        let poller = Poller::start(&api);
        let n_before = api.n_delivered();
        wait::until("some are delivered", || api.n_delivered() > n_before + 100);
        std::thread::sleep(Duration::from_millis(rand::random_range(0..300)));
        poller.kill();
    }
    let _poller = Poller::start(&api);
    let distinct = |offsets: &[i64]| offsets.iter().collect::<BTreeSet<_>>().len();
    wait::until("all are delivered", || {
        api.delivered().values().map(|it| distinct(it)).sum::<usize>() == 2_400
    });
    for (partition, offsets) in api.delivered() {
        // After a kill the poller may go back to the committed offset, but never forward past a record.
        let mut reached = 0;
        for pair in offsets.windows(2) {
            assert!(pair[1] <= pair[0] + 1, "partition {partition} jumps from {} to {}", pair[0], pair[1]);
            reached = reached.max(pair[1]);
        }
        assert_eq!((offsets[0], reached), (0, 799));
        let n_twice = offsets.len() - distinct(&offsets);
        assert!(n_twice <= 4 * 200, "{n_twice} records of partition {partition} came twice");
    }
}

#[test]
fn a_change_of_the_mapping_waits_for_the_invocation_and_a_stop_for_both() {
    let topic = Topic::new("order.events", 1);
    topic.produce_numbers(0, 0..30);
    let api = LambdaApi::start();
    api.function(|_| (Duration::from_millis(2_000), OK));
    let uuid = api.map(&topic, json!({"BatchSize": 10}));
    let poller = Poller::start(&api);
    wait::until("an invocation runs", || !api.invocations().is_empty());
    api.update(&uuid, json!({"BatchSize": 5}));
    wait::until("the change is seen", || poller.log().contains("stopping mapping"));
    assert!(poller.stop().success());
    assert_eq!(api.n_delivered(), 10);
    assert_eq!(topic.committed(&uuid, 0), Some(10));
}
