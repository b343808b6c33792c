"""The policies of the template allow each request that a function makes, and nothing that it does not use.

The requests were recorded while each function ran (`tests/fixtures/requests`). The policies are those of the translated template,
for each way to reach a cluster and to log in.
"""

import functools
from dataclasses import dataclass

import pytest
import stack
from combinations import SECRET, SOURCES, TARGETS
from iam import Grant, decide, matches
from recorded import on_collection, recorded, request

FUNCTIONS = ("index-events", "replay-dead-letters", "provision-cluster")
BUCKET = "arn:aws:s3:::failed-batches"

# What Lambda, and not the function's code, does with the role: the actions, and AWS's page that asks for them.
LAMBDAS_OWN = {
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    # https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
    # https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html and, for the mapping, with-kafka-permissions.html
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "ec2:UnassignPrivateIpAddresses",
    # Secrets Manager and S3 use a customer's key with the caller's rights:
    # https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
    "kms:Decrypt",
    "kms:GenerateDataKey",
}
# The same for the event source mapping, which has the role of the function that it invokes:
# https://docs.aws.amazon.com/lambda/latest/dg/with-msk-permissions.html and kafka-on-failure.html.
MAPPINGS_OWN = {
    "kafka:DescribeCluster",
    "kafka:DescribeClusterV2",
    "kafka:DescribeVpcConnection",
    "kafka:GetBootstrapBrokers",
    "kafka:ListScramSecrets",
    "kafka-cluster:AlterGroup",
    "kafka-cluster:Connect",
    "kafka-cluster:DescribeClusterDynamicConfiguration",
    "kafka-cluster:DescribeGroup",
    "kafka-cluster:DescribeTopic",
    "kafka-cluster:ReadData",
    "kafka-cluster:WriteData",
    "s3:ListBucket",
    "s3:PutObject",
    "sns:Publish",
    "sqs:SendMessage",
}
# What only a mapping with a Glue registry needs: https://docs.aws.amazon.com/lambda/latest/dg/services-consume-kafka-events.html
MAPPINGS_OWN_WITH_GLUE = {"glue:GetRegistry", "glue:GetSchemaVersion"}


@dataclass(frozen=True)
class Combination:
    """Parameters, and the runs whose requests a function makes with them."""

    name: str
    parameters: dict[str, str]
    run: str
    reads = staticmethod(request)


@dataclass(frozen=True)
class OnCollection(Combination):
    """With a collection of OpenSearch Serverless as the cluster."""

    reads = staticmethod(on_collection)


KAFKA = SOURCES["self-managed, SCRAM-512"]
REPLAY = {"ReplayBucketArn": BUCKET}
# Nothing but what is added needs a right.
ALONE = KAFKA | REPLAY | TARGETS["no login"] | {"Provision": "false"}
COMBINATIONS = [
    Combination("domain by name", KAFKA | REPLAY | TARGETS["domain by name"], "domain"),
    Combination("domain by name, MSK", SOURCES["MSK, IAM"] | REPLAY | TARGETS["domain by name"], "domain"),
    Combination("domain by ARN", KAFKA | REPLAY | TARGETS["domain by URL"], "endpoint"),
    OnCollection("collection", KAFKA | REPLAY | TARGETS["collection, own policy"], "endpoint"),
    Combination(
        "credentials that the stack makes",
        KAFKA
        | REPLAY
        | TARGETS["Elasticsearch, password by the administrator"]
        | {"AdminSecretArn": f"{SECRET}admin-AbCdEf"},
        "secret",
    ),
    Combination(
        "a credential of one's own",
        KAFKA
        | REPLAY
        | TARGETS["no login"]
        | {"SearchAuth": "basic", "SearchSecretArn": f"{SECRET}search-AbCdEf", "Provision": "false"},
        "secret",
    ),
    Combination(
        "a credential of one's own, and a CA in a secret",
        KAFKA
        | REPLAY
        | TARGETS["no login"]
        | {"SearchAuth": "basic", "SearchSecretArn": f"{SECRET}search-AbCdEf", "SearchCaCert": f"{SECRET}ca-AbCdEf"}
        | {"Provision": "false"},
        "secret, CA secret",
    ),
    Combination(
        "credentials that the stack makes, and a CA in a secret",
        KAFKA
        | REPLAY
        | TARGETS["Elasticsearch, password by the administrator"]
        | {"AdminSecretArn": f"{SECRET}admin-AbCdEf", "SearchCaCert": f"{SECRET}ca-AbCdEf"},
        "secret, CA secret",
    ),
    Combination(
        "salts of rules",
        ALONE | {"PipelineSecretArns": f"{SECRET}salt-AbCdEf,{SECRET}tenants/salt-GhIjKl"},
        "salts",
    ),
    Combination("schemas in Glue", ALONE | {"FunctionRegistryAuth": "glue"}, "Glue"),
    Combination(
        "a registry with a login, and a CA in a secret",
        ALONE
        | {
            "FunctionRegistryUrl": "https://registry.example.com:8081",
            "FunctionRegistryAuth": "basic",
            "FunctionRegistrySecretArn": f"{SECRET}function-registry-AbCdEf",
            "FunctionRegistryCaCert": f"{SECRET}ca-AbCdEf",
        },
        "registry secret, CA secret",
    ),
    Combination(
        "a destination for what fails",
        KAFKA | REPLAY | TARGETS["domain by name"] | {"OnFailureDestinationArn": BUCKET},
        "domain",
    ),
]


