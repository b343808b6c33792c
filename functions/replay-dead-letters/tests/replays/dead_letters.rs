//! What happens to dead letters and to the documents that are made of them.

use serde_json::json;

use crate::bucket::Bucket;
use crate::stand_in::StandIn;
use crate::world::{DAY, handler, invoke, invoke_for, put_dead_letter, put_dead_letters};

#[tokio::test(start_paused = true)]
async fn dead_letters_become_documents_of_the_same_ids() {
    let cluster = StandIn::default();
    let ids = put_dead_letters(&cluster, 100);
    let response = invoke(&handler(&cluster, Bucket::default()), &json!({"all": true})).await;
    let expected = json!({"complete": true, "read": 100, "indexed": 100, "duplicates": 0, "dropped": 0, "refused": 0, "failed": 0,
        "removed": 100, "not_removed": 0});
    assert_eq!(response, expected);
    assert_eq!((cluster.ids("micro"), cluster.ids("dead")), (ids, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_refused_again_is_tried_once_and_keeps_its_dead_letter() {
    let cluster = StandIn::default();
    put_dead_letters(&cluster, 30);
    let poison: Vec<_> =
        (100..120).map(|offset| put_dead_letter(&cluster, offset, r#"{"poison":1}"#)).collect();
    cluster.change(|state| state.cluster.refuses = Some("poison"));
    let response = invoke(&handler(&cluster, Bucket::default()), &json!({"service": "order"})).await;
    assert_eq!(
        (&response["complete"], &response["refused"], &response["removed"]),
        (&json!(true), &json!(20), &json!(30))
    );
    assert_eq!(response["refused_by_service"], json!({"order": {"mapper_parsing_exception": 20}}));
    assert_eq!(response["problems"].as_array().map(Vec::len), Some(10));
    assert_eq!(cluster.ids("dead"), poison);
    assert_eq!(
        cluster.change(|state| state.cluster.n_creates),
        50 + 2 * 20,
        "each record was tried once, each rejected one in its two other forms too"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_changes_nothing() {
    let cluster = StandIn::default();
    let ids = put_dead_letters(&cluster, 30);
    let before = cluster.change(|state| state.cluster.documents.clone());
    let response =
        invoke(&handler(&cluster, Bucket::default()), &json!({"all": true, "dry_run": true})).await;
    assert_eq!((&response["dry_run"], &response["matched"]), (&json!(true), &json!(30)));
    assert_eq!(response["by_service"], json!({"order": {"mapper_parsing_exception": 30}}));
    let first = json!({"id": "order.events-0-0-5", "service": "order", "error_type": "mapper_parsing_exception",
        "reason": "was", "index": format!("microservices-{DAY}")});
    assert_eq!((response["sample"].as_array().map(Vec::len), &response["sample"][0]), (Some(10), &first));
    assert_eq!(cluster.change(|state| state.cluster.documents.clone()), before, "{ids:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_is_replaced_during_the_run_is_not_removed_with_the_old_one() {
    let cluster = StandIn::default();
    let id = put_dead_letter(&cluster, 1, r#"{"n":1}"#);
    // Replaced when the record is written: between reading and removing the dead letter.
    cluster.change(|state| {
        state.after_bulk = Some(|cluster| {
            put_dead_letter(cluster, 1, r#"{"n":"newer"}"#);
        });
    });
    let replacing = handler(&cluster, Bucket::default());
    let response = invoke_for(&replacing, &json!({"ids": [id]}), 60).await;
    // The first is not removed, as it has been replaced by then. The new one is behind it in the order, and removed on
    // its own.
    assert_eq!(response["complete"], json!(true), "{response}");
    let counts = (&response["read"], &response["not_removed"], &response["duplicates"], &response["removed"]);
    assert_eq!(counts, (&json!(2), &json!(1), &json!(1), &json!(1)), "{response}");
    assert_eq!((cluster.ids("micro"), cluster.ids("dead")), (vec![id], Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_record_refused_under_another_address_keeps_one_dead_letter() {
    let cluster = StandIn::default();
    // Written when ids were left to the cluster.
    cluster.put(
        &format!("dead-letters-microservices-{DAY}"),
        "aBcDeF",
        json!({"service_name": "order", "kafka_topic": "order.events", "kafka_partition": 0, "kafka_offset": 3,
            "kafka_timestamp": 5, "payload": "{\"poison\":1}", "error": {"type": "mapper_parsing_exception"}}),
    );
    cluster.change(|state| state.cluster.refuses = Some("poison"));
    let response = invoke(&handler(&cluster, Bucket::default()), &json!({"all": true})).await;
    assert_eq!(response["complete"], json!(true), "{response}");
    assert_eq!(cluster.ids("dead"), ["order.events-0-3-5"]);
}

#[tokio::test(start_paused = true)]
async fn a_document_that_is_not_a_dead_letter_is_reported_and_stays() {
    let cluster = StandIn::default();
    cluster.put(&format!("dead-letters-microservices-{DAY}"), "odd", json!({"hello": "world"}));
    put_dead_letter(&cluster, 1, "{}");
    let response = invoke(&handler(&cluster, Bucket::default()), &json!({"all": true})).await;
    assert_eq!((&response["removed"], &response["refused"]), (&json!(1), &json!(1)));
    assert_eq!(response["refused_by_service"], json!({"(none)": {"not_a_dead_letter": 1}}));
    assert_eq!(cluster.ids("dead"), ["odd"]);
}
