"""The searches and Painless conditions of the monitors on a real OpenSearch.

    stack.py with --servers opensearch -- pytest infra/search/tests/test_monitors_opensearch.py

The alerting plugin is not published on its own, so it does not run here. The tests send the search as the monitor would.
The script API then runs the condition on the response. For a bucket-level monitor, the condition runs as the bucket selector
that the plugin would create.
"""

import json
from datetime import UTC, datetime, timedelta

import pytest

from applied import MONITORS, VALUES, loaded, saved_objects
from server import Events, Server, own_prefixes, own_values, running


@pytest.fixture(scope="module")
def server() -> Server:
    return running("opensearch")


@pytest.fixture
def values(server):
    yield from own_values(server)


@pytest.fixture
def events(server, values) -> Events:
    """Events in indices with the mappings of the real templates."""
    bodies = {
        prefix: {"mappings": loaded(file)["template"]["mappings"], "settings": {"mapping.total_fields.limit": 5000}}
        for prefix, file in (
            ("INDEX_PREFIX", "index-template.json"),
            ("DEAD_LETTER_PREFIX", "dead-letter-template.json"),
        )
    }
    return Events(server, values, bodies)


def triggers(server: Server, name: str, values: dict) -> bool:
    """Whether the query-level monitor would raise an alert."""
    monitor = loaded(f"monitors/opensearch/{name}.json", values)
    search, (trigger,) = monitor["inputs"][0]["search"], monitor["triggers"]
    result = server.must("POST", f"/{','.join(search['indices'])}/_search", search["query"])
    source = trigger["query_level_trigger"]["condition"]["script"]["source"]
    script = {"lang": "painless", "source": f"def ctx = params.ctx; {source}", "params": {"ctx": {"results": [result]}}}
    return {"true": True, "false": False}[
        server.must("POST", "/_scripts/painless/_execute", {"script": script})["result"]
    ]


def silent(server: Server, values: dict) -> list[str]:
    """The services for which the bucket-level monitor would raise an alert."""
    monitor = loaded("monitors/opensearch/silent-service.json", values)
    search, (trigger,) = monitor["inputs"][0]["search"], monitor["triggers"]
    condition = dict(trigger["bucket_level_trigger"]["condition"])
    parent = condition.pop("parent_bucket_path")
    search["query"]["aggregations"][parent]["aggregations"]["trigger"] = {"bucket_selector": condition}
    result = server.must("POST", f"/{','.join(search['indices'])}/_search", search["query"])
    return [bucket["key"]["service_name"] for bucket in result["aggregations"][parent]["buckets"]]


@pytest.mark.parametrize("name", [name for name in MONITORS if name != "silent-service"])
def test_no_monitor_triggers_before_indices_exist(server, name):
    assert triggers(server, name, VALUES | own_prefixes()) is False


def test_a_service_that_falls_silent_is_named(server, events, values):
    events.add(3, service_name="order")
    events.add(3, service_name="inventory", minutes_ago=60)
    events.add(3, service_name="gone", minutes_ago=60 * 30)
    assert silent(server, values) == ["inventory"]
    events.add(1, service_name="inventory", minutes_ago=24)
    assert silent(server, values) == []


def test_failures_are_reported_above_the_minimum_share_and_number(server, events, values):
    events.add(3, eventType="PaymentFailed")
    assert triggers(server, "error-ratio", values) is False, "three events are too few"
    events.add(30)
    events.add(100, minutes_ago=60, eventType="PaymentFailed")
    assert triggers(server, "error-ratio", values) is True
    events.add(30)
    assert triggers(server, "error-ratio", values) is False, "3 of 63 is less than 5 %"
    events.add(1, tags=["_jsonparsefailure"])
    assert triggers(server, "error-ratio", values) is True
    events.add(20, tags=["_tombstone"])
    assert triggers(server, "error-ratio", values) is False


def test_dead_letters_are_reported(server, events, values):
    events.add(5)
    events.add(1, prefix="DEAD_LETTER_PREFIX", minutes_ago=60)
    assert triggers(server, "dead-letters", values) is False
    old = (datetime.now(UTC) - timedelta(days=3)).isoformat(timespec="milliseconds")
    events.add(1, prefix="DEAD_LETTER_PREFIX", **{"@timestamp": old})
    assert triggers(server, "dead-letters", values) is True, "a late event that is rejected now"


def test_a_stalled_pipeline_is_reported(server, events, values):
    assert triggers(server, "ingestion-delay", values) is False
    events.add(5, minutes_ago=20)
    assert triggers(server, "ingestion-delay", values) is True
    events.add(1, minutes_ago=2)
    assert triggers(server, "ingestion-delay", values) is False


def test_the_dashboard_shows_the_failures_that_the_monitor_counts(server, events, values):
    """Runs the Lucene query of the saved search as Dashboards sends it."""
    events.add(2, eventType="PaymentFailed")
    events.add(1, tags=["_timestampoutofrange"])
    events.add(4)
    events.add(1, tags=["_tombstone"])
    for file in ("opensearch.ndjson", "kibana.ndjson"):
        (item,) = (each for each in saved_objects(file, values) if each["id"] == f"{values['INDEX_PREFIX']}-failures")
        query = json.loads(item["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])["query"]
        body = {"query": {"query_string": {"query": query["query"], "analyze_wildcard": True}}}
        found = server.must("POST", f"/{values['INDEX_PREFIX']}-*/_search", body)
        assert found["hits"]["total"]["value"] == 3
