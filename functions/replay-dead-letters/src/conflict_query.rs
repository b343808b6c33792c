//! Bodies of the searches for documents with a conflict.

use event_pipeline::index::IndexPrefix;
use serde_json::{Value, json};

use crate::query::{INDICES, is_daily, of_services, time_range};
use crate::selection::ConflictFilter;

/// Body of the search for the indices that hold such documents.
pub(crate) fn indices(filter: &ConflictFilter) -> Value {
    json!({
        "size": 0,
        "query": query(None, filter),
        "track_total_hits": false,
        "aggs": {INDICES: {"terms": {"field": "_index", "size": 10_000}}},
    })
}

/// Whether the index `name` is one that `filter` names or, where it names none, one of a day of `prefix`. A day may have been
/// reindexed to a name with more text behind a hyphen.
pub(crate) fn is_wanted(prefix: &IndexPrefix, filter: &ConflictFilter, name: &str) -> bool {
    let is_named = |wanted: &String| match wanted.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == wanted,
    };
    if !filter.indices.is_empty() {
        return filter.indices.iter().any(is_named);
    }
    let day_end = prefix.as_str().len() + "-0000.00.00".len();
    let (day, rest) = name.split_at_checked(day_end).unwrap_or((name, ""));
    is_daily(prefix, day) && (rest.is_empty() || rest.starts_with('-'))
}

/// Body of the search for the next `size` documents behind `after`, with these fields of their sources.
///
/// The order is that of the records. A document can be in two indices, as a reindexed day is for a while.
pub(crate) fn page(
    indices: &[String],
    filter: &ConflictFilter,
    after: Option<&[Value]>,
    size: usize,
    source: &[&str],
) -> Value {
    let source = if source.is_empty() { json!(false) } else { json!(source) };
    let mut body = json!({
        "size": size,
        "query": query(Some(indices), filter),
        "_source": source,
        "track_total_hits": false,
        "sort": [
            {"@timestamp": {"order": "asc", "unmapped_type": "date"}},
            {"kafka_topic": {"order": "asc", "unmapped_type": "keyword"}},
            {"kafka_partition": {"order": "asc", "unmapped_type": "integer"}},
            {"kafka_offset": {"order": "asc", "unmapped_type": "long"}},
            {"_index": {"order": "asc"}},
            {"_seq_no": {"order": "asc"}},
        ],
    });
    if let (Some(after), Some(members)) = (after, body.as_object_mut()) {
        members.insert("search_after".into(), after.into());
    }
    body
}

fn query(indices: Option<&[String]>, filter: &ConflictFilter) -> Value {
    // `conflict_field` is not indexed where it is longer than 1024 characters.
    let mut conditions =
        vec![json!({"exists": {"field": "conflict_reason"}}), json!({"term": {"tags": "_mappingconflict"}})];
    conditions.extend(indices.map(|indices| json!({"terms": {"_index": indices}})));
    conditions.extend(of_services(&filter.services));
    if !filter.fields.is_empty() {
        conditions.push(json!({"terms": {"conflict_field": filter.fields}}));
    }
    conditions.extend(time_range(filter.from.as_deref(), filter.to.as_deref()));
    if !filter.ids.is_empty() {
        conditions.push(json!({"ids": {"values": filter.ids}}));
    }
    json!({"bool": {"filter": conditions}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_days_of_the_prefix_are_searched_unless_others_are_named() {
        let prefix = IndexPrefix::parse("m").unwrap();
        let by_default = ConflictFilter::default();
        for name in ["m-2026.11.28", "m-2026.11.28-fixed"] {
            assert!(is_wanted(&prefix, &by_default, name), "{name}");
        }
        for name in ["m-eu-2026.11.28", "m-2026.11", "m-2026.11.28x", "m-2026.11.2é"] {
            assert!(!is_wanted(&prefix, &by_default, name), "{name}");
        }
        let named = ConflictFilter { indices: vec!["m-old".into(), "m-2026.10.*".into()], ..by_default };
        for (name, expected) in [("m-old", true), ("m-2026.10.01", true), ("m-2026.11.28", false)] {
            assert_eq!(is_wanted(&prefix, &named, name), expected, "{name}");
        }
    }

    #[test]
    fn all_conditions_must_hold() {
        let filter = ConflictFilter {
            services: vec!["order".into()],
            fields: vec!["a".into()],
            from: Some("now-1d".into()),
            ids: vec!["i".into()],
            ..ConflictFilter::default()
        };
        let body = page(&["m-2026.11.28".into()], &filter, Some(&[json!(1)]), 10, &["conflict_field"]);
        let expected = json!({"bool": {"filter": [
            {"exists": {"field": "conflict_reason"}},
            {"term": {"tags": "_mappingconflict"}},
            {"terms": {"_index": ["m-2026.11.28"]}},
            {"bool": {"minimum_should_match": 1, "should": [
                {"terms": {"service_name": ["order"]}}, {"terms": {"service": ["order"]}}]}},
            {"terms": {"conflict_field": ["a"]}},
            {"range": {"@timestamp": {"gte": "now-1d"}}},
            {"ids": {"values": ["i"]}},
        ]}});
        assert_eq!(body["query"], expected);
        assert_eq!((&body["search_after"], &body["_source"]), (&json!([1]), &json!(["conflict_field"])));
    }
}
