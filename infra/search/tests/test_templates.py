"""The index templates on a real OpenSearch: which documents they accept, and which searches find them.

    stack.py with --servers opensearch -- pytest infra/search/tests/test_templates.py

or on your own cluster with SEARCH_ENDPOINT. The tests create their own templates and indices, and delete them.
"""

import json
import os
import re
import uuid

import pytest

from applied import FOLDER
from server import Server, running

TIME = {"@timestamp": "2026-11-24T10:00:00.000Z"}
DECEMBER = 1_796_000_000_000


class Cluster:
    """Documents, searches and mappings of an OpenSearch cluster."""

    def __init__(self, server: Server) -> None:
        self.request = server.must
        self._bulk = server.bulk

    def bulk(self, index: str, documents: list[dict]) -> list[dict]:
        """Writes the documents in one request and returns the result of each."""
        operations = [({"create": {}}, document) for document in documents]
        response = self._bulk(*operations, path=f"/{index}/_bulk?refresh=true")
        assert response.status == 200, response
        return [item["create"] for item in response.body["items"]]

    def count(self, index: str, query: dict) -> int:
        return self.request("POST", f"/{index}/_count", {"query": query})["count"]

    def fields(self, index: str) -> dict:
        return self.request("GET", f"/{index}/_mapping")[index]["mappings"]["properties"]


@pytest.fixture(scope="module")
def cluster():
    endpoint = os.environ.get("SEARCH_ENDPOINT")
    return Cluster(Server(endpoint.rstrip("/"), None, None) if endpoint else running("opensearch"))


def indices_of(cluster: Cluster, file: str):
    """Applies the template to names that only this test uses. Yields a function that creates index names."""
    template = json.loads((FOLDER / file).read_text())
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster.request("PUT", f"/_index_template/{name}", template | {"index_patterns": [f"{name}-*"]})
    yield lambda: f"{name}-{uuid.uuid4().hex[:8]}"
    cluster.request("DELETE", f"/{name}-*")
    cluster.request("DELETE", f"/_index_template/{name}")


@pytest.fixture(scope="module")
def new_index(cluster):
    yield from indices_of(cluster, "index-template.json")


@pytest.fixture(scope="module")
def new_dead_letter_index(cluster):
    yield from indices_of(cluster, "dead-letter-template.json")


def nested(depth: int, leaf) -> dict:
    """A document with a leaf at this depth."""
    document = {"leaf": leaf}
    for _ in range(depth):
        document = {"inner": document}
    return document


def test_an_event_is_found_by_its_ids_numbers_and_dates(cluster, new_index):
    index = new_index()
    event = TIME | {
        "eventId": "5f2c",
        "eventType": "OrderCreated",
        "timestamp": "2026-11-24T10:00:00.000Z",
        "orderId": "ord-1",
        "status": "CREATED",
        "total": 119.5,
        "items": [{"sku": "KB-1", "name": "Mechanical keyboard", "quantity": 2, "unitPrice": 59.75}],
        "source": {"service": "order-service", "version": "2.14.0", "region": "eu-central-1"},
        "service": "order.events",
        "service_name": "order",
        "kafka_topic": "order.events",
        "kafka_partition": 2,
        "kafka_offset": 5_000_000_000,
        "kafka_timestamp": DECEMBER,
        "kafka_key": "ord-1",
        "trace": {"id": "4bf9"},
        "span": {"id": "00f0"},
        "correlation_id": "c-1",
        "tags": ["_timestampoutofrange"],
        "kafka_headers": {"x-tenant-id": "acme"},
        "original": {"service": {"name": "shop"}, "environment": "test"},
    }
    assert [item["status"] for item in cluster.bulk(index, [event])] == [201]
    for query in [
        {"term": {"orderId": "ord-1"}},
        {"term": {"trace.id": "4bf9"}},
        {"term": {"tags": "_timestampoutofrange"}},
        {"term": {"kafka_offset": 5_000_000_000}},
        {"term": {"kafka_headers.x-tenant-id": "acme"}},
        {"term": {"original.service.name": "shop"}},
        {"term": {"items.sku": "KB-1"}},
        {"match": {"items.name": "keyboard"}},
        {"range": {"total": {"gt": 119, "lt": 120}}},
        {"range": {"@timestamp": {"gte": "2026-11-24", "lt": "2026-11-25"}}},
        {"range": {"kafka_timestamp": {"gte": DECEMBER, "lte": DECEMBER}}},
    ]:
        assert cluster.count(index, query) == 1, query


