"""Refuses what Lambda refuses in a Kafka event source mapping, so that a template that deploys here deploys there too.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
"""

import json
import os
import re

from localstack.aws.api.lambda_ import InvalidParameterValueException

from kafka_to_search_localstack.mapping_defaults import kafka_config_key
from kafka_to_search_localstack.schema_registry_rules import PROVISIONED_ONLY, check_schema_registry

# The endpoints' name in CloudFormation and in the API; LocalStack's resource provider passes the first one on unchanged.
CLOUDFORMATION_ENDPOINTS, API_ENDPOINTS = "KafkaBootstrapServers", "KAFKA_BOOTSTRAP_SERVERS"
STARTING_POSITIONS = ("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP")
INFINITE = -1
# https://docs.aws.amazon.com/lambda/latest/dg/with-kafka-configure.html
MAX_FUNCTION_TIMEOUT_S = 14 * 60
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonmanagedstreamingforapachekafka.html: a cluster,
# or the connection to one of another account.
MSK_ARN = re.compile(r"arn:aws[a-z-]*:kafka:[a-z0-9-]+:\d{12}:(cluster/[^/]+/[^/]+|vpc-connection/\d{12}/[^/]+/[^/]+)")
# https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html
DESTINATION = re.compile(r"arn:aws[a-z-]*:(s3:::.+|(sqs|sns):[a-z0-9-]+:\d{12}:.+)|kafka://.+")
# https://docs.aws.amazon.com/lambda/latest/dg/msk-cluster-auth.html
MSK_ACCESS = ("CLIENT_CERTIFICATE_TLS_AUTH", "SASL_SCRAM_512_AUTH")

# Properties of streams, of queues and of databases.
OTHER_SOURCES = (
    "DocumentDBEventSourceConfig",
    "ParallelizationFactor",
    "Queues",
    "ScalingConfig",
    "TumblingWindowInSeconds",
)


def normalise_endpoints(mapping: dict) -> None:
    """Renames the bootstrap servers from CloudFormation's name to the API's."""
    endpoints = (mapping.get("SelfManagedEventSource") or {}).get("Endpoints") or {}
    if CLOUDFORMATION_ENDPOINTS in endpoints:
        endpoints[API_ENDPOINTS] = endpoints.pop(CLOUDFORMATION_ENDPOINTS)


def check_kafka_mapping(mapping: dict, account: str, region: str) -> None:
    """Raises the API's error for the first property that a Kafka mapping in this account and region cannot have."""
    if mapping.get("SelfManagedEventSource"):
        endpoints = mapping["SelfManagedEventSource"].get("Endpoints") or {}
        if not endpoints.get(API_ENDPOINTS):
            raise _invalid(f"SelfManagedEventSource has no {API_ENDPOINTS}.")
    elif not MSK_ARN.fullmatch(mapping["EventSourceArn"]):
        raise _invalid(
            f"EventSourceArn {mapping['EventSourceArn']} is neither of an MSK cluster nor of a VPC connection."
        )
    _check_access(mapping)
    for name in OTHER_SOURCES:
        if mapping.get(name) is not None:
            raise _invalid(f"Unsupported {name} parameter for given event source mapping type.")
    topics = mapping.get("Topics") or []
    if len(topics) != 1:
        raise _invalid(f"Topics must name exactly one topic, not {len(topics)}: create one mapping for each topic.")
    _check_starting_position(mapping)
    _check_range(mapping, "MaximumBatchingWindowInSeconds", 0, 300)
    _check_range(mapping, "MaximumRetryAttempts", INFINITE, 10_000)
    if mapping.get("MaximumRecordAgeInSeconds", INFINITE) != INFINITE:
        _check_range(mapping, "MaximumRecordAgeInSeconds", 60, 604_800)
    _check_pollers(mapping.get("ProvisionedPollerConfig") or {})
    _check_destination(mapping)
    _check_filters(mapping)
    if registry := _schema_registry(mapping):
        check_schema_registry(registry, kafka_config_key(mapping), account, region)
    _check_mode(mapping)


def check_function_timeout(timeout_s: int) -> None:
    """Raises the API's error for a function that may run longer than a Kafka mapping waits."""
    if timeout_s > MAX_FUNCTION_TIMEOUT_S:
        raise _invalid(
            f"The function's timeout is {timeout_s} s: a Kafka event source mapping takes functions with a timeout of at most "
            f"{MAX_FUNCTION_TIMEOUT_S} s (14 minutes)."
        )


