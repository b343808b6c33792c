//! Documents as they are stored now: read by multi-get, with the version that a change of them names.

use bytes::Bytes;
use event_pipeline::address::{Address, Version};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::cluster::Cluster;
use crate::reader::{ReadError, Reader};

/// A document as it is stored now: a dead letter, or one with a conflict.
#[derive(Debug)]
pub(crate) struct StoredDocument<'a> {
    /// Its index.
    pub(crate) index: String,
    /// Its id.
    pub(crate) id: String,
    /// Its version, by which a change in between is noticed.
    pub(crate) version: Version,
    /// How often the document was written: 1 for one that was created and never changed.
    pub(crate) n_writes: u64,
    /// JSON text of its `_source`.
    pub(crate) source: &'a str,
}

impl StoredDocument<'_> {
    /// Where it is stored.
    pub(crate) fn address(&self) -> Address<'_> {
        Address { index: self.index.as_str().into(), id: Some(self.id.as_str().into()) }
    }
}

/// Most bytes that documents which are read at once may take. The largest one, that of a 6 MB event, is below it.
pub(crate) const MAX_PAGE_BYTES: usize = 32 * 1024 * 1024;

const MULTI_GET: &str = "_mget";

/// Reads the documents with these indices and ids; `None` if they take more than [`MAX_PAGE_BYTES`]. [`stored_in`]
/// parses the response.
///
/// # Errors
/// [`ReadError`] when they can't be read.
pub(crate) async fn multi_get<C: Cluster>(
    reader: &Reader<'_, C>,
    addresses: impl Iterator<Item = (&str, &str)>,
) -> Result<Option<Bytes>, ReadError> {
    let docs: Vec<_> = addresses.map(|(index, id)| json!({"_index": index, "_id": id})).collect();
    reader.read(MULTI_GET, &json!({"docs": docs}), MAX_PAGE_BYTES).await
}

/// Parses the response to [`multi_get`]: those of `n_requested` documents that still exist, in order.
///
/// # Errors
/// [`ReadError`] when it is not such a response, or a document could not be read.
pub(crate) fn stored_in(response: &[u8], n_requested: usize) -> Result<Vec<StoredDocument<'_>>, ReadError> {
    let response: MultiGetResponse<'_> =
        serde_json::from_slice(response).map_err(|source| ReadError::form(MULTI_GET, source))?;
    if response.docs.len() != n_requested {
        let what = format!("{} documents for {n_requested}", response.docs.len());
        return Err(ReadError::incomplete(MULTI_GET, what));
    }
    let mut stored = Vec::with_capacity(n_requested);
    for document in response.docs {
        // An index that is gone took its documents with it.
        if let Some(GetError { kind, reason }) = &document.error
            && kind != "index_not_found_exception"
        {
            let (id, index, reason) = (document.id, document.index, reason.as_deref().unwrap_or_default());
            return Err(ReadError::incomplete(MULTI_GET, format!("{id} of {index}: {kind}: {reason}")));
        }
        if let Document {
            found: true, source: Some(source), index, id, seq_no, primary_term, n_writes, ..
        } = document
        {
            let version = Version { seq_no, primary_term };
            stored.push(StoredDocument { index, id, version, n_writes, source: source.get() });
        }
    }
    Ok(stored)
}

/// <https://docs.opensearch.org/latest/api-reference/document-apis/multi-get/>
#[derive(Deserialize)]
struct MultiGetResponse<'a> {
    #[serde(borrow)]
    docs: Vec<Document<'a>>,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(rename = "_index")]
    index: String,
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    found: bool,
    #[serde(rename = "_version", default)]
    n_writes: u64,
    #[serde(rename = "_seq_no", default)]
    seq_no: i64,
    #[serde(rename = "_primary_term", default)]
    primary_term: i64,
    #[serde(rename = "_source", borrow)]
    source: Option<&'a RawValue>,
    error: Option<GetError>,
}

#[derive(Deserialize)]
struct GetError {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_that_are_gone_are_left_out() {
        let response = json!({"docs": [
            {"_index": "a", "_id": "1", "found": true, "_version": 4, "_seq_no": 7, "_primary_term": 2, "_source": {"n": 1}},
            {"_index": "a", "_id": "2", "found": false},
            {"_index": "b", "_id": "3", "error": {"type": "index_not_found_exception", "reason": "no such index [b]"}},
        ]})
        .to_string();
        let stored = stored_in(response.as_bytes(), 3).unwrap();
        let [StoredDocument { id, version, source, n_writes, .. }] = stored.as_slice() else {
            panic!("one is left")
        };
        assert_eq!((id.as_str(), *source, *n_writes), ("1", r#"{"n":1}"#, 4));
        assert_eq!(*version, Version { seq_no: 7, primary_term: 2 });
    }

    #[test]
    fn a_response_that_hides_dead_letters_is_an_error() {
        let error = |response: &str, n| stored_in(response.as_bytes(), n).unwrap_err().to_string();
        assert!(error(r#"{"docs":[]}"#, 1).contains("0 documents for 1"));
        let failed = r#"{"docs":[{"_index":"a","_id":"1","error":{"type":"no_shard","reason":"down"}}]}"#;
        assert!(error(failed, 1).contains("1 of a: no_shard: down"));
    }
}
