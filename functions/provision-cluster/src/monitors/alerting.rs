//! Alerting of OpenSearch: <https://docs.opensearch.org/latest/observing-your-data/alerting/api/>. The cluster assigns
//! ids to monitors, so a monitor is found by its name.

use serde_json::{Value, json};

use super::definition::Monitor;
use crate::call_error::CallError;
use crate::compare::matches;
use crate::report::{Outcome, StepError};
use crate::run::Run;

const MONITORS: &str = "_plugins/_alerting/monitors";
/// Members that the content of a trigger may be wrapped in.
const TRIGGER_KINDS: [&str; 5] = [
    "query_level_trigger",
    "bucket_level_trigger",
    "document_level_trigger",
    "chained_alert_trigger",
    "remote_monitor_trigger",
];

/// A monitor in the cluster.
struct ExistingMonitor {
    id: String,
    monitor: Value,
    version: Option<(i64, i64)>,
}

/// Creates the monitor, or changes the one with its name.
pub(super) async fn apply(run: &Run<'_>, monitor: &Monitor) -> Result<Outcome, StepError> {
    let existing = find(run, &monitor.name).await?;
    let Some(existing) = existing else {
        if run.is_dry() {
            return Ok(Outcome::WouldApply);
        }
        run.cluster.create(MONITORS, &monitor.body).await?;
        return Ok(Outcome::Applied);
    };
    let mut body = monitor.body.clone();
    keep_user_changes(&mut body, &existing.monitor);
    if matches(&existing.monitor, &body) {
        return Ok(Outcome::Unchanged);
    }
    if run.is_dry() {
        return Ok(Outcome::WouldApply);
    }
    let query = existing.version.map(|(seq_no, term)| format!("?if_seq_no={seq_no}&if_primary_term={term}"));
    run.cluster.put(&format!("{MONITORS}/{}{}", existing.id, query.unwrap_or_default()), &body).await?;
    Ok(Outcome::Applied)
}

/// Deletes the monitor. Returns whether it existed.
pub(super) async fn delete(run: &Run<'_>, monitor: &Monitor) -> Result<bool, CallError> {
    match find(run, &monitor.name).await? {
        Some(existing) => run.cluster.delete(&format!("{MONITORS}/{}", existing.id)).await,
        None => Ok(false),
    }
}

/// Finds the monitor with exactly this name.
async fn find(run: &Run<'_>, name: &str) -> Result<Option<ExistingMonitor>, CallError> {
    let query = json!({
        "size": 100, "seq_no_primary_term": true, "query": {"match_phrase": {"monitor.name": name}},
    });
    // 404: their index is missing, because no monitor was ever created.
    let Some(response) = run.cluster.search(&format!("{MONITORS}/_search"), &query).await? else {
        return Ok(None);
    };
    let hits = response.pointer("/hits/hits").and_then(Value::as_array).into_iter().flatten();
    for hit in hits {
        let Some(source) = hit.get("_source") else { continue };
        // The index holds a monitor below `monitor`. Some versions of the API unwrap it.
        let monitor = source.get("monitor").filter(|inner| inner.is_object()).unwrap_or(source);
        if monitor.get("name").and_then(Value::as_str) != Some(name) {
            continue;
        }
        let Some(id) = hit.get("_id").and_then(Value::as_str) else { continue };
        let number = |name: &str| hit.get(name).and_then(Value::as_i64).filter(|number| *number >= 0);
        let version = number("_seq_no").zip(number("_primary_term"));
        return Ok(Some(ExistingMonitor { id: id.to_owned(), monitor: monitor.clone(), version }));
    }
    Ok(None)
}

/// Copies what people set on the existing monitor: whether it is on, and the actions of its triggers. A trigger is
/// recognized by its name or id. Keeping the id keeps its alerts open.
fn keep_user_changes(body: &mut Value, existing: &Value) {
    if let Some(enabled) = existing.get("enabled") {
        insert(body, "enabled", enabled.clone());
    }
    let existing_triggers: Vec<_> =
        existing.get("triggers").and_then(Value::as_array).into_iter().flatten().map(unwrapped).collect();
    for trigger in body.get_mut("triggers").and_then(Value::as_array_mut).into_iter().flatten() {
        let trigger = unwrapped_mut(trigger);
        let is_same = |candidate: &&&Value| {
            ["id", "name"]
                .iter()
                .any(|name| candidate.get(*name).is_some() && candidate.get(*name) == trigger.get(*name))
        };
        let Some(existing) = existing_triggers.iter().find(is_same).copied() else { continue };
        if let Some(id) = existing.get("id") {
            insert(trigger, "id", id.clone());
        }
        let has_actions =
            trigger.get("actions").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        if !has_actions && let Some(actions) = existing.get("actions") {
            insert(trigger, "actions", actions.clone());
        }
    }
}

fn insert(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value);
    }
}

fn unwrapped(trigger: &Value) -> &Value {
    TRIGGER_KINDS.iter().find_map(|kind| trigger.get(kind)).unwrap_or(trigger)
}

fn unwrapped_mut(trigger: &mut Value) -> &mut Value {
    match TRIGGER_KINDS.iter().find(|kind| trigger.get(**kind).is_some()) {
        Some(kind) => trigger.get_mut(*kind).expect("it was found"),
        None => trigger,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_keeps_what_people_set_on_a_monitor() {
        let mut body = json!({"name": "m", "enabled": true, "triggers": [
            {"bucket_level_trigger": {"id": "silent", "name": "No events for 20 minutes", "actions": []}},
            {"query_level_trigger": {"name": "new", "actions": []}}]});
        let existing = json!({"name": "m", "enabled": false, "triggers": [
            {"bucket_level_trigger": {"id": "silent", "name": "No events for 15 minutes",
                "actions": [{"name": "page"}]}}]});
        keep_user_changes(&mut body, &existing);
        assert_eq!(
            body,
            json!({"name": "m", "enabled": false, "triggers": [
                {"bucket_level_trigger": {"id": "silent", "name": "No events for 20 minutes",
                    "actions": [{"name": "page"}]}},
                {"query_level_trigger": {"name": "new", "actions": []}}]})
        );
    }
}
