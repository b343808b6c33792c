//! Searches for documents with a conflict, in the order of their records.

use event_pipeline::index::IndexPrefix;
use reqwest::Url;
use search_client::engine::Engine;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::conflict_query::{indices, is_wanted, page};
use crate::query::search_path;
use crate::reader::{ReadError, Reader};
use crate::search::{Hit, find_indices, search};
use crate::selection::ConflictFilter;

/// A search for the documents of one filter.
pub(crate) struct ConflictSearch<'r, C> {
    reader: Reader<'r, C>,
    filter: &'r ConflictFilter,
    path: String,
    indices: Vec<String>,
}

const MAX_CAPABILITIES_BYTES: usize = 1024 * 1024;

impl<'r, C: Cluster> ConflictSearch<'r, C> {
    /// Prepares a search in the indices of `prefix`: finds those that hold any.
    ///
    /// # Errors
    /// [`ReadError`] when the cluster can't be searched.
    pub(crate) async fn prepare(
        reader: Reader<'r, C>,
        prefix: &IndexPrefix,
        filter: &'r ConflictFilter,
    ) -> Result<Self, ReadError> {
        let path = search_path(prefix);
        let is_wanted = |name: &str| is_wanted(prefix, filter, name);
        let indices = find_indices(&reader, &path, &indices(filter), is_wanted).await?;
        Ok(Self { reader, filter, path, indices })
    }

    /// Returns the next `size` hits behind the sort values `after`, in order, with these fields of their sources.
    ///
    /// # Errors
    /// [`ReadError`] when the cluster can't be searched.
    pub(crate) async fn hits(
        &self,
        after: Option<&[Value]>,
        size: usize,
        source: &[&str],
    ) -> Result<Vec<Hit>, ReadError> {
        if self.indices.is_empty() {
            return Ok(Vec::new());
        }
        let body = page(&self.indices, self.filter, after, size, source);
        Ok(search(&self.reader, &self.path, &body).await?.hits.hits)
    }

    /// The reader, for the documents themselves.
    pub(crate) fn reader(&self) -> &Reader<'r, C> {
        &self.reader
    }

    /// The product of the cluster, by the type of the field `conflict`: `flat_object` of OpenSearch, `flattened` of
    /// Elasticsearch. OpenSearch where it has neither, as in an index older than this template.
    ///
    /// # Errors
    /// [`ReadError`] when the cluster does not say.
    pub(crate) async fn engine(&self, prefix: &IndexPrefix) -> Result<Engine, ReadError> {
        let body = self.capabilities(prefix, "conflict").await?.unwrap_or_default();
        let is_elasticsearch = body.pointer("/fields/conflict/flattened").is_some();
        Ok(if is_elasticsearch { Engine::Elasticsearch } else { Engine::OpenSearch })
    }

    /// Whether an index has an object under the dotted name `field`.
    ///
    /// # Errors
    /// [`ReadError`] when the cluster does not say.
    pub(crate) async fn has_object(&self, prefix: &IndexPrefix, field: &str) -> Result<bool, ReadError> {
        // Such a name can't be asked for: it would be a pattern, or two names.
        if field.contains(['*', ',']) {
            return Ok(false);
        }
        // An object is only reported with the fields in it. One with too many for the response is an object.
        let fields = format!("{field},{field}.*");
        let Some(body) = self.capabilities(prefix, &fields).await? else { return Ok(true) };
        let types = body.get("fields").and_then(|fields| fields.get(field)).and_then(Value::as_object);
        Ok(types.is_some_and(|types| ["object", "nested"].iter().any(|kind| types.contains_key(*kind))))
    }

    /// Types of these fields in the indices of `prefix`,
    /// <https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-field-caps>; `None` if that is too large.
    async fn capabilities(&self, prefix: &IndexPrefix, fields: &str) -> Result<Option<Value>, ReadError> {
        let name = format!("{}-*/_field_caps", prefix.as_str());
        let parameters = [("fields", fields), ("ignore_unavailable", "true")];
        let url = Url::parse_with_params("http://cluster", parameters).ok();
        let query = url.as_ref().and_then(Url::query).unwrap_or_default();
        let path = format!("{name}?{query}");
        let Some(body) = self.reader.read(&path, &json!({}), MAX_CAPABILITIES_BYTES).await? else {
            return Ok(None);
        };
        serde_json::from_slice(&body).map(Some).map_err(|source| ReadError::form(&name, source))
    }
}
