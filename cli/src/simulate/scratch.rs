//! Indices in which documents are tried: hidden, made with the templates of the indices that they stand for, and deleted at the
//! end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use event_pipeline::address::{Address, append_create};
use event_pipeline::bulk::BulkLimits;
use event_pipeline::conflict::{blamed_field, blamed_member};
use event_pipeline::item_result::ItemResult;
use event_pipeline::write_error::WriteError;
use indexing::bulk_sender::BulkSender;
use indexing::bulk_writer::BULK_RETRIES;
use reqwest::Method;
use search_client::client::SearchClient;
use search_client::percent::encode;
use serde_json::json;
use tokio::time::Instant;

use super::leftover::{self, Mark};
use crate::cluster::{CallError, call};
use crate::evaluate::Document;

/// At most so many indices are made.
const MAX_INDICES: usize = 20;
/// Length of `-YYYY.MM.DD`.
const DAY: usize = 11;
/// Longest name of an index, in bytes.
const MAX_NAME: usize = 255;
const DEADLINE: Duration = Duration::from_secs(120);

/// The scratch indices of one simulation.
pub struct Scratch {
    client: Arc<SearchClient>,
    /// What makes the names this run's own, and has a later run find what this one leaves.
    mark: Mark,
    /// By the prefix of the daily index that it stands for.
    names: BTreeMap<String, String>,
    /// Why documents are not tried.
    not_tried: Option<String>,
}

/// A document that the cluster would refuse, and index in another form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The field that the cluster blames; the type of its error where it names none.
    pub field: String,
    /// Its reason.
    pub reason: String,
    /// Position of the document.
    pub position: usize,
}

/// What trying documents gave.
#[derive(Debug, Default)]
pub struct Tried {
    /// Documents that the cluster took.
    pub n_taken: u64,
    /// Those that it refused.
    pub refusals: Vec<Refusal>,
    /// Those that were not tried.
    pub n_not_tried: u64,
}

impl Scratch {
    /// Makes none yet. They get `mark`.
    pub fn new(client: Arc<SearchClient>, mark: Mark) -> Self {
        Self { client, mark, names: BTreeMap::new(), not_tried: None }
    }

    /// Why not all documents are tried.
    pub fn not_tried(&self) -> Option<&str> {
        self.not_tried.as_deref()
    }

    /// Writes documents.
    ///
    /// # Errors
    /// When an index can't be made, or the cluster fails.
    pub async fn try_documents(&mut self, documents: &[&Document]) -> Result<Tried, CallError> {
        let mut tried = Tried::default();
        let mut sender = BulkSender::new(
            Arc::clone(&self.client),
            BulkLimits::default(),
            BULK_RETRIES,
            Instant::now() + DEADLINE,
        );
        for (position, document) in documents.iter().enumerate() {
            let Some(index) = self.index_of(document).await? else {
                tried.n_not_tried += 1;
                continue;
            };
            let address = Address { index: index.into(), id: None };
            let write = |body: &mut Vec<u8>| {
                let line = append_create(body, &address);
                body.extend_from_slice(document.json.as_bytes());
                body.push(b'\n');
                Ok::<_, std::convert::Infallible>(line)
            };
            let Ok(()) = sender.push(position, write).await;
        }
        let (results, _) = sender.finish().await;
        for (position, result) in results {
            match result {
                ItemResult::Rejected(error) => {
                    let json = documents.get(position).map_or("", |document| document.json.as_str());
                    tried.refusals.push(refusal(position, &error, json));
                }
                ItemResult::Failed(error) => {
                    tried.n_not_tried += 1;
                    self.not_tried.get_or_insert(error.to_string());
                }
                _ => tried.n_taken += 1,
            }
        }
        tried.refusals.sort_by_key(|refusal| refusal.position);
        Ok(tried)
    }

    /// Deletes the indices. Returns those that are left, with the reason.
    pub async fn remove(&mut self) -> Vec<(String, CallError)> {
        let mut left = Vec::new();
        for name in std::mem::take(&mut self.names).into_values() {
            match call(&self.client, Method::DELETE, &encode(&name), None).await {
                Ok(_) => {}
                Err(error) if error.status() == Some(404) => {}
                Err(error) => left.push((name, error)),
            }
        }
        left
    }

    /// The scratch index of `document`, which is made first where it is not there; `None` where there is to be none.
    async fn index_of(&mut self, document: &Document) -> Result<Option<String>, CallError> {
        let prefix = document.index.get(..document.index.len().saturating_sub(DAY)).unwrap_or_default();
        if let Some(name) = self.names.get(prefix) {
            return Ok(Some(name.clone()));
        }
        // The name matches the template's pattern, and can't be that of a day.
        let name = format!("{prefix}{}{}", leftover::NAME, self.mark.run_name());
        if self.names.len() == MAX_INDICES || name.len() > MAX_NAME {
            self.not_tried
                .get_or_insert(format!("at most {MAX_INDICES} indices are made, of names with room"));
            return Ok(None);
        }
        // Known before the request, so that it is deleted whatever becomes of the response.
        self.names.insert(prefix.to_owned(), name.clone());
        let settings = json!({
            "hidden": true,
            "number_of_replicas": 0,
            "auto_expand_replicas": false,
            "refresh_interval": "-1",
        });
        let body = json!({"settings": {"index": settings}, "mappings": {"_meta": self.mark.meta()}});
        match call(&self.client, Method::PUT, &encode(&name), Some(&body)).await {
            Ok(_) => Ok(Some(name)),
            // An earlier attempt, whose response was lost, has made it.
            Err(CallError::Status { status: 400, reason, .. }) if reason.contains("already exists") => {
                Ok(Some(name))
            }
            Err(CallError::Status { status: 400, reason, .. }) if reason.contains("index.hidden") => {
                self.names.remove(prefix);
                let why = "this cluster has no hidden indices, and searches would find others";
                self.not_tried.get_or_insert(why.into());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn refusal(position: usize, error: &WriteError, json: &str) -> Refusal {
    let member = blamed_member(&error.reason, json.as_bytes());
    let field = member.as_deref().map(|member| blamed_field(&error.reason, member).unwrap_or(member));
    let field = field.map_or_else(|| error.kind.to_string(), ToOwned::to_owned);
    Refusal { field, reason: error.reason.clone(), position }
}