def test_an_unknown_field_is_found_whatever_it_holds(cluster, new_index):
    index = new_index()
    event = TIME | {
        "couponCode": "SUMMER",
        "loyalty": {"tier": "gold", "points": 1200},
        "isGift": True,
        "rank": 12.5,
        "partnerId": 12345678901234567,
        "shippingCost": "4.90",
        "description": "Leave it at the door",
    }
    assert cluster.bulk(index, [event])[0]["status"] == 201
    for query in [
        {"term": {"couponCode.keyword": "SUMMER"}},
        {"match": {"couponCode": "summer"}},
        {"term": {"loyalty.tier.keyword": "gold"}},
        {"range": {"loyalty.points": {"gte": 1200}}},
        {"term": {"isGift": "true"}},
        {"range": {"rank": {"gt": 12, "lt": 13}}},
        {"term": {"partnerId": "12345678901234567"}},
        {"term": {"shippingCost.keyword": "4.90"}},
        {"match": {"description": "door"}},
    ]:
        assert cluster.count(index, query) == 1, query


@pytest.mark.parametrize(
    "fields",
    [
        {"mixed": [1, 2.5, None]},
        {"matrix": [[1, [2, [3]]]]},
        {"empty": {}, "nothing": None},
        {"a name with spaces": 1},
        {"e.f": "x", "g.h.i": 2},
        {"user_123": {"name": "x"}, "user_124.name": "x"},
        {"0a1b2c3d-1111": {"x": 1}},
        {"huge": 10**40},
        nested(15, "x"),
        nested(90, "x"),
    ],
    ids=lambda fields: str(fields)[:40],
)
def test_a_new_field_of_an_odd_shape_is_accepted(cluster, new_index, fields):
    (item,) = cluster.bulk(new_index(), [TIME | fields])
    assert item["status"] == 201, item


@pytest.mark.parametrize(
    "fields",
    [
        {"status": 5},
        {"total": "abc"},
        {"occurredAt": "yesterday"},
        {"text_first": 1},
        {"flag_first": "maybe"},
        {"number_first": "abc"},
        {"number_first": ["12 euros", 3, True, None]},
        {"number_first": 10**400},
    ],
    ids=str,
)
def test_a_field_of_another_type_than_before_is_accepted(cluster, new_index, fields):
    index = new_index()
    first = TIME | {"text_first": "x", "number_first": 1, "flag_first": True}
    items = cluster.bulk(index, [first, TIME | fields])
    assert [item["status"] for item in items] == [201, 201], items


