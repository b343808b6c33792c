"""A day of sample events in the indices of a server, under the mappings that provisioning gives them, and what the panels find."""

import json
from datetime import datetime

from applied import loaded
from panels import Panel, panels, time_range
from rows import Table, table
from sample_events import Document
from server import Server


def write(server: Server, values: dict, documents: list[Document], engine: str) -> None:
    """Creates the indices of the documents' days and writes the documents as the function does."""
    indices = {_index(values, each): each.is_dead_letter for each in documents}
    for index, is_dead_letter in indices.items():
        file = "dead-letter-template.json" if is_dead_letter else "index-template.json"
        mappings = loaded(file)["template"]["mappings"]
        settings = {"number_of_shards": 1, "number_of_replicas": 0}
        if engine == "elasticsearch":
            mappings = for_elasticsearch(mappings)
        server.must("PUT", f"/{index}", {"mappings": mappings, "settings": settings})
    operations = [({"create": {"_index": _index(values, each), "_id": each.id}}, each.source) for each in documents]
    result = server.bulk(*operations, path="/_bulk?refresh=true")
    failed = [item for item in result.items if item[0] != 201]
    assert result.status == 200 and not failed, failed[:3]


def shown(server: Server, objects: list[dict], now: datetime) -> list[tuple[Panel, Table | None]]:
    """What each panel of each dashboard shows. None is what a text has."""
    found = []
    for dashboard in (item for item in objects if item["type"] == "dashboard"):
        for panel in panels(objects, dashboard):
            body = None
            if panel.index is not None:
                fields = server.must("GET", f"/{panel.index}/_field_caps?fields=*")
                body = panel.search(fields, time_range(dashboard, now))
            content = table(panel, server.must("POST", f"/{panel.index}/_search", body)) if body else None
            found.append((panel, content))
    return found


def for_elasticsearch(mappings: dict) -> dict:
    """The mapping as mapping_dialect.rs translates it for Elasticsearch from 8.3: without objects.

    The published server lacks the module with `match_only_text`, as provisioning finds out, and the one with `flattened`: there,
    the fields under `conflict`, which no panel shows, are mapped like those of a payload.
    """
    mappings = json.loads(json.dumps(mappings).replace('"match_only_text"', '"text"'))
    if "dynamic_templates" in mappings:
        mappings |= {"properties": dict(_leaves(mappings["properties"], "")), "subobjects": False}
    return mappings


def _leaves(properties: dict, prefix: str):
    for name, mapping in properties.items():
        if "properties" in mapping:
            yield from _leaves(mapping["properties"], f"{prefix}{name}.")
        elif mapping.get("type") not in ("object", "flat_object"):
            yield prefix + name, mapping


def _index(values: dict, document: Document) -> str:
    prefix = values["DEAD_LETTER_PREFIX" if document.is_dead_letter else "INDEX_PREFIX"]
    return f"{prefix}-{document.day}"
