//! Counts and finds the documents of a partition in the cluster.

use std::collections::HashMap;

use event_pipeline::rescue;
use reqwest::Method;
use search_client::client::SearchClient;
use search_client::percent::encode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;

use super::survey::{Counted, Documents, Tally};
use crate::cluster::{CallError, call};
use crate::evaluate::Decision;
use crate::offsets::{OffsetRange, OffsetSet};

/// Buckets in one response. Engines refuse more than 65,535 by default.
const BUCKETS: u32 = 10_000;
/// Indices that one count distinguishes.
const INDICES: u32 = 10_000;
/// Documents of one id that are found: in its index, in one of earlier rules, and the dead letter.
const PER_ID: usize = 3;

/// Why the documents can't be counted.
#[derive(Debug, Error)]
pub enum CountError {
    /// The cluster fails.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Some shards did not take part, so that a count would be too low.
    #[error(
        "the cluster counted without {failed} of {total} shards of {indices}: a document there would count as missing"
    )]
    Shards {
        /// The indices.
        indices: String,
        /// Shards that failed.
        failed: u64,
        /// All shards.
        total: u64,
    },
    /// The cluster stopped early.
    #[error("the cluster ended a count of {0} at its time limit")]
    TimedOut(String),
}

/// Where documents are looked for.
#[derive(Debug, Clone)]
pub struct Indices {
    /// Path of the patterns.
    patterns: String,
    /// What the names of indices with dead letters begin with.
    dead_letters: String,
}

/// The documents of a partition.
pub struct PartitionDocuments<'c> {
    client: &'c SearchClient,
    indices: &'c Indices,
    topic: &'c str,
    partition: i32,
    since_ms: Option<i64>,
}

/// A form in which a document of a record was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// The usual one.
    Indexed,
    /// That of a mapping conflict.
    Rescued,
    /// A dead letter.
    DeadLetter,
}

/// Whether searches see what was written before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// All of it.
    Yes,
    /// This user may not ask for that, or the cluster has no such request: it is seen some seconds later.
    Refused,
}

#[derive(Deserialize)]
struct Found<A> {
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Shards,
    hits: Hits,
    // Absent where no index matches the patterns.
    aggregations: Option<A>,
}

#[derive(Deserialize)]
struct Shards {
    total: u64,
    failed: u64,
}

#[derive(Deserialize)]
struct Hits {
    #[serde(default)]
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Hit {
    #[serde(rename = "_index")]
    index: String,
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_source", default)]
    source: Source,
}

#[derive(Deserialize)]
struct Got {
    docs: Vec<GotDocument>,
}

#[derive(Deserialize)]
struct GotDocument {
    // Absent where there is no such index.
    #[serde(default)]
    found: bool,
    #[serde(flatten)]
    hit: Hit,
}

#[derive(Default, Deserialize)]
struct Source {
    #[serde(default)]
    tags: Value,
}

#[derive(Deserialize)]
struct Buckets<K> {
    buckets: Vec<Bucket<K>>,
}

#[derive(Deserialize)]
struct Bucket<K> {
    key: K,
    doc_count: u64,
}

#[derive(Deserialize)]
struct Filtered {
    doc_count: u64,
}

#[derive(Deserialize)]
struct Counts {
    indices: Buckets<String>,
    rescued: Filtered,
    doubles: Buckets<f64>,
}

#[derive(Deserialize)]
struct ByOffset {
    offsets: Buckets<f64>,
}

#[derive(Deserialize)]
struct Latest {
    latest: Max,
}

#[derive(Deserialize)]
struct Max {
    value: Option<f64>,
}

impl Indices {
    /// Looks in the indices that match `patterns`. Names of indices with dead letters begin with `dead_letter_prefix` and a hyphen.
    pub fn new(patterns: impl IntoIterator<Item = String>, dead_letter_prefix: &str) -> Self {
        let encoded: Vec<_> = patterns.into_iter().map(|pattern| encode(&pattern)).collect();
        Self { patterns: encoded.join(","), dead_letters: format!("{dead_letter_prefix}-") }
    }

    /// Lets searches see what was indexed until now.
    ///
    /// # Errors
    /// [`CallError`], except where that is refused.
    pub async fn refresh(&self, client: &SearchClient) -> Result<Refreshed, CallError> {
        let path = format!("{}/_refresh?ignore_unavailable=true&allow_no_indices=true", self.patterns);
        match call(client, Method::POST, &path, None).await {
            Ok(_) => Ok(Refreshed::Yes),
            // 404 and 405: OpenSearch Serverless has no such request.
            Err(error) if matches!(error.status(), Some(403..=405)) => Ok(Refreshed::Refused),
            Err(error) => Err(error),
        }
    }

