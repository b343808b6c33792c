//! On-failure destinations on real SQS, SNS and S3 services.

use http::Method;
use serde_json::{Value, json};

use crate::kafka::{Topic, bootstrap_servers};
use crate::lambda_api::{FunctionResult, LambdaApi, OK};
use crate::process::Poller;
use crate::services::Services;
use crate::wait;

fn name(about: &str) -> String {
    format!("{about}-{:08x}", rand::random::<u32>())
}

/// Serves a mapping of three records whose function fails. Returns the API, the poller, the mapping's id and the topic.
fn fail_three(destination: &str) -> (LambdaApi, Poller, String, Topic) {
    let topic = Topic::new("order.events", 2);
    topic.produce_at(0, 1_764_000_000_001, "a");
    topic.produce_at(0, 1_764_000_000_002, "b");
    topic.produce_at(1, 1_764_000_000_003, "c");
    let api = LambdaApi::start();
    api.function(|_| (std::time::Duration::ZERO, FunctionResult::Failed));
    let uuid = api.map(
        &topic,
        json!({"MaximumRetryAttempts": 1, "MaximumBatchingWindowInSeconds": 1,
        "DestinationConfig": {"OnFailure": {"Destination": destination}}}),
    );
    let poller = Poller::start(&api);
    (api, poller, uuid, topic)
}

/// The description of these records that SQS and SNS get.
fn expected(api: &LambdaApi, topic: &Topic) -> Value {
    let info = |first: i64, last: i64, first_time: &str, last_time: &str| {
        json!({"firstRecordOffset": first.to_string(), "lastRecordOffset": last.to_string(),
            "firstRecordTimestamp": first_time, "lastRecordTimestamp": last_time})
    };
    json!({
        "requestContext": {"requestId": "", "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:consume",
            "condition": "RetryAttemptsExhausted", "approximateInvokeCount": 2},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": null,
        "KafkaBatchInfo": {
            "batchSize": 3,
            "bootstrapServers": bootstrap_servers(),
            "payloadSize": api.invocations()[0].n_bytes,
            "recordsInfo": {
                format!("{}-0", topic.name): info(0, 1, "2025-11-24T16:00:00.001Z", "2025-11-24T16:00:00.002Z"),
                format!("{}-1", topic.name): info(0, 0, "2025-11-24T16:00:00.003Z", "2025-11-24T16:00:00.003Z"),
            },
        },
    })
}

#[track_caller]
fn assert_document(mut document: Value, expected: &Value) {
    let time = document["timestamp"].take();
    chrono::DateTime::parse_from_rfc3339(time.as_str().unwrap()).unwrap();
    assert_eq!(&document, expected);
}

#[test]
fn a_queue_gets_the_description_of_the_records() {
    let services = Services::new();
    let queue = name("failed");
    let url = services.make_queue(&queue);
    let (api, _poller, uuid, topic) = fail_three(&format!("arn:aws:sqs:us-east-1:000000000000:{queue}"));
    assert_document(services.receive(&url), &expected(&api, &topic));
    wait::until("all is committed", || {
        topic.committed(&uuid, 0) == Some(2) && topic.committed(&uuid, 1) == Some(1)
    });
    assert_eq!(api.invocations().len(), 2);
}

#[test]
fn an_sns_topic_gets_the_description_of_the_records() {
    let services = Services::new();
    let (queue, sns_topic) = (name("subscribed"), name("failed"));
    let url = services.make_queue(&queue);
    services.sns(format!("Action=CreateTopic&Version=2010-03-31&Name={sns_topic}"));
    let topic_arn = format!("arn:aws:sns:us-east-1:000000000000:{sns_topic}");
    services.sns(format!(
        "Action=Subscribe&Version=2010-03-31&TopicArn={topic_arn}&Protocol=sqs\
         &Endpoint=arn:aws:sqs:us-east-1:000000000000:{queue}"
    ));
    let (api, _poller, _uuid, topic) = fail_three(&topic_arn);
    let notification = services.receive(&url);
    let document = serde_json::from_str(notification["Message"].as_str().unwrap()).unwrap();
    assert_document(document, &expected(&api, &topic));
}

#[test]
fn a_bucket_gets_the_whole_event() {
    let services = Services::new();
    let bucket = name("failed");
    services.call("s3", Method::PUT, &format!("/{bucket}"), &[], String::new());
    let (api, _poller, uuid, topic) = fail_three(&format!("arn:aws:s3:::{bucket}"));
    let prefix = format!("aws/lambda/{uuid}/{}-", topic.name);
    let mut key = None;
    wait::until("the bucket has an object", || {
        let list = services.call("s3", Method::GET, &format!("/{bucket}?list-type=2"), &[], String::new());
        let list = String::from_utf8(list.body.to_vec()).unwrap();
        key = list.split_once("<Key>").and_then(|(_, rest)| Some(rest.split_once("</Key>")?.0.to_owned()));
        key.is_some()
    });
    let key = key.unwrap();
    assert!(key.starts_with(&prefix) && key.contains("/2025/11/24/2025-11-24T16.00.00-"), "{key}");
    let object = services.call("s3", Method::GET, &format!("/{bucket}/{key}"), &[], String::new());
    let mut document: Value = serde_json::from_slice(&object.body).unwrap();
    let event: Value = serde_json::from_str(document["payload"].as_str().unwrap()).unwrap();
    assert_eq!(event, api.invocations()[0].event);
    document.as_object_mut().unwrap().remove("payload");
    assert_document(document, &expected(&api, &topic));
}

#[test]
fn a_missing_queue_holds_the_records_back_until_it_exists() {
    let services = Services::new();
    let queue = name("later");
    let (api, poller, uuid, topic) = fail_three(&format!("arn:aws:sqs:us-east-1:000000000000:{queue}"));
    wait::until("the destination fails", || poller.log().contains("destination did not take the records"));
    assert_eq!(topic.committed(&uuid, 0), Some(0));
    api.function(|_| (std::time::Duration::ZERO, OK));
    let url = services.make_queue(&queue);
    assert_document(services.receive(&url), &expected(&api, &topic));
    wait::until("all is committed", || topic.committed(&uuid, 0) == Some(2));
    assert_eq!(api.n_delivered(), 0, "discarded records are not retried");
}
