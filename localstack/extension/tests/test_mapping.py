"""Kafka event source mappings through the Lambda API."""

import json
import re
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from conftest import eventually

MSK = "arn:aws:kafka:us-east-1:123456789012:cluster/demo/6c1b9c1e-4b6a-4c55-9a3f-111122223333-7"


@pytest.fixture(scope="module")
def function(make_function):
    return make_function()


@pytest.fixture
def create(lambda_client, function):
    """Creates mappings that are deleted at the end."""
    made = []

    def create(**properties):
        mapping = lambda_client.create_event_source_mapping(FunctionName=function.name, **properties)
        made.append(mapping["UUID"])
        return mapping

    yield create
    for mapping_id in made:
        if mapping_id in listed(lambda_client):
            lambda_client.delete_event_source_mapping(UUID=mapping_id)


def self_managed(**properties):
    """The properties that a mapping of a self-managed cluster must have."""
    return {
        "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:9092", "b:9092"]}},
        "Topics": [f"topic-{uuid.uuid4().hex[:8]}"],
        "StartingPosition": "TRIM_HORIZON",
    } | properties


def listed(client) -> dict[str, dict]:
    pages = client.get_paginator("list_event_source_mappings").paginate()
    return {mapping["UUID"]: mapping for page in pages for mapping in page["EventSourceMappings"]}


def without_metadata(mapping: dict) -> dict:
    return {name: value for name, value in mapping.items() if name != "ResponseMetadata"}


def refused(call, **properties) -> str:
    with pytest.raises(ClientError) as error:
        call(**properties)
    return error.value.response["Error"]["Code"]


def test_a_plain_mapping_gets_the_defaults_that_lambda_documents(lambda_client, create):
    mapping = create(**self_managed())
    shown = listed(lambda_client)[mapping["UUID"]]
    assert shown["SelfManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": mapping["UUID"]}
    assert (shown["State"], shown["BatchSize"]) == ("Enabled", 100)
    assert (shown["MaximumRetryAttempts"], shown["MaximumRecordAgeInSeconds"]) == (-1, -1)
    assert (shown["BisectBatchOnFunctionError"], shown["FunctionResponseTypes"]) == (False, [])
    assert shown["DestinationConfig"] == {"OnFailure": {}}
    assert "MaximumBatchingWindowInSeconds" not in shown


def test_every_property_of_a_self_managed_mapping_is_returned(lambda_client, create):
    secret = "arn:aws:secretsmanager:us-east-1:000000000000:secret:kafka"
    properties = self_managed(
        BatchSize=2000,
        BisectBatchOnFunctionError=True,
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:000000000000:failed"}},
        FilterCriteria={"Filters": [{"Pattern": '{"value":{"kind":["order"]}}'}]},
        FunctionResponseTypes=["ReportBatchItemFailures"],
        KMSKeyArn="arn:aws:kms:us-east-1:000000000000:key/1",
        LoggingConfig={"SystemLogLevel": "DEBUG"},
        MaximumBatchingWindowInSeconds=7,
        MaximumRecordAgeInSeconds=3600,
        MaximumRetryAttempts=5,
        MetricsConfig={"Metrics": ["EventCount", "KafkaMetrics"]},
        ProvisionedPollerConfig={"MinimumPollers": 2, "MaximumPollers": 5, "PollerGroupName": "search"},
        SelfManagedKafkaEventSourceConfig={
            "ConsumerGroupId": f"group-{uuid.uuid4()}",
            "SchemaRegistryConfig": {
                "SchemaRegistryURI": "https://registry:8081",
                "EventRecordFormat": "JSON",
                "AccessConfigs": [{"Type": "BASIC_AUTH", "URI": secret}],
                "SchemaValidationConfigs": [{"Attribute": "VALUE"}],
            },
        },
        SourceAccessConfigurations=[{"Type": "SASL_SCRAM_512_AUTH", "URI": secret}],
        StartingPosition="AT_TIMESTAMP",
        StartingPositionTimestamp=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    mapping_id = create(**properties)["UUID"]
    shown = listed(lambda_client)[mapping_id]
    assert {name: shown.get(name) for name in properties} == properties


def test_every_property_of_an_msk_mapping_is_returned(lambda_client, create):
    properties = {
        "EventSourceArn": MSK,
        "Topics": [f"topic-{uuid.uuid4().hex[:8]}"],
        "StartingPosition": "LATEST",
        "AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": f"group-{uuid.uuid4()}"},
        "ProvisionedPollerConfig": {"MinimumPollers": 3},
    }
    mapping = create(**properties)
    shown = listed(lambda_client)[mapping["UUID"]]
    expected = properties | {"ProvisionedPollerConfig": {"MinimumPollers": 3, "MaximumPollers": 200}}
    assert {name: shown.get(name) for name in expected} == expected
    by_source = lambda_client.list_event_source_mappings(EventSourceArn=MSK)["EventSourceMappings"]
    assert [found["UUID"] for found in by_source] == [mapping["UUID"]]


