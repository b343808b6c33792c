"""Writes sample documents to daily indices, as the function does."""

import json
from collections.abc import Callable
from pathlib import Path

from sample_events import Document
from shown import Send

FOLDER = Path(__file__).parents[1]


def write(
    send: Send, prefixes: dict[str, str], documents: list[Document], translate: Callable[[dict], dict] = lambda same: same
) -> None:
    """Creates the indices of the documents' days and writes the documents. `prefixes` has the values of the placeholders."""
    for index, is_dead_letter in {_index(prefixes, each): each.is_dead_letter for each in documents}.items():
        file = "dead-letter-template.json" if is_dead_letter else "index-template.json"
        mappings = json.loads((FOLDER / file).read_text())["template"]["mappings"]
        settings = {"number_of_shards": 1, "number_of_replicas": 0}
        send("PUT", f"/{index}", {"mappings": translate(mappings), "settings": settings})
    lines = []
    for each in documents:
        lines += [json.dumps({"create": {"_index": _index(prefixes, each), "_id": each.id}}), json.dumps(each.source)]
    result = send("POST", "/_bulk?refresh=true", "\n".join(lines) + "\n")
    failed = [item["create"]["error"] for item in result["items"] if item["create"]["status"] != 201]
    if failed:
        raise ValueError(f"{len(failed)} documents were rejected, the first because of {failed[0]}")


def _index(prefixes: dict[str, str], document: Document) -> str:
    prefix = prefixes["DEAD_LETTER_PREFIX" if document.is_dead_letter else "INDEX_PREFIX"]
    return f"{prefix}-{document.day}"
