"""Updates a Kafka event source mapping through CloudFormation; LocalStack's provider can't."""

import copy

from localstack.services.cloudformation.resource_provider import OperationStatus, ProgressEvent, ResourceRequest

from kafka_to_search_localstack.mapping_defaults import KAFKA_DEFAULTS

# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-eventsourcemapping.html
CREATE_ONLY = ("EventSourceArn", "SelfManagedEventSource", "StartingPosition", "StartingPositionTimestamp", "Topics")
UPDATABLE = (
    "AmazonManagedKafkaEventSourceConfig",
    "BatchSize",
    "BisectBatchOnFunctionError",
    "DestinationConfig",
    "Enabled",
    "FilterCriteria",
    "FunctionName",
    "FunctionResponseTypes",
    "KmsKeyArn",
    "LoggingConfig",
    "MaximumBatchingWindowInSeconds",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "MetricsConfig",
    "ProvisionedPollerConfig",
    "SelfManagedKafkaEventSourceConfig",
    "SourceAccessConfigurations",
)
# The value of a property that the template no longer has.
REMOVED = KAFKA_DEFAULTS | {
    "Enabled": True,
    "FilterCriteria": {},
    "LoggingConfig": {},
    "MetricsConfig": {"Metrics": []},
    "ProvisionedPollerConfig": {},
    "SourceAccessConfigurations": [],
}


def create_parameters(model: dict) -> dict:
    """The parameters of CreateEventSourceMapping for a model."""
    parameters = copy.deepcopy(model)
    if "KmsKeyArn" in parameters:
        parameters["KMSKeyArn"] = parameters.pop("KmsKeyArn")
    return parameters


def update_parameters(previous: dict, desired: dict) -> dict:
    """The parameters of UpdateEventSourceMapping that turn the previous mapping into the desired one."""
    parameters = {name: REMOVED[name] for name in REMOVED if name in previous and name not in desired}
    parameters |= {name: desired[name] for name in UPDATABLE if name in desired}
    return create_parameters(parameters)


def needs_replacement(previous: dict, desired: dict) -> bool:
    """Whether a property changed that an update can't change."""
    return any(previous.get(name) != desired.get(name) for name in CREATE_ONLY)


def update_kafka_mapping(create, delete, request: ResourceRequest) -> ProgressEvent:
    """Updates a mapping in place, or replaces it."""
    previous, desired = request.previous_state, request.desired_state
    if needs_replacement(previous, desired):
        # Delete the old mapping first: Lambda does not allow two with the same function and topic.
        new_desired = dict(desired)
        request.desired_state = previous
        delete(request)
        request.desired_state = new_desired
        return create(request)
    request.aws_client_factory.lambda_.update_event_source_mapping(
        UUID=previous["Id"], **update_parameters(previous, desired)
    )
    model = dict(desired) | {"Id": previous["Id"]}
    if "EventSourceMappingArn" in previous:
        model["EventSourceMappingArn"] = previous["EventSourceMappingArn"]
    return ProgressEvent(status=OperationStatus.SUCCESS, resource_model=model, custom_context=request.custom_context)
