"""The template's mappings are requests that Lambda's API takes, by AWS's own model of it in botocore (`service-2.json`)."""

import re
from collections.abc import Iterator
from typing import Any

import combinations
import pytest
import stack
from botocore.model import Shape
from botocore.session import get_session

MODEL = get_session().get_service_model("lambda")
CREATE = MODEL.operation_model("CreateEventSourceMapping").input_shape
ACCOUNT_ARN = f"{stack.REGION}:{stack.ACCOUNT}"
SCRAM = combinations.SOURCES["self-managed, SCRAM-512"]
URL = combinations.TARGETS["no login"]


def refused(value: Any, shape: Shape, path: str = "") -> Iterator[str]:
    """Why the API refuses a value of this shape. CloudFormation passes numbers and booleans on as text."""
    limits = shape.metadata
    match shape.type_name:
        case "structure":
            yield from (f"{path} has no {name}" for name in value.keys() - shape.members.keys())
            yield from (f"{path}.{name} is missing" for name in shape.required_members if name not in value)
            for name in value.keys() & shape.members.keys():
                yield from refused(value[name], shape.members[name], f"{path}.{name}")
        case "map":
            for key, part in value.items():
                yield from refused(key, shape.key, f"{path} key")
                yield from refused(part, shape.value, f"{path}.{key}")
        case "list":
            if not limits.get("min", 0) <= len(value) <= limits.get("max", len(value)):
                yield f"{path} has {len(value)} members"
            for part in value:
                yield from refused(part, shape.member, f"{path}[]")
        case "integer" | "long":
            if not limits.get("min", int(value)) <= int(value) <= limits.get("max", int(value)):
                yield f"{path} is {value}"
        case "boolean":
            if str(value).lower() not in ("true", "false"):
                yield f"{path} is {value}"
        case "timestamp":
            float(value)
        case "string":
            if not limits.get("min", 0) <= len(value) <= limits.get("max", len(value)):
                yield f"{path} has {len(value)} characters"
            if limits.get("enum") and value not in limits["enum"]:
                yield f"{path} is {value}"
            if "pattern" in limits and not re.fullmatch(limits["pattern"], value):
                yield f"{path} is {value}, and not {limits['pattern']}"


def request(mapping: dict) -> dict:
    """The API's request for a mapping of CloudFormation, which has other names for the brokers and the tags."""
    made = dict(mapping)
    if "SelfManagedEventSource" in made:
        brokers = made["SelfManagedEventSource"]["Endpoints"]["KafkaBootstrapServers"]
        made["SelfManagedEventSource"] = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": brokers}}
    if "Tags" in made:
        made["Tags"] = {tag["Key"]: tag["Value"] for tag in made["Tags"]}
    return made


@pytest.mark.parametrize("mode", combinations.MODES)
@pytest.mark.parametrize("source", combinations.SOURCES)
def test_the_mappings_of_every_combination_are_requests_that_lambda_takes(source, mode):
    parameters = combinations.SOURCES[source] | combinations.MODES[mode] | URL
    for mapping in stack.deploy(**parameters).mappings().values():
        assert list(refused(request(mapping), CREATE)) == []


def test_the_check_finds_what_lambda_refuses():
    wrong = {
        "FunctionName": "f",
        "Topics": [".hidden"],
        "StartingPosition": "NEWEST",
        "ProvisionedPollerConfig": {"MinimumPollers": "0", "Pollers": 1},
        "LoggingConfig": {"SystemLogLevel": "ERROR"},
        "MetricsConfig": {"Metrics": ["EventCount", "ErrorCount", "KafkaMetrics", "EventCount"]},
        "SelfManagedKafkaEventSourceConfig": {
            "SchemaRegistryConfig": {"EventRecordFormat": "AVRO", "SchemaValidationConfigs": [{"Attribute": "HEADER"}]}
        },
    }
    found = {fault.split()[0] for fault in refused(wrong, CREATE)}
    assert found == {
        ".Topics[]",
        ".StartingPosition",
        ".ProvisionedPollerConfig",
        ".ProvisionedPollerConfig.MinimumPollers",
        ".LoggingConfig.SystemLogLevel",
        ".MetricsConfig.Metrics",
        ".SelfManagedKafkaEventSourceConfig.SchemaRegistryConfig.EventRecordFormat",
        ".SelfManagedKafkaEventSourceConfig.SchemaRegistryConfig.SchemaValidationConfigs[].Attribute",
    }


