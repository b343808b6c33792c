//! A stand-in for the Lambda API: lists mappings, and invokes a function that the test scripts.
//!
//! Calls to other services are forwarded to the LocalStack that AWS_ENDPOINT_URL names.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64_simd::STANDARD;
use bytes::Bytes;
use http::{Method, Response};
use serde_json::{Map, Value, json};
use testing::http_server::{HttpServer, ReceivedRequest, json_response};
use tokio::runtime::Runtime;

use crate::kafka::{Topic, bootstrap_servers};

/// How an invocation ends.
#[derive(Clone, Debug)]
pub(crate) enum FunctionResult {
    /// The function returns this.
    Returned(Value),
    /// The function fails.
    Failed,
    /// The API refuses the invocation.
    Status(u16),
}

pub(crate) const OK: FunctionResult = FunctionResult::Returned(Value::Null);

/// An invocation that was made.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    pub(crate) event: Value,
    pub(crate) n_bytes: usize,
    pub(crate) began: Instant,
    pub(crate) ended: Option<Instant>,
    pub(crate) succeeded: bool,
}

type Function = Box<dyn Fn(&Invocation) -> (Duration, FunctionResult) + Send + Sync>;

struct State {
    mappings: Mutex<Vec<Value>>,
    invocations: Mutex<Vec<Invocation>>,
    function: Mutex<Arc<Function>>,
}

/// The stand-in, on a port of its own.
pub(crate) struct LambdaApi {
    running: Option<(HttpServer, Runtime)>,
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

impl LambdaApi {
    pub(crate) fn start() -> Self {
        let function: Function = Box::new(|_| (Duration::ZERO, OK));
        let state = State {
            mappings: Mutex::default(),
            invocations: Mutex::default(),
            function: Mutex::new(Arc::new(function)),
        };
        let mut api = Self { running: None, address: ([127, 0, 0, 1], 0).into(), state: Arc::new(state) };
        api.listen();
        api
    }

    /// Responds again after [`LambdaApi::vanish`].
    pub(crate) fn listen(&mut self) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let state = Arc::clone(&self.state);
        let server = HttpServer::start_at(self.address, move |request| respond(Arc::clone(&state), request));
        let server = runtime.block_on(server).unwrap();
        self.address = server.address();
        self.running = Some((server, runtime));
    }

    /// Refuses connections, and breaks those that there are.
    pub(crate) fn vanish(&mut self) {
        if let Some((server, runtime)) = self.running.take() {
            drop(server);
            runtime.shutdown_background();
        }
    }

    /// Creates a mapping of a topic, with these further properties. Returns its UUID.
    pub(crate) fn map(&self, topic: &Topic, properties: Value) -> String {
        let uuid = format!("mapping-{:08x}", rand::random::<u32>());
        let mut mapping = json!({
            "UUID": uuid, "State": "Enabled", "Topics": [topic.name], "StartingPosition": "TRIM_HORIZON",
            "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:consume",
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [bootstrap_servers()]}},
            "BatchSize": 100, "MaximumBatchingWindowInSeconds": 0,
        });
        mapping.as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
        self.state.mappings.lock().unwrap().push(mapping);
        uuid
    }

    /// Sets properties of a mapping.
    pub(crate) fn update(&self, uuid: &str, properties: Value) {
        let mut mappings = self.state.mappings.lock().unwrap();
        let mapping = mappings.iter_mut().find(|it| it["UUID"] == uuid).unwrap();
        mapping.as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
    }

    pub(crate) fn delete(&self, uuid: &str) {
        self.state.mappings.lock().unwrap().retain(|it| it["UUID"] != uuid);
    }

    /// Ends invocations as `function` decides, each after the time that it returns.
    pub(crate) fn function(
        &self,
        function: impl Fn(&Invocation) -> (Duration, FunctionResult) + Send + Sync + 'static,
    ) {
        *self.state.function.lock().unwrap() = Arc::new(Box::new(function));
    }

    pub(crate) fn invocations(&self) -> Vec<Invocation> {
        self.state.invocations.lock().unwrap().clone()
    }

    /// The offsets in successful invocations, for each partition, in order.
    pub(crate) fn delivered(&self) -> BTreeMap<i32, Vec<i64>> {
        let mut delivered: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
        for invocation in self.state.invocations.lock().unwrap().iter().filter(|it| it.succeeded) {
            for (partition, offsets) in invocation.offsets() {
                delivered.entry(partition).or_default().extend(offsets);
            }
        }
        delivered
    }

    /// The values in successful invocations.
    pub(crate) fn values(&self) -> Vec<String> {
        let invocations = self.state.invocations.lock().unwrap();
        invocations.iter().filter(|it| it.succeeded).flat_map(Invocation::values).collect()
    }

    pub(crate) fn n_delivered(&self) -> usize {
        self.delivered().values().map(Vec::len).sum()
    }
}

