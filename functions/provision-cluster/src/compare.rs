//! Compares what the cluster returns with what it should hold. A cluster adds defaults and members of its own, and returns
//! numbers as text.

use serde_json::{Map, Value};

/// Members that the cluster adds, with any value.
const ADDED_BY_CLUSTER: [&str; 22] = [
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

/// Whether `actual` is `expected`, apart from what the cluster adds.
pub fn matches(actual: &Value, expected: &Value) -> bool {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => members_match(actual, expected),
        (Value::Array(actual), Value::Array(expected)) => {
            actual.len() == expected.len()
                && actual.iter().zip(expected).all(|(actual, expected)| matches(actual, expected))
        }
        // A list with one element may be written as that element.
        (Value::Array(actual), expected) => matches!(actual.as_slice(), [one] if matches(one, expected)),
        (actual, Value::Array(expected)) => matches!(expected.as_slice(), [one] if matches(actual, one)),
        (actual, expected) => scalar(actual).is_some() && scalar(actual) == scalar(expected),
    }
}

fn members_match(actual: &Map<String, Value>, expected: &Map<String, Value>) -> bool {
    let has_expected = expected.iter().all(|(name, expected)| match actual.get(name) {
        Some(actual) => matches(actual, expected) || (is_empty(actual) && is_empty(expected)),
        None => is_empty(expected),
    });
    let has_no_more = actual.iter().all(|(name, actual)| {
        expected.contains_key(name)
            || is_empty(actual)
            || ADDED_BY_CLUSTER.contains(&name.as_str())
            || is_default(name, actual)
    });
    has_expected && has_no_more
}

/// Whether a member is a default that the cluster writes out, in policies and in the queries of monitors.
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

/// Whether a value is null or holds nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => members.values().all(is_empty),
        _ => false,
    }
}

/// Returns a scalar as text: the cluster returns `1` and `true` as `"1"` and `"true"`.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        Value::Null => Some(String::new()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// Returns index settings with full names that start with `index.`, however they were nested.
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
    fn members_that_the_cluster_adds_make_no_difference() {
        let expected = json!({"policy": {"states": [{"name": "hot", "actions": [{"force_merge": {"max_num_segments": 1}}]}],
            "ism_template": [{"index_patterns": ["a-*"], "priority": 100}]}});
        let actual = json!({"policy": {"policy_id": "a", "last_updated_time": 5, "schema_version": 21,
            "error_notification": null,
            "states": [{"name": "hot", "transitions": [], "actions": [
                {"retry": {"count": 3, "backoff": "exponential"}, "force_merge": {"max_num_segments": 1}}]}],
            "ism_template": [{"index_patterns": ["a-*"], "priority": 100, "last_updated_time": 5}]}});
        assert!(matches(&actual, &expected));
        let role = json!({"names": "a-*", "privileges": ["create"], "metadata": {}});
        assert!(matches(
            &json!({"names": ["a-*"], "privileges": ["create"], "allow_restricted_indices": false}),
            &role
        ));
    }

    #[test]
    fn defaults_that_the_cluster_writes_out_make_no_difference() {
        let expected = json!({"query": {"bool": {"filter": [{"range": {"t": {"from": "now-1d", "to": null}}}]}},
            "aggregations": {"s": {"terms": {"field": "f", "size": 10}}}});
        let actual = json!({"query": {"bool": {"filter": [{"range": {"t": {"from": "now-1d", "to": null,
            "include_lower": true, "include_upper": true, "boost": 1.0}}}], "adjust_pure_negative": true, "boost": 1.0}},
            "aggregations": {"s": {"terms": {"field": "f", "size": 10, "min_doc_count": 1, "shard_min_doc_count": 0,
                "show_term_doc_count_error": false, "order": [{"_count": "desc"}, {"_key": "asc"}]}}}});
        assert!(matches(&actual, &expected));
        let mut other = actual;
        other["query"]["bool"]["boost"] = json!(2.0);
        assert!(!matches(&other, &expected));
    }

    #[test]
    fn a_difference_is_found_at_any_depth() {
        let expected = json!({"a": {"b": [1, {"c": "x"}]}, "d": "7"});
        assert!(matches(&json!({"a": {"b": ["1", {"c": "x"}]}, "d": 7}), &expected));
        for actual in [
            json!({"a": {"b": [1, {"c": "y"}]}, "d": "7"}),
            json!({"a": {"b": [1]}, "d": "7"}),
            json!({"a": {"b": [1, {"c": "x"}], "more": 1}, "d": "7"}),
            json!({"a": {"b": [1, {"c": "x"}]}}),
            json!(null),
        ] {
            assert!(!matches(&actual, &expected), "{actual}");
        }
        assert!(!matches(&json!({"a": {}}), &json!({"a": false})));
    }

    #[test]
    fn nesting_of_settings_makes_no_difference() {
        let expected = json!({"number_of_shards": 1, "mapping.total_fields.limit": 5, "index.codec": "x"});
        let actual = json!({"index": {"number_of_shards": "1", "mapping": {"total_fields": {"limit": "5"}}, "codec": "x"}});
        assert!(matches(&flat_settings(&actual), &flat_settings(&expected)));
    }
}
