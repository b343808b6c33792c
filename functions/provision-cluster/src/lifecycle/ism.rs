//! Index State Management of OpenSearch: <https://docs.opensearch.org/latest/im-plugin/ism/api/>.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::indices::{IndicesOutcome, MAX_NAMES_IN_PATH, find, in_path};
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
///
/// An index takes a changed policy at its next step. Until then `explain` shows the previous version, and no API shows that
/// the change is due, so a run before that asks for it again.
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
    let found = find(&run.cluster, &policy.indices).await?;
    let explained = explain(run, policy, &found.own).await?;
    let (mut without, mut older, mut n_elsewhere) = (Vec::new(), Vec::new(), 0);
    for (index, state) in explained.iter().filter(|(index, _)| found.own.contains(*index)) {
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
    let notes = [note(without.len(), older.len(), n_elsewhere), found.note()];
    let note = joined(notes);
    if without.is_empty() && older.is_empty() {
        return Ok(IndicesOutcome { outcome: Outcome::Unchanged, note });
    }
    if run.is_dry() {
        return Ok(IndicesOutcome { outcome: Outcome::WouldApply, note });
    }
    let mut changed = Changed::default();
    for (api, indices) in [("add", without), ("change_policy", older)] {
        for indices in indices.chunks(MAX_NAMES_IN_PATH) {
            changed.add(post(run, api, indices, &policy.name).await?);
        }
    }
    let outcome = if changed.n_updated > 0 { Outcome::Applied } else { Outcome::Unchanged };
    Ok(IndicesOutcome { outcome, note: joined([note, changed.note()]) })
}

fn joined(notes: [Option<String>; 2]) -> Option<String> {
    let notes: Vec<_> = notes.into_iter().flatten().collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// Returns the policies of the indices, by name. The API returns 400 for names of which none exists, so only patterns that some of
/// the indices match are sent; those may be deleted in between.
async fn explain(
    run: &Run<'_>,
    policy: &Policy,
    own: &BTreeSet<String>,
) -> Result<Map<String, Value>, CallError> {
    let mut all = Map::new();
    for pattern in &policy.indices {
        if !own.iter().any(|name| pattern.may_hold(name)) {
            continue;
        }
        let path = format!("_plugins/_ism/explain/{}", pattern.in_path());
        match run.cluster.get(&path).await {
            Ok(Some(Value::Object(explained))) => all.extend(explained),
            Ok(None) => {}
            Ok(Some(_)) => {
                return Err(CallError::UnexpectedResponse {
                    request: format!("GET /{path}"),
                    what: "it is not an object".into(),
                });
            }
            Err(CallError::Refused { status: 400, message, .. })
                if message.contains("no documents to get") => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Posts to the indices. `change_policy` refuses all of them if one was deleted meanwhile, and is then sent for each alone.
async fn post(run: &Run<'_>, api: &str, indices: &[&str], policy: &str) -> Result<Changed, CallError> {
    let path = format!("_plugins/_ism/{api}/{}", in_path(indices));
    match run.cluster.post(&path, &json!({"policy_id": policy})).await {
        Ok(response) => read_changed(&response, &path),
        Err(error) if !is_deleted_index(&error) => Err(error),
        Err(_) if indices.len() == 1 => Ok(Changed::default()),
        Err(_) => {
            let mut changed = Changed::default();
            for index in indices {
                changed.add(Box::pin(post(run, api, &[index], policy)).await?);
            }
            Ok(changed)
        }
    }
}

fn is_deleted_index(error: &CallError) -> bool {
    matches!(error, CallError::MissingApi { message } if message.contains("no such index"))
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
    let mut note = parts.join(", ");
    if n_older > 0 {
        note.push_str("; they take the current one at their next step, within minutes, and a run before that applies it again");
    }
    (!note.is_empty()).then_some(note)
}

/// What ISM did with the indices of requests.
#[derive(Default)]
struct Changed {
    n_updated: usize,
    n_between_states: usize,
    n_closed: usize,
    n_with_policy: usize,
    n_without_policy: usize,
}

impl Changed {
    fn add(&mut self, other: Self) {
        self.n_updated += other.n_updated;
        self.n_between_states += other.n_between_states;
        self.n_closed += other.n_closed;
        self.n_with_policy += other.n_with_policy;
        self.n_without_policy += other.n_without_policy;
    }

    /// Returns the count of a refusal that concerns one index and passes, or that a person is to decide on; `None` for any
    /// other. The reasons are those of `TransportAddPolicyAction` and `RestChangePolicyAction` in
    /// <https://github.com/opensearch-project/index-management>, and are the same in all versions from 1.0 to 3.8.
    fn count_of(&mut self, reason: &str) -> Option<&mut usize> {
        match reason {
            "Cannot change policy while transitioning to new state" => Some(&mut self.n_between_states),
            "This index is closed" => Some(&mut self.n_closed),
            "This index is not being managed" => Some(&mut self.n_without_policy),
            _ if reason.starts_with("This index already has a policy") => Some(&mut self.n_with_policy),
            _ => None,
        }
    }

    fn note(&self) -> Option<String> {
        let mut parts = Vec::new();
        for (n, what) in [
            (
                self.n_between_states,
                "of them are between two states and could not be changed: run this again later",
            ),
            (self.n_closed, "closed index got no policy: open it and run this again"),
            (self.n_with_policy, "just got a policy: run this again to compare it with the current version"),
            (self.n_without_policy, "just lost its policy: run this again to give it the current one"),
        ] {
            if n > 0 {
                parts.push(format!("{n} {what}"));
            }
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// Reads what ISM did. It returns 200 even if it refused some indices; a refusal that [`Changed`] does not count is an error.
fn read_changed(response: &Value, path: &str) -> Result<Changed, CallError> {
    let n_updated = response.get("updated_indices").and_then(Value::as_u64).unwrap_or_default();
    let mut changed =
        Changed { n_updated: usize::try_from(n_updated).unwrap_or(usize::MAX), ..Changed::default() };
    let failed = response.get("failed_indices").and_then(Value::as_array).map(Vec::as_slice);
    let failed = failed.unwrap_or_default();
    let mut refused = Vec::new();
    for index in failed {
        match changed.count_of(index.get("reason").and_then(Value::as_str).unwrap_or_default()) {
            Some(n) => *n += 1,
            None => refused.push(index),
        }
    }
    if refused.is_empty() && (response.get("failures") != Some(&Value::Bool(true)) || !failed.is_empty()) {
        return Ok(changed);
    }
    let message = serde_json::to_string(&refused).expect("JSON has a text");
    Err(CallError::Refused {
        request: format!("POST /{path}"),
        status: 200,
        message: truncated(&message, 500),
    })
}
