"""A function's log events as batches: the lines of one invocation together, with its result and duration. Pure."""

import json
from datetime import UTC, datetime

SHOWN_LINES = 20
SHOWN_CHARACTERS = 800


def batches(streams: list[list[dict]], limit: int) -> list[dict]:
    """The newest invocations in the functions' log streams, newest first.

    A stream has the log events (`timestamp`, `message`) of one process in their order. A process serves one invocation after
    another, so a line that names no request belongs to the one that began last.
    """
    found: dict[str, dict] = {}
    for events in streams:
        request = None
        for event in events:
            line = _parse(event["message"])
            request = _request(line) or request
            if request is None:
                continue  # of the start of the process, or of an invocation whose beginning was not read
            begun = {
                "request": request, "at": _time(line, event), "result": "runs", "ms": None, "records": None, "message": "",
                "lines": [],
            }  # fmt: skip
            _take(found.setdefault(request, begun), line, event["message"])
    return sorted(found.values(), key=lambda batch: batch["at"], reverse=True)[:limit]


def _time(line: dict, event: dict) -> str:
    """As RFC 3339: when the line was written, which can be before it was stored."""
    written = line.get("time") or line.get("timestamp")
    return written if isinstance(written, str) else datetime.fromtimestamp(event["timestamp"] / 1000, UTC).isoformat()


def _parse(message: str) -> dict:
    try:
        line = json.loads(message)
    except ValueError:
        return {}
    return line if isinstance(line, dict) else {}


def _request(line: dict) -> str | None:
    record = line.get("record")
    if isinstance(record, dict) and record.get("requestId"):
        return str(record["requestId"])
    for name in ("requestId", "request_id", "AWSRequestId"):
        if line.get(name):
            return str(line[name])
    for span in (line.get("span"), *(line.get("spans") or [])):
        if isinstance(span, dict) and span.get("requestId"):
            return str(span["requestId"])
    return None


def _take(batch: dict, line: dict, message: str) -> None:
    kind, record = line.get("type"), line.get("record")
    if kind == "platform.report" and isinstance(record, dict):
        batch["ms"] = (record.get("metrics") or {}).get("durationMs")
        # A function can report an error that its invocation does not.
        if batch["result"] != "error" or record.get("status") != "success":
            batch["result"] = record.get("status") or "success"
        if record.get("errorType"):
            batch["message"] = str(record["errorType"])
    elif str(line.get("level", "")).upper() in ("ERROR", "FATAL") and "_aws" not in line:
        batch["result"] = "error"
        batch["message"] = text(line)
    elif str(line.get("level", "")).upper() == "INFO" and batch["result"] != "error":
        batch["message"] = text(line)  # the last of them says what became of the batch
    if kind != "platform.start" and len(batch["lines"]) < SHOWN_LINES:
        metrics = {name: value for name, value in line.items() if name != "_aws"}  # without what describes them
        batch["lines"].append((json.dumps(metrics) if "_aws" in line else message.strip())[:SHOWN_CHARACTERS])


def text(line: dict) -> str:
    """A log line of the functions for people: its message, and its fields that are not empty or 0."""
    hidden = {
        "timestamp",
        "level",
        "message",
        "target",
        "requestId",
        "span",
        "spans",
        "fields",
        "filename",
        "line_number",
    }
    fields = {**(line.get("fields") or {}), **{name: value for name, value in line.items() if name not in hidden}}
    message = fields.pop("message", line.get("message", ""))
    shown = ", ".join(
        f"{name} {value}"
        for name, value in fields.items()
        if value not in ("", 0) and not isinstance(value, dict | list)
    )
    return f"{message}: {shown}" if shown else str(message)
