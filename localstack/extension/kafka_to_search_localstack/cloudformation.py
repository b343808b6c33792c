"""Updates a Kafka event source mapping through CloudFormation; LocalStack's provider can't."""

import copy
import logging

from botocore.exceptions import ClientError
from localstack.services.cloudformation.resource_provider import OperationStatus, ProgressEvent, ResourceRequest

from kafka_to_search_localstack.mapping_defaults import KAFKA_DEFAULTS

LOG = logging.getLogger(__name__)

# `createOnlyProperties` of the resource type's schema, which CloudFormation replaces a mapping for.
CREATE_ONLY = ("EventSourceArn", "SelfManagedEventSource", "StartingPosition", "StartingPositionTimestamp")
KAFKA_CONFIGS = ("AmazonManagedKafkaEventSourceConfig", "SelfManagedKafkaEventSourceConfig")
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
    for name in KAFKA_CONFIGS:
        if _has_registry(previous, name) and not _has_registry(desired, name):
            # The API keeps a registry that is not named, and removes it for an empty one.
            parameters[name] = parameters.get(name, {}) | {"SchemaRegistryConfig": {}}
    return create_parameters(parameters)


def _has_registry(model: dict, name: str) -> bool:
    return bool((model.get(name) or {}).get("SchemaRegistryConfig"))


def needs_replacement(previous: dict, desired: dict) -> bool:
    """Whether a property changed that an update can't change."""
    return any(previous.get(name) != desired.get(name) for name in CREATE_ONLY)


def update_kafka_mapping(create, delete, request: ResourceRequest) -> ProgressEvent:
    """Updates a mapping in place, or replaces it as CloudFormation does.

    CloudFormation creates the new mapping before it deletes the old one. Lambda refuses two of the same function, cluster and
    topic with 409, so a mapping whose starting position alone changes can't be replaced. The update fails, and the old
    mapping stays.

    UpdateEventSourceMapping takes no Topics, and CloudFormation does not replace a mapping for them: it reports that the update
    succeeded, and the mapping reads the old topic
    (https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/2140).
    """
    previous = request.previous_state
    try:
        return _update(create, delete, request)
    except ClientError as error:
        # LocalStack's engine takes an exception for a failed deletion, and forgets the mapping.
        message = error.response["Error"]["Message"]
        status = OperationStatus.FAILED
        return ProgressEvent(status, resource_model=previous, message=message, custom_context={"exception": error})


def _update(create, delete, request: ResourceRequest) -> ProgressEvent:
    previous, desired = request.previous_state, request.desired_state
    if needs_replacement(previous, desired):
        created = create(request)
        request.desired_state = previous
        delete(request)
        return created
    if previous.get("Topics") != desired.get("Topics"):
        LOG.warning(
            "Topics of the event source mapping %s stay %s: AWS ignores the change to %s too. Give the mapping of another topic "
            "another logical id.",
            previous["Id"],
            previous.get("Topics"),
            desired.get("Topics"),
        )
    request.aws_client_factory.lambda_.update_event_source_mapping(
        UUID=previous["Id"], **update_parameters(previous, desired)
    )
    model = dict(desired) | {"Id": previous["Id"], "Topics": previous.get("Topics")}
    if "EventSourceMappingArn" in previous:
        model["EventSourceMappingArn"] = previous["EventSourceMappingArn"]
    return ProgressEvent(status=OperationStatus.SUCCESS, resource_model=model, custom_context=request.custom_context)
