"""What AWS refuses is refused before anything is made, with a sentence that says the fix."""

import re

import combinations
import pytest
import stack
from combinations import BUCKET, COLLECTION_ARN, DOMAIN_ARN, GLUE_REGISTRY, SECRET, SOURCES, TARGETS

MSK, MSK_SCRAM = SOURCES["MSK, IAM"], SOURCES["MSK, SCRAM"]
BROKERS = {"KafkaBootstrapServers": "b1.example.com:9096"}
SCRAM = SOURCES["self-managed, SCRAM-512"]
URL = TARGETS["no login"]
COLLECTION = TARGETS["collection, own policy"]
REGISTRY = {"MinimumPollers": "1", "OnFailureTopic": "failed", "SchemaRegistryUri": "https://registry.example.com"}
OWN_REGISTRY = {"FunctionRegistryUrl": "https://registry.example.com"}
SUBNETS, GROUP = {"KafkaSubnetIds": "subnet-1,subnet-2"}, {"KafkaSecurityGroupId": "sg-1"}

# A rule's name, parameters that it refuses, and a part of the sentence that says the fix.
BAD = [
    ("OneKafka", MSK | BROKERS | URL, "Set either KafkaBootstrapServers or MskClusterArn"),
    ("OneKafka", URL, "Set either KafkaBootstrapServers or MskClusterArn"),
    ("AccessToSelfManagedKafka", BROKERS | URL, "set KafkaSecretArn, KafkaCaSecretArn, or KafkaSubnetIds"),
    ("KafkaSubnetsAndSecurityGroup", SCRAM | SUBNETS | URL, "Set both KafkaSubnetIds and KafkaSecurityGroupId"),
    ("KafkaSubnetsAndSecurityGroup", SCRAM | GROUP | URL, "Set both KafkaSubnetIds and KafkaSecurityGroupId"),
    (
        "LoginToMsk",
        MSK_SCRAM | URL | {"KafkaAuthentication": "BASIC_AUTH"},
        "set KafkaAuthentication to SASL_SCRAM_512_AUTH or",
    ),
    (
        "LoginToMsk",
        MSK_SCRAM | URL | {"KafkaAuthentication": "SASL_SCRAM_256_AUTH"},
        "set KafkaAuthentication to SASL_SCRAM_512_AUTH",
    ),
    ("LoginToMsk", MSK | URL | {"KafkaCaSecretArn": SECRET + "ca"}, "Leave KafkaCaSecretArn"),
    (
        "LoginToMsk",
        MSK | URL | SUBNETS | GROUP,
        "Leave KafkaCaSecretArn, KafkaSubnetIds and KafkaSecurityGroupId empty",
    ),
    ("KeyOfMskSecret", MSK_SCRAM | URL | {"SecretKmsKeyArn": ""}, "set SecretKmsKeyArn to the key"),
    ("StartTime", SCRAM | URL | {"StartingPosition": "AT_TIMESTAMP"}, "Set StartingPositionTimestamp"),
    ("StartTime", SCRAM | URL | {"StartingPositionTimestamp": "1700000000"}, "and only then"),
    ("ProvisionedModeOnly", SCRAM | URL | {"BatchFailures": "report"}, "set MinimumPollers to 1 or more"),
    ("ProvisionedModeOnly", SCRAM | URL | {"MaximumRetryAttempts": "5"}, "set MinimumPollers to 1 or more"),
    ("ProvisionedModeOnly", SCRAM | URL | {"MaximumRecordAgeSeconds": "3600"}, "set MinimumPollers to 1 or more"),
    ("ProvisionedModeOnly", SCRAM | URL | {"BisectBatchOnFunctionError": "true"}, "set MinimumPollers to 1 or more"),
    ("ProvisionedModeOnly", SCRAM | URL | {"OnFailureTopic": "failed"}, "set MinimumPollers to 1 or more"),
    ("ProvisionedModeOnly", SCRAM | URL | {"PollerGroupName": "events"}, "set MinimumPollers to 1 or more"),
    (
        "OneDestination",
        SCRAM | URL | {"MinimumPollers": "1", "OnFailureTopic": "failed", "OnFailureDestinationArn": BUCKET},
        "Set either OnFailureDestinationArn or OnFailureTopic",
    ),
    (
        "DestinationIsNoSource",
        SCRAM | URL | {"MinimumPollers": "1", "OnFailureTopic": "order.events"},
        "Set OnFailureTopic to a topic that is not in Topics",
    ),
    (
        "SchemaRegistryOfMappings",
        SCRAM | URL | {"SchemaRegistryUri": GLUE_REGISTRY, "OnFailureDestinationArn": BUCKET},
        "needs provisioned mode. Set MinimumPollers to 1 or more",
    ),
    (
        "SchemaRegistryOfMappings",
        SCRAM | URL | {"SchemaRegistryUri": GLUE_REGISTRY, "MinimumPollers": "1"},
        "Set OnFailureDestinationArn or OnFailureTopic",
    ),
    ("SettingsOfSchemaRegistry", SCRAM | URL | {"SchemaRegistryEventRecordFormat": "SOURCE"}, "Set SchemaRegistryUri"),
    ("SettingsOfSchemaRegistry", SCRAM | URL | {"SchemaValidation": "KEY"}, "or leave them at their defaults"),
    (
        "SettingsOfSchemaRegistry",
        SCRAM | URL | {"SchemaRegistrySecretArn": SECRET + "registry"},
        "Set SchemaRegistryUri",
    ),
    ("SettingsOfSchemaRegistry", SCRAM | URL | {"SchemaRegistryCaSecretArn": SECRET + "ca"}, "Set SchemaRegistryUri"),
    (
        "SettingsOfSchemaRegistry",
        SCRAM | URL | {"SchemaRegistryAuthentication": "CLIENT_CERTIFICATE_TLS_AUTH"},
        "Set SchemaRegistryUri",
    ),
    (
        "LoginToSchemaRegistry",
        SCRAM | URL | REGISTRY | {"SchemaRegistryAuthentication": "CLIENT_CERTIFICATE_TLS_AUTH"},
        "Set SchemaRegistrySecretArn too",
    ),
    (
        "FunctionRegistryOfGlue",
        SCRAM | URL | OWN_REGISTRY | {"FunctionRegistryAuth": "glue"},
        "Leave FunctionRegistryUrl",
    ),
    (
        "FunctionRegistryOfGlue",
        SCRAM | URL | {"FunctionRegistryAuth": "glue", "FunctionRegistrySecretArn": SECRET + "registry"},
        "FunctionRegistrySecretArn and FunctionRegistryCaCert empty",
    ),
    (
        "FunctionRegistryOfGlue",
        SCRAM | URL | {"FunctionRegistryAuth": "glue", "FunctionRegistryCaCert": "/opt/ca.pem"},
        "FunctionRegistryCaCert empty",
    ),
    (
        "LoginToFunctionRegistry",
        SCRAM | URL | {"FunctionRegistryAuth": "basic", "FunctionRegistrySecretArn": SECRET + "registry"},
        "Set FunctionRegistryUrl too",
    ),
    (
        "LoginToFunctionRegistry",
        SCRAM | URL | OWN_REGISTRY | {"FunctionRegistryAuth": "bearer"},
        "Set FunctionRegistrySecretArn too",
    ),
    (
        "FunctionRegistryWithoutLogin",
        SCRAM | URL | OWN_REGISTRY | {"FunctionRegistrySecretArn": SECRET + "registry"},
        "Set FunctionRegistryAuth to basic or bearer",
    ),
    (
        "FunctionRegistryWithoutLogin",
        SCRAM | URL | {"FunctionRegistryCaCert": "/opt/ca.pem"},
        "Set FunctionRegistryUrl, or leave FunctionRegistryCaCert empty",
    ),
    ("RegistryOfFormats", SCRAM | URL | {"ValueFormat": "avro"}, "Set FunctionRegistryUrl, FunctionRegistryAuth glue"),
    ("RegistryOfFormats", SCRAM | URL | {"ValueFormat": "protobuf"}, "or SchemaRegistryUri"),
    ("RegistryOfFormats", SCRAM | URL | {"KeyFormat": "avro"}, "need the schemas of a registry"),
    ("RegistryOfFormats", SCRAM | URL | {"KeyFormat": "protobuf"}, "need the schemas of a registry"),
    ("OneSearchCluster", SCRAM, "Set either SearchEndpoint or SearchDomain"),
    ("OneSearchCluster", SCRAM | URL | {"SearchDomain": "events"}, "Set either SearchEndpoint or SearchDomain"),
    ("SearchSecretForPassword", SCRAM | URL | {"SearchAuth": "basic"}, "need either AdminSecretArn"),
    (
        "SearchSecretForPassword",
        SCRAM | URL | {"SearchAuth": "api_key", "AdminSecretArn": SECRET + "admin", "Provision": "false"},
        "or SearchSecretArn",
    ),
    (
        "PasswordForSearchSecret",
        SCRAM | URL | {"SearchSecretArn": SECRET + "search"},
        "Set SearchAuth to basic or api_key",
    ),
    (
        "PasswordForSearchSecret",
        SCRAM | TARGETS["domain by name"] | {"SearchSecretArn": SECRET + "search"},
        "or leave SearchSecretArn empty",
    ),
    (
        "ResourceForSignature",
        SCRAM | URL | {"SearchAuth": "sigv4"},
        "needs SearchDomain, SearchDomainArn or SearchCollectionArn",
    ),
    (
        "OneResourceForSignature",
        SCRAM | TARGETS["domain by name"] | {"SearchDomainArn": DOMAIN_ARN},
        "Leave SearchDomainArn empty with SearchDomain",
    ),
    ("OneResourceForSignature", SCRAM | COLLECTION | {"SearchDomainArn": DOMAIN_ARN}, "not both"),
    ("Collection", SCRAM | COLLECTION | {"Provision": "true"}, "Set Provision to false"),
    (
        "Collection",
        SCRAM | URL | {"SearchCollectionArn": COLLECTION_ARN, "Provision": "false"},
        "Set SearchAuth to sigv4",
    ),
    (
        "NameOfCollection",
        SCRAM | URL | {"SearchCollectionName": "events"},
        "Set SearchCollectionArn with SearchCollectionName",
    ),
    (
        "AdministratorOfSecuredCluster",
        SCRAM | URL | {"AdminSecretArn": SECRET + "admin"},
        "set SearchAuth to basic, api_key or sigv4",
    ),
    (
        "CopiesInThreeZones",
        SCRAM | URL | {"SearchDomainStandby": "true", "IndexReplicas": "1"},
        "set IndexReplicas to auto, 2, 5",
    ),
    (
        "FunctionSubnetsAndSecurityGroups",
        SCRAM | URL | {"SubnetIds": "subnet-a"},
        "Set both SubnetIds and SecurityGroupIds",
    ),
    (
        "FunctionSubnetsAndSecurityGroups",
        SCRAM | URL | {"SecurityGroupIds": "sg-a"},
        "Set both SubnetIds and SecurityGroupIds",
    ),
    # Checks of one parameter alone.
    ("KafkaSubnetIds", SCRAM | URL | GROUP | {"KafkaSubnetIds": "subnet-1"}, "two or three subnets"),
    (
        "KafkaSubnetIds",
        SCRAM | URL | GROUP | {"KafkaSubnetIds": "subnet-1,subnet-2,subnet-3,subnet-4"},
        "two or three subnets",
    ),
    ("KafkaSubnetIds", SCRAM | URL | GROUP | {"KafkaSubnetIds": "subnet-1, subnet-2"}, "without spaces"),
    (
        "MaximumRecordAgeSeconds",
        SCRAM | URL | {"MinimumPollers": "1", "MaximumRecordAgeSeconds": "59"},
        "-1, or 60 to 604800",
    ),
    (
        "MaximumRecordAgeSeconds",
        SCRAM | URL | {"MinimumPollers": "1", "MaximumRecordAgeSeconds": "604801"},
        "-1, or 60 to 604800",
    ),
    ("MskClusterArn", URL | {"MskClusterArn": "events"}, "ARN of an MSK cluster"),
    (
        "OnFailureDestinationArn",
        SCRAM | URL | {"OnFailureDestinationArn": "kafka://failed"},
        "set OnFailureTopic to its name",
    ),
    ("OnFailureTopic", SCRAM | URL | {"MinimumPollers": "1", "OnFailureTopic": "kafka://failed"}, "without kafka://"),
    ("SchemaRegistryUri", SCRAM | URL | REGISTRY | {"SchemaRegistryUri": "registry.example.com"}, "as in https://"),
    (
        "SchemaRegistryUri",
        SCRAM | URL | REGISTRY | {"SchemaRegistryUri": "https://registry.example.com?tenant=1"},
        "the URL of a registry",
    ),
    (
        "SchemaRegistryUri",
        SCRAM | URL | REGISTRY | {"SchemaRegistryUri": GLUE_REGISTRY.replace("registry/", "schema/")},
        "ARN of a Glue registry",
    ),
    ("SchemaRegistryEventRecordFormat", SCRAM | URL | REGISTRY | {"SchemaRegistryEventRecordFormat": "AVRO"}, "JSON"),
    ("SchemaValidation", SCRAM | URL | REGISTRY | {"SchemaValidation": "VALUE,KEY"}, "KEY,VALUE"),
    (
        "SchemaRegistryAuthentication",
        SCRAM | URL | REGISTRY | {"SchemaRegistryAuthentication": "SASL_SCRAM_512_AUTH"},
        "BASIC_AUTH",
    ),
    ("SchemaRegistrySecretArn", SCRAM | URL | REGISTRY | {"SchemaRegistrySecretArn": "registry"}, "ARN of a secret"),
    ("SchemaRegistryCaSecretArn", SCRAM | URL | REGISTRY | {"SchemaRegistryCaSecretArn": "ca.pem"}, "ARN of a secret"),
    (
        "FunctionRegistryUrl",
        SCRAM | URL | {"FunctionRegistryUrl": GLUE_REGISTRY, "FunctionRegistryAuth": "glue"},
        "For Glue, leave it empty",
    ),
    (
        "FunctionRegistryUrl",
        SCRAM | URL | {"FunctionRegistryUrl": "https://user:word@registry.example.com"},
        "without credentials in it",
    ),
    ("FunctionRegistrySecretArn", SCRAM | URL | {"FunctionRegistrySecretArn": "registry"}, "ARN of a secret"),
    ("SearchSecretArn", SCRAM | URL | {"SearchAuth": "basic", "SearchSecretArn": "search"}, "ARN of a secret"),
    ("AdminSecretArn", SCRAM | URL | {"SearchAuth": "basic", "AdminSecretArn": "admin"}, "ARN of a secret"),
    ("KafkaSecretArn", SCRAM | URL | {"KafkaSecretArn": "kafka"}, "ARN of a secret"),
    ("KafkaCaSecretArn", SCRAM | URL | {"KafkaCaSecretArn": "ca.pem"}, "ARN of a secret"),
    ("ConsumerGroupPrefix", SCRAM | URL | {"ConsumerGroupPrefix": "p" * 77}, "up to 76"),
    (
        "FunctionRegistryCaCert",
        SCRAM | URL | OWN_REGISTRY | {"FunctionRegistryCaCert": "ca.pem"},
        "path of a file in a layer",
    ),
    ("Timeout", SCRAM | URL | {"Timeout": "841"}, "14 minutes"),
    ("SearchCaCert", SCRAM | URL | {"SearchCaCert": "p" * 2049}, "into a secret"),
    ("SubnetIds", SCRAM | URL | {"SubnetIds": "vpc-1", "SecurityGroupIds": "sg-a"}, "Give subnets"),
    (
        "SecurityGroupIds",
        SCRAM | URL | {"SubnetIds": "subnet-1", "SecurityGroupIds": "default"},
        "Give security groups",
    ),
    ("IndexReplicas", SCRAM | URL | {"IndexReplicas": "0-1"}, "number or auto"),
]


