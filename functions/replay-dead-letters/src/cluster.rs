//! Reads from the cluster: pages of dead letters' places, dead letters by their places. Retries here are few: a read
//! that fails ends the run, which can be run again.

use std::time::Duration;

use bytes::Bytes;
use indexing::field_limit::IndexMapping;
use indexing::transport::BulkTransport;
use reqwest::Method;
use search_client::backoff::Backoff;
use search_client::client::{Renewed, RequestBody, Response, SearchClient, SendError};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::query::{BY_ERROR, BY_SERVICE, INDICES};

/// What a replay needs of a cluster: one, or in tests a script.
pub trait Cluster: BulkTransport + IndexMapping {
    /// Posts JSON, once; `None` if the answer has more than `max_bytes`.
    fn post(
        &self,
        path: &str,
        body: Bytes,
        timeout: Duration,
        max_bytes: usize,
    ) -> impl Future<Output = Result<Option<Response>, SendError>> + Send;
}

impl Cluster for SearchClient {
    async fn post(
        &self,
        path: &str,
        body: Bytes,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<Option<Response>, SendError> {
        self.request_at_most(Method::POST, path, RequestBody::Json(body), timeout, max_bytes).await
    }
}

/// Says why dead letters could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// There was no answer.
    #[error("{0}")]
    Send(#[from] SendError),
    /// The cluster refuses the search.
    #[error("the cluster answered {status} to {path}: {text}{}", mend(*.status))]
    Refused {
        /// HTTP status.
        status: u16,
        /// What was asked.
        path: String,
        /// Beginning of the answer.
        text: String,
    },
    /// The answer is not of the documented form.
    #[error("the cluster's answer to {path} is not understood: {source}")]
    Form {
        /// What was asked.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The answer does not cover what was asked for.
    #[error("the cluster's answer to {path} is not whole: {what}")]
    Partial {
        /// What was asked.
        path: String,
        /// What is missing.
        what: String,
    },
}

fn mend(status: u16) -> &'static str {
    match status {
        401 => "; check SEARCH_AUTH and the secret",
        403 => "; the function must be allowed to search, read and delete in the dead-letter indices",
        _ => "",
    }
}

/// Reads, with a few retries, until a deadline.
pub(crate) struct Reader<'r, C> {
    pub(crate) cluster: &'r C,
    pub(crate) backoff: Backoff,
    pub(crate) deadline: Instant,
}

/// Where a dead letter is, and where a search goes on behind it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Place {
    /// Its index.
    #[serde(rename = "_index")]
    pub index: String,
    /// Its id.
    #[serde(rename = "_id")]
    pub id: String,
    /// Its sort values.
    #[serde(default)]
    pub sort: Vec<Value>,
}

/// A dead letter as it is now.
#[derive(Debug, Deserialize)]
pub(crate) struct Stored<'a> {
    #[serde(rename = "_index")]
    pub(crate) index: String,
    #[serde(rename = "_id")]
    pub(crate) id: String,
    #[serde(default)]
    found: bool,
    #[serde(rename = "_seq_no", default)]
    pub(crate) seq_no: i64,
    #[serde(rename = "_primary_term", default)]
    pub(crate) primary_term: i64,
    #[serde(rename = "_source", borrow)]
    pub(crate) source: Option<&'a RawValue>,
    error: Option<ErrorAnswer>,
}

#[derive(Debug, Deserialize)]
struct ErrorAnswer {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    reason: Option<String>,
}

/// What a dry run's search found.
#[derive(Debug, Default)]
pub(crate) struct Overview {
    pub(crate) total: u64,
    /// Service, error type, how many.
    pub(crate) groups: Vec<(String, String, u64)>,
    pub(crate) first: Vec<Place>,
}

/// Most attempts of one read.
const MAX_ATTEMPTS: u32 = 6;
/// Longest wait for one answer.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// More than a page of places takes.
const MAX_PLACES: usize = 32 * 1024 * 1024;
/// Longest part of an error answer that is kept.
const MAX_TEXT: usize = 500;

#[derive(Deserialize)]
struct SearchAnswer {
    #[serde(default)]
    timed_out: bool,
    #[serde(rename = "_shards", default)]
    shards: Shards,
    hits: Hits,
    #[serde(default)]
    aggregations: Value,
}

#[derive(Default, Deserialize)]
struct Shards {
    #[serde(default)]
    failed: u64,
}

#[derive(Deserialize)]
struct Hits {
    #[serde(default)]
    total: Value,
    hits: Vec<Place>,
}

#[derive(Deserialize)]
struct MultiGet<'a> {
    #[serde(borrow)]
    docs: Vec<Stored<'a>>,
}

