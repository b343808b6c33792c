"""Publishes events to the instance's Kafka, and waits until each of them is searchable in OpenSearch."""

import time
from collections.abc import Callable
from pathlib import Path

from local_stack import cargo, environments, rest, sam
from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.process import run_logged, tail
from local_stack.progress import say, step
from local_stack.servers.kafka import KAFKA
from local_stack.servers.localstack import LOCALSTACK
from local_stack.servers.opensearch import OPENSEARCH
from local_stack.servers.poller import POLLER
from local_stack.servers.schema_registry import SCHEMA_REGISTRY

INDICES = "microservices-*,dead-letters-microservices-*"
WAIT_S = 120
EVENTS_PER_S = 200  # far below the rate on a small machine, because this sets a deadline

# A CloudEvents event, and one with an object where the generated events have text.
OTHER_TEAMS = Path(__file__).parent.parent / "other-teams.ndjson"

# One of the template's own topics.
ORDERS = "order.events"

# The formats of `make produce FORMAT=…`, and the script that publishes them.
FORMATS = ("avro", "json-schema", "protobuf")
SERIALIZED_EVENTS = Path(__file__).parent.parent / "serialized_events.py"

Offsets = dict[tuple[str, int], int]
Show = Callable[[str], None]


def ignore(_: str) -> None:
    """Shows nothing: the demo's report has the numbers, and the log has the rest."""


def generate(instance: Instance, count: int, show: Show = ignore) -> None:
    """Publishes realistic events of three services, to their own topics or to those that were deployed instead.

    `show` gets what the producer prints.
    """
    topics = sam.deployed_topics(instance)
    chosen = ["--topics", topics] if topics else []
    _publish(instance, f"publishing {count:,} events", ["generate", "--count", str(count), *chosen], show)


def publish_other_teams(instance: Instance) -> None:
    """Publishes events of other shapes to a topic of the generated ones."""
    _publish_lines(instance, "publishing events of other teams", OTHER_TEAMS, first_topic(instance), ignore)


def first_topic(instance: Instance) -> str:
    """A topic that was deployed."""
    return (sam.deployed_topics(instance) or ORDERS).split(",")[0].strip()


def publish_file(instance: Instance, file: Path, topic: str) -> None:
    """Publishes the user's own events, one per line."""
    if not file.is_file():
        raise StackError(f"there is no file {file}")
    _publish_lines(instance, f"publishing {file} to {topic}", file, topic, say)


def publish_serialized(
    instance: Instance, published_as: str, count: int, topic: str | None = None, show: Show = ignore
) -> None:
    """Publishes orders in one of `FORMATS` with Confluent's serializers, by default to a topic that has plain JSON too."""
    topic = topic or first_topic(instance)
    if not instance.running(SCHEMA_REGISTRY.name):
        raise StackError(f"events in {published_as} need the schema registry: start it with make demo FORMATS=1")
    python = environments.ensure("serializers") / "bin" / "python"
    command = [
        str(python), str(SERIALIZED_EVENTS), KAFKA.info(instance)["bootstrap_servers"],
        SCHEMA_REGISTRY.info(instance)["endpoint"], topic, published_as, str(count),
    ]  # fmt: skip
    _run(instance, f"publishing {count:,} events in {published_as} to {topic}", command, show)


def _publish_lines(instance: Instance, title: str, file: Path, topic: str, show: Show) -> None:
    _publish(instance, title, ["file", "--topic", topic, str(file.resolve())], show)


def _publish(instance: Instance, title: str, arguments: list[str], show: Show) -> None:
    producer = cargo.build("event-producer")
    servers = KAFKA.info(instance)["bootstrap_servers"]
    _run(instance, title, [str(producer), arguments[0], "--bootstrap-servers", servers, *arguments[1:]], show)


def _run(instance: Instance, title: str, command: list[str], show: Show) -> None:
    """Runs a program that publishes, and waits for what it published."""
    before = KAFKA.end_offsets(instance)
    log = instance.folder / "logs" / "event-producer.log"
    run_logged(title, command, log)
    show(tail(log))
    after = KAFKA.end_offsets(instance)
    _wait_until_searchable(instance, before, after)


def _wait_until_searchable(instance: Instance, before: Offsets, after: Offsets) -> None:
    """Counts the documents of exactly the published offsets, in the daily and the dead-letter indices."""
    query = published_between(before, after)
    wanted = sum(end - before.get(partition, 0) for partition, end in after.items())
    if wanted == 0:
        say("      no event was published")
        return
    endpoint = OPENSEARCH.info(instance)["endpoint"]
    deadline = time.monotonic() + WAIT_S + wanted / EVENTS_PER_S
    found, problem = 0, ""
    with step(f"waiting until {wanted:,} events are searchable", share=lambda: found / wanted):
        while found < wanted:
            try:
                found, problem = _count(endpoint, query), ""
            except StackError as error:
                # A 503 while the shards of a new index start.
                problem = f" ({error})"
            if time.monotonic() > deadline:
                raise StackError(
                    f"only {found} of {wanted} events are searchable{problem}. {instance.log(POLLER.name)} and "
                    f"{instance.log(LOCALSTACK.name)} show whether the function fails. A topic that was not deployed has no "
                    "event source mapping: deploy it with make demo TOPICS=…"
                )
            time.sleep(0.2)


def published_between(before: Offsets, after: Offsets) -> dict:
    """The query for the documents of the records whose offsets are in between."""
    grown = {
        partition: (before.get(partition, 0), end) for partition, end in after.items() if end > before.get(partition, 0)
    }
    return {
        "bool": {
            "should": [
                {
                    "bool": {
                        "filter": [
                            {"term": {"kafka_topic": topic}},
                            {"term": {"kafka_partition": partition}},
                            {"range": {"kafka_offset": {"gte": first, "lt": end}}},
                        ]
                    }
                }
                for (topic, partition), (first, end) in sorted(grown.items())
            ],
            "minimum_should_match": 1,
        }
    }


def _count(endpoint: str, query: dict) -> int:
    rest.call("POST", f"{endpoint}/{INDICES}/_refresh?ignore_unavailable=true")
    return rest.call("POST", f"{endpoint}/{INDICES}/_count?ignore_unavailable=true", {"query": query})["count"]
