//! Index Lifecycle Management of Elasticsearch:
//! <https://www.elastic.co/guide/en/elasticsearch/reference/current/ilm-put-lifecycle.html>. An index looks up its
//! policy by name at each step, so a changed policy applies to the indices that have it.

use serde_json::{Map, Value, json};

use super::indices::{IndicesOutcome, MAX_NAMES_IN_PATH, find, in_path};
use super::policy::Policy;
use crate::compare::{flat_settings, matches};
use crate::report::{Outcome, StepError};
use crate::run::Run;

/// Creates or changes the policy.
pub(super) async fn apply(run: &Run<'_>, policy: &Policy) -> Result<Outcome, StepError> {
    let response = run.cluster.get(&policy.path).await?;
    let current = response.as_ref().and_then(|response| response.get(&policy.name)?.get("policy"));
    if current.is_some_and(|current| matches(current, policy.body.get("policy").unwrap_or(&Value::Null))) {
        return Ok(Outcome::Unchanged);
    }
    if run.is_dry() {
        return Ok(Outcome::WouldApply);
    }
    run.cluster.put(&policy.path, &policy.body).await?;
    Ok(Outcome::Applied)
}

/// Names the policy in the settings of the indices that have none.
pub(super) async fn apply_to_indices(run: &Run<'_>, policy: &Policy) -> Result<IndicesOutcome, StepError> {
    let found = find(&run.cluster, &policy.indices).await?;
    let mut existing = Map::new();
    for pattern in &policy.indices {
        let path = format!(
            "{}/_settings?filter_path=*.settings.index.uuid,*.settings.index.lifecycle",
            pattern.in_path()
        );
        if let Some(Value::Object(indices)) = run.cluster.get(&path).await? {
            existing.extend(indices);
        }
    }
    let (mut without, mut n_elsewhere) = (Vec::new(), 0);
    for (index, current) in existing.iter().filter(|(index, _)| found.own.contains(*index)) {
        let settings = flat_settings(current.get("settings").unwrap_or(&Value::Null));
        match settings.get("index.lifecycle.name").and_then(Value::as_str) {
            None => without.push(index.as_str()),
            Some(name) if name != policy.name => n_elsewhere += 1,
            Some(_) => {}
        }
    }
    let mut parts = Vec::new();
    if !without.is_empty() {
        parts.push(format!("{} had no policy", without.len()));
    }
    if n_elsewhere > 0 {
        parts.push(format!("{n_elsewhere} keep a policy of another name"));
    }
    parts.extend(found.note());
    let note = (!parts.is_empty()).then(|| parts.join(", "));
    if without.is_empty() {
        return Ok(IndicesOutcome { outcome: Outcome::Unchanged, note });
    }
    if run.is_dry() {
        return Ok(IndicesOutcome { outcome: Outcome::WouldApply, note });
    }
    for indices in without.chunks(MAX_NAMES_IN_PATH) {
        let path = format!("{}/_settings", in_path(indices));
        run.cluster.put(&path, &json!({"index.lifecycle.name": policy.name})).await?;
    }
    Ok(IndicesOutcome { outcome: Outcome::Applied, note })
}
