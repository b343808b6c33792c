"""`verify.sh --measure`: the figures that it prints.

Stand-ins take the place of the stack: a command that publishes, a search that finds what it got, and kubectl. No real server
is measured here.
"""

import json
import subprocess
import sys

import pytest
from conftest import KUBERNETES
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
