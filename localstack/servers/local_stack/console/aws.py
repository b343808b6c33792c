"""The requests to the instance's LocalStack: mappings, functions and the functions' logs."""

from typing import Any

from local_stack import rest
from local_stack.console.running import endpoint
from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.servers.localstack import LOCALSTACK, REGION

TIMEOUT_S = 5
# LocalStack checks no signature, but takes the service from it: some paths of the Lambda API look like those of S3.
LAMBDA = {
    "Authorization": f"AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/lambda/aws4_request, SignedHeaders=host, Signature=-"
}
MAPPINGS = "/2015-03-31/event-source-mappings/"


def mappings(instance: Instance) -> list[dict]:
    """The event source mappings."""
    return _lambda(instance, "GET", MAPPINGS)["EventSourceMappings"]


def set_mapping(instance: Instance, uuid: str, *, enabled: bool) -> dict:
    """Enables or disables a mapping; returns it."""
    return _lambda(instance, "PUT", f"{MAPPINGS}{uuid}", {"Enabled": enabled})


def log_groups(instance: Instance) -> dict[str, str]:
    """The log group of each function."""
    functions = _lambda(instance, "GET", "/2015-03-31/functions/")["Functions"]
    return {
        each["FunctionName"]: each.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{each['FunctionName']}"
        for each in functions
    }


def newest_logs(instance: Instance, group: str, n_streams: int, n_events: int) -> list[list[dict]]:
    """The last events of a log group's newest streams, however much it holds."""
    newest = {"logGroupName": group, "orderBy": "LastEventTime", "descending": True, "limit": n_streams}
    try:
        streams = _logs(instance, "DescribeLogStreams", newest)["logStreams"]
    except StackError as error:
        if "ResourceNotFoundException" in str(error):
            return []  # the function was not invoked yet
        raise
    end = {"logGroupName": group, "limit": n_events, "startFromHead": False}
    return [
        _logs(instance, "GetLogEvents", {**end, "logStreamName": each["logStreamName"]})["events"] for each in streams
    ]


def _lambda(instance: Instance, method: str, path: str, body: object = None) -> Any:
    return rest.call(method, f"{endpoint(instance, LOCALSTACK)}{path}", body, timeout_s=TIMEOUT_S, headers=LAMBDA)


def _logs(instance: Instance, action: str, request: dict) -> dict:
    headers = {"X-Amz-Target": f"Logs_20140328.{action}"}
    return rest.call("POST", f"{endpoint(instance, LOCALSTACK)}/", request, timeout_s=TIMEOUT_S, headers=headers)