def provisioned_only(mapping: dict) -> list[str]:
    """The features of a mapping that AWS documents for provisioned mode alone.

    https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html and services-consume-kafka-events.html. Whether
    Lambda refuses or ignores them in on-demand mode is not documented.
    """
    destination = (mapping.get("DestinationConfig") or {}).get("OnFailure", {}).get("Destination") or ""
    used = {
        "BisectBatchOnFunctionError": bool(mapping.get("BisectBatchOnFunctionError")),
        "DestinationConfig with a Kafka topic": destination.startswith("kafka://"),
        "FunctionResponseTypes": bool(mapping.get("FunctionResponseTypes")),
        "LoggingConfig": bool(mapping.get("LoggingConfig")),
        "MaximumRecordAgeInSeconds": mapping.get("MaximumRecordAgeInSeconds", INFINITE) != INFINITE,
        "MaximumRetryAttempts": mapping.get("MaximumRetryAttempts", INFINITE) != INFINITE,
        "MetricsConfig": bool((mapping.get("MetricsConfig") or {}).get("Metrics")),
        "SchemaRegistryConfig": bool(_schema_registry(mapping)),
    }
    return [name for name, is_used in used.items() if is_used]


def merge_kafka_update(old: dict, update: dict) -> None:
    """Completes an update's nested properties from the current mapping: the API merges them, LocalStack replaces them."""
    key = kafka_config_key(old)
    if key in update:
        group = (update[key] or {}).get("ConsumerGroupId")
        if group and group != old[key]["ConsumerGroupId"]:
            raise _invalid("ConsumerGroupId cannot be changed: create another mapping.")
        update[key] = old[key] | (update[key] or {})
        if not update[key].get("SchemaRegistryConfig"):
            update[key].pop("SchemaRegistryConfig", None)  # an empty one takes the registry away
    if update.get("ProvisionedPollerConfig"):
        update["ProvisionedPollerConfig"] = old.get("ProvisionedPollerConfig", {}) | update["ProvisionedPollerConfig"]


def _schema_registry(mapping: dict) -> dict:
    return (mapping.get(kafka_config_key(mapping)) or {}).get("SchemaRegistryConfig") or {}


def _check_starting_position(mapping: dict) -> None:
    position = mapping.get("StartingPosition")
    if position not in STARTING_POSITIONS:
        raise _invalid(f"StartingPosition must be one of {', '.join(STARTING_POSITIONS)}, not {position}.")
    if position == "AT_TIMESTAMP" and not mapping.get("StartingPositionTimestamp"):
        raise _invalid("StartingPosition AT_TIMESTAMP needs a StartingPositionTimestamp.")


def _check_pollers(pollers: dict) -> None:
    _check_range(pollers, "MinimumPollers", 1, 200)
    _check_range(pollers, "MaximumPollers", 1, 2000)
    if pollers.get("MinimumPollers", 1) > pollers.get("MaximumPollers", 200):
        raise _invalid("MinimumPollers must not be greater than MaximumPollers.")


def _check_access(mapping: dict) -> None:
    if mapping.get("SelfManagedEventSource"):
        return
    for access in mapping.get("SourceAccessConfigurations") or []:
        if access.get("Type") not in MSK_ACCESS:
            raise _invalid(
                f"SourceAccessConfigurations of an MSK cluster take {', '.join(MSK_ACCESS)}, not {access.get('Type')}."
            )


def _check_destination(mapping: dict) -> None:
    destination = (mapping.get("DestinationConfig") or {}).get("OnFailure", {}).get("Destination")
    if destination is not None and destination != "" and not DESTINATION.fullmatch(destination):
        raise _invalid(
            f"Destination {destination} is no ARN of a queue, an SNS topic or a bucket, and no kafka://topic."
        )


def _check_filters(mapping: dict) -> None:
    for each in (mapping.get("FilterCriteria") or {}).get("Filters") or []:
        try:
            pattern = json.loads(each.get("Pattern") or "")
        except ValueError:
            continue  # LocalStack refuses it, as Lambda does
        if not _is_about_value(pattern):
            # https://docs.aws.amazon.com/lambda/latest/dg/kafka-filtering.html
            raise _invalid("Invalid filter pattern definition. Kafka mappings only support filtering on the value key.")


def _is_about_value(pattern: object) -> bool:
    if not isinstance(pattern, dict):
        return False
    alternatives = pattern.get("$or", [])
    names = pattern.keys() - {"$or"}
    return names <= {"value"} and isinstance(alternatives, list) and all(map(_is_about_value, alternatives))


def _check_mode(mapping: dict) -> None:
    if mapping.get("ProvisionedPollerConfig") or os.environ.get("KAFKA_ON_DEMAND_FEATURES") == "allow":
        return
    used = provisioned_only(mapping)
    if used == ["SchemaRegistryConfig"]:
        raise _invalid(PROVISIONED_ONLY)
    if used:
        raise _invalid(f"{', '.join(used)} need provisioned mode: set ProvisionedPollerConfig.")


def _check_range(values: dict, name: str, low: int, high: int) -> None:
    value = values.get(name)
    if value is not None and not low <= value <= high:
        raise _invalid(f"{name} must be {low} to {high}, not {value}.")


def _invalid(message: str) -> InvalidParameterValueException:
    return InvalidParameterValueException(message, Type="User")
