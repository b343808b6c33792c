"""Makes a running stack ready for events: the functions and mappings into LocalStack, and by the template what the cluster is given."""

import json

import localstack
import rest
import sam
from instance import Instance

FUNCTION = f"{sam.STACK_NAME}-provision-cluster"


def deploy(instance: Instance, overrides: list[str]) -> None:
    """Deploys infra/template.yaml; its custom resource provisions the cluster."""
    sam.deploy(instance, overrides)


def provisioned(instance: Instance) -> list[str]:
    """A line for each thing that the cluster was given, or not and why, from the log of the function that did it."""
    return told(_messages(instance, f"/aws/lambda/{FUNCTION}"))


def told(messages: list[str]) -> list[str]:
    """The lines of the last run in a log that may hold many."""
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
            case answer if answer.startswith("responding to CloudFormation"):
                run, last = [], run
    return last


def _messages(instance: Instance, group: str) -> list[str]:
    endpoint, messages, asked = localstack.info(instance)["endpoint"], [], {"logGroupName": group}
    while True:
        page = rest.call("POST", f"{endpoint}/", asked, headers={"X-Amz-Target": "Logs_20140328.FilterLogEvents"})
        messages += [event["message"] for event in page["events"]]
        if not page.get("nextToken"):
            return messages
        asked["nextToken"] = page["nextToken"]
