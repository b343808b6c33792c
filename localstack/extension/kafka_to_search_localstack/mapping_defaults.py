"""The default values of a Kafka event source mapping in Lambda.

https://docs.aws.amazon.com/lambda/latest/dg/kafka-esm-parameters.html
https://docs.aws.amazon.com/lambda/latest/dg/msk-esm-parameters.html
"""

from localstack.services.lambda_ import hooks as lambda_hooks
from localstack.services.lambda_.event_source_mapping.esm_worker import EsmStateReason

# MaximumBatchingWindowInSeconds has no entry: its default is 500 ms, which the API can only express by its absence.
KAFKA_DEFAULTS = {
    "BatchSize": 100,
    "BisectBatchOnFunctionError": False,
    "DestinationConfig": {"OnFailure": {}},
    "FunctionResponseTypes": [],
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
}
PROVISIONED_POLLER_DEFAULTS = {"MinimumPollers": 1, "MaximumPollers": 200}


def is_kafka(mapping: dict) -> bool:
    """Whether a mapping, or a request for one, has a Kafka cluster as its source."""
    if mapping.get("SelfManagedEventSource"):
        return True
    arn = (mapping.get("EventSourceArn") or "").split(":")
    return len(arn) > 2 and arn[2] == "kafka"


def kafka_config_key(mapping: dict) -> str:
    """The property that holds the consumer group."""
    if mapping.get("SelfManagedEventSource"):
        return "SelfManagedKafkaEventSourceConfig"
    return "AmazonManagedKafkaEventSourceConfig"


@lambda_hooks.set_event_source_config_defaults()
def set_kafka_defaults(defaults: dict, request: dict, service: str) -> None:
    """Adds the defaults of a Kafka mapping; the request's values override them in LocalStack."""
    if not is_kafka(request):
        return
    defaults.update(KAFKA_DEFAULTS)
    defaults["LastProcessingResult"] = EsmStateReason.NO_RECORDS_PROCESSED
    defaults[kafka_config_key(request)] = {"ConsumerGroupId": defaults["UUID"]}
    if request.get("ProvisionedPollerConfig"):
        defaults["ProvisionedPollerConfig"] = dict(PROVISIONED_POLLER_DEFAULTS)
