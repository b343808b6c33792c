"""The `visState` of the kinds of chart that the dashboard has, as both products store it, and their aggregations."""


def metric(number: str, kind: str, field: str | None = None, label: str | None = None) -> dict:
    params = ({"field": field} if field else {}) | ({"customLabel": label} if label else {})
    return {"id": number, "enabled": True, "type": kind, "schema": "metric", "params": params}


def terms(
    number: str,
    schema: str,
    field: str,
    label: str,
    size: int,
    by: str = "1",
    order: str = "desc",
    missing: str | None = None,
) -> dict:
    """A bucket for each value. With `missing`, documents without the field have a bucket of that name."""
    params = {
        "field": field,
        "orderBy": by,
        "order": order,
        "size": size,
        "otherBucket": False,
        "otherBucketLabel": "Other",
        "missingBucket": missing is not None,
        "missingBucketLabel": missing or "Missing",
        "customLabel": label,
    }
    return {"id": number, "enabled": True, "type": "terms", "schema": schema, "params": params}


def filters(number: str, schema: str, queries: list[tuple[str, dict]]) -> dict:
    """A bucket for each labelled query. An event can be in several."""
    params = {"filters": [{"input": query, "label": label} for label, query in queries]}
    return {"id": number, "enabled": True, "type": "filters", "schema": schema, "params": params}


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


def sorted_by(column: int, order: str) -> dict:
    """The state of a table that is sorted by a column: OpenSearch Dashboards reads the first form, Kibana the second."""
    return {
        "vis": {
            "sortColumn": {"colIndex": column, "direction": order},
            "params": {"sort": {"columnIndex": column, "direction": order}},
        }
    }


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
        "style": {"bgFill": "#000", "bgColor": False, "labelColor": False, "subText": "", "fontSize": 28},
    }
    return {
        "type": "metric",
        "params": {"addTooltip": True, "addLegend": False, "type": "metric", "metric": look},
        "aggs": aggs,
    }


def markdown(source: str) -> dict:
    return {"type": "markdown", "params": {"fontSize": 12, "openLinksInNewTab": False, "markdown": source}, "aggs": []}
