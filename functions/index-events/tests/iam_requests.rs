//! The requests that the function signs with its role's credentials: `infra/tests/test_policies.py` holds the template's policies to them. The
//! cluster and AWS's services are stand-ins, because only the requests matter.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use testing::aws_services::AwsServices;
use testing::bulk;
use testing::function_process::invoke_all;
use testing::http_server::{HttpServer, ReceivedRequest, json_response};
use testing::iam_requests::{
    CA_CERTIFICATE, CA_SECRET, GLUE_VALUE, REGISTRY_SECRET, SALT_SECRETS, SALTED_PIPELINE, assert_kept,
    signed,
};
use testing::kafka_event::{EventRecord, payload};

const SECRET: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:search-AbCdEf";

/// Starts a cluster that refuses each document in its first form, accepts it in the next, and takes a document that holds
/// `refused` in no form but a dead letter.
async fn cluster() -> HttpServer {
    let server = HttpServer::start(async |request: ReceivedRequest| {
        let text = request.text();
        let documents = text.lines().collect::<Vec<_>>();
        let items = documents.chunks(2).map(|lines| {
            let (action, source) = (lines.first().unwrap_or(&""), lines.get(1).unwrap_or(&""));
            let is_dead_letter = action.contains("dead-letters-");
            let is_first = !source.contains("_mappingconflict");
            if !is_dead_letter && (is_first || source.contains("refused")) {
                bulk::failed(400, "mapper_parsing_exception", "failed to parse field [n] of type [long]")
            } else {
                json!(201)
            }
        });
        json_response(200, &bulk::response(items))
    });
    server.await.unwrap()
}

fn batch() -> Value {
    let record = |offset: i64, value: &str| EventRecord {
        topic: "order.events".into(),
        offset,
        timestamp_ms: 1_767_225_600_000,
        value: Some(value.as_bytes().to_vec()),
        ..EventRecord::default()
    };
    payload([
        record(0, r#"{"n":"x"}"#),
        record(1, r#"{"n":"refused"}"#),
        record(2, "not JSON"),
        record(3, GLUE_VALUE),
    ])
}

async fn run(variables: &[(&str, &str)]) -> BTreeSet<String> {
    let cluster = cluster().await;
    let mut services = AwsServices::default();
    services.domains.insert("events".into(), cluster.endpoint().to_owned());
    services.secrets.insert(SECRET.into(), json!({"username": "u", "password": "p"}).to_string());
    services.secrets.insert(CA_SECRET.into(), CA_CERTIFICATE.into());
    services.secrets.insert(REGISTRY_SECRET.into(), json!({"username": "u", "password": "p"}).to_string());
    services.secrets.extend(SALT_SECRETS.map(|id| (id.into(), "the salt of a test".into())));
    let services = services.start().await.unwrap();
    let all = [
        ("AWS_ENDPOINT_URL", services.endpoint()),
        ("BULK_COMPRESSION", "none"),
        ("SEARCH_ENDPOINT", cluster.endpoint()),
        ("SCHEMA_REGISTRY_URL", services.endpoint()),
    ];
    let has = |wanted: &str| variables.iter().any(|(name, _)| *name == wanted);
    let all = all.iter().filter(|(name, _)| match *name {
        "SEARCH_ENDPOINT" => !has("SEARCH_DOMAIN"),
        "SCHEMA_REGISTRY_URL" => has("SCHEMA_REGISTRY_AUTH"),
        _ => true,
    });
    let all = all.chain(variables);
    let responses = invoke_all(env!("CARGO_BIN_EXE_index-events"), all.copied(), [batch()]).await.unwrap();
    assert_eq!(responses, [json!({"batchItemFailures": []})]);
    let written = cluster.take_requests();
    assert!(
        written.iter().any(|request| request.text().contains("dead-letters-")),
        "there was no dead letter"
    );
    signed(written.iter().chain(&services.take_requests()))
}

#[tokio::test]
async fn the_requests_that_need_the_roles_rights_are_kept() {
    let with_secret = [("SEARCH_AUTH", "basic"), ("SEARCH_SECRET_ID", SECRET)];
    let with_registry = [
        ("SCHEMA_REGISTRY_AUTH", "basic"),
        ("SCHEMA_REGISTRY_SECRET_ID", REGISTRY_SECRET),
        ("SCHEMA_REGISTRY_CA_CERT", CA_SECRET),
    ];
    let runs = BTreeMap::from([
        ("domain", run(&[("SEARCH_DOMAIN", "events"), ("SEARCH_AUTH", "sigv4")]).await),
        ("endpoint", run(&[("SEARCH_AUTH", "sigv4")]).await),
        ("secret", run(&with_secret).await),
        ("secret, CA secret", run(&[&with_secret[..], &[("SEARCH_CA_CERT", CA_SECRET)]].concat()).await),
        ("salts", run(&[("PIPELINE_FILE", SALTED_PIPELINE)]).await),
        ("Glue", run(&[("SCHEMA_REGISTRY_AUTH", "glue")]).await),
        ("registry secret, CA secret", run(&with_registry).await),
    ]);
    assert_kept("index-events", &runs).unwrap();
}
