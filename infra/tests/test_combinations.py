"""Every combination of source, target, mode and network makes a whole stack."""

import re

import combinations
import pytest
import stack

COMBINATIONS = combinations.every_combination()
# An empty list of response types is what an update needs to take a partial batch response away again.
MAY_BE_EMPTY = re.compile(
    r"\.FunctionResponseTypes$|^Monitoring\.Properties\.Parameters\.(OnFailureQueue|AlarmTopicArn)$"
)
LIMIT_OF_VARIABLES = 4096


@pytest.mark.parametrize(("name", "parameters"), [pytest.param(*each, id=each[0]) for each in COMBINATIONS])
def test_a_combination_makes_a_whole_stack(name, parameters):
    # Any dangling reference, to a resource without its condition too, fails here.
    made = stack.deploy(**parameters)
    for resource, declared in made.resources.items():
        for path, value in stack.leaves(declared, resource):
            assert value not in ("", [], {}, None) or MAY_BE_EMPTY.search(path), f"{path} is empty"
            if isinstance(value, str):
                assert "${" not in value.replace("${!", ""), f"{path} has a name that was not replaced: {value}"
    assert made.mappings()
    for function in ("IndexEvents", "ReplayDeadLetters", "ProvisionCluster"):
        n_bytes = sum(len(key) + len(value) for key, value in made.environment(function).items())
        assert n_bytes <= LIMIT_OF_VARIABLES, f"{function} has {n_bytes} bytes of variables"
    for role in made.of_type("AWS::IAM::Role"):
        for statement in made.statements(role):
            for arn in statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]:
                assert arn == "*" or arn.startswith("arn:") or arn in made.resources, (
                    f"{role} may do something to {arn}"
                )


@pytest.mark.parametrize("source", combinations.SOURCES)
def test_a_source_gets_its_login_and_no_more(source):
    parameters = combinations.SOURCES[source]
    made = stack.deploy(**parameters, **combinations.TARGETS["no login"])
    expected = []
    if "KafkaSecretArn" in parameters:
        expected.append({"Type": parameters["KafkaAuthentication"], "URI": parameters["KafkaSecretArn"]})
    if "KafkaCaSecretArn" in parameters:
        expected.append({"Type": "SERVER_ROOT_CA_CERTIFICATE", "URI": parameters["KafkaCaSecretArn"]})
    if "KafkaSubnetIds" in parameters:
        expected += [
            {"Type": "VPC_SUBNET", "URI": f"subnet:{subnet}"} for subnet in parameters["KafkaSubnetIds"].split(",")
        ]
        expected.append({"Type": "VPC_SECURITY_GROUP", "URI": f"security_group:{parameters['KafkaSecurityGroupId']}"})
    for mapping in made.mappings().values():
        assert mapping.get("SourceAccessConfigurations", []) == expected
        assert ("EventSourceArn" in mapping) != ("SelfManagedEventSource" in mapping)
    role = "IndexEventsRole"
    for secret in (parameters.get("KafkaSecretArn"), parameters.get("KafkaCaSecretArn")):
        assert secret is None or made.allows(role, "secretsmanager:GetSecretValue", secret)
    logs_in_with_iam = "MskClusterArn" in parameters and "KafkaSecretArn" not in parameters
    assert ("kafka-cluster:Connect" in made.actions(role)) is logs_in_with_iam
    assert ("kafka:GetBootstrapBrokers" in made.actions(role)) is ("MskClusterArn" in parameters)
    needs_network = "MskClusterArn" in parameters or "KafkaSubnetIds" in parameters
    assert ("ec2:CreateNetworkInterface" in made.actions(role)) is needs_network


def test_a_cluster_of_another_account_is_read_through_its_connection():
    parameters = combinations.SOURCES["MSK of another account, IAM"]
    made = stack.deploy(**parameters, **combinations.TARGETS["no login"])
    role, theirs = "IndexEventsRole", f"arn:aws:kafka:{stack.REGION}:210987654321"
    assert made.mappings()["order.events"]["EventSourceArn"] == parameters["MskClusterArn"]
    assert made.allows(role, "kafka:DescribeVpcConnection", parameters["MskClusterArn"])
    assert made.allows(role, "kafka:DescribeClusterV2", f"{theirs}:cluster/events/uuid-5")
    assert made.allows(role, "kafka-cluster:Connect", f"{theirs}:cluster/events/uuid-5")
    assert made.allows(role, "kafka-cluster:ReadData", f"{theirs}:topic/events/uuid-5/order.events")
    assert made.allows(role, "kafka-cluster:AlterGroup", f"{theirs}:group/events/uuid-5/kafka-to-search-order.events")
    assert not made.allows(role, "kafka-cluster:ReadData", f"{theirs}:topic/other/uuid-5/order.events")
