"""The user's commands: start the whole stack with events in it, stop it, publish more events, search. `make help` lists them."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from local_stack import lifecycle, paths, prerequisites, progress, sam
from local_stack.command_line import exit_code
from local_stack.commands import publishing, summary
from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.servers.console import CONSOLE
from local_stack.servers.poller import POLLER
from local_stack.servers.schema_registry import SCHEMA_REGISTRY
from local_stack.servers.table import DEPLOYMENT, STACK, stack_prerequisites
from local_stack.terminal import style

EVENTS = 3000
# The shipped rules change nothing.
RULES = paths.SERVERS / "demo-pipeline.yaml"
SERIALIZED_EVENTS = 100  # of each format


def up(instance: Instance, n_events: int, topics: str | None, formats: Sequence[str]) -> None:
    """Starts the servers that do not run, deploys, publishes events and shows the result.

    `formats` are those of `publishing.FORMATS` in which events are published besides JSON.
    """
    prerequisites.require(stack_prerequisites())
    lifecycle.start(instance, [CONSOLE])
    lifecycle.start(instance, (SCHEMA_REGISTRY, *DEPLOYMENT) if formats else DEPLOYMENT)
    # The rules of the last deployment stay, as its topics do.
    sam.deploy(instance, [], topics, None if sam.rules_file(instance).exists() else RULES)
    lifecycle.start(instance, [POLLER])
    publishing.generate(instance, n_events)
    publishing.publish_other_teams(instance)
    for published_as in formats:
        publishing.publish_serialized(instance, published_as, SERIALIZED_EVENTS)
    summary.show(instance, style(sys.stdout))


def down(instance: Instance) -> None:
    """Stops the servers of the stack; its data stays."""
    if not lifecycle.info(instance):
        progress.say(f"no server of the stack `{instance.name}` runs")
        return
    lifecycle.stop(instance)
    progress.say(f"stopped; the data stays in {instance.folder} (`make demo-clean` removes it)")


def clean(instance: Instance) -> None:
    """Stops the servers and removes the stack's data; downloads stay in the cache."""
    lifecycle.stop(instance)
    shutil.rmtree(instance.folder, ignore_errors=True)
    progress.say(f"removed {instance.folder}")


def produce(instance: Instance, n_events: int, file: str | None, topic: str | None, published_as: str | None) -> None:
    """Publishes generated events, in JSON or another format, or the user's own file; waits until they are searchable."""
    for server in STACK:
        if not instance.running(server.name):
            raise StackError(f"{server.name} does not run: start the stack with `make demo`")
    if file:
        if not topic:
            raise StackError(
                "name the topic that the file's events go to: make produce FILE=events.ndjson TOPIC=order.events"
            )
        publishing.publish_file(instance, Path(file), topic)
    elif published_as:
        publishing.publish_serialized(instance, published_as, n_events, topic, progress.say)
    else:
        publishing.generate(instance, n_events, progress.say)


def main() -> int:
    """Runs one command."""
    arguments = _arguments()
    return exit_code(
        lambda: _run(arguments),
        "the started servers still run: `make status` lists them, `make demo-down` stops them",
    )


def _run(arguments: argparse.Namespace) -> int:
    instance = Instance(arguments.instance)
    match arguments.command:
        case "up":
            up(instance, arguments.count, arguments.topics, publishing.FORMATS if arguments.formats else ())
        case "down":
            down(instance)
        case "clean":
            clean(instance)
        case "produce":
            produce(instance, arguments.count, arguments.file, arguments.topic, arguments.format)
        case "search":
            summary.search(instance, arguments.query)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo.py", description=__doc__)
    parser.add_argument("--instance", default="demo", metavar="NAME", help="which stack (default: %(default)s)")
    commands = parser.add_subparsers(required=True, dest="command")
    start = commands.add_parser("up", help="start everything, publish events, show the result")
    start.add_argument("--count", type=int, default=EVENTS, help="how many events (default: %(default)s)")
    start.add_argument(
        "--topics",
        metavar="TOPIC,…",
        help="deploy these topics (default: those of the last deployment, else the template's)",
    )
    start.add_argument(
        "--formats", action="store_true", help="start a schema registry, and publish Avro, JSON Schema and Protobuf too"
    )
    commands.add_parser("down", help="stop the servers; keep the data")
    commands.add_parser("clean", help="stop the servers and remove the data")
    more = commands.add_parser("produce", help="publish more events")
    more.add_argument("--count", type=int, default=EVENTS, help="how many generated events (default: %(default)s)")
    source = more.add_mutually_exclusive_group()
    source.add_argument("--file", help="your own events, one per line, instead of generated ones")
    source.add_argument("--format", choices=publishing.FORMATS, help="orders in this format instead of JSON")
    more.add_argument("--topic", help="the topic that the events of a file or in a format go to")
    search = commands.add_parser("search", help="search the daily indices")
    search.add_argument(
        "query", help="as in OpenSearch Dashboards' search box, for example: service_name:order AND total:>100"
    )
    return parser.parse_args()
