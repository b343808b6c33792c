"""The panels of a dashboard, and the search that OpenSearch Dashboards or Kibana sends for each of them.

This follows how both build a search from saved objects: `AggConfigs.toDsl`, `buildOpenSearchQuery` (Kibana: `buildEsQuery`) and
the intervals of `TimeBuckets`, in src/plugins/data of either product. What a saved object uses and this does not know is an error.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import kql
from fields import aggregatable, known, searchable

# Default of the advanced setting `histogram:barTarget`.
BARS = 50
# Default of the advanced setting `discover:sampleSize`.
SAMPLE = 500
# The intervals of `auto`, each up to an ideal length of a bar: `roundingRules` in calc_auto_interval.ts.
INTERVALS = (
    ("500ms", "100ms"), ("5s", "1s"), ("7.5s", "5s"), ("15s", "10s"), ("45s", "30s"), ("3m", "1m"), ("9m", "5m"),
    ("20m", "10m"), ("45m", "30m"), ("2h", "1h"), ("6h", "3h"), ("24h", "12h"), ("7d", "1d"), ("21d", "7d"), ("365d", "30d"),
)  # fmt: skip
UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
METRICS = ("count", "cardinality", "max", "min")
# The key of the bucket of documents without the field.
MISSING = "__missing__"
# Charts whose metrics are in every level of buckets: `hierarchicalData` of the type.
HIERARCHICAL = ("pie",)


class PanelError(ValueError):
    """What this does not translate, or the products don't show."""


@dataclass(frozen=True)
class TimeRange:
    """The time range of the dashboard."""

    start: datetime
    end: datetime

    @property
    def length_ms(self) -> float:
        """How long it is."""
        return (self.end - self.start) / timedelta(milliseconds=1)


@dataclass(frozen=True)
class Panel:
    """A chart, a list of documents or a text on a dashboard."""

    id: str
    title: str
    kind: str
    place: dict
    index: str | None
    queries: list[dict] = field(default_factory=list)
    aggs: list[dict] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    sort: list[list[str]] = field(default_factory=list)
    sorted_by: tuple[int, str] | None = None
    text: str = ""

    @property
    def metrics(self) -> list[dict]:
        """The aggregations that are numbers."""
        return [agg for agg in self.aggs if agg["type"] in METRICS]

    @property
    def buckets(self) -> list[dict]:
        """The aggregations that are buckets, the outer first."""
        return [agg for agg in self.aggs if agg["type"] not in METRICS]

    def interval(self, span: TimeRange) -> str:
        """The length of the bars of a chart over time."""
        (chosen,) = (agg["params"]["interval"] for agg in self.aggs if agg["type"] == "date_histogram")
        return auto_interval(span) if chosen == "auto" else chosen

    def search(self, fields: dict, time_range: TimeRange) -> dict | None:
        """The body of the search for the panel; None for a text.

        `fields` is the response of `_field_caps`, from which the products learn which fields exist.
        """
        if self.index is None:
            return None
        fields = fields["fields"]
        query = _query([*self.queries], fields, [_range("@timestamp", time_range, fields)])
        dates = sorted(name for name, kinds in fields.items() if {"date", "date_nanos"} & kinds.keys())
        body = {"query": query, "docvalue_fields": [{"field": name, "format": "date_time"} for name in dates],
                "stored_fields": ["*"], "_source": {"excludes": []}}
        if self.kind == "search":
            for column in self.columns:
                known(column, fields)
            sort = [{name: {"order": order, "unmapped_type": "boolean"}} for name, order in self.sort]
            for name, _ in self.sort:
                aggregatable(name, fields)
            return {**body, "size": SAMPLE, "sort": sort, "track_total_hits": True}
        return {**body, "size": 0, "track_total_hits": True, **_aggregations(self, fields, time_range)}


def panels(objects: list[dict], dashboard: dict) -> list[Panel]:
    """The panels of a dashboard in their order."""
    by_id = {(item["type"], item["id"]): item for item in objects}
    targets = {
        reference["name"]: by_id[reference["type"], reference["id"]] for reference in dashboard["references"]
    }
    on_all = _search_source(dashboard)
    found = []
    for each in json.loads(dashboard["attributes"]["panelsJSON"]):
        item = targets[each["panelRefName"]]
        title = each.get("title") or item["attributes"]["title"]
        found.append(_panel(item, by_id, title, each["gridData"], on_all))
    return found


def time_range(dashboard: dict, now: datetime) -> TimeRange:
    """The time range that a dashboard opens with."""
    attributes = dashboard["attributes"]
    return TimeRange(_moment(attributes["timeFrom"], now), _moment(attributes["timeTo"], now))


def interval_ms(text: str) -> float:
    """The length of an interval such as `30m`."""
    found = re.fullmatch(r"([\d.]+)(ms|[smhd])", text)
    if not found:
        raise PanelError(f"the interval `{text}` is not known")
    return float(found[1]) * UNITS_MS[found[2]]


def auto_interval(span: TimeRange) -> str:
    """The interval that `auto` stands for."""
    ideal = span.length_ms / BARS
    return next((interval for limit, interval in INTERVALS if interval_ms(limit) > ideal), "365d")


def _moment(text: str, now: datetime) -> datetime:
    found = re.fullmatch(r"now(?:-(\d+[smhd]))?", text)
    if not found:
        raise PanelError(f"the time `{text}` is not known")
    return now - timedelta(milliseconds=interval_ms(found[1])) if found[1] else now


