"""Measures a deployed stack: publishes a load and waits until searches find it. `verify.sh --measure` runs it.

    measure.py --namespace demo-micro [--events 20000] [--rate 500] [--out FILE] [--compare FILE]
    measure.py --path functions --publish COMMAND --lag COMMAND --search-url URL [...]

It prints a table and, with --out, writes the same as JSON. --compare FILE shows an earlier result next to it, for example from
before a preset. The second form measures a local stack: one COMMAND publishes each line of its standard input to order.events,
the other prints the lag, as a number or as the table of kafka-consumer-groups.sh or of `kafka-poller lag`.

The time from publishing to searchable is that of the n-th event that was published and the n-th that is found, which is the
time of one event as long as events are found in about their order. Searches are repeated, so it is exact to one round of them.
"""

import argparse
import json
import re
import shlex
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from dataclasses import dataclass, field
from pathlib import Path

TOPIC = "order.events"
GROUP = "logstash-consumer-group"
# How often the lag is read during a load, and the longest time between.
LAGS = 20
LONGEST_INTERVAL_S = 10.0
SEARCH_PATH = "/microservices-*/_count?ignore_unavailable=true"


class Cluster:
    """The stack in Kubernetes, through kubectl."""

    path = "Logstash"

    def __init__(self, namespace: str):
        self._kubectl = ["kubectl", "--namespace", namespace]

    def publisher(self) -> subprocess.Popen:
        """A process that publishes each line of its standard input."""
        tool = ["/opt/kafka/bin/kafka-console-producer.sh", *self._connection(), "--topic", TOPIC]
        return publishing_process([*self._kubectl, "exec", "--stdin", "kafka-0", "--", *tool])

    def count(self, body: dict) -> int:
        """How many events a search finds. The password stays in the environment of the pod."""
        script = (
            "url=http://localhost:9200; ca=; "
            "if [ -f config/certificates/ca.crt ]; "
            "then url=https://localhost:9200; ca='--cacert config/certificates/ca.crt'; fi; "
            'printf \'user = "elastic:%s"\' "$ELASTIC_PASSWORD" | curl --config - --silent --show-error --fail $ca '
            '--header "Content-Type: application/json" --data "$2" "$url$1"'
        )
        command = ["exec", "elasticsearch-0", "--", "sh", "-c", script, "sh", SEARCH_PATH, json.dumps(body)]
        return json.loads(self._run(*command))["count"]

    def lag(self) -> int:
        """The lag of all partitions of the topic."""
        tool = ["/opt/kafka/bin/kafka-consumer-groups.sh", *self._connection(), "--describe", "--group", GROUP]
        return total_lag(self._run("exec", "kafka-0", "--", *tool))

    def usage(self) -> dict[str, dict[str, str]]:
        """CPU and memory of each pod; empty without a metrics server."""
        done = subprocess.run([*self._kubectl, "top", "pods", "--no-headers"], capture_output=True, text=True, check=False)
        rows = [line.split() for line in done.stdout.splitlines()] if done.returncode == 0 else []
        return {row[0]: {"cpu": row[1], "memory": row[2]} for row in rows if len(row) >= 3}

    def _connection(self) -> list[str]:
        return ["--bootstrap-server", "kafka:29092", "--command-config", "/run/kafka/client.properties"]

    def _run(self, *arguments: str) -> str:
        return subprocess.run([*self._kubectl, *arguments], capture_output=True, text=True, check=True).stdout


class Local:
    """A stack on this machine, with the functions in Logstash's place."""

    def __init__(self, path: str, publish: str, lag: str | None, search_url: str):
        self.path = path
        self._publish, self._lag, self._url = publish, lag, search_url.rstrip("/")

    def publisher(self) -> subprocess.Popen:
        """A process that publishes each line of its standard input."""
        return publishing_process(shlex.split(self._publish))

    def count(self, body: dict) -> int:
        """How many events a search finds."""
        request = urllib.request.Request(
            self._url + SEARCH_PATH, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)["count"]

    def lag(self) -> int:
        """The lag that the command prints; ValueError without a command."""
        if self._lag is None:
            raise ValueError("--lag is not given")
        printed = subprocess.run(shlex.split(self._lag), capture_output=True, text=True, check=True).stdout.strip()
        return int(printed) if printed.isdigit() else total_lag(printed)

    def usage(self) -> dict[str, dict[str, str]]:
        """There are no pods."""
        return {}


