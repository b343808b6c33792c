//! Finds what is indexed so far of records, by the ids of their documents.

use std::collections::{BTreeSet, HashMap};

use reqwest::Method;
use search_client::client::SearchClient;
use search_client::percent::encode;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::cluster::{CallError, call};

/// A document as the cluster has it.
#[derive(Debug)]
pub struct Indexed {
    /// Its index.
    pub index: String,
    /// Its source.
    pub json: Box<RawValue>,
}

/// Where documents are looked for.
#[derive(Debug)]
pub struct IndexedDocuments {
    /// Path of the patterns.
    patterns: String,
}

#[derive(Deserialize)]
struct Found {
    hits: Hits,
}

#[derive(Deserialize)]
struct Hits {
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Hit {
    #[serde(rename = "_index")]
    index: String,
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_source")]
    source: Box<RawValue>,
}

/// Documents of one id that are taken into account: the event's, one of an older index, and the dead letter.
const PER_ID: usize = 3;

impl IndexedDocuments {
    /// Looks for documents in the indices that match `patterns`. Hidden indices are none of them.
    pub fn new(patterns: &BTreeSet<String>) -> Self {
        let encoded: Vec<_> = patterns.iter().map(|pattern| encode(pattern)).collect();
        Self { patterns: encoded.join(",") }
    }

    /// Lets searches see what was indexed until now.
    ///
    /// # Errors
    /// [`CallError`], such as that of a user who may not ask for that, and sees it some seconds later.
    pub async fn refresh(&self, client: &SearchClient) -> Result<(), CallError> {
        let path = format!("{}/_refresh?ignore_unavailable=true&allow_no_indices=true", self.patterns);
        call(client, Method::POST, &path, None).await.map(drop)
    }

    /// Finds the documents of these ids. One id can have several, in several indices.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn find(
        &self,
        client: &SearchClient,
        ids: &[&str],
    ) -> Result<HashMap<String, Vec<Indexed>>, CallError> {
        let path = format!(
            "{}/_search?ignore_unavailable=true&allow_no_indices=true&expand_wildcards=open",
            self.patterns
        );
        let query = json!({
            "size": ids.len() * PER_ID,
            "sort": ["_doc"],
            "query": {"ids": {"values": ids}},
        });
        let body = call(client, Method::POST, &path, Some(&query)).await?;
        let found: Found = serde_json::from_slice(&body)
            .map_err(|source| CallError::Response { path: path.clone(), source })?;
        let mut by_id: HashMap<String, Vec<Indexed>> = HashMap::new();
        for Hit { index, id, source } in found.hits.hits {
            by_id.entry(id).or_default().push(Indexed { index, json: source });
        }
        Ok(by_id)
    }
}
