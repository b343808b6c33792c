//! Offsets that hold no record for a consumer: markers of transactions, aborted records, deleted ones. The lag ends all the same.

use std::time::Duration;

use serde_json::json;

use crate::http::{free_address, get};
use crate::kafka::{Topic, Transaction};
use crate::lambda_api::{FunctionResult, LambdaApi, OK};
use crate::process::{Poller, lag};
use crate::wait;

/// Whether `kafka-poller lag` and the metric both say that nothing waits in any of `n` partitions.
fn nothing_waits(api: &LambdaApi, url: &str, n: usize) -> bool {
    let table = lag(api);
    let waiting = table.lines().skip(1).filter(|line| line.split_whitespace().last() != Some("0")).count();
    let metrics = get(&format!("{url}/metrics")).1;
    let lags: Vec<&str> =
        metrics.lines().filter(|line| line.starts_with("kafka_poller_lag_records{")).collect();
    waiting == 0 && lags.len() == n && lags.iter().all(|line| line.ends_with(" 0"))
}

#[test]
fn the_lag_is_0_after_transactions_whatever_their_end() {
    let topic = Topic::new("transacted.events", 2);
    let api = LambdaApi::start();
    let uuid = api.map(&topic, json!({"BatchSize": 10}));
    let address = free_address();
    let url = format!("http://{address}");
    let poller = Poller::start_with(&api, &["--listen", &address]);
    topic.transact(0, 0..5, Transaction::Committed);
    topic.transact(0, 100..103, Transaction::Aborted);
    topic.transact(0, 5..7, Transaction::Committed);
    topic.transact(1, 0..3, Transaction::Aborted);
    wait::until("the committed ones are delivered", || api.n_delivered() == 7);
    // 5 records and a marker, 3 and a marker, 2 and a marker; 3 and a marker.
    wait::until("the lag is 0", || nothing_waits(&api, &url, 2));
    assert_eq!((topic.committed(&uuid, 0), topic.committed(&uuid, 1)), (Some(13), Some(4)));
    assert_eq!(api.values(), ["0", "1", "2", "3", "4", "5", "6"]);

    // A restart loses and repeats nothing, also when it begins before a marker.
    assert!(poller.stop().success());
    topic.commit(&uuid, 1, 0);
    topic.transact(0, 7..9, Transaction::Committed);
    let _poller = Poller::start_with(&api, &["--listen", &address]);
    wait::until("the next are delivered", || api.n_delivered() == 9);
    wait::until("the lag is 0 again", || nothing_waits(&api, &url, 2));
    assert_eq!(api.values(), ["0", "1", "2", "3", "4", "5", "6", "7", "8"]);
    assert_eq!((topic.committed(&uuid, 0), topic.committed(&uuid, 1)), (Some(16), Some(4)));
}

#[test]
fn a_marker_is_not_passed_before_the_records_ahead_of_it_are_done() {
    let topic = Topic::new("transacted.events", 1);
    let api = LambdaApi::start();
    api.function(|_| (Duration::ZERO, FunctionResult::Failed));
    let uuid = api.map(&topic, json!({"BatchSize": 2}));
    let poller = Poller::start(&api);
    topic.transact(0, 0..4, Transaction::Committed);
    topic.transact(0, 4..6, Transaction::Aborted);
    wait::until("the function fails", || poller.log().contains("function failed"));
    // The client's statistics, which name the end, come every two seconds.
    wait::throughout(Duration::from_secs(5), "nothing is committed", || topic.committed(&uuid, 0) == Some(0));
    poller.kill();
    api.function(|_| (Duration::ZERO, OK));
    let _poller = Poller::start(&api);
    wait::until("all is committed, the markers too", || topic.committed(&uuid, 0) == Some(8));
    assert_eq!(api.values(), ["0", "1", "2", "3"]);
}

#[test]
fn the_lag_is_0_after_the_records_that_waited_were_deleted() {
    let topic = Topic::new("deleted.events", 1);
    topic.produce_numbers(0, 0..10);
    let api = LambdaApi::start();
    let uuid = api.map(&topic, json!({}));
    topic.commit(&uuid, 0, 4);
    topic.delete_before(0, 10);
    let address = free_address();
    let url = format!("http://{address}");
    let _poller = Poller::start_with(&api, &["--listen", &address]);
    wait::until("the lag is 0", || nothing_waits(&api, &url, 1));
    assert_eq!((topic.committed(&uuid, 0), api.n_delivered()), (Some(10), 0));
}