impl Invocation {
    pub(crate) fn records(&self) -> impl Iterator<Item = &Map<String, Value>> {
        let partitions = self.event["records"].as_object().unwrap().values();
        partitions.flat_map(|records| records.as_array().unwrap()).map(|record| record.as_object().unwrap())
    }

    pub(crate) fn offsets(&self) -> BTreeMap<i32, Vec<i64>> {
        let mut offsets: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
        for record in self.records() {
            let partition = i32::try_from(record["partition"].as_i64().unwrap()).unwrap();
            offsets.entry(partition).or_default().push(record["offset"].as_i64().unwrap());
        }
        offsets
    }

    pub(crate) fn values(&self) -> Vec<String> {
        let decode = |text: &str| String::from_utf8(STANDARD.decode_to_vec(text).unwrap()).unwrap();
        self.records().filter_map(|record| record["value"].as_str().map(decode)).collect()
    }
}

async fn respond(state: Arc<State>, request: ReceivedRequest) -> Response<Bytes> {
    if !request.header("authorization").unwrap().contains("/lambda/") {
        return forward(request).await;
    }
    if request.path().ends_with("/event-source-mappings/") {
        assert_eq!(request.head.method, Method::GET);
        let mappings = state.mappings.lock().unwrap().clone();
        return json_response(200, &json!({"EventSourceMappings": mappings}));
    }
    let (place, invocation) = {
        let invocation = Invocation {
            event: serde_json::from_slice(&request.body).unwrap(),
            n_bytes: request.body.len(),
            began: Instant::now(),
            ended: None,
            succeeded: false,
        };
        let mut invocations = state.invocations.lock().unwrap();
        invocations.push(invocation.clone());
        (invocations.len() - 1, invocation)
    };
    let function = Arc::clone(&state.function.lock().unwrap());
    let (delay, result) = function(&invocation);
    tokio::time::sleep(delay).await;
    {
        let mut invocations = state.invocations.lock().unwrap();
        invocations[place].ended = Some(Instant::now());
        invocations[place].succeeded = matches!(result, FunctionResult::Returned(_));
    }
    match result {
        FunctionResult::Returned(value) => Response::new(value.to_string().into()),
        FunctionResult::Failed => {
            let error = json!({"errorType": "Boom", "errorMessage": "scripted by the test"});
            let mut response = json_response(200, &error);
            response.headers_mut().insert("x-amz-function-error", "Unhandled".parse().unwrap());
            response
        }
        FunctionResult::Status(status) => json_response(status, &json!({"Message": "scripted by the test"})),
    }
}

async fn forward(request: ReceivedRequest) -> Response<Bytes> {
    let endpoint = std::env::var("AWS_ENDPOINT_URL").expect("AWS_ENDPOINT_URL names a LocalStack");
    let url = format!("{}{}", endpoint.trim_end_matches('/'), request.head.uri);
    let client = reqwest::Client::new();
    let forwarded = client.request(request.head.method, url).headers(request.head.headers).body(request.body);
    let forwarded = forwarded.send().await.unwrap();
    let response = Response::builder().status(forwarded.status());
    response.body(forwarded.bytes().await.unwrap()).unwrap()
}