@pytest.mark.parametrize(("rule", "parameters", "fix"), BAD)
def test_a_bad_combination_is_refused_with_the_fix(rule, parameters, fix):
    with pytest.raises(stack.RefusedError, match=f"^{rule}: .*{re.escape(fix)}"):
        stack.deploy(**parameters)


@pytest.mark.parametrize(
    "given",
    [
        OWN_REGISTRY | {"ValueFormat": "avro"},
        {"FunctionRegistryAuth": "glue", "KeyFormat": "protobuf"},
        REGISTRY | {"ValueFormat": "protobuf"},
        OWN_REGISTRY | {"FunctionRegistryAuth": "basic", "FunctionRegistrySecretArn": SECRET + "registry"},
        {"ValueFormat": "json-schema"},
    ],
)
def test_a_registry_that_has_all_that_it_needs_is_allowed(given):
    stack.deploy(**(SCRAM | URL | given))


def test_every_pair_of_pollers_is_allowed_exactly_if_it_is_in_order():
    declared = stack.source()["Parameters"]
    for low in declared["MinimumPollers"]["AllowedValues"]:
        for high in declared["MaximumPollers"]["AllowedValues"]:
            given = SCRAM | URL | {"MinimumPollers": low, "MaximumPollers": str(high)}
            if low == "preset" or int(low) <= high:
                stack.deploy(**given)
            else:
                with pytest.raises(
                    stack.RefusedError, match="PollersInOrder: Set MaximumPollers to MinimumPollers or more"
                ):
                    stack.deploy(**given)


