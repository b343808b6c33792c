//! Records whose schemas are in a registry: each schema is asked for once, and a registry that is away fails its records alone.
//!
//! The registry and the cluster are stand-ins, because real ones can't be made to fail like this in the middle of a batch.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use index_events::config::Config;
use index_events::handler::Handler;
use indexing::transport::BulkTransport;
use schema_registry::registry::{Api, REGISTRY_RETRIES, Registry};
use search_client::auth::Auth;
use search_client::client::{BulkCompression, ClientOptions, Renewed, Response, SearchClient, SendError};
use search_client::endpoints::Endpoints;
use search_client::retry::RetryPolicy;
use serde_json::{Value, json};
use testing::bulk;
use testing::environment::lookup;
use testing::http_server::{HttpServer, ReceivedRequest, json_response};
use tokio::sync::Mutex;

/// A cluster that takes every document and keeps it.
#[derive(Clone, Default)]
struct Taking(Arc<Mutex<Vec<Value>>>);

impl BulkTransport for Taking {
    async fn send_bulk(&self, body: Bytes, _timeout: Duration) -> Result<Response, SendError> {
        let lines: Vec<Value> = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        let documents = lines.chunks(2).map(|pair| {
            let mut document = pair[1].clone();
            document["_index"] = pair[0]["create"]["_index"].clone();
            document
        });
        let items: Vec<Value> = lines.chunks(2).map(|_| json!(201)).collect();
        self.0.lock().await.extend(documents);
        Ok(Response { status: 200, body: bulk::response(items).to_string().into() })
    }

    async fn renew_credentials(&self) -> Renewed {
        Renewed::No
    }
}

struct World {
    cluster: Taking,
    registry: HttpServer,
    handler: Handler<Taking>,
}

const AVRO: &str = r#"{"type":"record","name":"O","fields":[{"name":"orderId","type":"string"}]}"#;

/// Schema 1 is Avro, 2 is not there, 3 is not given; of the others the registry is away.
fn respond(request: &ReceivedRequest) -> (u16, Value) {
    match request.path() {
        "schemas/ids/1" => (200, json!({"schema": AVRO})),
        "schemas/ids/2" => (404, json!({"error_code": 40403, "message": "not found"})),
        "schemas/ids/3" => (401, json!({"error_code": 401})),
        _ => (503, Value::Null),
    }
}

async fn world(variables: &[(&'static str, &'static str)]) -> World {
    let respond = |request: ReceivedRequest| {
        let (status, body) = respond(&request);
        async move { json_response(status, &body) }
    };
    let registry = HttpServer::start(respond).await.unwrap();
    let client = SearchClient::new(ClientOptions {
        endpoints: Endpoints::parse(registry.endpoint()).unwrap(),
        auth: Auth::None,
        credentials: None,
        ca_certificate: None,
        compression: BulkCompression::None,
    });
    let policy = RetryPolicy { max_total: Duration::from_millis(200), ..REGISTRY_RETRIES };
    let schemas = Registry::new(client.unwrap(), Api::Confluent, policy);
    let mut pairs = vec![
        ("SEARCH_ENDPOINT", "http://localhost:9200"),
        ("SCHEMA_REGISTRY_URL", "http://localhost:1"),
        ("BATCH_FAILURES", "report"),
    ];
    pairs.extend(variables);
    let config = Config::parse(&lookup(pairs)).unwrap();
    let cluster = Taking::default();
    let handler = Handler::new(cluster.clone(), Some(Arc::new(schemas)), config, "index-events".into());
    World { cluster, registry, handler }
}

impl World {
    /// Invokes the function with records of these values; returns the offsets that failed and the documents by offset.
    async fn invoke(&self, values: &[Vec<u8>]) -> (Vec<i64>, Vec<Value>) {
        let records: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(offset, value)| {
                json!({"topic": "order.events", "partition": 0, "offset": offset, "timestamp": 1_772_360_430_123_i64,
                    "value": BASE64_STANDARD.encode(value)})
            })
            .collect();
        let event = serde_json::to_vec(&json!({"records": {"order.events-0": records}})).unwrap();
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let response = self.handler.handle(&event, now_ms + 60_000).await.unwrap();
        let response = serde_json::to_value(&response).unwrap();
        let failures = response["batchItemFailures"].as_array().unwrap().iter();
        let offsets = failures.map(|failure| failure["itemIdentifier"]["offset"].as_i64().unwrap()).collect();
        let mut documents: Vec<Value> = std::mem::take(&mut *self.cluster.0.lock().await);
        documents.sort_by_key(|document| document["kafka_offset"].as_i64());
        (offsets, documents)
    }

    fn requests(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.registry.take_requests().iter().map(ReceivedRequest::line).collect();
        lines.sort();
        lines
    }
}

