//! Bodies of the searches for dead letters.

use event_pipeline::index::IndexPrefix;
use serde_json::{Value, json};

use crate::response::NONE;
use crate::selection::{Filter, Records};

/// Path of the search for dead letters of `prefix`. A shard that does not respond is an error: it would hide some.
pub(crate) fn search_path(prefix: &IndexPrefix) -> String {
    format!(
        "{}-*/_search?ignore_unavailable=true&allow_no_indices=true&allow_partial_search_results=false",
        prefix.as_str()
    )
}

/// Name of the aggregation of [`indices_of`].
pub(crate) const INDICES: &str = "indices";

/// Body of the search for the indices that hold what `query` finds.
pub(crate) fn indices_of(query: &Value) -> Value {
    json!({
        "size": 0,
        "query": query,
        "track_total_hits": false,
        "aggs": {INDICES: {"terms": {"field": "_index", "size": 10_000}}},
    })
}

/// Body of the search for the indices that hold such dead letters. `dead-letters-a-*` also finds those of
/// `dead-letters-a-b`: [`is_daily`] distinguishes them, as no query on `_index` can.
pub(crate) fn indices(filter: &Filter) -> Value {
    indices_of(&query(None, filter))
}

/// Whether the name `index` is `prefix` and a day.
pub(crate) fn is_daily(prefix: &IndexPrefix, index: &str) -> bool {
    let day = index.strip_prefix(prefix.as_str()).and_then(|rest| rest.strip_prefix('-'));
    let form = b"0000.00.00";
    day.is_some_and(|day| {
        day.len() == form.len()
            && day
                .bytes()
                .zip(form)
                .all(|(byte, form)| if *form == b'.' { byte == b'.' } else { byte.is_ascii_digit() })
    })
}

/// Body of the search for the next `size` dead letters behind `after`, without their sources.
pub(crate) fn page(indices: &[String], filter: &Filter, after: Option<&[Value]>, size: usize) -> Value {
    page_of(&query(Some(indices), filter), &["_seq_no"], after, size)
}

/// Body of the search for the next `size` documents of `query` behind `after`, without their sources.
///
/// The order is that of the records. `ties` order what is equal in all else, such as records without an offset.
pub(crate) fn page_of(query: &Value, ties: &[&str], after: Option<&[Value]>, size: usize) -> Value {
    let mut sort = vec![
        json!({"@timestamp": {"order": "asc", "unmapped_type": "date"}}),
        json!({"kafka_topic": {"order": "asc", "unmapped_type": "keyword"}}),
        json!({"kafka_partition": {"order": "asc", "unmapped_type": "integer"}}),
        json!({"kafka_offset": {"order": "asc", "unmapped_type": "long"}}),
    ];
    sort.extend(ties.iter().map(|name| json!({*name: {"order": "asc"}})));
    let mut body =
        json!({"size": size, "query": query, "_source": false, "track_total_hits": false, "sort": sort});
    if let (Some(after), Some(members)) = (after, body.as_object_mut()) {
        members.insert("search_after".into(), after.into());
    }
    body
}

/// Name of the aggregation by service in [`overview`].
pub(crate) const BY_SERVICE: &str = "by_service";
/// Name of the aggregation by error type within [`BY_SERVICE`].
pub(crate) const BY_ERROR: &str = "by_error";

/// Body of a dry run's search: how many dead letters there are by service and error type, and the first `size`.
pub(crate) fn overview(indices: &[String], filter: &Filter, size: usize) -> Value {
    let mut body = page(indices, filter, None, size);
    if let Some(members) = body.as_object_mut() {
        members.insert("track_total_hits".into(), true.into());
        members.insert(
            "aggs".into(),
            json!({BY_SERVICE: {
                "terms": {"field": "service_name", "missing": NONE, "size": 1000},
                "aggs": {BY_ERROR: {"terms": {"field": "error.type", "missing": NONE, "size": 1000}}},
            }}),
        );
    }
    body
}