@pytest.mark.parametrize(
    ("fields", "blamed"),
    [
        ({"text_first": {"x": 1}}, "text_first"),
        ({"number_first": {"x": 1}}, "number_first.text"),
        ({"object_first": "x"}, "object_first"),
        ({"message": {"subject": "x"}}, "message"),
        ({"tags": ["a", {"x": 1}]}, "tags"),
        ({"new": [1, "a"]}, "new"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_rejected_by_name_so_that_the_function_can_rescue_it(cluster, new_index, fields, blamed):
    index = new_index()
    first = TIME | {"text_first": "x", "number_first": 1, "object_first": {"y": 1}}
    items = cluster.bulk(index, [first, TIME | fields])
    assert [item["status"] for item in items] == [201, 400], items
    assert f"[{blamed}]" in items[1]["error"]["reason"], items[1]


def test_numbers_are_found_by_ranges_and_texts_by_every_word(cluster, new_index):
    index = new_index()
    documents = [TIME | {"zscore": number} for number in (9, 10, 100)]
    documents.append(
        TIME | {"msg": "connection timeout to db-1", "deep": {"er": [{"trace": "at Foo " * 10_000 + "lastword"}]}}
    )
    assert {item["status"] for item in cluster.bulk(index, documents)} == {201}
    for text, count in [
        ("zscore:>9", 2),
        ("msg:timeout", 1),
        ("timeout", 1),
        ('"connection timeout"', 1),
        ("lastword", 1),
        ("deep.er.trace:lastword", 1),
        ("nothing", 0),
    ]:
        assert cluster.count(index, {"query_string": {"query": text}}) == count, text


def test_a_text_in_a_number_field_is_found_by_its_words_and_leaves_the_ranges_as_they_are(cluster, new_index):
    index = new_index()
    totals = [9, "12 euros", "11", [10, "guilders"], True]
    assert {item["status"] for item in cluster.bulk(index, [TIME | {"total": total} for total in totals])} == {201}
    for text, count in [
        ("euros", 1),
        ("total.text:euros", 1),
        ("11", 1),
        ("guilders", 1),
        ("total:>8", 2),
        ("total:[11 TO 12]", 0),
        ("_ignored:total", 4),
    ]:
        assert cluster.count(index, {"query_string": {"query": text}}) == count, text


def test_every_query_of_the_searching_page_finds_its_event(cluster, new_index):
    index = new_index()
    event = TIME | {
        "msg": "connection timeout to db-1",
        "zscore": [10, "unknown"],
        "orderId": "O-8",
        "customerId": "42 of Berlin",
        "__typename": "OrderLine",
        "event_text": ["OrderLine", "42 of Berlin"],
        "order": {"customer": {"name": "Anna Smith"}},
        "createdAt": "2026-11-24T09:00:00Z",
        "service_name": "order",
        "kafka_topic": "order.events",
        "kafka_partition": 0,
        "kafka_offset": 42,
        "correlation_id": "c-4711",
        "trace": {"id": "4bf92f3577b34da6a3ce929d0e0e4736"},
        "tags": ["_jsonparsefailure", "_mappingconflict"],
        "conflict": {"total": "12 euros"},
        "conflict_field": ["total"],
        "conflict_text": '{"total":"12 euros"}',
    }
    other = TIME | {"msg": "all is well", "zscore": 9, "service_name": "inventory", "orderId": "O-9"}
    assert {item["status"] for item in cluster.bulk(index, [other, event])} == {201}
    rows = [line for line in (FOLDER / "SEARCHING.md").read_text().splitlines() if line.startswith("| ")][1:]
    queries = [row.split("`")[1] for row in rows]
    assert len(queries) > 10
    for query in queries:
        assert cluster.count(index, {"query_string": {"query": query}}) == 1, query


def test_opensearch_3_6_rejects_lists_in_objects_without_object_mappings(cluster):
    """Why the template keeps object mappings. When this fails, `disable_objects` has become usable: see mapping_dialect.rs."""
    index = f"test-{uuid.uuid4().hex[:8]}"
    cluster.request("PUT", f"/{index}", {"mappings": {"disable_objects": True}})
    (item,) = cluster.bulk(index, [TIME | {"order": {"tags": ["a", "b"]}}])
    cluster.request("DELETE", f"/{index}")
    assert item["status"] == 400 and "disable_objects" in item["error"]["reason"], item


# A field for each kind that the template maps by name or by type, with a value of that kind. The override test on Elasticsearch
# has the same (tests/tests/secured/overrides.rs).
PAYLOAD_FIELDS = json.loads((FOLDER.parents[1] / "tests" / "fixtures" / "payload-fields.json").read_text())


def is_for(template: dict, field: str, value) -> bool:
    """Whether a dynamic template applies to a field with this value."""
    kind = {str: "string", bool: "boolean", int: "long", float: "double"}[type(value)]
    path = re.escape(template.get("path_match", "*")).replace(r"\*", ".*")
    return (
        template["match_mapping_type"] == kind
        and re.fullmatch(template.get("match", ".*"), field.rsplit(".", 1)[-1]) is not None
        and re.fullmatch(path, field) is not None
    )


def test_the_override_test_has_a_field_for_each_dynamic_template():
    mappings = json.loads((FOLDER / "index-template.json").read_text())["template"]["mappings"]
    for named in mappings["dynamic_templates"]:
        ((name, template),) = named.items()
        assert any(is_for(template, field, value) for field, value in PAYLOAD_FIELDS.items()), name


@pytest.mark.parametrize(
    ("mapping", "value", "query"),
    [
        ({"type": "integer"}, 7, lambda field: {"range": {field: {"gt": 6, "lt": 8}}}),
        ({"type": "date"}, "2026-11-24T10:00:00Z", lambda field: {"range": {field: {"gte": "2026-11-24||/d"}}}),
        (
            {"properties": {"inner": {"type": "long"}}},
            {"inner": 7},
            lambda field: {"range": {f"{field}.inner": {"gt": 6, "lt": 8}}},
        ),
    ],
    ids=["number", "date", "object"],
)
def test_the_users_own_mapping_of_any_payload_field_wins(cluster, mapping, value, query):
    name = f"test-{uuid.uuid4().hex[:8]}"
    template = json.loads((FOLDER / "index-template.json").read_text())
    own: dict = {"properties": {}}
    document: dict = dict(TIME)
    for field in PAYLOAD_FIELDS:
        *outer, leaf = field.split(".")
        fields, members = own, document
        for part in outer:
            fields = fields["properties"].setdefault(part, {"properties": {}})
            members = members.setdefault(part, {})
        fields["properties"][leaf], members[leaf] = mapping, value
    # Composed as provisioning composes them.
    parts = {"project": template["template"], "custom": {"mappings": own}}
    for part, body in parts.items():
        cluster.request("PUT", f"/_component_template/{name}-{part}", {"template": body})
    composed = {"index_patterns": [f"{name}-*"], "priority": 300, "composed_of": [f"{name}-{part}" for part in parts]}
    cluster.request("PUT", f"/_index_template/{name}", composed)
    try:
        (item,) = cluster.bulk(f"{name}-1", [document])
        assert item["status"] == 201, item
        for field in PAYLOAD_FIELDS:
            assert cluster.count(f"{name}-1", query(field)) == 1, field
    finally:
        cluster.request("DELETE", f"/{name}-*")
        cluster.request("DELETE", f"/_index_template/{name}")
        for part in parts:
            cluster.request("DELETE", f"/_component_template/{name}-{part}")


def test_a_value_in_place_of_an_object_rejects_only_that_document(cluster, new_index):
    index = new_index()
    documents = [TIME | {"party": {"name": "x"}}, TIME | {"party": "x"}, TIME | {"party": {"name": "y"}}]
    items = cluster.bulk(index, documents)
    assert [item["status"] for item in items] == [201, 400, 201]
    assert items[1]["error"]["type"] == "mapper_parsing_exception"


@pytest.mark.parametrize(
    "name", ["message", "comment", "unknown", "kafka_key", "message_base64", "detail.html", "detail.a.b.html"]
)
def test_a_string_of_a_megabyte_is_accepted_in_any_field(cluster, new_index, name):
    document = "x" * 1_000_000
    for part in reversed(name.split(".")):
        document = {part: document}
    (item,) = cluster.bulk(new_index(), [TIME | document])
    assert item["status"] == 201, item


def test_a_search_without_a_field_name_works_when_the_mapping_is_full(cluster, new_index):
    index = new_index()
    names = [f"field_{n:04}" for n in range(600)]
    documents = [TIME | {name: f"value of {name}" for name in names[n : n + 50]} for n in range(0, 600, 50)]
    statuses = [item["status"] for item in cluster.bulk(index, documents)]
    n_taken = statuses.index(400)
    assert n_taken > 8 and set(statuses[n_taken:]) == {400}, "the limit is reached, and the function rescues the rest"
    for name in (names[0], names[50 * n_taken - 1]):
        assert cluster.count(index, {"query_string": {"query": name}}) == 1
    assert cluster.count(index, {"query_string": {"query": "anything"}}) == 0


def test_a_dead_letter_is_found_by_its_error_and_keeps_its_record(cluster, new_dead_letter_index):
    index = new_dead_letter_index()
    dead_letter = TIME | {
        "error": {"type": "mapper_parsing_exception", "reason": "failed to parse field [a] " * 300, "status": 400},
        "service": "order.events",
        "service_name": "order",
        "kafka_topic": "order.events",
        "kafka_partition": 0,
        "kafka_offset": 7,
        "kafka_timestamp": DECEMBER,
        "kafka_key": "ord-1",
        "kafka_headers_raw": [{"traceparent": [48, -1]}, {"a": "odd"}],
        "target_index": "microservices-2026.11.24",
        "payload": '{"a":' + "1" * 1_000_000 + "}",
        "of_another_version": {"x": 1},
    }
    items = cluster.bulk(index, [dead_letter, dead_letter | {"payload_base64": "/w==", "kafka_headers_raw": "odd"}])
    assert [item["status"] for item in items] == [201, 201], items
    for query in [
        {"term": {"error.type": "mapper_parsing_exception"}},
        {"match": {"error.reason": "parse"}},
        {"term": {"error.status": 400}},
        {"term": {"target_index": "microservices-2026.11.24"}},
        {"term": {"kafka_offset": 7}},
    ]:
        assert cluster.count(index, query) == 2, query
    found = cluster.request("GET", f"/{index}/_search?size=1&sort=_doc")["hits"]["hits"][0]["_source"]
    assert found == dead_letter
    assert "of_another_version" not in cluster.fields(index)
