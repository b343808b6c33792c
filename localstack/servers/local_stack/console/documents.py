"""The documents that the page shows: events by a search, dead letters, conflicts. One bounded search each, whatever the rate."""

import json
import re
import time
from threading import Lock

from local_stack import rest

EVENTS = "microservices-*"
DEAD_LETTERS = "dead-letters-microservices-*"
SHOWN = 10
TIMEOUT_S = 5
REFRESH_S = 2
FOUND = "ignore_unavailable=true&allow_no_indices=true"
# The order of arrival: the events' own times can be of any day.
NEWEST = [{"kafka_timestamp": {"order": "desc", "unmapped_type": "long"}}]
# Ids and times say little at a glance: they come last.
LATER = re.compile(r"(.*_)?id$|.*(Id|ID|At|Time|[Tt]imestamp|version)$")
# Of the enriched document, what a line about it need not repeat.
ADDED = ("@timestamp", "service", "service_name", "kafka_", "environment", "platform", "tags", "event_text", "conflict")


class Documents:
    """Reads the cluster of one instance."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._refreshed_s = 0.0
        self._lock = Lock()

    def events(self, query: str) -> dict:
        """The newest events that a query in Lucene's syntax finds; all if it is empty."""
        wanted = {"query_string": {"query": query}} if query.strip() else {"match_all": {}}
        found = self._search(EVENTS, {"query": wanted, "track_total_hits": True})
        return {"total": found["hits"]["total"]["value"], "items": [event(hit) for hit in found["hits"]["hits"]]}

    def dead_letters(self) -> dict:
        """How many there are, and the newest."""
        found = self._search(DEAD_LETTERS, {"query": {"match_all": {}}, "track_total_hits": True})
        return {"total": found["hits"]["total"]["value"], "items": [dead_letter(hit) for hit in found["hits"]["hits"]]}

    def conflicts(self) -> dict:
        """How many events are written in another form, and the newest."""
        found = self._search(EVENTS, {"query": {"term": {"tags": "_mappingconflict"}}, "track_total_hits": True})
        return {"total": found["hits"]["total"]["value"], "items": [conflict(hit) for hit in found["hits"]["hits"]]}

    def _search(self, indices: str, body: dict) -> dict:
        self._refresh()
        body = {"size": SHOWN, "sort": NEWEST, **body}
        return rest.call("POST", f"{self.endpoint}/{indices}/_search?{FOUND}", body, timeout_s=TIMEOUT_S)

    def _refresh(self) -> None:
        """Makes what was written searchable. The indices do that every ten seconds; a page that is looked at wants it sooner."""
        with self._lock:
            due = time.monotonic() - self._refreshed_s >= REFRESH_S
            if due:
                self._refreshed_s = time.monotonic()
        if due:
            rest.call("POST", f"{self.endpoint}/{EVENTS},{DEAD_LETTERS}/_refresh?{FOUND}", timeout_s=TIMEOUT_S)


def event(hit: dict) -> dict:
    """An event in a line, and whole."""
    source = hit["_source"]
    own = {name: value for name, value in source.items() if not name.startswith(ADDED)}
    own = dict(sorted(own.items(), key=lambda member: bool(LATER.match(member[0]))))
    kind = next((str(own[name]) for name in ("eventType", "type", "event", "name") if own.get(name)), "")
    return {
        "id": hit["_id"], "index": hit["_index"], "service": source.get("service_name", ""), "kind": kind,
        "at": source.get("@timestamp"), "arrived": source.get("kafka_timestamp"), "tags": _list(source.get("tags")),
        "line": _short(", ".join(f"{name} {_plain(value)}" for name, value in own.items() if str(value) != kind), 240),
        "source": _short(json.dumps(source, indent=2, ensure_ascii=False), 20_000),
    }  # fmt: skip


def dead_letter(hit: dict) -> dict:
    """A dead letter: where it came from, why it is one, and its payload."""
    source = hit["_source"]
    error = source.get("error") or {}
    return {
        "id": hit["_id"], "service": source.get("service_name", ""), "at": source.get("@timestamp"),
        "type": str(error.get("type", "")), "reason": _short(str(error.get("reason", "")), 600),
        "source": _short(str(source.get("payload", source.get("payload_base64", ""))), 4000),
    }  # fmt: skip


def conflict(hit: dict) -> dict:
    """An event that was written in another form: the field, the reason, and what moved."""
    source = hit["_source"]
    field = source.get("conflict_field") or "(whole payload)"
    return {
        "id": hit["_id"], "service": source.get("service_name", ""), "at": source.get("@timestamp"),
        "type": ", ".join(map(str, _list(field))), "reason": _short(" ".join(map(str, _list(source.get("conflict_reason")))), 600),
        "source": _short(json.dumps(source.get("conflict", source.get("message")), indent=2, ensure_ascii=False), 4000),
    }  # fmt: skip


def _list(value: object) -> list:
    return value if isinstance(value, list) else [] if value is None else [value]


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
