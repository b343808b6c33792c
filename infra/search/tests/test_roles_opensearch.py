"""The roles on a real OpenSearch with its security plugin: what each user can do, and what is denied.

stack.py with --servers opensearch-secured -- pytest infra/search/tests/test_roles_opensearch.py
"""

import uuid

import pytest

from applied import loaded
from server import Server, own_prefixes, password, running

DOCUMENT = {"@timestamp": "2026-11-24T10:00:00.000Z", "service_name": "order"}
REFUSED = (403, "security_exception")


@pytest.fixture(scope="module")
def admin() -> Server:
    return running("opensearch-secured")


@pytest.fixture(scope="module")
def prefixes() -> dict[str, str]:
    return own_prefixes()


@pytest.fixture(scope="module")
def users(admin, prefixes):
    """A user for each role, mapped as provisioning maps its users."""
    security, made = "/_plugins/_security/api", {}
    # This mapping lets every user send bulk requests and more. Without it, only the roles apply.
    everybody = admin.must("GET", f"{security}/rolesmapping/own_index")["own_index"]
    admin.must("DELETE", f"{security}/rolesmapping/own_index")
    for role in ("writer", "replayer", "reader"):
        name, secret = f"{prefixes['INDEX_PREFIX']}-{role}", password()
        admin.must("PUT", f"{security}/roles/{name}", loaded(f"roles/opensearch-{role}.json", prefixes))
        admin.must("PUT", f"{security}/internalusers/{name}", {"password": secret})
        admin.must("PUT", f"{security}/rolesmapping/{name}", {"users": [name]})
        made[role] = admin.as_user(name, secret)
    yield made
    for role in made:
        for kind in ("rolesmapping", "internalusers", "roles"):
            admin.must("DELETE", f"{security}/{kind}/{prefixes['INDEX_PREFIX']}-{role}")
    kept = {key: everybody[key] for key in ("users", "backend_roles", "hosts", "and_backend_roles", "description")}
    admin.must("PUT", f"{security}/rolesmapping/own_index", kept)
    for prefix in prefixes.values():
        admin.must("DELETE", f"/{prefix}-*")


@pytest.fixture(params=["INDEX_PREFIX", "DEAD_LETTER_PREFIX"])
def index(request, prefixes, admin) -> str:
    """A daily index that does not exist yet."""
    return f"{prefixes[request.param]}-2026.{uuid.uuid4().hex[:6]}"


@pytest.fixture
def dead_letter(admin, prefixes) -> tuple[str, str]:
    """A document in a dead-letter index."""
    name, number = f"{prefixes['DEAD_LETTER_PREFIX']}-2026.11.24", uuid.uuid4().hex
    admin.must("PUT", f"/{name}/_create/{number}?refresh=true", DOCUMENT | {"error": {"type": "x"}})
    return name, number


def create(index: str, number: str = "1", **more) -> tuple[dict, dict]:
    return {"create": {"_index": index, "_id": number}}, DOCUMENT | more


@pytest.mark.parametrize("role", ["writer", "replayer"])
def test_a_batch_creates_its_index_and_new_fields(users, admin, index, role):
    assert users[role].bulk(create(index)).items == [(201, "")]
    assert users[role].bulk(create(index, "2", brandNew={"inside": 1})).items == [(201, "")]
    fields = admin.must("GET", f"/{index}/_mapping")[index]["mappings"]["properties"]
    assert "brandNew" in fields
    # The function sends this when the index has reached its field limit.
    users[role].must("PUT", f"/{index}/_mapping", {"dynamic": False})
    # A duplicate from at-least-once delivery.
    assert users[role].bulk(create(index)).items == [(409, "version_conflict_engine_exception")]


def test_the_writer_neither_reads_nor_deletes_nor_updates(users, index):
    writer = users["writer"]
    assert writer.bulk(create(index)).items == [(201, "")]
    refused = writer.bulk(
        ({"delete": {"_index": index, "_id": "1"}}, None),
        ({"update": {"_index": index, "_id": "1"}}, {"doc": {"a": 1}}),
        create(index, "2"),
    )
    assert refused.status == 403 or [status for status, _ in refused.items[:2]] == [403, 403], refused
    for method, path, body in (
        ("GET", f"/{index}/_doc/1", None),
        ("POST", f"/{index}/_search", {}),
        ("POST", f"/{index}/_count", {}),
        ("POST", "/_mget", {"docs": [{"_index": index, "_id": "1"}]}),
        ("GET", f"/{index}/_mapping", None),
        ("DELETE", f"/{index}/_doc/1", None),
        ("POST", f"/{index}/_update/1", {"doc": {"a": 1}}),
        ("PUT", f"/{index}/_settings", {"index.refresh_interval": "1s"}),
        ("DELETE", f"/{index}", None),
        ("GET", "/_cluster/settings", None),
        ("PUT", "/_index_template/x", {"index_patterns": ["x"]}),
        ("GET", "/_plugins/_security/api/internalusers", None),
    ):
        assert writer.send(method, path, body).status == 403, f"{method} {path}"


@pytest.mark.parametrize("role", ["writer", "replayer"])
def test_no_other_index_can_be_written(users, admin, prefixes, role):
    other = f"other-{uuid.uuid4().hex[:8]}"
    assert users[role].bulk(create(other)).items == [REFUSED]
    # An index that only starts with the same prefix.
    assert users[role].bulk(create(prefixes["INDEX_PREFIX"])).items == [REFUSED]
    assert admin.send("GET", f"/{other}").status == 404


