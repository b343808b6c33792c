//! Dead letters to replay, and invocations of the handler that replays them.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indexing::bulk_writer::BULK_RETRIES;
use indexing::config::Config;
use indexing::indexer::Indexer;
use lambda_runtime::Diagnostic;
use replay_dead_letters::handler::Handler;
use serde_json::{Value, json};
use testing::environment::lookup;
use testing::kafka_event::{EventRecord, payload};
use tokio::time::Instant;

use crate::bucket::Bucket;
use crate::stand_in::StandIn;

/// The day of every record, as the names of indices end.
pub(crate) const DAY: &str = "1970.01.01";

/// A handler whose configuration has these variables besides the endpoint.
pub(crate) fn handler_with(
    cluster: &StandIn,
    bucket: Bucket,
    variables: &[(&str, &str)],
) -> Handler<StandIn, Bucket> {
    Handler::new(cluster.clone(), bucket, config(variables), "replay".into())
}

fn config(variables: &[(&str, &str)]) -> Config {
    let endpoint = ("SEARCH_ENDPOINT", "http://stand-in");
    Config::parse(&lookup([endpoint].iter().chain(variables).copied())).unwrap()
}

/// Indexes records with these payloads, from offset 0, as index-events does.
pub(crate) async fn index_events(cluster: &StandIn, payloads: &[&str]) {
    let records = payloads.iter().zip(0..).map(|(payload, offset)| EventRecord {
        topic: "order.events".into(),
        offset,
        timestamp_ms: 5,
        value: Some(payload.as_bytes().to_vec()),
        ..EventRecord::default()
    });
    let Config { settings, limits, .. } = config(&[]);
    let indexer = Indexer::new(Arc::new(cluster.clone()), settings, limits, BULK_RETRIES);
    let batch = payload(records).to_string();
    indexer.index(batch.as_bytes(), Instant::now() + Duration::from_secs(60)).await.unwrap();
}

pub(crate) fn handler(cluster: &StandIn, bucket: Bucket) -> Handler<StandIn, Bucket> {
    handler_with(cluster, bucket, &[])
}

/// Invokes the handler with `seconds` left. An error becomes the member `error`.
pub(crate) async fn invoke_for(handler: &Handler<StandIn, Bucket>, event: &Value, seconds: u64) -> Value {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    match handler.handle(event.to_string().as_bytes(), now_ms + seconds * 1000).await {
        Ok(response) => serde_json::to_value(response).unwrap(),
        Err(error) => json!({"error": Diagnostic::from(error)}),
    }
}

/// Invokes the handler with a minute left.
pub(crate) async fn invoke(handler: &Handler<StandIn, Bucket>, event: &Value) -> Value {
    invoke_for(handler, event, 60).await
}

/// Puts the dead letter of a record with this payload, and returns its id.
pub(crate) fn put_dead_letter(cluster: &StandIn, offset: usize, payload: &str) -> String {
    let id = format!("order.events-0-{offset}-5");
    cluster.put(
        &format!("dead-letters-microservices-{DAY}"),
        &id,
        json!({"service_name": "order", "kafka_topic": "order.events", "kafka_partition": 0, "kafka_offset": offset,
            "kafka_timestamp": 5, "payload": payload, "error": {"type": "mapper_parsing_exception", "reason": "was"}}),
    );
    id
}

/// Puts the dead letters of `n_dead_letters` records, and returns their ids in text order.
pub(crate) fn put_dead_letters(cluster: &StandIn, n_dead_letters: usize) -> Vec<String> {
    let payload = |n: usize| json!({"n": n}).to_string();
    let mut ids: Vec<_> = (0..n_dead_letters).map(|n| put_dead_letter(cluster, n, &payload(n))).collect();
    ids.sort();
    ids
}
