//! Alerting of OpenSearch: <https://docs.opensearch.org/latest/observing-your-data/alerting/api/>. The cluster gives a
//! monitor its id, so it is found by its name.

use serde_json::{Value, json};

use super::Monitor;
use crate::compare::holds;
use crate::provision::Run;
use crate::refusal::CallError;
use crate::report::{Outcome, StepError};

const MONITORS: &str = "_plugins/_alerting/monitors";
/// Kinds that a trigger's members may be wrapped in.
const TRIGGER_KINDS: [&str; 5] = [
    "query_level_trigger",
    "bucket_level_trigger",
    "document_level_trigger",
    "chained_alert_trigger",
    "remote_monitor_trigger",
];

/// A monitor that is there.
struct Found {
    id: String,
    monitor: Value,
    version: Option<(i64, i64)>,
}

/// Makes the monitor, or changes the one of its name.
pub(super) async fn apply(run: &Run<'_>, monitor: &Monitor) -> Result<Outcome, StepError> {
    let found = find(run, &monitor.name).await?;
    let Some(found) = found else {
        if run.is_dry() {
            return Ok(Outcome::WouldApply);
        }
        run.cluster.create(MONITORS, &monitor.body).await?;
        return Ok(Outcome::Applied);
    };
    let mut body = monitor.body.clone();
    keep_what_people_added(&mut body, &found.monitor);
    if holds(&found.monitor, &body) {
        return Ok(Outcome::Unchanged);
    }
    if run.is_dry() {
        return Ok(Outcome::WouldApply);
    }
    let query = found.version.map(|(seq_no, term)| format!("?if_seq_no={seq_no}&if_primary_term={term}"));
    run.cluster.put(&format!("{MONITORS}/{}{}", found.id, query.unwrap_or_default()), &body).await?;
    Ok(Outcome::Applied)
}

/// Deletes the monitor; whether it was there.
pub(super) async fn delete(run: &Run<'_>, monitor: &Monitor) -> Result<bool, CallError> {
    match find(run, &monitor.name).await? {
        Some(found) => run.cluster.delete(&format!("{MONITORS}/{}", found.id)).await,
        None => Ok(false),
    }
}

/// Finds the monitor of exactly this name.
async fn find(run: &Run<'_>, name: &str) -> Result<Option<Found>, CallError> {
    let query = json!({
        "size": 100, "seq_no_primary_term": true, "query": {"match_phrase": {"monitor.name": name}},
    });
    // 404: no monitor was ever made, so that their index is missing.
    let Some(answer) = run.cluster.ask(&format!("{MONITORS}/_search"), &query).await? else {
        return Ok(None);
    };
    let hits = answer.pointer("/hits/hits").and_then(Value::as_array).into_iter().flatten();
    for hit in hits {
        let Some(source) = hit.get("_source") else { continue };
        // The index has a monitor below `monitor`; the API takes it out, in some versions.
        let monitor = source.get("monitor").filter(|inner| inner.is_object()).unwrap_or(source);
        if monitor.get("name").and_then(Value::as_str) != Some(name) {
            continue;
        }
        let Some(id) = hit.get("_id").and_then(Value::as_str) else { continue };
        let number = |name: &str| hit.get(name).and_then(Value::as_i64).filter(|number| *number >= 0);
        let version = number("_seq_no").zip(number("_primary_term"));
        return Ok(Some(Found { id: id.to_owned(), monitor: monitor.clone(), version }));
    }
    Ok(None)
}

/// Takes over what people set on the monitor that is there: whether it is on, and what its triggers do. A trigger is known
/// again by its name or id; with the id kept, its alerts stay open.
fn keep_what_people_added(body: &mut Value, there: &Value) {
    if let Some(enabled) = there.get("enabled") {
        insert(body, "enabled", enabled.clone());
    }
    let held: Vec<_> =
        there.get("triggers").and_then(Value::as_array).into_iter().flatten().map(unwrapped).collect();
    for trigger in body.get_mut("triggers").and_then(Value::as_array_mut).into_iter().flatten() {
        let trigger = unwrapped_mut(trigger);
        let is_same = |held: &&&Value| {
            ["id", "name"]
                .iter()
                .any(|name| held.get(*name).is_some() && held.get(*name) == trigger.get(*name))
        };
        let Some(held) = held.iter().find(is_same).copied() else { continue };
        if let Some(id) = held.get("id") {
            insert(trigger, "id", id.clone());
        }
        let has_actions =
            trigger.get("actions").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        if !has_actions && let Some(actions) = held.get("actions") {
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
    fn what_people_added_to_a_monitor_stays() {
        let mut ours = json!({"name": "m", "enabled": true, "triggers": [
            {"bucket_level_trigger": {"id": "silent", "name": "No events for 20 minutes", "actions": []}},
            {"query_level_trigger": {"name": "new", "actions": []}}]});
        let theirs = json!({"name": "m", "enabled": false, "triggers": [
            {"bucket_level_trigger": {"id": "silent", "name": "No events for 15 minutes",
                "actions": [{"name": "page"}]}}]});
        keep_what_people_added(&mut ours, &theirs);
        assert_eq!(
            ours,
            json!({"name": "m", "enabled": false, "triggers": [
                {"bucket_level_trigger": {"id": "silent", "name": "No events for 20 minutes",
                    "actions": [{"name": "page"}]}},
                {"query_level_trigger": {"name": "new", "actions": []}}]})
        );
    }
}