def test_the_replayer_finds_reads_and_deletes_dead_letters(users, admin, prefixes, dead_letter):
    """Sends the same requests as functions/replay-dead-letters."""
    name, number = dead_letter
    replayer = users["replayer"]
    path = (
        f"/{prefixes['DEAD_LETTER_PREFIX']}-*/_search"
        "?ignore_unavailable=true&allow_no_indices=true&allow_partial_search_results=false"
    )
    indices = replayer.must("POST", path, {
        "size": 0, "query": {"bool": {"filter": []}}, "track_total_hits": False,
        "aggs": {"indices": {"terms": {"field": "_index", "size": 10_000}}},
    })  # fmt: skip
    assert name in [bucket["key"] for bucket in indices["aggregations"]["indices"]["buckets"]]
    page = {
        "size": 10, "query": {"bool": {"filter": [{"terms": {"_index": [name]}}, {"ids": {"values": [number]}}]}},
        "_source": False, "track_total_hits": False,
        "sort": [{"@timestamp": {"order": "asc", "unmapped_type": "date"}}, {"_seq_no": {"order": "asc"}}],
    }  # fmt: skip
    (hit,) = replayer.must("POST", path, page)["hits"]["hits"]
    assert not replayer.must("POST", path, page | {"search_after": hit["sort"]})["hits"]["hits"]
    (stored,) = replayer.must("POST", "/_mget", {"docs": [{"_index": name, "_id": number}]})["docs"]
    assert stored["_source"]["service_name"] == "order"
    place = {"_index": name, "_id": number, "if_seq_no": stored["_seq_no"], "if_primary_term": stored["_primary_term"]}
    assert replayer.bulk(({"delete": place}, None)).items == [(200, "")]
    assert admin.send("GET", f"/{name}/_doc/{number}").status == 404


def test_the_replayer_finds_reads_and_replaces_events_with_a_conflict(users, admin, prefixes):
    """Sends the same requests as functions/replay-dead-letters."""
    name = f"{prefixes['INDEX_PREFIX']}-2026.11.25"
    admin.must("PUT", f"/{name}/_doc/1?refresh=true", DOCUMENT | {"conflict_reason": "x", "tags": ["_mappingconflict"]})
    replayer = users["replayer"]
    (hit,) = replayer.must(
        "POST", f"/{prefixes['INDEX_PREFIX']}-*/_search?ignore_unavailable=true&allow_no_indices=true",
        {"query": {"bool": {"filter": [{"exists": {"field": "conflict_reason"}}]}}},
    )["hits"]["hits"]  # fmt: skip
    assert hit["_id"] == "1"
    pattern = f"{prefixes['INDEX_PREFIX']}-*"
    assert replayer.must("POST", f"/{pattern}/_field_caps?fields=conflict_reason&ignore_unavailable=true", {})["fields"]
    (stored,) = replayer.must("POST", "/_mget", {"docs": [{"_index": name, "_id": "1"}]})["docs"]
    place = {"_index": name, "_id": "1", "if_seq_no": stored["_seq_no"], "if_primary_term": stored["_primary_term"]}
    assert replayer.bulk(({"index": place}, DOCUMENT)).items == [(200, "")]
    assert replayer.bulk(({"index": place}, DOCUMENT)).items == [(409, "version_conflict_engine_exception")]


def test_the_replayer_deletes_no_event_and_updates_nothing(users, admin, prefixes, dead_letter):
    name = f"{prefixes['INDEX_PREFIX']}-2026.11.25"
    admin.must("PUT", f"/{name}/_doc/1?refresh=true", DOCUMENT)
    replayer = users["replayer"]
    assert replayer.bulk(({"delete": {"_index": name, "_id": "1"}}, None)).items == [REFUSED]
    for method, path, body in (
        ("DELETE", f"/{name}", None),
        ("POST", f"/{name}/_update/1", {"doc": {"a": 1}}),
        ("DELETE", f"/{dead_letter[0]}", None),
        ("POST", f"/{dead_letter[0]}/_update/{dead_letter[1]}", {"doc": {"a": 1}}),
    ):
        assert replayer.send(method, path, body).status == 403, f"{method} {path}"


def test_the_reader_searches_and_changes_nothing(users, admin, prefixes, dead_letter):
    name = f"{prefixes['INDEX_PREFIX']}-2026.11.26"
    admin.must("PUT", f"/{name}/_doc/1?refresh=true", DOCUMENT)
    reader = users["reader"]
    for each in (name, dead_letter[0]):
        assert reader.must("POST", f"/{each}/_search", {})["hits"]["total"]["value"] >= 1
    # The requests of Dashboards for an index pattern and for Discover.
    pattern = f"{prefixes['INDEX_PREFIX']}-*"
    assert "service_name" in reader.must("GET", f"/{pattern}/_field_caps?fields=*&ignore_unavailable=true")["fields"]
    assert reader.must("GET", f"/_resolve/index/{pattern}")["indices"]
    assert reader.must("GET", f"/{name}/_mapping")[name]["mappings"]["properties"]
    lines = f'{{"index":"{pattern}"}}\n{{"size":1}}\n'
    assert reader.must("POST", "/_msearch", lines)["responses"][0]["hits"]["hits"]
    assert reader.must("GET", f"/{name}/_doc/1")["found"]
    for method, path, body in (
        ("PUT", f"/{name}/_doc/2", DOCUMENT),
        ("DELETE", f"/{name}/_doc/1", None),
        ("DELETE", f"/{name}", None),
        ("POST", f"/{name}/_update/1", {"doc": {"a": 1}}),
        ("PUT", f"/{name}/_settings", {"index.refresh_interval": "1s"}),
        ("POST", "/.opendistro_security/_search", {}),
    ):
        assert reader.send(method, path, body).status == 403, f"{method} {path}"
    assert reader.bulk(create(name, "3")).status == 403
