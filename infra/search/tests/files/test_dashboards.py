"""Saved objects have the format that OpenSearch Dashboards and Kibana export and import. Neither runs here.

https://docs.opensearch.org/latest/dashboards/management/saved-objects/ and
https://www.elastic.co/docs/api/doc/kibana/operation/operation-post-saved-objects-import
"""

import json
import re

import pytest

import render
from applied import DEAD_LETTERS, EVENTS, FAILURE, FOLDER, fields_of, filled, index_of, saved_objects
from shape import check

FILES = ("opensearch.ndjson", "kibana.ndjson")
# The newest migration of each type in OpenSearch Dashboards 3, in src/plugins/{data,discover,visualizations,dashboard}/server/
# saved_objects, which rejects newer objects. Kibana migrates older ones.
VERSIONS = {"index-pattern": "7.6.0", "search": "7.9.3", "visualization": "7.10.0", "dashboard": "7.9.3"}
QUERY = {"query": str, "language": {"kuery", "lucene"}}
SEARCH_SOURCE = {
    "query": QUERY,
    "filter": [{}],
    "indexRefName?": {"kibanaSavedObjectMeta.searchSourceJSON.index"},
    "highlightAll?": bool,
    "version?": bool,
}


def json_text(schema):
    """A string that contains JSON."""

    def judge(value, where):
        check(value, str, where)
        check(json.loads(value), schema, f"{where}:json")

    return judge


META = {"searchSourceJSON": json_text(SEARCH_SOURCE)}
AGGREGATIONS = {"count", "cardinality", "max", "min", "date_histogram", "terms", "filters"}
VIS_STATE = {
    "title": str,
    "type": {"histogram", "line", "table", "pie", "metric", "markdown"},
    "params": dict,
    "aggs": [
        {"id": re.compile(r"\d+"), "enabled": bool, "type": AGGREGATIONS, "schema": {"metric", "segment", "group", "bucket"}, "params": dict}
    ],
}  # fmt: skip
# Of OpenSearch Dashboards and of Kibana.
SORTED = {
    "sortColumn": {"colIndex": int, "direction": {"asc", "desc"}},
    "params": {"sort": {"columnIndex": int, "direction": {"asc", "desc"}}},
}
PANEL = {
    "version": str,
    "gridData": {"x": int, "y": int, "w": int, "h": int, "i": str},
    "panelIndex": str,
    "embeddableConfig": {},
    "title": str,
    "panelRefName": re.compile(r"panel_\d+"),
}
ATTRIBUTES = {
    "index-pattern": {"title": str, "timeFieldName": {"@timestamp"}, "name?": str},
    "search": {
        "title": str,
        "description": str,
        "hits": int,
        "columns": [str],
        "sort": [[str]],
        "version": int,
        "kibanaSavedObjectMeta": META,
    },
    "visualization": {
        "title": str,
        "description": str,
        "version": int,
        "visState": json_text(VIS_STATE),
        "uiStateJSON": json_text({"vis?": SORTED}),
        "savedSearchRefName?": {"search_0"},
        "kibanaSavedObjectMeta": META,
    },
    "dashboard": {
        "title": str,
        "description": str,
        "hits": int,
        "version": int,
        "panelsJSON": json_text([PANEL]),
        "optionsJSON": json_text({"useMargins": bool, "hidePanelTitles": bool}),
        "timeRestore": bool,
        "timeFrom": str,
        "timeTo": str,
        "refreshInterval": {"pause": bool, "value": int},
        "kibanaSavedObjectMeta": META,
    },
}
AGGREGATABLE = {"keyword", "date", "integer", "long", "double"}


@pytest.fixture(params=FILES)
def file(request):
    return request.param


@pytest.fixture
def objects(file) -> list[dict]:
    return saved_objects(file)


def of_type(objects: list[dict], kind: str) -> list[dict]:
    found = [item for item in objects if item["type"] == kind]
    assert found, f"no {kind}"
    return found


def test_every_line_is_an_object_and_not_an_export_summary(file, objects):
    text = filled(f"dashboards/{file}")
    assert text.endswith("\n") and "\n\n" not in text
    assert all("exportedCount" not in item for item in objects)


def test_objects_match_the_schema(file, objects):
    core_version = {"coreMigrationVersion": {"8.0.0"}} if file == "kibana.ndjson" else {}
    for item in objects:
        kind = item["type"]
        schema = {
            "id": str,
            "type": set(ATTRIBUTES),
            "attributes": ATTRIBUTES[kind],
            "references": [{"id": str, "name": str, "type": set(ATTRIBUTES)}],
            "migrationVersion": {kind: {VERSIONS[kind]}},
            **core_version,
        }
        check(item, schema, item["id"])
        names = "name" in item["attributes"]
        assert names == (file == "kibana.ndjson" and kind == "index-pattern"), "only Kibana's data views have a name"


def test_ids_have_the_prefix_and_are_unique(objects):
    keys = [(item["type"], item["id"]) for item in objects]
    assert len(set(keys)) == len(keys)
    assert all(name.startswith("shop.events-") for _, name in keys)


