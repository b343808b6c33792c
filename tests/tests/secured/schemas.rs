//! Records that others' serializers wrote by a registry's schemas become the documents of the same events in JSON. The registry
//! is a real one, and the function's code runs in the test.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use index_events::handler::Handler;
use integration_tests::live::serialized::{FORMATS, events, stack_py};
use lambda_support::aws::secrets_manager;
use reqwest::Method;
use search_client::auth::Auth;
use search_client::client::SearchClient;
use serde_json::{Value, json};
use testing::kafka_event::{EventRecord, payload};

use crate::servers::{OPENSEARCH_PLAIN, Server, configuration};

const REGISTRY: &str = "schema-registry";
/// 2023-11-14
const TIMESTAMP_MS: i64 = 1_700_000_000_000;
const INDEX_DAY: &str = "2023.11.14";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_every_format_are_the_documents_of_the_same_events() -> Result<()> {
    let cluster = Server::find(OPENSEARCH_PLAIN).await?;
    let url = std::env::var("SCHEMA_REGISTRY_URL")
        .context("SCHEMA_REGISTRY_URL is not set, so there is no registry: run `make test-secured`")?;
    let records = events(&url, 1000).await?;
    let handler = handler(&cluster, "formats", &url).await?;
    let mut documents = Vec::new();
    for format in FORMATS {
        let failed = deliver(&handler, format, &records[format]).await?;
        ensure!(failed.is_empty(), "{format}: {failed:?} failed");
        documents.push((format, documents_of(&cluster, "formats", format).await?));
    }
    let [(_, plain), framed @ ..] = documents.as_slice() else { anyhow::bail!("no documents") };
    ensure!(plain.len() == 1000 && plain[0]["orderId"] == "O-0 é 😀", "{:?}", plain.first());
    for (format, documents) in framed {
        ensure!(documents.len() == plain.len(), "{format}: {} documents", documents.len());
        for (ours, json) in documents.iter().zip(plain) {
            let id = ours["kafka_schema_id"].as_str().and_then(|id| id.parse::<u32>().ok());
            ensure!(id.is_some_and(|id| id > 0), "{format}: {ours}");
            ensure!(comparable(ours) == comparable(json), "{format}:\n{ours}\n{json}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_delivered_again_while_the_registry_is_away() -> Result<()> {
    let own = OwnRegistry::start().await?;
    let result = records_survive_without(&own).await;
    own.stack("stop").await?;
    result
}

async fn records_survive_without(own: &OwnRegistry) -> Result<()> {
    let cluster = Server::find(OPENSEARCH_PLAIN).await?;
    let records = events(&own.url, 20).await?;
    own.stack("kill").await?;
    let handler = handler(&cluster, "registry-away", &own.url).await?;
    let failed = deliver(&handler, "avro", &records["avro"]).await?;
    ensure!(failed.len() == 20, "{failed:?} failed");
    let failed = deliver(&handler, "json", &records["json"]).await?;
    ensure!(failed.is_empty(), "{failed:?} need no registry");
    ensure!(documents_of(&cluster, "registry-away", "avro").await?.is_empty());

    // It holds the schemas in memory: registered again in the same order, they have the same ids.
    own.stack("start").await?;
    let again = events(&own.url, 20).await?;
    ensure!(again["avro"] == records["avro"], "the schemas have other ids");
    let failed = deliver(&handler, "avro", &records["avro"]).await?;
    ensure!(failed.is_empty(), "{failed:?} failed");
    ensure!(documents_of(&cluster, "registry-away", "avro").await?.len() == 20);
    let dead_letters = format!("dead-letters-registry-away-{INDEX_DAY}");
    ensure!(all(&cluster, &dead_letters, &json!({"match_all": {}})).await?.is_empty());
    Ok(())
}

/// The document, without what is different in each topic.
fn comparable(document: &Value) -> Value {
    let mut document = document.clone();
    if let Some(members) = document.as_object_mut() {
        for name in ["service", "service_name", "kafka_topic", "kafka_schema_id"] {
            members.remove(name);
        }
    }
    document
}

/// Delivers the records to the function as one batch; returns the offsets that it reports as failed.
async fn deliver(handler: &Handler<SearchClient>, format: &str, values: &[Vec<u8>]) -> Result<Vec<i64>> {
    let records = values.iter().cloned().zip(0..).map(|(value, offset)| EventRecord {
        topic: format!("{format}.events"),
        offset,
        timestamp_ms: TIMESTAMP_MS,
        value: Some(value),
        ..EventRecord::default()
    });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let deadline_ms = (now + Duration::from_secs(30)).as_millis() as u64;
    let response = handler.handle(payload(records).to_string().as_bytes(), deadline_ms).await?;
    let response = serde_json::to_value(&response)?;
    let failures = response["batchItemFailures"].as_array().context("a partial batch response")?;
    Ok(failures.iter().filter_map(|failure| failure["itemIdentifier"]["offset"].as_i64()).collect())
}

async fn documents_of(cluster: &Server, prefix: &str, format: &str) -> Result<Vec<Value>> {
    let query = json!({"term": {"kafka_topic.keyword": format!("{format}.events")}});
    all(cluster, &format!("{prefix}-{INDEX_DAY}"), &query).await
}

/// The documents that a query finds, by offset.
async fn all(cluster: &Server, index: &str, query: &Value) -> Result<Vec<Value>> {
    cluster.request(Method::POST, &format!("{index}/_refresh?ignore_unavailable=true"), None).await?;
    let path = format!("{index}/_search?ignore_unavailable=true&size=1000");
    let found = cluster.request(Method::POST, &path, Some(&json!({"query": query}))).await?;
    let hits = found["hits"]["hits"].as_array().context("a search returns hits")?;
    let mut documents: Vec<_> = hits.iter().map(|hit| hit["_source"].clone()).collect();
    documents.sort_by_key(|document| document["kafka_offset"].as_i64());
    Ok(documents)
}

/// The function with the registry at `url`.
async fn handler(cluster: &Server, prefix: &str, url: &str) -> Result<Handler<SearchClient>> {
    let more = [("SCHEMA_REGISTRY_URL", url), ("BATCH_FAILURES", "report")];
    let config = configuration(&cluster.endpoint, prefix, &more)?;
    let registry = config.indexing.registry.as_ref().context("a registry is configured")?;
    let registry = registry.connect(&secrets_manager()).await?;
    let client = cluster.client(Auth::None)?;
    Ok(Handler::new(client, Some(Arc::new(registry)), config, "index-events".to_owned()))
}

/// A registry beside that of the stack, which other tests use.
struct OwnRegistry {
    instance: String,
    url: String,
}

impl OwnRegistry {
    async fn start() -> Result<Self> {
        let stack =
            std::env::var("STACK_INSTANCE").context("STACK_INSTANCE is not set: run `make test-secured`")?;
        let mut own = Self { instance: format!("{stack}-own-registry"), url: String::new() };
        stack_py(&["start", REGISTRY, "--free-ports", "--instance", &own.instance]).await?;
        let info: Value = serde_json::from_slice(&stack_py(&["info", "--instance", &own.instance]).await?)?;
        own.url = info[REGISTRY]["endpoint"].as_str().context("the registry has an endpoint")?.to_owned();
        Ok(own)
    }

    async fn stack(&self, command: &str) -> Result<()> {
        stack_py(&[command, REGISTRY, "--instance", &self.instance]).await.map(drop)
    }
}
