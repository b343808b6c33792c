//! Runs that are killed, lose a response, or meet a cluster that accepts no writes.

use std::time::Duration;

use serde_json::json;

use crate::bucket::Bucket;
use crate::stand_in::{StandIn, Trouble};
use crate::world::{handler, invoke, put_dead_letter, put_dead_letters};

#[tokio::test(start_paused = true)]
async fn a_run_killed_at_any_request_ends_with_the_same_result_when_it_is_run_again() {
    let mut n_interrupted = 0;
    for at in 1.. {
        let cluster = StandIn::default();
        let mut ids = put_dead_letters(&cluster, 40);
        let poison = put_dead_letter(&cluster, 100, r#"{"poison":1}"#);
        cluster.change(|state| {
            (state.cluster.refuses, state.trouble) = (Some("poison"), Trouble::SilentFrom(at))
        });
        let event = json!({"all": true});
        let run = handler(&cluster, Bucket::default());
        // Dropped in the middle, as if the process had died.
        let ended = tokio::time::timeout(Duration::from_millis(1), invoke(&run, &event)).await;
        n_interrupted += usize::from(ended.is_err());
        cluster.change(|state| state.trouble = Trouble::None);
        let lost: Vec<_> = ids.iter().filter(|id| !cluster.ids("").contains(id)).collect();
        assert!(lost.is_empty(), "killed at request {at}: neither dead letter nor document: {lost:?}");
        let response = invoke(&run, &event).await;
        assert_eq!(response["complete"], json!(true), "{response}");
        ids.sort();
        assert_eq!(
            (cluster.ids("micro"), cluster.ids("dead")),
            (ids, vec![poison]),
            "killed at request {at}"
        );
        if ended.is_ok() {
            break;
        }
    }
    assert!(n_interrupted >= 5, "{n_interrupted}");
}

#[tokio::test(start_paused = true)]
async fn a_response_lost_at_any_request_loses_nothing() {
    for at in 1..12 {
        let cluster = StandIn::default();
        let ids = put_dead_letters(&cluster, 40);
        cluster.change(|state| state.trouble = Trouble::ResponseLost(at));
        let response = invoke(&handler(&cluster, Bucket::default()), &json!({"all": true})).await;
        assert_eq!(response["complete"], json!(true), "request {at}: {response}");
        assert_eq!((cluster.ids("micro"), cluster.ids("dead")), (ids, Vec::new()), "request {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_accepts_no_writes_ends_the_run_and_every_dead_letter_stays() {
    for status in [403, 429] {
        let cluster = StandIn::default();
        let ids = put_dead_letters(&cluster, 40);
        cluster.change(|state| state.cluster.bulk_status = Some(status));
        let run = handler(&cluster, Bucket::default());
        let response = invoke(&run, &json!({"service": "order"})).await;
        assert_eq!((&response["complete"], &response["indexed"]), (&json!(false), &json!(0)), "{response}");
        assert!(response["failed"].as_u64() > Some(0), "{response}");
        assert_eq!(response["next"], json!({"service": "order"}), "the same page again");
        assert_eq!(cluster.ids("dead"), ids);
        cluster.change(|state| state.cluster.bulk_status = None);
        let response = invoke(&run, &response["next"]).await;
        assert_eq!((&response["complete"], &response["removed"]), (&json!(true), &json!(40)), "{response}");
    }
}