def _search_source(item: dict) -> dict:
    source = json.loads(item["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
    if source.get("filter"):
        raise PanelError(f"{item['id']} has filters besides its query, which are not translated")
    return source


def _panel(item: dict, by_id: dict, title: str, place: dict, dashboard: dict) -> Panel:
    """Follows the references to the data view; a chart of a saved search has that search's query too."""
    queries = [dashboard["query"], _search_source(item)["query"]]
    source = item
    while source["type"] != "index-pattern":
        if not source["references"]:
            break
        (reference,) = source["references"]
        source = by_id[reference["type"], reference["id"]]
        if source["type"] == "search":
            queries.append(_search_source(source)["query"])
    index = source["attributes"]["title"] if source["type"] == "index-pattern" else None
    attributes = item["attributes"]
    if item["type"] == "search":
        columns, sort = attributes["columns"], attributes["sort"]
        return Panel(item["id"], title, "search", place, index, queries, columns=columns, sort=sort)
    state = json.loads(attributes["visState"])
    if (index is None) != (state["type"] == "markdown"):
        raise PanelError(f"{item['id']} has no data view")
    aggs = [agg for agg in state["aggs"] if agg["enabled"]]
    text = state["params"].get("markdown", "")
    return Panel(item["id"], title, state["type"], place, index, queries, aggs, sorted_by=_sort(attributes), text=text)


def _sort(attributes: dict) -> tuple[int, str] | None:
    """The column that a table is sorted by, which each product keeps in its own form."""
    state = json.loads(attributes["uiStateJSON"]).get("vis")
    if not state:
        return None
    of_opensearch, of_kibana = state["sortColumn"], state["params"]["sort"]
    sort = (of_opensearch["colIndex"], of_opensearch["direction"])
    if sort != (of_kibana["columnIndex"], of_kibana["direction"]):
        raise PanelError(f"{attributes['title']} is sorted in two ways")
    return sort


# Queries


def _query(queries: list[dict], fields: dict, filters: list[dict]) -> dict:
    """The bool query of search source queries and filters."""
    must = []
    for query in queries:
        text = query["query"]
        if query["language"] == "kuery":
            for name in kql.fields_of(text):
                searchable(name, fields)
            filters = [*filters, kql.translated(text)]
        elif text:
            for name in _lucene_fields(text):
                searchable(name, fields)
            must.append({"query_string": {"query": text, "analyze_wildcard": True, "time_zone": "UTC"}})
    return {"bool": {"must": must, "filter": filters, "should": [], "must_not": []}}


def _lucene_fields(text: str) -> list[str]:
    """The fields that a query in Lucene's syntax names, outside of its regular expressions and quotes."""
    return re.findall(r"([\w@.]+):", re.sub(r'/(?:\\.|[^/\\])*/|"[^"]*"', "…", text))


def _range(name: str, span: TimeRange, fields: dict) -> dict:
    searchable(name, fields)
    bounds = {"gte": _iso(span.start), "lte": _iso(span.end), "format": "strict_date_optional_time"}
    return {"range": {name: bounds}}


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# Aggregations


def _aggregations(panel: Panel, fields: dict, span: TimeRange) -> dict:
    metrics = {agg["id"]: _metric(agg, fields) for agg in panel.metrics if agg["type"] != "count"}
    inner = metrics
    hierarchical = panel.kind in HIERARCHICAL
    for agg in reversed(panel.buckets):
        body, ordering = _bucket(agg, panel, metrics, fields, span)
        nested = {**ordering, **(metrics if hierarchical else {}), **inner}
        inner = {agg["id"]: body | ({"aggs": nested} if nested else {})}
    return {"aggs": inner} if inner else {}


def _metric(agg: dict, fields: dict) -> dict:
    name = agg["params"]["field"]
    aggregatable(name, fields)
    return {agg["type"]: {"field": name}}


def _bucket(agg: dict, panel: Panel, metrics: dict, fields: dict, span: TimeRange) -> tuple[dict, dict]:
    """A level of buckets, and the metric that it is ordered by if it is not the count."""
    params = agg["params"]
    match agg["type"]:
        case "filters":
            queries = {each["label"]: _query([each["input"]], fields, []) for each in params["filters"]}
            return {"filters": {"filters": queries}}, {}
        case "date_histogram":
            aggregatable(params["field"], fields)
            if "date" not in fields[params["field"]]:
                raise PanelError(f"`{params['field']}` is not a date")
            interval = panel.interval(span)
            unit = "calendar_interval" if re.fullmatch(r"1[mhdwMy]", interval) else "fixed_interval"
            body = {"field": params["field"], unit: interval, "time_zone": "UTC", "min_doc_count": params["min_doc_count"]}
            return {"date_histogram": body}, {}
        case "terms":
            aggregatable(params["field"], fields)
            by = params["orderBy"]
            counts = [each["id"] for each in panel.metrics if each["type"] == "count"]
            if by not in metrics and by not in (*counts, "_key"):
                raise PanelError(f"{panel.id}: {agg['id']} is ordered by {by}, which is none of its metrics")
            key = "_count" if by in counts else by
            body = {"field": params["field"], "order": {key: params["order"]}, "size": params["size"]}
            if params["missingBucket"]:
                if "keyword" not in fields[params["field"]]:
                    raise PanelError(f"`{params['field']}` is no text, so the products leave missing values out")
                body["missing"] = MISSING
            return {"terms": body}, {by: metrics[by]} if by in metrics else {}
        case kind:
            raise PanelError(f"{panel.id}: the aggregation `{kind}` is not known")