def test_what_needs_provisioned_mode_is_allowed_exactly_with_the_presets_that_have_pollers():
    for preset, settings in stack.source()["Mappings"]["Presets"].items():
        for needs_it in ({"MaximumRetryAttempts": "5"}, REGISTRY | {"MinimumPollers": "preset"}):
            given = SCRAM | URL | needs_it | {"Preset": preset}
            if settings["MinimumPollers"] == "0":
                with pytest.raises(stack.RefusedError, match="[Ss]et MinimumPollers to 1 or more"):
                    stack.deploy(**given)
            else:
                (mapping, *_) = stack.deploy(**given).mappings().values()
                assert mapping["ProvisionedPollerConfig"]["MinimumPollers"] == settings["MinimumPollers"]


def test_every_assertion_of_every_rule_has_a_bad_combination():
    sentences = {
        assertion["AssertDescription"] for rule in stack.source()["Rules"].values() for assertion in rule["Assertions"]
    }
    refused = set()
    for _, parameters, _ in BAD:
        with pytest.raises(stack.RefusedError) as refusal:
            stack.deploy(**parameters)
        refused.add(str(refusal.value).split(": ", 1)[1])
    assert sentences - refused == {"Set MaximumPollers to MinimumPollers or more."}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("", True),
        ("https://search.example.com:9200", True),
        ("http://a:9200,http://b:9200, http://c:9200", True),
        ("http://a,", False),
        ("http://a,,http://b", False),
        (" http://a", False),
        ("http://a http://b", False),
    ],
)
def test_the_endpoint_of_the_cluster_is_a_list_without_empty_entries(text, fits):
    pattern = stack.source()["Parameters"]["SearchEndpoint"]["AllowedPattern"]
    assert (re.fullmatch(pattern, text) is not None) == fits


