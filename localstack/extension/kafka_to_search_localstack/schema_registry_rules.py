"""Refuses what Lambda refuses in the schema registry of a Kafka event source mapping, in Lambda's words.

The errors are those of "Error handling and troubleshooting for schema registry issues" in
https://docs.aws.amazon.com/lambda/latest/dg/services-consume-kafka-events.html. The values that a member may have are those of
https://docs.aws.amazon.com/lambda/latest/api/API_KafkaSchemaRegistryConfig.html.
"""

import re
from collections.abc import Iterable

from localstack.aws.api import CommonServiceException
from localstack.aws.api.lambda_ import InvalidParameterValueException

FORMATS = ("SOURCE", "JSON")
ATTRIBUTES = ("KEY", "VALUE")
LOGINS = ("BASIC_AUTH", "CLIENT_CERTIFICATE_TLS_AUTH", "OAUTHBEARER_AUTH")
CA = "SERVER_ROOT_CA_CERTIFICATE"
MAX_ACCESS_CONFIGS = 2
MAX_URI = 10_000
URI_CHARACTERS = re.compile(r"[a-zA-Z0-9-/*:_+=.@-]*")
GLUE_ARN = re.compile(r"arn:aws[a-z-]*:glue:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):registry/[a-zA-Z0-9._$#-]+")
URL = re.compile(r"https?://[^/]+.*")
SECRET_ARN = re.compile(r"arn:aws[a-zA-Z0-9-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:.+")
PROVISIONED_ONLY = (
    "SchemaRegistryConfig is only available for Provisioned Mode. To configure Schema Registry, please enable Provisioned Mode by "
    "specifying MinimumPollers in ProvisionedPollerConfig."
)


def check_schema_registry(config: dict, source: str, account: str, region: str) -> None:
    """Raises the API's error for the first member that a `SchemaRegistryConfig` can't have.

    `source` is the property that it is in. A Glue registry has to be in the mapping's own account and region.
    """
    path = f"{source[0].lower()}{source[1:]}.schemaRegistryConfig"
    glue = _check_uri(config.get("SchemaRegistryURI"), path)
    record_format = config.get("EventRecordFormat")
    if record_format is None:
        raise _invalid(
            "EventRecordFormat is a required field for SchemaRegistryConfig. Please provide one of supported format types: "
            f"{', '.join(FORMATS)}."
        )
    _check_value(record_format, FORMATS, f"{path}.eventRecordFormat")
    _check_attributes(config.get("SchemaValidationConfigs") or [], path)
    _check_access(config.get("AccessConfigs") or [], path, is_glue=glue is not None)
    if glue and glue["account"] != account:
        raise _invalid("Cross-account Glue Schema Registry access not supported.")
    if glue and glue["region"] != region:
        raise _invalid("Cross-region Glue Schema Registry access not supported.")


def _check_uri(uri: str | None, path: str) -> re.Match | None:
    """Returns the parts of a Glue registry's ARN, and nothing for a URL."""
    if uri is not None and len(uri) > MAX_URI:
        raise _constraint(uri, f"{path}.schemaRegistryURI", f"Member must have length less than or equal to {MAX_URI}")
    if uri is not None and URI_CHARACTERS.fullmatch(uri):
        if glue := GLUE_ARN.fullmatch(uri):
            return glue
        if URL.fullmatch(uri):
            return None
    raise _invalid(
        "Malformed SchemaRegistryURI provided. Please provide a valid URI or ARN. For example, "
        "https://schema-registry.example.com:8081 or arn:aws:glue:us-east-1:123456789012:registry/ExampleRegistry."
    )


def _check_attributes(configs: list[dict], path: str) -> None:
    if not configs:
        raise _invalid("SchemaValidationConfigs is a required field for SchemaRegistryConfig.")
    attributes = [each.get("Attribute") for each in configs]
    for place, attribute in enumerate(attributes, 1):
        _check_value(attribute, ATTRIBUTES, f"{path}.schemaValidationConfigs.{place}.member.attribute")
    for attribute in ATTRIBUTES:
        if attributes.count(attribute) > 1:
            raise _invalid(
                f"Duplicate {attribute} Attribute in SchemaValidationConfigs. SchemaValidationConfigs must contain at most one "
                f"{attribute} Attribute."
            )


def _check_access(configs: list[dict], path: str, *, is_glue: bool) -> None:
    if is_glue and configs:
        raise _invalid(
            "AccessConfigs are not supported for a Glue Schema Registry: Lambda reads it with the function's execution role."
        )
    kinds = [each.get("Type") for each in configs]
    for place, each in enumerate(configs, 1):
        member = f"{path}.accessConfigs.{place}.member"
        _check_value(each.get("Type"), (*LOGINS, CA), f"{member}.type")
        uri = each.get("URI") or ""
        if not SECRET_ARN.fullmatch(uri):
            raise _constraint(
                uri, f"{member}.uRI", f"Member must satisfy regular expression pattern: {SECRET_ARN.pattern}"
            )
    if len(configs) > MAX_ACCESS_CONFIGS or kinds.count(CA) > 1 or sum(kind in LOGINS for kind in kinds) > 1:
        raise _invalid(f"AccessConfigs must contain at most one of {', '.join(LOGINS)}, and at most one {CA}.")


def _check_value(value: str | None, known: Iterable[str], path: str) -> None:
    if value not in known:
        raise _constraint(value, path, f"Member must satisfy enum value set: [{', '.join(sorted(known))}]")


def _constraint(value: object, path: str, constraint: str) -> CommonServiceException:
    shown = "null" if value is None else value
    message = f"1 validation error detected: Value '{shown}' at '{path}' failed to satisfy constraint: {constraint}"
    return CommonServiceException("ValidationException", message)


def _invalid(message: str) -> InvalidParameterValueException:
    return InvalidParameterValueException(message, Type="User")
