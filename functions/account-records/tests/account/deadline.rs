//! An account that can't be finished in time says so. A real cluster can't be made to respond to one partition alone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use account_records::config::AccountConfig;
use account_records::handler::{Handler, InvocationError};
use account_records::metrics;
use kafka_to_search::aws_api::Aws;
use kafka_to_search::msk_iam::MskIam;
use lambda_support::role::role_services;
use serde_json::{Value, json};
use testing::aws_services::AwsServices;
use testing::environment::lookup;

use crate::stand_ins::{FUNCTION, TOPIC, brokers, mapping, search};

const SINCE: &[u8] = br#"{"since":"beginning"}"#;

fn within(time: Duration) -> u64 {
    (SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + time).as_millis() as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_counted_before_the_deadline_is_reported_and_what_was_not_is_an_error() {
    let brokers = brokers(&[&["1", "2"], &["3"], &["4"]]);
    let search = search(Some(r#""kafka_partition":1"#)).await;
    let mut services = AwsServices::default();
    services.json.extend([
        ("2015-03-31/event-source-mappings/".to_owned(), json!({"EventSourceMappings": [mapping(&brokers)]})),
        (
            format!("2015-03-31/functions/{FUNCTION}/configuration"),
            json!({"Environment": {"Variables": {"SEARCH_ENDPOINT": search.endpoint()}}}),
        ),
    ]);
    let services = services.start().await.unwrap();
    let environment = lookup([
        ("AWS_ENDPOINT_URL", services.endpoint()),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ]);
    let config = AccountConfig::parse(&[("INDEX_FUNCTION".to_owned(), FUNCTION.to_owned())].into()).unwrap();
    let aws = Aws::new(&environment).unwrap();
    let iam = MskIam::new("AKID", "secret", None, "eu-central-1");
    let secrets = role_services(&environment);
    let handler = Handler::new(config, aws, iam, secrets, "account".into(), Duration::from_secs(60));

    let report = handler.account(SINCE, within(Duration::from_secs(5))).await.unwrap();
    assert!(!report.is_whole());
    let json = report.json(10);
    assert_eq!((&json["complete"], &json["total"]["missing"]), (&json!(false), &json!(2)), "{json:#}");
    assert_eq!(json["topics"][0]["uncounted_partitions"], json!([1, 2]));
    let line: Value = serde_json::from_str(&metrics::lines(&report, 0, "account")[0]).unwrap();
    assert_eq!((&line["RecordsMissing"], &line["TopicsUncounted"]), (&json!(2), &json!(1)));

    let error = handler.handle(SINCE, within(Duration::from_secs(5))).await.unwrap_err();
    assert!(matches!(error, InvocationError::Unfinished { missing: 2, .. }), "{error}");
    assert!(error.to_string().starts_with(&format!("records of {TOPIC} were not counted")), "{error}");
}
