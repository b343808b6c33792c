//! Index Lifecycle Management of Elasticsearch:
//! <https://www.elastic.co/guide/en/elasticsearch/reference/current/ilm-put-lifecycle.html>. An index looks its policy up
//! by name at each step, so a changed policy reaches those that have it.

use serde_json::{Value, json};

use super::{NAMES_IN_A_PATH, Policy, Reached, is_daily};
use crate::compare::{flat_settings, holds};
use crate::provision::Run;
use crate::report::{Outcome, StepError};

/// Makes or changes the policy.
pub(super) async fn apply(run: &Run<'_>, policy: &Policy) -> Result<Outcome, StepError> {
    let there = run.cluster.get(&policy.path).await?;
    let held = there.as_ref().and_then(|there| there.get(&policy.name)?.get("policy"));
    if held.is_some_and(|held| holds(held, policy.body.get("policy").unwrap_or(&Value::Null))) {
        return Ok(Outcome::Unchanged);
    }
    if run.is_dry() {
        return Ok(Outcome::WouldApply);
    }
    run.cluster.put(&policy.path, &policy.body).await?;
    Ok(Outcome::Applied)
}

/// Names the policy in the settings of the indices that exist and have none.
pub(super) async fn reach_indices(run: &Run<'_>, policy: &Policy) -> Result<Reached, StepError> {
    let path =
        format!("{}-*/_settings?filter_path=*.settings.index.uuid,*.settings.index.lifecycle", policy.name);
    let answer = run.cluster.get(&path).await?;
    let (mut without, mut elsewhere) = (Vec::new(), 0);
    let indices = answer.as_ref().and_then(Value::as_object).into_iter().flatten();
    for (index, held) in indices.filter(|(index, _)| is_daily(index, &policy.name)) {
        let settings = flat_settings(held.get("settings").unwrap_or(&Value::Null));
        match settings.get("index.lifecycle.name").and_then(Value::as_str) {
            None => without.push(index.as_str()),
            Some(name) if name != policy.name => elsewhere += 1,
            Some(_) => {}
        }
    }
    let mut parts = Vec::new();
    if !without.is_empty() {
        parts.push(format!("{} had no policy", without.len()));
    }
    if elsewhere > 0 {
        parts.push(format!("{elsewhere} under policies of other names, left there"));
    }
    let note = (!parts.is_empty()).then(|| parts.join(", "));
    if without.is_empty() {
        return Ok(Reached { outcome: Outcome::Unchanged, note });
    }
    if run.is_dry() {
        return Ok(Reached { outcome: Outcome::WouldApply, note });
    }
    for indices in without.chunks(NAMES_IN_A_PATH) {
        let path = format!("{}/_settings", indices.join(","));
        run.cluster.put(&path, &json!({"index.lifecycle.name": policy.name})).await?;
    }
    Ok(Reached { outcome: Outcome::Applied, note })
}
