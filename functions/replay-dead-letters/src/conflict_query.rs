//! Bodies of the searches for documents with a conflict.

use event_pipeline::index::IndexPrefix;
use serde_json::{Value, json};

use crate::query::{conditions, indices_of, is_daily, one_of, page_of};
use crate::selection::ConflictFilter;

/// Body of the search for the indices that hold such documents.
pub(crate) fn indices(filter: &ConflictFilter) -> Value {
    indices_of(&query(None, filter))
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
    let mut body = page_of(&query(Some(indices), filter), &["_index", "_seq_no"], after, size);
    if let (false, Some(members)) = (source.is_empty(), body.as_object_mut()) {
        members.insert("_source".into(), source.into());
    }
    body
}

fn query(indices: Option<&[String]>, filter: &ConflictFilter) -> Value {
    // `conflict_field` is not indexed where it is longer than 1024 characters.
    let mut all =
        vec![json!({"exists": {"field": "conflict_reason"}}), json!({"term": {"tags": "_mappingconflict"}})];
    all.extend(conditions(indices, &filter.records, one_of("conflict_field", &filter.fields)));
    json!({"bool": {"filter": all}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::Records;

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
            records: Records {
                services: vec!["order".into()],
                from: Some("now-1d".into()),
                ids: vec!["i".into()],
                ..Records::default()
            },
            fields: vec!["a".into()],
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
