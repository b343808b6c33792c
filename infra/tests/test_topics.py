"""Any number of topics: one mapping and one permission each, and an expanded template that is SAM's own."""

import json
import re
import subprocess
import sys

import expand
import pytest
import stack
from combinations import KEY, MODES, NETWORKS, SOURCES, TARGETS
from samcli.lib.cfn_language_extensions.models import TemplateProcessingContext
from samcli.lib.cfn_language_extensions.processors import ForEachProcessor
from samcli.yamlhelper import yaml_parse

KAFKA = {
    "KafkaBootstrapServers": "kafka:9092",
    "KafkaSecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:kafka",
}
SEARCH = {"SearchEndpoint": "https://search.example.com"}
MSK = {"MskClusterArn": "arn:aws:kafka:eu-central-1:123456789012:cluster/events/uuid-1"}
TEXT = (stack.INFRA / "template.yaml").read_text(encoding="utf-8")


def test_the_three_services_are_read_by_default():
    assert list(stack.deploy(**KAFKA, **SEARCH).mappings()) == [
        "order.events",
        "inventory.events",
        "notification.events",
    ]


@pytest.mark.parametrize(
    "topics", ["one", "a.events,b.events", "a.b-c,d_e,F9," + ",".join(f"topic-{n}.events" for n in range(50))]
)
def test_each_topic_has_a_mapping_with_its_own_group(topics):
    names = topics.split(",")
    mappings = stack.deploy(**KAFKA, **SEARCH, Topics=topics).mappings()
    assert list(mappings) == names
    for name, mapping in mappings.items():
        assert mapping["Topics"] == [name]
        assert mapping["SelfManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": f"kafka-to-search-{name}"}


def test_a_renamed_topic_gets_a_new_mapping_because_topics_are_set_at_creation_only():
    before, after = (stack.deploy(**KAFKA, **SEARCH, Topics=topic).resources for topic in ("old.events", "new.events"))
    kind = "AWS::Lambda::EventSourceMapping"
    names = [
        {name for name, resource in resources.items() if resource["Type"] == kind} for resources in (before, after)
    ]
    assert names == [{"MappingOfoldevents"}, {"MappingOfnewevents"}]


def test_the_role_may_read_each_topic_and_no_other():
    made = stack.deploy(**MSK, **SEARCH, Topics="a.b-c,d_e")
    for topic, expected in (("a.b-c", True), ("d_e", True), ("d_e2", False), ("other", False)):
        arn = f"arn:aws:kafka:eu-central-1:123456789012:topic/events/uuid-1/{topic}"
        assert made.allows("IndexEventsRole", "kafka-cluster:ReadData", arn) is expected, topic


# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html and
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
INLINE_POLICIES, RESOURCES, OUTPUTS, PARAMETER = 10_240, 500, 200, 4_096


def fullest(n_topics: int, **parameters: str) -> stack.Stack:
    """The stack with the most and longest policies and an alarm for each mapping."""
    topics = ",".join(f"service-{n:03}.events" for n in range(n_topics))
    assert len(topics) <= PARAMETER
    given = SOURCES["MSK of another account, IAM"] | TARGETS["Elasticsearch, own password, CA secret"]
    given |= MODES["provisioned, queue"] | NETWORKS["VPC, everything set"] | {"DestinationKmsKeyArn": KEY}
    return stack.deploy(**(given | {"Topics": topics} | parameters))


def inline_characters(made: stack.Stack) -> int:
    """What IAM counts of a role's policies: all but white space."""
    text = json.dumps([{"Version": "2012-10-17", "Statement": [each]} for each in made.statements("IndexEventsRole")])
    return len(re.sub(r"\s", "", text))


def test_a_role_holds_a_policy_for_each_of_25_topics():
    assert inline_characters(fullest(25)) <= INLINE_POLICIES


def test_a_pattern_lets_the_role_read_more_topics_than_it_can_hold_policies_for():
    assert inline_characters(fullest(150)) > INLINE_POLICIES
    made = fullest(150, MskTopicPattern="*.events")
    assert inline_characters(made) <= INLINE_POLICIES
    theirs = f"arn:aws:kafka:{stack.REGION}:210987654321:topic/events/uuid-5"
    assert made.allows("IndexEventsRole", "kafka-cluster:ReadData", f"{theirs}/service-149.events")
    assert not made.allows("IndexEventsRole", "kafka-cluster:ReadData", f"{theirs}/secrets")
    assert not made.of_type("AWS::IAM::RolePolicy")


def test_a_stack_of_150_topics_stays_within_cloudformations_limits():
    template = stack.document(",".join(f"service-{n:03}.events" for n in range(150)))
    # SAM makes versions, aliases and a deployment group of the functions.
    assert len(template["Resources"]) + 10 <= RESOURCES and len(template["Outputs"]) <= OUTPUTS
    assert len(fullest(150, MskTopicPattern="*.events").mappings()) == 150


@pytest.mark.parametrize("topics", ["", "a,,b", "a b", "a/b", "x" * 250])
def test_a_name_that_is_no_topic_is_refused_with_the_fix(topics):
    with pytest.raises(stack.RefusedError, match="letters, digits, dots"):
        stack.deploy(**KAFKA, **SEARCH, Topics=topics)


def test_the_expanded_template_is_current():
    expected = expand.expand(TEXT, expand.default_topics(TEXT))
    assert (stack.INFRA / "expanded.yaml").read_text(encoding="utf-8") == expected, "run `make expand`"


@pytest.mark.parametrize("topics", [expand.default_topics(TEXT), ["a.b-c", "d_e"], ["one"]])
def test_the_expanded_template_is_what_sam_makes_of_the_template(topics):
    ours, theirs = yaml_parse(expand.expand(TEXT, topics)), yaml_parse(TEXT)
    for part in _foreach(theirs):
        part[1] = topics
    context = TemplateProcessingContext(fragment=theirs)
    ForEachProcessor().process_template(context)
    theirs["Transform"].remove("AWS::LanguageExtensions")
    for template in (ours, theirs):
        del template["Parameters"]["Topics"]
    theirs["Rules"]["DestinationIsNoSource"]["Assertions"][0]["Assert"]["Fn::Not"][0]["Fn::Contains"][0] = topics
    assert ours == context.fragment


def test_the_expanded_template_takes_no_other_topics():
    declared = yaml_parse(expand.expand(TEXT, ["a", "b"]))["Parameters"]["Topics"]
    assert (declared["Default"], declared["AllowedValues"]) == ("a,b", ["a,b"])
    assert "run expand.py" in declared["ConstraintDescription"]


def test_topics_that_cloudformation_would_give_one_name_are_refused():
    with pytest.raises(expand.ExpandError, match="same letters and digits"):
        expand.expand(TEXT, ["a.b", "ab"])


def test_a_template_for_another_folder_names_the_code():
    command = [sys.executable, str(stack.INFRA / "expand.py"), "a,b", "--code", str(stack.INFRA.parent)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"Location: {stack.INFRA}/monitoring.yaml" in text
    assert re.findall(r"CodeUri: (.*)", text) == [str(stack.INFRA.parent)]
    assert re.findall(r"ContentUri: (.*)", text) == [str(stack.INFRA / "pipeline-layer")]
    own = [*command, "--rules", "/mine"]
    text = subprocess.run(own, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"ContentUri: (.*)", text) == ["/mine"]


def _foreach(template: dict) -> list[list]:
    sections = (template["Resources"], template["Outputs"])
    return [part for section in sections for name, part in section.items() if name.startswith("Fn::ForEach::")]
