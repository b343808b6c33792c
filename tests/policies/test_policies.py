"""The policies of the template allow each request that a function makes, and nothing that it does not use.

The requests were recorded while each function ran (`tests/fixtures/requests`). The policies are those of the translated template,
for each way to reach a cluster and to log in.
"""

from dataclasses import dataclass

import pytest

from cloudformation import ACCOUNT, REGION, REPOSITORY, Stack, translated
from iam import Grant, decide, grants, matches
from recorded import COLLECTION, DOMAIN, on_collection, recorded, request

FUNCTIONS = ("index-events", "replay-dead-letters", "provision-cluster")
SECRETS = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:"
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


KAFKA = {"KafkaBootstrapServers": "kafka:9092"}
SASL = {**KAFKA, "KafkaSecretArn": f"{SECRETS}kafka-AbCdEf"}
MSK = {"MskClusterArn": f"arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/events/0-1-2"}
REPLAY = {"ReplayBucketArn": BUCKET}
ENDPOINT = {"SearchEndpoint": "https://search.example.com"}
COMBINATIONS = [
    Combination("domain by name", {**KAFKA, **REPLAY, "SearchDomain": "events", "SearchAuth": "sigv4"}, "domain"),
    Combination("domain by name, MSK", {**MSK, **REPLAY, "SearchDomain": "events", "SearchAuth": "sigv4"}, "domain"),
    Combination(
        "domain by ARN", {**KAFKA, **REPLAY, **ENDPOINT, "SearchDomainArn": DOMAIN, "SearchAuth": "sigv4"}, "endpoint"
    ),
    OnCollection(
        "collection",
        {**KAFKA, **REPLAY, **ENDPOINT, "SearchCollectionArn": COLLECTION, "SearchAuth": "sigv4", "Provision": "false"},
        "endpoint",
    ),
    Combination(
        "credentials that the stack makes",
        {**SASL, **REPLAY, **ENDPOINT, "SearchAuth": "basic", "AdminSecretArn": f"{SECRETS}admin-AbCdEf"},
        "secret",
    ),
    Combination(
        "a credential of one's own",
        {
            **KAFKA,
            **REPLAY,
            **ENDPOINT,
            "SearchAuth": "basic",
            "SearchSecretArn": f"{SECRETS}search-AbCdEf",
            "Provision": "false",
        },
        "secret",
    ),
    Combination(
        "a destination for what fails",
        {**KAFKA, **REPLAY, "SearchDomain": "events", "SearchAuth": "sigv4", "OnFailureDestinationArn": BUCKET},
        "domain",
    ),
]


@pytest.fixture(scope="module")
def stacks() -> dict[str, Stack]:
    """The stack of each combination."""
    templates = translated(REPOSITORY / "infra" / "expanded.yaml", [each.parameters for each in COMBINATIONS])
    return {each.name: Stack(template, each.parameters) for each, template in zip(COMBINATIONS, templates, strict=True)}


def policy_of(stack: Stack, function: str) -> list[Grant]:
    """The grants of a function's role: its own policies, and those that are attached to it."""
    named = {properties["FunctionName"]: properties for properties in stack.resources("AWS::Lambda::Function").values()}
    (properties,) = [each for name, each in named.items() if name.endswith(f"-{function}")]
    role = properties["Role"].rsplit("/", 1)[1]
    attributes = stack.resources("AWS::IAM::Role")[role]
    assert not attributes.get("ManagedPolicyArns"), "AWS's managed policies are not evaluated: write out what is needed"
    documents = [policy["PolicyDocument"] for policy in attributes.get("Policies", [])]
    for attached in stack.resources("AWS::IAM::RolePolicy").values():
        documents += [attached["PolicyDocument"]] if attached["RoleName"] == role else []
    for attached in stack.resources("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy").values():
        documents += [attached["PolicyDocument"]] if role in attached.get("Roles", []) else []
    return [grant for document in documents for grant in grants(document)]


def requests_of(combination: Combination, function: str) -> list[str]:
    """The recorded lines, with the secrets' names of the combination."""
    lines = recorded(function)[combination.run]
    if "AdminSecretArn" in combination.parameters:
        own = {"index-events": "WriterSecret", "replay-dead-letters": "ReplayerSecret"}.get(function, "")
        lines = [line.replace(f"{SECRETS}search-", f"{SECRETS}{own}-") for line in lines]
    return lines


def is_lambdas_own(function: str, grant: Grant, combination: Combination) -> bool:
    """Whether Lambda itself needs a grant."""
    if function == "index-events":
        mappings_secret = grant.action == "secretsmanager:GetSecretValue" and grant.resource in (
            combination.parameters.get("KafkaSecretArn"),
            combination.parameters.get("KafkaCaSecretArn"),
        )
        if grant.action in MAPPINGS_OWN or mappings_secret:
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
def test_every_request_of_a_function_is_allowed(stacks, combination, function):
    policy = policy_of(stacks[combination.name], function)
    lines = requests_of(combination, function)
    assert lines, "no request was recorded"
    denied = [line for line in lines if not decide(policy, combination.reads(line))]
    assert denied == [], "the role's policies do not allow these"


@EACH
def test_every_action_that_is_allowed_is_used(stacks, combination, function):
    policy = policy_of(stacks[combination.name], function)
    assert all("*" not in grant.action for grant in policy), "an action with a wildcard allows more than is used"
    used = {grant for line in requests_of(combination, function) for grant in decide(policy, combination.reads(line))}
    unused = [grant for grant in policy if grant not in used and not is_lambdas_own(function, grant, combination)]
    assert unused == [], "no recorded request uses these"


def test_what_lambda_does_itself_is_named_without_wildcards():
    assert not any(matches("*[*?]*", action) for action in LAMBDAS_OWN | MAPPINGS_OWN)
