"""Monitors match the schemas of the alerting plugin and of Watcher. Neither runs here. ../test_elasticsearch_6.py runs watches.

https://docs.opensearch.org/latest/observing-your-data/alerting/api/ and
https://www.elastic.co/guide/en/elasticsearch/reference/8.19/watcher-api-put-watch.html
"""

import json
import re

import pytest

from applied import DEAD_LETTERS, EVENTS, FAILURE, MONITORS, fields_of, loaded
from shape import Mismatch, check

KEYWORD, DATE = {"keyword"}, {"date"}
NOW = re.compile(r"now(-\d+(m|h|d))?")
FILTERS = (
    # The form that alerting returns, so that an existing monitor can be compared.
    {"range": {str: {"from": NOW, "to": (NOW, None), "include_lower": {True}, "include_upper": {True}}}},
    {"range": {str: {"gte?": NOW, "lte?": NOW}}},
    {"regexp": {str: {"value": str}}},
    {"terms": {str: [str]}},
    {"bool": lambda value, where: check(value, BOOL, where)},
)
BOOL = {"filter?": [FILTERS], "should?": [FILTERS], "minimum_should_match?": (int, {"1"})}
INNER = {str: lambda value, where: check(value, AGGREGATION, where)}
NESTED = {"aggregations?": INNER, "aggs?": INNER}
AGGREGATION = (
    {"filter": FILTERS, **NESTED},
    {"terms": {"field": str, "size": int}, **NESTED},
    {"composite": {"size": int, "sources": [{str: {"terms": {"field": str}}}]}, **NESTED},
    {"max": {"field": str}},
    {"bucket_selector": {"buckets_path": {str: str}, "script": str}},
)
SEARCH = {"size": {0}, "query?": {"bool": BOOL}, **NESTED}
SCRIPT = {"script": {"source": str, "lang": {"painless"}}}
TRIGGER = {"id?": str, "name": str, "severity": set("12345"), "actions": [{}]}
MONITOR = {
    "type": {"monitor"},
    "name": str,
    "monitor_type": {"query_level_monitor", "bucket_level_monitor"},
    "enabled": bool,
    "schedule": {"period": {"interval": int, "unit": {"MINUTES", "HOURS", "DAYS"}}},
    "inputs": [{"search": {"indices": [str], "query": SEARCH}}],
    "triggers": [
        (
            {"query_level_trigger": {**TRIGGER, "condition": SCRIPT}},
            {
                "bucket_level_trigger": {
                    **TRIGGER,
                    "condition": {
                        **SCRIPT,
                        "parent_bucket_path": str,
                        "buckets_path": {str: str},
                        "gap_policy?": {"skip", "insert_zeros"},
                    },
                }
            },
        )
    ],
}
WATCH = {
    "metadata?": {str: str},
    "trigger": {"schedule": {"interval": re.compile(r"\d+[smhd]")}},
    "input": {"search": {"request": {"indices": [str], "body": SEARCH}}},
    "condition": (SCRIPT, {"compare": {str: {str: int}}}),
    "throttle_period?": re.compile(r"\d+[smhd]"),
    "actions": {str: {"logging": {"text": str, "level?": {"error", "warn", "info", "debug", "trace"}}}},
}
INDEX = {"dead-letters": DEAD_LETTERS}


def aggregations(body: dict) -> dict:
    return body.get("aggregations") or body.get("aggs") or {}


def search_of(engine: str, name: str) -> tuple[list[str], dict]:
    """The indices and the body of the search of a monitor."""
    body = loaded(f"monitors/{engine}/{name}.json")
    if engine == "opensearch":
        (each,) = body["inputs"]
        return each["search"]["indices"], each["search"]["query"]
    request = body["input"]["search"]["request"]
    return request["indices"], request["body"]


def conditions(engine: str, name: str) -> list[str]:
    """The text of each condition."""
    body = loaded(f"monitors/{engine}/{name}.json")
    if engine == "elasticsearch":
        return [json.dumps(body["condition"])]
    return [json.dumps(inner["condition"]) for trigger in body["triggers"] for inner in trigger.values()]


