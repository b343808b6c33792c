"""Lifecycle policies, roles and watches on a real Elasticsearch 6.8, the newest published one that has all three.

    stack.py with --servers elasticsearch-6 -- pytest infra/search/tests/test_elasticsearch_6.py

It has the older privileges, which provisioning uses before 7.9.
"""

import base64
import json
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from applied import MONITORS, VALUES, loaded
from server import Events, Server, own_prefixes, own_values, password, running

# The privileges before `create_doc` (7.5) and `auto_configure` (7.9).
OLDER = {"create_doc": "create", "auto_configure": "create_index"}
REFUSED = (403, "security_exception")
FIELDS = {
    "@timestamp": {"type": "date"}, "kafka_timestamp": {"type": "date", "format": "epoch_millis"},
    "service_name": {"type": "keyword"}, "eventType": {"type": "keyword"}, "tags": {"type": "keyword"},
    "error": {"properties": {"type": {"type": "keyword"}}},
}  # fmt: skip


@pytest.fixture(scope="module")
def admin() -> Server:
    return running("elasticsearch-6")


@pytest.fixture
def values(admin):
    yield from own_values(admin)


def older(role: dict) -> dict:
    """A role with the privileges of 6.8."""
    for each in role["indices"]:
        each["privileges"] = [OLDER.get(privilege, privilege) for privilege in each["privileges"]]
    return role


@pytest.fixture
def users(admin, values):
    """A user for each role."""
    made = {}
    for role in ("writer", "replayer", "reader"):
        name, secret = f"{values['INDEX_PREFIX']}-{role}", password()
        admin.must("PUT", f"/_security/role/{name}", older(loaded(f"roles/elasticsearch-{role}.json", values)))
        admin.must("PUT", f"/_security/user/{name}", {"password": secret, "roles": [name]})
        made[role] = admin.as_user(name, secret)
    yield made
    for role in made:
        for kind in ("user", "role"):
            admin.must("DELETE", f"/_security/{kind}/{values['INDEX_PREFIX']}-{role}")


def create(index: str, number: str = "1", **more) -> tuple[dict, dict]:
    return {"create": {"_index": index, "_type": "_doc", "_id": number}}, {"service_name": "order", **more}


def check_writer(writer: Server, values: dict) -> None:
    for prefix in (values["INDEX_PREFIX"], values["DEAD_LETTER_PREFIX"]):
        index = f"{prefix}-{uuid.uuid4().hex[:6]}"
        assert writer.bulk(create(index)).items == [(201, "")]
        assert writer.bulk(create(index, "2", brandNew="x")).items == [(201, "")]
        assert writer.bulk(create(index)).items == [(409, "version_conflict_engine_exception")]
        writer.must("PUT", f"/{index}/_mapping/_doc", {"dynamic": False})
        place = {"_index": index, "_type": "_doc", "_id": "1"}
        for operation in (({"delete": place}, None), ({"update": place}, {"doc": {"a": 1}})):
            assert writer.bulk(operation).items == [REFUSED]
        for method, path, body in (
            ("GET", f"/{index}/_doc/1", None),
            ("POST", f"/{index}/_search", {}),
            ("DELETE", f"/{index}/_doc/1", None),
            ("POST", f"/{index}/_delete_by_query", {"query": {"match_all": {}}}),
            ("PUT", f"/{index}/_settings", {"index.refresh_interval": "1s"}),
            ("DELETE", f"/{index}", None),
            ("GET", "/_security/user", None),
        ):
            assert writer.send(method, path, body).status == 403, f"{method} {path}"
    assert writer.bulk(create(f"other-{uuid.uuid4().hex[:6]}")).items == [REFUSED]


def test_the_writer_can_only_write(users, values):
    check_writer(users["writer"], values)


def test_the_writers_role_works_for_an_api_key(admin, values):
    role = older(loaded("roles/elasticsearch-writer.json", values))
    key = admin.must(
        "POST", "/_security/api_key", {"name": values["INDEX_PREFIX"], "role_descriptors": {"writer": role}}
    )
    both = base64.b64encode(f"{key['id']}:{key['api_key']}".encode()).decode()
    try:
        check_writer(admin.with_authorization(f"ApiKey {both}"), values)
    finally:
        admin.must("DELETE", "/_security/api_key", {"id": key["id"]})