@functools.cache
def made(combination: str) -> stack.Stack:
    """The stack of a combination."""
    return stack.deploy(**next(each.parameters for each in COMBINATIONS if each.name == combination))


def policy_of(combination: Combination, function: str) -> list[Grant]:
    """The grants of a function's role."""
    deployed = made(combination.name)
    return deployed.grants(deployed.role(function))


def requests_of(combination: Combination, function: str) -> list[str]:
    """The recorded lines, with the secrets' names of the combination."""
    lines = recorded(function)[combination.run]
    if "AdminSecretArn" in combination.parameters:
        own = {"index-events": "WriterSecret", "replay-dead-letters": "ReplayerSecret"}.get(function, "")
        lines = [line.replace(f"{SECRET}search-", f"{SECRET}{own}-") for line in lines]
    return lines


def is_lambdas_own(function: str, grant: Grant, combination: Combination) -> bool:
    """Whether Lambda itself needs a grant."""
    if function == "index-events":
        mappings_secret = grant.action == "secretsmanager:GetSecretValue" and grant.resource in (
            combination.parameters.get("KafkaSecretArn"),
            combination.parameters.get("KafkaCaSecretArn"),
        )
        mappings_glue = "SchemaRegistryUri" in combination.parameters and grant.action in MAPPINGS_OWN_WITH_GLUE
        if grant.action in MAPPINGS_OWN or mappings_secret or mappings_glue:
            return True
    return grant.action in LAMBDAS_OWN


# Each combination with each function that it invokes: without provisioning, CloudFormation invokes no provision-cluster.
EACH = pytest.mark.parametrize(
    ("combination", "function"),
    [
        pytest.param(combination, function, id=f"{combination.name}: {function}")
        for combination in COMBINATIONS
        for function in FUNCTIONS
        if function != "provision-cluster" or combination.parameters.get("Provision") != "false"
    ],
)


@EACH
def test_every_request_of_a_function_is_allowed(combination, function):
    policy = policy_of(combination, function)
    lines = requests_of(combination, function)
    assert lines, "no request was recorded"
    denied = [line for line in lines if not decide(policy, combination.reads(line))]
    assert denied == [], "the role's policies do not allow these"


@EACH
def test_every_action_that_is_allowed_is_used(combination, function):
    policy = policy_of(combination, function)
    assert all("*" not in grant.action for grant in policy), "an action with a wildcard allows more than is used"
    used = {grant for line in requests_of(combination, function) for grant in decide(policy, combination.reads(line))}
    unused = [grant for grant in policy if grant not in used and not is_lambdas_own(function, grant, combination)]
    assert unused == [], "no recorded request uses these"


def test_what_lambda_does_itself_is_named_without_wildcards():
    assert not any(matches("*[*?]*", action) for action in LAMBDAS_OWN | MAPPINGS_OWN | MAPPINGS_OWN_WITH_GLUE)
