//! A poller's health, status and metrics over HTTP.

use std::process::Command;

use serde_json::{Value, json};

use crate::http::{free_address, get};
use crate::kafka::Topic;
use crate::lambda_api::{FunctionResult, LambdaApi};
use crate::process::Poller;
use crate::wait;

#[test]
fn health_status_and_metrics_report_what_the_poller_does() {
    let topic = Topic::new("order.events", 1);
    topic.produce_numbers(0, 0..30);
    let mut api = LambdaApi::start();
    api.function(|invocation| {
        let fails = invocation.values().contains(&"20".to_owned());
        (std::time::Duration::ZERO, if fails { FunctionResult::Failed } else { crate::lambda_api::OK })
    });
    let uuid = api.map(&topic, json!({"BatchSize": 10}));
    let address = free_address();
    let url = format!("http://{address}");
    let _poller = Poller::start_with(&api, &["--listen", &address]);
    wait::until("the last batch has failed", || {
        get(&format!("{url}/status")).1.contains("Function call failed")
    });
    wait::until("the lag is known", || {
        get(&format!("{url}/metrics")).1.contains("kafka_poller_lag_records{")
    });

    let status: Value = serde_json::from_str(&get(&format!("{url}/status")).1).unwrap();
    let mapping = &status["mappings"][0];
    assert_eq!((&mapping["uuid"], &mapping["problem"]), (&json!(uuid), &Value::Null));
    let expected = json!({"partition": 0, "committed": 20, "end": 30, "pending": 0, "inFlight": true});
    assert_eq!(mapping["partitions"], json!([expected]));
    assert_eq!(mapping["counts"]["delivered"], 20);

    let metrics = get(&format!("{url}/metrics")).1;
    let labels = format!("mapping=\"{uuid}\",topic=\"{}\"", topic.name);
    for line in [
        format!("kafka_poller_lag_records{{{labels},partition=\"0\"}} 10"),
        format!("kafka_poller_records_received_total{{{labels}}} 30"),
        format!("kafka_poller_invocations_total{{{labels},result=\"succeeded\"}} 2"),
        format!("kafka_poller_record_age_seconds_count{{{labels}}} 20"),
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line} is not in\n{metrics}");
    }

    let table =
        Command::new(env!("CARGO_BIN_EXE_kafka-poller")).args(["status", "--url", &url]).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.starts_with("MAPPING") && table.contains("PROBLEM: Function call failed"), "{table}");

    assert_eq!(get(&format!("{url}/health")).0, 200);
    api.vanish();
    wait::until("the poller is not healthy without the Lambda API", || {
        get(&format!("{url}/health")).0 == 503
    });
    api.listen();
    wait::until("the poller is healthy again", || get(&format!("{url}/health")).0 == 200);
    api.map(&topic, json!({"FilterCriteria": {"Filters": [{"Pattern": "not json"}]}}));
    wait::until("a mapping that is not served is reported", || {
        let (code, body) = get(&format!("{url}/health"));
        code == 503 && body.contains("filter pattern is not JSON")
    });
}
