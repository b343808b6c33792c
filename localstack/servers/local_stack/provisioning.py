"""Reports what provision-cluster put into the cluster, from its log."""

import json
import re
from dataclasses import dataclass

from local_stack import rest, sam
from local_stack.instance import Instance
from local_stack.servers.localstack import LOCALSTACK

FUNCTION = f"{sam.STACK_NAME}-provision-cluster"
# The function's last line of a run: its response to CloudFormation.
RESPONSE = re.compile(r"CloudFormation: (success|failure)$")


@dataclass(frozen=True)
class Provisioned:
    """A thing that was to be applied to the cluster: `applied`, `unchanged`, `not applied` or `failed`."""

    thing: str
    outcome: str
    reason: str = ""


def report(instance: Instance) -> list[Provisioned]:
    """Each thing that the last run applied, or could not apply and why."""
    return last_run(_messages(instance, f"/aws/lambda/{FUNCTION}"))


def last_run(messages: list[str]) -> list[Provisioned]:
    """The things of the last complete run in a log that may hold many."""
    run, last = [], []
    for message in messages:
        try:
            line = json.loads(message)
        except ValueError:
            continue
        match line.get("message", ""):
            case "provisioned":
                run.append(Provisioned(line["thing"], line["outcome"], line.get("reason") or ""))
            case "not provisioned":
                run.append(Provisioned("", "failed", line["reason"]))
            case text if RESPONSE.search(text):
                run, last = [], run
    return last


def _messages(instance: Instance, group: str) -> list[str]:
    endpoint, messages, request = LOCALSTACK.info(instance)["endpoint"], [], {"logGroupName": group}
    while True:
        page = rest.call("POST", f"{endpoint}/", request, headers={"X-Amz-Target": "Logs_20140328.FilterLogEvents"})
        messages += [event["message"] for event in page["events"]]
        if not page.get("nextToken"):
            return messages
        request["nextToken"] = page["nextToken"]
