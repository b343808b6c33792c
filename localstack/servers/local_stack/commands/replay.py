"""Replays dead letters: invokes the deployed function until it has processed them all, and prints what it did."""

import argparse
import json
import sys
from collections.abc import Iterator

from local_stack import progress, rest, sam
from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.servers.localstack import LOCALSTACK

FUNCTION = f"{sam.STACK_NAME}-replay-dead-letters"
TIMEOUT_S = 930  # longer than the longest invocation
COUNTS = {
    "read": "read",
    "indexed": "indexed",
    "duplicates": "already in the index",
    "removed": "dead letters removed",
    "refused": "refused again, kept",
    "failed": "failed, to be replayed again",
    "not_removed": "indexed, their dead letters not yet removed",
}


def replay(instance: Instance, event: dict) -> bool:
    """Invokes the function for as long as it returns a next request; returns whether nothing failed."""
    if set(event) <= {"dry_run"}:
        raise StackError(
            "name the dead letters: --service, --error-type, --from, --to or --id, or --all for every one. "
            "For example: make replay ARGS='--service order --dry-run'"
        )
    for request, response in responses(instance, event):
        print(describe(response), flush=True)
        if response["complete"]:
            return not response.get("failed")
        # A run that failed would fail again at once. A run that reached its time limit continues.
        if response.get("failed") or response["next"] == request:
            return False
    return True


def responses(instance: Instance, event: dict) -> Iterator[tuple[dict, dict]]:
    """Invokes the function for as long as it returns a next request; yields each request and its response."""
    if not instance.running(LOCALSTACK.name):
        raise StackError(f"LocalStack does not run in instance `{instance.name}`: start the stack with `make demo`")
    endpoint = LOCALSTACK.info(instance)["endpoint"]
    url = f"{endpoint}/2015-03-31/functions/{FUNCTION}/invocations"
    while True:
        response = rest.call("POST", url, event, timeout_s=TIMEOUT_S)
        if "errorType" in response:
            raise StackError(f"{response['errorType']}: {response.get('errorMessage', '')}")
        yield event, response
        if response["complete"]:
            return
        event = response["next"]


def describe(response: dict) -> str:
    """The function's response as text for people."""
    lines = []
    if response.get("dry_run"):
        lines.append(f"{response['matched']:>9} would be replayed; nothing was changed")
        lines += _groups(response["by_service"])
    else:
        lines += [f"{response[name]:>9} {words}" for name, words in COUNTS.items() if response[name] or name == "read"]
        lines += _groups(response.get("refused_by_service", {}))
    if "objects" in response:
        lines.append("objects: " + ", ".join(f"{count} {name}" for name, count in response["objects"].items()))
    for sample in response.get("sample", []):
        lines.append(f"  {sample['id']} -> {sample['index'] or 'no document can be made from it'}")
        lines.append(f"      {sample['error_type']}: {sample['reason']}")
    lines += [
        f"  {problem['id']}\n      {problem['type']}: {problem['reason']}" for problem in response.get("problems", [])
    ]
    if not response["complete"]:
        lines.append(f"not complete: {response.get('stopped', 'the time limit was reached')}")
        lines.append(f"to continue: {json.dumps(response['next'])}")
    return "\n".join(lines)


def _groups(groups: dict) -> list[str]:
    return [
        f"{count:>13} {service}  {kind}"
        for service, kinds in sorted(groups.items())
        for kind, count in sorted(kinds.items())
    ]


def event_of(arguments: argparse.Namespace) -> dict:
    """The function's event for the command line."""
    given = {
        "service": arguments.service,
        "error_type": arguments.error_type,
        "from": arguments.since,
        "to": arguments.to,
        "ids": arguments.id,
        "all": arguments.all,
        "dry_run": arguments.dry_run,
    }
    event = {name: value for name, value in given.items() if value}
    objects = {"key": arguments.key, "prefix": arguments.prefix, "delete": arguments.delete or None}
    if arguments.bucket:
        event["s3"] = {"bucket": arguments.bucket, **{k: v for k, v in objects.items() if v is not None}}
    return event


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make replay ARGS=", description=__doc__, add_help=True)
    parser.add_argument("--instance", default="demo", metavar="NAME", help="which stack (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be replayed")
    parser.add_argument(
        "--service", action="append", metavar="NAME", help="order, or its topic order.events; repeat it for more"
    )
    parser.add_argument("--error-type", action="append", metavar="TYPE", help="for example mapper_parsing_exception")
    parser.add_argument("--from", dest="since", metavar="TIME", help="events from this time on: 2026-03-01, now-2d")
    parser.add_argument("--to", metavar="TIME", help="events before this time")
    parser.add_argument("--id", action="append", metavar="ID", help="a dead letter's id; repeat it for more")
    parser.add_argument("--all", action="store_true", help="every dead letter")
    parser.add_argument("--bucket", metavar="NAME", help="on-failure records in this bucket, instead of dead letters")
    parser.add_argument("--key", help="one object")
    parser.add_argument("--prefix", help="the objects whose keys begin with this")
    parser.add_argument("--delete", action="store_true", help="delete objects whose records are all indexed")
    return parser.parse_args(words)


def main() -> int:
    """Runs one replay; prints a failure in one message."""
    arguments = _arguments(sys.argv[1:])
    try:
        return 0 if replay(Instance(arguments.instance), event_of(arguments)) else 1
    except StackError as error:
        progress.say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        progress.say("interrupted; run it again to continue: what is already indexed counts as a duplicate then")
        return 130
