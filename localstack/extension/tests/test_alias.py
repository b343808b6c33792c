"""CloudFormation moves a function's alias to its new versions, as with `AutoPublishAlias`."""

import json
import sys
import uuid

import pytest

from conftest import BOOTSTRAP, ROLE, finished_stack, zip_of


class Stack:
    """A CloudFormation stack with a function, a version for each of its code packages, and an alias of the newest."""

    def __init__(self, localstack) -> None:
        self._client, self._s3 = localstack.client("cloudformation"), localstack.client("s3")
        self._lambda = localstack.client("lambda")
        self._name = f"stack-{uuid.uuid4().hex[:8]}"
        self._s3.create_bucket(Bucket=self._name)

    def create(self, code: str, alias: str = "live") -> None:
        self._client.create_stack(StackName=self._name, TemplateBody=self._template(code, alias))
        self._finish("CREATE_COMPLETE")

    def update(self, code: str, alias: str = "live") -> None:
        self._client.update_stack(StackName=self._name, TemplateBody=self._template(code, alias))
        self._finish("UPDATE_COMPLETE")

    def delete(self) -> None:
        self._client.delete_stack(StackName=self._name)

    def aliases(self) -> dict[str, str]:
        listed = self._lambda.list_aliases(FunctionName=self._name)["Aliases"]
        return {alias["Name"]: alias["FunctionVersion"] for alias in listed}

    def _template(self, code: str, alias: str) -> str:
        package = zip_of("bootstrap", f"#!{sys.executable} -SE\n# {code}\n" + BOOTSTRAP.read_text())
        self._s3.put_object(Bucket=self._name, Key=code, Body=package)
        function = {
            "FunctionName": self._name,
            "Runtime": "provided.al2023",
            "Handler": "bootstrap",
            "Role": ROLE,
            "Code": {"S3Bucket": self._name, "S3Key": code},
        }
        version = f"Version{code}"
        live = {
            "Name": alias,
            "FunctionName": {"Ref": "Function"},
            "FunctionVersion": {"Fn::GetAtt": [version, "Version"]},
        }
        resources = {
            "Function": {"Type": "AWS::Lambda::Function", "Properties": function},
            version: {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": {"Ref": "Function"}}},
            "Alias": {"Type": "AWS::Lambda::Alias", "Properties": live},
        }
        return json.dumps({"Resources": resources})

    def _finish(self, status: str) -> None:
        stack = finished_stack(self._client, self._name)
        assert stack["StackStatus"] == status, self._client.describe_stack_events(StackName=self._name)


@pytest.fixture
def stack(localstack):
    stack = Stack(localstack)
    yield stack
    stack.delete()


def test_an_alias_moves_to_a_new_version(stack):
    stack.create("one")
    assert stack.aliases() == {"live": "1"}
    stack.update("two")
    assert stack.aliases() == {"live": "2"}


def test_an_alias_with_a_new_name_replaces_the_old_one(stack):
    stack.create("one")
    stack.update("two", alias="newest")
    assert stack.aliases() == {"newest": "2"}
