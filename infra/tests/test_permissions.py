"""Each role may do what its function does, and nothing else.

infra/tests/test_policies.py compares the policies with every recorded request. Here are the boundaries: what a role may not do, and what it may
do apart from requests to the cluster.
"""

import pytest
import stack
from combinations import (
    BUCKET,
    COLLECTION_ARN,
    DOMAIN_ARN,
    GLUE_REGISTRY,
    KEY,
    MODES,
    QUEUE,
    SECRET,
    SNS,
    SOURCES,
    TARGETS,
)

INDEX, REPLAY, PROVISION = "IndexEventsRole", "ReplayDeadLettersRole", "ProvisionClusterRole"
SCRAM = SOURCES["self-managed, SCRAM-512"]
SIGNED = [
    name
    for name, target in TARGETS.items()
    if target.get("SearchAuth") == "sigv4" and "SearchCollectionArn" not in target
]
# Method and path of each request to the cluster.
BULK = ("POST", "_bulk")
REQUESTS = {
    INDEX: [BULK],
    REPLAY: [BULK, ("POST", "_mget"), ("POST", "dead-letters-microservices-*/_search")],
}
OTHERS = [
    ("DELETE", "microservices-2026.01.31"),
    ("GET", "_search"),
    ("PUT", "_mget"),
    ("PUT", "dead-letters-microservices-*/_search"),
    ("POST", "other-index/_search"),
    ("PUT", "microservices-2026.01.31/_mapping"),
    ("PUT", "_cluster/settings"),
]


def es_action(method: str) -> str:
    return f"es:ESHttp{method.capitalize()}"


@pytest.mark.parametrize("target", SIGNED)
@pytest.mark.parametrize("role", REQUESTS)
def test_every_request_is_allowed_with_its_method_and_every_allowed_action_is_used(target, role):
    made = stack.deploy(**SCRAM, **TARGETS[target])
    for method, path in REQUESTS[role]:
        assert made.allows(role, es_action(method), f"{DOMAIN_ARN}/{path}"), f"{role} may not {method} {path}"
    for method, path in OTHERS:
        assert not made.allows(role, es_action(method), f"{DOMAIN_ARN}/{path}"), f"{role} may {method} {path}"
    used = {es_action(method) for method, _ in REQUESTS[role]}
    assert {action for action in made.actions(role) if action.startswith("es:ESHttp")} == used


def test_no_function_but_provision_cluster_may_search_or_write_to_another_domain():
    made = stack.deploy(**SCRAM, **TARGETS["domain by name"])
    other = DOMAIN_ARN.replace("domain/events", "domain/events2")
    for role in (INDEX, REPLAY, PROVISION):
        assert not made.allows(role, "es:ESHttpPost", f"{other}/_bulk")
    assert made.allows(PROVISION, "es:ESHttpPut", f"{DOMAIN_ARN}/_index_template/microservices")


def test_an_administrators_secret_takes_the_place_of_an_administrators_role():
    made = stack.deploy(**SCRAM, **TARGETS["domain, fine-grained access, master password"])
    assert "es:ESHttpPut" not in made.actions(PROVISION)
    assert made.allows(PROVISION, "secretsmanager:GetSecretValue", SECRET + "admin")
    assert made.environment("ProvisionCluster")["SEARCH_AUTH"] == "secret"


def test_the_provisioning_role_can_be_mapped_before_it_provisions():
    # Phase one of a domain with fine-grained access control and an IAM master user: docs/DEPLOYING.md.
    first = stack.deploy(**SCRAM, **TARGETS["domain, before provisioning"])
    assert first.of_type("Custom::SearchCluster") == {}
    assert {mapping["Enabled"] for mapping in first.mappings().values()} == {"false"}
    assert "ProvisionClusterRoleArn" in first.outputs
    second = stack.deploy(**SCRAM, **TARGETS["domain by name"])
    assert first.statements(PROVISION) == second.statements(PROVISION), "phase two would wait for IAM"


def test_replay_reaches_what_lambda_wrote_to_the_bucket_and_nothing_else():
    made = stack.deploy(**SCRAM, **TARGETS["no login"], ReplayBucketArn=BUCKET)
    ours, others = f"{BUCKET}/aws/lambda/uuid/order.events-0/object", f"{BUCKET}/invoices/1"
    for action in ("s3:GetObject", "s3:DeleteObject"):
        assert made.allows(REPLAY, action, ours)
        assert not made.allows(REPLAY, action, others)
    assert made.allows(REPLAY, "s3:ListBucket", BUCKET, s3_prefix="aws/lambda/uuid/")
    assert not made.allows(REPLAY, "s3:ListBucket", BUCKET, s3_prefix="invoices/")
    assert not made.allows(REPLAY, "s3:ListBucket", BUCKET)