def uses(value, kinds: dict | None = None):
    """Every field in a search body, with its allowed types."""
    kinds = {"range": DATE, "regexp": KEYWORD, "terms": KEYWORD, "max": DATE} if kinds is None else kinds
    if isinstance(value, list):
        for each in value:
            yield from uses(each, kinds)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key in kinds and isinstance(inner, dict) and "field" in inner:
                yield inner["field"], kinds[key]
            elif key in kinds and isinstance(inner, dict) and not inner.keys() & {"field", "terms", "filter"}:
                yield from ((field, kinds[key]) for field in inner)
            else:
                yield from uses(inner, kinds)


def paths(aggs: dict, prefix: str = ""):
    """The path of every aggregation in a response."""
    for name, inner in aggs.items():
        yield prefix + name
        yield from paths(aggregations(inner), f"{prefix}{name}.")


@pytest.mark.parametrize("name", MONITORS)
def test_monitors_match_the_schema(name):
    monitor = loaded(f"monitors/opensearch/{name}.json")
    check(monitor, MONITOR)
    # Provisioning finds its monitors by this name.
    assert monitor["name"].startswith("shop.events: ")
    assert len(monitor["inputs"]) == 1 and monitor["triggers"]
    kind = monitor["monitor_type"].removesuffix("_monitor")
    assert all(trigger.keys() == {f"{kind}_trigger"} for trigger in monitor["triggers"])
    ids = [inner["id"] for trigger in monitor["triggers"] for inner in trigger.values()]
    assert len(set(ids)) == len(ids)
    # The plugin uses the id as the name of an aggregation.
    assert not any(re.search(r"[\[\]>]", each) for each in ids)


@pytest.mark.parametrize("name", MONITORS)
def test_watches_match_the_schema(name):
    watch = loaded(f"monitors/elasticsearch/{name}.json")
    check(watch, WATCH)
    assert watch["metadata"]["name"] == loaded(f"monitors/opensearch/{name}.json")["name"]


@pytest.mark.parametrize("engine", ["opensearch", "elasticsearch"])
@pytest.mark.parametrize("name", MONITORS)
def test_every_field_is_in_the_index_template_with_an_allowed_type(engine, name):
    indices, body = search_of(engine, name)
    assert indices == [INDEX.get(name, EVENTS)]
    known, used = fields_of(indices[0]), list(uses(body))
    assert used
    for field, kinds in used:
        assert known.get(field) in kinds, f"{field} is {known.get(field)}, must be one of {kinds}"


def test_uses_finds_all_fields():
    body = {"query": {"bool": {"filter": [{"range": {"a": {"gte": "now"}}}, {"terms": {"b": ["x"]}}]}},
            "aggs": {"x": {"composite": {"sources": [{"c": {"terms": {"field": "c"}}}]}, "aggs": {"y": {"max": {"field": "d"}}}}}}  # fmt: skip
    assert sorted(field for field, _ in uses(body)) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("engine", ["opensearch", "elasticsearch"])
@pytest.mark.parametrize("name", MONITORS)
def test_conditions_and_texts_use_aggregations_of_the_search(engine, name):
    _, body = search_of(engine, name)
    known = set(paths(aggregations(body)))
    for text in conditions(engine, name):
        for variable in re.findall(r"\b(?:recent|day|found)\.((?:\w+\.)*)doc_count", text):
            path = variable.removesuffix(".")
            assert not path or any(each == path or each.endswith("." + path) for each in known), (
                f"{path} is not in {known}"
            )
        for first in re.findall(r"aggregations\.(\w+)|found\.(\w+)", text):
            assert "".join(first) in known
    texts = loaded(f"monitors/{engine}/{name}.json").get("actions", {})
    for path in re.findall(
        r"\{\{#?ctx\.payload\.aggregations\.([\w.]+?)(?:\.buckets|\.doc_count|\.value_as_string)?\}\}", str(texts)
    ):
        assert path in known, f"{path} is not in {known}"
    for opened in re.findall(r"\{\{#([\w.]+)\}\}", str(texts)):
        assert "{{/" + opened + "}}" in str(texts)


@pytest.mark.parametrize("engine", ["opensearch", "elasticsearch"])
@pytest.mark.parametrize("name", MONITORS)
def test_a_cluster_without_indices_raises_no_alert(engine, name):
    """The response of a search over no index has no aggregations."""
    for text in conditions(engine, name):
        if "parent_bucket_path" not in text and '"compare"' not in text:
            assert re.search(r"found == null|found != null", text), text


