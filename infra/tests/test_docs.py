"""The commands of docs/DEPLOYING.md deploy, and its pages say what AWS does."""

import re
import shlex

import pytest
import stack
from combinations import COLLECTION_ARN, GLUE_REGISTRY, KEY, SECRET, SNS, SOURCES

DOCS = stack.INFRA.parent / "docs"
DEPLOYING = (DOCS / "DEPLOYING.md").read_text(encoding="utf-8")
OPERATING = (DOCS / "OPERATING.md").read_text(encoding="utf-8")
# What `…` stands for, by the beginning of an ARN.
ARNS = {
    "arn:aws:secretsmanager:…": SECRET + "one",
    "arn:aws:kms:…": KEY,
    "arn:aws:kafka:…": SOURCES["MSK, IAM"]["MskClusterArn"],
    "arn:aws:kafka:eu-central-1:123456789012:vpc-connection/…": SOURCES["MSK of another account, IAM"]["MskClusterArn"],
    "arn:aws:aoss:…": COLLECTION_ARN,
    "arn:aws:glue:…": GLUE_REGISTRY,
    "arn:aws:lambda:…": f"arn:aws:lambda:{stack.REGION}:{stack.ACCOUNT}:layer:kafka-to-search-pipeline:3",
    "arn:aws:sns:…": SNS,
}


def commands(program: str) -> list[dict[str, str]]:
    """The parameters of each indented command, in their order."""
    text = re.sub(r"\\\n\s*", "", DEPLOYING)
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    start = f"{program} --parameter-overrides "
    found = [shlex.split(line.removeprefix(start)) for line in lines if line.startswith(start)]
    return [{name: ARNS.get(value, value) for name, value in (word.split("=", 1) for word in words)} for words in found]


@pytest.mark.parametrize("parameters", commands("sam deploy"), ids=str)
def test_a_command_of_the_guide_deploys(parameters):
    assert "…" not in "".join(parameters.values())
    assert stack.deploy(**parameters).mappings()


def test_the_command_for_the_account_deploys_its_stack():
    (parameters,) = commands("sam deploy -t account.yaml --stack-name kafka-to-search-account")
    assert "…" not in "".join(parameters.values())
    assert stack.deploy_account(**parameters).of_type("AWS::Events::Rule")


def test_the_guide_has_a_command_for_each_kind_of_cluster():
    assert len(commands("sam deploy")) >= 8


def test_the_guide_maps_the_role_of_an_iam_master_between_two_phases():
    signed = [each for each in commands("sam deploy") if each.get("SearchAuth") == "sigv4" and "Provision" in each]
    phases = [(each["Provision"], each["MappingsEnabled"]) for each in signed if "MappingsEnabled" in each]
    assert phases == [("false", "false"), ("true", "true")]
    between = DEPLOYING[DEPLOYING.index("MappingsEnabled=false") : DEPLOYING.index("MappingsEnabled=true")]
    for name in ("ProvisionClusterRoleArn", "all_access", "security_manager"):
        assert name in between


def test_a_build_for_another_architecture_is_given_it_as_the_deployment_is():
    built, deployed = commands("sam build"), [each for each in commands("sam deploy") if "Architecture" in each]
    assert [each["Architecture"] for each in built] == [each["Architecture"] for each in deployed] == ["arm64"]


def test_every_parameter_that_the_guide_names_exists():
    known = set(stack.source()["Parameters"]) | set(stack.nested("account.yaml")["Parameters"])
    old = {"OrderTopic", "InventoryTopic", "NotificationTopic"}
    for name in re.findall(r"`([A-Z]\w+)(?:=[^`]*)?`", DEPLOYING):
        outputs = stack.source()["Outputs"] | stack.nested("account.yaml")["Outputs"]
        is_output = name in outputs or name.startswith(("OrdersMappingId", "MappingIdOf"))
        assert name in known | old or is_output or name == "Fn", name


@pytest.mark.parametrize(
    "part",
    [
        # Moving over, and what can't be changed.
        "OrderTopic= InventoryTopic= NotificationTopic=",
        "409",
        "`StartingPosition`",
        # A long outage.
        "ten retries",
        # Networks: on demand, in provisioned mode, and CloudFormation's response.
        "| mapping on demand |",
        "endpoints of Lambda, STS and",
        "| mapping in provisioned mode | the same | nothing of these |",
        "gateway endpoint of S3, where CloudFormation expects its response",
        # Poller groups.
        "in one group take one unit, without it three",
    ],
)
def test_the_guide_says_what_users_meet_on_aws(part):
    assert part in " ".join(DEPLOYING.split())


def test_a_filter_is_not_said_to_drop_text():
    text = " ".join(OPERATING.split())
    assert "drops what is not JSON" not in text
    assert "on `value` alone" in text and "A JSON pattern does not drop text" in text
