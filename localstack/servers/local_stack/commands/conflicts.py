"""Lists the events whose fields the mapping rejected, with the mapping that ends each conflict, or fixes them."""

import argparse
import json
import sys

from local_stack import rest
from local_stack.command_line import exit_code
from local_stack.commands.replay_function import counted, incomplete, parser, problems, responses
from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.servers.opensearch import OPENSEARCH

COUNTS = {
    "read": "found",
    "fixed": "now have their usual form",
    "fixed_before": "already had their usual form",
    "changed": "changed since they were written, or deleted; not fixed",
    "still_rejected": "still rejected by the mapping of their index; not fixed",
    "failed": "failed; fix them again",
}
FIX = "make conflicts ARGS='--fix --all'"


def list_conflicts(instance: Instance, event: dict) -> bool:
    """Prints the conflicts and the component template that ends them; returns whether all were read."""
    found = combined([response for _, response in responses(instance, event)])
    print(describe_list(found))
    if found["proposal"]:
        template = merged(own_template(instance, found["component_template"]), found["proposal"])
        print(next_steps(found["component_template"], template))
    return found["complete"]


def fix(instance: Instance, event: dict) -> bool:
    """Fixes the conflicts until all are processed; returns whether nothing failed."""
    if set(event) <= {"conflicts"}:
        raise StackError(f"name the conflicts: --service, --field, --index, --from, --to or --id, or --all: {FIX}")
    complete, failed = False, False
    for request, response in responses(instance, event):
        print(describe_fix(response), flush=True)
        complete, failed = response["complete"], bool(response["failed"])
        # A run that failed would fail again at once. A run that reached its time limit continues.
        if failed or response.get("next") == request:
            return False
    return complete and not failed


def combined(parts: list[dict]) -> dict:
    """One list of the responses to several requests: a group can be in each of them."""
    groups: dict[tuple, dict] = {}
    template: dict = {}
    for part in parts:
        template = merged(template, part.get("proposal") or {})
        for group in part["groups"]:
            known = groups.setdefault((group["topic"], group["field"], group["reason"]), group)
            if known is not group:
                known["documents"] += group["documents"]
                known["indices"] = sorted({*known["indices"], *group["indices"]})
    return {
        "complete": parts[-1]["complete"],
        "stopped": parts[-1].get("stopped"),
        "documents": sum(part["documents"] for part in parts),
        "not_shown": sum(part.get("not_shown", 0) for part in parts),
        "groups": sorted(groups.values(), key=lambda group: -group["documents"]),
        "proposal": template,
        "component_template": parts[-1]["component_template"],
    }


def merged(own: dict, change: dict) -> dict:
    """A component template with the fields and settings of the change, each in place of the one that is there."""
    own, change = own.get("template", {}), change.get("template", {})
    template = dict(own)
    fields = {
        **own.get("mappings", {}).get("properties", {}),
        **change.get("mappings", {}).get("properties", {}),
    }
    if fields:
        template["mappings"] = {**own.get("mappings", {}), "properties": fields}
    settings = {**own.get("settings", {}), **change.get("settings", {})}
    if settings:
        template["settings"] = settings
    return {"template": template} if template else {}


def own_template(instance: Instance, name: str) -> dict:
    """The component template that is there; empty where there is none."""
    if not instance.running(OPENSEARCH.name):
        raise StackError("the demo's OpenSearch does not run: start it with `make demo`")
    endpoint = OPENSEARCH.info(instance)["endpoint"]
    found = rest.call("GET", f"{endpoint}/_component_template/{name}*")["component_templates"]
    return next((each["component_template"] for each in found if each["name"] == name), {})


def describe_list(found: dict) -> str:
    """The conflicts as text for people: a table, then what is known about each."""
    if not found["documents"]:
        return "no event is written in another form"
    lines = [f"{found['documents']} events were rejected, and are written in another form", ""]
    rows = [("events", "topic", "field", "why")]
    rows += [
        (str(group["documents"]), group["topic"], _name(group["field"]), _short(group["reason"], 70))
        for group in found["groups"]
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        lines.append(f"{row[0]:>{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:<{widths[2]}}  {row[3]}")
    for group in found["groups"]:
        more = f" and {group['more_indices']} more" if group.get("more_indices") else ""
        example = group["example"]
        lines += ["", f"{_name(group['field'])} of {group['topic']}, in {', '.join(group['indices'])}{more}"]
        lines.append(
            f"  for example {example['id']} in {example['index']}: {_short(example['value'] or '(gone)', 100)}"
        )
        lines.append(f"  {group['reason']}")
        lines.append(f"  {'proposal' if group['proposal'] else 'no mapping ends it'}: {group['advice']}")
    if found["not_shown"]:
        lines.append(f"{found['not_shown']} more are in groups that are not shown: name a --service or a --field")
    if not found["complete"]:
        lines.append(f"not complete: {found['stopped'] or 'the time limit was reached'}")
    return "\n".join(lines)


def next_steps(name: str, template: dict) -> str:
    """What to do with the proposed template."""
    return "\n".join([
        "",
        "To end the conflicts that have a proposal, put this template. Your own fields are in it. Leave out what you don't want.",
        "",
        f"PUT _component_template/{name}",
        json.dumps(template, indent=2, sort_keys=True),
        "",
        "It applies from the next day's index on. To fix an earlier day: reindex its index to another name, delete it,",
        f"reindex it back, and then run: {FIX}",
    ])  # fmt: skip


def describe_fix(response: dict) -> str:
    """The outcome of a fix, as text for people."""
    lines = [*counted(response, COUNTS), *problems(response)]
    if response.get("advice"):
        lines.append(f"how to fix the rest: {response['advice']}")
    return "\n".join([*lines, *incomplete(response)])


def _name(field: str) -> str:
    return "(whole payload)" if field == "*" else _short(json.dumps(field, ensure_ascii=False)[1:-1] or '""', 40)


def _short(text: str, length: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def event_of(arguments: argparse.Namespace) -> dict:
    """The function's event for the command line."""
    given = {
        "conflicts": "fix" if arguments.fix else "list",
        "service": arguments.service,
        "field": arguments.field,
        "index": arguments.index,
        "from": arguments.since,
        "to": arguments.to,
        "ids": arguments.id,
        "all": arguments.all and arguments.fix,
    }
    return {name: value for name, value in given.items() if value}


def _arguments(words: list[str]) -> argparse.Namespace:
    options = parser("conflicts", __doc__)
    options.add_argument(
        "--fix", action="store_true", help="give the events their usual form where the mapping takes it"
    )
    options.add_argument("--all", action="store_true", help="every conflict, for --fix")
    options.add_argument(
        "--field", action="append", metavar="NAME", help="a field that was moved; * for whole payloads"
    )
    options.add_argument("--index", action="append", metavar="NAME", help="an index, or a prefix of names and a *")
    options.add_argument("--id", action="append", metavar="ID", help="a document's id, even if it was changed since")
    return options.parse_args(words)


def main() -> int:
    """Lists or fixes conflicts."""
    arguments = _arguments(sys.argv[1:])
    run = fix if arguments.fix else list_conflicts
    return exit_code(
        lambda: 0 if run(Instance(arguments.instance), event_of(arguments)) else 1, "run it again to continue"
    )
