"""Replays dead letters: invokes the deployed function until it has processed them all, and prints what it did."""

import argparse
import sys

from local_stack.command_line import exit_code
from local_stack.commands.replay_function import counted, incomplete, parser, problems, responses
from local_stack.errors import StackError
from local_stack.instance import Instance

COUNTS = {
    "read": "read",
    "indexed": "indexed",
    "duplicates": "already in the index",
    "removed": "dead letters removed",
    "refused": "rejected again; their dead letters stay",
    "failed": "failed; replay them again",
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


def describe(response: dict) -> str:
    """The function's response as text for people."""
    lines = []
    if response.get("dry_run"):
        lines.append(f"{response['matched']:>9} would be replayed; nothing was changed")
        lines += _groups(response["by_service"])
    else:
        lines += counted(response, COUNTS)
        lines += _groups(response.get("refused_by_service", {}))
    if "objects" in response:
        lines.append("objects: " + ", ".join(f"{count} {name}" for name, count in response["objects"].items()))
    for sample in response.get("sample", []):
        lines.append(f"  {sample['id']} -> {sample['index'] or 'no document can be made from it'}")
        lines.append(f"      {sample['error_type']}: {sample['reason']}")
    return "\n".join([*lines, *problems(response), *incomplete(response)])


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
    options = parser("replay", __doc__)
    options.add_argument("--dry-run", action="store_true", help="only show what would be replayed")
    options.add_argument("--error-type", action="append", metavar="TYPE", help="for example mapper_parsing_exception")
    options.add_argument("--id", action="append", metavar="ID", help="a dead letter's id; repeat it for more")
    options.add_argument("--all", action="store_true", help="every dead letter")
    options.add_argument("--bucket", metavar="NAME", help="on-failure records in this bucket, instead of dead letters")
    options.add_argument("--key", help="one object")
    options.add_argument("--prefix", help="the objects whose keys begin with this")
    options.add_argument("--delete", action="store_true", help="delete objects whose records are all indexed")
    return options.parse_args(words)


def main() -> int:
    """Runs one replay."""
    arguments = _arguments(sys.argv[1:])
    return exit_code(
        lambda: 0 if replay(Instance(arguments.instance), event_of(arguments)) else 1,
        "run it again to continue: records that are already indexed then count as duplicates",
    )
