//! Watcher of Elasticsearch: <https://www.elastic.co/guide/en/elasticsearch/reference/current/watcher-api-put-watch.html>.

use serde_json::Value;

use super::Monitor;
use crate::compare::holds;
use crate::provision::Run;
use crate::refusal::CallError;
use crate::report::{Outcome, StepError};

fn path(monitor: &Monitor) -> String {
    format!("_watcher/watch/{}", monitor.name)
}

/// Makes or changes the watch.
pub(super) async fn apply(run: &Run<'_>, monitor: &Monitor) -> Result<Outcome, StepError> {
    let path = path(monitor);
    let there = run.cluster.get(&path).await?;
    let mut body = monitor.body.clone();
    let mut query = String::new();
    if let Some(there) = &there {
        let watch = there.get("watch").unwrap_or(&Value::Null);
        keep_actions(&mut body, watch);
        if holds(watch, &as_given_back(&body)) {
            return Ok(Outcome::Unchanged);
        }
        query = query_of_change(there);
    }
    if run.is_dry() {
        return Ok(Outcome::WouldApply);
    }
    run.cluster.put(&format!("{path}{query}"), &body).await?;
    Ok(Outcome::Applied)
}

/// A watch as Watcher gives it back: the time between two notifications in milliseconds.
fn as_given_back(body: &Value) -> Value {
    let mut body = body.clone();
    if let Value::Object(members) = &mut body
        && let Some(millis) = members.get("throttle_period").and_then(Value::as_str).and_then(millis)
    {
        members.remove("throttle_period");
        members.insert("throttle_period_in_millis".into(), millis.into());
    }
    body
}

fn millis(span: &str) -> Option<u64> {
    let unit = span.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let number: u64 = span.strip_suffix(unit)?.parse().ok()?;
    let factor = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(number * factor)
}

/// A watch that was turned off stays so. Passwords come back as `::es_redacted::`, and are kept only if the version of
/// the watch is given.
fn query_of_change(there: &Value) -> String {
    let active = there.pointer("/status/state/active").and_then(Value::as_bool).unwrap_or(true);
    let number = |name: &str| there.get(name).and_then(Value::as_i64);
    match (number("_seq_no"), number("_primary_term"), number("_version")) {
        (Some(seq_no), Some(term), _) => {
            format!("?active={active}&if_seq_no={seq_no}&if_primary_term={term}")
        }
        (_, _, Some(version)) => format!("?active={active}&version={version}"),
        _ => format!("?active={active}"),
    }
}

/// Takes over the actions that people added to the watch that is there.
fn keep_actions(body: &mut Value, there: &Value) {
    let Some(held) = there.get("actions").and_then(Value::as_object) else { return };
    let Some(actions) = body.get_mut("actions").and_then(Value::as_object_mut) else { return };
    for (name, action) in held {
        actions.entry(name).or_insert_with(|| action.clone());
    }
}

/// Deletes the watch; whether it was there.
pub(super) async fn delete(run: &Run<'_>, monitor: &Monitor) -> Result<bool, CallError> {
    run.cluster.delete(&path(monitor)).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_watch_keeps_its_other_actions_and_its_state() {
        let mut ours = json!({"actions": {"log": {"logging": {"text": "new"}}}});
        let there = json!({"actions": {"log": {"logging": {"text": "old"}}, "mail": {"email": {}}}});
        keep_actions(&mut ours, &there);
        assert_eq!(ours, json!({"actions": {"log": {"logging": {"text": "new"}}, "mail": {"email": {}}}}));
        assert_eq!(
            as_given_back(&json!({"throttle_period": "30m"})),
            json!({"throttle_period_in_millis": 1_800_000})
        );
        assert_eq!(as_given_back(&json!({"throttle_period": "x"})), json!({"throttle_period": "x"}));
        let there = json!({"_version": 3, "status": {"state": {"active": false}}});
        assert_eq!(query_of_change(&there), "?active=false&version=3");
        let there = json!({"_version": 3, "_seq_no": 7, "_primary_term": 1});
        assert_eq!(query_of_change(&there), "?active=true&if_seq_no=7&if_primary_term=1");
    }
}
