//! A cluster in memory: it creates documents, replaces and deletes them if they are unchanged, searches and gets them. It
//! depends on no crate of the workspace.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// An HTTP status and body.
pub(crate) type StatusAndBody = (u16, String);

/// The documents of a cluster, and which requests it refuses.
#[derive(Default)]
pub(crate) struct MemoryCluster {
    /// `_seq_no` and source by index and id.
    pub(crate) documents: BTreeMap<(String, String), (i64, Value)>,
    /// How often each document was written.
    n_writes: BTreeMap<(String, String), u64>,
    seq_no: i64,
    /// A string in this top-level member is rejected, as by the mapping of a number.
    pub(crate) takes_number: Option<&'static str>,
    /// Documents with this member are refused in every form, except as dead letters.
    pub(crate) refuses: Option<&'static str>,
    /// Every bulk request gets this status.
    pub(crate) bulk_status: Option<u16>,
    /// Documents that requests were to create, without dead letters.
    pub(crate) n_creates: usize,
}

impl MemoryCluster {
    /// Puts a document, new or in place of another.
    pub(crate) fn put(&mut self, index: &str, id: &str, source: Value) {
        self.seq_no += 1;
        *self.n_writes.entry((index.into(), id.into())).or_default() += 1;
        self.documents.insert((index.into(), id.into()), (self.seq_no, source));
    }

    /// Ids of the documents in indices whose names start with `prefix`.
    pub(crate) fn ids(&self, prefix: &str) -> Vec<String> {
        let in_indices = self.documents.keys().filter(|(index, _)| index.starts_with(prefix));
        in_indices.map(|(_, id)| id.clone()).collect()
    }

    /// Responds to a bulk request.
    pub(crate) fn bulk(&mut self, body: &[u8]) -> StatusAndBody {
        if let Some(status) = self.bulk_status {
            return (status, "no".into());
        }
        let mut lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let mut items = Vec::new();
        while let Some(line) = lines.next() {
            let action: Value = serde_json::from_slice(line).unwrap();
            let mut source = || serde_json::from_slice(lines.next().unwrap()).unwrap();
            let (name, status) = if action.get("create").is_some() {
                ("create", self.create(&action["create"], source()))
            } else if action.get("index").is_some() {
                ("index", self.replace(&action["index"], source()))
            } else {
                ("delete", self.delete(&action["delete"]))
            };
            let reason = match self.takes_number {
                Some(member) => format!("failed to parse field [{member}] of type [double]"),
                None => "refused".to_owned(),
            };
            let error =
                (status == 400).then(|| json!({"type": "mapper_parsing_exception", "reason": reason}));
            items.push(json!({name: {"status": status, "error": error}}));
        }
        (200, json!({"items": items}).to_string())
    }

    fn create(&mut self, action: &Value, source: Value) -> u16 {
        let (index, id) = address(action);
        let is_document = index.starts_with("micro");
        self.n_creates += usize::from(is_document);
        let is_refused = is_document && self.is_refused(&source);
        if self.documents.contains_key(&(index.clone(), id.clone())) {
            409
        } else if is_refused {
            400
        } else {
            self.put(&index, &id, source);
            201
        }
    }

    fn is_refused(&self, source: &Value) -> bool {
        self.refuses.is_some_and(|member| holds(source, member))
            || self.takes_number.is_some_and(|member| source[member].is_string())
    }

    fn replace(&mut self, action: &Value, source: Value) -> u16 {
        let (index, id) = address(action);
        if self.is_refused(&source) {
            400
        } else if self.is_unchanged(action) {
            self.put(&index, &id, source);
            200
        } else {
            409
        }
    }

    fn is_unchanged(&self, action: &Value) -> bool {
        let document = self.documents.get(&address(action));
        document.is_some_and(|(seq_no, _)| json!(seq_no) == action["if_seq_no"])
    }

