"""Kafka event source mappings through CloudFormation."""

import json
import uuid

import pytest

from conftest import eventually, finished_stack


@pytest.fixture(scope="module")
def function(make_function):
    return make_function()


class Stack:
    """A CloudFormation stack with one mapping."""

    def __init__(self, localstack, function) -> None:
        self._client = localstack.client("cloudformation")
        self._lambda = localstack.client("lambda")
        self._function = function
        self._name = f"stack-{uuid.uuid4().hex[:8]}"

    def create(self, **properties) -> dict:
        self._client.create_stack(StackName=self._name, TemplateBody=self._template(properties))
        return self._finished("CREATE_COMPLETE")

    def update(self, **properties) -> dict:
        self._client.update_stack(StackName=self._name, TemplateBody=self._template(properties))
        return self._finished("UPDATE_COMPLETE")

    def fail_to_update(self, **properties) -> str:
        """Returns why the mapping's update failed. LocalStack shows the stack itself as updated after such a failure."""
        self._client.update_stack(StackName=self._name, TemplateBody=self._template(properties))
        finished_stack(self._client, self._name)
        events = self._client.describe_stack_events(StackName=self._name)["StackEvents"]
        (failed,) = [
            event
            for event in events
            if (event["LogicalResourceId"], event["ResourceStatus"]) == ("Mapping", "UPDATE_FAILED")
        ]
        return failed["ResourceStatusReason"]

    def delete(self) -> None:
        self._client.delete_stack(StackName=self._name)
        eventually(lambda: self.mappings() == [])

    def mappings(self) -> list[dict]:
        return self._lambda.list_event_source_mappings(FunctionName=self._function.name)["EventSourceMappings"]

    def _template(self, properties: dict) -> str:
        mapping = {
            "FunctionName": self._function.name,
            "SelfManagedEventSource": {"Endpoints": {"KafkaBootstrapServers": ["a:9092"]}},
            "Topics": ["order.events"],
            "StartingPosition": "TRIM_HORIZON",
            # A condition: CloudFormation must compare its value, not the text of the template.
            "SelfManagedKafkaEventSourceConfig": {
                "Fn::If": ["Always", {"ConsumerGroupId": "orders"}, {"Ref": "AWS::NoValue"}]
            },
        }
        return json.dumps(
            {
                "Conditions": {"Always": {"Fn::Equals": ["a", "a"]}},
                "Resources": {
                    "Mapping": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": mapping | properties}
                },
            }
        )

    def _finished(self, status: str) -> dict:
        stack = finished_stack(self._client, self._name)
        assert stack["StackStatus"] == status, self._client.describe_stack_events(StackName=self._name)
        (mapping,) = self.mappings()
        return mapping


@pytest.fixture
def stack(localstack, function):
    stack = Stack(localstack, function)
    yield stack
    stack.delete()


def test_a_stack_creates_and_deletes_a_mapping(stack):
    mapping = stack.create(BatchSize=500)
    assert mapping["SelfManagedEventSource"] == {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:9092"]}}
    assert mapping["SelfManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": "orders"}
    assert (mapping["State"], mapping["BatchSize"], mapping["Topics"]) == ("Enabled", 500, ["order.events"])


def test_an_update_keeps_the_mapping_and_changes_every_property_that_may_change(stack):
    before = stack.create()
    changed = {
        "BatchSize": 7,
        "BisectBatchOnFunctionError": True,
        "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:000000000000:failed"}},
        "FilterCriteria": {"Filters": [{"Pattern": '{"value":{"kind":["order"]}}'}]},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "MaximumBatchingWindowInSeconds": 3,
        "MaximumRecordAgeInSeconds": 60,
        "MaximumRetryAttempts": 4,
        "ProvisionedPollerConfig": {"MinimumPollers": 2, "MaximumPollers": 4},
        "SourceAccessConfigurations": [{"Type": "BASIC_AUTH", "URI": "arn:aws:secretsmanager:us-east-1:0:secret:s"}],
    }
    after = stack.update(Enabled=False, KmsKeyArn="arn:aws:kms:us-east-1:000000000000:key/1", **changed)
    assert after["UUID"] == before["UUID"]
    assert {name: after.get(name) for name in changed} == changed
    assert (after["State"], after["KMSKeyArn"]) == ("Disabled", "arn:aws:kms:us-east-1:000000000000:key/1")


def test_a_property_that_is_removed_from_the_template_returns_to_its_default(stack):
    stack.create(
        BatchSize=7,
        Enabled=False,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        ProvisionedPollerConfig={"MinimumPollers": 2, "MaximumPollers": 4},
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:000000000000:failed"}},
    )
    mapping = stack.update()
    assert (mapping["BatchSize"], mapping["State"], mapping["FunctionResponseTypes"]) == (100, "Enabled", [])
    assert not mapping.get("ProvisionedPollerConfig")
    assert not mapping["DestinationConfig"]["OnFailure"]


def test_a_schema_registry_comes_changes_and_goes_with_the_template(stack):
    registry = {
        "SchemaRegistryURI": "http://registry:8081/apis/ccompat/v7",
        "EventRecordFormat": "JSON",
        "SchemaValidationConfigs": [{"Attribute": "VALUE"}],
    }

    def registry_after(change, registry: dict | None) -> dict | None:
        config = {"ConsumerGroupId": "orders"} | ({"SchemaRegistryConfig": registry} if registry else {})
        mapping = change(
            ProvisionedPollerConfig={"MinimumPollers": 1, "MaximumPollers": 2}, SelfManagedKafkaEventSourceConfig=config
        )
        assert mapping["SelfManagedKafkaEventSourceConfig"]["ConsumerGroupId"] == "orders"
        return mapping["SelfManagedKafkaEventSourceConfig"].get("SchemaRegistryConfig")

    assert registry_after(stack.create, registry) == registry
    other = registry | {"EventRecordFormat": "SOURCE"}
    assert registry_after(stack.update, other) == other
    assert registry_after(stack.update, None) is None


def test_a_new_topic_changes_nothing_although_the_update_succeeds(stack):
    before = stack.create()
    after = stack.update(Topics=["order.events.v2"], BatchSize=50)
    assert after["UUID"] == before["UUID"]
    assert (after["Topics"], after["BatchSize"]) == (["order.events"], 50)


def test_another_cluster_replaces_the_mapping(stack):
    before = stack.create()
    after = stack.update(SelfManagedEventSource={"Endpoints": {"KafkaBootstrapServers": ["b:9092"]}})
    assert after["UUID"] != before["UUID"]
    assert after["SelfManagedEventSource"] == {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["b:9092"]}}


def test_another_starting_position_fails_because_the_new_mapping_conflicts_with_the_old_one(stack):
    before = stack.create()
    reason = stack.fail_to_update(StartingPosition="LATEST")
    assert "already exists" in reason and before["UUID"] in reason, reason
    (left,) = stack.mappings()
    assert left["UUID"] == before["UUID"]
    assert left["StartingPosition"] == "TRIM_HORIZON"


def test_another_consumer_group_fails_and_the_mapping_stays(stack):
    before = stack.create()
    reason = stack.fail_to_update(SelfManagedKafkaEventSourceConfig={"ConsumerGroupId": "another"})
    assert "ConsumerGroupId" in reason, reason
    (left,) = stack.mappings()
    assert left["UUID"] == before["UUID"]
    assert left["SelfManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": "orders"}
