"""What the panels of dashboards show on a cluster. `send(method, path, body)` sends a request and returns the JSON of its response."""

from collections.abc import Callable
from datetime import datetime

from panels import Panel, panels, time_range
from rows import Table, table

Send = Callable[..., dict]


def shown(send: Send, objects: list[dict], dashboard: dict, now: datetime) -> list[tuple[Panel, Table | None]]:
    """The panels of a dashboard that is opened at `now`, and their content. A text has none."""
    found = []
    for panel in panels(objects, dashboard):
        content = None
        if panel.index is not None:
            fields = send("GET", f"/{panel.index}/_field_caps?fields=*", None)
            if fields["indices"]:
                body = panel.search(fields, time_range(dashboard, now))
                content = table(panel, send("POST", f"/{panel.index}/_search", body))
            else:
                content = Table([], [], 0)  # no day has had a dead letter yet
        found.append((panel, content))
    return found
