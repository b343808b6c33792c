"""Custom resources of CloudFormation; the free LocalStack reports them as created without invoking their function.

This works as in CloudFormation: the function is invoked with a request, and puts its response to a presigned URL of S3.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref.html
"""

import json
import logging
import threading
import time
import uuid

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from localstack import config
from localstack.services.cloudformation.resource_provider import (
    CloudFormationResourceProviderPlugin,
    OperationStatus,
    ProgressEvent,
    ResourceProvider,
    ResourceRequest,
)

LOG = logging.getLogger(__name__)

TYPE = "AWS::CloudFormation::CustomResource"
# CloudFormation waits an hour unless the template has ServiceTimeout; here a person waits.
DEFAULT_TIMEOUT_S = 300
POLL_S = 0.1


class CustomResourcePlugin(CloudFormationResourceProviderPlugin):
    """Registers the provider below with LocalStack."""

    name = TYPE

    def __init__(self) -> None:
        self.factory: type[ResourceProvider] | None = None

    def load(self) -> None:
        """Sets the provider."""
        self.factory = CustomResourceProvider


class CustomResourceProvider(ResourceProvider[dict]):
    """Invokes the function. It keeps a resource's properties, its physical id and the attributes of `Fn::GetAtt`."""

    TYPE = TYPE
    SCHEMA = {"typeName": TYPE, "properties": {}, "primaryIdentifier": ["/properties/PhysicalResourceId"]}

    def create(self, request: ResourceRequest[dict]) -> ProgressEvent[dict]:
        """Sends Create."""
        return _outcome(request, _send(request, "Create", request.desired_state))

    def update(self, request: ResourceRequest[dict]) -> ProgressEvent[dict]:
        """Sends Update if a property changed; another physical id in the response replaces the resource."""
        previous = request.previous_state
        before, after = previous["ResourceProperties"], as_text(request.desired_state)
        if before == after:
            return ProgressEvent(status=OperationStatus.SUCCESS, resource_model=previous)
        physical_id = previous["PhysicalResourceId"]
        known = {"PhysicalResourceId": physical_id, "OldResourceProperties": before}
        outcome = _outcome(request, _send(request, "Update", after, known))
        if outcome.status == OperationStatus.SUCCESS and outcome.resource_model["PhysicalResourceId"] != physical_id:
            # CloudFormation does this after all other updates.
            _send(request, "Delete", before, {"PhysicalResourceId": physical_id})
        return outcome

    def delete(self, request: ResourceRequest[dict]) -> ProgressEvent[dict]:
        """Sends Delete for a resource that was created."""
        model = request.previous_state or request.desired_state
        if "PhysicalResourceId" not in model:
            return ProgressEvent(status=OperationStatus.SUCCESS, resource_model={})
        known = {"PhysicalResourceId": model["PhysicalResourceId"]}
        return _outcome(request, _send(request, "Delete", model["ResourceProperties"], known))


def as_text(value: object) -> object:
    """Properties as CloudFormation sends them: every value is a string."""
    match value:
        case dict():
            return {name: as_text(member) for name, member in value.items()}
        case list():
            return [as_text(member) for member in value]
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def _send(request: ResourceRequest[dict], request_type: str, properties: dict, more: dict | None = None) -> dict:
    """Sends one request to the function and waits for its response; the result has at least Status and Reason."""
    properties = as_text(properties)
    timeout_s = int(properties.get("ServiceTimeout", DEFAULT_TIMEOUT_S))
    s3 = request.aws_client_factory.s3
    place = {"Bucket": f"custom-resource-responses-{request.region_name}", "Key": uuid.uuid4().hex}
    if not any(bucket["Name"] == place["Bucket"] for bucket in s3.list_buckets()["Buckets"]):
        elsewhere = {"LocationConstraint": request.region_name}
        options = {} if request.region_name == "us-east-1" else {"CreateBucketConfiguration": elsewhere}
        s3.create_bucket(Bucket=place["Bucket"], **options)
    event = {
        "RequestType": request_type,
        "ResponseURL": _presigned(request, place),
        "StackId": request.stack_id,
        "RequestId": str(uuid.uuid4()),
        "ResourceType": request.resource_type,
        "LogicalResourceId": request.logical_resource_id,
        "ServiceToken": properties["ServiceToken"],
        "ResourceProperties": properties,
    } | (more or {})
    threading.Thread(target=_invoke, args=(request, properties["ServiceToken"], event), daemon=True).start()
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            response = s3.get_object(**place)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            time.sleep(POLL_S)
            continue
        s3.delete_object(**place)
        return {"PhysicalResourceId": None, "Reason": ""} | json.loads(response) | {"RequestId": event["RequestId"]}
    return {
        "Status": "FAILED",
        "Reason": f"CloudFormation did not receive a response from your Custom Resource within {timeout_s} seconds",
        "RequestId": event["RequestId"],
    }


def _outcome(request: ResourceRequest[dict], response: dict) -> ProgressEvent[dict]:
    if response.get("Status") != "SUCCESS":
        message = (
            f"Received response status [{response.get('Status')}] from custom resource. "
            f"Message returned: {response['Reason']} (RequestId: {response['RequestId']})"
        )
        return ProgressEvent(status=OperationStatus.FAILED, resource_model={}, message=message)
    if not response["PhysicalResourceId"]:
        message = "Invalid PhysicalResourceId"
        return ProgressEvent(status=OperationStatus.FAILED, resource_model={}, message=message)
    model = (response.get("Data") or {}) | {
        "PhysicalResourceId": response["PhysicalResourceId"],
        "ResourceProperties": as_text(request.desired_state),
    }
    return ProgressEvent(status=OperationStatus.SUCCESS, resource_model=model)


def _invoke(request: ResourceRequest[dict], function: str, event: dict) -> None:
    """Invokes the function synchronously, and ignores what it returns.

    CloudFormation invokes asynchronously. In LocalStack an asynchronous invocation after an update of the function can wait
    in the queue for minutes.
    """
    try:
        _client(request, "lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
    except (BotoCoreError, ClientError):
        LOG.exception(
            "the function %s of the custom resource %s was not invoked", function, request.logical_resource_id
        )


def _presigned(request: ResourceRequest[dict], place: dict) -> str:
    """A URL that the function can reach: it has this LocalStack's address, and the bucket in the path."""
    return _client(request, "s3").generate_presigned_url("put_object", Params=place, ExpiresIn=3600)


def _client(request: ResourceRequest[dict], service: str):
    """A client that sends each request once, and waits longer than a function may run."""
    return boto3.client(
        service,
        region_name=request.region_name,
        endpoint_url=config.external_service_url(),
        aws_access_key_id=request.account_id,
        aws_secret_access_key="test",
        config=Config(
            signature_version="s3v4" if service == "s3" else None,
            s3={"addressing_style": "path"},
            read_timeout=930,
            retries={"total_max_attempts": 1},
        ),
    )
