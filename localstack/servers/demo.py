"""The user's commands: the whole stack up with events in it, down, more events, a search. `make help` lists them."""

import argparse
import shutil
import sys
from pathlib import Path

import deployment
import kafka
import localstack
import opensearch
import poller
import prerequisites
import progress
import publishing
import servers
import summary
from errors import StackError
from instance import Instance

EVENTS = 3000
SERVERS = [kafka.NAME, opensearch.NAME, localstack.NAME]


def up(instance: Instance, n_events: int) -> None:
    """Starts what does not run, deploys, publishes events and shows what became of them."""
    prerequisites.require()
    servers.start(instance, SERVERS)
    deployment.deploy(instance, [])
    servers.start(instance, [poller.NAME])
    publishing.generate(instance, n_events)
    summary.show(instance)


def down(instance: Instance) -> None:
    """Stops the servers of the stack; its data stays."""
    if not servers.info(instance):
        progress.say(f"nothing of the stack `{instance.name}` runs")
        return
    servers.stop(instance, list(servers.SERVERS))
    progress.say(f"stopped; the data stays in {instance.folder} (`make demo-clean` removes it)")


def clean(instance: Instance) -> None:
    """Stops the servers and removes the stack's data; downloads stay in the cache."""
    servers.stop(instance, list(servers.SERVERS))
    shutil.rmtree(instance.folder, ignore_errors=True)
    progress.say(f"removed {instance.folder}")


def produce(instance: Instance, n_events: int, file: str | None, topic: str | None) -> None:
    """Publishes generated events or the user's own file, and waits until they are searchable."""
    for name in SERVERS + [poller.NAME]:
        if not instance.running(name):
            raise StackError(f"{name} does not run: start the stack with `make demo`")
    if file:
        if not topic:
            raise StackError(
                "say which topic the file's events go to: make produce FILE=events.ndjson TOPIC=order.events"
            )
        publishing.publish_file(instance, Path(file), topic)
    else:
        publishing.generate(instance, n_events)


def main() -> int:
    """Runs one command; a failure is told in words."""
    arguments = _arguments()
    instance = Instance(arguments.instance)
    try:
        match arguments.command:
            case "up":
                up(instance, arguments.count)
            case "down":
                down(instance)
            case "clean":
                clean(instance)
            case "produce":
                produce(instance, arguments.count, arguments.file, arguments.topic)
            case "search":
                summary.search(instance, arguments.query)
    except StackError as error:
        progress.say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        progress.say("interrupted; what was started goes on running: `make status` lists it, `make demo-down` ends it")
        return 130
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo.py", description=__doc__)
    parser.add_argument("--instance", default="demo", metavar="NAME", help="which stack (default: %(default)s)")
    commands = parser.add_subparsers(required=True, dest="command")
    start = commands.add_parser("up", help="start everything, publish events, show the result")
    start.add_argument("--count", type=int, default=EVENTS, help="how many events (default: %(default)s)")
    commands.add_parser("down", help="stop what was started; keep the data")
    commands.add_parser("clean", help="stop what was started and remove the data")
    more = commands.add_parser("produce", help="publish more events")
    more.add_argument("--count", type=int, default=EVENTS, help="how many generated events (default: %(default)s)")
    more.add_argument("--file", help="your own events, a line an event, in place of generated ones")
    more.add_argument("--topic", help="the topic that the file's events go to")
    asked = commands.add_parser("search", help="search the daily indices")
    asked.add_argument(
        "query", help="as in OpenSearch Dashboards' search box, for example: service_name:order AND total:>100"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
