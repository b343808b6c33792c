//! A poller's health while records wait in vain, and after some were lost.

use std::time::Duration;

use rdkafka::Message;
use serde_json::{Value, json};

use crate::http::{free_address, get};
use crate::kafka::Topic;
use crate::lambda_api::{FunctionResult, LambdaApi, OK};
use crate::process::Poller;
use crate::wait;

/// Whether the poller is not well, and says all of `words`.
fn is_bad(url: &str, words: &[&str]) -> bool {
    let (code, body) = get(&format!("{url}/health"));
    code == 503 && words.iter().all(|word| body.contains(word))
}

#[test]
fn a_partition_that_makes_no_progress_is_a_problem_with_its_reason_until_it_moves() {
    let topic = Topic::new("order.events", 2);
    topic.produce_numbers(0, 0..10);
    topic.produce_numbers(1, 0..10);
    let mut api = LambdaApi::start();
    api.function(|invocation| {
        let fails = invocation.offsets().contains_key(&1);
        (Duration::ZERO, if fails { FunctionResult::Failed } else { OK })
    });
    // Each partition fills a batch alone, so that one of them moves.
    let uuid = api.map(&topic, json!({"BatchSize": 10}));
    let address = free_address();
    let url = format!("http://{address}");
    let poller = Poller::start_with(&api, &["--listen", &address, "--stalled-after-s", "2"]);
    let about = ["partition 1 makes no progress", "10 records wait"];
    wait::until("a function that fails is the reason", || {
        is_bad(
            &url,
            &[about[0], about[1], "consume fails (Unhandled)", "scripted by the test", "Its log says why"],
        )
    });
    assert_eq!(topic.committed(&uuid, 0), Some(10));
    let metrics = get(&format!("{url}/metrics")).1;
    assert!(
        metrics.contains(&format!(
            "kafka_poller_mapping_stalled{{mapping=\"{uuid}\",topic=\"{}\"}} 1",
            topic.name
        ))
    );
    assert!(poller.log().contains("partition 1 makes no progress"));

    for (status, fix) in [(404, "Deploy the function"), (429, "throttled")] {
        api.function(move |_| (Duration::ZERO, FunctionResult::Status(status)));
        wait::until("a function that is not invoked is the reason", || {
            is_bad(&url, &[about[0], about[1], &format!("lambda returned {status}"), fix])
        });
    }
    api.vanish();
    wait::until("a Lambda API that is away is the reason", || {
        is_bad(&url, &[about[0], "lambda was not reached", "the Lambda API is not reachable"])
    });
    api.listen();
    api.function(|_| (Duration::ZERO, OK));
    wait::until("it is well again", || get(&format!("{url}/health")).0 == 200);
    assert_eq!(topic.committed(&uuid, 1), Some(10));
    wait::until("the log says so", || poller.log().contains("no partition is stalled any more"));
}

#[test]
fn records_that_are_reported_as_failed_again_and_again_are_a_problem() {
    let topic = Topic::new("order.events", 1);
    topic.produce_numbers(0, 0..10);
    let api = LambdaApi::start();
    let item = json!({"itemIdentifier": {"partition": format!("{}-0", topic.name), "offset": 4}});
    api.function(move |_| {
        (Duration::ZERO, FunctionResult::Returned(json!({"batchItemFailures": [item.clone()]})))
    });
    let uuid = api.map(&topic, json!({"FunctionResponseTypes": ["ReportBatchItemFailures"]}));
    let address = free_address();
    let url = format!("http://{address}");
    let _poller = Poller::start_with(&api, &["--listen", &address, "--stalled-after-s", "2"]);
    wait::until("the reason is named", || {
        is_bad(&url, &["partition 0 makes no progress", "6 records wait", "reports 1 failed record"])
    });
    assert_eq!(topic.committed(&uuid, 0), Some(4));
}

#[test]
fn a_destination_that_takes_no_records_is_a_problem_until_it_does() {
    let topic = Topic::new("order.events", 1);
    topic.produce_numbers(0, 0..1);
    let api = LambdaApi::start();
    api.function(|_| (Duration::ZERO, FunctionResult::Failed));
    let later = Topic::not_made("failed.events");
    let destination = format!("kafka://{}", later.name);
    api.map(
        &topic,
        json!({"MaximumRetryAttempts": 0, "DestinationConfig": {"OnFailure": {"Destination": destination}}}),
    );
    let address = free_address();
    let url = format!("http://{address}");
    let _poller = Poller::start_with(&api, &["--listen", &address, "--stalled-after-s", "2"]);
    let expected =
        ["1 record waits", "the on-failure destination takes no records", "Correct the destination"];
    wait::until("the reason is named", || is_bad(&url, &expected));
    later.make(1);
    wait::until("it is well again", || get(&format!("{url}/health")).0 == 200);
}

#[test]
fn a_record_that_is_too_large_and_has_no_destination_is_a_problem_and_with_one_it_is_kept() {
    let topic = Topic::new("large.events", 1);
    topic.produce(0, [vec![b'a'; 10], vec![b'x'; 6_000_000], vec![b'b'; 10]]);
    let api = LambdaApi::start();
    let uuid = api.map(&topic, json!({}));
    let address = free_address();
    let url = format!("http://{address}");
    let poller = Poller::start_with(&api, &["--listen", &address]);
    wait::until("the others are delivered and all is committed", || topic.committed(&uuid, 0) == Some(3));
    assert_eq!(api.values(), ["a".repeat(10), "b".repeat(10)]);
    let place = format!("{}-0 offset 1, MaximumPayloadSizeExceeded, 80002", topic.name);
    wait::until("the loss is a problem", || is_bad(&url, &["1 record is lost", &place, "S3 bucket"]));
    let metrics = get(&format!("{url}/metrics")).1;
    let lost = format!("kafka_poller_records_lost_total{{mapping=\"{uuid}\",topic=\"{}\"}} 1", topic.name);
    assert!(metrics.lines().any(|line| line == lost), "{metrics}");
    let log = poller.log();
    let line = log.lines().find(|line| line.contains("records are lost")).unwrap();
    for word in ["ERROR", &topic.name, "{0: 1..=1}", "n_bytes=80002", "n_bytes_allowed=6291456"] {
        assert!(line.contains(word), "{word} is not in {line}");
    }

    let failed = Topic::new("failed.events", 1);
    let destination = format!("kafka://{}", failed.name);
    api.update(&uuid, json!({"DestinationConfig": {"OnFailure": {"Destination": destination}}}));
    wait::until("it is well after the change", || get(&format!("{url}/health")).0 == 200);
    topic.produce(0, [vec![b'y'; 6_000_000]]);
    wait::until("the next is committed", || topic.committed(&uuid, 0) == Some(4));
    let document: Value = serde_json::from_slice(failed.read(1)[0].payload().unwrap()).unwrap();
    assert_eq!(document["KafkaBatchInfo"]["recordInfo"]["offset"], "3");
    assert_eq!(get(&format!("{url}/health")).0, 200);
}
