//! How much a run processes at once and in one invocation.

use std::time::Duration;

use serde_json::json;

use crate::bucket::Bucket;
use crate::stand_in::StandIn;
use crate::world::{handler, invoke, invoke_for, put_dead_letter, put_dead_letters};

#[tokio::test(start_paused = true)]
async fn a_run_that_ran_out_of_time_is_continued_by_its_next_event() {
    let cluster = StandIn::default();
    let mut ids = put_dead_letters(&cluster, 2_000);
    let poison = put_dead_letter(&cluster, 9_999, r#"{"poison":1}"#);
    cluster.change(|state| {
        state.cluster.refuses = Some("poison");
        state.takes = Duration::from_secs(1);
    });
    let run = handler(&cluster, Bucket::default());
    let (mut event, mut n_invocations, mut n_refused) = (json!({"all": true}), 0, 0);
    loop {
        let response = invoke_for(&run, &event, 20).await;
        n_invocations += 1;
        n_refused += response["refused"].as_u64().unwrap();
        if response["complete"] == json!(true) {
            break;
        }
        assert_eq!(response["stopped"], json!("the invocation's time is over"));
        event = response["next"].clone();
        assert!(n_invocations < 20, "it comes to an end: {response}");
    }
    assert!(n_invocations > 1);
    assert_eq!(n_refused, 1);
    ids.sort();
    assert_eq!((cluster.ids("micro"), cluster.ids("dead")), (ids, vec![poison]));
}

#[tokio::test(start_paused = true)]
async fn a_page_of_large_dead_letters_is_small() {
    let cluster = StandIn::default();
    let large = json!({"text": "x".repeat(3_000_000)}).to_string();
    for offset in 0..12 {
        put_dead_letter(&cluster, offset, &large);
    }
    let response = invoke(&handler(&cluster, Bucket::default()), &json!({"all": true})).await;
    assert_eq!((&response["complete"], &response["removed"]), (&json!(true), &json!(12)), "{response}");
    let (largest, n_too_large) = cluster.change(|state| (state.largest_get, state.n_too_large));
    assert_eq!(n_too_large, 1, "twelve at once are too many");
    assert!(largest <= 16 * 1024 * 1024, "{largest}");
}