def test_get_and_list_show_the_same(lambda_client, create):
    mapping_id = create(**self_managed())["UUID"]
    shown = lambda_client.get_event_source_mapping(UUID=mapping_id)
    assert without_metadata(shown) == listed(lambda_client)[mapping_id]


def test_a_mapping_is_disabled_and_enabled_at_once(lambda_client, create):
    mapping_id = create(**self_managed(Enabled=False))["UUID"]
    assert listed(lambda_client)[mapping_id]["State"] == "Disabled"
    for enabled, state in [(True, "Enabled"), (False, "Disabled"), (True, "Enabled")]:
        lambda_client.update_event_source_mapping(UUID=mapping_id, Enabled=enabled)
        assert listed(lambda_client)[mapping_id]["State"] == state


def test_an_update_changes_what_it_names_and_keeps_the_rest(lambda_client, create):
    mapping_id = create(
        **self_managed(ProvisionedPollerConfig={"MinimumPollers": 2, "MaximumPollers": 5}, BatchSize=10)
    )["UUID"]
    before = listed(lambda_client)[mapping_id]
    lambda_client.update_event_source_mapping(
        UUID=mapping_id,
        BatchSize=20,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        ProvisionedPollerConfig={"MaximumPollers": 9},
    )
    after = listed(lambda_client)[mapping_id]
    assert after.pop("LastModified") > before.pop("LastModified")
    assert after == before | {
        "BatchSize": 20,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ProvisionedPollerConfig": {"MinimumPollers": 2, "MaximumPollers": 9},
    }


def test_an_update_of_a_disabled_mapping_leaves_it_disabled(lambda_client, create):
    mapping_id = create(**self_managed(Enabled=False))["UUID"]
    lambda_client.update_event_source_mapping(UUID=mapping_id, BatchSize=20)
    assert listed(lambda_client)[mapping_id]["State"] == "Disabled"


def test_a_deleted_mapping_is_gone_at_once_and_may_be_created_again(lambda_client, create):
    properties = self_managed()
    mapping_id = create(**properties)["UUID"]
    assert refused(create, **properties) == "ResourceConflictException"
    lambda_client.delete_event_source_mapping(UUID=mapping_id)
    assert mapping_id not in listed(lambda_client)
    assert refused(lambda_client.get_event_source_mapping, UUID=mapping_id) == "ResourceNotFoundException"
    create(**properties)


@pytest.mark.parametrize(
    "wrong",
    [
        {"StartingPosition": None},
        {"StartingPosition": "AT_TIMESTAMP"},
        {"Topics": ["one", "two"]},
        {"BatchSize": 10_001},
        {"MaximumBatchingWindowInSeconds": 301},
        {"MaximumRecordAgeInSeconds": 59},
        {"MaximumRetryAttempts": 10_001},
        {"ProvisionedPollerConfig": {"MinimumPollers": 5, "MaximumPollers": 4}},
        {"SelfManagedEventSource": {"Endpoints": {}}},
    ],
    ids=str,
)
def test_what_lambda_refuses_is_refused_and_changes_nothing(lambda_client, create, wrong):
    before = listed(lambda_client)
    properties = {name: value for name, value in self_managed(**wrong).items() if value is not None}
    assert refused(create, **properties) in ("InvalidParameterValueException", "ValidationException")
    assert listed(lambda_client) == before


PROVISIONED_ONLY = [
    {"BisectBatchOnFunctionError": True},
    {"DestinationConfig": {"OnFailure": {"Destination": "kafka://failed"}}},
    {"FunctionResponseTypes": ["ReportBatchItemFailures"]},
    {"LoggingConfig": {"SystemLogLevel": "DEBUG"}},
    {"MaximumRecordAgeInSeconds": 60},
    {"MaximumRetryAttempts": 0},
    {"MetricsConfig": {"Metrics": ["EventCount"]}},
    {
        "SelfManagedKafkaEventSourceConfig": {
            "SchemaRegistryConfig": {
                "SchemaRegistryURI": "https://registry",
                "EventRecordFormat": "JSON",
                "SchemaValidationConfigs": [{"Attribute": "VALUE"}],
            }
        }
    },
]


