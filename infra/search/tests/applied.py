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
    "EVENT_INDICES": "shop.events-*",
    "DEAD_LETTER_PREFIX": "refused-shop",
    "RETENTION_DAYS": "40",
    "DEAD_LETTER_RETENTION_DAYS": "20",
    "FORCE_MERGE_AFTER_DAYS": "3",
    "SILENCE_MINUTES": "25",
}
NUMBERS = VALUES.keys() - {"INDEX_PREFIX", "EVENT_INDICES", "DEAD_LETTER_PREFIX"}
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


class Fields(dict):
    """The fields of an index template with their types. A field of the payload has the type that the dynamic templates give
    to a text of its name."""

    def __init__(self, mappings: dict) -> None:
        super().__init__(self._walk(mappings["properties"], ""))
        self._dynamic = [next(iter(each.values())) for each in mappings.get("dynamic_templates", [])]

    def _walk(self, properties: dict, prefix: str):
        for name, mapping in properties.items():
            kind = mapping.get("type", "object")
            yield prefix + name, kind if mapping.get("index", True) and mapping.get("enabled", True) else "not indexed"
            yield from self._walk(mapping.get("properties", {}), f"{prefix}{name}.")
            yield from self._walk(mapping.get("fields", {}), f"{prefix}{name}.")

    def get(self, field: str, default=None):
        known = super().get(field)
        return known or self._of_payload(field) or default

    def __contains__(self, field: object) -> bool:
        return super().__contains__(field) or self._of_payload(str(field)) is not None

    def __missing__(self, field: str) -> str:
        kind = self._of_payload(field)
        if kind is None:
            raise KeyError(field)
        return kind

    def _of_payload(self, field: str) -> str | None:
        if any(super(Fields, self).__contains__(field[:dot]) for dot, char in enumerate(field) if char == "."):
            return None  # below one of our own fields
        for template in self._dynamic:
            is_text = template["match_mapping_type"] == "string" and "path_match" not in template
            if is_text and re.fullmatch(template.get("match", ".*"), field.rsplit(".", 1)[-1]):
                return template["mapping"]["type"]
        return None


def fields(template: str) -> Fields:
    """The fields of an index template."""
    return Fields(json.loads((FOLDER / template).read_text())["template"]["mappings"])


def fields_of(index: str) -> Fields:
    """The fields of the indices that match one of our patterns."""
    return fields({EVENTS: "index-template.json", DEAD_LETTERS: "dead-letter-template.json"}[index])
