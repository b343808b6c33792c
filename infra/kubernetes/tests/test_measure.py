"""`verify.sh --measure`: the figures that it prints.

Stand-ins take the place of the stack: a command that publishes, a search that finds what it got, and kubectl. The last test
measures a real local stack.
"""

import json
import os
import shlex
import subprocess
import sys
import threading
import urllib.request

import pytest
from conftest import KUBERNETES, REPOSITORY
from test_jobs import stand_in
from test_probes import script
from test_scripts import Stand

sys.path.insert(0, str(KUBERNETES / "scripts"))
import measure


def test_percentiles_are_those_of_the_nth_published_and_the_nth_found_event():
    """Ten events, one a second, each found three seconds later, but for the last, which takes 20."""
    load = measure.Load(published=[float(second) for second in range(10)])
    load.found = [(0.0, 0)] + [(second + 3.0, second + 1) for second in range(9)] + [(29.0, 10)]
    load.lags = [(0.0, 0), (10.0, 4), (20.0, 1)]
    load.usage = {"logstash-0": {"cpu": "250m", "memory": "700Mi"}}
    found = measure.result("Logstash", load, 1)
    assert found["searchable_s"] == {"p50": 3.0, "p90": 3.0, "p99": 20.0}
    assert found["indexed_per_s"] == round(10 / 29, 1) and found["events"] == 10
    assert found["lag"][1] == {"second": 10.0, "records": 4}
    text = measure.table(found, {**found, "indexed_per_s": 7.5})
    assert "before" in text.splitlines()[0]
    row = next(line for line in text.splitlines() if line.startswith("indexed a second"))
    assert row.split()[-2:] == ["7.5", "0.3"]
    assert "highest lag" in text and "250m 700Mi" in text


def test_the_lag_is_that_of_the_topic():
    text = (
        "GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID\n"
        "logstash-consumer-group order.events 0 10 40 30 c\nlogstash-consumer-group order.events 1 - 5 - c\n"
        "logstash-consumer-group inventory.events 0 1 9 8 c\nlogstash-consumer-group order.events 2 1 3 2 c\n"
    )
    assert measure.total_lag(text) == 32
    poller = (
        "MAPPING  TOPIC             PARTITION  COMMITTED  END  LAG\n"
        "a-b-c    order.events      0          -          9    9\nd-e-f    inventory.events  0          1          8    7\n"
    )
    assert measure.total_lag(poller) == 9
    with pytest.raises(ValueError, match=r"nobody reads order\.events"):
        measure.total_lag("Consumer group 'logstash-consumer-group' has no active members.\n")


def test_an_unknown_lag_is_not_zero(tmp_path):
    """Without a command, and while nobody reads the topic."""
    unknown = {"path": "functions", "events": 1, "published_per_s": 1, "indexed_per_s": 1, "searchable_s": {}, "pods": {}}
    for command in (None, "echo nothing"):
        load, stop = measure.Load(published=[0.0], found=[(0.0, 1)]), threading.Event()
        stop.set()
        measure.sample(measure.Local("functions", "cat", command, "http://localhost"), load, stop, lambda: 0.0, 1)
        assert measure.result("functions", load, 1)["lag"] == []
    text = measure.table({**unknown, "lag": []}, None)
    assert [line.split()[-1] for line in text.splitlines() if "lag" in line] == ["unknown", "unknown"]
    assert text.endswith("CPU and memory are unknown: there are no pods")


