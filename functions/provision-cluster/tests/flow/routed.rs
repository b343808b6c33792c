//! Indices that the rules of topics route events to.

use serde_json::{Value, json};
use testing::http_server::{HttpServer, ReceivedRequest};

use crate::index_management::Index;
use crate::stand_in::StandIn;
use crate::world::World;

const RULES: &str = "
topics:
  - match: payments.*
    index: payments-{payload.tenant|unknown}
  - match: notification.events
    index: notifications
  - match: order.events
    index: shop-orders
";

async fn routed(stand_in: &StandIn, rules: &str) -> (HttpServer, World) {
    let server = stand_in.start().await;
    let world = World::new(server.endpoint()).with(&[
        ("INDEX_PREFIX", "shop"),
        ("DASHBOARDS_ENDPOINT", server.endpoint()),
        ("CODEC", "best_compression"),
    ]);
    (server, world.with_rules(rules))
}

fn body(requests: &[ReceivedRequest], line: &str) -> Value {
    requests.iter().find(|request| request.line() == line).unwrap_or_else(|| panic!("{line}")).json()
}

#[tokio::test]
async fn everything_is_for_the_routed_indices_too() {
    let patterns = json!(["shop-*", "notifications-*", "payments-*", "shop-orders-*"]);
    let with_dead_letters =
        json!(["shop-*", "notifications-*", "payments-*", "shop-orders-*", "dead-letters-shop-*"]);
    let stand_in = StandIn::opensearch("3.4.0");
    let (server, world) = routed(&stand_in, RULES).await;
    let done = world.apply().await;
    assert_eq!(done.report.failures, Vec::<String>::new());
    let requests = server.take_requests();
    assert_eq!(body(&requests, "PUT _index_template/shop")["index_patterns"], patterns);
    let policy = body(&requests, "PUT _plugins/_ism/policies/shop");
    assert_eq!(policy["policy"]["ism_template"][0]["index_patterns"], patterns);
    for role in ["writer", "replayer", "reader"] {
        let role = body(&requests, &format!("PUT _plugins/_security/api/roles/shop-{role}"));
        assert_eq!(role["index_permissions"][0]["index_patterns"], with_dead_letters);
    }
    let monitors: Vec<_> =
        requests.iter().filter(|request| request.line() == "POST _plugins/_alerting/monitors").collect();
    let searched: Vec<_> =
        monitors.iter().map(|monitor| monitor.json()["inputs"][0]["search"]["indices"].clone()).collect();
    assert_eq!(searched.iter().filter(|indices| **indices == patterns).count(), 3, "{searched:?}");
    let import = requests.iter().find(|request| request.line().contains("saved_objects")).unwrap();
    let objects = String::from_utf8_lossy(&import.body).into_owned();
    assert!(objects.contains(r#""title":"shop-*,notifications-*,payments-*,shop-orders-*""#), "{objects}");
    world.apply().await;
    let again: Vec<_> = server.take_requests().iter().map(ReceivedRequest::line).collect();
    assert!(!again.iter().any(|line| line.starts_with("PUT")), "a second run changes nothing: {again:?}");
}

#[tokio::test]
async fn elasticsearch_has_the_same_indices_in_its_terms() {
    let patterns = json!(["shop-*", "notifications-*", "payments-*", "shop-orders-*"]);
    for (version, template) in [("8.19.21", "_index_template/shop"), ("6.8.23", "_template/shop")] {
        let stand_in = StandIn::elasticsearch(version);
        let (server, world) = routed(&stand_in, RULES).await;
        let done = world.apply().await;
        assert_eq!(done.report.failures, Vec::<String>::new(), "{version}");
        let requests = server.take_requests();
        assert_eq!(body(&requests, &format!("PUT {template}"))["index_patterns"], patterns);
        let watch = body(&requests, "PUT _watcher/watch/shop-error-ratio");
        assert_eq!(watch["input"]["search"]["request"]["indices"], patterns);
        let role = body(&requests, "PUT _security/role/shop-replayer");
        assert_eq!(role["indices"][1]["names"], patterns);
    }
}

#[tokio::test]
async fn existing_indices_get_the_policy_and_those_of_others_are_left_and_named() {
    let stand_in = StandIn::opensearch("3.4.0");
    let (server, world) = routed(&stand_in, RULES).await;
    stand_in.change(|state| {
        for name in ["payments-acme-2026.11.24", "payments-100%-2026.11.24", "shop-orders-2026.11.24"] {
            state.indices.insert(name, Index::unmanaged());
            state.of_events.insert(name.into());
        }
        for name in ["payments-ledger", "payments-ledger-2026.11.24", "payments-2026.11.24"] {
            state.indices.insert(name, Index::unmanaged());
        }
        state.indices.insert("shop-2026.11.24", Index::unmanaged());
    });
    let done = world.apply().await;
    assert_eq!(done.report.failures, Vec::<String>::new());
    let lines: Vec<_> = server.take_requests().iter().map(ReceivedRequest::line).collect();
    let adds: Vec<_> = lines.iter().filter(|line| line.starts_with("POST _plugins/_ism/add/")).collect();
    assert_eq!(
        adds,
        ["POST _plugins/_ism/add/payments-100%25-2026.11.24,payments-acme-2026.11.24,\
          shop-2026.11.24,shop-orders-2026.11.24"]
    );
    let text = done.report.to_string();
    let line = text
        .lines()
        .find(|line| {
            line.contains("lifecycle of the indices shop-*, notifications-*, payments-*, shop-orders-*")
        })
        .unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("4 had no policy"), "{line}");
    assert!(
        line.contains(
            "3 that match a pattern of pipeline.yaml are left as they are, because they have no field kafka_topic \
             (payments-2026.11.24, payments-ledger, payments-ledger-2026.11.24)"
        ),
        "{line}"
    );
}

#[tokio::test]
async fn deleting_the_data_leaves_the_indices_of_others_that_match_a_route() {
    let stand_in = StandIn::opensearch("3.4.0");
    let (server, world) = routed(&stand_in, RULES).await;
    let world = world.with(&[("DELETE_DATA", "true")]);
    world.apply().await;
    let settings = json!({"settings": {"index": {"uuid": "u"}}});
    stand_in.change(|state| {
        for name in ["payments-acme-2026.11.24", "payments-ledger-2026.11.24"] {
            state.data.insert(name.into(), settings.clone());
        }
        state.of_events.insert("payments-acme-2026.11.24".into());
    });
    server.take_requests();
    let done = world.delete().await;
    assert_eq!(done.report.failures, Vec::<String>::new());
    let left: Vec<_> = stand_in.change(|state| state.data.keys().cloned().collect());
    assert_eq!(left, ["payments-ledger-2026.11.24"]);
}

#[tokio::test]
async fn rules_that_can_not_be_read_fail_the_run_with_every_problem() {
    let stand_in = StandIn::opensearch("3.4.0");
    for (rules, expected) in [
        ("topics:\n  - match: a\n    sample: 2\n  - match: b\n    sampel: 0.1\n", [":3:", ":5:"].as_slice()),
        ("topics:\n  - match: a\n    index: dead-letters-shop\n", &["those of the dead letters"]),
        ("topics:\n  - match: a\n    index: pay{topic}\n", &["put a hyphen before the field"]),
        ("topics:\n  - match: a\n    index: \"{topic}\"\n", &["begin"]),
    ] {
        let (_server, world) = routed(&stand_in, rules).await;
        let error = world.problems();
        assert!(error.contains("PIPELINE_FILE: "), "{error}");
        for part in expected {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
    let missing = World::new("http://localhost:1").with(&[("PIPELINE_FILE", "/no/pipeline.yaml")]);
    assert!(missing.problems().contains("PIPELINE_FILE: the file `/no/pipeline.yaml` can't be read"));
}
