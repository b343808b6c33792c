"""The requests that the functions sign with their roles' credentials, as their own tests recorded them.

`tests/testing/src/iam_requests.rs` describes the lines.
"""

import json
from urllib.parse import parse_qs, unquote, urlsplit

from combinations import COLLECTION_ARN as COLLECTION
from combinations import DOMAIN_ARN as DOMAIN
from iam import Request
from stack import ACCOUNT, INFRA, REGION

_CONTROL_PLANE = "/2021-01-01/opensearch/domain/"


def recorded(function: str) -> dict[str, list[str]]:
    """The lines of a function, by the name of the run."""
    return json.loads((INFRA.parent / "tests" / "fixtures" / "requests" / f"{function}.json").read_text())


def request(line: str) -> Request:
    """The action, resource and condition keys of a line."""
    service, operation, target = line.split(" ", 2)
    match service:
        case "es" if target.startswith(_CONTROL_PLANE) and operation == "GET":
            return Request(
                "es:DescribeDomain", f"arn:aws:es:{REGION}:{ACCOUNT}:domain/{target.removeprefix(_CONTROL_PLANE)}"
            )
        case "es":
            # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonopensearchservice.html: an action for
            # each HTTP method, on the path below the domain.
            return Request(f"es:ESHttp{operation.capitalize()}", f"{DOMAIN}{target}")
        case "s3":
            return _s3(operation, target)
        case "glue" if operation == "GetSchemaVersion":
            # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsglue.html: the id of a version names
            # no registry, and both the registry and the schema that it is of have to be allowed.
            glue = f"arn:aws:glue:{REGION}:{ACCOUNT}"
            return Request("glue:GetSchemaVersion", f"{glue}:registry/events", others=(f"{glue}:schema/events/order",))
        case "lambda" if target == "/2015-03-31/event-source-mappings/":
            return Request("lambda:ListEventSourceMappings", "*")
        case "lambda" if target.endswith("/configuration"):
            function = target.removeprefix("/2015-03-31/functions/").removesuffix("/configuration")
            return Request("lambda:GetFunctionConfiguration", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}")
        case "kafka" if target.endswith("/bootstrap-brokers"):
            cluster = target.removeprefix("/v1/clusters/").removesuffix("/bootstrap-brokers")
            return Request("kafka:GetBootstrapBrokers", unquote(cluster))
        case "secretsmanager":
            return Request(f"secretsmanager:{operation}", target)
    raise AssertionError(f"no action is known for {line}")


def on_collection(line: str) -> Request:
    """The request of a line, if the cluster is a collection of OpenSearch Serverless: one action for all of its API.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonopensearchserverless.html
    """
    made = request(line)
    return Request("aoss:APIAccessAll", COLLECTION) if made.action.startswith("es:ESHttp") else made


def _s3(method: str, target: str) -> Request:
    url = urlsplit(target)
    bucket, _, key = url.path.removeprefix("/").partition("/")
    if key == "":
        assert method == "GET", f"no action is known for {method} {target}"
        query = parse_qs(url.query, keep_blank_values=True)
        keys = {f"s3:{name}": query[name][0] for name in ("prefix", "delimiter", "max-keys") if name in query}
        return Request("s3:ListBucket", f"arn:aws:s3:::{bucket}", keys)
    action = {"GET": "s3:GetObject", "PUT": "s3:PutObject", "DELETE": "s3:DeleteObject"}[method]
    return Request(action, f"arn:aws:s3:::{bucket}/{unquote(key)}")