fn framed(id: u8) -> Vec<u8> {
    [&[0, 0, 0, 0, id][..], b"\x06O-1"].concat()
}

#[tokio::test]
async fn a_schema_is_asked_for_once_however_many_records_and_batches_wait_for_it() {
    let world = world(&[]).await;
    for _ in 0..2 {
        let (failed, documents) =
            world.invoke(&[framed(1), b"{\"orderId\":\"O-1\"}".to_vec(), framed(1)]).await;
        assert_eq!((failed.len(), documents.len()), (0, 3));
        for document in documents {
            assert_eq!(
                (&document["orderId"], &document["tags"]),
                (&json!("O-1"), &Value::Null),
                "{document}"
            );
        }
    }
    assert_eq!(world.requests(), ["GET schemas/ids/1"]);
}

#[tokio::test]
async fn a_registry_that_is_away_fails_its_records_alone_and_makes_no_dead_letters() {
    for variables in [&[][..], &[("SCHEMA_FAILURES", "dead-letter")]] {
        let world = world(variables).await;
        let values = [framed(4), b"{}".to_vec(), framed(1), framed(3), framed(4)];
        let (failed, documents) = world.invoke(&values).await;
        assert_eq!(failed, [0, 3, 4]);
        let offsets: Vec<_> =
            documents.iter().map(|document| document["kafka_offset"].as_i64().unwrap()).collect();
        assert_eq!(offsets, [1, 2]);
        assert_eq!(world.requests().iter().filter(|line| line.ends_with("/3")).count(), 1);
    }
}

#[tokio::test]
async fn an_unknown_schema_and_bytes_that_do_not_fit_are_the_records_own_affair() {
    let values = [framed(2), [framed(1), b"x".to_vec()].concat()];
    let (failed, documents) = world(&[]).await.invoke(&values).await;
    assert_eq!((failed.len(), documents.len()), (0, 2));
    for (document, value) in documents.iter().zip(&values) {
        assert_eq!(document["message_base64"], BASE64_STANDARD.encode(value));
        assert_eq!(document["tags"], json!(["_schemafailure"]));
        assert_eq!(document["_index"], "microservices-2026.03.01");
    }
    assert_eq!(documents[0]["schema_failure"], "the registry has no schema 2 (not found)");
    let (failed, letters) = world(&[("SCHEMA_FAILURES", "dead-letter")]).await.invoke(&values).await;
    assert_eq!((failed.len(), letters.len()), (0, 2));
    for (letter, value) in letters.iter().zip(&values) {
        assert_eq!(letter["error"]["type"], "schema_failure");
        let payload = letter["payload"].as_str().map(|text| BASE64_STANDARD.encode(text));
        let kept = payload.or(letter["payload_base64"].as_str().map(str::to_owned)).unwrap();
        assert_eq!(kept, BASE64_STANDARD.encode(value), "the dead letter has the record as it came");
        assert_eq!(letter["_index"], "dead-letters-microservices-2026.03.01");
    }
}

#[tokio::test]
async fn a_record_of_two_schemas_waits_for_both() {
    let world = world(&[("KEY_FORMAT", "avro")]).await;
    let record = json!({"topic": "order.events", "partition": 0, "offset": 0, "timestamp": 1_772_360_430_123_i64,
        "key": BASE64_STANDARD.encode(framed(1)), "value": BASE64_STANDARD.encode(framed(4))});
    let event = serde_json::to_vec(&json!({"records": {"order.events-0": [record]}})).unwrap();
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let response = world.handler.handle(&event, now_ms + 60_000).await.unwrap();
    let response = serde_json::to_value(&response).unwrap();
    assert_eq!(response["batchItemFailures"].as_array().map(Vec::len), Some(1), "{response}");
    let (failed, documents) = world.invoke(&[framed(1)]).await;
    assert_eq!((failed.len(), documents.len()), (0, 1));
}
