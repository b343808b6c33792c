"""The rows and columns of a panel, from the response to its search, as the products show them."""

from collections.abc import Iterator
from dataclasses import dataclass

from panels import MISSING, Panel


@dataclass(frozen=True)
class Table:
    """What a panel shows: the columns of the buckets come first, then those of the metrics."""

    columns: list[str]
    rows: list[list]
    total: int


def table(panel: Panel, response: dict) -> Table:
    """The values that a panel shows. A list of documents has a row for each document."""
    total = response["hits"]["total"]["value"]
    if panel.kind == "search":
        columns = ["@timestamp", *panel.columns]
        hits = [[_value(hit["_source"], name) for name in columns] for hit in response["hits"]["hits"]]
        return Table(columns, hits, total)
    columns = [_label(agg) for agg in (*panel.buckets, *panel.metrics)]
    everything = {**response.get("aggregations", {}), "doc_count": total}
    rows = list(_rows(panel, everything, 0, []))
    if panel.sorted_by:
        column, order = panel.sorted_by
        rows.sort(key=lambda row: row[column], reverse=order == "desc")
    return Table(columns, rows, total)


def _label(agg: dict) -> str:
    return agg["params"].get("customLabel") or agg["type"].replace("_", " ")


def _rows(panel: Panel, found: dict, level: int, keys: list) -> Iterator[list]:
    if level == len(panel.buckets):
        yield [*keys, *(_metric(agg, found) for agg in panel.metrics)]
        return
    buckets = found[panel.buckets[level]["id"]]["buckets"]
    named = buckets.items() if isinstance(buckets, dict) else ((bucket["key"], bucket) for bucket in buckets)
    for key, bucket in named:
        label = panel.buckets[level]["params"]["missingBucketLabel"] if key == MISSING else key
        yield from _rows(panel, bucket, level + 1, [*keys, label])


def _metric(agg: dict, found: dict) -> float | None:
    return found["doc_count"] if agg["type"] == "count" else found[agg["id"]]["value"]


def _value(source: dict, name: str) -> object:
    """A field of a document, whether or not its objects are written out."""
    if name in source:
        return source[name]
    first, _, rest = name.partition(".")
    while rest:
        if isinstance(source.get(first), dict):
            return _value(source[first], rest)
        more, _, rest = rest.partition(".")
        first = f"{first}.{more}"
    return None
