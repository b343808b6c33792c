"""Invokes the deployed replay function: the options, requests and texts that its two commands have in common."""

import argparse
import json
from collections.abc import Iterator

from local_stack import rest, sam
from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.servers.localstack import LOCALSTACK

FUNCTION = f"{sam.STACK_NAME}-replay-dead-letters"
TIMEOUT_S = 930  # longer than the longest invocation


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


def counted(response: dict, texts: dict[str, str]) -> list[str]:
    """A line for each count of the response that is not zero, and always for those that were read."""
    return [f"{response[name]:>9} {text}" for name, text in texts.items() if response[name] or name == "read"]


def problems(response: dict) -> list[str]:
    """Two lines for each problem of the response."""
    found = response.get("problems", [])
    return [f"  {problem['id']}\n      {problem['type']}: {problem['reason']}" for problem in found]


def incomplete(response: dict) -> list[str]:
    """Why the response is not complete, and the request that continues; no lines if it is."""
    if response["complete"]:
        return []
    return [
        f"not complete: {response.get('stopped', 'the time limit was reached')}",
        f"to continue: {json.dumps(response['next'])}",
    ]


def parser(command: str, description: str) -> argparse.ArgumentParser:
    """A parser of the options that both commands have."""
    parser = argparse.ArgumentParser(prog=f"make {command} ARGS=", description=description)
    parser.add_argument("--instance", default="demo", metavar="NAME", help="which stack (default: %(default)s)")
    parser.add_argument(
        "--service", action="append", metavar="NAME", help="order, or its topic order.events; repeat it for more"
    )
    parser.add_argument("--from", dest="since", metavar="TIME", help="events from this time on: 2026-03-01, now-2d")
    parser.add_argument("--to", metavar="TIME", help="events before this time")
    return parser