def test_every_reference_resolves_and_is_used(objects):
    known = set()
    for item in objects:
        for reference in item["references"]:
            assert (reference["type"], reference["id"]) in known, (
                f"{item['id']} refers to {reference}, which is not on an earlier line"
            )
        known.add((item["type"], item["id"]))
        attributes = item["attributes"]
        source = json.loads(attributes.get("kibanaSavedObjectMeta", {}).get("searchSourceJSON", "{}"))
        panels = json.loads(attributes.get("panelsJSON", "[]"))
        used = [
            source.get("indexRefName"),
            attributes.get("savedSearchRefName"),
            *(panel["panelRefName"] for panel in panels),
        ]
        assert sorted(filter(None, used)) == sorted(reference["name"] for reference in item["references"]), item["id"]


def test_data_views_match_the_indices(objects):
    titles = [item["attributes"]["title"] for item in of_type(objects, "index-pattern")]
    assert titles == [EVENTS, DEAD_LETTERS]


def test_visualizations_use_existing_fields(file, objects):
    for item in of_type(objects, "visualization"):
        state = json.loads(item["attributes"]["visState"])
        assert state["title"] == item["attributes"]["title"]
        index = index_of(item, objects)
        assert (index is None) == (state["type"] == "markdown")
        ids = [agg["id"] for agg in state["aggs"]]
        assert len(set(ids)) == len(ids)
        for agg in state["aggs"]:
            params = agg["params"]
            if agg["type"] == "count":
                assert "field" not in params
                continue
            if agg["type"] == "filters":
                check(params, {"filters": [{"input": QUERY, "label": str}]}, item["id"])
                labels = [each["label"] for each in params["filters"]]
                assert len(set(labels)) == len(labels), "the products keep one of two with the same label"
                continue
            kind = fields_of(index).get(params["field"])
            assert kind in AGGREGATABLE, f"{item['id']}: {params['field']} is {kind}"
            if agg["type"] == "date_histogram":
                assert kind == "date"
                mine, other = "useNormalizedOpenSearchInterval", "useNormalizedEsInterval"
                mine, other = (mine, other) if file == "opensearch.ndjson" else (other, mine)
                assert params[mine] is True and other not in params
                # `auto` needs the time range, which is only on @timestamp.
                assert params["field"] == "@timestamp" or params["interval"] != "auto"
            if agg["type"] == "terms":
                metric = next(each for each in state["aggs"] if each["id"] == params["orderBy"])
                assert metric["schema"] == "metric" and params["order"] in ("asc", "desc") and params["size"] > 0
        schemas = [agg["schema"] for agg in state["aggs"]]
        if state["type"] in ("histogram", "line"):
            assert schemas == ["metric", "segment", "group"] and state["params"]["type"] == state["type"]
            (series,) = state["params"]["seriesParams"]
            assert series["data"]["id"] in ids
            assert series["valueAxis"] in [axis["id"] for axis in state["params"]["valueAxes"]]


def test_saved_searches_show_existing_fields(objects):
    for item in of_type(objects, "search"):
        known = fields_of(index_of(item, objects))
        assert item["attributes"]["columns"] and all(column in known for column in item["attributes"]["columns"])
        ((field, order),) = item["attributes"]["sort"]
        assert known[field] == "date" and order in ("asc", "desc")
        query = json.loads(item["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])["query"]
        for name in re.findall(r"([\w@.]+):", query["query"]):
            assert name in known


def test_a_story_starts_with_its_first_event(objects):
    (story,) = (item for item in of_type(objects, "search") if item["id"] == "shop.events-order-story")
    assert story["attributes"]["sort"] == [["@timestamp", "asc"]]
    assert {"service_name", "eventType", "correlation_id", "orderId"} <= set(story["attributes"]["columns"])


def test_failures_match_those_of_the_monitor(objects):
    (failures,) = (item for item in of_type(objects, "search") if item["id"] == "shop.events-failures")
    query = json.loads(failures["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])["query"]
    assert query == {
        "language": "lucene",
        "query": f"eventType:/{FAILURE.pattern}/ OR tags:(_jsonparsefailure OR _timestampoutofrange)",
    }


def test_the_dashboard_shows_everything_without_overlaps(objects):
    (dashboard,) = of_type(objects, "dashboard")
    panels = json.loads(dashboard["attributes"]["panelsJSON"])
    taken = set()
    for panel in panels:
        grid = panel["gridData"]
        assert grid["i"] == panel["panelIndex"] and grid["x"] + grid["w"] <= 48
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken, f"panel {panel['panelIndex']} covers another"
        taken |= cells
    shown = {reference["id"] for reference in dashboard["references"]}
    assert {item["id"] for item in of_type(objects, "visualization")} <= shown, (
        "a visualization is not on the dashboard"
    )
    titles = [panel["title"] for panel in panels]
    assert len(set(titles)) == len(titles)
    for question in ("How many events", "Which service fails", "What is late", "Dead letters", "Conflicts", "The story"):
        assert any(title.startswith(question) for title in titles), question


def test_both_products_get_the_same_objects():
    first, second = (saved_objects(name) for name in FILES)
    assert [(item["type"], item["id"]) for item in first] == [(item["type"], item["id"]) for item in second]


def test_the_files_are_generated_from_the_description():
    for dialect in render.DIALECTS:
        text = (FOLDER / "dashboards" / dialect.file).read_text()
        assert text == render.render(dialect), (
            f"{dialect.file} is outdated: run python infra/search/dashboards/render.py"
        )
