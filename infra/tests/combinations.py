"""The parameters of every combination that AWS supports: a source of events, a target, provisioned mode or not, a VPC or not."""

import itertools

from stack import ACCOUNT, REGION

SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
DOMAIN_ARN = f"arn:aws:es:{REGION}:{ACCOUNT}:domain/events"
COLLECTION_ARN = f"arn:aws:aoss:{REGION}:{ACCOUNT}:collection/abc123"
GLUE_REGISTRY = f"arn:aws:glue:{REGION}:{ACCOUNT}:registry/events"
BUCKET, QUEUE, SNS = (
    "arn:aws:s3:::failed",
    f"arn:aws:sqs:{REGION}:{ACCOUNT}:failed",
    f"arn:aws:sns:{REGION}:{ACCOUNT}:failed",
)

_msk = {"MskClusterArn": f"arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/events/11111111-2222-3333-4444-555555555555-1"}
_serverless = {
    "MskClusterArn": f"arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/serverless/11111111-2222-3333-4444-555555555555-s1"
}
_connection = {
    "MskClusterArn": f"arn:aws:kafka:{REGION}:{ACCOUNT}:vpc-connection/210987654321/events/99999999-2222-3333-4444-5"
}
_brokers = {"KafkaBootstrapServers": "b1.example.com:9096,b2.example.com:9096"}
_scram = {"KafkaSecretArn": SECRET + "AmazonMSK_kafka", "KafkaAuthentication": "SASL_SCRAM_512_AUTH"}
_certificate = {"KafkaSecretArn": SECRET + "client", "KafkaAuthentication": "CLIENT_CERTIFICATE_TLS_AUTH"}
_ca = {"KafkaCaSecretArn": SECRET + "kafka-ca"}
_subnets = {"KafkaSubnetIds": "subnet-1,subnet-2", "KafkaSecurityGroupId": "sg-kafka"}

SOURCES = {
    "MSK, IAM": _msk,
    "MSK, SCRAM": _msk | _scram | {"SecretKmsKeyArn": KEY},
    "MSK, mTLS": _msk | _certificate,
    "MSK Serverless": _serverless,
    "MSK, IAM, topics by a pattern": _msk | {"MskTopicPattern": "*.events"},
    "MSK of another account, IAM": _connection,
    "MSK of another account, SCRAM": _connection | _scram | {"SecretKmsKeyArn": KEY},
    "self-managed, SCRAM-512": _brokers | _scram,
    "self-managed, SCRAM-256": _brokers | _scram | {"KafkaAuthentication": "SASL_SCRAM_256_AUTH"},
    "self-managed, PLAIN": _brokers | _scram | {"KafkaAuthentication": "BASIC_AUTH"},
    "self-managed, mTLS with its CA": _brokers | _certificate | _ca,
    "self-managed, CA alone": _brokers | _ca,
    "self-managed, VPC alone": _brokers | _subnets,
    "self-managed, three subnets, SCRAM, CA": _brokers
    | _scram
    | _ca
    | _subnets
    | {"KafkaSubnetIds": "subnet-1,subnet-2,subnet-3"},
}

_url = {"SearchEndpoint": "https://search.example.com:9200"}
_domain_url = {"SearchEndpoint": "https://vpc-events.eu-central-1.es.amazonaws.com"}
_collection = {
    "SearchEndpoint": "https://abc123.eu-central-1.aoss.amazonaws.com",
    "SearchCollectionArn": COLLECTION_ARN,
}
_by_admin = {"AdminSecretArn": SECRET + "admin"}
_with_secret = {"SearchSecretArn": SECRET + "search"}

