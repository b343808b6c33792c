"""The files that provisioning applies, with their placeholders filled in.

No test server has the plugins (index management, alerting, Dashboards, Kibana). These tests check each file against the
schema that its product documents and its parser enforces. They do not run the plugin.
"""

import json
import re
from pathlib import Path

FOLDER = Path(__file__).parents[1]
MONITORS = ("silent-service", "error-ratio", "dead-letters", "ingestion-delay")
ENGINES = ("opensearch", "elasticsearch")
VALUES = {
    "INDEX_PREFIX": "shop.events",
    "DEAD_LETTER_PREFIX": "refused-shop",
    "RETENTION_DAYS": "40",
    "DEAD_LETTER_RETENTION_DAYS": "20",
    "FORCE_MERGE_AFTER_DAYS": "3",
    "SILENCE_MINUTES": "25",
}
NUMBERS = VALUES.keys() - {"INDEX_PREFIX", "DEAD_LETTER_PREFIX"}
WHOLE_NUMBER = re.compile(r'"\$\{(' + "|".join(NUMBERS) + r')\}"')
PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")
# Event types that count as failures, in the monitors and in the dashboard.
FAILURE = re.compile(".*([Ff]ail|FAIL|[Ee]rror|ERROR|[Rr]eject|REJECT|[Dd]eclin|DECLIN|[Bb]ounce|BOUNCE).*")
EVENTS, DEAD_LETTERS = "shop.events-*", "refused-shop-*"


def filled(path: str, values: dict[str, str] = VALUES) -> str:
    """The text of a file as it is sent."""
    return PLACEHOLDER.sub(lambda found: values[found[1]], (FOLDER / path).read_text())


def loaded(path: str, values: dict[str, str] = VALUES) -> dict:
    """A JSON file as it is sent. A string that consists of one numeric placeholder becomes a number."""
    text = WHOLE_NUMBER.sub(lambda found: values[found[1]], (FOLDER / path).read_text())
    return json.loads(PLACEHOLDER.sub(lambda found: values[found[1]], text))


def saved_objects(file: str, values: dict[str, str] = VALUES) -> list[dict]:
    """The lines of a file of saved objects."""
    return [json.loads(line) for line in filled(f"dashboards/{file}", values).splitlines()]


def index_of(item: dict, objects: list[dict]) -> str | None:
    """The index pattern of a saved object, directly or through a saved search."""
    by_id = {(each["type"], each["id"]): each for each in objects}
    for reference in item["references"]:
        target = by_id[reference["type"], reference["id"]]
        if target["type"] == "index-pattern":
            return target["attributes"]["title"]
        if target["type"] == "search":
            return index_of(target, objects)
    return None


def fields(template: str) -> dict[str, str]:
    """The fields of an index template and their types, including subfields."""

    def walk(properties: dict, prefix: str):
        for name, mapping in properties.items():
            kind = mapping.get("type", "object")
            yield prefix + name, kind if mapping.get("index", True) and mapping.get("enabled", True) else "not indexed"
            yield from walk(mapping.get("properties", {}), f"{prefix}{name}.")
            yield from walk(mapping.get("fields", {}), f"{prefix}{name}.")

    mappings = json.loads((FOLDER / template).read_text())["template"]["mappings"]
    return dict(walk(mappings["properties"], ""))


def fields_of(index: str) -> dict[str, str]:
    """The fields of the indices that match one of our patterns."""
    return fields({EVENTS: "index-template.json", DEAD_LETTERS: "dead-letter-template.json"}[index])
