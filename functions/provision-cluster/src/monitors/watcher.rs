//! Watcher of Elasticsearch: <https://www.elastic.co/guide/en/elasticsearch/reference/current/watcher-api-put-watch.html>.

use serde_json::Value;

use super::definition::Monitor;
use crate::call_error::CallError;
use crate::compare::matches;
use crate::report::{Outcome, StepError};
use crate::run::Run;

fn path(monitor: &Monitor) -> String {
    format!("_watcher/watch/{}", monitor.name)
}

/// Creates or changes the watch.
pub(super) async fn apply(run: &Run<'_>, monitor: &Monitor) -> Result<Outcome, StepError> {
    let path = path(monitor);
    let existing = run.cluster.get(&path).await?;
    let mut body = monitor.body.clone();
    let mut query = String::new();
    if let Some(existing) = &existing {
        let watch = existing.get("watch").unwrap_or(&Value::Null);
        keep_actions(&mut body, watch);
        if matches(watch, &as_returned(&body)) {
            return Ok(Outcome::Unchanged);
        }
        query = update_query(existing);
    }
    if run.is_dry() {
        return Ok(Outcome::WouldApply);
    }
    run.cluster.put(&format!("{path}{query}"), &body).await?;
    Ok(Outcome::Applied)
}

/// Returns a watch as Watcher does, with the throttle period in milliseconds.
fn as_returned(body: &Value) -> Value {
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

/// Returns the query of an update. A watch that was turned off stays off. Watcher returns passwords as `::es_redacted::`,
/// and keeps them only if the request names the version of the watch.
fn update_query(existing: &Value) -> String {
    let active = existing.pointer("/status/state/active").and_then(Value::as_bool).unwrap_or(true);
    let number = |name: &str| existing.get(name).and_then(Value::as_i64);
    match (number("_seq_no"), number("_primary_term"), number("_version")) {
        (Some(seq_no), Some(term), _) => {
            format!("?active={active}&if_seq_no={seq_no}&if_primary_term={term}")
        }
        (_, _, Some(version)) => format!("?active={active}&version={version}"),
        _ => format!("?active={active}"),
    }
}

/// Copies the actions that people added to the existing watch.
fn keep_actions(body: &mut Value, existing: &Value) {
    let Some(existing_actions) = existing.get("actions").and_then(Value::as_object) else { return };
    let Some(actions) = body.get_mut("actions").and_then(Value::as_object_mut) else { return };
    for (name, action) in existing_actions {
        actions.entry(name).or_insert_with(|| action.clone());
    }
}

/// Deletes the watch. Returns whether it existed.
pub(super) async fn delete(run: &Run<'_>, monitor: &Monitor) -> Result<bool, CallError> {
    run.cluster.delete(&path(monitor)).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_update_keeps_the_actions_and_the_state_of_a_watch() {
        let mut body = json!({"actions": {"log": {"logging": {"text": "new"}}}});
        let existing = json!({"actions": {"log": {"logging": {"text": "old"}}, "mail": {"email": {}}}});
        keep_actions(&mut body, &existing);
        assert_eq!(body, json!({"actions": {"log": {"logging": {"text": "new"}}, "mail": {"email": {}}}}));
        assert_eq!(
            as_returned(&json!({"throttle_period": "30m"})),
            json!({"throttle_period_in_millis": 1_800_000})
        );
        assert_eq!(as_returned(&json!({"throttle_period": "x"})), json!({"throttle_period": "x"}));
        let existing = json!({"_version": 3, "status": {"state": {"active": false}}});
        assert_eq!(update_query(&existing), "?active=false&version=3");
        let existing = json!({"_version": 3, "_seq_no": 7, "_primary_term": 1});
        assert_eq!(update_query(&existing), "?active=true&if_seq_no=7&if_primary_term=1");
    }
}
