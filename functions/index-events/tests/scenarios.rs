//! Scenarios: an event and a cluster's answers in, bulk requests and the function's answer out, whole texts compared.
//!
//! Each folder of `tests/scenarios` is one: `event.json`, `responses.json` (a status and what it answers with, in
//! order), optionally `environment.json`, and what is expected in `requests.txt` and `answer.json`. The cluster is a
//! script: most of these answers can't be had from a real one on demand. `UPDATE_SCENARIOS=1` writes what is
//! expected anew: read the difference before you commit it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test or benchmark fails by panicking")]

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use index_events::handler::Handler;
use indexing::config::Config;
use indexing::field_limit::IndexMapping;
use indexing::transport::BulkTransport;
use lambda_runtime::Diagnostic;
use search_client::client::{Renewed, Response, SendError};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct ScriptedResponse {
    status: u16,
    /// Statuses or whole answers of the items.
    items: Option<Vec<Value>>,
    /// The body as text, for answers that are not of the documented shape.
    body: Option<String>,
}

impl ScriptedResponse {
    fn body(self) -> String {
        let Some(items) = self.items else { return self.body.unwrap_or_default() };
        let items: Vec<_> =
            items
                .into_iter()
                .map(|item| {
                    if item.is_number() {
                        json!({"create": {"status": item}})
                    } else {
                        json!({"create": item})
                    }
                })
                .collect();
        json!({"errors": true, "items": items}).to_string()
    }
}

#[derive(Default)]
struct Script {
    responses: Mutex<VecDeque<ScriptedResponse>>,
    requests: Mutex<String>,
}

struct ScriptedCluster(Arc<Script>);

impl BulkTransport for ScriptedCluster {
    async fn send_bulk(&self, body: Bytes, _timeout: Duration) -> Result<Response, SendError> {
        let response =
            self.0.responses.lock().unwrap().pop_front().expect("a response is left for the request");
        let mut requests = self.0.requests.lock().unwrap();
        writeln!(requests, "=== answered {}", response.status).unwrap();
        requests.push_str(std::str::from_utf8(&body).unwrap());
        Ok(Response { status: response.status, body: response.body().into() })
    }

    async fn renew_credentials(&self) -> Renewed {
        Renewed::No
    }
}

impl IndexMapping for ScriptedCluster {
    async fn stop_mapping_new_fields(&self, index: &str, timeout: Duration) -> Result<Response, SendError> {
        self.send_bulk(format!("no more fields in {index}\n").into(), timeout).await
    }
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> T {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

async fn play(folder: &Path) -> (String, String) {
    let mut environment =
        BTreeMap::from([("SEARCH_ENDPOINT".to_owned(), "http://localhost:9200".to_owned())]);
    if folder.join("environment.json").exists() {
        environment.extend(read_json::<BTreeMap<String, String>>(&folder.join("environment.json")));
    }
    let config = Config::parse(&|name| environment.get(name).cloned()).unwrap();
    let responses: VecDeque<ScriptedResponse> = read_json(&folder.join("responses.json"));
    let script = Arc::new(Script { responses: responses.into(), ..Script::default() });
    let handler = Handler::new(ScriptedCluster(Arc::clone(&script)), config, "index-events".into());
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let payload = fs::read(folder.join("event.json")).unwrap();
    let answer = match handler.handle(&payload, now_ms + 60_000).await {
        Ok(answer) => json!({"answer": answer}),
        Err(error) => json!({"error": Diagnostic::from(error)}),
    };
    assert_eq!(
        script.responses.lock().unwrap().len(),
        0,
        "{}: every response was asked for",
        folder.display()
    );
    let requests = script.requests.lock().unwrap().clone();
    (requests, format!("{}\n", serde_json::to_string_pretty(&answer).unwrap()))
}

#[tokio::test(start_paused = true)]
async fn every_scenario_sends_and_answers_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut folders: Vec<PathBuf> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() >= 10, "the scenarios are there");
    let mut differing = Vec::new();
    for folder in folders {
        let (requests, answer) = play(&folder).await;
        for (name, text) in [("requests.txt", requests), ("answer.json", answer)] {
            let path = folder.join(name);
            if std::env::var_os("UPDATE_SCENARIOS").is_some() {
                fs::write(&path, &text).unwrap();
            }
            let expected = fs::read_to_string(&path).unwrap_or_default();
            if text != expected {
                differing.push(format!("{}:\n--- expected\n{expected}\n--- got\n{text}", path.display()));
            }
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
