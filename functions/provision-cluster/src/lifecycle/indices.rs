//! The daily indices that exist.

use std::collections::BTreeSet;

use search_client::percent::encode;
use serde_json::Value;

use crate::call_error::CallError;
use crate::cluster::Cluster;
use crate::event_indices::IndexPattern;
use crate::report::Outcome;

/// Names of indices in one request: its path must stay below the 4 KiB that clusters accept.
pub(super) const MAX_NAMES_IN_PATH: usize = 25;

/// A field that the template gives every index of events, and that no one else is likely to have.
const OWN_FIELD: &str = "kafka_topic";

/// Returns names of indices as a segment of a path. Routed names may have characters that mean something in a URL.
pub(super) fn in_path(names: &[&str]) -> String {
    names.iter().map(|name| encode(name)).collect::<Vec<_>>().join(",")
}

/// Outcome of applying a policy to the indices that exist.
pub(super) struct IndicesOutcome {
    pub(super) outcome: Outcome,
    pub(super) note: Option<String>,
}

/// The indices that exist and match patterns.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FoundIndices {
    /// Those of the pipeline.
    pub(super) own: BTreeSet<String>,
    /// Those that match a pattern of routed events, but are of others: nothing is done to them.
    pub(super) of_others: BTreeSet<String>,
}

impl FoundIndices {
    /// Says which indices are left alone, and that it is not so for those to come.
    pub(super) fn note(&self) -> Option<String> {
        if self.of_others.is_empty() {
            return None;
        }
        let names: Vec<_> = self.of_others.iter().take(3).map(String::as_str).collect();
        let more = if self.of_others.len() > names.len() { ", …" } else { "" };
        Some(format!(
            "{} that match a pattern of pipeline.yaml are left as they are, because they have no field {OWN_FIELD} ({}{more}), but \
             new ones get this template and lifecycle: route to a name that no one else uses",
            self.of_others.len(),
            names.join(", ")
        ))
    }
}

/// Lists the indices of patterns. The pipeline's own differ from others by its name and, where others may have such
/// names, by its fields.
pub(super) async fn find(cluster: &Cluster, patterns: &[IndexPattern]) -> Result<FoundIndices, CallError> {
    let mut found = FoundIndices::default();
    for pattern in patterns {
        let text = pattern.in_path();
        let path = format!("{text}/_settings?filter_path=*.settings.index.uuid&expand_wildcards=all");
        let Some(Value::Object(listed)) = cluster.get(&path).await? else { continue };
        let names = listed.keys();
        if !pattern.is_shared() {
            found.own.extend(names.filter(|name| pattern.may_hold(name)).cloned());
            continue;
        }
        let path = format!("{text}/_mapping/field/{OWN_FIELD}?expand_wildcards=all");
        let fields = cluster.get(&path).await?.unwrap_or_default();
        for name in names {
            let has_field = fields.get(name).is_some_and(|index| index.to_string().contains(OWN_FIELD));
            if pattern.may_hold(name) && has_field {
                found.own.insert(name.clone());
            } else {
                found.of_others.insert(name.clone());
            }
        }
    }
    // An index of one pattern may match another one as well.
    found.of_others.retain(|name| !found.own.contains(name));
    Ok(found)
}
