//! Lists conflicts by topic, field and reason, each with an example and the mapping that would end it.

use event_pipeline::index::IndexPrefix;
use search_client::engine::Engine;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::conflict_groups::{FIELDS, Group, Groups, Key};
use crate::conflict_proposal::{Proposal, for_mixed, propose};
use crate::conflict_response::{ConflictExample, ConflictGroup, ConflictList};
use crate::conflict_search::ConflictSearch;
use crate::field_mapping::{Change, FieldMapping, merged};
use crate::reader::ReadError;
use crate::replayer::Replayer;
use crate::response::{Run, shortened};
use crate::search::Hit;
use crate::selection::ConflictFilter;
use crate::stored::{multi_get, stored_in};
use crate::time_budget::TimeBudget;
use crate::walk::{Step, Stopped, Walk, walk};

/// Hits of one search. A hit can have names of 150,000 bytes.
const HITS: usize = 200;

/// Lists the conflicts of the documents that `filter` finds behind the sort values `after`.
///
/// # Errors
/// [`ReadError`] when the first documents can't be read, or the examples.
pub(crate) async fn list_conflicts<C: Cluster + 'static>(
    replayer: &Replayer<C>,
    filter: &ConflictFilter,
    after: Option<Vec<Value>>,
    budget: &mut TimeBudget,
) -> Result<Run<ConflictList>, ReadError> {
    let prefix = &replayer.settings().index_prefix;
    let search = ConflictSearch::prepare(replayer.reader(budget.deadline()), prefix, filter).await?;
    let mut listing = Listing { search, groups: Groups::default() };
    let Stopped { after, end } = walk(&mut listing, after, budget).await;
    let Listing { search, groups } = listing;
    let response = shown(&search, prefix, groups, budget).await?.ended(end)?;
    Ok(Run { response, after: after.map(Value::from) })
}

struct Listing<'r, C> {
    search: ConflictSearch<'r, C>,
    groups: Groups,
}

impl<C: Cluster + 'static> Walk for Listing<'_, C> {
    type Item = Hit;
    type Position = Vec<Value>;
    type Error = ReadError;

    async fn list(&mut self, after: Option<&Vec<Value>>) -> Result<Vec<Hit>, ReadError> {
        self.search.hits(after.map(Vec::as_slice), HITS, &FIELDS).await
    }

    fn position(hit: &Hit) -> Vec<Value> {
        hit.sort.clone()
    }

    async fn process(&mut self, hits: &[Hit], _budget: &TimeBudget) -> Result<Step, ReadError> {
        hits.iter().for_each(|hit| self.groups.add(hit));
        Ok(Step::Processed(hits.len()))
    }
}

/// The response with these groups, still open.
async fn shown<C: Cluster + 'static>(
    search: &ConflictSearch<'_, C>,
    prefix: &IndexPrefix,
    groups: Groups,
    budget: &TimeBudget,
) -> Result<ConflictList, ReadError> {
    let mut response = ConflictList {
        documents: groups.documents,
        not_shown: groups.not_shown,
        component_template: format!("{}-custom", prefix.as_str()),
        ..ConflictList::default()
    };
    if groups.documents == 0 {
        return Ok(response);
    }
    let engine = search.engine(prefix).await?;
    let mut changes = Vec::new();
    for (key, group) in groups.largest_first() {
        let is_time_left = Instant::now() < budget.index_deadline();
        let moved = if is_time_left { moved_value(search, &key, &group).await? } else { None };
        let mut proposal = propose(engine, &key.field, group.reason.as_deref(), moved.as_ref());
        if !is_time_left {
            proposal = not_looked_at();
        }
        // Other documents can have an object there, which the cluster's words about this one do not say.
        if let Some(Change::Field(path, mapping)) = &proposal.change
            && *mapping < FieldMapping::Flat
            && search.has_object(prefix, path).await?
        {
            proposal = for_mixed(path);
        }
        let Proposal { change, advice } = proposal;
        response.groups.push(shown_group(engine, key, &group, moved.as_ref(), change.as_ref(), advice));
        changes.extend(change);
    }
    response.proposal = merged(engine, &changes);
    Ok(response)
}

/// Says that the time of the invocation did not suffice for a group.
fn not_looked_at() -> Proposal {
    let advice =
        "the invocation's time was over before its example was read: list this field or service alone";
    Proposal { change: None, advice: advice.into() }
}

fn shown_group(
    engine: Engine,
    key: Key,
    group: &Group,
    moved: Option<&Value>,
    change: Option<&Change>,
    advice: String,
) -> ConflictGroup {
    let (indices, more_indices) = group.indices();
    let (index, id) = group.example.clone();
    let value = moved.map(|moved| {
        // Of single members, this group is about one.
        let own = moved.get(&key.field).filter(|_| key.field != "*").unwrap_or(moved);
        own.as_str().map_or_else(|| shortened(&own.to_string()), shortened)
    });
    ConflictGroup {
        reason: key.shown_reason(),
        topic: key.topic,
        field: key.field,
        documents: group.documents,
        indices,
        more_indices,
        example: ConflictExample { index, id, value },
        proposal: merged(engine, change),
        advice,
    }
}

/// What a rescued document has in place of its payload.
#[derive(Deserialize)]
struct Rescued {
    #[serde(default)]
    conflict: Option<Map<String, Value>>,
    #[serde(default)]
    message: Option<String>,
}

/// What was moved in the example of a group: the members by their names, or the whole payload; its text where that can't be
/// read as JSON. `None` if the document is gone, or so large that it can't be read.
async fn moved_value<C: Cluster + 'static>(
    search: &ConflictSearch<'_, C>,
    key: &Key,
    group: &Group,
) -> Result<Option<Value>, ReadError> {
    let (index, id) = &group.example;
    let Some(text) = multi_get(search.reader(), std::iter::once((index.as_str(), id.as_str()))).await? else {
        return Ok(None);
    };
    let stored = stored_in(&text, 1)?;
    let Some(stored) = stored.first() else { return Ok(None) };
    // A document that was changed since, or with a number that no parser reads, is shown without its value.
    let Ok(Rescued { conflict, message }) = serde_json::from_str(stored.source) else { return Ok(None) };
    Ok(match (conflict, message) {
        (Some(conflict), _) => Some(conflict.into()),
        (None, Some(text)) if key.field == "*" => {
            Some(serde_json::from_str(&text).unwrap_or(Value::String(text)))
        }
        (None, _) => None,
    })
}
