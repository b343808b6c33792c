//! The servers of the stack that `STACK_INSTANCE` names, and what a test sends to them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use index_events::config::Config;
use index_events::handler::Handler;
use indexing::bulk_writer::BULK_RETRIES;
use indexing::indexer::Indexer;
use reqwest::Method;
use search_client::auth::{Auth, CredentialType, Secret};
use search_client::client::{BulkCompression, ClientOptions, RequestBody, SearchClient};
use search_client::endpoints::Endpoints;
use serde_json::{Value, json};
use testing::environment::lookup;
use testing::kafka_event::{EventRecord, payload};
use tokio::process::Command;
use tokio::time::Instant;

/// The newest OpenSearch, without security.
pub(crate) const OPENSEARCH_PLAIN: &str = "opensearch";
/// OpenSearch with its security plugin.
pub(crate) const OPENSEARCH: &str = "opensearch-secured";
/// A current Elasticsearch, without lifecycles and user management.
pub(crate) const ELASTICSEARCH: &str = "elasticsearch";
/// An older Elasticsearch with all features, under a trial licence.
pub(crate) const ELASTICSEARCH_6: &str = "elasticsearch-6";

/// Timestamp of all records: 2023-11-14.
const TIMESTAMP_MS: i64 = 1_700_000_000_000;
/// Their day in index names.
pub(crate) const DAY: &str = "2023.11.14";

const TIMEOUT: Duration = Duration::from_secs(60);

/// A server, with its administrator's credentials. Those of a server without security are empty.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) endpoint: String,
    /// PEM text of the CA that signed its certificate.
    pub(crate) ca: String,
    pub(crate) username: String,
    pub(crate) password: String,
}

/// A server's response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Server {
    /// Finds a running server.
    pub(crate) async fn find(name: &str) -> Result<Self> {
        let info = info().await?;
        let known = &info[name];
        ensure!(known["running"] == true, "{name} does not run: run `make test-secured`");
        let text = |member: &str| {
            known[member].as_str().map(str::to_owned).context(format!("{name} has no {member}"))
        };
        if name == OPENSEARCH_PLAIN {
            let (ca, username, password) = Default::default();
            return Ok(Self { endpoint: text("endpoint")?, ca, username, password });
        }
        Ok(Self {
            endpoint: text("endpoint")?,
            ca: std::fs::read_to_string(text("ca_certificate")?)?,
            username: text("username")?,
            password: text("password")?,
        })
    }

    /// The administrator's credentials.
    pub(crate) fn administrator(&self) -> Auth {
        if self.username.is_empty() { Auth::None } else { basic(&self.username, &self.password) }
    }

    /// A client with these credentials.
    pub(crate) fn client(&self, auth: Auth) -> Result<SearchClient> {
        self.client_that_trusts(&self.ca, auth)
    }

    /// A client that trusts another CA than the server's.
    pub(crate) fn client_that_trusts(&self, ca: &str, auth: Auth) -> Result<SearchClient> {
        Ok(SearchClient::new(ClientOptions {
            endpoints: Endpoints::parse(&self.endpoint)?,
            auth,
            credentials: None,
            ca_certificate: (!ca.is_empty()).then_some(ca),
            compression: BulkCompression::Gzip,
        })?)
    }

    /// Sends a request with these credentials; returns the response whatever its status.
    pub(crate) async fn send(
        &self,
        auth: Auth,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response> {
        let body = body.map_or(RequestBody::None, |body| RequestBody::Json(body.to_string().into()));
        let response = self.client(auth)?.request(method, path, body, TIMEOUT).await?;
        // Some error responses are plain text.
        let text = || Value::String(String::from_utf8_lossy(&response.body).into_owned());
        Ok(Response {
            status: response.status,
            body: serde_json::from_slice(&response.body).unwrap_or_else(|_| text()),
        })
    }

    /// Sends a request as the administrator; returns the JSON of a successful response.
    pub(crate) async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let response = self.send(self.administrator(), method.clone(), path, body).await?;
        ensure!((200..300).contains(&response.status), "{method} {path} returned {response:?}");
        Ok(response.body)
    }

    /// All documents written so far to an index, by id.
    pub(crate) async fn documents(&self, index: &str) -> Result<Vec<(String, Value)>> {
        self.request(Method::POST, &format!("{index}/_refresh?ignore_unavailable=true"), None).await?;
        let path = format!("{index}/_search?ignore_unavailable=true&size=100");
        let found = self.request(Method::POST, &path, Some(&json!({"query": {"match_all": {}}}))).await?;
        let hits = found["hits"]["hits"].as_array().context("a search returns hits")?;
        let mut documents: Vec<_> = hits
            .iter()
            .map(|hit| (hit["_id"].as_str().unwrap_or_default().to_owned(), hit["_source"].clone()))
            .collect();
        documents.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(documents)
    }
}