impl<C: Cluster> Reader<'_, C> {
    /// Places of dead letters, in order.
    pub(crate) async fn places(&self, path: &str, body: &Value) -> Result<Vec<Place>, ReadError> {
        Ok(self.search(path, body).await?.hits.hits)
    }

    /// Names of the indices that the search finds something in.
    pub(crate) async fn indices(&self, path: &str, body: &Value) -> Result<Vec<String>, ReadError> {
        let answer = self.search(path, body).await?;
        let names = buckets(&answer.aggregations, INDICES).filter_map(|bucket| bucket.get("key")?.as_str());
        Ok(names.map(str::to_owned).collect())
    }

    pub(crate) async fn overview(&self, path: &str, body: &Value) -> Result<Overview, ReadError> {
        let answer = self.search(path, body).await?;
        let total = answer.hits.total.get("value").unwrap_or(&answer.hits.total).as_u64().unwrap_or_default();
        let mut groups = Vec::new();
        for service in buckets(&answer.aggregations, BY_SERVICE) {
            for error in buckets(service, BY_ERROR) {
                let text =
                    |bucket: &Value| bucket.get("key").and_then(Value::as_str).unwrap_or_default().to_owned();
                let count = error.get("doc_count").and_then(Value::as_u64).unwrap_or_default();
                groups.push((text(service), text(error), count));
            }
        }
        Ok(Overview { total, groups, first: answer.hits.hits })
    }

    async fn search(&self, path: &str, body: &Value) -> Result<SearchAnswer, ReadError> {
        let too_large = || partial(path, "it is larger than a page of places can be".into());
        let reply = self.read(path, body, MAX_PLACES).await?.ok_or_else(too_large)?;
        let answer: SearchAnswer = serde_json::from_slice(&reply).map_err(|source| form(path, source))?;
        if answer.timed_out || answer.shards.failed > 0 {
            return Err(partial(path, format!("{} shards did not answer", answer.shards.failed)));
        }
        Ok(answer)
    }

    /// The answer that [`found`] reads: dead letters as they are now; `None` where they take more than `max_bytes`.
    pub(crate) async fn get(&self, places: &[Place], max_bytes: usize) -> Result<Option<Bytes>, ReadError> {
        let docs: Vec<_> =
            places.iter().map(|Place { index, id, .. }| json!({"_index": index, "_id": id})).collect();
        self.read(GET, &json!({"docs": docs}), max_bytes).await
    }

    async fn read(&self, path: &str, body: &Value, max_bytes: usize) -> Result<Option<Bytes>, ReadError> {
        let body = Bytes::from(body.to_string());
        let mut n_failures = 0;
        let mut renewed = false;
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let error = match self.cluster.post(path, body.clone(), (left / 2).min(MAX_WAIT), max_bytes).await
            {
                Ok(None) => return Ok(None),
                Ok(Some(reply)) if reply.status == 200 => return Ok(Some(reply.body)),
                Ok(Some(reply)) => refused(path, &reply),
                Err(error) => error.into(),
            };
            if let ReadError::Refused { status: 401 | 403, .. } = error
                && !renewed
                && self.cluster.renew_credentials().await == Renewed::Yes
            {
                renewed = true;
                continue;
            }
            n_failures += 1;
            let delay = self.backoff.delay(n_failures);
            let passes =
                matches!(&error, ReadError::Send(_) | ReadError::Refused { status: 429 | 500..=599, .. });
            if !passes || n_failures >= MAX_ATTEMPTS || Instant::now() + delay >= self.deadline {
                return Err(error);
            }
            warn!(reason = %error, delay_ms = delay.as_millis() as u64, "dead letters to be read again");
            sleep(delay).await;
        }
    }
}

const GET: &str = "_mget";

/// Reads the answer to [`Reader::get`]: those of `n_asked` dead letters that are still there, in order.
pub(crate) fn found(answer: &[u8], n_asked: usize) -> Result<Vec<Stored<'_>>, ReadError> {
    let mut answer: MultiGet<'_> = serde_json::from_slice(answer).map_err(|source| form(GET, source))?;
    if answer.docs.len() != n_asked {
        return Err(partial(GET, format!("{} documents for {n_asked}", answer.docs.len())));
    }
    for stored in &answer.docs {
        // An index that is gone took its dead letters with it.
        if let Some(ErrorAnswer { kind, reason }) = &stored.error
            && kind != "index_not_found_exception"
        {
            let reason = reason.as_deref().unwrap_or_default();
            return Err(partial(GET, format!("{} of {}: {kind}: {reason}", stored.id, stored.index)));
        }
    }
    answer.docs.retain(|stored| stored.found && stored.source.is_some());
    Ok(answer.docs)
}

fn buckets<'v>(of: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    of.get(name).and_then(|it| it.get("buckets")).and_then(Value::as_array).into_iter().flatten()
}

fn refused(path: &str, reply: &Response) -> ReadError {
    let text = String::from_utf8_lossy(&reply.body).chars().take(MAX_TEXT).collect();
    ReadError::Refused { status: reply.status, path: path.to_owned(), text }
}

fn form(path: &str, source: serde_json::Error) -> ReadError {
    ReadError::Form { path: path.to_owned(), source }
}

fn partial(path: &str, what: String) -> ReadError {
    ReadError::Partial { path: path.to_owned(), what }
}
