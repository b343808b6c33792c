//! On-failure records in a bucket.

use base64_simd::STANDARD;
use serde_json::json;

use crate::bucket::Bucket;
use crate::stand_in::StandIn;
use crate::world::{handler, invoke};

#[tokio::test(start_paused = true)]
async fn on_failure_records_are_indexed_and_deleted_only_when_all_of_them_are_indexed() {
    let cluster = StandIn::default();
    cluster.change(|state| state.cluster.refuses = Some("poison"));
    let objects = Bucket::of([
        ("aws/lambda/a", on_failure(0..3, "{}")),
        ("aws/lambda/b", on_failure(3..5, r#"{"poison":1}"#)),
        ("aws/lambda/c", "not one".to_owned()),
        ("aws/lambda/d", on_failure((0..3).chain(5..6), "{}")),
        ("other", on_failure(9..10, "{}")),
    ]);
    let run = handler(&cluster, objects);
    let event = json!({"s3": {"bucket": "b", "prefix": "aws/", "delete": true}});
    let mut dry = event.clone();
    dry["dry_run"] = json!(true);
    let preview = invoke(&run, &dry).await;
    assert_eq!((&preview["matched"], &preview["complete"]), (&json!(9), &json!(true)), "{preview}");
    assert_eq!(preview["by_service"], json!({"order": {"RetryAttemptsExhausted": 9}}));
    assert!(cluster.ids("").is_empty());
    let response = invoke(&run, &event).await;
    assert_eq!(response["complete"], json!(true), "{response}");
    assert_eq!(response["objects"], json!({"read": 4, "unreadable": 1, "deleted": 2}), "{response}");
    let counts = (&response["indexed"], &response["duplicates"], &response["refused"]);
    assert_eq!(counts, (&json!(4), &json!(3), &json!(2)), "{response}");
    assert_eq!(cluster.ids("dead").len(), 2, "what is refused has a dead letter");
    let again = invoke(&run, &event).await;
    assert_eq!(
        again["objects"],
        json!({"read": 2, "unreadable": 1, "deleted": 0}),
        "what is left is read again: {again}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_object_stays_unless_the_event_has_delete() {
    let cluster = StandIn::default();
    let objects = Bucket::of([("k", on_failure(0..3, "{}"))]);
    let run = handler(&cluster, objects);
    for (delete, deleted) in [(false, 0), (true, 1)] {
        let response = invoke(&run, &json!({"s3": {"bucket": "b", "key": "k", "delete": delete}})).await;
        assert_eq!(
            response["objects"],
            json!({"read": 1, "unreadable": 0, "deleted": deleted}),
            "{response}"
        );
    }
    let gone = invoke(&run, &json!({"s3": {"bucket": "b", "key": "k"}})).await;
    assert_eq!(gone["error"]["errorType"], json!("ObjectsUnreadable"), "{gone}");
}

/// The on-failure record of a mapping that discarded a batch with these offsets, each with this payload.
pub(crate) fn on_failure(offsets: impl Iterator<Item = usize>, payload: &str) -> String {
    let value = STANDARD.encode_to_string(payload);
    let record = |offset| json!({"topic": "order.events", "partition": 0, "offset": offset, "timestamp": 5, "value": value});
    let records: Vec<_> = offsets.map(record).collect();
    let event = json!({"eventSource": "SelfManagedKafka", "records": {"order.events-0": records}});
    let condition = json!({"condition": "RetryAttemptsExhausted"});
    json!({"requestContext": condition, "version": "1.0", "payload": event.to_string()}).to_string()
}
