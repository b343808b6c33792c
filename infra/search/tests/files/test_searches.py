"""The searches that are derived from saved objects, and the sample events that they are tried on."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

import kql
import rows
from applied import FOLDER, saved_objects
from fields import FieldError
from panels import Panel, PanelError, TimeRange, auto_interval, panels, time_range
from sample_events import a_day, enriched

REPOSITORY = FOLDER.parents[1]
PARITY = REPOSITORY / "tests" / "fixtures" / "parity"
NOW = datetime(2026, 11, 24, 18, 0, tzinfo=UTC)
LAST_DAY = TimeRange(NOW - timedelta(days=1), NOW)
KEYWORD, TEXT = ({"searchable": True, "aggregatable": aggregatable} for aggregatable in (True, False))
FIELDS = {
    "fields": {
        "@timestamp": {"date": KEYWORD}, "service_name": {"keyword": KEYWORD}, "reason": {"text": TEXT},
        "total": {"double": KEYWORD, "text": TEXT},
    }
}  # fmt: skip
COUNT = {"id": "1", "enabled": True, "type": "count", "schema": "metric", "params": {}}
EVERYTHING = {"query": "", "language": "kuery"}


def chart(*aggs: dict, kind: str = "table", query: dict = EVERYTHING) -> Panel:
    return Panel("chart", "a chart", kind, {}, "events-*", [query], [COUNT, *aggs])


def terms(number: str, field: str, by: str = "1") -> dict:
    params = {"field": field, "orderBy": by, "order": "desc", "size": 5, "missingBucket": False}
    return {"id": number, "enabled": True, "type": "terms", "schema": "bucket", "params": params}


def newest(number: str) -> dict:
    return {"id": number, "enabled": True, "type": "max", "schema": "metric", "params": {"field": "@timestamp"}}


def test_metrics_are_in_the_innermost_bucket_and_beside_it_where_it_is_ordered_by_them():
    body = chart(terms("2", "service_name", by="4"), terms("3", "service_name"), newest("4")).search(FIELDS, LAST_DAY)
    latest = {"max": {"field": "@timestamp"}}
    inner = {"terms": {"field": "service_name", "order": {"_count": "desc"}, "size": 5}, "aggs": {"4": latest}}
    outer = {"field": "service_name", "order": {"4": "desc"}, "size": 5}
    assert body["aggs"] == {"2": {"terms": outer, "aggs": {"4": latest, "3": inner}}}
    assert body["size"] == 0


def test_the_query_has_the_time_range_and_the_queries_of_every_saved_object():
    lucene = {"query": "reason:/a b:c/ OR reason:x", "language": "lucene"}
    query = chart(query=lucene).search(FIELDS, LAST_DAY)["query"]["bool"]
    bounds = {"gte": "2026-11-23T18:00:00.000Z", "lte": "2026-11-24T18:00:00.000Z", "format": "strict_date_optional_time"}
    assert query["filter"] == [{"range": {"@timestamp": bounds}}]
    assert query["must"] == [{"query_string": {"query": lucene["query"], "analyze_wildcard": True, "time_zone": "UTC"}}]


@pytest.mark.parametrize(
    ("panel", "problem"),
    [
        (chart(terms("2", "sevice_name")), "the mapping has no field `sevice_name`"),
        (chart(terms("2", "reason")), "`reason` can't be aggregated"),
        (chart(terms("2", "total")), "`total` has several types: double, text"),
        (chart(query={"query": "sevice:x", "language": "kuery"}), "the mapping has no field `sevice`"),
        (chart(query={"query": "sevice:/x/", "language": "lucene"}), "the mapping has no field `sevice`"),
        (Panel("list", "a list", "search", {}, "events-*", columns=["gone"]), "the mapping has no field `gone`"),
        (Panel("list", "a list", "search", {}, "events-*", sort=[["reason", "asc"]]), "`reason` can't be aggregated"),
    ],
)  # fmt: skip
def test_a_field_that_can_not_be_used_is_an_error(panel, problem):
    with pytest.raises(FieldError, match=re.escape(problem)):
        panel.search(FIELDS, LAST_DAY)


def test_what_is_not_translated_is_an_error():
    with pytest.raises(PanelError, match="`geohash_grid` is not known"):
        chart(terms("2", "service_name") | {"type": "geohash_grid"}).search(FIELDS, LAST_DAY)
    with pytest.raises(PanelError, match="ordered by 9, which is none of its metrics"):
        chart(terms("2", "service_name", by="9")).search(FIELDS, LAST_DAY)
    for query in ("total > 5", "service_name", "service_name:", "a:b c", "(a:b"):
        with pytest.raises(kql.KqlError):
            kql.translated(query)


def test_kql_is_translated_as_the_products_do():
    def should(*queries: dict) -> dict:
        return {"bool": {"should": list(queries), "minimum_should_match": 1}}

    a, b = should({"match": {"t": "a"}}), should({"match": {"t": "b"}})
    assert kql.translated("") == {"match_all": {}}
    assert kql.translated("t:*") == should({"exists": {"field": "t"}})
    assert kql.translated('t:"a b"') == should({"match_phrase": {"t": "a b"}})
    assert kql.translated("t:(a or b)") == should(a, b)
    assert kql.translated("t:a and not t:b") == {"bool": {"filter": [a, {"bool": {"must_not": b}}]}}
    assert kql.fields_of('x.y:a and not (z:"b:c")') == {"x.y", "z"}


@pytest.mark.parametrize(("hours", "interval"), [(0.25, "30s"), (1, "1m"), (24, "30m"), (24 * 7, "3h"), (24 * 90, "1d")])
def test_auto_is_the_interval_that_gives_about_fifty_bars(hours, interval):
    assert auto_interval(TimeRange(NOW - timedelta(hours=hours), NOW)) == interval


def test_a_dashboard_opens_with_the_last_day_and_each_panel_has_its_data_view():
    objects = saved_objects("opensearch.ndjson")
    (dashboard,) = (item for item in objects if item["type"] == "dashboard")
    assert time_range(dashboard, NOW) == LAST_DAY
    views = {panel.id.removeprefix("shop.events-"): panel.index for panel in panels(objects, dashboard)}
    assert views["failures-by-type"] == "shop.events-*"
    assert views["dead-letters-list"] == "refused-shop-*"
    assert views["guide"] is None


def test_columns_are_buckets_before_metrics_and_a_table_is_sorted_by_its_column():
    panel = Panel("t", "t", "table", {}, "e", aggs=[newest("1"), terms("2", "service_name"), COUNT], sorted_by=(1, "asc"))
    buckets = [
        {"key": "order", "doc_count": 3, "1": {"value": 20}},
        {"key": "inventory", "doc_count": 4, "1": {"value": 10}},
    ]
    table = rows.table(panel, {"hits": {"total": {"value": 7}}, "aggregations": {"2": {"buckets": buckets}}})
    assert table == rows.Table(["terms", "max", "count"], [["inventory", 10, 4], ["order", 20, 3]], 7)


@pytest.mark.parametrize("name", ["headers", "inventory-topic", "notification-topic", "text", "tombstone"])
def test_sample_documents_are_those_that_the_function_makes(name):
    case = json.loads((PARITY / f"{name}.json").read_text())
    document = enriched(case["record"])
    assert document.source == case["expected"]["document"]
    assert (document.id, document.day) == (case["expected"]["id"], case["expected"]["index"].removeprefix("microservices-"))


def test_sample_events_are_those_of_the_event_producer():
    story = (REPOSITORY / "localstack" / "event-producer" / "src" / "generate" / "story.rs").read_text()
    kinds = {each.source["eventType"] for each in a_day(NOW) if "eventType" in each.source}
    assert len(kinds) > 10
    assert all(f'"{kind}"' in story for kind in kinds)