TARGETS = {
    "no login": _url,
    "domain by name": {"SearchDomain": "events", "SearchAuth": "sigv4"},
    "domain by URL": _domain_url | {"SearchAuth": "sigv4", "SearchDomainArn": DOMAIN_ARN},
    "domain, fine-grained access, IAM master": {
        "SearchDomain": "events",
        "SearchAuth": "sigv4",
        "SearchDomainStandby": "true",
    },
    "domain, fine-grained access, master password": {"SearchDomain": "events", "SearchAuth": "sigv4"} | _by_admin,
    "domain, fine-grained access, passwords": {"SearchDomain": "events", "SearchAuth": "basic"} | _by_admin,
    "domain, before provisioning": {
        "SearchDomain": "events",
        "SearchAuth": "sigv4",
        "Provision": "false",
        "MappingsEnabled": "false",
    },
    "collection, own policy": _collection | {"SearchAuth": "sigv4", "Provision": "false"},
    "collection, policy by the stack": _collection
    | {"SearchAuth": "sigv4", "Provision": "false", "SearchCollectionName": "events"},
    "Elasticsearch, password by the administrator": _url | {"SearchAuth": "basic"} | _by_admin,
    "Elasticsearch, own password, CA secret": _url
    | {"SearchAuth": "basic", "SearchCaCert": SECRET + "ca"}
    | _with_secret,
    "Elasticsearch, API key by the administrator": _url | {"SearchAuth": "api_key"} | _by_admin,
    "Elasticsearch, own API key, own CA": _url | {"SearchAuth": "api_key", "SearchCaCert": "p" * 2048} | _with_secret,
    "Elasticsearch, own API key, administrator's too": _url | {"SearchAuth": "api_key"} | _with_secret | _by_admin,
}

MODES = {
    "on demand": {},
    "on demand, bucket": {"OnFailureDestinationArn": BUCKET, "DestinationKmsKeyArn": KEY, "ReplayBucketArn": BUCKET},
    "provisioned, queue": {
        "MinimumPollers": "2",
        "MaximumPollers": "2",
        "PollerGroupName": "events",
        "OnFailureDestinationArn": QUEUE,
        "BatchFailures": "report",
        "MaximumRetryAttempts": "50",
        "MaximumRecordAgeSeconds": "86400",
        "BisectBatchOnFunctionError": "true",
    },
    "provisioned, SNS": {"MinimumPollers": "1", "OnFailureDestinationArn": SNS},
    "provisioned, schemas in Glue": {
        "MinimumPollers": "1",
        "OnFailureDestinationArn": BUCKET,
        "SchemaRegistryUri": GLUE_REGISTRY,
    },
    "provisioned, schemas in a registry with login and CA": {
        "MinimumPollers": "1",
        "OnFailureTopic": "failed.events",
        "SchemaRegistryUri": "https://registry.example.com:8081",
        "SchemaRegistryEventRecordFormat": "SOURCE",
        "SchemaValidation": "KEY,VALUE",
        "SchemaRegistrySecretArn": SECRET + "registry",
        "SchemaRegistryCaSecretArn": SECRET + "registry-ca",
    },
    "provisioned by the preset, Kafka topic": {"Preset": "latency", "OnFailureTopic": "failed.events"},
    "provisioned, Kafka topic": {"MinimumPollers": "1", "OnFailureTopic": "failed.events"},
}

NETWORKS = {
    "no VPC": {},
    "VPC, everything set": {
        "SubnetIds": "subnet-a, subnet-b",
        "SecurityGroupIds": "sg-function",
        "PermissionsBoundaryArn": f"arn:aws:iam::{ACCOUNT}:policy/boundary",
        "EnvironmentKmsKeyArn": KEY,
        "LogKmsKeyArn": KEY,
        "SecretKmsKeyArn": KEY,
        "ReservedConcurrency": "10",
        "Tracing": "Active",
        "GradualDeployment": "true",
        "LayerArns": f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:ca:1",
        "PipelineSecretArns": f"{SECRET}salt-AbCdEf,{SECRET}tenants/salt-GhIjKl",
        "AlarmTopicArn": SNS,
        "HeaderFields": "x-tenant",
        "ReaderBackendRoles": "people",
        "DashboardsEndpoint": "https://dashboards.example.com",
        "Topics": "a.b-c,d_e",
    },
}


def every_combination() -> list:
    """(name, parameters) of each."""
    made = []
    for parts in itertools.product(SOURCES.items(), TARGETS.items(), MODES.items(), NETWORKS.items()):
        name = "; ".join(part[0] for part in parts)
        made.append((name, {key: value for part in parts for key, value in part[1].items()}))
    return made