def test_bucket_triggers_use_metrics_of_their_buckets():
    _, body = search_of("opensearch", "silent-service")
    (trigger,) = loaded("monitors/opensearch/silent-service.json")["triggers"]
    condition = trigger["bucket_level_trigger"]["condition"]
    parent = body["aggregations"][condition["parent_bucket_path"]]
    assert parent["composite"]["sources"] == [{"service_name": {"terms": {"field": "service_name"}}}]
    for variable, path in condition["buckets_path"].items():
        assert f"params.{variable}" in condition["script"]["source"]
        assert path.removesuffix(">_count") in parent["aggregations"]


def test_both_engines_run_the_same_search():
    def normal(value):
        if isinstance(value, dict) and "include_lower" in value:
            return {"gte": value["from"]} | ({"lte": value["to"]} if value["to"] else {})
        if isinstance(value, dict):
            return {"aggs" if key == "aggregations" else key: normal(inner) for key, inner in value.items()}
        return [normal(each) for each in value] if isinstance(value, list) else 1 if value == "1" else value

    for name in ("error-ratio", "dead-letters", "ingestion-delay"):
        assert normal(list(search_of("opensearch", name))) == normal(list(search_of("elasticsearch", name)))
    opensearch, elasticsearch = (
        normal(search_of(engine, "silent-service")[1]) for engine in ("opensearch", "elasticsearch")
    )
    assert opensearch["query"] == elasticsearch["query"]
    inner = dict(elasticsearch["aggs"]["services"]["aggs"])
    assert inner.pop("silent") == {
        "bucket_selector": {"buckets_path": {"recent": "recent>_count"}, "script": "params.recent == 0"}
    }
    assert inner == opensearch["aggs"]["services"]["aggs"]


def test_monitors_have_the_form_that_alerting_returns():
    """Alerting stores a search in OpenSearch's form: named bounds, clause counts as strings, `aggregations` in full."""
    for name in MONITORS:
        text = json.dumps(search_of("opensearch", name)[1])
        assert not re.search(r'"(gte?|lte?|aggs)":|"minimum_should_match": \d', text)


def test_the_silence_has_the_configured_length():
    for engine in ("opensearch", "elasticsearch"):
        assert '"now-25m"' in json.dumps(search_of(engine, "silent-service")[1])


def test_no_monitor_sends_notifications_by_default():
    for name in MONITORS:
        for trigger in loaded(f"monitors/opensearch/{name}.json")["triggers"]:
            assert all(inner["actions"] == [] for inner in trigger.values())
        for action in loaded(f"monitors/elasticsearch/{name}.json")["actions"].values():
            assert action.keys() == {"logging"}


def test_only_failure_types_and_tags_count_as_failures():
    _, body = search_of("opensearch", "error-ratio")
    by_type, by_tag = body["aggregations"]["recent"]["aggregations"]["failures"]["filter"]["bool"]["should"]
    assert by_type["regexp"]["eventType"]["value"] == FAILURE.pattern
    for kind in (
        "OrderPaymentFailed",
        "payment.failed",
        "PAYMENT_FAILED",
        "EmailBounced",
        "order-rejected",
        "ErrorRaised",
    ):
        assert FAILURE.fullmatch(kind), kind
    for kind in ("OrderCreated", "StockReserved", "OrderCancelled", "EmailSent"):
        assert not FAILURE.fullmatch(kind), kind
    # A tombstone is not a failure.
    assert by_tag == {"terms": {"tags": ["_jsonparsefailure", "_timestampoutofrange"]}}


@pytest.mark.parametrize(
    "break_it",
    [
        lambda monitor: monitor.update(monitor_typ="x"),
        lambda monitor: monitor["schedule"]["period"].update(unit="minutes"),
        lambda monitor: monitor["inputs"][0]["search"]["query"].update(size=10),
        lambda monitor: monitor["inputs"][0]["search"]["query"]["aggregations"]["recent"].update(filters={}),
        lambda monitor: monitor["triggers"][0]["query_level_trigger"].update(severity=2),
        lambda monitor: monitor["triggers"][0]["query_level_trigger"]["condition"]["script"].update(lang="groovy"),
        lambda monitor: monitor["triggers"][0]["query_level_trigger"].pop("name"),
    ],
)
def test_an_invalid_monitor_is_detected(break_it):
    broken = loaded("monitors/opensearch/error-ratio.json")
    break_it(broken)
    with pytest.raises(Mismatch):
        check(broken, MONITOR)
