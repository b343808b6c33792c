"""Updates a function's alias, as each new version requires; LocalStack's CloudFormation provider can't."""

from localstack.services.cloudformation.resource_provider import OperationStatus, ProgressEvent, ResourceRequest
from localstack.services.lambda_.resource_providers.lambda_alias import REPEATED_INVOCATION

# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-alias.html
CREATE_ONLY = ("FunctionName", "Name")


def update_alias(create, delete, request: ResourceRequest) -> ProgressEvent:
    """Points an alias at its new version, or replaces it if its function or name changed."""
    previous, desired = request.previous_state, request.desired_state
    if any(previous.get(name) != desired.get(name) for name in CREATE_ONLY):
        # LocalStack calls this again until the new alias is ready.
        if not request.custom_context.get(REPEATED_INVOCATION):
            request.desired_state = previous
            delete(request)
            request.desired_state = desired
        return create(request)
    updated = request.aws_client_factory.lambda_.update_alias(
        FunctionName=desired["FunctionName"],
        Name=desired["Name"],
        FunctionVersion=desired["FunctionVersion"],
        Description=desired.get("Description", ""),
        RoutingConfig=desired.get("RoutingConfig", {}),
    )
    model = dict(desired) | {"Id": updated["AliasArn"]}
    return ProgressEvent(status=OperationStatus.SUCCESS, resource_model=model, custom_context=request.custom_context)
