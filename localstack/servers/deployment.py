"""Makes a running stack ready for events: index templates into OpenSearch, the functions and mappings into LocalStack."""

import json

import opensearch
import paths
import rest
import sam
from instance import Instance
from progress import step


def deploy(instance: Instance, overrides: list[str]) -> None:
    """Applies the index templates, if OpenSearch runs, and deploys infra/template.yaml."""
    if instance.running(opensearch.NAME):
        apply_index_templates(instance)
    sam.deploy(instance, overrides)


def apply_index_templates(instance: Instance) -> None:
    """Puts every `*-template.json` of infra/search into the cluster; a second time changes nothing."""
    endpoint = opensearch.info(instance)["endpoint"]
    with step("applying the index templates"):
        for file in sorted(paths.SEARCH_FILES.glob("*-template.json")):
            name = f"kafka-to-search-{file.stem.removesuffix('-template')}"
            rest.call("PUT", f"{endpoint}/_index_template/{name}", json.loads(file.read_text()))