@pytest.mark.parametrize("feature", PROVISIONED_ONLY, ids=str)
def test_what_needs_provisioned_mode_is_refused_on_demand(lambda_client, create, feature):
    assert refused(create, **self_managed(**feature)) == "InvalidParameterValueException"
    mapping_id = create(**self_managed(ProvisionedPollerConfig={"MinimumPollers": 1}, **feature))["UUID"]
    # The mapping can't return to on-demand mode with it, and gets it in on-demand mode by no update.
    error = refused(lambda_client.update_event_source_mapping, UUID=mapping_id, ProvisionedPollerConfig={})
    assert error == "InvalidParameterValueException"
    on_demand = create(**self_managed())["UUID"]
    error = refused(lambda_client.update_event_source_mapping, UUID=on_demand, **feature)
    assert error == "InvalidParameterValueException"


GLUE_REGISTRY = "arn:aws:glue:us-east-1:000000000000:registry/events"
SECRET = "arn:aws:secretsmanager:us-east-1:000000000000:secret:registry"
REGISTRY = {
    "SchemaRegistryURI": "http://registry:8081/apis/ccompat/v7",
    "EventRecordFormat": "JSON",
    "SchemaValidationConfigs": [{"Attribute": "KEY"}, {"Attribute": "VALUE"}],
}


def with_registry(**members):
    """A mapping whose registry has these members besides those of REGISTRY, and not those that are None."""
    registry = {name: value for name, value in (REGISTRY | members).items() if value is not None}
    return self_managed(
        ProvisionedPollerConfig={"MinimumPollers": 1},
        SelfManagedKafkaEventSourceConfig={"SchemaRegistryConfig": registry},
    )


def registry_of(mapping: dict) -> dict | None:
    return mapping["SelfManagedKafkaEventSourceConfig"].get("SchemaRegistryConfig")


def error_of(call, **properties) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**properties)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"EventRecordFormat": "SOURCE", "SchemaValidationConfigs": [{"Attribute": "VALUE"}]},
        {"SchemaRegistryURI": GLUE_REGISTRY},
        {
            "AccessConfigs": [
                {"Type": "BASIC_AUTH", "URI": SECRET},
                {"Type": "SERVER_ROOT_CA_CERTIFICATE", "URI": SECRET + "-ca"},
            ]
        },
        {"AccessConfigs": [{"Type": "CLIENT_CERTIFICATE_TLS_AUTH", "URI": SECRET}]},
        {"AccessConfigs": [{"Type": "OAUTHBEARER_AUTH", "URI": SECRET}]},
    ],
    ids=str,
)
def test_a_schema_registry_is_returned_as_it_was_given(lambda_client, create, members):
    mapping_id = create(**with_registry(**members))["UUID"]
    assert registry_of(listed(lambda_client)[mapping_id]) == REGISTRY | members
    assert registry_of(lambda_client.get_event_source_mapping(UUID=mapping_id)) == REGISTRY | members


INVALID, CONSTRAINT = "InvalidParameterValueException", "ValidationException"