_provisioned = {"MinimumPollers": "1"}
_registry = _provisioned | {"OnFailureTopic": "failed.events", "SchemaRegistryUri": "https://registry.example.com"}
_secret = f"arn:aws:secretsmanager:{ACCOUNT_ARN}:secret:"
# What the template takes or refuses by itself, at the limits of the API. Lambda would refuse it in the midst of a deployment.
EDGES = [
    *(({}, "Topics", topic) for topic in ("a", "ab", ".ab", "-b", "_.", "a" * 123, "a" * 249, "a" * 250)),
    *(({"Topics": "a" * 123}, "ConsumerGroupPrefix", prefix) for prefix in ("p" * 76, "p" * 77, "p" * 199)),
    *((_provisioned, "OnFailureTopic", topic) for topic in ("a", ".a", "a.", "a" * 249, "a" * 250)),
    *((_provisioned, "PollerGroupName", name) for name in ("a" * 128, "a" * 129, "a.b")),
    *(({}, "BatchSize", size) for size in ("0", "1", "10000", "10001")),
    *(({}, "BatchWindowSeconds", seconds) for seconds in ("0", "300", "301")),
    *((_provisioned, "MaximumRetryAttempts", n) for n in ("-2", "-1", "0", "10000", "10001")),
    *((_provisioned, "MaximumRecordAgeSeconds", n) for n in ("-2", "-1", "60", "604800", "604801")),
    *((_provisioned, "MinimumPollers", n) for n in ("200", "201")),
    *((_provisioned, "MaximumPollers", n) for n in ("1", "2000", "10001")),
    *(({}, "KafkaSecretArn", secret) for secret in ("kafka", _secret + "kafka", _secret + "k" * 130, _secret + "k?")),
    *(({}, "KafkaCaSecretArn", secret) for secret in ("-----BEGIN", _secret + "ca", _secret + "k" * 150)),
    *(({}, "OnFailureDestinationArn", f"arn:aws:sqs:{ACCOUNT_ARN}:{queue}") for queue in ("q", "q" * 80, "q" * 350)),
    *(
        (_registry, "SchemaRegistryUri", f"https://registry{end}")
        for end in ("", ":8081/a_b", "?a=b", "/" + "a" * 9999)
    ),
    *((_registry, "SchemaRegistryEventRecordFormat", name) for name in ("JSON", "SOURCE", "AVRO")),
    *((_registry, "SchemaValidation", name) for name in ("KEY", "VALUE", "KEY,VALUE", "HEADER")),
]


@pytest.mark.parametrize(
    ("parameters", "name", "value"), [pytest.param(*edge, id=f"{edge[1]} {edge[2][:60]}") for edge in EDGES]
)
def test_what_a_parameter_takes_lambda_takes_as_well(parameters, name, value):
    try:
        made = stack.deploy(**{**SCRAM, **URL, **parameters, name: value})
    except stack.RefusedError:
        return
    faults = [fault for mapping in made.mappings().values() for fault in refused(request(mapping), CREATE)]
    assert faults == []


def test_the_policy_of_the_longest_topic_has_a_name_that_iam_takes():
    made = stack.deploy(**combinations.SOURCES["MSK, IAM"], **URL, Topics="a" * 123)
    (policy,) = made.of_type("AWS::IAM::RolePolicy").values()
    # https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutRolePolicy.html
    assert len(policy["PolicyName"]) <= 128


@pytest.mark.parametrize("name", sorted({name for _, name, _ in EDGES}))
def test_a_parameter_takes_some_values_and_refuses_others(name):
    outcomes = set()
    for parameters, _, value in (edge for edge in EDGES if edge[1] == name):
        try:
            stack.deploy(**{**SCRAM, **URL, **parameters, name: value})
            outcomes.add("taken")
        except stack.RefusedError:
            outcomes.add("refused")
    assert outcomes == {"taken", "refused"}


@pytest.mark.parametrize(
    ("parameter", "shape"),
    [
        ("StartingPosition", "EventSourcePosition"),
        ("SchemaRegistryEventRecordFormat", "SchemaRegistryEventRecordFormat"),
    ],
)
def test_every_value_that_the_api_has_can_be_given(parameter, shape):
    assert set(stack.source()["Parameters"][parameter]["AllowedValues"]) == set(MODEL.shape_for(shape).enum)


@pytest.mark.parametrize(
    ("parameter", "shape"),
    [
        ("KafkaAuthentication", "SourceAccessType"),
        ("SchemaRegistryAuthentication", "KafkaSchemaRegistryAuthType"),
        ("Architecture", "Architecture"),
        ("Tracing", "TracingMode"),
    ],
)
def test_no_value_is_unknown_to_the_api(parameter, shape):
    assert set(stack.source()["Parameters"][parameter]["AllowedValues"]) <= set(MODEL.shape_for(shape).enum)
