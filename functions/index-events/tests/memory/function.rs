//! A process of the function between stand-ins for the Runtime API and the cluster.

use std::fs;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use testing::bulk;
use testing::http_server::{HttpServer, ReceivedRequest, json_response, silence};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What the cluster does with documents. It accepts every dead letter.
#[derive(Clone, Copy)]
pub(crate) enum Cluster {
    /// Accepts them.
    Accepts,
    /// Rejects them for this reason.
    Rejects(&'static str),
    /// Rejects them with a reason that quotes the whole document.
    Quotes,
}

/// What came of an invocation.
pub(crate) struct Invocation {
    /// The function's response, or the error that it reported.
    pub(crate) response: String,
    /// Bulk operations that the cluster received in each invocation.
    pub(crate) n_operations: usize,
    /// Peak of the process's memory, without the pages of its program: those of the debug build that is tested are several times
    /// the release's.
    pub(crate) peak_bytes: u64,
}

/// Starts the function, invokes it `times` and ends it. The response is the last one.
pub(crate) async fn invoke(payload: Vec<u8>, cluster: Cluster, times: usize) -> Invocation {
    invoke_with(payload, cluster, times, &[]).await
}

/// Invokes the function with these variables too. The schema registry has the schema 1, `AVRO`.
pub(crate) async fn invoke_with(
    payload: Vec<u8>,
    cluster: Cluster,
    times: usize,
    variables: &[(&str, &str)],
) -> Invocation {
    let n_operations = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&n_operations);
    let cluster = HttpServer::start(move |request: ReceivedRequest| {
        let response = respond(&request, cluster, &counter);
        async move { response }
    });
    let cluster = cluster.await.unwrap();

    let (responses, mut response) = mpsc::unbounded_channel();
    let payloads = Mutex::new(vec![Bytes::from(payload); times]);
    let runtime_api = HttpServer::start(move |request: ReceivedRequest| {
        let is_next = request.path().ends_with("/next");
        let next = if is_next { payloads.lock().unwrap().pop() } else { None };
        if !is_next {
            responses.send(request.text()).unwrap();
        }
        async move {
            match next {
                Some(payload) => invocation(payload),
                None if is_next => silence().await,
                None => json_response(202, &json!({})),
            }
        }
    });
    let runtime_api = runtime_api.await.unwrap();

    let function = Function::start(&runtime_api, &cluster, variables);
    let mut last = String::new();
    for _ in 0..times {
        last = timeout(Duration::from_secs(120), response.recv()).await.unwrap().unwrap();
    }
    let n_operations = n_operations.load(Ordering::Relaxed);
    assert_eq!(n_operations % times, 0, "each of {times} invocations writes the same");
    Invocation { response: last, n_operations: n_operations / times, peak_bytes: function.peak_bytes() }
}

fn invocation(payload: Bytes) -> http::Response<Bytes> {
    let deadline_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() + 120_000;
    http::Response::builder()
        .header("Lambda-Runtime-Aws-Request-Id", "1")
        .header("Lambda-Runtime-Deadline-Ms", deadline_ms.to_string())
        .header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:0:function:index-events")
        .body(payload)
        .unwrap()
}

/// An Avro schema of which few bytes become much JSON: the names of its fields are longer than their values.
const AVRO: &str = r#"{"type":"record","name":"R","fields":[{"name":"text","type":"string"},{"name":"items","type":
    {"type":"array","items":{"type":"record","name":"I","fields":[{"name":"LONG","type":"boolean"}]}}}]}"#;

fn respond(request: &ReceivedRequest, cluster: Cluster, n_operations: &AtomicUsize) -> http::Response<Bytes> {
    if request.path() == "schemas/ids/1" {
        return json_response(200, &json!({"schema": AVRO.replace("LONG", &"a".repeat(100))}));
    }
    assert_eq!(request.header("content-encoding"), Some("gzip"), "bulk bodies are compressed by default");
    let mut body = Vec::new();
    GzDecoder::new(&request.body[..]).read_to_end(&mut body).unwrap();
    let lines: Vec<&[u8]> = body.split_inclusive(|byte| *byte == b'\n').collect();
    let items = lines.chunks(2).map(|pair| {
        let [action, document] = pair else { panic!("{} lines", lines.len()) };
        let action: Value = serde_json::from_slice(action).unwrap();
        let is_dead_letter = action["create"]["_index"].as_str().unwrap().starts_with("dead-letter");
        // Two kinds of rubbish would pass as a document otherwise.
        serde_json::from_slice::<serde::de::IgnoredAny>(document).unwrap();
        match cluster {
            Cluster::Rejects(reason) if !is_dead_letter => {
                bulk::failed(400, "mapper_parsing_exception", reason)
            }
            Cluster::Quotes if !is_dead_letter => bulk::failed(
                400,
                "mapper_parsing_exception",
                &format!("failed to parse field [a] of type [long]: '{}'", String::from_utf8_lossy(document)),
            ),
            _ => json!(201),
        }
    });
    let items: Vec<Value> = items.collect();
    n_operations.fetch_add(items.len(), Ordering::Relaxed);
    json_response(200, &bulk::response(items))
}

/// The function's process. It ends when dropped.
struct Function(Child);

impl Function {
    fn start(runtime_api: &HttpServer, cluster: &HttpServer, variables: &[(&str, &str)]) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_index-events"))
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", runtime_api.address().to_string()),
                ("AWS_LAMBDA_FUNCTION_NAME", "index-events".into()),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128".into()),
                ("AWS_LAMBDA_FUNCTION_VERSION", "1".into()),
                ("AWS_LAMBDA_LOG_GROUP_NAME", "memory".into()),
                ("AWS_LAMBDA_LOG_STREAM_NAME", "memory".into()),
                ("SEARCH_ENDPOINT", cluster.endpoint().to_owned()),
                ("SCHEMA_REGISTRY_URL", cluster.endpoint().to_owned()),
                // As in the template.
                ("MALLOC_ARENA_MAX", "1".into()),
            ])
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .spawn();
        Self(process.unwrap())
    }

    fn peak_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
        };
        bytes("VmHWM:") - bytes("RssFile:")
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
