"""The table of servers."""

from collections.abc import Iterable

from local_stack import prerequisites
from local_stack.prerequisites import Prerequisite
from local_stack.server import Server
from local_stack.servers.console import CONSOLE
from local_stack.servers.elasticsearch import ELASTICSEARCH_6, ELASTICSEARCH_8
from local_stack.servers.kafka import KAFKA, KAFKA_BROKERS
from local_stack.servers.localstack import LOCALSTACK
from local_stack.servers.opensearch import OPENSEARCH, OPENSEARCH_NODES
from local_stack.servers.opensearch_secured import OPENSEARCH_SECURED
from local_stack.servers.poller import POLLER
from local_stack.servers.schema_registry import SCHEMA_REGISTRY

# All servers by name, in the order in which they are listed; they are stopped in the reverse order. Those with TLS and users
# the schema registry and further nodes start only where a command names them.
SERVERS: dict[str, Server] = {
    server.name: server
    for server in (
        *KAFKA_BROKERS,
        SCHEMA_REGISTRY,
        *OPENSEARCH_NODES,
        OPENSEARCH_SECURED,
        ELASTICSEARCH_8,
        ELASTICSEARCH_6,
        LOCALSTACK,
        POLLER,
        CONSOLE,
    )
}
# The servers of the project's stack: those that a deployment needs, and the poller, which serves the deployed mappings.
# Clusters by the name of their first node.
CLUSTERS: dict[str, tuple[Server, ...]] = {KAFKA.name: KAFKA_BROKERS, OPENSEARCH.name: OPENSEARCH_NODES}
DEPLOYMENT: tuple[Server, ...] = (KAFKA, OPENSEARCH, LOCALSTACK)
STACK: tuple[Server, ...] = (*DEPLOYMENT, POLLER)


def stack_prerequisites() -> list[Prerequisite]:
    """What the stack needs in addition to Python, which python.sh has found."""
    return _of(STACK, prerequisites.rust(), prerequisites.git())


def live_test_prerequisites() -> list[Prerequisite]:
    """What the tests on real servers need: all servers, OpenSSL for a Kafka with TLS, and a browser for the console."""
    more = (prerequisites.rust(), prerequisites.git(), prerequisites.openssl(), prerequisites.chromium())
    return _of(SERVERS.values(), *more)


def _of(servers: Iterable[Server], *more: Prerequisite) -> list[Prerequisite]:
    """The servers' prerequisites and some more, each once."""
    needed = [prerequisite for server in servers for prerequisite in server.prerequisites()]
    return list(dict.fromkeys([*needed, *more]))