def publishing_process(command: list[str]) -> subprocess.Popen:
    """The process of a command that reads events. What it prints does not go between the lines of the result."""
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=sys.stderr, text=True)


def total_lag(text: str) -> int:
    """The sum of the lags of the topic's partitions, in the columns of kafka-consumer-groups.sh, which kafka-poller has too."""
    rows = [line.split() for line in text.splitlines()]
    rows = [row for row in rows if len(row) >= 6 and row[1] == TOPIC]
    if not rows:
        raise ValueError(f"nobody reads {TOPIC}")
    return sum(int(row[5]) for row in rows if row[5].isdigit())


@dataclass
class Load:
    """When each event was published, how many were found when, and the lag, in seconds of one clock."""

    published: list[float] = field(default_factory=list)
    found: list[tuple[float, int]] = field(default_factory=list)
    lags: list[tuple[float, int]] = field(default_factory=list)
    usage: dict[str, dict[str, str]] = field(default_factory=dict)
    # Why the events could not be published.
    problem: str | None = None


def run(stack: Cluster | Local, events: int, rate: int, timeout_s: float, clock=time.monotonic, pause=time.sleep) -> Load:
    """Publishes the events at a rate while searching for them. Ends when all are found.

    TimeoutError if they are not, RuntimeError if they could not be published.
    """
    name, load = f"measure-{uuid.uuid4().hex}", Load()
    search = {"query": {"match_phrase": {"run": name}}}
    # Nothing is published if searches do not work. Later one may fail: a new index responds 503 until its shards have started.
    stack.count(search)
    failure = None
    publishing = threading.Thread(target=publish, args=(stack, name, events, rate, load, clock, pause))
    stop = threading.Event()
    interval_s = min(LONGEST_INTERVAL_S, max(1.0, events / rate / LAGS))
    sampling = threading.Thread(target=sample, args=(stack, load, stop, clock, interval_s), daemon=True)
    publishing.start()
    sampling.start()
    deadline = clock() + events / rate + timeout_s
    try:
        while not load.found or load.found[-1][1] < events:
            try:
                count = stack.count(search)
                load.found.append((clock(), count))
            except (OSError, subprocess.CalledProcessError) as error:
                failure = error
            if load.problem:
                raise RuntimeError(load.problem)
            if clock() > deadline:
                found = load.found[-1][1] if load.found else 0
                because = f"; a search failed: {failure}" if failure else ""
                raise TimeoutError(
                    f"{found} of {events} events were found within {timeout_s:g} s after the last was published{because}"
                )
            pause(0.2)
    finally:
        stop.set()
        publishing.join()
        sampling.join(timeout=60)
    return load


def publish(stack: Cluster | Local, name: str, events: int, rate: int, load: Load, clock, pause) -> None:
    """Publishes in parts of a tenth of a second."""
    process = stack.publisher()
    start = clock()
    try:
        with process.stdin as stdin:
            for sequence in range(events):
                wait = start + sequence / rate - clock()
                if wait > 0.1:
                    stdin.flush()
                    pause(wait)
                stdin.write(json.dumps({"run": name, "sequence": sequence, "eventType": "Measured"}) + "\n")
                load.published.append(clock())
    except BrokenPipeError:
        # It has ended: its status says why.
        pass
    if process.wait() != 0 or len(load.published) < events:
        load.problem = f"publishing ended with status {process.returncode} after {len(load.published)} of {events} events"