    /// Finds the documents of these ids, and their forms. One id can have several documents, in several indices.
    ///
    /// # Errors
    /// [`CountError`]
    pub async fn find(
        &self,
        client: &SearchClient,
        ids: &[String],
    ) -> Result<HashMap<String, Vec<Form>>, CountError> {
        let query = json!({
            "size": ids.len() * PER_ID,
            "sort": ["_doc"],
            "_source": ["tags"],
            "query": {"ids": {"values": ids}},
        });
        let found: Found<Value> = self.search(client, &query).await?;
        let mut forms: HashMap<String, Vec<Form>> = HashMap::new();
        for hit in found.hits.hits {
            let form = self.form(&hit);
            forms.entry(hit.id).or_default().push(form);
        }
        Ok(forms)
    }

    /// Finds documents at the addresses that were decided on, whether searches see them yet or not.
    ///
    /// # Errors
    /// [`CountError`]
    pub async fn get(
        &self,
        client: &SearchClient,
        decisions: &[Decision],
    ) -> Result<HashMap<String, Form>, CountError> {
        let address = |decision: &Decision| match decision {
            Decision::Indexed(document) | Decision::DeadLetter(document, _) => {
                let id = document.id.as_deref()?;
                Some(json!({"_index": document.index, "_id": id, "_source": ["tags"]}))
            }
            Decision::Dropped | Decision::NeedsSchema(_) => None,
        };
        let addresses: Vec<Value> = decisions.iter().filter_map(address).collect();
        if addresses.is_empty() {
            return Ok(HashMap::new());
        }
        let path = "_mget";
        let body = call(client, Method::POST, path, Some(&json!({"docs": addresses}))).await?;
        let got: Got = serde_json::from_slice(&body)
            .map_err(|source| CallError::Response { path: path.into(), source })?;
        let found = got.docs.into_iter().filter(|doc| doc.found);
        Ok(found.map(|doc| (doc.hit.id.clone(), self.form(&doc.hit))).collect())
    }

    fn form(&self, hit: &Hit) -> Form {
        let is_rescued = match &hit.source.tags {
            Value::Array(tags) => tags.iter().any(|tag| tag == rescue::TAG),
            tag => tag == rescue::TAG,
        };
        match (hit.index.starts_with(&self.dead_letters), is_rescued) {
            (true, _) => Form::DeadLetter,
            (false, true) => Form::Rescued,
            (false, false) => Form::Indexed,
        }
    }

    async fn search<A: DeserializeOwned>(
        &self,
        client: &SearchClient,
        query: &Value,
    ) -> Result<Found<A>, CountError> {
        let path = format!(
            "{}/_search?ignore_unavailable=true&allow_no_indices=true&expand_wildcards=open\
             &allow_partial_search_results=false",
            self.patterns
        );
        let body = call(client, Method::POST, &path, Some(query)).await?;
        let found: Found<A> =
            serde_json::from_slice(&body).map_err(|source| CallError::Response { path, source })?;
        if found.timed_out {
            return Err(CountError::TimedOut(self.patterns.clone()));
        }
        if found.shards.failed > 0 {
            let Shards { total, failed } = found.shards;
            return Err(CountError::Shards { indices: self.patterns.clone(), failed, total });
        }
        Ok(found)
    }
}

impl<'c> PartitionDocuments<'c> {
    /// The documents of a partition whose records have no earlier timestamp than `since_ms`.
    pub fn new(
        client: &'c SearchClient,
        indices: &'c Indices,
        topic: &'c str,
        partition: i32,
        since_ms: Option<i64>,
    ) -> Self {
        Self { client, indices, topic, partition, since_ms }
    }

    /// The latest record timestamp of the documents in `range`; `None` if there is none.
    ///
    /// # Errors
    /// [`CountError`]
    pub async fn latest_timestamp(&self, range: OffsetRange) -> Result<Option<i64>, CountError> {
        let query = self.query(&[range], &OffsetSet::default());
        let latest = json!({"latest": {"max": {"field": "kafka_timestamp"}}});
        let found: Option<Latest> = self.aggregate(query, latest).await?;
        Ok(found.and_then(|found| found.latest.value).map(integer))
    }