@pytest.mark.parametrize(
    ("members", "code", "message"),
    [
        ({"SchemaRegistryURI": None}, INVALID, "Malformed SchemaRegistryURI provided."),
        ({"SchemaRegistryURI": "registry:8081"}, INVALID, "Malformed SchemaRegistryURI provided."),
        ({"SchemaRegistryURI": "https://registry?a=b"}, INVALID, "Malformed SchemaRegistryURI provided."),
        ({"SchemaRegistryURI": GLUE_REGISTRY.replace("registry/", "schema/")}, INVALID, "Malformed SchemaRegistryURI"),
        ({"SchemaRegistryURI": "https://" + "a" * 10_000}, CONSTRAINT, "length less than or equal to 10000"),
        ({"SchemaRegistryURI": GLUE_REGISTRY.replace("0" * 12, "1" * 12)}, INVALID, "Cross-account Glue Schema"),
        ({"SchemaRegistryURI": GLUE_REGISTRY.replace("us-east-1", "us-west-2")}, INVALID, "Cross-region Glue Schema"),
        (
            {"SchemaRegistryURI": GLUE_REGISTRY, "AccessConfigs": [{"Type": "BASIC_AUTH", "URI": SECRET}]},
            INVALID,
            "AccessConfigs are not supported for a Glue Schema Registry",
        ),
        ({"EventRecordFormat": None}, INVALID, "EventRecordFormat is a required field for SchemaRegistryConfig."),
        ({"EventRecordFormat": "AVRO"}, CONSTRAINT, "Member must satisfy enum value set: [JSON, SOURCE]"),
        ({"SchemaValidationConfigs": None}, INVALID, "SchemaValidationConfigs is a required field"),
        ({"SchemaValidationConfigs": []}, INVALID, "SchemaValidationConfigs is a required field"),
        ({"SchemaValidationConfigs": [{"Attribute": "HEADERS"}]}, CONSTRAINT, "enum value set: [KEY, VALUE]"),
        ({"SchemaValidationConfigs": [{"Attribute": "KEY"}] * 2}, INVALID, "Duplicate KEY Attribute"),
        ({"SchemaValidationConfigs": [{"Attribute": "VALUE"}] * 2}, INVALID, "Duplicate VALUE Attribute"),
        (
            {"AccessConfigs": [{"Type": "SASL_SCRAM_512_AUTH", "URI": SECRET}]},
            CONSTRAINT,
            "enum value set: [BASIC_AUTH",
        ),
        ({"AccessConfigs": [{"Type": "BASIC_AUTH", "URI": "password"}]}, CONSTRAINT, "accessConfigs.1.member.uRI"),
        ({"AccessConfigs": [{"Type": "BASIC_AUTH"}]}, CONSTRAINT, "accessConfigs.1.member.uRI"),
        (
            {"AccessConfigs": [{"Type": "BASIC_AUTH", "URI": SECRET}] * 2},
            INVALID,
            "must contain at most one of BASIC_AUTH",
        ),
        (
            {
                "AccessConfigs": [
                    {"Type": kind, "URI": SECRET}
                    for kind in ("BASIC_AUTH", "CLIENT_CERTIFICATE_TLS_AUTH", "SERVER_ROOT_CA_CERTIFICATE")
                ]
            },
            INVALID,
            "at most one SERVER_ROOT_CA_CERTIFICATE",
        ),
    ],
    ids=str,
)
def test_a_schema_registry_that_lambda_refuses_is_refused_in_its_words(lambda_client, create, members, code, message):
    before = listed(lambda_client)
    actual_code, actual = error_of(create, **with_registry(**members))
    assert actual_code == code and message in actual, actual
    assert listed(lambda_client) == before
    plain = create(**self_managed(ProvisionedPollerConfig={"MinimumPollers": 1}))["UUID"]
    update = {"SelfManagedKafkaEventSourceConfig": with_registry(**members)["SelfManagedKafkaEventSourceConfig"]}
    assert error_of(lambda_client.update_event_source_mapping, UUID=plain, **update) == (actual_code, actual)


def test_a_schema_registry_needs_provisioned_mode_and_leaves_it_only_after_the_registry(lambda_client, create):
    on_demand = with_registry()
    del on_demand["ProvisionedPollerConfig"]
    code, message = error_of(create, **on_demand)
    assert code == INVALID and message.startswith("SchemaRegistryConfig is only available for Provisioned Mode."), (
        message
    )
    mapping_id = create(**with_registry())["UUID"]
    update = lambda_client.update_event_source_mapping
    assert error_of(update, UUID=mapping_id, ProvisionedPollerConfig={}) == (code, message)
    update(UUID=mapping_id, SelfManagedKafkaEventSourceConfig={"SchemaRegistryConfig": {}})
    assert registry_of(listed(lambda_client)[mapping_id]) is None
    update(UUID=mapping_id, ProvisionedPollerConfig={})


def test_an_update_replaces_the_whole_schema_registry_and_keeps_the_group(lambda_client, create):
    mapping_id = create(**with_registry(AccessConfigs=[{"Type": "BASIC_AUTH", "URI": SECRET}]))["UUID"]
    lambda_client.update_event_source_mapping(UUID=mapping_id, BatchSize=7)
    shown = listed(lambda_client)[mapping_id]
    assert registry_of(shown) == REGISTRY | {"AccessConfigs": [{"Type": "BASIC_AUTH", "URI": SECRET}]}
    lambda_client.update_event_source_mapping(
        UUID=mapping_id, SelfManagedKafkaEventSourceConfig={"SchemaRegistryConfig": REGISTRY}
    )
    shown = listed(lambda_client)[mapping_id]
    assert registry_of(shown) == REGISTRY
    assert shown["SelfManagedKafkaEventSourceConfig"]["ConsumerGroupId"] == mapping_id


