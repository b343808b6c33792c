"""Draws the dashboards with what their panels show on a cluster: `make dashboards-preview`.

The pictures are previews from the saved objects, not screenshots. With --sample, a day of sample events is written first, and the
dashboards are opened at the end of that day.
"""

import argparse
import json
import os
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

from drawing import draw
from panels import time_range
from sample_events import NOW, a_day
from sample_index import write
from shown import shown

HERE = Path(__file__).parent


def main() -> None:
    """Writes a picture of each dashboard."""
    arguments = _arguments()
    endpoint = arguments.endpoint.rstrip("/")

    def send(method: str, path: str, body: dict | str | None) -> dict:
        data = None if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(endpoint + path, method=method, data=data, headers=headers)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as response:
            return json.load(response)

    values = {
        "INDEX_PREFIX": arguments.prefix,
        "EVENT_INDICES": f"{arguments.prefix}-*",
        "DEAD_LETTER_PREFIX": f"dead-letters-{arguments.prefix}",
    }
    now = datetime.now(UTC)
    if arguments.sample:
        write(send, values, a_day(NOW))
        now = NOW
    objects = saved_objects(values)
    dashboards = [item for item in objects if item["type"] == "dashboard"]
    for dashboard in dashboards:
        name = "dashboard" if len(dashboards) == 1 else dashboard["id"].removeprefix(f"{arguments.prefix}-")
        file = arguments.folder / f"{name}.svg"
        content = shown(send, objects, dashboard, now)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(draw(dashboard["attributes"]["title"], content, time_range(dashboard, now)))
        print(f"drew {dashboard['attributes']['title']} into {file}")


def saved_objects(values: dict[str, str]) -> list[dict]:
    """The saved objects of OpenSearch Dashboards. Kibana's differ only in their form."""
    text = (HERE / "opensearch.ndjson").read_text()
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    return [json.loads(line) for line in text.splitlines()]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="preview.py", description=__doc__.splitlines()[0])
    endpoint = os.environ.get("SEARCH_ENDPOINT")
    parser.add_argument("--endpoint", default=endpoint, required=not endpoint, help="of the cluster (default: SEARCH_ENDPOINT)")
    parser.add_argument("--prefix", default="microservices", help="INDEX_PREFIX (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=HERE.parents[2] / "docs" / "images", help="of the pictures")
    parser.add_argument("--sample", action="store_true", help="write a day of sample events first; the cluster must be empty")
    return parser.parse_args()


if __name__ == "__main__":
    main()
