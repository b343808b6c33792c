//! Documents in another form because the cluster rejected them: listed, and restored to their usual form.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bucket::Bucket;
use crate::stand_in::{StandIn, Trouble};
use crate::world::{DAY, handler, handler_with, index_events, invoke, invoke_for};

/// A number, and some strings in its field.
const PAYLOADS: [&str; 4] = [
    r#"{"total":1.50}"#,
    r#"{"total":"2 euros","note":"n","tags":["t"]}"#,
    r#"{"total":"3 euros"}"#,
    r#"{"total":"4 euros","traceId":"a"}"#,
];

/// A cluster with these documents, all but the first with a conflict.
async fn with_conflicts() -> StandIn {
    let cluster = StandIn::default();
    cluster.change(|state| state.cluster.takes_number = Some("total"));
    index_events(&cluster, &PAYLOADS).await;
    let conflicts = documents(&cluster).into_iter().filter(|source| source.get("conflict").is_some()).count();
    assert_eq!(conflicts, 3);
    cluster
}

/// The documents of a cluster that takes every event.
async fn usual() -> Vec<Value> {
    let cluster = StandIn::default();
    index_events(&cluster, &PAYLOADS).await;
    documents(&cluster)
}

fn documents(cluster: &StandIn) -> Vec<Value> {
    cluster.change(|state| state.cluster.documents.values().map(|(_, source)| source.clone()).collect())
}

fn id(offset: usize) -> String {
    format!("order.events-0-{offset}-5")
}

fn counts(response: &Value) -> [&Value; 6] {
    ["read", "fixed", "fixed_before", "changed", "still_rejected", "failed"].map(|name| &response[name])
}

#[tokio::test(start_paused = true)]
async fn conflicts_are_listed_with_the_mapping_that_ends_them() {
    let cluster = with_conflicts().await;
    let before = documents(&cluster);
    let list = invoke(&handler(&cluster, Bucket::default()), &json!({"conflicts": "list"})).await;
    let properties = json!({"total": {"type": "keyword", "ignore_above": 1024,
        "fields": {"text": {"type": "match_only_text"}}}});
    let proposal = json!({"template": {"mappings": {"properties": properties}}});
    let advice = &list["groups"][0]["advice"];
    assert!(advice.as_str().unwrap().contains("of type `double`"), "{advice}");
    let expected = json!({
        "complete": true,
        "documents": 3,
        "component_template": "microservices-custom",
        "groups": [{
            "topic": "order.events",
            "field": "total",
            "reason": "failed to parse field [total] of type [double]",
            "documents": 3,
            "indices": [format!("microservices-{DAY}")],
            "example": {"index": format!("microservices-{DAY}"), "id": id(1), "value": "2 euros"},
            "proposal": proposal,
            "advice": advice,
        }],
        "proposal": proposal,
    });
    assert_eq!(list, expected);
    let dry = json!({"conflicts": "fix", "all": true, "dry_run": true});
    assert_eq!(invoke(&handler(&cluster, Bucket::default()), &dry).await, expected);
    assert_eq!(documents(&cluster), before, "nothing was changed");
}

#[tokio::test(start_paused = true)]
async fn a_field_that_is_an_object_elsewhere_gets_a_mapping_that_takes_both() {
    let cluster = with_conflicts().await;
    cluster.put("microservices-1970.01.02", "other", json!({"total": {"amount": 1}}));
    let list = invoke(&handler(&cluster, Bucket::default()), &json!({"conflicts": "list"})).await;
    let properties = json!({"total": {"type": "object", "enabled": false}});
    assert_eq!(list["proposal"], json!({"template": {"mappings": {"properties": properties}}}));
}

#[tokio::test(start_paused = true)]
async fn documents_get_their_usual_form_once_the_mapping_takes_it() {
    let cluster = with_conflicts().await;
    let run = handler(&cluster, Bucket::default());
    let event = json!({"conflicts": "fix", "all": true});
    let before = documents(&cluster);
    let response = invoke(&run, &event).await;
    assert_eq!(counts(&response), [3, 0, 0, 0, 3, 0], "{response}");
    assert_eq!(response["problems"][0]["reason"], json!("failed to parse field [total] of type [double]"));
    assert!(response["advice"].as_str().unwrap().contains("reindex"), "{response}");
    assert_eq!(documents(&cluster), before, "what is still rejected stays as it is");

    cluster.change(|state| state.cluster.takes_number = None);
    let response = invoke(&run, &event).await;
    assert_eq!(counts(&response), [3, 3, 0, 0, 0, 0], "{response}");
    assert_eq!(response["complete"], json!(true));
    assert_eq!(documents(&cluster), usual().await);
    let response = invoke(&run, &event).await;
    assert_eq!(counts(&response), [0, 0, 0, 0, 0, 0], "{response}");
}

