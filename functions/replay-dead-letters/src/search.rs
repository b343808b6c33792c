//! Searches for dead letters by a filter, in the order in which they are replayed.

use bytes::Bytes;
use event_pipeline::index::IndexPrefix;
use serde::Deserialize;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::query::{BY_ERROR, BY_SERVICE, INDICES, indices, is_daily, overview, page, search_path};
use crate::reader::{ReadError, Reader};
use crate::selection::Filter;
use crate::stored::multi_get;

/// A document that a search found, with the requested fields of its source.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Hit {
    /// Its index.
    #[serde(rename = "_index")]
    pub(crate) index: String,
    /// Its id.
    #[serde(rename = "_id")]
    pub(crate) id: String,
    /// Its sort values: a search continues behind them.
    #[serde(default)]
    pub(crate) sort: Vec<Value>,
    /// The fields; null without any.
    #[serde(rename = "_source", default)]
    pub(crate) source: Value,
}

/// What a dry run shows of the dead letters.
#[derive(Debug, Default)]
pub(crate) struct Overview {
    /// How many there are.
    pub(crate) total: u64,
    /// Service, error type, and how many there are of both.
    pub(crate) groups: Vec<(String, String, u64)>,
    /// The first of them.
    pub(crate) first: Vec<Hit>,
}

/// More bytes than a page of hits takes.
const MAX_SEARCH_BYTES: usize = 32 * 1024 * 1024;

/// A search for the dead letters of one filter.
pub(crate) struct DeadLetterSearch<'r, C> {
    reader: Reader<'r, C>,
    filter: &'r Filter,
    path: String,
    indices: Vec<String>,
}

impl<'r, C: Cluster> DeadLetterSearch<'r, C> {
    /// Prepares a search among the dead letters of `prefix`: finds the indices that hold any.
    ///
    /// # Errors
    /// [`ReadError`] when the cluster can't be searched.
    pub(crate) async fn prepare(
        reader: Reader<'r, C>,
        prefix: &IndexPrefix,
        filter: &'r Filter,
    ) -> Result<Self, ReadError> {
        let path = search_path(prefix);
        let indices = find_indices(&reader, &path, &indices(filter), |name| is_daily(prefix, name)).await?;
        Ok(Self { reader, filter, path, indices })
    }

    /// Returns the next `size` hits behind the sort values `after`, in order.
    ///
    /// # Errors
    /// [`ReadError`] when the cluster can't be searched.
    pub(crate) async fn hits(&self, after: Option<&[Value]>, size: usize) -> Result<Vec<Hit>, ReadError> {
        if self.indices.is_empty() {
            return Ok(Vec::new());
        }
        let body = page(&self.indices, self.filter, after, size);
        Ok(search(&self.reader, &self.path, &body).await?.hits.hits)
    }

    /// Returns how many dead letters there are, and the first `size`.
    ///
    /// # Errors
    /// [`ReadError`] when the cluster can't be searched.
    pub(crate) async fn overview(&self, size: usize) -> Result<Overview, ReadError> {
        if self.indices.is_empty() {
            return Ok(Overview::default());
        }
        let body = overview(&self.indices, self.filter, size);
        let SearchResponse { hits, aggregations, .. } = search(&self.reader, &self.path, &body).await?;
        let total = hits.total.get("value").unwrap_or(&hits.total).as_u64().unwrap_or_default();
        let mut groups = Vec::new();
        for service in buckets(&aggregations, BY_SERVICE) {
            for error in buckets(service, BY_ERROR) {
                let count = error.get("doc_count").and_then(Value::as_u64).unwrap_or_default();
                groups.push((key_of(service), key_of(error), count));
            }
        }
        Ok(Overview { total, groups, first: hits.hits })
    }

    /// Reads the dead letters of `hits` as they are now, for [`stored_in`] to parse; `None` if they take too many bytes.
    ///
    /// [`stored_in`]: crate::stored::stored_in
    ///
    /// # Errors
    /// [`ReadError`] when they can't be read.
    pub(crate) async fn get(&self, hits: &[Hit]) -> Result<Option<Bytes>, ReadError> {
        let addresses = hits.iter().map(|hit| (hit.index.as_str(), hit.id.as_str()));
        multi_get(&self.reader, addresses).await
    }
}

/// <https://docs.opensearch.org/latest/api-reference/search-apis/search/#response-body>
#[derive(Deserialize)]
pub(crate) struct SearchResponse {
    #[serde(default)]
    timed_out: bool,
    #[serde(rename = "_shards", default)]
    shards: Shards,
    /// What was found.
    pub(crate) hits: Hits,
    /// Aggregations by their names.
    #[serde(default)]
    pub(crate) aggregations: Value,
}

#[derive(Default, Deserialize)]
struct Shards {
    #[serde(default)]
    failed: u64,
}

/// Documents that a search found.
#[derive(Deserialize)]
pub(crate) struct Hits {
    #[serde(default)]
    total: Value,
    /// The documents of this page.
    pub(crate) hits: Vec<Hit>,
}

/// Returns the indices that the search `body`, made by [`indices_of`], finds and that `is_wanted`.
///
/// [`indices_of`]: crate::query::indices_of
///
/// # Errors
/// [`ReadError`] when the cluster can't be searched.
pub(crate) async fn find_indices<C: Cluster>(
    reader: &Reader<'_, C>,
    path: &str,
    body: &Value,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<String>, ReadError> {
    let response = search(reader, path, body).await?;
    let names = buckets(&response.aggregations, INDICES).filter_map(|bucket| bucket.get("key")?.as_str());
    Ok(names.filter(|name| is_wanted(name)).map(str::to_owned).collect())
}

/// Posts a search and reads its response.
///
/// # Errors
/// [`ReadError`] when there is none, or it does not cover everything.
pub(crate) async fn search<C: Cluster>(
    reader: &Reader<'_, C>,
    path: &str,
    body: &Value,
) -> Result<SearchResponse, ReadError> {
    let too_large = || ReadError::incomplete(path, "it is larger than a page of hits can be".into());
    let body = reader.read(path, body, MAX_SEARCH_BYTES).await?.ok_or_else(too_large)?;
    let response: SearchResponse =
        serde_json::from_slice(&body).map_err(|source| ReadError::form(path, source))?;
    if response.timed_out || response.shards.failed > 0 {
        let n_failed = response.shards.failed;
        return Err(ReadError::incomplete(path, format!("{n_failed} shards did not respond")));
    }
    Ok(response)
}

/// Buckets of the aggregation `name`.
fn buckets<'v>(aggregations: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    let aggregation = aggregations.get(name);
    aggregation.and_then(|it| it.get("buckets")).and_then(Value::as_array).into_iter().flatten()
}

fn key_of(bucket: &Value) -> String {
    bucket.get("key").and_then(Value::as_str).unwrap_or_default().to_owned()
}