    fn query(&self, ranges: &[OffsetRange], without: &OffsetSet) -> Value {
        let of_range =
            |range: &OffsetRange| json!({"range": {"kafka_offset": {"gte": range.start, "lt": range.end}}});
        let mut filters = vec![
            json!({"term": {"kafka_topic": self.topic}}),
            json!({"term": {"kafka_partition": self.partition}}),
        ];
        filters.push(match ranges {
            [range] => of_range(range),
            _ => json!({"bool": {"should": ranges.iter().map(of_range).collect::<Vec<_>>()}}),
        });
        if let Some(since) = self.since_ms {
            // What could not be read as a record has no timestamp.
            filters.push(json!({"bool": {"should": [
                {"range": {"kafka_timestamp": {"gte": since, "format": "epoch_millis"}}},
                {"bool": {"must_not": [{"exists": {"field": "kafka_timestamp"}}]}},
            ]}}));
        }
        let offsets: Vec<i64> = without.ranges().iter().flat_map(|range| range.start..range.end).collect();
        json!({"bool": {"filter": filters, "must_not": [{"terms": {"kafka_offset": offsets}}]}})
    }

    async fn aggregate<A: DeserializeOwned>(
        &self,
        query: Value,
        aggregations: Value,
    ) -> Result<Option<A>, CountError> {
        let body = json!({"size": 0, "track_total_hits": false, "query": query, "aggs": aggregations});
        Ok(self.indices.search(self.client, &body).await?.aggregations)
    }
}

impl Documents for PartitionDocuments<'_> {
    type Error = CountError;

    async fn count(&self, range: OffsetRange, without: &OffsetSet) -> Result<Counted, CountError> {
        let aggregations = json!({
            "indices": {"terms": {"field": "_index", "size": INDICES}},
            "rescued": {"filter": {"term": {"tags": rescue::TAG}}},
            "doubles": {"histogram": {"field": "kafka_offset", "interval": 1, "min_doc_count": 2}},
        });
        let found: Option<Counts> = self.aggregate(self.query(&[range], without), aggregations).await?;
        let Some(Counts { indices, rescued, doubles }) = found else { return Ok(Counted::default()) };
        let (mut documents, mut dead_lettered) = (0, 0);
        for bucket in indices.buckets {
            let is_of_dead_letters = bucket.key.starts_with(&self.indices.dead_letters);
            *(if is_of_dead_letters { &mut dead_lettered } else { &mut documents }) += bucket.doc_count;
        }
        let rescued = rescued.doc_count.min(documents);
        Ok(Counted {
            tally: Tally { indexed: documents - rescued, rescued, dead_lettered },
            doubles: doubles.buckets.iter().map(|bucket| integer(bucket.key)).collect(),
        })
    }

    async fn count_parts(
        &self,
        range: OffsetRange,
        width: u32,
        without: &OffsetSet,
    ) -> Result<Vec<(OffsetRange, u64)>, CountError> {
        let mut parts = Vec::new();
        for window in range.parts(width.saturating_mul(BUCKETS)) {
            let shift = window.start.rem_euclid(i64::from(width));
            let histogram = json!({"offsets": {"histogram": {
                "field": "kafka_offset", "interval": width, "offset": shift, "min_doc_count": 1,
            }}});
            let found: Option<ByOffset> = self.aggregate(self.query(&[window], without), histogram).await?;
            for bucket in found.map(|found| found.offsets.buckets).unwrap_or_default() {
                let start = integer(bucket.key);
                let end = start.saturating_add(width.into()).min(range.end);
                parts.push((OffsetRange::new(start, end), bucket.doc_count));
            }
        }
        Ok(parts)
    }

    async fn list(&self, ranges: &[OffsetRange]) -> Result<OffsetSet, CountError> {
        let histogram = json!({"offsets": {"histogram": {
            "field": "kafka_offset", "interval": 1, "min_doc_count": 1,
        }}});
        let query = self.query(ranges, &OffsetSet::default());
        let found: Option<ByOffset> = self.aggregate(query, histogram).await?;
        let buckets = found.map(|found| found.offsets.buckets).unwrap_or_default();
        Ok(buckets.iter().map(|bucket| integer(bucket.key)).collect())
    }
}

/// A key of a histogram, which engines write as `7.0`. Offsets and times are far below 2^53, up to which that is exact.
fn integer(key: f64) -> i64 {
    key.round() as i64
}
