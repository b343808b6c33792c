"""Watches an instance: each source is read again and again by a thread of its own, so that one that hangs holds up no other."""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from local_stack import lifecycle, provisioning, rest
from local_stack.console import aws
from local_stack.console.batches import batches
from local_stack.console.documents import Documents
from local_stack.console.problems import problems
from local_stack.console.rates import Progress, Rates, lag
from local_stack.console.running import NotRunning, endpoint
from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.servers.localstack import LOCALSTACK
from local_stack.servers.opensearch import OPENSEARCH
from local_stack.servers.poller import POLLER
from local_stack.servers.table import STACK

TIMEOUT_S = 3
WATCHED_S = 15  # for so long after a page's last request the cluster and the logs are read
BATCHES = 6  # shown of each function
LOG_STREAMS = 3  # the newest of a function, each of one process
LOG_EVENTS = 60  # of each
SILENT_AFTER = 2  # failed attempts of a server whose process runs


@dataclass
class Source:
    """One thing that is read repeatedly: its last value, and why it could not be read the last time."""

    read: Callable[[], Any]
    every_s: float
    value: Any
    error: str | None = None
    failures: int = 0
    known: bool = False
    wake: threading.Event = field(default_factory=threading.Event)

    def update(self) -> None:
        """Reads it once."""
        try:
            self.value, self.error, self.failures, self.known = self.read(), None, 0, True
        except NotRunning as error:
            self.error, self.failures = str(error), 0
        except Exception as error:
            # A server that starts or stops can respond with anything, and the thread must go on.
            self.error, self.failures = str(error) or type(error).__name__, self.failures + 1


class Watch:
    """The state of one instance, kept up to date while a page asks for it."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._asked_s = 0.0
        self._lock = threading.Lock()
        self._documents: Documents | None = None
        self._rates, self._progress = Rates(), Progress()
        self.sources = {
            "poller": Source(self._read_poller, 1, []),
            "mappings": Source(lambda: aws.mappings(instance), 2, []),
            "functions": Source(self._read_functions, 3, []),
            "dead_letters": Source(lambda: self.documents().dead_letters(), 2, {"total": 0, "items": []}),
            "conflicts": Source(lambda: self.documents().conflicts(), 2, {"total": 0, "items": []}),
            "cluster": Source(self._read_cluster, 15, []),
        }

    def start(self) -> None:
        """Starts the threads. They end with the process."""
        for name, source in self.sources.items():
            # Rates need each second, whether or not a page is open; the rest is read for a page alone.
            threading.Thread(target=self._repeat, args=(source, name == "poller"), daemon=True).start()

    def documents(self) -> Documents:
        """The cluster's documents; a StackError if the instance's OpenSearch does not run."""
        found = endpoint(self._instance, OPENSEARCH)
        with self._lock:
            if self._documents is None or self._documents.endpoint != found:
                self._documents = Documents(found)
            return self._documents

    def asked(self) -> None:
        """Notes that a page is open."""
        idle = time.monotonic() - self._asked_s > WATCHED_S
        self._asked_s = time.monotonic()
        if idle:
            self.hurry()

    def hurry(self) -> None:
        """Reads everything now, after a change."""
        for source in self.sources.values():
            source.wake.set()

    def state(self) -> dict:
        """Everything but the events that a search finds."""
        now_s, sources = time.monotonic(), self.sources
        state = {
            "instance": self._instance.name,
            "servers": self._servers(),
            "mappings_known": sources["mappings"].known and not sources["mappings"].error,
            "mappings": [self._mapping(now_s, each) for each in sources["mappings"].value],
            "functions": sources["functions"].value,
            "dead_letters": {**sources["dead_letters"].value, "error": sources["dead_letters"].error},
            "conflicts": {**sources["conflicts"].value, "error": sources["conflicts"].error},
            "cluster": sources["cluster"].value,
        }
        return {**state, "problems": problems(state)}

    def _repeat(self, source: Source, always: bool) -> None:
        while True:
            if always or time.monotonic() - self._asked_s <= WATCHED_S:
                source.update()
            source.wake.wait(source.every_s)
            source.wake.clear()

    def _servers(self) -> list[dict]:
        known = lifecycle.info(self._instance)
        failing = {
            LOCALSTACK.name: self.sources["mappings"].failures,
            OPENSEARCH.name: self.sources["dead_letters"].failures,
            POLLER.name: self.sources["poller"].failures,
        }
        servers = []
        for server in STACK:
            found = known.get(server.name, {})
            state = (
                "down"
                if not found.get("running")
                else "silent"
                if failing.get(server.name, 0) >= SILENT_AFTER
                else "runs"
            )
            where = found.get("bootstrap_servers") or found.get("endpoint") or ""
            servers.append(
                {"name": server.name, "title": server.title.removeprefix("the ").capitalize() if server is POLLER else server.title,
                 "state": state, "where": where.removeprefix("http://"), "log": str(self._instance.log(server.name))}
            )  # fmt: skip
        return servers

    def _read_poller(self) -> list[dict]:
        now_s = time.monotonic()
        try:
            status = rest.call("GET", f"{endpoint(self._instance, POLLER)}/status", timeout_s=TIMEOUT_S)["mappings"]
        except StackError:
            self._rates.silence(now_s)
            raise
        self._rates.record(now_s, status)
        self._progress.record(now_s, status)
        return status

    def _mapping(self, now_s: float, mapping: dict) -> dict:
        uuid = mapping["UUID"]
        served = next((each for each in self.sources["poller"].value if each["uuid"] == uuid), None)
        served = served if not self.sources["poller"].error else None
        partitions = [
            {"partition": each["partition"], "lag": lag(each), "committed": each["committed"], "end": each["end"],
             "in_flight": each["inFlight"], "stuck_s": round(self._progress.stuck_s(now_s, uuid, each["partition"]))}
            for each in sorted((served or {}).get("partitions", []), key=lambda each: each["partition"])
        ]  # fmt: skip
        topic = (mapping.get("Topics") or ["?"])[0]
        return {
            "uuid": uuid, "topic": topic, "service": topic.removesuffix(".events"), "state": mapping.get("State", ""),
            "function": function_name(mapping.get("FunctionArn", "")),
            "result": (served or {}).get("lastProcessingResult", ""), "problem": (served or {}).get("problem"),
            "stalled": (served or {}).get("stalled", []), "lost": (served or {}).get("lost"),
            "warning": (served or {}).get("warning"), "served": served is not None, "partitions": partitions,
            "counts": (served or {}).get("counts", {}), "rates": self._rates.of(uuid),
        }  # fmt: skip

    def _read_cluster(self) -> list[dict]:
        endpoint(self._instance, LOCALSTACK)
        return [asdict(each) for each in provisioning.report(self._instance)]

    def _read_functions(self) -> list[dict]:
        groups = sorted(aws.log_groups(self._instance).items())
        return [
            {"name": name, "batches": batches(aws.newest_logs(self._instance, group, LOG_STREAMS, LOG_EVENTS), BATCHES)}
            for name, group in groups
        ]


def function_name(arn: str) -> str:
    """The function's name in an ARN, which may end with an alias."""
    parts = arn.split(":")
    return parts[6] if len(parts) > 6 else arn
