//! The real registry, and a server before it that counts, fails and disappears.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use testing::http_server::{HttpServer, ReceivedRequest};
use tokio::runtime::Runtime;

/// Order of the three languages: `order_id` "o-1", `total` 2.5.
pub(crate) const AVRO: &str = r#"{"type": "record", "name": "Order", "fields": [
    {"name": "order_id", "type": "string"}, {"name": "total", "type": "double"}]}"#;
pub(crate) const AVRO_ORDER: &[u8] = b"\x06o-1\0\0\0\0\0\0\x04\x40";
pub(crate) const PROTOBUF: &str =
    "syntax = \"proto3\"; message Other { } message Order { string order_id = 1; double total = 2; }";
/// The second message of the file, behind its message indexes: one index, 1.
pub(crate) const PROTOBUF_ORDER: &[u8] = b"\x02\x02\x0a\x03o-1\x11\0\0\0\0\0\0\x04\x40";
pub(crate) const JSON_SCHEMA: &str = r#"{"type": "object", "required": ["order_id"],
    "properties": {"order_id": {"type": "string"}, "total": {"type": "number"}}}"#;
pub(crate) const JSON_ORDER: &[u8] = br#"{"order_id": "o-1", "total": 2.5}"#;

/// The URL of the real registry.
pub(crate) fn url() -> String {
    std::env::var("SCHEMA_REGISTRY_URL").expect("SCHEMA_REGISTRY_URL names a registry with Confluent's API")
}

/// Registers a schema under a subject of its own. Returns its id.
pub(crate) fn register(schema_type: &str, schema: &str) -> u32 {
    register_with(schema_type, schema, &json!([])).0
}

/// Registers a schema with references. Returns its id and its subject.
pub(crate) fn register_with(schema_type: &str, schema: &str, references: &Value) -> (u32, String) {
    let subject = format!("subject-{:08x}-value", rand::random::<u32>());
    let body = json!({"schemaType": schema_type, "schema": schema, "references": references});
    let url = format!("{}/subjects/{subject}/versions", url());
    let response: Value = run(async {
        let request = reqwest::Client::new().post(url).header("content-type", "application/json");
        let response = request.body(body.to_string()).send().await.unwrap();
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    });
    let id = response["id"].as_u64().unwrap_or_else(|| panic!("not registered: {response}"));
    (u32::try_from(id).unwrap(), subject)
}

/// A value in Confluent's frame.
pub(crate) fn framed(id: u32, body: &[u8]) -> Vec<u8> {
    [&[0], id.to_be_bytes().as_slice(), body].concat()
}

/// The property of a mapping with this registry.
pub(crate) fn config(url: &str, format: &str, attributes: &[&str]) -> Value {
    config_with(url, format, attributes, &json!([]))
}

/// The property of a mapping with this registry and access to it.
pub(crate) fn config_with(url: &str, format: &str, attributes: &[&str], access: &Value) -> Value {
    let validation: Vec<Value> = attributes.iter().map(|attribute| json!({"Attribute": attribute})).collect();
    json!({"ProvisionedPollerConfig": {"MinimumPollers": 1}, "SelfManagedKafkaEventSourceConfig": {"SchemaRegistryConfig": {
        "SchemaRegistryURI": url, "EventRecordFormat": format, "AccessConfigs": access,
        "SchemaValidationConfigs": validation}}})
}

fn run<T>(future: impl Future<Output = T>) -> T {
    kafka_poller::aws::use_ring();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A server before the registry.
pub(crate) struct Front {
    running: Option<(HttpServer, Runtime)>,
    address: SocketAddr,
    state: Arc<Mutex<FrontState>>,
}

#[derive(Default)]
struct FrontState {
    /// The paths and `authorization` headers of all requests.
    requests: Vec<(String, Option<String>)>,
    /// What is returned instead of the registry's response.
    instead: Option<(u16, &'static str)>,
}

impl Front {
    pub(crate) fn start() -> Self {
        let mut front = Self { running: None, address: ([127, 0, 0, 1], 0).into(), state: Arc::default() };
        front.listen();
        front
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Responds again after [`Front::vanish`].
    pub(crate) fn listen(&mut self) {
        kafka_poller::aws::use_ring();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let state = Arc::clone(&self.state);
        let server = HttpServer::start_at(self.address, move |request| respond(Arc::clone(&state), request));
        let server = runtime.block_on(server).unwrap();
        self.address = server.address();
        self.running = Some((server, runtime));
    }

    /// Refuses connections.
    pub(crate) fn vanish(&mut self) {
        if let Some((server, runtime)) = self.running.take() {
            drop(server);
            runtime.shutdown_background();
        }
    }

    /// Returns this instead of the registry's response, or that response again.
    pub(crate) fn respond(&self, instead: Option<(u16, &'static str)>) {
        self.state.lock().unwrap().instead = instead;
    }

    pub(crate) fn requests(&self) -> Vec<(String, Option<String>)> {
        self.state.lock().unwrap().requests.clone()
    }
}

async fn respond(state: Arc<Mutex<FrontState>>, request: ReceivedRequest) -> Response<Bytes> {
    let instead = {
        let mut state = state.lock().unwrap();
        let login = request.header("authorization").map(str::to_owned);
        state.requests.push((request.path().to_owned(), login));
        state.instead
    };
    if let Some((status, body)) = instead {
        return Response::builder().status(status).body(Bytes::from(body)).unwrap();
    }
    let registered = reqwest::get(format!("{}{}", url(), request.head.uri)).await.unwrap();
    let response = Response::builder().status(registered.status());
    response.body(registered.bytes().await.unwrap()).unwrap()
}
