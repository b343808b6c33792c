"""Writes how the stack is doing into Elasticsearch, for the alerting rules of Kibana: lag, failures, dead letters and disks.

An earlier container writes what `kafka-consumer-groups.sh --describe --all-groups` prints to GROUPS_FILE. Each run adds
documents to the index of the day, `stack-report-YYYY.MM.DD`, one for each partition of a group, service and node.
"""

import json
import os
import ssl
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

FAILURES = {
    "bool": {
        "minimum_should_match": 1,
        # The same events as in infra/search/monitors/elasticsearch/error-ratio.json.
        "should": [
            {
                "regexp": {
                    "eventType": {
                        "value": ".*([Ff]ail|FAIL|[Ee]rror|ERROR|[Rr]eject|REJECT|[Dd]eclin|DECLIN|[Bb]ounce|BOUNCE).*"
                    }
                }
            },
            {"terms": {"tags": ["_jsonparsefailure", "_timestampoutofrange"]}},
        ],
    }
}
ERRORS = {
    "size": 0,
    "query": {"range": {"@timestamp": {"gte": "now-15m", "lte": "now"}}},
    "aggs": {"services": {"terms": {"field": "service_name", "size": 1000}, "aggs": {"failures": {"filter": FAILURES}}}},
}

LAST_DEAD_LETTERS = {
    "size": 1,
    "sort": [{"@timestamp": {"order": "desc", "unmapped_type": "date"}}],
    "query": {"term": {"kind": "dead_letters"}},
}


def main() -> None:
    """Collects and writes. A source that does not respond fails the run, whose absence is an alert."""
    environment = os.environ
    url, ca_file = environment["ELASTICSEARCH_URL"].rstrip("/"), environment.get("CA_FILE")
    context = ssl.create_default_context(cafile=ca_file) if url.startswith("https:") else None

    def call(method: str, path: str, body: str | None = None) -> object:
        kind = "application/x-ndjson" if path.endswith("_bulk") else "application/json"
        headers = {"Authorization": f"ApiKey {environment['API_KEY']}", "Content-Type": kind}
        request = urllib.request.Request(url + path, method=method, data=body and body.encode(), headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60, context=context) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from error

    documents = [
        *lags(Path(environment["GROUPS_FILE"]).read_text()),
        *errors(call("POST", "/microservices-*/_search?ignore_unavailable=true", json.dumps(ERRORS))),
        dead_letters(
            call("POST", "/dead-letters-*/_count?ignore_unavailable=true", "{}"),
            call("POST", "/stack-report-*/_search?ignore_unavailable=true", json.dumps(LAST_DEAD_LETTERS)),
        ),
        *disks(call("GET", "/_cat/allocation?format=json&bytes=b")),
    ]
    now = datetime.now(UTC)
    lines = []
    for document in documents:
        lines += [{"create": {}}, {"@timestamp": now.isoformat(timespec="milliseconds"), **document}]
    body = "".join(json.dumps(line) + "\n" for line in lines)
    result = call("POST", f"/stack-report-{now:%Y.%m.%d}/_bulk", body)
    if result["errors"]:
        raise SystemExit(f"Elasticsearch rejected a part of the report: {json.dumps(result['items'])[:2000]}")
    print(f"wrote {len(documents)} documents", flush=True)


def lags(text: str) -> list[dict]:
    """The lag of each partition. A partition without a committed offset has none."""
    found = []
    for line in text.splitlines():
        columns = line.split()
        if len(columns) < 6 or not columns[2].isdigit() or not columns[5].isdigit():
            continue
        group, topic, partition, _, _, lag = columns[:6]
        found.append({"kind": "lag", "group": group, "topic": topic, "partition": int(partition), "lag": int(lag)})
    return found


def errors(response: dict) -> list[dict]:
    """The events of the last 15 minutes and how many of them are failures, by service."""
    buckets = response.get("aggregations", {}).get("services", {}).get("buckets", [])
    return [
        {"kind": "errors", "service_name": each["key"], "events": each["doc_count"], "failures": each["failures"]["doc_count"]}
        for each in buckets
    ]


def dead_letters(count: dict, last: dict) -> dict:
    """How many dead letters there are, and how many more than in the last report. Their times are those of their events."""
    total = count["count"]
    hits = last["hits"]["hits"]
    before = hits[0]["_source"]["total"] if hits else total
    return {"kind": "dead_letters", "total": total, "new": max(0, total - before)}


def disks(rows: list[dict]) -> list[dict]:
    """How full the disk of each node is. The row of unassigned shards has no disk."""
    return [
        {"kind": "disk", "node": row["node"], "used_percent": int(row["disk.percent"])}
        for row in rows
        if row.get("disk.percent")
    ]


if __name__ == "__main__":
    main()
