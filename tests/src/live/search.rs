//! The search cluster as a test reads it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::account::{Found, Place};
use crate::live::poll::{Check, until};

/// Pattern of the daily indices.
pub const INDICES: &str = "microservices-*";
/// Pattern of the dead-letter indices.
pub const DEAD_LETTERS: &str = "dead-letters-microservices-*";

/// Documents in one page of a scroll.
const PAGE: usize = 5_000;

/// A client of the cluster.
#[derive(Clone, Debug)]
pub struct Search {
    http: Client,
    endpoints: Vec<String>,
}

/// A document.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Its `_id`.
    pub id: String,
    /// Its index.
    pub index: String,
    /// Its `_source`; null if it was not requested.
    pub source: Value,
}

impl Search {
    /// Creates a client.
    ///
    /// # Errors
    /// When the HTTP client can't be created.
    pub fn new(endpoint: &str) -> Result<Self> {
        Self::of_nodes(&[endpoint.to_owned()])
    }

    /// Creates a client of several nodes, which sends a request to the first one that responds.
    ///
    /// # Errors
    /// When the HTTP client can't be created.
    pub fn of_nodes(endpoints: &[String]) -> Result<Self> {
        // An error means that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().timeout(Duration::from_secs(60)).build()?;
        Ok(Self { http, endpoints: endpoints.to_vec() })
    }

    /// Sends a request and returns the JSON of a successful response.
    ///
    /// # Errors
    /// When there is no response, or its status is not 2xx.
    pub async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut sent = None;
        for endpoint in &self.endpoints {
            let mut request = self.http.request(method.clone(), format!("{endpoint}/{path}"));
            if let Some(body) = body {
                request = request.header("content-type", "application/json").body(body.to_string());
            }
            let response = request.send().await;
            let is_response = response.is_ok();
            sent = Some(response);
            if is_response {
                break;
            }
        }
        let response =
            sent.context("the cluster has an endpoint")?.with_context(|| format!("{method} {path}"))?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "{method} {path} returned {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Waits until every shard has all its copies.
    ///
    /// # Errors
    /// When that takes longer than a minute or two.
    pub async fn wait_for_green(&self) -> Result<()> {
        until("the search cluster to be green", Duration::from_secs(120), async || {
            let health = self.request(Method::GET, "_cluster/health", None).await?;
            Ok(Check::at(health["status"] == "green", || health.to_string()))
        })
        .await
    }

    /// The name of the node that manages the cluster.
    ///
    /// # Errors
    /// When the cluster does not respond, or has no manager.
    pub async fn cluster_manager(&self) -> Result<String> {
        let nodes = self.request(Method::GET, "_cat/nodes?format=json&h=name,cluster_manager", None).await?;
        let manager = nodes.as_array().into_iter().flatten().find(|node| node["cluster_manager"] == "*");
        let name = manager.and_then(|node| node["name"].as_str());
        Ok(name.with_context(|| format!("no cluster manager in {nodes}"))?.to_owned())
    }

    /// The number of nodes in the cluster.
    ///
    /// # Errors
    /// When the cluster does not respond.
    pub async fn n_nodes(&self) -> Result<u64> {
        let health = self.request(Method::GET, "_cluster/health", None).await?;
        health["number_of_nodes"].as_u64().with_context(|| format!("no number of nodes in {health}"))
    }

    /// Waits until the cluster has this many nodes.
    ///
    /// # Errors
    /// When that takes longer than a minute or two.
    pub async fn wait_for_nodes(&self, n_nodes: u64) -> Result<()> {
        until(&format!("{n_nodes} nodes in the cluster"), Duration::from_secs(120), async || {
            let n = self.n_nodes().await?;
            Ok(Check::at(n == n_nodes, || format!("{n} nodes")))
        })
        .await
    }

    /// Where a node listens for the others: `HOST:PORT`.
    ///
    /// # Errors
    /// When the cluster has no such node.
    pub async fn transport_address(&self, node: &str) -> Result<String> {
        let path = format!("_nodes/{node}/transport");
        let nodes = self.request(Method::GET, &path, None).await?;
        let found = nodes["nodes"].as_object().and_then(|nodes| nodes.values().next());
        let address = found.and_then(|node| node["transport"]["bound_address"][0].as_str());
        Ok(address.with_context(|| format!("no address of {node} in {nodes}"))?.to_owned())
    }

