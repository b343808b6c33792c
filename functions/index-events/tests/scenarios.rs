//! Runs scenarios: an event and the cluster's responses go in, bulk requests and the function's response come out.
//!
//! Each folder of `tests/scenarios` is one. It has `event.json`, `responses.json` (a status and what comes with it, in
//! order) and optionally `environment.json`, and the expected texts in `requests.txt` and `function-response.json`. The
//! cluster is a script, because a real one can't be made to give most of these responses. `UPDATE_SCENARIOS=1` writes the
//! expected texts again: read the difference before you commit it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test or benchmark fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use index_events::config::Config;
use index_events::handler::Handler;
use indexing::transport::BulkTransport;
use lambda_runtime::Diagnostic;
use search_client::client::{Renewed, Response, SendError};
use serde::Deserialize;
use serde_json::{Value, json};
use testing::bulk;
use testing::environment::lookup;
use testing::script::Script;

#[derive(Deserialize)]
struct ScriptedResponse {
    status: u16,
    /// Statuses or whole results of the items.
    items: Option<Vec<Value>>,
    /// The body as text, for responses that don't have the documented form.
    body: Option<String>,
}

impl ScriptedResponse {
    fn body(self) -> String {
        match self.items {
            Some(items) => bulk::response(items).to_string(),
            None => self.body.unwrap_or_default(),
        }
    }
}

struct ScriptedCluster(Arc<Script<String, ScriptedResponse>>);

impl BulkTransport for ScriptedCluster {
    async fn send_bulk(&self, body: Bytes, _timeout: Duration) -> Result<Response, SendError> {
        let response = self.0.respond(String::from_utf8(body.to_vec()).unwrap());
        Ok(Response { status: response.status, body: response.body().into() })
    }

    async fn renew_credentials(&self) -> Renewed {
        Renewed::No
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
    let config = Config::parse(&lookup(environment)).unwrap();
    let responses: Vec<ScriptedResponse> = read_json(&folder.join("responses.json"));
    let statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
    let script = Arc::new(Script::new(responses));
    let handler = Handler::new(ScriptedCluster(Arc::clone(&script)), None, config, "index-events".into());
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let payload = fs::read(folder.join("event.json")).unwrap();
    let response = match handler.handle(&payload, now_ms + 60_000).await {
        Ok(response) => json!({"response": response}),
        Err(error) => json!({"error": Diagnostic::from(error)}),
    };
    assert_eq!(script.n_left(), 0, "{}: every response was used", folder.display());
    let bodies = script.requests();
    let requests = bodies.iter().zip(statuses).map(|(body, status)| format!("=== response {status}\n{body}"));
    let requests: String = requests.collect();
    (requests, format!("{}\n", serde_json::to_string_pretty(&response).unwrap()))
}

#[tokio::test(start_paused = true)]
async fn every_scenario_gives_the_expected_requests_and_response() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut folders: Vec<PathBuf> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() >= 10, "the scenarios are found");
    let mut differing = Vec::new();
    for folder in folders {
        let (requests, response) = play(&folder).await;
        for (name, text) in [("requests.txt", requests), ("function-response.json", response)] {
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
