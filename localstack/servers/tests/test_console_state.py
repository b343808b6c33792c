"""What the console makes of counters, logs, documents and states."""

import json

import pytest

from local_stack import provisioning
from local_stack.console import documents
from local_stack.console.batches import batches
from local_stack.console.changes import change
from local_stack.console.problems import problems
from local_stack.console.rates import Progress, Rates
from local_stack.console.watch import Watch
from local_stack.errors import StackError
from local_stack.instance import Instance


def mapping(delivered=0, **ends):
    partitions = [
        {"partition": int(name[1:]), "end": end, "committed": committed} for name, (end, committed) in ends.items()
    ]
    return {"uuid": "u", "counts": {"delivered": delivered}, "partitions": partitions}


def test_rates_are_of_the_seconds_in_between():
    rates = Rates()
    rates.record(10.0, [mapping(100, p0=(50, 0))])
    rates.record(12.0, [mapping(300, p0=(90, 0))])
    assert rates.of("u") == {"delivered": [None, 100.0], "published": [None, 20.0]}


def test_a_poller_that_was_started_again_counts_from_zero_and_a_silent_one_leaves_a_gap():
    rates = Rates()
    for now_s, delivered in ((1.0, 500), (2.0, 40)):
        rates.record(now_s, [mapping(delivered)])
    rates.silence(3.0)
    rates.record(4.0, [mapping(90)])
    rates.record(5.0, [mapping(95)])
    assert rates.of("u")["delivered"] == [None, 40.0, None, None, 5.0]


def test_a_partition_that_was_not_read_before_does_not_count_all_that_it_holds():
    rates = Rates()
    rates.record(1.0, [mapping(p0=(10, 0))])
    rates.record(2.0, [mapping(p0=(12, 0), p1=(9000, 0))])
    rates.record(3.0, [mapping(p0=(12, 0), p1=(9001, 0))])
    assert rates.of("u")["published"] == [None, 2.0, 1.0]


def test_a_partition_is_stuck_since_its_offset_last_moved_while_records_wait():
    progress = Progress()
    progress.record(0.0, [mapping(p0=(10, 10))])
    assert progress.stuck_s(50.0, "u", 0) == 0
    progress.record(50.0, [mapping(p0=(20, 10))])
    progress.record(70.0, [mapping(p0=(25, 10))])
    assert progress.stuck_s(85.0, "u", 0) == 35
    progress.record(86.0, [mapping(p0=(25, 11))])
    assert progress.stuck_s(87.0, "u", 0) == 1


def line(message, timestamp=1):
    return {"timestamp": timestamp, "message": json.dumps(message) if isinstance(message, dict) else message}


def report(request, status="success", **record):
    return line(
        {
            "type": "platform.report",
            "record": {"requestId": request, "status": status, "metrics": {"durationMs": 7.5}, **record},
        }
    )


def start(request, at):
    return line({"time": at, "type": "platform.start", "record": {"requestId": request}})


def test_the_lines_of_an_invocation_are_together_newest_first():
    stream = [
        line({"type": "platform.initStart", "record": {}}),
        start("a", "2026-11-28T10:00:00Z"), line({"level": "INFO", "message": "indexed", "n_records": 3, "reason": ""}), report("a"),
        start("b", "2026-11-28T10:00:05Z"), line("not JSON"),
    ]  # fmt: skip
    other = [
        start("c", "2026-11-28T10:00:02Z"),
        line({"level": "ERROR", "message": "failed"}),
        report("c", "error", errorType="RecordsFailed"),
    ]
    found = batches([stream, other], 9)
    assert [(each["request"], each["result"], each["message"], each["ms"]) for each in found] == [
        ("b", "runs", "", None), ("c", "error", "RecordsFailed", 7.5), ("a", "success", "indexed: n_records 3", 7.5),
    ]  # fmt: skip
    assert found[0]["lines"] == ["not JSON"]
    assert len(batches([stream, other], 2)) == 2


def test_a_stream_whose_beginning_was_not_read_loses_no_later_invocation():
    assert [each["request"] for each in batches([[line({"message": "rest of one"}), start("a", "t")]], 9)] == ["a"]


SERVERS = [
    {"name": name, "title": title, "state": "runs", "log": f"/logs/{name}.log"}
    for name, title in (
        ("kafka", "Kafka"),
        ("opensearch", "OpenSearch"),
        ("localstack", "LocalStack"),
        ("poller", "Poller"),
    )
]
MAPPING = {
    "topic": "order.events", "state": "Enabled", "function": "index-events", "result": "OK", "problem": None, "warning": None,
    "stalled": [], "lost": None, "partitions": [{"partition": 0, "lag": 0, "stuck_s": 0}],
}  # fmt: skip


NO_LETTERS = {"total": 0, "items": []}


def found(servers=SERVERS, letters=NO_LETTERS, **changed):
    state = {"servers": servers, "mappings_known": True, "mappings": [{**MAPPING, **changed}], "dead_letters": letters}
    return problems(state)


def test_a_stack_that_works_has_no_problem():
    assert found() == []


@pytest.mark.parametrize("name", [server["name"] for server in SERVERS])
def test_a_server_that_is_down_says_what_to_do_and_where_its_log_is(name):
    servers = [{**server, "state": "down"} if server["name"] == name else server for server in SERVERS]
    (problem,) = found(servers)
    assert problem["level"] == "bad" and "make demo" in problem["fix"] and f"/logs/{name}.log" in problem["fix"]


