"""Refuses what Lambda refuses in a Kafka event source mapping, so that a template that deploys here deploys there too.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
"""

from localstack.aws.api.lambda_ import InvalidParameterValueException

from kafka_to_search_localstack.mapping_defaults import kafka_config_key

# The endpoints' name in CloudFormation and in the API; LocalStack's resource provider passes the first one on unchanged.
CLOUDFORMATION_ENDPOINTS, API_ENDPOINTS = "KafkaBootstrapServers", "KAFKA_BOOTSTRAP_SERVERS"
STARTING_POSITIONS = ("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP")
INFINITE = -1


def normalise_endpoints(mapping: dict) -> None:
    """Renames the bootstrap servers from CloudFormation's name to the API's."""
    endpoints = (mapping.get("SelfManagedEventSource") or {}).get("Endpoints") or {}
    if CLOUDFORMATION_ENDPOINTS in endpoints:
        endpoints[API_ENDPOINTS] = endpoints.pop(CLOUDFORMATION_ENDPOINTS)


def check_kafka_mapping(mapping: dict) -> None:
    """Raises the API's error for the first property that a Kafka mapping cannot have."""
    if mapping.get("SelfManagedEventSource"):
        endpoints = mapping["SelfManagedEventSource"].get("Endpoints") or {}
        if not endpoints.get(API_ENDPOINTS):
            raise _invalid(f"SelfManagedEventSource has no {API_ENDPOINTS}.")
    topics = mapping.get("Topics") or []
    if len(topics) != 1:
        raise _invalid(f"Topics must name exactly one topic, not {len(topics)}: create one mapping for each topic.")
    _check_starting_position(mapping)
    _check_range(mapping, "MaximumBatchingWindowInSeconds", 0, 300)
    _check_range(mapping, "MaximumRetryAttempts", INFINITE, 10_000)
    if mapping.get("MaximumRecordAgeInSeconds", INFINITE) != INFINITE:
        _check_range(mapping, "MaximumRecordAgeInSeconds", 60, 604_800)
    _check_pollers(mapping.get("ProvisionedPollerConfig") or {})


def merge_kafka_update(old: dict, update: dict) -> None:
    """Completes an update's nested properties from the current mapping: the API merges them, LocalStack replaces them."""
    key = kafka_config_key(old)
    if key in update:
        group = (update[key] or {}).get("ConsumerGroupId")
        if group and group != old[key]["ConsumerGroupId"]:
            raise _invalid("ConsumerGroupId cannot be changed: create another mapping.")
        update[key] = old[key] | (update[key] or {})
    if update.get("ProvisionedPollerConfig"):
        update["ProvisionedPollerConfig"] = old.get("ProvisionedPollerConfig", {}) | update["ProvisionedPollerConfig"]


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


def _check_range(values: dict, name: str, low: int, high: int) -> None:
    value = values.get(name)
    if value is not None and not low <= value <= high:
        raise _invalid(f"{name} must be {low} to {high}, not {value}.")


def _invalid(message: str) -> InvalidParameterValueException:
    return InvalidParameterValueException(message, Type="User")
