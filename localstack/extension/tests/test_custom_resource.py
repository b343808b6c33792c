"""CloudFormation invokes the function of a custom resource, and applies its response."""

import json
import sys
import uuid

import pytest

from conftest import eventually, finished_stack

# Responds with the property `Response`, and keeps each request in a bucket.
SCRIPT = f"""#!{sys.executable} -SE
import http.client, json, os, urllib.request

connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    connection.request("GET", "/2018-06-01/runtime/invocation/next")
    invocation = connection.getresponse()
    request_id, event = invocation.headers["Lambda-Runtime-Aws-Request-Id"], json.loads(invocation.read())
    url = event.pop("ResponseURL")
    key = f"{{event['RequestType']}}-{{event['RequestId']}}"
    def put(url, value):
        body = json.dumps(value).encode()
        urllib.request.urlopen(urllib.request.Request(url, data=body, method="PUT", headers={{"content-type": ""}})).read()
    put(os.environ["REQUESTS"] + "/" + key, event)
    ids = {{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}}
    given = json.loads(event["ResourceProperties"]["Response"])
    if given:
        put(url, ids | {{"Status": "SUCCESS", "PhysicalResourceId": "id-1"}} | given)
    connection.request("POST", f"/2018-06-01/runtime/invocation/{{request_id}}/response", body=b"null")
    connection.getresponse().read()
"""


class Stack:
    """A CloudFormation stack with one custom resource, and the requests to its function."""

    def __init__(self, localstack, make_function) -> None:
        self._client, self._s3 = localstack.client("cloudformation"), localstack.client("s3")
        self._name = f"stack-{uuid.uuid4().hex[:8]}"
        self._s3.create_bucket(Bucket=self._name)
        self._function = make_function({"REQUESTS": f"{localstack.endpoint}/{self._name}"}, SCRIPT)

    def create(self, response: dict, **properties) -> dict:
        self._client.create_stack(StackName=self._name, TemplateBody=self._template(response, properties))
        return self._finished()

    def update(self, response: dict, **properties) -> dict:
        self._client.update_stack(StackName=self._name, TemplateBody=self._template(response, properties))
        # LocalStack reports the end of an update a moment before its outputs.
        return eventually(lambda: (found := self._finished())["Engine"] == response["Data"]["Engine"] and found)

    def delete(self) -> None:
        self._client.delete_stack(StackName=self._name)

    def requests(self, request_type: str) -> list[dict]:
        listed = self._s3.list_objects_v2(Bucket=self._name, Prefix=request_type).get("Contents", [])
        found = sorted(listed, key=lambda stored: stored["LastModified"])
        return [
            json.loads(self._s3.get_object(Bucket=self._name, Key=stored["Key"])["Body"].read()) for stored in found
        ]

    def reasons(self) -> str:
        events = self._client.describe_stack_events(StackName=self._name)["StackEvents"]
        return "\n".join(event.get("ResourceStatusReason", "") for event in events)

    def _template(self, response: dict, properties: dict) -> str:
        token = f"arn:aws:lambda:us-east-1:000000000000:function:{self._function.name}"
        given = {"ServiceToken": token, "Response": json.dumps(response)} | properties
        return json.dumps(
            {
                "Resources": {"Cluster": {"Type": "Custom::Cluster", "Properties": given}},
                "Outputs": {
                    "Engine": {"Value": {"Fn::GetAtt": ["Cluster", "Engine"]}},
                    "Id": {"Value": {"Ref": "Cluster"}},
                },
            }
        )

    def _finished(self) -> dict:
        stack = finished_stack(self._client, self._name)
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        return outputs | {"status": stack["StackStatus"]}


@pytest.fixture
def stack(localstack, make_function):
    stack = Stack(localstack, make_function)
    yield stack
    stack.delete()


def test_the_function_creates_updates_and_deletes_the_resource(stack):
    response = {"Data": {"Engine": "opensearch"}}
    made = stack.create(response, Days=90, Keep=True, Names=["a", 1])
    assert made == {"status": "CREATE_COMPLETE", "Engine": "opensearch", "Id": "id-1"}
    (create,) = stack.requests("Create")
    properties = create["ResourceProperties"]
    assert (properties["Days"], properties["Keep"], properties["Names"]) == ("90", "true", ["a", "1"])
    assert (create["ResourceType"], create["LogicalResourceId"]) == ("Custom::Cluster", "Cluster")

    changed = stack.update({"Data": {"Engine": "elasticsearch"}}, Days=30, Keep=True, Names=["a", 1])
    assert changed == {"status": "UPDATE_COMPLETE", "Engine": "elasticsearch", "Id": "id-1"}
    (update,) = stack.requests("Update")
    assert (update["PhysicalResourceId"], update["ResourceProperties"]["Days"]) == ("id-1", "30")
    assert update["OldResourceProperties"] == properties

    stack.delete()
    (delete,) = eventually(lambda: stack.requests("Delete"))
    assert (delete["PhysicalResourceId"], delete["ResourceProperties"]["Days"]) == ("id-1", "30")


def test_another_physical_id_replaces_the_resource(stack):
    stack.create({"Data": {"Engine": "a"}})
    changed = stack.update({"Data": {"Engine": "b"}, "PhysicalResourceId": "id-2"})

    assert changed == {"status": "UPDATE_COMPLETE", "Engine": "b", "Id": "id-2"}
    (delete,) = eventually(lambda: stack.requests("Delete"))
    assert delete["PhysicalResourceId"] == "id-1"
    assert json.loads(delete["ResourceProperties"]["Response"]) == {"Data": {"Engine": "a"}}


def test_a_failure_fails_the_stack_with_its_reason(stack):
    made = stack.create({"Status": "FAILED", "Reason": "RetentionDays `x` is not a number"})

    assert made["status"] in ("CREATE_FAILED", "ROLLBACK_COMPLETE")
    assert "Message returned: RetentionDays `x` is not a number (RequestId: " in stack.reasons()
    assert stack.requests("Delete") == []


def test_a_function_that_does_not_respond_fails_the_stack_after_its_service_timeout(stack):
    made = stack.create({}, ServiceTimeout=2)

    assert made["status"] in ("CREATE_FAILED", "ROLLBACK_COMPLETE")
    assert "did not receive a response from your Custom Resource within 2 seconds" in stack.reasons()
