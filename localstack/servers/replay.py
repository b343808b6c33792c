"""Replays dead letters: invokes the deployed function until it has come to the end, and prints what it did."""

import argparse
import json
import sys

import localstack
import progress
import rest
import sam
from errors import StackError
from instance import Instance

FUNCTION = f"{sam.STACK_NAME}-replay-dead-letters"
TIMEOUT_S = 930  # longer than the longest invocation
COUNTS = {
    "read": "read",
    "indexed": "indexed",
    "duplicates": "were in the index already",
    "removed": "dead letters removed",
    "refused": "refused again, kept",
    "failed": "failed, to be replayed again",
    "not_removed": "indexed, their dead letters not removed yet",
}


def replay(instance: Instance, event: dict) -> bool:
    """Invokes the function, and again while it says where to go on; whether everything came through."""
    if set(event) <= {"dry_run"}:
        raise StackError(
            "say which dead letters: --service, --error-type, --from, --to or --id, or --all for every one, "
            "such as make replay ARGS='--service order --dry-run'"
        )
    if not instance.running(localstack.NAME):
        raise StackError(f"LocalStack does not run in instance `{instance.name}`: start the stack with `make demo`")
    endpoint = localstack.info(instance)["endpoint"]
    url = f"{endpoint}/2015-03-31/functions/{FUNCTION}/invocations"
    while True:
        answer = rest.call("POST", url, event, timeout_s=TIMEOUT_S)
        if "errorType" in answer:
            raise StackError(f"{answer['errorType']}: {answer.get('errorMessage', '')}")
        print(told(answer), flush=True)
        if answer["complete"]:
            return not answer.get("failed")
        # A run that failed would fail again at once; one whose time was over goes on.
        if answer.get("failed") or answer["next"] == event:
            return False
        event = answer["next"]


def told(answer: dict) -> str:
    """An answer as people read it."""
    lines = []
    if answer.get("dry_run"):
        lines.append(f"{answer['matched']:>9} would be replayed; nothing was changed")
        lines += _groups(answer["by_service"])
    else:
        lines += [f"{answer[name]:>9} {words}" for name, words in COUNTS.items() if answer[name] or name == "read"]
        lines += _groups(answer.get("refused_by_service", {}))
    if "objects" in answer:
        lines.append("objects: " + ", ".join(f"{count} {name}" for name, count in answer["objects"].items()))
    for sample in answer.get("sample", []):
        lines.append(f"  {sample['id']} -> {sample['index'] or 'no document can be made of it'}")
        lines.append(f"      {sample['error_type']}: {sample['reason']}")
    lines += [
        f"  {problem['id']}\n      {problem['type']}: {problem['reason']}" for problem in answer.get("problems", [])
    ]
    if not answer["complete"]:
        lines.append(f"not complete: {answer.get('stopped', 'the time is over')}")
        lines.append(f"to go on: {json.dumps(answer['next'])}")
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
        "--service", action="append", metavar="NAME", help="order, or its topic order.events; again for more"
    )
    parser.add_argument("--error-type", action="append", metavar="TYPE", help="for example mapper_parsing_exception")
    parser.add_argument("--from", dest="since", metavar="TIME", help="events from this time on: 2026-03-01, now-2d")
    parser.add_argument("--to", metavar="TIME", help="events before this time")
    parser.add_argument("--id", action="append", metavar="ID", help="a dead letter's id; again for more")
    parser.add_argument("--all", action="store_true", help="every dead letter")
    parser.add_argument("--bucket", metavar="NAME", help="on-failure records in this bucket, in place of dead letters")
    parser.add_argument("--key", help="one object")
    parser.add_argument("--prefix", help="the objects whose keys begin so")
    parser.add_argument("--delete", action="store_true", help="delete objects whose records are all indexed")
    return parser.parse_args(words)


def main() -> int:
    """Runs one replay; a failure is told in words."""
    arguments = _arguments(sys.argv[1:])
    try:
        return 0 if replay(Instance(arguments.instance), event_of(arguments)) else 1
    except StackError as error:
        progress.say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        progress.say("interrupted; run it again to go on: what is indexed by now is a duplicate then")
        return 130


if __name__ == "__main__":
    sys.exit(main())