@pytest.mark.parametrize(
    ("destination", "expected"),
    [
        (QUEUE, {("sqs:SendMessage", QUEUE)}),
        (SNS, {("sns:Publish", SNS)}),
        (BUCKET, {("s3:ListBucket", BUCKET), ("s3:PutObject", f"{BUCKET}/aws/lambda/*")}),
    ],
)
@pytest.mark.parametrize("key", ["", KEY])
def test_a_destination_gets_its_own_permissions_and_its_keys(destination, expected, key):
    given = {"OnFailureDestinationArn": destination, "DestinationKmsKeyArn": key}
    made = stack.deploy(**SCRAM, **TARGETS["no login"], **given)
    services = ("sqs:", "sns:", "s3:", "kms:")
    allowed = {
        (action, statement["Resource"])
        for statement in made.statements(INDEX)
        for action in (statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]])
        if action.startswith(services)
    }
    # https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html
    keys = {("kms:GenerateDataKey", KEY), ("kms:Decrypt", KEY)} if key else set()
    assert allowed == expected | keys


def test_the_mappings_read_schemas_of_their_own_glue_registry_alone():
    made = stack.deploy(**SCRAM, **TARGETS["no login"], **MODES["provisioned, schemas in Glue"])
    schema = f"arn:aws:glue:{stack.REGION}:{stack.ACCOUNT}:schema"
    # https://docs.aws.amazon.com/lambda/latest/dg/services-consume-kafka-events.html
    assert made.allows(INDEX, "glue:GetRegistry", GLUE_REGISTRY)
    assert made.allows(INDEX, "glue:GetSchemaVersion", GLUE_REGISTRY)
    assert made.allows(INDEX, "glue:GetSchemaVersion", f"{schema}/events/order.events")
    assert not made.allows(INDEX, "glue:GetRegistry", GLUE_REGISTRY + "2")
    assert not made.allows(INDEX, "glue:GetSchemaVersion", f"{schema}/events2/order.events")
    for role in (REPLAY, PROVISION):
        assert not any(action.startswith("glue:") for action in made.actions(role)), role


def test_the_mappings_read_the_secrets_of_their_registry_and_decrypt_them():
    given = MODES["provisioned, schemas in a registry with login and CA"] | {"SecretKmsKeyArn": KEY}
    made = stack.deploy(**SOURCES["self-managed, VPC alone"], **TARGETS["no login"], **given)
    for name in ("registry", "registry-ca"):
        assert made.allows(INDEX, "secretsmanager:GetSecretValue", SECRET + name)
        assert not made.allows(REPLAY, "secretsmanager:GetSecretValue", SECRET + name)
    assert made.allows(INDEX, "kms:Decrypt", KEY)
    assert not any(action.startswith("glue:") for action in made.actions(INDEX))


def test_a_role_decrypts_secrets_only_if_it_reads_any():
    given = SOURCES["MSK, SCRAM"] | TARGETS["no login"]
    made = stack.deploy(**given)
    assert [made.allows(role, "kms:Decrypt", KEY) for role in (INDEX, REPLAY, PROVISION)] == [True, False, False]


def test_replay_decrypts_what_a_key_encrypted():
    made = stack.deploy(**SCRAM, **TARGETS["no login"], **MODES["on demand, bucket"])
    assert made.allows(REPLAY, "kms:Decrypt", KEY)
    assert "kms:GenerateDataKey" not in made.actions(REPLAY)


def test_a_kafka_topic_is_a_destination_of_its_own():
    given = MODES["provisioned, Kafka topic"] | TARGETS["no login"]
    for source in ("MSK, IAM", "MSK, SCRAM", "self-managed, SCRAM-512"):
        made = stack.deploy(**SOURCES[source], **given)
        for mapping in made.mappings().values():
            assert mapping["DestinationConfig"] == {"OnFailure": {"Destination": "kafka://failed.events"}}
        topic = SOURCES[source].get("MskClusterArn", "").replace(":cluster/", ":topic/")
        # Other logins have their rights in Kafka itself.
        may_write = made.allows(INDEX, "kafka-cluster:WriteData", f"{topic}/failed.events")
        assert may_write is (source == "MSK, IAM"), source
        assert not made.allows(INDEX, "kafka-cluster:WriteData", f"{topic}/order.events")
        assert not {"sqs:SendMessage", "sns:Publish", "s3:PutObject"} & made.actions(INDEX)


def test_the_functions_read_a_ca_from_a_secret():
    made = stack.deploy(**SCRAM, **TARGETS["no login"], SearchCaCert=SECRET + "ca")
    for function, role in (("IndexEvents", INDEX), ("ReplayDeadLetters", REPLAY), ("ProvisionCluster", PROVISION)):
        assert made.environment(function)["SEARCH_CA_CERT"] == SECRET + "ca"
        assert made.allows(role, "secretsmanager:GetSecretValue", SECRET + "ca")
    for text in ("-----BEGIN CERTIFICATE-----\nMIIB", "/opt/ca.pem"):
        made = stack.deploy(**SCRAM, **TARGETS["no login"], SearchCaCert=text)
        assert not made.allows(REPLAY, "secretsmanager:GetSecretValue", SECRET + "ca")
        assert made.environment("IndexEvents")["SEARCH_CA_CERT"] == text


