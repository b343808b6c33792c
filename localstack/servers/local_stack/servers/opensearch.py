"""OpenSearch: one node with every module and no security plugin, from the released zip."""

import os
from pathlib import Path

from local_stack import java, paths, prerequisites, rest
from local_stack.instance import Instance
from local_stack.layout import once
from local_stack.prerequisites import Prerequisite
from local_stack.server import Launch
from local_stack.servers.search_node import OPENSEARCH_ENGINE, SearchNode, java_options, unpack
from local_stack.versions import pinned


class OpenSearch(SearchNode):
    """The stack's cluster, open to everybody on this machine."""

    engine = OPENSEARCH_ENGINE

    def prerequisites(self) -> list[Prerequisite]:
        """A JDK, and Maven."""
        return [prerequisites.jdk(), prerequisites.maven()]

    def fetch(self) -> Path:
        """Returns OpenSearch's home."""
        version, size_mb = pinned()[self.name]["version"], pinned()[self.name]["download-mb"]
        artifact = f"org.opensearch.distribution.integ-test-zip:opensearch:{version}:zip"
        folder = paths.cache() / f"opensearch-{version}"
        return once(folder, lambda into: unpack(self.engine, size_mb, artifact, into))

    def prepare(self, instance: Instance, fetched: Path) -> Launch:
        """Writes the configuration, with the settings that OPENSEARCH_SETTINGS adds."""
        self.configure(instance, fetched, f"{self.settings(instance)}{os.environ.get('OPENSEARCH_SETTINGS', '')}\n")
        return self.launch(fetched, self.variables(instance, java.home(), java_options(os.environ)))

    def ready(self, instance: Instance) -> bool:
        """Whether the cluster is healthy."""
        health = "_cluster/health?wait_for_status=yellow&timeout=1s"
        return rest.succeeds(f"{self.info(instance)['endpoint']}/{health}")

    def info(self, instance: Instance) -> dict[str, str]:
        """The endpoint."""
        return {"endpoint": f"http://127.0.0.1:{self.port(instance)}"}

    def environment(self, instance: Instance) -> dict[str, str]:
        """The endpoint."""
        return {"SEARCH_ENDPOINT": self.info(instance)["endpoint"]}


OPENSEARCH = OpenSearch("opensearch", "OpenSearch", 9200, 9300)