def test_an_msk_mapping_has_its_schema_registry_in_its_own_property(lambda_client, create):
    config = {"SchemaRegistryConfig": REGISTRY | {"EventRecordFormat": "AVRO"}}
    mapping = {"EventSourceArn": MSK, "Topics": ["msk.schemas"], "StartingPosition": "LATEST"}
    mapping |= {"ProvisionedPollerConfig": {"MinimumPollers": 1}, "AmazonManagedKafkaEventSourceConfig": config}
    _, message = error_of(create, **mapping)
    assert "at 'amazonManagedKafkaEventSourceConfig.schemaRegistryConfig.eventRecordFormat'" in message


def test_a_destination_in_aws_needs_no_provisioned_mode(create):
    create(
        **self_managed(DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:000000000000:failed"}})
    )


def test_a_function_with_a_timeout_above_14_minutes_gets_no_kafka_mapping(lambda_client, make_function):
    for timeout, expected in [(841, "InvalidParameterValueException"), (840, None)]:
        slow = make_function(Timeout=timeout)
        properties = {"FunctionName": slow.name, **self_managed()}
        if expected:
            assert refused(lambda_client.create_event_source_mapping, **properties) == expected
        else:
            mapping_id = lambda_client.create_event_source_mapping(**properties)["UUID"]
            lambda_client.delete_event_source_mapping(UUID=mapping_id)


@pytest.mark.parametrize(
    "pattern",
    [
        {"key": ["a"]},
        {"value": {"a": [1]}, "partition": [0]},
        {"$or": [{"value": {"a": [1]}}, {"topic": ["a"]}]},
        {"value": {"a": 1}},
        [],
    ],
    ids=str,
)
def test_a_filter_on_anything_but_the_value_is_refused(create, pattern):
    criteria = {"Filters": [{"Pattern": json.dumps(pattern)}]}
    assert refused(create, **self_managed(FilterCriteria=criteria)) == "InvalidParameterValueException"


def test_a_filter_may_name_alternatives_of_the_value(create):
    pattern = {"$or": [{"value": {"a": [1]}}, {"value": {"key": [2]}}]}
    create(**self_managed(FilterCriteria={"Filters": [{"Pattern": json.dumps(pattern)}]}))


CLUSTER = "demo/6c1b9c1e-4b6a-4c55-9a3f-111122223333-7"


@pytest.mark.parametrize(
    ("arn", "accepted"),
    [
        (f"arn:aws:kafka:us-east-1:123456789012:cluster/{CLUSTER}", True),
        (f"arn:aws-cn:kafka:cn-north-1:123456789012:cluster/{CLUSTER}", True),
        (f"arn:aws:kafka:us-east-1:123456789012:vpc-connection/210987654321/{CLUSTER}", True),
        ("arn:aws:kafka:us-east-1:123456789012:cluster/demo", False),
        (f"arn:aws:kafka:us-east-1:123456789012:topic/{CLUSTER}/order.events", False),
        (f"arn:aws:kafka:us-east-1::cluster/{CLUSTER}", False),
        (f"arn:aws:kafka:us-east-1:123456789012:vpc-connection/{CLUSTER}", False),
    ],
)
def test_an_msk_source_is_a_cluster_or_a_vpc_connection(lambda_client, function, arn, accepted):
    properties = {"FunctionName": function.name, "Topics": ["arn.forms"], "StartingPosition": "LATEST"}
    if not accepted:
        error = refused(lambda_client.create_event_source_mapping, EventSourceArn=arn, **properties)
        assert error == "InvalidParameterValueException"
        return
    mapping = lambda_client.create_event_source_mapping(EventSourceArn=arn, **properties)
    lambda_client.delete_event_source_mapping(UUID=mapping["UUID"])


@pytest.mark.parametrize(
    ("destination", "accepted"),
    [
        ("arn:aws:sqs:us-east-1:000000000000:failed", True),
        ("arn:aws-us-gov:sns:us-gov-west-1:000000000000:failed", True),
        ("arn:aws:s3:::failed", True),
        ("arn:aws:kinesis:us-east-1:000000000000:stream/failed", False),
        ("failed", False),
        ("kafka://", False),
    ],
)
def test_a_destination_is_a_queue_a_topic_or_a_bucket(create, destination, accepted):
    properties = self_managed(DestinationConfig={"OnFailure": {"Destination": destination}})
    if accepted:
        create(**properties)
    else:
        assert refused(create, **properties) in ("InvalidParameterValueException", "ValidationException")


def test_an_msk_cluster_takes_no_access_of_a_self_managed_one(lambda_client, function):
    for kind in ("BASIC_AUTH", "SASL_SCRAM_256_AUTH", "SERVER_ROOT_CA_CERTIFICATE", "VPC_SUBNET", "VPC_SECURITY_GROUP"):
        error = refused(
            lambda_client.create_event_source_mapping,
            FunctionName=function.name,
            EventSourceArn=MSK,
            Topics=["msk.access"],
            StartingPosition="LATEST",
            SourceAccessConfigurations=[
                {"Type": kind, "URI": "arn:aws:secretsmanager:us-east-1:000000000000:secret:s"}
            ],
        )
        assert error == "InvalidParameterValueException", kind


@pytest.mark.parametrize("name", ["{name}", "{arn}", "{account}:function:{name}", "{arn}:$LATEST"])
def test_a_function_is_named_in_each_form_and_the_mapping_has_its_arn(lambda_client, function, name):
    arn = lambda_client.get_function_configuration(FunctionName=function.name)["FunctionArn"]
    named = name.format(name=function.name, arn=arn, account=arn.split(":")[4])
    mapping = lambda_client.create_event_source_mapping(FunctionName=named, **self_managed())
    assert mapping["FunctionArn"] == (f"{arn}:$LATEST" if name.endswith("$LATEST") else arn)
    lambda_client.delete_event_source_mapping(UUID=mapping["UUID"])


@pytest.mark.parametrize(
    "other",
    [
        {"ParallelizationFactor": 2},
        {"TumblingWindowInSeconds": 30},
        {"Queues": ["queue"]},
        {"ScalingConfig": {"MaximumConcurrency": 2}},
        {"DocumentDBEventSourceConfig": {"DatabaseName": "events"}},
    ],
    ids=str,
)
def test_properties_of_other_event_sources_are_refused(create, other):
    assert refused(create, **self_managed(**other)) == "InvalidParameterValueException"


def test_tags_are_kept(lambda_client, create):
    mapping = create(**self_managed(Tags={"team": "search"}))
    assert lambda_client.list_tags(Resource=mapping["EventSourceMappingArn"])["Tags"] == {"team": "search"}


def test_the_pollers_readme_has_every_property_and_each_test_that_it_names_exists(lambda_client):
    localstack = Path(__file__).parents[2]
    rows = [line.split(" | ") for line in (localstack / "kafka-poller" / "README.md").read_text().splitlines()]
    rows = [row for row in rows if len(row) == 4 and row[0].startswith("| `")]
    create = lambda_client.meta.service_model.operation_model("CreateEventSourceMapping")
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    assert set(create.input_shape.members) <= listed
    sources = [*localstack.glob("kafka-poller/**/*.rs"), *localstack.glob("extension/tests/*.py")]
    text = "\n".join(path.read_text() for path in sources)
    tests = {name for row in rows for name in re.findall(r"`(\w+)`", row[3])}
    assert len(tests) > 20
    assert [name for name in sorted(tests) if f"fn {name}(" not in text and f"def {name}(" not in text] == []


def test_two_mappings_of_a_function_and_a_topic_conflict_whatever_their_groups(create):
    properties = self_managed(SelfManagedKafkaEventSourceConfig={"ConsumerGroupId": "one"})
    create(**properties)
    again = properties | {"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "two"}}
    assert refused(create, **again) == "ResourceConflictException"


def test_the_consumer_group_of_a_mapping_cannot_be_changed(lambda_client, create):
    mapping_id = create(**self_managed())["UUID"]
    error = refused(
        lambda_client.update_event_source_mapping,
        UUID=mapping_id,
        SelfManagedKafkaEventSourceConfig={"ConsumerGroupId": "another"},
    )
    assert error == "InvalidParameterValueException"
    shown = listed(lambda_client)[mapping_id]
    assert shown["SelfManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": mapping_id}


def test_mappings_of_other_sources_still_work(localstack, lambda_client, create):
    queue = localstack.client("sqs").create_queue(QueueName=f"queue-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:000000000000:{queue.rsplit('/', 1)[1]}"
    mapping_id = create(EventSourceArn=arn)["UUID"]
    eventually(lambda: listed(lambda_client)[mapping_id]["State"] == "Enabled")
    lambda_client.delete_event_source_mapping(UUID=mapping_id)
    eventually(lambda: mapping_id not in listed(lambda_client))
