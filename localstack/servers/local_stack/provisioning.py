"""Reports what provision-cluster put into the cluster, from its log."""

import json
import re

from local_stack import rest, sam
from local_stack.instance import Instance
from local_stack.servers.localstack import LOCALSTACK

FUNCTION = f"{sam.STACK_NAME}-provision-cluster"
# The function's last line of a run: its response to CloudFormation.
RESPONSE = re.compile(r"CloudFormation: (success|failure)$")


def report(instance: Instance) -> list[str]:
    """A line for each thing that the last run applied, or could not apply and why."""
    return last_run(_messages(instance, f"/aws/lambda/{FUNCTION}"))


def last_run(messages: list[str]) -> list[str]:
    """The lines of the last complete run in a log that may hold many."""
    run, last = [], []
    for message in messages:
        try:
            line = json.loads(message)
        except ValueError:
            continue
        match line.get("message", ""):
            case "provisioned":
                why = f": {line['reason']}" if line.get("reason") else ""
                note = f" ({line['note']})" if line.get("note") else ""
                run.append(f"{line['outcome']:<13}{line['thing']}{why}{note}")
            case "not provisioned":
                run.append(f"{'failed':<13}{line['reason']}")
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