def test_the_replayer_finds_and_reads_both_replaces_events_and_deletes_only_dead_letters(admin, users, values):
    replayer, refused = users["replayer"], f"{values['DEAD_LETTER_PREFIX']}-2026.11.24"
    events = f"{values['INDEX_PREFIX']}-2026.11.24"
    for index in (refused, events):
        assert replayer.bulk(create(index), path="/_bulk?refresh=true").items == [(201, "")]
    found = replayer.must(
        "POST", f"/{values['DEAD_LETTER_PREFIX']}-*/_search?ignore_unavailable=true", {"_source": False}
    )
    assert [hit["_id"] for hit in found["hits"]["hits"]] == ["1"]
    places = [{"_index": index, "_type": "_doc", "_id": "1"} for index in (refused, events)]
    stored, event = replayer.must("POST", "/_mget", {"docs": places})["docs"]
    assert stored["found"] and event["found"]
    seen = {"if_seq_no": stored["_seq_no"], "if_primary_term": stored["_primary_term"]}
    assert replayer.bulk(({"delete": places[0] | seen}, None)).items == [(200, "")]
    seen = {"if_seq_no": event["_seq_no"], "if_primary_term": event["_primary_term"]}
    assert replayer.bulk(({"index": places[1] | seen}, {"service_name": "order"})).items == [(200, "")]
    assert replayer.bulk(({"delete": places[1]}, None)).items == [REFUSED]
    assert replayer.send("DELETE", f"/{refused}").status == 403


def test_the_reader_searches_and_changes_nothing(admin, users, values):
    index = f"{values['INDEX_PREFIX']}-2026.11.24"
    admin.must("PUT", f"/{index}/_doc/1?refresh=true", {"service_name": "order"})
    reader = users["reader"]
    assert reader.must("POST", f"/{index}/_search", {})["hits"]["hits"]
    assert reader.must("GET", f"/{index}/_field_caps?fields=*")["fields"]["service_name"]
    assert reader.must("GET", f"/{index}/_mapping")
    for method, path, body in (
        ("PUT", f"/{index}/_doc/2", {}),
        ("DELETE", f"/{index}/_doc/1", None),
        ("DELETE", f"/{index}", None),
        ("GET", "/_security/user", None),
    ):
        assert reader.send(method, path, body).status == 403, f"{method} {path}"


@pytest.mark.parametrize("name", ["daily", "dead-letters"])
def test_lifecycle_policies_are_accepted(admin, name):
    policy, path = loaded(f"lifecycle/elasticsearch-{name}.json"), f"/_ilm/policy/test-{uuid.uuid4().hex[:8]}"
    admin.must("PUT", path, policy)
    try:
        (kept,) = admin.must("GET", path).values()
        # As sent, plus the defaults of each phase and action.
        for phase, body in policy["policy"]["phases"].items():
            assert kept["policy"]["phases"][phase]["min_age"] == body["min_age"]
            for action, options in body["actions"].items():
                assert options.items() <= kept["policy"]["phases"][phase]["actions"][action].items()
    finally:
        admin.must("DELETE", path)


def test_forcemerge_of_old_versions_blocks_late_events(admin, values):
    """The reason why provisioning leaves the action out before 8.9. If this fails, it no longer has to."""
    path, index = f"/_ilm/policy/{values['INDEX_PREFIX']}", f"{values['INDEX_PREFIX']}-2026.11.24"
    policy = loaded("lifecycle/elasticsearch-daily.json", values)
    policy["policy"]["phases"]["warm"]["min_age"] = "0ms"
    admin.must("PUT", path, policy)
    admin.must("PUT", "/_cluster/settings", {"transient": {"indices.lifecycle.poll_interval": "1s"}})
    try:
        admin.must(
            "PUT", f"/{index}", {"settings": {"index.lifecycle.name": values["INDEX_PREFIX"], "number_of_replicas": 0}}
        )
        deadline = time.monotonic() + 90
        while "write" not in admin.must("GET", f"/{index}/_settings")[index]["settings"]["index"].get("blocks", {}):
            assert time.monotonic() < deadline, admin.must("GET", f"/{index}/_ilm/explain")
            time.sleep(0.5)
        assert admin.bulk(create(index)).items == [(403, "cluster_block_exception")]
        admin.must("PUT", f"/{index}/_settings", {"index.blocks.write": None})
    finally:
        admin.must("PUT", "/_cluster/settings", {"transient": {"indices.lifecycle.poll_interval": None}})
        admin.must("DELETE", f"/{index}")
        admin.must("DELETE", path)


