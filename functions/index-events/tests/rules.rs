//! Batches of topics with rules: what is dropped, how many indices a batch has, and that a batch which is delivered again is decided
//! alike.
//!
//! The cluster is a stand-in, because a real one can't be made to fail in the middle of a batch.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use event_pipeline::outcome::{Counts, Outcome};
use event_pipeline::rules::Rules;
use event_pipeline::salt::Salts;
use event_pipeline::settings::Settings;
use event_pipeline::write_error::ErrorKind;
use indexing::bulk_writer::BULK_RETRIES;
use indexing::indexer::{IndexedBatch, Indexer};
use indexing::noted::Dropped;
use indexing::transport::BulkTransport;
use pipeline_file::{NoScripts, parse};
use search_client::client::{Renewed, Response, SendError};
use serde_json::{Value, json};
use testing::bulk;
use tokio::time::Instant;

/// A cluster that keeps each document at its address, and refuses those that `refused` names by their offset, with a status.
#[derive(Clone, Default)]
struct Cluster(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// By index and id.
    documents: BTreeMap<(String, String), Value>,
    refused: BTreeMap<i64, u16>,
    n_requests: usize,
}

impl BulkTransport for Cluster {
    async fn send_bulk(&self, body: Bytes, _timeout: Duration) -> Result<Response, SendError> {
        let mut kept = self.0.lock().unwrap();
        kept.n_requests += 1;
        let lines: Vec<Value> = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        let mut items = Vec::new();
        for pair in lines.chunks(2) {
            let text = |name: &str| pair[0]["create"][name].as_str().unwrap().to_owned();
            let address = (text("_index"), text("_id"));
            let status = kept.refused.get(&pair[1]["kafka_offset"].as_i64().unwrap()).copied();
            let status = match status {
                // A dead letter is taken.
                Some(400) if address.0.starts_with("dead-letters-") => None,
                status => status,
            };
            items.push(match status {
                Some(400) => {
                    json!({"status": 400, "error": {"type": "mapper_parsing_exception", "reason": "no"}})
                }
                Some(status) => json!({"status": status, "error": {"type": "t", "reason": "r"}}),
                None if kept.documents.contains_key(&address) => json!(409),
                None => {
                    kept.documents.insert(address, pair[1].clone());
                    json!(201)
                }
            });
        }
        Ok(Response { status: 200, body: bulk::response(items).to_string().into() })
    }

    async fn renew_credentials(&self) -> Renewed {
        Renewed::No
    }
}

impl Cluster {
    fn refuse(&self, refused: &[(i64, u16)]) {
        self.0.lock().unwrap().refused = refused.iter().copied().collect();
    }

    /// Prefixes of the indices of the documents, by offset, with `!` where the document has the tag of an index too many.
    fn prefixes(&self) -> BTreeMap<i64, Vec<String>> {
        let kept = self.0.lock().unwrap();
        let mut prefixes: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for ((index, _), document) in &kept.documents {
            let prefix = index.strip_suffix("-2026.03.01").unwrap();
            let tags = document["tags"].as_array();
            let mark = tags.is_some_and(|tags| tags.contains(&json!("_indexoverflow")));
            let prefixes = prefixes.entry(document["kafka_offset"].as_i64().unwrap()).or_default();
            prefixes.push(format!("{prefix}{}", if mark { "!" } else { "" }));
        }
        prefixes
    }
}

fn rules(file: &str) -> Rules {
    parse(file, &NoScripts).unwrap().rules(&Salts::new()).unwrap()
}

fn event(topic: &str, values: &[&str]) -> Vec<u8> {
    let records: Vec<_> = values
        .iter()
        .enumerate()
        .map(|(offset, value)| {
            json!({"topic": topic, "partition": 0, "offset": offset, "timestamp": 1_772_360_430_123_i64,
                "value": BASE64_STANDARD.encode(value)})
        })
        .collect();
    serde_json::to_vec(&json!({"records": {format!("{topic}-0"): records}})).unwrap()
}

async fn index<'p>(cluster: &Cluster, file: &str, event: &'p [u8]) -> IndexedBatch<'p> {
    let settings = Settings { rules: rules(file), ..Settings::default() };
    let indexer = Indexer::new(Arc::new(cluster.clone()), settings, Default::default(), BULK_RETRIES);
    let batch = indexer.index(event, Instant::now() + Duration::from_secs(20)).await.unwrap();
    let Counts { received, indexed, duplicates, dropped, dead_lettered, failed, .. } = batch.counts;
    assert_eq!(received, indexed + duplicates + dropped + dead_lettered + failed);
    batch
}

const ROUTED: &str = "max_indices: 2\ntopics: [{match: t, index: 'p-{payload.a|x}'}]";

fn prefixes(expected: &[&str]) -> BTreeMap<i64, Vec<String>> {
    (0..).zip(expected).map(|(offset, prefix)| (offset, vec![(*prefix).to_owned()])).collect()
}

