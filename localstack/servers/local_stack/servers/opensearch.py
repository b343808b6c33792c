"""OpenSearch, one node or three, with every module and no security plugin, from the released zip."""

import os
from pathlib import Path

from local_stack import java, paths, prerequisites, rest
from local_stack.instance import Instance
from local_stack.layout import once
from local_stack.prerequisites import Prerequisite
from local_stack.server import Launch
from local_stack.servers.search_node import OPENSEARCH_ENGINE, SearchNode, java_options, settings, unpack
from local_stack.versions import pinned


class OpenSearch(SearchNode):
    """A node of the stack's cluster, open to everybody on this machine."""

    engine = OPENSEARCH_ENGINE

    def __init__(self, node: int, port: int, transport_port: int) -> None:
        name, title = ("opensearch", "OpenSearch") if node == 1 else (f"opensearch-{node}", f"OpenSearch's node {node}")
        super().__init__(name, title, port, transport_port)
        self.node = node

    def prerequisites(self) -> list[Prerequisite]:
        """A JDK, and Maven."""
        return [prerequisites.jdk(), prerequisites.maven()]

    def fetch(self) -> Path:
        """Returns OpenSearch's home."""
        version, size_mb = pinned()[self.cluster]["version"], pinned()[self.cluster]["download-mb"]
        artifact = f"org.opensearch.distribution.integ-test-zip:opensearch:{version}:zip"
        folder = paths.cache() / f"opensearch-{version}"
        return once(folder, lambda into: unpack(self.engine, size_mb, artifact, into))

    def prepare(self, instance: Instance, fetched: Path) -> Launch:
        """Writes the configuration, with the settings that OPENSEARCH_SETTINGS adds."""
        self.configure(instance, fetched, f"{self.settings(instance)}{os.environ.get('OPENSEARCH_SETTINGS', '')}\n")
        heap = "1g" if len(_nodes(instance)) == 1 else "512m"
        return self.launch(fetched, self.variables(instance, java.home(), java_options(os.environ, heap)))

    def settings(self, instance: Instance) -> str:
        """The settings of a node alone or of one among others."""
        transport_ports = [instance.port(node.ports[1]) for node in _nodes(instance)]
        port, transport_port = map(instance.port, self.ports)
        return settings(instance.server_folder(self.name), port, transport_port, self.node, transport_ports)

    def ready(self, instance: Instance) -> bool:
        """Whether the cluster is healthy."""
        health = "_cluster/health?wait_for_status=yellow&timeout=1s"
        return rest.succeeds(f"{self.info(instance)['endpoint']}/{health}")

    def info(self, instance: Instance) -> dict[str, str]:
        """The endpoint."""
        return {"endpoint": f"http://127.0.0.1:{self.port(instance)}"}

    def environment(self, instance: Instance) -> dict[str, str]:
        """The endpoints of all nodes."""
        return {"SEARCH_ENDPOINT": ",".join(node.info(instance)["endpoint"] for node in _nodes(instance))}


OPENSEARCH = OpenSearch(1, 9200, 9300)
OPENSEARCH_NODES: tuple[OpenSearch, ...] = (OPENSEARCH, OpenSearch(2, 9202, 9302), OpenSearch(3, 9203, 9303))


def _nodes(instance: Instance) -> tuple[OpenSearch, ...]:
    return OPENSEARCH_NODES[: instance.n_nodes(OPENSEARCH.name)]
