//! The requests that the function signs with its role's credentials: `infra/tests/test_policies.py` holds the template's policies to them. The
//! cluster and AWS's services are stand-ins, because only the requests matter.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use testing::bulk;
use testing::function_process::invoke_all;
use testing::http_server::{HttpServer, ReceivedRequest, json_response};
use testing::iam_requests::{GLUE_VALUE, RUNS, assert_kept, services, signed, variables};
use testing::kafka_event::{EventRecord, payload};

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

async fn run(own: &[(&str, &str)]) -> BTreeSet<String> {
    let cluster = cluster().await;
    let services = services(cluster.endpoint()).start().await.unwrap();
    let all = variables(own, cluster.endpoint(), services.endpoint());
    let responses = invoke_all(env!("CARGO_BIN_EXE_index-events"), all, [batch()]).await.unwrap();
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
    let mut runs = BTreeMap::new();
    for (name, own) in RUNS {
        runs.insert(name, run(own).await);
    }
    assert_kept("index-events", &runs).unwrap();
}
