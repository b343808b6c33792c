//! The requests that the function signs with its role's credentials: `infra/tests/test_policies.py` holds the template's policies to them. The
//! cluster and AWS's services are stand-ins, because only the requests matter.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use testing::aws_services::AwsServices;
use testing::function_process::invoke_all;
use testing::http_server::{HttpServer, ReceivedRequest, json_response};
use testing::iam_requests::{
    CA_CERTIFICATE, CA_SECRET, GLUE_VALUE, REGISTRY_SECRET, SALT_SECRETS, SALTED_PIPELINE, assert_kept,
    signed,
};

use crate::objects::on_failure;
use crate::stand_in::StandIn;
use crate::world::{index_events, put_dead_letter, put_dead_letters};

const SECRET: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:search-AbCdEf";
/// Lambda stores on-failure records as `aws/lambda/<mapping>/<topic-partition>/YYYY/MM/DD/<time>-<id>`:
/// <https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html>.
const PREFIX: &str = "aws/lambda/00000000-0000-0000-0000-000000000000/order.events-0/";

/// Serves a cluster in memory over HTTP.
async fn serve(cluster: &StandIn) -> HttpServer {
    let cluster = cluster.clone();
    let server = HttpServer::start(move |request: ReceivedRequest| {
        let (status, body) = cluster.change(|state| match request.path() {
            "_bulk" => state.cluster.bulk(&request.body),
            "_mget" => state.cluster.multi_get(&request.json()),
            path if path.ends_with("/_field_caps") => state.cluster.field_capabilities(),
            path if path.ends_with("/_search") => state.cluster.search(&request.json()),
            path => (404, format!("the function is not known to request {path}")),
        });
        let response = json_response(status, &serde_json::from_str(&body).unwrap_or(Value::Null));
        async move { response }
    });
    server.await.unwrap()
}

async fn run(variables: &[(&str, &str)]) -> BTreeSet<String> {
    let cluster = StandIn::default();
    put_dead_letters(&cluster, 3);
    put_dead_letter(&cluster, 7, r#"{"poison":1}"#);
    cluster.change(|state| state.cluster.takes_number = Some("total"));
    index_events(&cluster, &[r#"{"total":1}"#, r#"{"total":"2 euros"}"#]).await;
    cluster.change(|state| {
        state.cluster.takes_number = None;
        state.cluster.refuses = Some("poison");
    });
    let server = serve(&cluster).await;
    let mut services = AwsServices::default();
    services.domains.insert("events".into(), server.endpoint().to_owned());
    services.secrets.insert(SECRET.into(), json!({"username": "u", "password": "p"}).to_string());
    for (key, value) in [("2026/01/01/a", "{}"), ("2026/01/01/b", GLUE_VALUE)] {
        services.objects.insert(format!("failed-batches/{PREFIX}{key}"), on_failure(10..12, value));
    }
    services.secrets.insert(CA_SECRET.into(), CA_CERTIFICATE.into());
    services.secrets.insert(REGISTRY_SECRET.into(), json!({"username": "u", "password": "p"}).to_string());
    services.secrets.extend(SALT_SECRETS.map(|id| (id.into(), "the salt of a test".into())));
    let services = services.start().await.unwrap();
    let all = [
        ("AWS_ENDPOINT_URL", services.endpoint()),
        ("BULK_COMPRESSION", "none"),
        ("SEARCH_ENDPOINT", server.endpoint()),
        ("SCHEMA_REGISTRY_URL", services.endpoint()),
    ];
    let has = |wanted: &str| variables.iter().any(|(name, _)| *name == wanted);
    let all = all.iter().filter(|(name, _)| match *name {
        "SEARCH_ENDPOINT" => !has("SEARCH_DOMAIN"),
        "SCHEMA_REGISTRY_URL" => has("SCHEMA_REGISTRY_AUTH"),
        _ => true,
    });
    let all = all.chain(variables);
    let events = [
        json!({"all": true, "dry_run": true}),
        json!({"all": true}),
        json!({"ids": ["order.events-0-7-5"]}),
        json!({"s3": {"bucket": "failed-batches", "prefix": "aws/lambda/", "delete": true}, "dry_run": true}),
        json!({"s3": {"bucket": "failed-batches", "key": format!("{PREFIX}2026/01/01/a")}}),
        json!({"s3": {"bucket": "failed-batches", "prefix": "aws/lambda/", "delete": true}}),
        json!({"conflicts": "list"}),
        json!({"conflicts": "fix", "all": true}),
    ];
    let responses =
        invoke_all(env!("CARGO_BIN_EXE_replay-dead-letters"), all.copied(), events).await.unwrap();
    for response in &responses {
        assert_eq!(response.get("errorType"), None, "{response}");
        assert_eq!(response["complete"], Value::Bool(true), "{response}");
    }
    assert_eq!(responses[5]["objects"]["deleted"], json!(2), "{}", responses[5]);
    assert_eq!(responses[6]["documents"], json!(1), "{}", responses[6]);
    assert_eq!(responses[7]["fixed"], json!(1), "{}", responses[7]);
    signed(server.take_requests().iter().chain(&services.take_requests()))
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
    assert_kept("replay-dead-letters", &runs).unwrap();
}