#[tokio::test(start_paused = true)]
async fn a_document_changed_since_stays_unless_it_is_named() {
    let cluster = with_conflicts().await;
    let index = format!("microservices-{DAY}");
    let edit = |state: &mut crate::stand_in::State| {
        state.cluster.takes_number = None;
        let (_, mut source) = state.cluster.documents[&(index.clone(), id(1))].clone();
        source["note"] = json!("by hand");
        state.cluster.put(&index, &id(1), source);
    };
    cluster.change(edit);
    let run = handler(&cluster, Bucket::default());
    let response = invoke(&run, &json!({"conflicts": "fix", "all": true})).await;
    assert_eq!(counts(&response), [3, 2, 0, 1, 0, 0], "{response}");
    assert_eq!(response["problems"][0]["id"], json!(id(1)));
    let document = &documents(&cluster)[1];
    assert_eq!((&document["note"], &document["conflict"]), (&json!("by hand"), &json!({"total": "2 euros"})));

    let response = invoke(&run, &json!({"conflicts": "fix", "ids": id(1)})).await;
    assert_eq!(counts(&response), [1, 1, 0, 0, 0, 0], "{response}");
    let document = &documents(&cluster)[1];
    assert_eq!((&document["note"], &document["total"]), (&json!("by hand"), &json!("2 euros")));
}

#[tokio::test(start_paused = true)]
async fn a_change_between_reading_and_writing_is_kept() {
    let cluster = with_conflicts().await;
    cluster.change(|state| {
        state.cluster.takes_number = None;
        state.before_bulk = Some(|cluster: &StandIn| {
            cluster.put(&format!("microservices-{DAY}"), &id(2), json!({"note": "newer"}));
        });
    });
    let response =
        invoke(&handler(&cluster, Bucket::default()), &json!({"conflicts": "fix", "all": true})).await;
    assert_eq!(counts(&response), [3, 2, 0, 1, 0, 0], "{response}");
    assert_eq!(documents(&cluster)[2], json!({"note": "newer"}));
}

#[tokio::test(start_paused = true)]
async fn a_response_lost_at_any_request_loses_and_miscounts_nothing() {
    let usual = usual().await;
    for at in 1..8 {
        let cluster = with_conflicts().await;
        cluster.change(|state| {
            state.cluster.takes_number = None;
            state.n_requests = 0;
            state.trouble = Trouble::ResponseLost(at);
        });
        let response =
            invoke(&handler(&cluster, Bucket::default()), &json!({"conflicts": "fix", "all": true})).await;
        assert_eq!(counts(&response), [3, 3, 0, 0, 0, 0], "lost at request {at}: {response}");
        assert_eq!(documents(&cluster), usual);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_fails_ends_the_run_and_a_later_one_continues() {
    let cluster = with_conflicts().await;
    cluster.change(|state| (state.cluster.takes_number, state.cluster.bulk_status) = (None, Some(503)));
    let run = handler(&cluster, Bucket::default());
    let response = invoke_for(&run, &json!({"conflicts": "fix", "all": true}), 20).await;
    assert_eq!(counts(&response), [3, 0, 0, 0, 0, 3], "{response}");
    assert_eq!(response["complete"], json!(false));
    assert_eq!(response["next"], json!({"conflicts": "fix", "all": true}));
    cluster.change(|state| state.cluster.bulk_status = None);
    let response = invoke(&run, &response["next"]).await;
    assert_eq!(counts(&response), [3, 3, 0, 0, 0, 0], "{response}");
}

#[tokio::test(start_paused = true)]
async fn a_run_out_of_time_continues_behind_the_last_document() {
    let payloads: Vec<String> = (0..100).map(|n| format!(r#"{{"total":"{n} euros"}}"#)).collect();
    let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
    let cluster = StandIn::default();
    cluster.change(|state| state.cluster.takes_number = Some("total"));
    index_events(&cluster, &payloads).await;
    cluster.change(|state| (state.cluster.takes_number, state.takes) = (None, Duration::from_secs(5)));
    let run = handler(&cluster, Bucket::default());
    let (mut event, mut n_fixed, mut n_runs) = (json!({"conflicts": "fix", "all": true}), 0, 0);
    while event != Value::Null {
        let response = invoke_for(&run, &event, 40).await;
        assert_eq!(response["read"], response["fixed"], "{response}");
        n_fixed += response["fixed"].as_u64().unwrap();
        n_runs += 1;
        event = response["next"].clone();
    }
    assert_eq!(n_fixed, 100);
    assert!(n_runs > 1, "{n_runs}");
    let listed = invoke(&run, &json!({"conflicts": "list"})).await;
    assert_eq!((&listed["documents"], &listed["groups"]), (&json!(0), &json!([])));
}

#[tokio::test(start_paused = true)]
async fn documents_with_generated_ids_are_fixed_under_them() {
    let cluster = with_conflicts().await;
    cluster.change(|state| state.cluster.takes_number = None);
    let run = handler_with(&cluster, Bucket::default(), &[("DOCUMENT_ID", "auto")]);
    let response = invoke(&run, &json!({"conflicts": "fix", "all": true})).await;
    assert_eq!(counts(&response), [3, 3, 0, 0, 0, 0], "{response}");
    assert_eq!(documents(&cluster), usual().await);
}