def test_a_load_is_published_found_and_written_as_json(tmp_path):
    """A stand-in for the search finds what the publishing command got, a little at a time."""
    script(tmp_path / "publish", f"#!/bin/sh\ncat >>{tmp_path}/events\n")

    def response_to(method, path, headers, body):
        assert path == measure.SEARCH_PATH
        name = body["query"]["match_phrase"]["run"]
        events = (tmp_path / "events").read_text().splitlines() if (tmp_path / "events").exists() else []
        return 200, {"count": sum(json.loads(event)["run"] == name for event in events)}

    with stand_in(response_to) as (url, _):
        command = [sys.executable, "-B", KUBERNETES / "scripts" / "measure.py", "--publish", tmp_path / "publish"]
        options = ["--search-url", url, "--lag", "echo 7", "--events", "300", "--rate", "300", "--out", tmp_path / "out.json"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "measured the path through functions" in done.stdout
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["path"] == "functions" and written["events"] == 300
    assert 0 < written["indexed_per_s"] <= 400 and written["searchable_s"]["p99"] < 60
    assert written["lag"][0]["records"] == 7
    events = [json.loads(event) for event in (tmp_path / "events").read_text().splitlines()]
    assert [event["sequence"] for event in events] == list(range(300))


def test_events_that_are_never_found_fail_the_measurement(tmp_path):
    script(tmp_path / "publish", "#!/bin/sh\ncat >/dev/null\n")
    with stand_in(lambda *_: (200, {"count": 3})) as (url, _):
        command = [sys.executable, "-B", KUBERNETES / "scripts" / "measure.py", "--publish", tmp_path / "publish"]
        options = ["--search-url", url, "--events", "10", "--rate", "100", "--timeout", "1"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "3 of 10 events were found within 1 s" in done.stderr


def test_a_search_that_fails_for_a_moment_does_not_end_the_measurement(tmp_path):
    """OpenSearch responds 503 to a search of an index that it has just created."""
    script(tmp_path / "publish", f"#!/bin/sh\ncat >>{tmp_path}/events\n")
    statuses = iter([200, 503, 503])

    def response_to(*_):
        events = (tmp_path / "events").read_text().splitlines() if (tmp_path / "events").exists() else []
        return next(statuses, 200), {"count": len(events)}

    with stand_in(response_to) as (url, _):
        command = [sys.executable, "-B", KUBERNETES / "scripts" / "measure.py", "--publish", tmp_path / "publish"]
        options = ["--search-url", url, "--lag", "echo 0", "--events", "50", "--rate", "100"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert next(statuses, None) is None, "no search failed"


def test_nothing_is_published_if_searches_do_not_work(tmp_path):
    script(tmp_path / "publish", f"#!/bin/sh\ntouch {tmp_path}/published\n")
    with stand_in(lambda *_: (401, {})) as (url, _):
        command = [sys.executable, "-B", KUBERNETES / "scripts" / "measure.py", "--publish", tmp_path / "publish"]
        done = subprocess.run([*command, "--search-url", url], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and "401" in done.stderr
    assert not (tmp_path / "published").exists()


@pytest.mark.parametrize("command", ["head -n 1", "sh -c 'cat; exit 3'"])
def test_a_publisher_that_fails_ends_the_measurement_at_once(command):
    with stand_in(lambda *_: (200, {"count": 0})) as (url, _):
        options = ["--publish", command, "--search-url", url, "--events", "200000", "--rate", "200000", "--timeout", "100"]
        program = [sys.executable, "-B", KUBERNETES / "scripts" / "measure.py", *options]
        done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "publishing ended with status" in done.stderr


def test_verify_measures_through_kubectl(tmp_path):
    """A stand-in kubectl: publishing, searching, lag and usage are calls of it."""
    results = [
        ("kafka-console-producer", 0, ""),
        ("_count", 0, '{"count": 50}'),
        ("kafka-consumer-groups", 0, "logstash-consumer-group order.events 0 10 40 30 c\n"),
        ("top pods", 0, "logstash-0 250m 700Mi\n"),
    ]
    done = Stand(tmp_path).run("verify.sh", "--measure", "--events", "50", "--rate", "500", results=results)
    assert done.returncode == 0, done.stderr
    assert "measured the path through Logstash" in done.stdout
    assert "logstash-0, CPU and memory" in done.stdout and "250m 700Mi" in done.stdout


@pytest.mark.parametrize("arguments", [("--events",), ("--measure", "--events", "0")], ids=" ".join)
def test_a_load_of_nothing_is_refused(tmp_path, arguments):
    done = Stand(tmp_path).run("verify.sh", *arguments)
    assert done.returncode != 0 and done.stderr


@pytest.mark.deployed
def test_verify_measures_a_real_stack_before_and_after_a_preset(tmp_path):
    """The functions in Logstash's place: events through a real Kafka, the deployed function and a real OpenSearch."""
    from local_stack import cargo, instance
    from local_stack.servers.localstack import LOCALSTACK
    from local_stack.servers.opensearch import OPENSEARCH

    stack = instance.Instance(os.environ["MEASURED_INSTANCE"])
    search, aws = OPENSEARCH.info(stack)["endpoint"], LOCALSTACK.info(stack)["endpoint"]
    events, rate = 1000, 500
    command = [
        "bash", KUBERNETES / "scripts" / "verify.sh", "--measure", "--path", "functions",
        "--publish", f"{cargo.build('event-producer')} file - --topic {measure.TOPIC}",
        "--lag", f"{cargo.build('kafka-poller')} lag --endpoint-url {aws} --region us-east-1",
        "--search-url", search, "--events", str(events), "--rate", str(rate),
    ]  # fmt: skip
    found = []
    for name, options in (("before", []), ("after", ["--compare", str(tmp_path / "before.json")])):
        if name == "after":
            deploy = [sys.executable, "-B", REPOSITORY / "localstack" / "servers" / "stack.py", "deploy"]
            subprocess.run([*deploy, "--instance", stack.name, "Preset=latency"], check=True)
        done = subprocess.run(
            [*command, *options, "--out", str(tmp_path / f"{name}.json")],
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )
        assert done.returncode == 0, f"{shlex.join(map(str, command))}: {done.stdout}{done.stderr}"
        assert done.stdout.startswith("measured the path through functions\n")
        measured = json.loads((tmp_path / f"{name}.json").read_text())
        assert (measured["path"], measured["events"], measured["published_per_s"]) == ("functions", events, rate)
        times = [measured["searchable_s"][part] for part in ("p50", "p90", "p99")]
        assert 0 < times[0] <= times[1] <= times[2] < 300
        assert 0 < measured["indexed_per_s"] <= rate * 1.1
        lags = [point["records"] for point in measured["lag"]]
        assert len(lags) >= 3 and all(0 <= lag <= events for lag in lags) and lags[-1] == 0, measured["lag"]
        seconds = [point["second"] for point in measured["lag"]]
        assert seconds == sorted(seconds)
        assert measured["pods"] == {} and "there are no pods" in done.stdout
        found.append((measured, done.stdout))
    # Each event was indexed once, and by the function.
    query = {"query": {"match_phrase": {"eventType": "Measured"}}, "aggs": {"topic": {"terms": {"field": "kafka_topic"}}}}
    request = urllib.request.Request(
        f"{search}/microservices-*/_search?size=0", json.dumps(query).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        (bucket,) = json.load(response)["aggregations"]["topic"]["buckets"]
    assert bucket == {"key": measure.TOPIC, "doc_count": 2 * events}
    (before, _), (after, text) = found
    rows = {line.split("  ")[0]: line.split()[-2:] for line in text.splitlines()}
    for name, of in (("p50", before), ("p99", before), ("p50", after), ("p99", after)):
        assert str(of["searchable_s"][name]) in rows[f"publish to searchable {name}, s"]
    assert rows["indexed a second"] == [str(before["indexed_per_s"]), str(after["indexed_per_s"])]
    print(text)