def test_both_functions_read_the_registry_that_decodes_their_records():
    given = {
        "FunctionRegistryUrl": "https://registry.example.com:8081",
        "FunctionRegistryAuth": "bearer",
        "FunctionRegistrySecretArn": SECRET + "token",
        "FunctionRegistryCaCert": SECRET + "registry-ca",
    }
    made = stack.deploy(**SCRAM, **TARGETS["no login"], **given)
    for function, role in (("IndexEvents", INDEX), ("ReplayDeadLetters", REPLAY)):
        variables = made.environment(function)
        assert variables["SCHEMA_REGISTRY_URL"] == given["FunctionRegistryUrl"]
        assert variables["SCHEMA_REGISTRY_SECRET_ID"] == SECRET + "token"
        for secret in ("token", "registry-ca"):
            assert made.allows(role, "secretsmanager:GetSecretValue", SECRET + secret)
        assert "glue:GetSchemaVersion" not in made.actions(role)
    assert not made.allows(PROVISION, "secretsmanager:GetSecretValue", SECRET + "token")


def test_both_functions_read_the_registries_of_glue_where_they_log_in_by_it():
    made = stack.deploy(**SCRAM, **TARGETS["no login"], FunctionRegistryAuth="glue")
    for role in (INDEX, REPLAY):
        for resource in (GLUE_REGISTRY, GLUE_REGISTRY.replace(":registry/", ":schema/") + "/order"):
            assert made.allows(role, "glue:GetSchemaVersion", resource)
        assert not made.allows(role, "glue:GetSchemaVersion", GLUE_REGISTRY.replace(stack.ACCOUNT, "210987654321"))
    assert "SCHEMA_REGISTRY_URL" not in made.environment("IndexEvents")


def test_the_functions_that_hash_read_the_salts_that_are_named_and_decrypt_them():
    salts = [SECRET + "salt-AbCdEf", SECRET + "tenants/salt-GhIjKl"]
    plain = stack.deploy(**SCRAM, **TARGETS["no login"], SecretKmsKeyArn=KEY)
    made = stack.deploy(**SCRAM, **TARGETS["no login"], SecretKmsKeyArn=KEY, PipelineSecretArns=",".join(salts))
    for role in (INDEX, REPLAY):
        for salt in salts:
            assert made.allows(role, "secretsmanager:GetSecretValue", salt)
            assert not plain.allows(role, "secretsmanager:GetSecretValue", salt)
        assert not made.allows(role, "secretsmanager:GetSecretValue", SECRET + "salt-of-others-AbCdEf")
        assert made.allows(role, "kms:Decrypt", KEY)
    assert not plain.allows(REPLAY, "kms:Decrypt", KEY)
    assert "secretsmanager:GetSecretValue" not in made.actions(PROVISION), "it only reads where events are routed"
    for wrong in ("my/salt", f"{salts[0]}, my/salt"):
        with pytest.raises(stack.RefusedError, match="whole ARNs of secrets"):
            stack.deploy(**SCRAM, **TARGETS["no login"], PipelineSecretArns=wrong)


def test_the_policy_of_a_collection_lets_both_functions_write_their_indices():
    import json

    made = stack.deploy(**SCRAM, **TARGETS["collection, policy by the stack"])
    (policy,) = made.of_type("AWS::OpenSearchServerless::AccessPolicy").values()
    assert policy["Type"] == "data" and len(policy["Name"]) <= 32
    (document,) = json.loads(policy["Policy"])
    assert document["Principal"] == [f"arn:aws:iam::{stack.ACCOUNT}:role/{role}" for role in (INDEX, REPLAY)]
    (rule,) = document["Rules"]
    assert rule["Resource"] == ["index/events/microservices-*", "index/events/dead-letters-microservices-*"]
    assert set(rule["Permission"]) == {
        f"aoss:{name}" for name in ("CreateIndex", "DescribeIndex", "UpdateIndex", "ReadDocument", "WriteDocument")
    }
    for role in (INDEX, REPLAY):
        assert made.allows(role, "aoss:APIAccessAll", COLLECTION_ARN)


def test_every_role_has_the_boundary():
    boundary = "arn:aws:iam::123456789012:policy/boundary"
    made = stack.deploy(**SCRAM, **TARGETS["no login"], PermissionsBoundaryArn=boundary, GradualDeployment="true")
    roles = made.of_type("AWS::IAM::Role")
    assert len(roles) == 4
    assert {properties["PermissionsBoundary"] for properties in roles.values()} == {boundary}
    assert all(
        "PermissionsBoundary" not in role
        for role in stack.deploy(**SCRAM, **TARGETS["no login"]).of_type("AWS::IAM::Role").values()
    )
