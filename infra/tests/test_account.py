"""account.yaml makes a function that may do what it does and nothing else, on a schedule, with alarms for missing records and errors."""

import itertools
from dataclasses import dataclass

import package
import pytest
import stack
from combinations import BUCKET, COLLECTION_ARN, DOMAIN_ARN, KEY, SECRET, SNS, SOURCES
from iam import decide
from recorded import on_collection, recorded, request
from test_policies import LAMBDAS_OWN

FUNCTION, ROLE = "account-records", "AccountRecordsRole"
TEXT = (stack.INFRA / "account.yaml").read_text(encoding="utf-8")
MSK = SOURCES["MSK, IAM"]["MskClusterArn"]
FAILED = "arn:aws:s3:::failed-batches"
# What the Kafka client does with the role, which is no request over HTTP:
# https://docs.aws.amazon.com/msk/latest/developerguide/kafka-actions.html
CLIENTS_OWN = {
    "kafka-cluster:Connect",
    "kafka-cluster:DescribeGroup",
    "kafka-cluster:DescribeTopic",
    "kafka-cluster:ReadData",
}
SEARCH_SECRET, CA, REGISTRY = (f"{SECRET}{name}-AbCdEf" for name in ("search", "ca", "function-registry"))
OWN = {"OnFailureBucketArn": FAILED}


@dataclass(frozen=True)
class Combination:
    """Parameters, the run whose requests the function makes with them, and how its lines are read."""

    parameters: dict[str, str]
    run: str
    reads: staticmethod = staticmethod(request)


COMBINATIONS = {
    "domain by name": Combination(OWN | {"SearchDomain": "events", "SearchDomainArn": DOMAIN_ARN}, "domain"),
    "domain by ARN": Combination(OWN | {"SearchDomainArn": DOMAIN_ARN}, "endpoint"),
    "collection": Combination(OWN | {"SearchCollectionArn": COLLECTION_ARN}, "endpoint", staticmethod(on_collection)),
    "password": Combination(OWN | {"SearchSecretArn": SEARCH_SECRET}, "secret"),
    "password, CA secret": Combination(OWN | {"SearchSecretArn": SEARCH_SECRET, "SecretArns": CA}, "secret, CA secret"),
    "salts": Combination(OWN, "salts"),
    "Glue": Combination(OWN | {"FunctionRegistryAuth": "glue"}, "Glue"),
    "registry with a login": Combination(OWN | {"SecretArns": f"{REGISTRY},{CA}"}, "registry secret, CA secret"),
    "Kafka secret": Combination({"SecretArns": f"{SECRET}AmazonMSK_kafka", "KmsKeyArns": KEY}, "Kafka secret"),
    "MSK": Combination(OWN | {"MskClusterArn": MSK}, "MSK"),
}
EACH = pytest.mark.parametrize("combination", COMBINATIONS.values(), ids=COMBINATIONS)

ACCOUNTS = [{"Account": account} for account in ("hourly", "daily", "off")]
BROKERS = [{}, {"MskClusterArn": MSK}, {"KafkaBootstrapServers": "b:9098", "KafkaProperties": "security.protocol=SSL"}]
CLUSTERS = [
    {},
    {"SearchDomain": "events", "SearchDomainArn": DOMAIN_ARN, "FunctionRegistryAuth": "glue"},
    {"SearchCollectionArn": COLLECTION_ARN},
    {"SearchSecretArn": SEARCH_SECRET, "SecretArns": f"{CA},{REGISTRY}", "KmsKeyArns": KEY},
]
NETWORKS = [
    {},
    {
        "SubnetIds": "subnet-a,subnet-b",
        "SecurityGroupIds": "sg-a",
        "PipelineLayerArn": f"arn:aws:lambda:{stack.REGION}:{stack.ACCOUNT}:layer:rules:3",
        "LayerArn": f"arn:aws:lambda:{stack.REGION}:{stack.ACCOUNT}:layer:ca:1",
        "PermissionsBoundaryArn": f"arn:aws:iam::{stack.ACCOUNT}:policy/boundary",
        "LogKmsKeyArn": KEY,
        "EnvironmentKmsKeyArn": KEY,
        "AlarmTopicArn": SNS,
        "OnFailureBucketArn": BUCKET,
    },
]


@EACH
def test_every_request_of_the_function_is_allowed(combination):
    policy = stack.deploy_account(**combination.parameters).grants(ROLE)
    lines = recorded(FUNCTION)[combination.run]
    assert lines, "no request was recorded"
    assert [line for line in lines if not decide(policy, combination.reads(line))] == []


@EACH
def test_every_action_that_is_allowed_is_used(combination):
    policy = stack.deploy_account(**combination.parameters).grants(ROLE)
    assert all("*" not in grant.action for grant in policy)
    lines = recorded(FUNCTION)[combination.run]
    used = {grant for line in lines for grant in decide(policy, combination.reads(line))}
    unused = [grant for grant in policy if grant not in used and grant.action not in LAMBDAS_OWN | CLIENTS_OWN]
    assert unused == []


