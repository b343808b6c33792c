"""Generates the saved objects in opensearch.ndjson and kibana.ndjson from one description: `python render.py`.

The two products forked at 7.10 and still read that format. `Dialect` lists the few differences.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from charts import bars, figures, filters, markdown, metric, pie, sorted_by, table, terms

HERE = Path(__file__).parent
EVENTS = "${INDEX_PREFIX}-events"
DEAD_LETTERS = "${INDEX_PREFIX}-dead-letters"
STORY = "${INDEX_PREFIX}-order-story"
FAILURES = "${INDEX_PREFIX}-failures"
REFUSED = "${INDEX_PREFIX}-dead-letters-list"
CONFLICTS = "${INDEX_PREFIX}-conflicts"
# Same as in the error-ratio monitors.
IS_FAILURE = (
    "eventType:/.*([Ff]ail|FAIL|[Ee]rror|ERROR|[Rr]eject|REJECT|[Dd]eclin|DECLIN|[Bb]ounce|BOUNCE).*/"
    " OR tags:(_jsonparsefailure OR _timestampoutofrange)"
)
EVERYTHING = {"query": "", "language": "kuery"}
IS_CONFLICT = "tags:_mappingconflict"
IS_UNREADABLE = "tags:(_jsonparsefailure or _schemafailure)"
HAS_WRONG_TIME = "tags:(_timestampoutofrange or _timestampunparsed or _timestampmissing)"
SEARCH_SOURCE = "kibanaSavedObjectMeta.searchSourceJSON.index"


@dataclass(frozen=True)
class Dialect:
    """The differences between the two products."""

    file: str
    normalized_interval: str
    # For Kibana: old enough for every release from 8.0 on, and so that 8.8 and later read `migrationVersion`; new enough not to be
    # given other ids, as objects from before 8.0 are when they are imported into a space.
    version: dict
    data_view_names: bool


DIALECTS = [
    Dialect("opensearch.ndjson", "useNormalizedOpenSearchInterval", {}, data_view_names=False),
    Dialect("kibana.ndjson", "useNormalizedEsInterval", {"coreMigrationVersion": "8.0.0"}, data_view_names=True),
]
VERSIONS = {"index-pattern": "7.6.0", "search": "7.9.3", "visualization": "7.10.0", "dashboard": "7.9.3"}


def text(value: object) -> str:
    """JSON as a string, as saved objects embed it."""
    return json.dumps(value, separators=(",", ":"))


class Objects:
    """The saved objects of a product. Each comes after the objects that it references."""

    def __init__(self, dialect: Dialect):
        self.dialect = dialect
        self.lines: list[dict] = []

    def add(self, kind: str, name: str, attributes: dict, references: list[dict]) -> None:
        self.lines.append(
            {
                "id": name,
                "type": kind,
                "attributes": attributes,
                "references": references,
                "migrationVersion": {kind: VERSIONS[kind]},
                **self.dialect.version,
            }
        )

    def data_view(self, name: str, title: str, label: str) -> None:
        label = {"name": label} if self.dialect.data_view_names else {}
        self.add("index-pattern", name, {"title": title, "timeFieldName": "@timestamp", **label}, [])

    def search(
        self, name: str, view: str, title: str, description: str, columns: list[str], order: str, query: dict
    ) -> None:
        source = {"query": query, "filter": [], "highlightAll": True, "version": True, "indexRefName": SEARCH_SOURCE}
        attributes = {
            "title": f"${{INDEX_PREFIX}}: {title}",
            "description": description,
            "hits": 0,
            "columns": columns,
            "sort": [["@timestamp", order]],
            "version": 1,
            "kibanaSavedObjectMeta": {"searchSourceJSON": text(source)},
        }
        self.add("search", name, attributes, [{"id": view, "name": SEARCH_SOURCE, "type": "index-pattern"}])

    def visualization(
        self,
        name: str,
        title: str,
        state: dict,
        view: str | None = None,
        search: str | None = None,
        sort: tuple[int, str] | None = None,
    ) -> str:
        """Adds a visualization of a data view, of a saved search, or of neither. Returns its id.

        `sort` is the number of the column that a table is sorted by, and the order.
        """
        title = f"${{INDEX_PREFIX}}: {title}"
        source: dict = {"query": EVERYTHING, "filter": []}
        references = []
        attributes = {
            "title": title,
            "description": "",
            "version": 1,
            "visState": text({"title": title, **state}),
            "uiStateJSON": text(sorted_by(*sort) if sort else {}),
        }
        if view:
            source["indexRefName"] = SEARCH_SOURCE
            references.append({"id": view, "name": SEARCH_SOURCE, "type": "index-pattern"})
        if search:
            attributes["savedSearchRefName"] = "search_0"
            references.append({"id": search, "name": "search_0", "type": "search"})
        attributes["kibanaSavedObjectMeta"] = {"searchSourceJSON": text(source)}
        name = f"${{INDEX_PREFIX}}-{name}"
        self.add("visualization", name, attributes, references)
        return name

    def dashboard(
        self, name: str, title: str, description: str, rows: list[tuple[int, list[tuple[int, str, str, str]]]]
    ) -> None:
        """Adds a dashboard with rows of panels: (height, [(width, type, id, title)]). A row is 48 units wide."""
        panels, references, top = [], [], 0
        for height, row in rows:
            left = 0
            for width, kind, target, label in row:
                index = str(len(panels) + 1)
                panels.append(
                    {
                        "version": "7.9.3",
                        "gridData": {"x": left, "y": top, "w": width, "h": height, "i": index},
                        "panelIndex": index,
                        "embeddableConfig": {},
                        "title": label,
                        "panelRefName": f"panel_{len(references)}",
                    }
                )
                references.append({"id": target, "name": f"panel_{len(references)}", "type": kind})
                left += width
            top += height
        attributes = {
            "title": title,
            "description": description,
            "hits": 0,
            "version": 1,
            "panelsJSON": text(panels),
            "optionsJSON": text({"useMargins": True, "hidePanelTitles": False}),
            "timeRestore": True,
            "timeFrom": "now-24h",
            "timeTo": "now",
            "refreshInterval": {"pause": False, "value": 60000},
            "kibanaSavedObjectMeta": {"searchSourceJSON": text({"query": EVERYTHING, "filter": []})},
        }
        self.add("dashboard", name, attributes, references)

    # Aggregations of a visualization

    def over_time(self, number: str, field: str, interval: str, label: str) -> dict:
        params = {
            "field": field,
            self.dialect.normalized_interval: True,
            "scaleMetricValues": False,
            "interval": interval,
            "drop_partials": False,
            "min_doc_count": 1,
            "extended_bounds": {},
            "customLabel": label,
        }
        return {"id": number, "enabled": True, "type": "date_histogram", "schema": "segment", "params": params}


HELP = """**Follow one order:** click a correlation id in *Stories* below, or add the filter `correlation_id: <value>` (or \
`orderId`, `trace.id`). *The story, event by event* then shows all its events, from all services, in order.

