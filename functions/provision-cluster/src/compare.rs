//! Tells whether the cluster holds what it should. A cluster gives things back with defaults and names of its own added,
//! and with numbers as texts.

use serde_json::{Map, Value};

/// Members that the cluster adds to what it was given, with any value.
const MADE_BY_CLUSTER: [&str; 22] = [
    // ISM
    "policy_id",
    "last_updated_time",
    "schema_version",
    "retry",
    "user",
    // alerting
    "id",
    "enabled_time",
    "last_update_time",
    "data_sources",
    "owner",
    // Watcher
    "search_type",
    "rest_total_hits_as_int",
    // ILM
    "delete_searchable_snapshot",
    // roles
    "reserved",
    "hidden",
    "static",
    "transient_metadata",
    "allow_restricted_indices",
    // templates of Elasticsearch 9
    "created_date",
    "created_date_millis",
    "modified_date",
    "modified_date_millis",
];

/// Whether `theirs` is `ours`, but for what the cluster adds.
pub fn holds(theirs: &Value, ours: &Value) -> bool {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => holds_members(theirs, ours),
        (Value::Array(theirs), Value::Array(ours)) => {
            theirs.len() == ours.len() && theirs.iter().zip(ours).all(|(theirs, ours)| holds(theirs, ours))
        }
        // A list of one may be given without being a list.
        (Value::Array(theirs), ours) => matches!(theirs.as_slice(), [one] if holds(one, ours)),
        (theirs, Value::Array(ours)) => matches!(ours.as_slice(), [one] if holds(theirs, one)),
        (theirs, ours) => plain(theirs).is_some() && plain(theirs) == plain(ours),
    }
}

fn holds_members(theirs: &Map<String, Value>, ours: &Map<String, Value>) -> bool {
    let all_there = ours.iter().all(|(name, ours)| match theirs.get(name) {
        Some(theirs) => holds(theirs, ours) || (says_nothing(theirs) && says_nothing(ours)),
        None => says_nothing(ours),
    });
    let nothing_more = theirs.iter().all(|(name, theirs)| {
        ours.contains_key(name)
            || says_nothing(theirs)
            || MADE_BY_CLUSTER.contains(&name.as_str())
            || is_default(name, theirs)
    });
    all_there && nothing_more
}

/// Whether a member is what the cluster takes for granted, and writes out: of policies, and of the queries in monitors.
fn is_default(name: &str, value: &Value) -> bool {
    match name {
        "min_age" => value == "0ms",
        "wait_for_completion" => *value == true,
        "task_execution_timeout" => value == "1h",
        "boost" => value.as_f64() == Some(1.0),
        "adjust_pure_negative" => *value == true,
        "include_lower" | "include_upper" => *value == true,
        "missing_bucket" | "show_term_doc_count_error" => *value == false,
        "missing_order" => value == "default",
        "min_doc_count" => value.as_u64() == Some(1),
        "shard_min_doc_count" => value.as_u64() == Some(0),
        "order" => value == "asc" || *value == serde_json::json!([{"_count": "desc"}, {"_key": "asc"}]),
        "flags_value" => matches!(value.as_u64(), Some(255 | 65_535)),
        "max_determinized_states" => value.as_u64() == Some(10_000),
        "delete_query_index_in_every_run" | "should_create_single_alert_for_findings" => *value == false,
        _ => false,
    }
}

/// null, and what is empty.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => members.values().all(says_nothing),
        _ => false,
    }
}

/// A plain value as text: the cluster gives `1` and `true` back as `"1"` and `"true"`.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        Value::Null => Some(String::new()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// Index settings with whole names, `index.` in front, however they were nested.
pub fn flat_settings(settings: &Value) -> Value {
    let mut flat = Map::new();
    flatten("", settings, &mut flat);
    let flat = flat.into_iter().map(|(name, value)| {
        if name.starts_with("index.") { (name, value) } else { (format!("index.{name}"), value) }
    });
    Value::Object(flat.collect())
}

fn flatten(prefix: &str, value: &Value, flat: &mut Map<String, Value>) {
    let Value::Object(members) = value else {
        flat.insert(prefix.to_owned(), value.clone());
        return;
    };
    for (name, value) in members {
        let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        flatten(&name, value, flat);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_cluster_adds_makes_no_difference() {
        let ours = json!({"policy": {"states": [{"name": "hot", "actions": [{"force_merge": {"max_num_segments": 1}}]}],
            "ism_template": [{"index_patterns": ["a-*"], "priority": 100}]}});
        let theirs = json!({"policy": {"policy_id": "a", "last_updated_time": 5, "schema_version": 21,
            "error_notification": null,
            "states": [{"name": "hot", "transitions": [], "actions": [
                {"retry": {"count": 3, "backoff": "exponential"}, "force_merge": {"max_num_segments": 1}}]}],
            "ism_template": [{"index_patterns": ["a-*"], "priority": 100, "last_updated_time": 5}]}});
        assert!(holds(&theirs, &ours));
        let role = json!({"names": "a-*", "privileges": ["create"], "metadata": {}});
        assert!(holds(
            &json!({"names": ["a-*"], "privileges": ["create"], "allow_restricted_indices": false}),
            &role
        ));
    }

    #[test]
    fn what_the_cluster_takes_for_granted_makes_no_difference() {
        let ours = json!({"query": {"bool": {"filter": [{"range": {"t": {"from": "now-1d", "to": null}}}]}},
            "aggregations": {"s": {"terms": {"field": "f", "size": 10}}}});
        let theirs = json!({"query": {"bool": {"filter": [{"range": {"t": {"from": "now-1d", "to": null,
            "include_lower": true, "include_upper": true, "boost": 1.0}}}], "adjust_pure_negative": true, "boost": 1.0}},
            "aggregations": {"s": {"terms": {"field": "f", "size": 10, "min_doc_count": 1, "shard_min_doc_count": 0,
                "show_term_doc_count_error": false, "order": [{"_count": "desc"}, {"_key": "asc"}]}}}});
        assert!(holds(&theirs, &ours));
        let mut other = theirs;
        other["query"]["bool"]["boost"] = json!(2.0);
        assert!(!holds(&other, &ours));
    }

    #[test]
    fn a_difference_is_seen_wherever_it_is() {
        let ours = json!({"a": {"b": [1, {"c": "x"}]}, "d": "7"});
        assert!(holds(&json!({"a": {"b": ["1", {"c": "x"}]}, "d": 7}), &ours));
        for theirs in [
            json!({"a": {"b": [1, {"c": "y"}]}, "d": "7"}),
            json!({"a": {"b": [1]}, "d": "7"}),
            json!({"a": {"b": [1, {"c": "x"}], "more": 1}, "d": "7"}),
            json!({"a": {"b": [1, {"c": "x"}]}}),
            json!(null),
        ] {
            assert!(!holds(&theirs, &ours), "{theirs}");
        }
        assert!(!holds(&json!({"a": {}}), &json!({"a": false})));
    }

    #[test]
    fn settings_are_the_same_however_they_are_nested() {
        let ours = json!({"number_of_shards": 1, "mapping.total_fields.limit": 5, "index.codec": "x"});
        let theirs = json!({"index": {"number_of_shards": "1", "mapping": {"total_fields": {"limit": "5"}}, "codec": "x"}});
        assert!(holds(&flat_settings(&theirs), &flat_settings(&ours)));
    }
}