/// Credentials of a user.
pub(crate) fn basic(username: &str, password: &str) -> Auth {
    Auth::Basic { username: username.to_owned(), password: Secret::new(password) }
}

/// Credentials of an API key, from the response that created it.
pub(crate) fn api_key(made: &Value) -> Result<Auth> {
    let part = |name: &str| made[name].as_str().context("an API key has an id and a key");
    let encoded = BASE64_STANDARD.encode(format!("{}:{}", part("id")?, part("api_key")?));
    Ok(Auth::from_secret(CredentialType::ApiKey, &json!({"api_key": encoded}).to_string())?)
}

/// The function's configuration for daily indices of this prefix.
pub(crate) fn configuration(endpoint: &str, prefix: &str, more: &[(&str, &str)]) -> Result<Config> {
    let dead_letters = format!("dead-letters-{prefix}");
    let mut variables =
        vec![("SEARCH_ENDPOINT", endpoint), ("INDEX_PREFIX", prefix), ("DEAD_LETTER_PREFIX", &dead_letters)];
    variables.extend_from_slice(more);
    Ok(Config::parse(&lookup(variables))?)
}

/// The function's indexer, for its account of a batch.
pub(crate) fn indexer(client: SearchClient, prefix: &str) -> Result<Indexer<SearchClient>> {
    let config = configuration("https://localhost", prefix, &[])?.indexing;
    Ok(Indexer::new(Arc::new(client), config.settings, config.limits, BULK_RETRIES))
}

/// The error message of an invocation, or nothing if it succeeds.
pub(crate) async fn invoke(
    client: SearchClient,
    config: Config,
    payload: &[u8],
    within: Duration,
) -> Option<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let deadline_ms = (now + within).as_millis() as u64;
    let handler = Handler::new(client, None, config, "index-events".to_owned());
    handler.handle(payload, deadline_ms).await.err().map(|error| error.to_string())
}

/// A deadline that no test reaches.
pub(crate) fn later() -> Instant {
    Instant::now() + TIMEOUT
}

/// A Lambda batch with these events in partition 0 of a topic, from offset 0.
pub(crate) fn batch(topic: &str, events: &[Value]) -> Vec<u8> {
    let records = events.iter().zip(0..).map(|(event, offset)| EventRecord {
        topic: topic.to_owned(),
        offset,
        timestamp_ms: TIMESTAMP_MS,
        value: Some(event.to_string().into_bytes()),
        ..EventRecord::default()
    });
    payload(records).to_string().into_bytes()
}

/// The id of a record's document.
pub(crate) fn id(topic: &str, offset: usize) -> String {
    format!("{topic}-0-{offset}-{TIMESTAMP_MS}")
}

async fn info() -> Result<Value> {
    let instance = std::env::var("STACK_INSTANCE")
        .context("STACK_INSTANCE is not set, so there are no servers to test on: run `make test-secured`")?;
    let servers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../localstack/servers");
    let output = Command::new(servers.join("python.sh"))
        .arg(servers.join("stack.py"))
        .args(["info", "--instance", &instance])
        .output()
        .await?;
    ensure!(output.status.success(), "`stack.py info`: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}
