//! Events and configurations that are refused.

use serde_json::json;

use crate::bucket::Bucket;
use crate::stand_in::StandIn;
use crate::world::{handler, handler_with, invoke, put_dead_letters};

#[tokio::test(start_paused = true)]
async fn a_bad_event_or_configuration_changes_nothing() {
    let cluster = StandIn::default();
    put_dead_letters(&cluster, 3);
    let response = invoke(&handler(&cluster, Bucket::default()), &json!({})).await;
    assert_eq!(response["error"]["errorType"], json!("BadRequest"));
    assert_eq!(cluster.change(|state| state.n_requests), 0);
    let run = handler_with(&cluster, Bucket::default(), &[("DOCUMENT_ID", "auto")]);
    let response = invoke(&run, &json!({"all": true})).await;
    assert_eq!(response["error"]["errorType"], json!("NoDocumentIds"));
    assert_eq!(cluster.ids("dead").len(), 3);
}
