"""OpenSearch: one node with every module and no security plugin, from the released zip."""

import os
from pathlib import Path

import java
import paths
import rest
import search_node
from instance import Instance
from layout import once
from search_node import OPENSEARCH, STOP_GRACE_S  # noqa: F401  (the grace is what each server has)
from versions import pinned

NAME = "opensearch"


def fetch() -> Path:
    """Returns OpenSearch's home."""
    version, size_mb = pinned()[NAME]["version"], pinned()[NAME]["download-mb"]
    artifact = f"org.opensearch.distribution.integ-test-zip:opensearch:{version}:zip"
    folder = paths.cache() / f"opensearch-{version}"
    return once(folder, lambda into: search_node.unpack("OpenSearch", size_mb, artifact, into))


def release() -> str:
    """What would be started now, to tell whether what runs is older."""
    return fetch().name


def start(instance: Instance) -> None:
    """Starts the node; returns when the cluster is healthy."""
    home, folder = fetch(), instance.server_folder(NAME)
    ports = search_node.check_ports(OPENSEARCH, instance, NAME)
    own = os.environ.get("OPENSEARCH_SETTINGS", "")
    search_node.configure(OPENSEARCH, home, folder, f"{search_node.settings(OPENSEARCH, folder, *ports)}{own}\n")
    environment = search_node.variables(OPENSEARCH, folder, java.home(), search_node.java_options(os.environ))
    health = f"{info(instance)['endpoint']}/_cluster/health?wait_for_status=yellow&timeout=1s"
    search_node.run(OPENSEARCH, instance, NAME, home, environment, lambda: rest.answers(health), release())


def info(instance: Instance) -> dict:
    """Where clients connect."""
    return {"endpoint": f"http://127.0.0.1:{instance.port('OPENSEARCH_PORT')}"}