#[tokio::test]
async fn records_of_one_index_too_many_go_to_the_fallback() {
    let cluster = Cluster::default();
    let event =
        event("t", &[r#"{"a":"1"}"#, "{}", r#"{"a":"2"}"#, r#"{"a":"3"}"#, r#"{"a":"1"}"#, r#"{"a":"4"}"#]);
    let batch = index(&cluster, ROUTED, &event).await;
    assert_eq!(cluster.prefixes(), prefixes(&["p-1", "p-x", "p-2", "p-x!", "p-1", "p-x!"]));
    assert_eq!((batch.counts.indexed, batch.overflowing.n), (6, 2));
    assert_eq!(batch.overflowing.first.as_ref().map(|(position, _)| *position), Some(3));
    let again = index(&cluster, ROUTED, &event).await;
    assert_eq!((again.counts.duplicates, cluster.prefixes().len()), (6, 6));
}

#[tokio::test]
async fn a_route_without_a_fallback_overflows_to_the_index_of_the_settings() {
    let cluster = Cluster::default();
    let event = event("t", &[r#"{"a":"1"}"#, "{}", r#"{"a":"2"}"#]);
    index(&cluster, "max_indices: 1\ntopics: [{match: t, index: 'p-{payload.a}'}]", &event).await;
    assert_eq!(cluster.prefixes(), prefixes(&["p-1", "microservices", "microservices!"]));
}

#[tokio::test(start_paused = true)]
async fn records_of_one_index_too_many_wait_for_those_that_have_failed() {
    let event = event("t", &[r#"{"a":"1"}"#, r#"{"a":"2"}"#, r#"{"a":"3"}"#, r#"{"a":"2"}"#]);
    for failed in [0, 1, 3] {
        let cluster = Cluster::default();
        cluster.refuse(&[(failed, 429)]);
        let batch = index(&cluster, ROUTED, &event).await;
        assert_eq!((batch.counts.failed, batch.counts.indexed, batch.overflowing.n), (2, 2, 0));
        assert!(
            matches!(&batch.outcomes[2], Outcome::Failed(error) if error.kind == ErrorKind::HeldBack),
            "{:?}",
            batch.outcomes
        );
        cluster.refuse(&[]);
        let batch = index(&cluster, ROUTED, &event).await;
        assert_eq!((batch.counts.failed, batch.counts.duplicates), (0, 2));
        assert_eq!(
            cluster.prefixes(),
            prefixes(&["p-1", "p-2", "p-x!", "p-2"]),
            "each document is written once"
        );
    }
}

#[tokio::test]
async fn a_record_that_is_one_too_many_is_rescued_and_dead_lettered_as_any_other() {
    let cluster = Cluster::default();
    cluster.refuse(&[(1, 400), (2, 400)]);
    let event = event("t", &[r#"{"a":"1"}"#, r#"{"a":"2"}"#, r#"{"a":"3"}"#]);
    let batch = index(&cluster, ROUTED, &event).await;
    assert_eq!((batch.counts.indexed, batch.counts.dead_lettered), (1, 2));
    let dead = "dead-letters-microservices";
    assert_eq!(cluster.prefixes(), prefixes(&["p-1", dead, dead]));
}

#[tokio::test]
async fn dropped_records_are_written_nowhere_and_counted_by_their_rules() {
    let cluster = Cluster::default();
    let file = "topics: [{match: other}, {match: 't*', drop: true}, {match: u, sample: 0}]";
    let mut event: Value = serde_json::from_slice(&event("t", &["{}", "no json"])).unwrap();
    let mut records = event["records"]["t-0"].as_array().unwrap().clone();
    records.push(json!({"topic": "t", "partition": 0, "value": "no base64 and no offset!"}));
    records.push(json!({"topic": "u", "partition": 1, "offset": 7, "value": "e30="}));
    records.push(json!({"topic": "kept", "partition": 1, "offset": 8, "timestamp": 1_772_360_430_123_i64, "value": "e30="}));
    event["records"]["t-0"] = json!(records);
    let event = serde_json::to_vec(&event).unwrap();
    let batch = index(&cluster, file, &event).await;
    assert_eq!((batch.counts.dropped, batch.counts.indexed, batch.counts.dead_lettered), (4, 1, 0));
    let dropped = |pattern: &str, n, first| Dropped { pattern: pattern.into(), n, first };
    assert_eq!(batch.dropped, [dropped("t*", 3, 0), dropped("u", 1, 3)]);
    assert_eq!(cluster.0.lock().unwrap().documents.len(), 1);
}

#[tokio::test]
async fn a_batch_of_dropped_records_makes_no_request() {
    let cluster = Cluster::default();
    let event = event("t", &["{}", "{}"]);
    index(&cluster, "topics: [{match: t, drop: true}]", &event).await;
    assert_eq!(cluster.0.lock().unwrap().n_requests, 0);
}

#[tokio::test]
async fn a_record_that_can_not_be_redacted_is_a_dead_letter_with_the_reason() {
    let event = event("t", &[r#"{"a":1,"b":2}"#, "a=1"]);
    for (on_error, dead_lettered) in [("dead-letter", 1), ("index", 0)] {
        let cluster = Cluster::default();
        let file = format!("topics: [{{match: t, remove: [a], on_error: {on_error}}}]");
        let batch = index(&cluster, &file, &event).await;
        assert_eq!((batch.counts.dead_lettered, batch.untransformed.n), (dead_lettered, 1));
        let (position, reason) = batch.untransformed.first.clone().unwrap();
        assert_eq!((position, reason.contains("no JSON object")), (1, true));
        if let Outcome::DeadLettered(error) = &batch.outcomes[1] {
            assert_eq!((&error.kind, &error.reason), (&ErrorKind::TransformFailure, &reason));
        }
        let kept = cluster.0.lock().unwrap();
        let first = kept.documents.values().find(|document| document["kafka_offset"] == 0).unwrap();
        assert_eq!((&first["a"], &first["b"]), (&Value::Null, &json!(2)));
    }
}
