//! Failing functions, a failing Lambda API, and what happens to records that can't be delivered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::Message;
use serde_json::{Value, json};

use crate::kafka::Topic;
use crate::lambda_api::{FunctionResult, LambdaApi, OK};
use crate::process::Poller;
use crate::wait;

#[test]
fn a_failed_batch_is_retried_whole_while_other_partitions_continue() {
    let topic = Topic::new("order.events", 2);
    let api = LambdaApi::start();
    let n_tries = AtomicUsize::new(0);
    api.function(move |invocation| {
        let fails = invocation.offsets().contains_key(&0) && n_tries.fetch_add(1, Ordering::Relaxed) < 3;
        (Duration::ZERO, if fails { FunctionResult::Failed } else { OK })
    });
    api.map(&topic, json!({}));
    topic.produce_numbers(0, 0..150);
    topic.produce_numbers(1, 0..500);
    let _poller = Poller::start(&api);
    wait::until("all are delivered", || api.n_delivered() == 650);
    let expected = BTreeMap::from([(0, (0..150).collect()), (1, (0..500).collect())]);
    assert_eq!(api.delivered(), expected);
    let invocations = api.invocations();
    let tries: Vec<_> = invocations.iter().filter(|it| it.offsets().contains_key(&0)).take(4).collect();
    assert!(tries.iter().all(|it| it.event == tries[0].event), "the same batch is retried");
    let others = invocations.iter().filter(|it| it.began < tries[3].began && !it.offsets().contains_key(&0));
    assert!(others.count() >= 4, "partition 1 is served while partition 0 fails");
}

#[test]
fn throttles_and_service_errors_do_not_use_up_retries() {
    let topic = Topic::new("order.events", 1);
    topic.produce_numbers(0, 0..10);
    let api = LambdaApi::start();
    let results = [
        FunctionResult::Status(429),
        FunctionResult::Status(500),
        FunctionResult::Status(503),
        FunctionResult::Status(404),
        OK,
    ];
    let place = AtomicUsize::new(0);
    api.function(move |_| (Duration::ZERO, results[place.fetch_add(1, Ordering::Relaxed).min(4)].clone()));
    api.map(&topic, json!({"MaximumRetryAttempts": 0}));
    let _poller = Poller::start(&api);
    wait::until("all are delivered", || api.n_delivered() == 10);
    assert_eq!(api.invocations().len(), 5);
}

#[test]
fn nothing_is_lost_while_the_lambda_api_is_down() {
    let topic = Topic::new("order.events", 1);
    let mut api = LambdaApi::start();
    api.map(&topic, json!({"BatchSize": 10}));
    let poller = Poller::start(&api);
    topic.produce_numbers(0, 0..50);
    wait::until("the first are delivered", || api.n_delivered() == 50);
    api.vanish();
    topic.produce_numbers(0, 50..100);
    wait::until("an invocation was tried", || poller.log().contains("function not invoked"));
    api.listen();
    wait::until("all are delivered", || api.n_delivered() == 100);
    assert_eq!(api.delivered()[&0], (0..100).collect::<Vec<i64>>());
}

#[test]
fn only_records_from_the_lowest_reported_offset_on_are_retried() {
    let topic = Topic::new("order.events", 2);
    topic.produce_numbers(0, 0..10);
    topic.produce_numbers(1, 0..10);
    let api = LambdaApi::start();
    let item = |partition: i32, offset: i64| json!({"itemIdentifier": {"partition": format!("{}-{partition}", topic.name), "offset": offset}});
    let responses = [
        // Not in the event: the whole batch is retried.
        json!({"batchItemFailures": [item(0, 10)]}),
        json!({"batchItemFailures": [item(0, 8), item(0, 4)]}),
        json!({"batchItemFailures": []}),
    ];
    let place = AtomicUsize::new(0);
    api.function(move |_| {
        (
            Duration::ZERO,
            FunctionResult::Returned(responses[place.fetch_add(1, Ordering::Relaxed).min(2)].clone()),
        )
    });
    let properties =
        json!({"FunctionResponseTypes": ["ReportBatchItemFailures"], "MaximumBatchingWindowInSeconds": 1});
    let uuid = api.map(&topic, properties);
    let _poller = Poller::start(&api);
    wait::until("all is committed", || (0..2).all(|partition| topic.committed(&uuid, partition) == Some(10)));
    let all: BTreeMap<i32, Vec<i64>> = (0..2).map(|partition| (partition, (0..10).collect())).collect();
    let tried: Vec<_> = api.invocations().iter().map(crate::lambda_api::Invocation::offsets).collect();
    assert_eq!(tried, [all.clone(), all, BTreeMap::from([(0, (4..10).collect())])]);
}