@pytest.fixture
def events(admin, values) -> Events:
    body = {"mappings": {"_doc": {"properties": FIELDS}}}
    return Events(admin, values, {"INDEX_PREFIX": body, "DEAD_LETTER_PREFIX": body}, _type="_doc")


def run_watch(admin: Server, name: str, values: dict) -> tuple[bool, str]:
    """Creates the watch and runs it. Returns whether its condition is met, and what it would log."""
    path = f"/_watcher/watch/{values['INDEX_PREFIX']}-{name}"
    admin.must("PUT", path, loaded(f"monitors/elasticsearch/{name}.json", values))
    try:
        record = admin.must("POST", f"{path}/_execute", {})["watch_record"]
        assert record["result"]["input"]["status"] == "success", json.dumps(record)[:3000]
        assert record["result"]["condition"]["status"] == "success", json.dumps(record)[:3000]
        logged = [action["logging"]["logged_text"] for action in record["result"]["actions"]]
        return record["result"]["condition"]["met"], "".join(logged)
    finally:
        admin.must("DELETE", path)


@pytest.mark.parametrize("name", MONITORS)
def test_no_watch_triggers_before_indices_exist(admin, name):
    assert run_watch(admin, name, VALUES | own_prefixes()) == (False, "")


def test_a_service_that_falls_silent_is_named(admin, events, values):
    events.add(3, service_name="order")
    events.add(3, service_name="inventory", minutes_ago=60)
    events.add(3, service_name="gone", minutes_ago=60 * 30)
    met, text = run_watch(admin, "silent-service", values)
    assert met and " inventory (newest " in text
    assert "order" not in text and "gone" not in text
    events.add(1, service_name="inventory", minutes_ago=24)
    assert run_watch(admin, "silent-service", values) == (False, "")


def test_failures_are_reported_above_the_minimum_share_and_number(admin, events, values):
    events.add(3, eventType="PaymentFailed")
    assert run_watch(admin, "error-ratio", values)[0] is False, "three events are too few"
    events.add(30)
    events.add(100, minutes_ago=60, eventType="PaymentFailed")
    met, text = run_watch(admin, "error-ratio", values)
    assert met and "3 of 33 events" in text and "PaymentFailed (3)" in text
    events.add(30)
    assert run_watch(admin, "error-ratio", values)[0] is False, "3 of 63 is less than 5 %"
    events.add(1, tags=["_jsonparsefailure"])
    assert run_watch(admin, "error-ratio", values)[0] is True
    events.add(20, tags=["_tombstone"])
    assert run_watch(admin, "error-ratio", values)[0] is False


def test_dead_letters_are_reported(admin, events, values):
    events.add(5)
    events.add(1, prefix="DEAD_LETTER_PREFIX", minutes_ago=60)
    assert run_watch(admin, "dead-letters", values) == (False, "")
    events.add(2, prefix="DEAD_LETTER_PREFIX", error={"type": "mapper_parsing_exception"})
    met, text = run_watch(admin, "dead-letters", values)
    assert met and "2 dead letters" in text and "mapper_parsing_exception (2)" in text


def test_a_late_event_that_is_rejected_now_is_reported_too(admin, events, values):
    old = (datetime.now(UTC) - timedelta(days=3)).isoformat(timespec="milliseconds")
    events.add(1, prefix="DEAD_LETTER_PREFIX", **{"@timestamp": old})
    assert run_watch(admin, "dead-letters", values)[0] is True


def test_a_stalled_pipeline_is_reported(admin, events, values):
    assert run_watch(admin, "ingestion-delay", values)[0] is False
    events.add(5, minutes_ago=20)
    met, text = run_watch(admin, "ingestion-delay", values)
    assert met and "newest indexed record is from" in text
    events.add(1, minutes_ago=2)
    assert run_watch(admin, "ingestion-delay", values)[0] is False