def test_a_server_that_hangs_is_another_problem():
    (problem,) = found([{**SERVERS[0], "state": "silent"}, *SERVERS[1:]])
    assert "does not respond" in problem["what"]


def test_a_function_that_fails_is_named_before_its_partition_counts_as_wedged():
    failing = {"result": "PROBLEM: Function call failed"}
    (fails,) = found(**failing, partitions=[{"partition": 0, "lag": 9, "stuck_s": 5}])
    assert "index-events fails on order.events: Function call failed" in fails["what"]
    (wedged,) = found(**failing, partitions=[{"partition": 2, "lag": 1234, "stuck_s": 31}])
    assert "Partition 2 of order.events has not moved for 31 s; 1,234 events wait." in wedged["what"]
    assert "make deploy-local" in wedged["fix"]


def test_a_stall_that_the_poller_explains_and_lost_records_are_problems():
    stalled = [{"what": "partition 2 makes no progress for 75 s: no rights", "fix": "Give them."}]
    wedged = [{"partition": 2, "lag": 1234, "stuck_s": 75}]
    (problem,) = found(result="PROBLEM: Function call failed", partitions=wedged, stalled=stalled)
    assert problem == {
        "level": "bad",
        "what": "order.events: partition 2 makes no progress for 75 s: no rights.",
        "fix": "Give them.",
    }
    (problem,) = found(lost={"what": "1 record is lost", "fix": "Give it a bucket."})
    assert problem == {"level": "bad", "what": "order.events: 1 record is lost.", "fix": "Give it a bucket."}


def test_a_function_that_can_not_write_to_a_cluster_that_is_away_needs_no_change():
    away = [{**each, "state": "down"} if each["name"] == "opensearch" else each for each in SERVERS]
    down, fails = found(away, result="PROBLEM: Function call failed")
    assert "OpenSearch does not run" in down["what"]
    assert "goes on by itself" in fails["fix"] and "deploy-local" not in fails["fix"]


def test_a_disabled_mapping_is_a_warning_and_a_missing_deployment_is_not():
    (disabled,) = found(state="Disabled", result="PROBLEM: Function call failed")
    assert disabled["level"] == "warn"
    undeployed = {"servers": SERVERS, "mappings_known": True, "mappings": [], "dead_letters": NO_LETTERS}
    (missing,) = problems(undeployed)
    assert missing["level"] == "bad" and "make demo" in missing["fix"]
    assert problems({**undeployed, "mappings_known": False}) == []


def test_dead_letters_are_a_warning_with_the_newest_reason():
    (letters,) = found(letters={"total": 1200, "items": [{"type": "transform_failure"}]})
    assert (
        letters["level"] == "warn"
        and letters["what"] == "1,200 events are dead letters; the newest by transform_failure."
    )


def test_a_state_is_json_with_what_was_provisioned(tmp_path, monkeypatch):
    monkeypatch.setenv("KAFKA_TO_SEARCH_STATE", str(tmp_path))
    monkeypatch.setattr(
        provisioning, "report", lambda _: [provisioning.Provisioned("roles", "not applied", "no plugin")]
    )
    monkeypatch.setattr(Instance, "running", lambda *_: True)
    watch = Watch(Instance("none"))
    watch.sources["cluster"].update()
    assert json.loads(json.dumps(watch.state()))["cluster"] == [
        {"thing": "roles", "outcome": "not applied", "reason": "no plugin"}
    ]


def test_an_event_in_a_line_leaves_out_what_was_added():
    source = {
        "@timestamp": "t",
        "kafka_topic": "order.events",
        "service_name": "order",
        "eventType": "OrderPlaced",
        "eventId": "e",
        "total": 3,
        "tags": "one",
    }
    shown = documents.event({"_id": "i", "_index": "x", "_source": source})
    assert (shown["kind"], shown["line"], shown["tags"]) == ("OrderPlaced", "total 3, eventId e", ["one"])


def test_rejected_events_have_their_reason():
    letter = {"error": {"type": "mapper_parsing_exception", "reason": "no"}, "payload": "{", "service_name": "order"}
    assert documents.dead_letter({"_id": "i", "_source": letter}) == {
        "id": "i", "service": "order", "at": None, "type": "mapper_parsing_exception", "reason": "no", "source": "{",
    }  # fmt: skip
    moved = {"conflict": {"source": "/a"}, "conflict_field": "source", "conflict_reason": "an object"}
    assert documents.conflict({"_id": "i", "_source": moved})["type"] == "source"


@pytest.mark.parametrize(
    ("path", "request_"),
    [
        ("/api/replay", {}), ("/api/replay", {"ids": []}), ("/api/replay", {"ids": [1]}), ("/api/replay", []),
        ("/api/mapping", {"uuid": "../functions/x", "enabled": True}), ("/api/mapping", {"uuid": "u", "enabled": "yes"}), ("/api/x", {}),
    ],
)  # fmt: skip
def test_a_change_that_is_none_is_refused(path, request_, tmp_path, monkeypatch):
    monkeypatch.setenv("KAFKA_TO_SEARCH_STATE", str(tmp_path))
    with pytest.raises(StackError, match="takes no such change"):
        change(Instance("none"), path, request_)