#[test]
fn a_poison_record_is_isolated_and_sent_to_the_destination_topic() {
    let topic = Topic::new("order.events", 1);
    let failed = Topic::new("failed.events", 1);
    topic.produce_whole(b"ord-1", Some(b"poison"), &[("trace", Some(b"t"))]);
    topic.produce_numbers(0, 1..32);
    let api = LambdaApi::start();
    api.function(|invocation| {
        let poisoned = invocation.values().iter().any(|value| value == "poison");
        (Duration::ZERO, if poisoned { FunctionResult::Failed } else { OK })
    });
    let uuid = api.map(&topic, json!({
        "BisectBatchOnFunctionError": true, "MaximumRetryAttempts": 2, "MaximumBatchingWindowInSeconds": 1,
        "DestinationConfig": {"OnFailure": {"Destination": format!("kafka://{}", failed.name)}},
    }));
    let _poller = Poller::start(&api);
    wait::until("all is committed", || topic.committed(&uuid, 0) == Some(32));
    assert_eq!(api.delivered()[&0], (1..32).collect::<Vec<i64>>());
    let sizes: Vec<usize> = api.invocations().iter().map(|it| it.records().count()).collect();
    assert_eq!(sizes, [32, 16, 8, 4, 2, 1, 1, 1, 1, 2, 4, 8, 16]);

    let records = failed.read(1);
    assert_eq!(records[0].key(), Some(b"ord-1".as_slice()));
    let mut document: Value = serde_json::from_slice(records[0].payload().unwrap()).unwrap();
    let event = &api.invocations()[5].event;
    let timestamp = &event["records"][format!("{}-0", topic.name)][0]["timestamp"];
    let time = chrono::DateTime::from_timestamp_millis(timestamp.as_i64().unwrap()).unwrap();
    let time = time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    document["timestamp"].take();
    let expected = json!({
        "requestContext": {"requestId": "", "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:consume",
            "condition": "RetryAttemptsExhausted", "approximateInvokeCount": 8},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0", "timestamp": null,
        "KafkaBatchInfo": {"batchSize": 1, "bootstrapServers": crate::kafka::bootstrap_servers(),
            "payloadSize": event.to_string().len(), "recordInfo": {"offset": "0", "timestamp": time}},
        "payload": event,
    });
    assert_eq!(document, expected);
}

#[test]
fn a_destination_that_is_down_holds_the_records_back() {
    let topic = Topic::new("order.events", 1);
    topic.produce_numbers(0, 0..1);
    let api = LambdaApi::start();
    api.function(|_| (Duration::ZERO, FunctionResult::Failed));
    let later = Topic::not_made("failed.events");
    let uuid = api.map(
        &topic,
        json!({"MaximumRetryAttempts": 0,
        "DestinationConfig": {"OnFailure": {"Destination": format!("kafka://{}", later.name)}}}),
    );
    let poller = Poller::start(&api);
    wait::until("the destination fails", || poller.log().contains("destination did not take the records"));
    assert_eq!(topic.committed(&uuid, 0), Some(0));
    later.make(1);
    wait::until("the destination has it", || topic.committed(&uuid, 0) == Some(1));
    assert_eq!(later.read(1).len(), 1);
    assert_eq!(api.invocations().len(), 1);
}

#[test]
fn a_record_larger_than_the_payload_limit_goes_to_the_destination() {
    let topic = Topic::new("order.events", 1);
    topic.produce(0, [vec![b'a'; 10], vec![b'x'; 6_000_000], vec![b'b'; 10]]);
    let failed = Topic::new("failed.events", 1);
    let api = LambdaApi::start();
    let uuid = api.map(
        &topic,
        json!({
        "DestinationConfig": {"OnFailure": {"Destination": format!("kafka://{}", failed.name)}}}),
    );
    let _poller = Poller::start(&api);
    wait::until("all is committed", || topic.committed(&uuid, 0) == Some(3));
    assert_eq!(api.values(), ["a".repeat(10), "b".repeat(10)]);
    let document: Value = serde_json::from_slice(failed.read(1)[0].payload().unwrap()).unwrap();
    assert_eq!(document["requestContext"]["condition"], "MaximumPayloadSizeExceeded");
    assert_eq!(document["responseContext"], Value::Null);
    assert_eq!(document["KafkaBatchInfo"]["recordInfo"]["offset"], "1");
}

#[test]
fn records_over_the_age_limit_are_discarded() {
    let topic = Topic::new("order.events", 1);
    let now_ms = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp_millis();
    topic.produce_at(0, now_ms - 120_000, "old");
    topic.produce_at(0, now_ms, "young");
    let api = LambdaApi::start();
    let uuid = api.map(&topic, json!({"MaximumRecordAgeInSeconds": 60}));
    let poller = Poller::start(&api);
    wait::until("all is committed", || topic.committed(&uuid, 0) == Some(2));
    assert_eq!(api.values(), ["young"]);
    assert!(poller.log().contains("RecordAgeExceeded"), "lost records are logged");
}
