//! Index State Management of OpenSearch: <https://docs.opensearch.org/latest/im-plugin/ism/api/>.

use serde_json::{Map, Value, json};

use super::{Change, NAMES_IN_A_PATH, Policy, Reached, is_daily};
use crate::compare::holds;
use crate::provision::Run;
use crate::refusal::CallError;
use crate::report::{Outcome, StepError};

/// Makes the policy, or changes the one that is there by its sequence number.
pub(super) async fn apply(run: &Run<'_>, policy: &Policy) -> Result<Outcome, StepError> {
    let there = run.cluster.get(&policy.path).await?;
    let path = match &there {
        None => policy.path.clone(),
        Some(there) => {
            let (held, ours) = (there.get("policy").unwrap_or(&Value::Null), &policy.body);
            if holds(&with_template_list(held), &with_template_list(ours.get("policy").unwrap_or(ours))) {
                return Ok(Outcome::Unchanged);
            }
            let (seq_no, primary_term) = version(there, &policy.path)?;
            format!("{}?if_seq_no={seq_no}&if_primary_term={primary_term}", policy.path)
        }
    };
    if run.is_dry() {
        return Ok(Outcome::WouldApply);
    }
    run.cluster.put(&path, &policy.body).await?;
    Ok(Outcome::Applied)
}

/// `ism_template` may be given as one object; it comes back as a list.
fn with_template_list(policy: &Value) -> Value {
    let mut policy = policy.clone();
    if let Some(template) = policy.get_mut("ism_template").filter(|template| template.is_object()) {
        *template = Value::Array(vec![template.take()]);
    }
    policy
}

fn version(there: &Value, path: &str) -> Result<(i64, i64), CallError> {
    let number = |name: &str| there.get(name).and_then(Value::as_i64);
    number("_seq_no").zip(number("_primary_term")).ok_or_else(|| CallError::NotUnderstood {
        request: format!("GET /{path}"),
        what: "it has no _seq_no and _primary_term".into(),
    })
}

/// Puts the indices that exist under the policy as it is now: `add` where they have none, `change_policy` where they
/// have an older one of the name. An index under a policy of another name was put there by a person, and stays there.
pub(super) async fn reach_indices(
    run: &Run<'_>,
    policy: &Policy,
    change: Change,
) -> Result<Reached, StepError> {
    let there = run.cluster.get(&policy.path).await?;
    let seq_no = match &there {
        Some(there) => Some(version(there, &policy.path)?.0),
        None => None,
    };
    let explained = run.cluster.get(&format!("_plugins/_ism/explain/{}-*", policy.name)).await?;
    let nothing = Map::new();
    let explained = explained.as_ref().and_then(Value::as_object).unwrap_or(&nothing);
    let (mut without, mut older, mut elsewhere) = (Vec::new(), Vec::new(), 0);
    for (index, state) in explained.iter().filter(|(index, _)| is_daily(index, &policy.name)) {
        match policy_of(state) {
            None => without.push(index.as_str()),
            Some(name) if name != policy.name => elsewhere += 1,
            Some(_) => match state.get("policy_seq_no").and_then(Value::as_i64) {
                Some(held) if Some(held) != seq_no => older.push(index.as_str()),
                // An index that is new has not begun with its policy, and may have been given the one of before.
                None if change == Change::Now => older.push(index.as_str()),
                _ => {}
            },
        }
    }
    let note = note(without.len(), older.len(), elsewhere);
    if without.is_empty() && older.is_empty() {
        return Ok(Reached { outcome: Outcome::Unchanged, note });
    }
    if run.is_dry() {
        return Ok(Reached { outcome: Outcome::WouldApply, note });
    }
    let mut n_later = 0;
    for (api, indices) in [("add", without), ("change_policy", older)] {
        for indices in indices.chunks(NAMES_IN_A_PATH) {
            let path = format!("_plugins/_ism/{api}/{}", indices.join(","));
            let answer = run.cluster.post(&path, &json!({"policy_id": policy.name})).await?;
            n_later += later(&answer, &path)?;
        }
    }
    let later = (n_later > 0).then(|| {
        format!(
            "{n_later} of them between two states, so that they must be asked again: run this again later"
        )
    });
    let note = [note, later].into_iter().flatten().collect::<Vec<_>>().join("; ");
    Ok(Reached { outcome: Outcome::Applied, note: Some(note) })
}

/// The policy of an explained index, under the names of all versions.
fn policy_of(state: &Value) -> Option<&str> {
    let names = [
        "policy_id",
        "index.plugins.index_state_management.policy_id",
        "index.opendistro.index_state_management.policy_id",
    ];
    names.iter().find_map(|name| state.get(name)?.as_str()).filter(|name| !name.is_empty())
}

fn note(without: usize, older: usize, elsewhere: usize) -> Option<String> {
    let mut parts = Vec::new();
    for (n, what) in [
        (without, "had no policy"),
        (older, "had the policy's version before"),
        (elsewhere, "under policies of other names, left there"),
    ] {
        if n > 0 {
            parts.push(format!("{n} {what}"));
        }
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// ISM answers 200 also when it refused some. How many have to wait because they go from one state to the next now.
fn later(answer: &Value, path: &str) -> Result<usize, CallError> {
    if answer.get("failures") != Some(&Value::Bool(true)) {
        return Ok(0);
    }
    let failed =
        answer.get("failed_indices").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let has_to_wait = |index: &Value| {
        let reason = index.get("reason").and_then(Value::as_str).unwrap_or_default();
        reason.contains("transition") || reason.contains("migrating")
    };
    if !failed.is_empty() && failed.iter().all(has_to_wait) {
        return Ok(failed.len());
    }
    let refused: Vec<_> = failed.iter().filter(|index| !has_to_wait(index)).collect();
    let said = serde_json::to_string(&refused).expect("JSON has a text");
    Err(CallError::Refused {
        request: format!("POST /{path}"),
        status: 200,
        said: crate::refusal::shortened(&said, 500),
    })
}
