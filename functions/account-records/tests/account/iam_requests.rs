//! The requests that the function signs with its role's credentials: `infra/tests/test_account.py` holds the policies of `account.yaml` to
//! them. The brokers are those of librdkafka's mock cluster, and the cluster and AWS's services are stand-ins, because only the
//! requests matter.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use testing::function_process::invoke_all;
use testing::iam_requests::{GLUE_VALUE, RUNS, assert_kept, services, signed, variables};

use crate::stand_ins::{FUNCTION, brokers, mapping, search};

const BUCKET: &str = "failed-batches";
const KAFKA_SECRET: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:AmazonMSK_kafka";
const MSK: &str =
    "arn:aws:kafka:eu-central-1:123456789012:cluster/events/11111111-2222-3333-4444-555555555555-1";

/// Runs the function for a mapping with these members besides its topic, and returns what it signed and its response.
async fn run(own: &[(&str, &str)], more: Value) -> (BTreeSet<String>, Value) {
    let (kafka, search) = (brokers(&[&[r#"{"n":1}"#, GLUE_VALUE]]), search(None).await);
    let mut services = services(search.endpoint());
    let mut listed = mapping(&kafka);
    listed["DestinationConfig"] = json!({"OnFailure": {"Destination": format!("arn:aws:s3:::{BUCKET}")}});
    if let (Some(listed), Value::Object(more)) = (listed.as_object_mut(), more) {
        listed.extend(more);
    }
    let brokers = json!({"bootstrapBrokerString": kafka.bootstrap_servers()});
    let key = format!("{BUCKET}/aws/lambda/00000000-0000-0000-0000-000000000000/order.events-0/2026/01/01/a");
    services.objects.insert(key, json!({"requestContext": {}}).to_string());
    let msk = "arn%3Aaws%3Akafka%3Aeu-central-1%3A123456789012%3Acluster%2Fevents%2F11111111-2222-3333-4444-555555555555-1";
    services.json.extend([
        ("2015-03-31/event-source-mappings/".to_owned(), json!({"EventSourceMappings": [listed]})),
        (format!("2015-03-31/functions/{FUNCTION}/configuration"), json!({"Environment": {"Variables": {}}})),
        (format!("v1/clusters/{msk}/bootstrap-brokers"), brokers),
    ]);
    services.secrets.insert(KAFKA_SECRET.into(), r#"{"username":"u","password":"p"}"#.into());
    let services = services.start().await.unwrap();
    let mut all = variables(own, search.endpoint(), services.endpoint());
    all.push(("INDEX_FUNCTION", FUNCTION));
    let events = [json!({"since": "beginning"})];
    let mut responses = invoke_all(env!("CARGO_BIN_EXE_account-records"), all, events).await.unwrap();
    let requests = signed(search.take_requests().iter().chain(&services.take_requests()));
    (requests, responses.remove(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_requests_that_need_the_roles_rights_are_kept() {
    let mut runs = BTreeMap::new();
    for (name, own) in RUNS {
        let (requests, response) = run(own, Value::Null).await;
        assert_eq!(response["total"]["missing"], 2, "{name}: {response}");
        runs.insert(name, requests);
    }
    let (requests, response) = run(&[], json!({"EventSourceArn": MSK, "SelfManagedEventSource": null})).await;
    assert_eq!(response["total"]["missing"], 2, "{response}");
    runs.insert("MSK", requests);
    let access = json!([{"Type": "SASL_SCRAM_512_AUTH", "URI": KAFKA_SECRET}]);
    let (requests, response) = run(&[], json!({"SourceAccessConfigurations": access})).await;
    // The brokers here have neither TLS nor a login, which is an error of the topic.
    assert_eq!(response["errorType"], "AccountUnfinished", "{response}");
    runs.insert("Kafka secret", requests);
    assert_kept("account-records", &runs).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_can_t_be_counted_is_an_error_and_not_an_account_without_missing_records() {
    let (_, response) = run(&[], json!({"Topics": ["gone.events"]})).await;
    assert_eq!(response["errorType"], "AccountUnfinished", "{response}");
    let message = response["errorMessage"].as_str().unwrap_or_default();
    assert!(message.contains("records of gone.events were not counted"), "{message}");
}