/// The conditions of documents in `indices` and of `records`, with those of the document itself in between.
pub(crate) fn conditions(
    indices: Option<&[String]>,
    records: &Records,
    own: impl IntoIterator<Item = Value>,
) -> Vec<Value> {
    let mut conditions: Vec<_> =
        indices.map(|indices| json!({"terms": {"_index": indices}})).into_iter().collect();
    conditions.extend(of_services(&records.services));
    conditions.extend(own);
    conditions.extend(time_range(records.from.as_deref(), records.to.as_deref()));
    if !records.ids.is_empty() {
        conditions.push(json!({"ids": {"values": records.ids}}));
    }
    conditions
}

/// The condition that the field `name` has one of these values; `None` without any.
pub(crate) fn one_of(name: &str, values: &[String]) -> Option<Value> {
    (!values.is_empty()).then(|| json!({"terms": {name: values}}))
}

/// The condition that `@timestamp` is not before `from`, and before `to`; `None` without either.
fn time_range(from: Option<&str>, to: Option<&str>) -> Option<Value> {
    let mut range = serde_json::Map::new();
    for (name, time) in [("gte", from), ("lt", to)] {
        if let Some(time) = time {
            range.insert(name.into(), time.into());
        }
    }
    (!range.is_empty()).then(|| json!({"range": {"@timestamp": range}}))
}

/// The condition that a document is of one of these services or topics; `None` without any.
fn of_services(services: &[String]) -> Option<Value> {
    let either = || json!([{"terms": {"service_name": services}}, {"terms": {"service": services}}]);
    (!services.is_empty()).then(|| json!({"bool": {"minimum_should_match": 1, "should": either()}}))
}

fn query(indices: Option<&[String]>, filter: &Filter) -> Value {
    let conditions = conditions(indices, &filter.records, one_of("error.type", &filter.error_types));
    json!({"bool": {"filter": conditions}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix() -> IndexPrefix {
        IndexPrefix::parse("dead").unwrap()
    }

    fn days() -> Vec<String> {
        vec!["dead-2026.03.01".into()]
    }

    #[test]
    fn indices_of_a_longer_prefix_are_left_out() {
        assert!(is_daily(&prefix(), "dead-2026.03.01"));
        for other in
            ["dead-strict-2026.03.01", "dead-2026.03", "dead2026.03.01", "dead-2026.03.0x", "dead-2026-03-01"]
        {
            assert!(!is_daily(&prefix(), other), "{other}");
        }
    }

    #[test]
    fn all_conditions_must_hold() {
        let filter = Filter {
            records: Records {
                services: vec!["order".into()],
                from: Some("now-1d".into()),
                to: Some("2026-03-01".into()),
                ids: vec!["t-0-1-2".into()],
            },
            error_types: vec!["a".into(), "b".into()],
        };
        let expected = json!({"bool": {"filter": [
            {"terms": {"_index": ["dead-2026.03.01"]}},
            {"bool": {"minimum_should_match": 1, "should": [
                {"terms": {"service_name": ["order"]}}, {"terms": {"service": ["order"]}}]}},
            {"terms": {"error.type": ["a", "b"]}},
            {"range": {"@timestamp": {"gte": "now-1d", "lt": "2026-03-01"}}},
            {"ids": {"values": ["t-0-1-2"]}},
        ]}});
        assert_eq!(query(Some(&days()), &filter), expected);
    }

    #[test]
    fn without_conditions_every_dead_letter_of_the_indices_is_found() {
        let expected = json!({"bool": {"filter": [{"terms": {"_index": ["dead-2026.03.01"]}}]}});
        assert_eq!(query(Some(&days()), &Filter::default()), expected);
        assert!(search_path(&prefix()).starts_with("dead-*/_search?"));
    }

    #[test]
    fn a_page_continues_behind_the_last_hit() {
        let after = [json!(5), Value::Null, json!(0), json!(7), json!(3)];
        let body = page(&days(), &Filter::default(), Some(&after), 10);
        assert_eq!((&body["search_after"], &body["size"]), (&json!(after), &json!(10)));
        assert_eq!(body["sort"].as_array().map(Vec::len), Some(after.len()));
        assert_eq!(page(&days(), &Filter::default(), None, 10).get("search_after"), None);
    }
}