    fn delete(&mut self, action: &Value) -> u16 {
        let address = address(action);
        let is_unchanged = self.is_unchanged(action);
        if is_unchanged {
            self.documents.remove(&address);
        }
        if is_unchanged { 200 } else { 409 }
    }

    /// Responds to a search for dead letters, or for documents with a conflict. The order is that of `_seq_no`, the last of
    /// the sort values.
    pub(crate) fn search(&self, body: &Value) -> StatusAndBody {
        let is_for_conflicts = body["query"].to_string().contains("_mappingconflict");
        let is_wanted = |index: &str, source: &Value| match is_for_conflicts {
            true => index.starts_with("micro") && source.get("conflict_field").is_some(),
            false => index.starts_with("dead"),
        };
        let after = body["search_after"].as_array().and_then(|values| values.last()?.as_i64()).unwrap_or(-1);
        let size = usize::try_from(body["size"].as_u64().unwrap()).unwrap();
        let mut found: Vec<_> = self
            .documents
            .iter()
            .filter(|((index, _), (seq_no, source))| is_wanted(index, source) && *seq_no > after)
            .collect();
        found.sort_by_key(|(_, (seq_no, _))| *seq_no);
        let total = found.len();
        let hits: Vec<_> = found
            .into_iter()
            .take(size)
            .map(|((index, id), (seq_no, source))| {
                let source = (body["_source"] != false).then_some(source);
                json!({"_index": index, "_id": id, "_source": source, "sort": [null, null, null, null, seq_no]})
            })
            .collect();
        let with_any = self.documents.iter().filter(|((index, _), (_, source))| is_wanted(index, source));
        let indices: BTreeSet<_> = with_any.map(|((index, _), _)| index).collect();
        let indices: Vec<_> = indices.into_iter().map(|index| json!({"key": index})).collect();
        let by_error = json!([{"key": "mapper_parsing_exception", "doc_count": total}]);
        let response = json!({
            "_shards": {"failed": 0},
            "hits": {"total": {"value": total}, "hits": hits},
            "aggregations": {
                "indices": {"buckets": indices},
                "by_service": {"buckets": [{"key": "order", "by_error": {"buckets": by_error}}]},
            },
        });
        (200, response.to_string())
    }

    /// Responds to a request for the types of fields: that of `conflict`, and of all fields that hold an object.
    pub(crate) fn field_capabilities(&self) -> StatusAndBody {
        let mut fields = json!({"conflict": {"flat_object": {}}});
        for (_, source) in self.documents.values() {
            for (name, value) in source.as_object().unwrap() {
                if value.is_object() && name != "conflict" {
                    fields[name] = json!({"object": {}});
                }
            }
        }
        (200, json!({"fields": fields}).to_string())
    }

    /// Responds to a multi-get.
    pub(crate) fn multi_get(&self, body: &Value) -> StatusAndBody {
        let docs: Vec<_> = body["docs"].as_array().unwrap().iter().map(|doc| self.get(doc)).collect();
        (200, json!({"docs": docs}).to_string())
    }

    fn get(&self, doc: &Value) -> Value {
        let address = address(doc);
        let mut response = json!({"_index": address.0, "_id": address.1, "found": false});
        if let Some((seq_no, source)) = self.documents.get(&address) {
            response["found"] = json!(true);
            response["_seq_no"] = json!(seq_no);
            response["_version"] = json!(self.n_writes[&address]);
            response["_primary_term"] = json!(1);
            response["_source"] = source.clone();
        }
        response
    }
}

fn address(of: &Value) -> (String, String) {
    let text = |name: &str| of[name].as_str().unwrap().to_owned();
    (text("_index"), text("_id"))
}

/// Whether `member` is in the document, in the payload that moved to `conflict`, or in its text.
fn holds(source: &Value, member: &str) -> bool {
    let in_text = source["message"].as_str().is_some_and(|text| text.contains(&format!("\"{member}\"")));
    in_text || source.get(member).is_some() || source["conflict"].get(member).is_some()
}
