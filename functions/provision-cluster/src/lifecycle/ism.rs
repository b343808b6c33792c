//! Index State Management of OpenSearch: <https://docs.opensearch.org/latest/im-plugin/ism/api/>.

use serde_json::{Map, Value, json};

use super::indices::{IndicesOutcome, MAX_NAMES_IN_PATH, is_daily};
use super::policy::{Policy, PolicyChange};
use crate::call_error::CallError;
use crate::compare::matches;
use crate::report::{Outcome, StepError};
use crate::run::Run;
use crate::text::truncated;

/// Creates the policy, or changes the current one by its sequence number.
pub(super) async fn apply(run: &Run<'_>, policy: &Policy) -> Result<Outcome, StepError> {
    let response = run.cluster.get(&policy.path).await?;
    let path = match &response {
        None => policy.path.clone(),
        Some(response) => {
            let current = response.get("policy").unwrap_or(&Value::Null);
            let expected = policy.body.get("policy").unwrap_or(&policy.body);
            if matches(&with_template_list(current), &with_template_list(expected)) {
                return Ok(Outcome::Unchanged);
            }
            let (seq_no, primary_term) = version(response, &policy.path)?;
            format!("{}?if_seq_no={seq_no}&if_primary_term={primary_term}", policy.path)
        }
    };
    if run.is_dry() {
        return Ok(Outcome::WouldApply);
    }
    run.cluster.put(&path, &policy.body).await?;
    Ok(Outcome::Applied)
}

/// Returns a policy with `ism_template` as a list. It may be sent as one object, but is returned as a list.
fn with_template_list(policy: &Value) -> Value {
    let mut policy = policy.clone();
    if let Some(template) = policy.get_mut("ism_template").filter(|template| template.is_object()) {
        *template = Value::Array(vec![template.take()]);
    }
    policy
}

fn version(response: &Value, path: &str) -> Result<(i64, i64), CallError> {
    let number = |name: &str| response.get(name).and_then(Value::as_i64);
    number("_seq_no").zip(number("_primary_term")).ok_or_else(|| CallError::UnexpectedResponse {
        request: format!("GET /{path}"),
        what: "it has no _seq_no and _primary_term".into(),
    })
}

/// Applies the current policy to the indices that exist: by `add` to those without one, by `change_policy` to those with an
/// older version of it. An index keeps a policy of another name, because a person set it.
pub(super) async fn apply_to_indices(
    run: &Run<'_>,
    policy: &Policy,
    change: PolicyChange,
) -> Result<IndicesOutcome, StepError> {
    let response = run.cluster.get(&policy.path).await?;
    let seq_no = match &response {
        Some(response) => Some(version(response, &policy.path)?.0),
        None => None,
    };
    let explained = run.cluster.get(&format!("_plugins/_ism/explain/{}-*", policy.name)).await?;
    let no_indices = Map::new();
    let explained = explained.as_ref().and_then(Value::as_object).unwrap_or(&no_indices);
    let (mut without, mut older, mut n_elsewhere) = (Vec::new(), Vec::new(), 0);
    for (index, state) in explained.iter().filter(|(index, _)| is_daily(index, &policy.name)) {
        match policy_of(state) {
            None => without.push(index.as_str()),
            Some(name) if name != policy.name => n_elsewhere += 1,
            Some(_) => match state.get("policy_seq_no").and_then(Value::as_i64) {
                Some(current) if Some(current) != seq_no => older.push(index.as_str()),
                // ISM has not started with a new index yet. It may have the previous version.
                None if change == PolicyChange::ThisRun => older.push(index.as_str()),
                _ => {}
            },
        }
    }
    let note = note(without.len(), older.len(), n_elsewhere);
    if without.is_empty() && older.is_empty() {
        return Ok(IndicesOutcome { outcome: Outcome::Unchanged, note });
    }
    if run.is_dry() {
        return Ok(IndicesOutcome { outcome: Outcome::WouldApply, note });
    }
    let mut n_busy = 0;
    for (api, indices) in [("add", without), ("change_policy", older)] {
        for indices in indices.chunks(MAX_NAMES_IN_PATH) {
            let path = format!("_plugins/_ism/{api}/{}", indices.join(","));
            let response = run.cluster.post(&path, &json!({"policy_id": policy.name})).await?;
            n_busy += count_busy(&response, &path)?;
        }
    }
    let busy = (n_busy > 0).then(|| {
        format!("{n_busy} of them are between two states and could not be changed: run this again later")
    });
    let note = [note, busy].into_iter().flatten().collect::<Vec<_>>().join("; ");
    Ok(IndicesOutcome { outcome: Outcome::Applied, note: Some(note) })
}

/// Returns the policy of an explained index. Versions name the member differently.
fn policy_of(state: &Value) -> Option<&str> {
    let names = [
        "policy_id",
        "index.plugins.index_state_management.policy_id",
        "index.opendistro.index_state_management.policy_id",
    ];
    names.iter().find_map(|name| state.get(name)?.as_str()).filter(|name| !name.is_empty())
}

fn note(n_without: usize, n_older: usize, n_elsewhere: usize) -> Option<String> {
    let mut parts = Vec::new();
    for (n, what) in [
        (n_without, "had no policy"),
        (n_older, "had the previous version of the policy"),
        (n_elsewhere, "keep a policy of another name"),
    ] {
        if n > 0 {
            parts.push(format!("{n} {what}"));
        }
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Counts the indices that could not be changed because they are moving from one state to the next. ISM returns 200 even if
/// it refused some indices; a refusal for any other reason is an error.
fn count_busy(response: &Value, path: &str) -> Result<usize, CallError> {
    if response.get("failures") != Some(&Value::Bool(true)) {
        return Ok(0);
    }
    let failed =
        response.get("failed_indices").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_busy = |index: &Value| {
        let reason = index.get("reason").and_then(Value::as_str).unwrap_or_default();
        reason.contains("transition") || reason.contains("migrating")
    };
    if !failed.is_empty() && failed.iter().all(is_busy) {
        return Ok(failed.len());
    }
    let refused: Vec<_> = failed.iter().filter(|index| !is_busy(index)).collect();
    let message = serde_json::to_string(&refused).expect("JSON has a text");
    Err(CallError::Refused {
        request: format!("POST /{path}"),
        status: 200,
        message: truncated(&message, 500),
    })
}
