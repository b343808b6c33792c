//! The requests that the function signs with its role's credentials: `infra/tests/test_policies.py` holds the template's policies to them. The
//! cluster and AWS's services are stand-ins, because only the requests matter.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use testing::function_process::invoke_all;
use testing::http_server::{HttpServer, ReceivedRequest, json_response};
use testing::iam_requests::{GLUE_VALUE, RUNS, assert_kept, services, signed, variables};

use crate::objects::on_failure;
use crate::stand_in::StandIn;
use crate::world::{index_events, put_dead_letter, put_dead_letters};

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

async fn run(own: &[(&str, &str)]) -> BTreeSet<String> {
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
    let mut services = services(server.endpoint());
    for (key, value) in [("2026/01/01/a", "{}"), ("2026/01/01/b", GLUE_VALUE)] {
        services.objects.insert(format!("failed-batches/{PREFIX}{key}"), on_failure(10..12, value));
    }
    let services = services.start().await.unwrap();
    let all = variables(own, server.endpoint(), services.endpoint());
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
    let responses = invoke_all(env!("CARGO_BIN_EXE_replay-dead-letters"), all, events).await.unwrap();
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
    let mut runs = BTreeMap::new();
    for (name, own) in RUNS {
        runs.insert(name, run(own).await);
    }
    assert_kept("replay-dead-letters", &runs).unwrap();
}