def sample(stack: Cluster | Local, load: Load, stop: threading.Event, clock, interval_s: float) -> None:
    """Reads lag and usage again and again, and once more at the end. The usage with the most CPU of a pod counts."""
    last = False
    while not last:
        last = stop.is_set()
        try:
            load.lags.append((clock(), stack.lag()))
        except (subprocess.CalledProcessError, ValueError) as error:
            print(f"no lag: {error}", file=sys.stderr)
        for pod, now in stack.usage().items():
            before = load.usage.get(pod)
            if before is None or amount(now["cpu"]) >= amount(before["cpu"]):
                load.usage[pod] = now
        if not last:
            stop.wait(interval_s)


def amount(text: str) -> float:
    """The number of a quantity such as 250m."""
    return float(re.match(r"[\d.]+", text)[0])


def result(path: str, load: Load, rate: int) -> dict:
    """What was measured: seconds, and events a second."""
    start = load.published[0]
    latencies = sorted(latencies_of(load))
    last = load.found[-1][0]
    return {
        "path": path,
        "events": len(load.published),
        "published_per_s": rate,
        "indexed_per_s": round(len(load.published) / max(last - start, 0.001), 1),
        "searchable_s": {
            name: round(quantile(latencies, part), 2) for name, part in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
        },
        "lag": [{"second": round(at - start, 1), "records": lag} for at, lag in load.lags],
        "pods": load.usage,
    }


def latencies_of(load: Load) -> list[float]:
    """The time of the n-th published event until n events were found."""
    found = iter(load.found)
    at, count = next(found)
    times = []
    for number, published in enumerate(load.published, start=1):
        while count < number:
            at, count = next(found)
        times.append(max(0.0, at - published))
    return times


def quantile(values: list[float], part: float) -> float:
    """The smallest value that this part of the values does not exceed (nearest rank)."""
    return values[max(0, min(len(values) - 1, int(-(-len(values) * part // 1)) - 1))]


def table(measured: dict, before: dict | None) -> str:
    """The result as text, with an earlier one next to it."""
    rows = {}
    for number, each in enumerate([before, measured] if before else [measured]):
        values = {
            "path": each["path"],
            "events": each["events"],
            "published a second": each["published_per_s"],
            "indexed a second": each["indexed_per_s"],
            **{f"publish to searchable {name}, s": value for name, value in each["searchable_s"].items()},
            "highest lag": max((point["records"] for point in each["lag"]), default="unknown"),
            "last lag": each["lag"][-1]["records"] if each["lag"] else "unknown",
            **{f"{pod}, CPU and memory": f"{used['cpu']} {used['memory']}" for pod, used in sorted(each["pods"].items())},
        }
        for name, value in values.items():
            rows.setdefault(name, ["", ""])[number] = str(value)
    lines = [("", "before", "now")] if before else []
    lines += [(name, *values) if before else (name, values[0]) for name, values in rows.items()]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
    if measured["pods"]:
        return text
    why = "there is no metrics server" if measured["path"] == Cluster.path else "there are no pods"
    return f"{text}\nCPU and memory are unknown: {why}"


def main() -> int:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--namespace", default="demo-micro")
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rate", type=int, default=500, help="events a second")
    parser.add_argument("--timeout", type=float, default=300, help="seconds after the last event was published")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--compare", type=Path)
    parser.add_argument("--path", default="functions")
    parser.add_argument("--publish")
    parser.add_argument("--lag")
    parser.add_argument("--search-url")
    options = parser.parse_args()
    if options.events < 1 or options.rate < 1:
        parser.error("--events and --rate must be at least 1")
    before = json.loads(options.compare.read_text()) if options.compare else None
    if bool(options.publish) != bool(options.search_url):
        parser.error("a local stack needs --publish and --search-url")
    if options.publish:
        stack = Local(options.path, options.publish, options.lag, options.search_url)
    else:
        stack = Cluster(options.namespace)
    try:
        measured = result(stack.path, run(stack, options.events, options.rate, options.timeout), options.rate)
    except (TimeoutError, RuntimeError, subprocess.CalledProcessError, OSError) as error:
        print(f"measure.py: {error}{getattr(error, 'stderr', '') or ''}", file=sys.stderr)
        return 1
    print(f"measured the path through {measured['path']}")
    print(table(measured, before))
    if options.out:
        options.out.write_text(json.dumps(measured, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