@pytest.mark.parametrize("parts", itertools.product(ACCOUNTS, BROKERS, CLUSTERS, NETWORKS), ids=str)
def test_a_combination_makes_a_whole_stack(parts):
    parameters = {key: value for part in parts for key, value in part.items()}
    made = stack.deploy_account(**parameters)
    for resource, declared in made.resources.items():
        for path, value in stack.leaves(declared, resource):
            # SAM always writes the first; the second takes a layer away again.
            may_be_empty = path.endswith(("EventInvokeConfig.Properties.DestinationConfig", ".Layers"))
            assert value not in ("", [], {}, None) or may_be_empty, f"{path} is empty"
            assert "${" not in str(value), f"{path} has a name that was not replaced: {value}"
    rules = made.of_type("AWS::Events::Rule")
    schedules = {"hourly": ["rate(1 hour)"], "daily": ["rate(1 day)"], "off": []}[parameters["Account"]]
    assert [rule["ScheduleExpression"] for rule in rules.values()] == schedules
    assert len(made.of_type("AWS::Lambda::Permission")) == len(schedules)


def test_a_run_counts_two_periods():
    for account, since in (("hourly", "2h"), ("daily", "48h")):
        assert stack.deploy_account(Account=account).environment("AccountRecords")["ACCOUNT_SINCE"] == since


def test_the_function_reads_every_variable_that_the_template_sets():
    read = (stack.INFRA.parent / "functions" / FUNCTION / "src" / "config.rs").read_text(encoding="utf-8")
    parameters = {key: value for part in (BROKERS[2], CLUSTERS[3], NETWORKS[1]) for key, value in part.items()}
    variables = stack.deploy_account(**parameters).environment("AccountRecords")
    assert len(variables) == 7
    assert all(f'"{name}"' in read or name == "SEARCH_SECRET_ID" for name in variables), variables


def test_the_function_neither_writes_nor_invokes_and_reads_no_other_topic():
    made = stack.deploy_account(MskClusterArn=MSK, SearchDomainArn=DOMAIN_ARN)
    assert made.allows(ROLE, "kafka-cluster:ReadData", MSK.replace(":cluster/", ":topic/") + "/order.events")
    assert not made.allows(ROLE, "kafka-cluster:ReadData", MSK.replace(":cluster/", ":topic/") + "/payroll")
    assert not made.allows(ROLE, "kafka-cluster:DescribeGroup", MSK.replace(":cluster/", ":group/") + "/other")
    for path in ("_bulk", "microservices-2026.01.31/_delete_by_query", "microservices-2026.01.31/_doc"):
        assert not made.allows(ROLE, "es:ESHttpPost", f"{DOMAIN_ARN}/{path}")
    assert not {"lambda:InvokeFunction", "es:ESHttpPut", "es:ESHttpDelete"} & made.actions(ROLE)


def test_the_alarms_watch_the_metrics_of_the_function_and_keep_their_state_between_runs():
    made = stack.deploy_account(AlarmTopicArn=SNS)
    alarms = made.of_type("AWS::CloudWatch::Alarm")
    watched = {(alarm["Namespace"], alarm["MetricName"]) for alarm in alarms.values()}
    assert watched == {("KafkaToSearch", "RecordsMissing"), ("AWS/Lambda", "Errors")}
    for alarm in alarms.values():
        assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": "AccountRecords"}]
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
        assert alarm["TreatMissingData"] == "ignore" and alarm["AlarmActions"] == [SNS]
    metrics = (stack.INFRA.parent / "functions" / FUNCTION / "src" / "metrics.rs").read_text(encoding="utf-8")
    assert '"RecordsMissing"' in metrics and '"KafkaToSearch"' in metrics


def test_a_failed_run_is_not_repeated_and_ends_before_lambda_ends_it():
    made = stack.deploy_account()
    (configuration,) = made.of_type("AWS::Lambda::EventInvokeConfig").values()
    assert configuration["MaximumRetryAttempts"] == 0
    (function,) = made.of_type("AWS::Lambda::Function").values()
    assert function["Timeout"] == 840


def test_settings_that_do_not_go_together_are_refused():
    with pytest.raises(stack.RefusedError, match="Set SecurityGroupIds together with SubnetIds"):
        stack.deploy_account(SubnetIds="subnet-a")
    with pytest.raises(stack.RefusedError, match="not both"):
        stack.deploy_account(SearchDomainArn=DOMAIN_ARN, SearchCollectionArn=COLLECTION_ARN)


def test_the_function_is_no_part_of_what_the_demo_and_sam_build_build():
    template = (stack.INFRA / "template.yaml").read_text(encoding="utf-8")
    assert FUNCTION not in package.functions(template)
    assert f"packages/${{Architecture}}/{FUNCTION}.zip" in TEXT