    /// The nodes that have primary shards of the daily indices, and how many each has.
    ///
    /// # Errors
    /// When the cluster does not respond.
    pub async fn primaries(&self) -> Result<BTreeMap<String, usize>> {
        let path = format!("_cat/shards/{INDICES}?format=json&h=prirep,state,node");
        let shards = self.request(Method::GET, &path, None).await?;
        let mut nodes = BTreeMap::new();
        for shard in shards.as_array().context("shards are listed")? {
            if let ("p", Some(node)) = (shard["prirep"].as_str().unwrap_or_default(), shard["node"].as_str())
            {
                *nodes.entry(node.to_owned()).or_default() += 1;
            }
        }
        Ok(nodes)
    }

    /// Makes everything indexed so far searchable.
    ///
    /// # Errors
    /// When the cluster does not respond.
    pub async fn refresh(&self) -> Result<()> {
        self.request(Method::POST, &format!("{INDICES},{DEAD_LETTERS}/_refresh"), None).await.map(drop)
    }

    /// Every document in `indices` that matches `query`, after a refresh.
    ///
    /// # Errors
    /// When the cluster does not respond as it should.
    pub async fn all(&self, indices: &str, query: &Value) -> Result<Vec<Hit>> {
        self.scroll(indices, query, true).await
    }

    /// Every document of a topic, in the daily and in the dead-letter indices.
    ///
    /// # Errors
    /// When the cluster does not respond as it should.
    pub async fn find_topic(&self, topic: &str) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        for (indices, place) in [(INDICES, Place::Index), (DEAD_LETTERS, Place::DeadLetters)] {
            let hits = self.scroll(indices, &of_topic(topic), false).await?;
            found.extend(hits.into_iter().map(|Hit { id, index, .. }| Found { id, index, place }));
        }
        Ok(found)
    }

    /// The number of documents of a topic, dead letters included, after a refresh.
    ///
    /// # Errors
    /// When the cluster does not respond as it should.
    pub async fn count_topic(&self, topic: &str) -> Result<u64> {
        self.refresh().await?;
        let query = json!({"query": of_topic(topic)});
        let response =
            self.request(Method::POST, &format!("{INDICES},{DEAD_LETTERS}/_count"), Some(&query)).await?;
        response["count"].as_u64().with_context(|| format!("no count in {response}"))
    }

    async fn scroll(&self, indices: &str, query: &Value, with_source: bool) -> Result<Vec<Hit>> {
        self.refresh().await?;
        let body = json!({"query": query, "size": PAGE, "sort": ["_doc"], "_source": with_source});
        let mut page =
            self.request(Method::POST, &format!("{indices}/_search?scroll=1m"), Some(&body)).await?;
        let mut hits = Vec::new();
        loop {
            ensure!(page["_shards"]["failed"] == 0, "shards failed: {}", page["_shards"]);
            let found = page["hits"]["hits"].as_array().context("a search returns hits")?.clone();
            let scroll = json!({"scroll": "1m", "scroll_id": page["_scroll_id"]});
            if found.is_empty() {
                // A pattern that matches no index opens no scroll.
                if page["_scroll_id"].as_str().is_some_and(|id| !id.is_empty()) {
                    let scroll_id = json!({"scroll_id": page["_scroll_id"]});
                    self.request(Method::DELETE, "_search/scroll", Some(&scroll_id)).await?;
                }
                return Ok(hits);
            }
            for hit in found {
                let text = |name: &str| {
                    hit[name].as_str().map(str::to_owned).with_context(|| format!("a hit without {name}"))
                };
                hits.push(Hit { id: text("_id")?, index: text("_index")?, source: hit["_source"].clone() });
            }
            page = self.request(Method::POST, "_search/scroll", Some(&scroll)).await?;
        }
    }
}

/// The query for the documents of a topic.
#[must_use]
pub fn of_topic(topic: &str) -> Value {
    json!({"term": {"kafka_topic": topic}})
}
