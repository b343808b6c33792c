//! Several pollers of one mapping.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use crate::kafka::Topic;
use crate::lambda_api::{Invocation, LambdaApi, OK};
use crate::process::Poller;
use crate::wait;

/// Asserts that no partition was in two invocations at once.
fn assert_apart(invocations: &[Invocation]) {
    for (place, earlier) in invocations.iter().enumerate() {
        for later in &invocations[place + 1..] {
            let overlap = earlier.ended.is_none_or(|ended| later.began < ended);
            let (earlier, later) = (earlier.offsets(), later.offsets());
            let shared = earlier.keys().find(|partition| later.contains_key(partition));
            assert!(!overlap || shared.is_none(), "partition {shared:?} was served twice at once");
        }
    }
}

#[test]
fn pollers_share_the_partitions_and_hand_them_over_without_loss_or_duplicates() {
    let topic = Topic::new("order.events", 4);
    let api = LambdaApi::start();
    api.function(|_| (Duration::from_millis(60), OK));
    let uuid = api.map(&topic, json!({"BatchSize": 10}));
    let produce = |round: i64| {
        (0..4).for_each(|partition| topic.produce_numbers(partition, round * 100..(round + 1) * 100));
    };
    let first = Poller::start(&api);
    produce(0);
    wait::until("the first poller delivers", || api.n_delivered() > 50);
    let second = Poller::start(&api);
    wait::until("the second poller has partitions", || second.log().contains("partitions assigned"));
    produce(1);
    wait::until("more is delivered", || api.n_delivered() > 500);
    assert!(first.stop().success());
    produce(2);
    let third = Poller::start(&api);
    wait::until("all are delivered", || api.n_delivered() >= 1_200);
    wait::until("all is committed", || {
        (0..4).all(|partition| topic.committed(&uuid, partition) == Some(300))
    });
    let expected: BTreeMap<i32, Vec<i64>> = (0..4).map(|partition| (partition, (0..300).collect())).collect();
    assert_eq!(api.delivered(), expected);
    assert_apart(&api.invocations());
    drop((second, third));
}

#[test]
fn a_poller_that_dies_leaves_its_partitions_to_the_others() {
    let topic = Topic::new("order.events", 4);
    let api = LambdaApi::start();
    api.function(|_| (Duration::from_millis(20), OK));
    api.map(&topic, json!({"BatchSize": 10}));
    let first = Poller::start(&api);
    let second = Poller::start(&api);
    for poller in [&first, &second] {
        wait::until("both have partitions", || poller.log().contains("partitions assigned"));
    }
    (0..4).for_each(|partition| topic.produce_numbers(partition, 0..200));
    wait::until("some are delivered", || api.n_delivered() > 100);
    first.kill();
    let distinct =
        || api.delivered().values().map(|it| it.iter().collect::<BTreeSet<_>>().len()).sum::<usize>();
    wait::until("all are delivered", || distinct() == 800);
    drop(second);
}