def test_every_pattern_says_what_fits_it():
    for name, declared in stack.source()["Parameters"].items():
        if "AllowedPattern" in declared:
            assert "ConstraintDescription" in declared, name


def test_rules_use_no_function_that_rules_do_not_have():
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-rules.html
    allowed = {
        "Ref",
        "Fn::And",
        "Fn::Contains",
        "Fn::EachMemberEquals",
        "Fn::EachMemberIn",
        "Fn::Equals",
        "Fn::Not",
        "Fn::Or",
    }
    text = repr(stack.source()["Rules"])
    assert set(re.findall(r"'(Ref|Condition|Fn::\w+)':", text)) <= allowed


def test_a_rule_about_aws_names_the_page_that_it_comes_from():
    text = (stack.INFRA / "template.yaml").read_text(encoding="utf-8")
    rules = text[text.index("\nRules:\n") : text.index("\nConditions:\n")]
    # These are about this template's own parameters.
    own = {"OneKafka", "OneDestination", "OneSearchCluster", "SearchSecretForPassword", "PasswordForSearchSecret"}
    own |= {"OneResourceForSignature", "NameOfCollection", "AdministratorOfSecuredCluster", "SettingsOfSchemaRegistry"}
    own |= {"FunctionRegistryOfGlue", "LoginToFunctionRegistry", "FunctionRegistryWithoutLogin", "RegistryOfFormats"}
    for name in stack.source()["Rules"]:
        before = rules[: rules.index(f"\n  {name}:\n")].splitlines()
        assert name in own or "https://docs.aws.amazon.com/" in before[-1], f"{name} names no page"


def test_the_minimum_of_a_combination_is_not_refused():
    for source in combinations.SOURCES.values():
        stack.deploy(**source, **URL)
