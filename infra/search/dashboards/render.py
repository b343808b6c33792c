"""Generates the saved objects in opensearch.ndjson and kibana.ndjson from one description: `python render.py`.

The two products forked at 7.10 and still read that format. `Dialect` lists the few differences.
"""

import json
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
EVENTS = "${INDEX_PREFIX}-events"
DEAD_LETTERS = "${INDEX_PREFIX}-dead-letters"
STORY = "${INDEX_PREFIX}-order-story"
FAILURES = "${INDEX_PREFIX}-failures"
REFUSED = "${INDEX_PREFIX}-dead-letters-list"
# Same as in the error-ratio monitors.
IS_FAILURE = (
    "eventType:/.*([Ff]ail|FAIL|[Ee]rror|ERROR|[Rr]eject|REJECT|[Dd]eclin|DECLIN|[Bb]ounce|BOUNCE).*/"
    " OR tags:(_jsonparsefailure OR _timestampoutofrange)"
)
EVERYTHING = {"query": "", "language": "kuery"}
SEARCH_SOURCE = "kibanaSavedObjectMeta.searchSourceJSON.index"


@dataclass(frozen=True)
class Dialect:
    """The differences between the two products."""

    file: str
    normalized_interval: str
    # The newest version that every supported release of the product reads. Its migrations do the rest.
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
        self, name: str, title: str, state: dict, view: str | None = None, search: str | None = None
    ) -> str:
        """Adds a visualization of a data view, of a saved search, or of neither. Returns its id."""
        title = f"${{INDEX_PREFIX}}: {title}"
        source: dict = {"query": EVERYTHING, "filter": []}
        references = []
        attributes = {
            "title": title,
            "description": "",
            "version": 1,
            "visState": text({"title": title, **state}),
            "uiStateJSON": "{}",
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
        self, name: str, title: str, description: str, rows: list[tuple[int, list[tuple[int, str, str]]]]
    ) -> None:
        """Adds a dashboard with rows of panels: (height, [(width, type, id)]). A row is 48 units wide."""
        panels, references, top = [], [], 0
        for height, row in rows:
            left = 0
            for width, kind, target in row:
                index = str(len(panels) + 1)
                panels.append(
                    {
                        "version": "7.9.3",
                        "gridData": {"x": left, "y": top, "w": width, "h": height, "i": index},
                        "panelIndex": index,
                        "embeddableConfig": {},
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


def metric(number: str, kind: str, field: str | None = None, label: str | None = None) -> dict:
    params = ({"field": field} if field else {}) | ({"customLabel": label} if label else {})
    return {"id": number, "enabled": True, "type": kind, "schema": "metric", "params": params}


def terms(number: str, schema: str, field: str, label: str, size: int, by: str = "1", order: str = "desc") -> dict:
    params = {
        "field": field,
        "orderBy": by,
        "order": order,
        "size": size,
        "otherBucket": False,
        "otherBucketLabel": "Other",
        "missingBucket": False,
        "missingBucketLabel": "Missing",
        "customLabel": label,
    }
    return {"id": number, "enabled": True, "type": "terms", "schema": schema, "params": params}


def bars(aggs: list[dict], label: str, kind: str = "histogram") -> dict:
    """Stacked bars over time, or lines."""
    series = {
        "show": True,
        "type": kind,
        "mode": "stacked" if kind == "histogram" else "normal",
        "data": {"label": label, "id": "1"},
        "valueAxis": "ValueAxis-1",
        "drawLinesBetweenPoints": True,
        "lineWidth": 2,
        "interpolate": "linear",
        "showCircles": True,
    }
    labels = {"show": True, "filter": True, "truncate": 100}
    params = {
        "type": kind,
        "grid": {"categoryLines": False},
        "categoryAxes": [
            {
                "id": "CategoryAxis-1",
                "type": "category",
                "position": "bottom",
                "show": True,
                "style": {},
                "scale": {"type": "linear"},
                "labels": labels,
                "title": {},
            }
        ],
        "valueAxes": [
            {
                "id": "ValueAxis-1",
                "name": "LeftAxis-1",
                "type": "value",
                "position": "left",
                "show": True,
                "style": {},
                "scale": {"type": "linear", "mode": "normal"},
                "labels": {"show": True, "rotate": 0, "filter": False, "truncate": 100},
                "title": {"text": label},
            }
        ],
        "seriesParams": [series],
        "addTooltip": True,
        "addLegend": True,
        "legendPosition": "right",
        "times": [],
        "addTimeMarker": False,
        "labels": {},
        "thresholdLine": {"show": False, "value": 10, "width": 1, "style": "full", "color": "#E7664C"},
    }
    return {"type": kind, "params": params, "aggs": aggs}


def table(aggs: list[dict]) -> dict:
    params = {
        "perPage": 10,
        "showPartialRows": False,
        "showMetricsAtAllLevels": False,
        "sort": {"columnIndex": None, "direction": None},
        "showTotal": False,
        "totalFunc": "sum",
        "percentageCol": "",
    }
    return {"type": "table", "params": params, "aggs": aggs}


def pie(aggs: list[dict]) -> dict:
    params = {
        "type": "pie",
        "addTooltip": True,
        "addLegend": True,
        "legendPosition": "right",
        "isDonut": True,
        "labels": {"show": False, "values": True, "last_level": True, "truncate": 100},
    }
    return {"type": "pie", "params": params, "aggs": aggs}


def figures(aggs: list[dict]) -> dict:
    look = {
        "percentageMode": False,
        "useRanges": False,
        "colorSchema": "Green to Red",
        "metricColorMode": "None",
        "colorsRange": [{"from": 0, "to": 10000}],
        "labels": {"show": True},
        "invertColors": False,
        "style": {"bgFill": "#000", "bgColor": False, "labelColor": False, "subText": "", "fontSize": 36},
    }
    return {
        "type": "metric",
        "params": {"addTooltip": True, "addLegend": False, "type": "metric", "metric": look},
        "aggs": aggs,
    }


def markdown(source: str) -> dict:
    return {"type": "markdown", "params": {"fontSize": 12, "openLinksInNewTab": False, "markdown": source}, "aggs": []}


HELP = """**All events of an order:** add the filter `correlation_id: <value>` (or `orderId`, `trace.id`), or click \
a value in *Largest stories*. *Story* below then shows all its events from all services in order.

**Ingestion delay:** an event has the time at which it was published to Kafka, not the time at which it was indexed. \
*Newest indexed records* shows the progress of each partition. In *Records by the time they were published*, a delay \
shows as a drop at the right edge. The functions report the age at indexing as a metric."""


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
            "target_index",
            "kafka_topic",
            "kafka_partition",
            "kafka_offset",
        ],
        "desc",
        EVERYTHING,
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
        "failures by type and reason",
        table(
            [
                metric("1", "count", label="Failures"),
                terms("2", "bucket", "service_name", "Service", 10),
                terms("3", "bucket", "eventType", "Event type", 10),
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
        "newest indexed records",
        table(
            [
                metric("1", "max", "kafka_timestamp", "Newest record"),
                terms("2", "bucket", "kafka_topic", "Topic", 20),
                terms("3", "bucket", "kafka_partition", "Partition", 50, order="asc"),
                metric("4", "max", "kafka_offset", "Offset"),
                metric("5", "count", label="Records"),
            ]
        ),
        view=EVENTS,
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

    objects.dashboard(
        "${INDEX_PREFIX}-overview",
        "${INDEX_PREFIX}: overview",
        "Events by service and type, failures, ingestion delay, dead letters, and stories by correlation id",
        [
            (7, [(24, "visualization", totals), (24, "visualization", guide)]),
            (15, [(32, "visualization", events), (16, "visualization", types)]),
            (13, [(24, "visualization", failures), (24, "visualization", kinds)]),
            (13, [(24, "visualization", published), (24, "visualization", newest)]),
            (13, [(24, "visualization", refused), (24, "search", REFUSED)]),
            (18, [(16, "visualization", stories), (32, "search", STORY)]),
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