**Late:** an event has the time at which it was published to Kafka, not the time at which it was indexed. The most \
delayed partition is the first row of *What is late*; on its left, a delay shows as a line that ends early. The functions \
report the age at indexing as a metric."""


def describe(objects: Objects) -> None:
    """Adds all saved objects."""
    objects.data_view(EVENTS, "${EVENT_INDICES}", "${INDEX_PREFIX} events")
    objects.data_view(DEAD_LETTERS, "${DEAD_LETTER_PREFIX}-*", "${INDEX_PREFIX} dead letters")

    story = ["service_name", "eventType", "correlation_id", "orderId", "customerId", "status", "trace.id"]
    objects.search(
        STORY,
        EVENTS,
        "an order's story",
        "All events of one correlation id in order: search for correlation_id:<value>, orderId:<value> or trace.id:<value>",
        story,
        "asc",
        {"query": "correlation_id:*", "language": "kuery"},
    )
    objects.search(
        FAILURES,
        EVENTS,
        "failures",
        "Events with a failure type, and records that could not be parsed correctly",
        ["service_name", "eventType", "reason", "tags", "orderId", "correlation_id"],
        "desc",
        {"query": IS_FAILURE, "language": "lucene"},
    )
    objects.search(
        REFUSED,
        DEAD_LETTERS,
        "dead letters",
        "Records whose document was rejected, with the reason; the field payload has the record",
        [
            "service_name",
            "error.type",
            "error.reason",
            "kafka_topic",
            "kafka_partition",
            "kafka_offset",
        ],
        "desc",
        EVERYTHING,
    )

    objects.search(
        CONFLICTS,
        EVENTS,
        "conflicts",
        "Events with a field that the mapping rejected; the field moved to conflict, and every word of it stays searchable",
        ["service_name", "conflict_field", "conflict_text", "conflict_reason", "orderId"],
        "desc",
        {"query": IS_CONFLICT, "language": "kuery"},
    )

    count = metric("1", "count", label="Events")
    by_time = objects.over_time("2", "@timestamp", "auto", "Time")
    by_service = terms("3", "group", "service_name", "Service", 20)

    guide = objects.visualization("guide", "how to read this", markdown(HELP))
    totals = objects.visualization(
        "totals",
        "totals",
        figures(
            [
                count,
                metric("2", "cardinality", "service_name", "Services"),
                metric("3", "cardinality", "correlation_id", "Stories"),
                metric("4", "max", "kafka_timestamp", "Newest record"),
            ]
        ),
        view=EVENTS,
    )
    attention = objects.visualization(
        "attention",
        "events that need attention",
        figures(
            [
                metric("1", "count", label="events"),
                filters(
                    "2",
                    "group",
                    [
                        ("Failures", {"query": IS_FAILURE, "language": "lucene"}),
                        ("Conflicts", {"query": IS_CONFLICT, "language": "kuery"}),
                        ("Not readable", {"query": IS_UNREADABLE, "language": "kuery"}),
                        ("Wrong time", {"query": HAS_WRONG_TIME, "language": "kuery"}),
                    ],
                ),
            ]
        ),
        view=EVENTS,
    )
    n_refused = objects.visualization(
        "dead-letters-total",
        "number of dead letters",
        figures([metric("1", "count", label="Dead letters")]),
        view=DEAD_LETTERS,
    )
    events = objects.visualization(
        "events-by-service", "events by service", bars([count, by_time, by_service], "Events"), view=EVENTS
    )
    types = objects.visualization(
        "event-types", "event types", pie([count, terms("2", "segment", "eventType", "Event type", 20)]), view=EVENTS
    )
    failures = objects.visualization(
        "failures-by-service", "failures by service", bars([count, by_time, by_service], "Failures"), search=FAILURES
    )
    kinds = objects.visualization(
        "failures-by-type",
        "failures by service and type",
        table(
            [
                metric("1", "count", label="Failures"),
                terms("2", "bucket", "service_name", "Service", 10),
                terms("3", "bucket", "eventType", "Event type", 10, missing="no type"),
                metric("4", "max", "@timestamp", "Last"),
            ]
        ),
        search=FAILURES,
    )
    published = objects.visualization(
        "records-by-publication",
        "records by the time they were published",
        bars(
            [
                count,
                objects.over_time("2", "kafka_timestamp", "10m", "Published"),
                terms("3", "group", "kafka_topic", "Topic", 20),
            ],
            "Records",
            kind="line",
        ),
        view=EVENTS,
    )
    newest = objects.visualization(
        "newest-records",
        "newest indexed record of each partition, the oldest first",
        table(
            [
                metric("1", "max", "kafka_timestamp", "Newest record"),
                terms("2", "bucket", "kafka_topic", "Topic", 20, order="asc"),
                terms("3", "bucket", "kafka_partition", "Partition", 50, order="asc"),
                metric("4", "max", "kafka_offset", "Offset"),
                metric("5", "count", label="Records"),
            ]
        ),
        view=EVENTS,
        sort=(2, "asc"),
    )
    refused = objects.visualization(
        "dead-letters-by-error",
        "dead letters by error",
        bars(
            [metric("1", "count", label="Dead letters"), by_time, terms("3", "group", "error.type", "Error", 20)],
            "Dead letters",
        ),
        view=DEAD_LETTERS,
    )
    conflicting = objects.visualization(
        "conflicts-by-field",
        "conflicts by field",
        table(
            [
                metric("1", "count", label="Conflicts"),
                terms("2", "bucket", "conflict_field", "Field", 20),
                terms("3", "bucket", "service_name", "Service", 10),
                metric("4", "max", "@timestamp", "Last"),
            ]
        ),
        search=CONFLICTS,
    )
    stories = objects.visualization(
        "largest-stories",
        "largest stories",
        table(
            [
                count,
                terms("2", "bucket", "correlation_id", "Correlation id", 50),
                metric("3", "cardinality", "service_name", "Services"),
                metric("4", "min", "@timestamp", "First"),
                metric("5", "max", "@timestamp", "Last"),
            ]
        ),
        view=EVENTS,
    )

    chart, listing = "visualization", "search"
    objects.dashboard(
        "${INDEX_PREFIX}-overview",
        "${INDEX_PREFIX}: overview",
        "How many events, which service fails, what is late, dead letters and conflicts, and one order across services",
        [
            (
                7,
                [
                    (20, chart, totals, "How many events"),
                    (22, chart, attention, "Events that need attention"),
                    (6, chart, n_refused, "Rejected"),
                ],
            ),
            (14, [(32, chart, events, "How many events, by service"), (16, chart, types, "Event types")]),
            (
                12,
                [
                    (24, chart, failures, "Which service fails"),
                    (24, chart, kinds, "Which service fails, by event type"),
                ],
            ),
            (
                12,
                [
                    (24, chart, published, "Records by the time they were published"),
                    (24, chart, newest, "What is late: newest record of each partition, the oldest first"),
                ],
            ),
            (
                12,
                [
                    (16, chart, refused, "Dead letters by error"),
                    (32, listing, REFUSED, "Dead letters: record and reason"),
                ],
            ),
            (
                10,
                [
                    (16, chart, conflicting, "Conflicts by field"),
                    (32, listing, CONFLICTS, "Conflicts: event and reason"),
                ],
            ),
            (6, [(48, chart, guide, "How to read this")]),
            (
                18,
                [
                    (16, chart, stories, "Stories: all events of one correlation id"),
                    (32, listing, STORY, "The story, event by event"),
                ],
            ),
        ],
    )


def render(dialect: Dialect) -> str:
    """The text of the file for a product."""
    objects = Objects(dialect)
    describe(objects)
    return "".join(json.dumps(line, separators=(",", ":"), sort_keys=True) + "\n" for line in objects.lines)


if __name__ == "__main__":
    for each in DIALECTS:
        (HERE / each.file).write_text(render(each))
