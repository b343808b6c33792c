"""Draws a dashboard as SVG: each panel from its content, at its place, in about the colours and forms of both products."""

import math
from collections import defaultdict
from datetime import UTC, datetime

import svg
from panels import Panel, TimeRange, interval_ms
from rows import Table

UNIT_X, UNIT_Y, MARGIN = 25.0, 20.0, 4.0
HEADER = 44
TITLE = 26
PALETTE = ("#54B399", "#6092C0", "#D36086", "#9170B8", "#CA8EAE", "#D6BF57", "#B9A888", "#DA8B45", "#AA6556", "#E7664C")
INK, FAINT, RULE = "#343741", "#69707D", "#E0E5EE"
LABEL = "Preview, drawn from the saved objects, not a screenshot of Dashboards"
LEGEND_WIDTH = 150
ROW_HEIGHT = 19
PER_PAGE = 10


class Box:
    """The inside of a panel."""

    def __init__(self, place: dict) -> None:
        self.x = place["x"] * UNIT_X + MARGIN + 12
        self.y = HEADER + place["y"] * UNIT_Y + MARGIN + TITLE + 6
        self.width = place["w"] * UNIT_X - 2 * MARGIN - 24
        self.height = place["h"] * UNIT_Y - 2 * MARGIN - TITLE - 14


def draw(title: str, content: list[tuple[Panel, Table | None]], span: TimeRange) -> str:
    """The picture of a dashboard with the content of its panels."""
    width = 48 * UNIT_X
    height = HEADER + max(panel.place["y"] + panel.place["h"] for panel, _ in content) * UNIT_Y + MARGIN
    shown_span = f"{span.start:%b %d, %H:%M} to {span.end:%b %d, %H:%M} UTC"
    elements = [
        svg.rect(0, 0, width, height, "#F5F7FA"),
        svg.words(16, 28, title, 17, INK, font_weight="bold"),
        svg.words(width / 2, 28, LABEL, 12, "#BD271E", text_anchor="middle"),
        svg.words(width - 16, 28, shown_span, 12, FAINT, text_anchor="end"),
    ]
    for panel, table in content:
        elements += _panel(panel, table, span)
    return svg.picture(width, height, elements)


def _panel(panel: Panel, table: Table | None, span: TimeRange) -> list[str]:
    place = panel.place
    x, y = place["x"] * UNIT_X + MARGIN, HEADER + place["y"] * UNIT_Y + MARGIN
    width, height = place["w"] * UNIT_X - 2 * MARGIN, place["h"] * UNIT_Y - 2 * MARGIN
    frame = [
        svg.rect(x, y, width, height, "#FFFFFF", rx=4, stroke=RULE),
        svg.words(x + 12, y + 19, panel.title, 12.5, INK, width - 24, font_weight="bold"),
    ]
    box = Box(place)
    if table is None:
        return frame + _text(panel.text, box)
    if not table.rows:
        return [*frame, svg.words(box.x, box.y + 20, "No results found", 12, FAINT, box.width)]
    if panel.kind == "metric":
        return frame + _figures(panel, table, box)
    match panel.kind:
        case "histogram" | "line":
            return frame + _over_time(panel, table, box, span)
        case "pie":
            return frame + _ring(table, box)
        case "search":
            rows = [[_text_of(value) for value in row] for row in table.rows]
            return frame + _grid(table.columns, rows, box, f"{table.total:,} documents")
        case _:
            rows = [[_cell(panel, number, value) for number, value in enumerate(row)] for row in table.rows[:PER_PAGE]]
            return frame + _grid(table.columns, rows, box, f"{len(table.rows):,} rows")


# Kinds of panels


def _figures(panel: Panel, table: Table, box: Box) -> list[str]:
    """Large numbers side by side: a row's metrics, or a number for each bucket."""
    n_keys = len(panel.buckets)
    if n_keys:
        labels = [f"{row[0]} - {table.columns[n_keys]}" for row in table.rows]
        values = [_cell(panel, n_keys, row[n_keys]) for row in table.rows]
    else:
        labels, values = table.columns, [_cell(panel, n, value) for n, value in enumerate(table.rows[0])]
        values = [value.rpartition(":")[0] if value.count(":") == 2 else value for value in values]  # no seconds
    weights = [max(2 * len(value), len(label)) + 2 for label, value in zip(labels, values, strict=True)]
    drawn, x = [], box.x
    for label, value, weight in zip(labels, values, weights, strict=True):
        width = box.width * weight / sum(weights)
        middle, size = x + width / 2, 26
        drawn.append(svg.words(middle, box.y + box.height / 2, value, size, INK, width, text_anchor="middle", font_weight="bold"))
        drawn.append(svg.words(middle, box.y + box.height / 2 + 24, label, 11, FAINT, width, text_anchor="middle"))
        x += width
    return drawn


def _over_time(panel: Panel, table: Table, box: Box, span: TimeRange) -> list[str]:
    """Stacked bars or lines, with a legend."""
    series: dict[str, dict[float, float]] = defaultdict(dict)
    for at, name, value in table.rows:
        series[name][at] = value
    names = sorted(series)
    times = sorted({row[0] for row in table.rows})
    step = interval_ms(panel.interval(span))
    sums = [sum(series[name].get(at, 0) for name in names) for at in times]
    stacked = panel.kind == "histogram"
    top, tick = _axis(max(sums) if stacked else max(row[2] for row in table.rows))
    left, width, height = box.x + 34, box.width - LEGEND_WIDTH - 44, box.height - 22
    start = span.start.timestamp() * 1000

    def x(at: float) -> float:
        return left + max(0.0, (at - start) / span.length_ms) * width

    def y(value: float) -> float:
        return box.y + height * (1 - value / top)

    drawn = _axes(left, box.y, width, height, top, tick, span)
    for number, name in enumerate(names):
        colour = PALETTE[number % len(PALETTE)]
        drawn += _legend(box, number, str(name), colour)
        if not stacked:
            points = [(x(at), y(value)) for at, value in sorted(series[name].items())]
            drawn.append(svg.polyline(points, colour))
            continue
        for at in times:
            below = sum(series[other].get(at, 0) for other in names[:number])
            value = series[name].get(at, 0)
            if value:
                bar = max(1.0, min(x(at + step), left + width) - x(at) - 1)
                drawn.append(svg.rect(x(at), y(below + value), bar, y(below) - y(below + value), colour))
    return drawn


def _axes(left: float, top_y: float, width: float, height: float, top: float, tick: float, span: TimeRange) -> list[str]:
    drawn = []
    for number in range(round(top / tick) + 1):
        y = top_y + height * (1 - number * tick / top)
        drawn += [
            svg.line(left, y, left + width, y, RULE),
            svg.words(left - 6, y + 4, f"{number * tick:,.0f}", 10, FAINT, text_anchor="end"),
        ]
    n_times = 8 if width > 300 else 4
    for number in range(n_times + 1):
        at, x = span.start + number * (span.end - span.start) / n_times, left + width * number / n_times
        drawn.append(svg.words(x, top_y + height + 16, f"{at:%H:%M}", 10, FAINT, text_anchor="middle"))
    return drawn


def _ring(table: Table, box: Box) -> list[str]:
    """A donut, with a legend that has the numbers."""
    total = sum(row[-1] for row in table.rows)
    radius = min(box.height, box.width - LEGEND_WIDTH - 30) / 2 - 4
    middle_x, middle_y, drawn, turned = box.x + radius + 4, box.y + box.height / 2, [], 0.0
    fits = int(box.height // 16)
    for number, (name, value) in enumerate(table.rows):
        colour = PALETTE[number % len(PALETTE)]
        share = value / total
        drawn.append(svg.path(_arc(middle_x, middle_y, radius, turned, turned + share), colour))
        turned += share
        if number < fits:
            drawn += _legend(box, number, f"{name} ({value:,})", colour)
    return drawn


def _arc(x: float, y: float, radius: float, start: float, end: float) -> str:
    inner = radius * 0.6
    end = min(end, start + 0.9999)

    def at(turn: float, distance: float) -> str:
        angle = 2 * math.pi * turn - math.pi / 2
        return f"{x + distance * math.cos(angle):.1f} {y + distance * math.sin(angle):.1f}"

    large = int(end - start > 0.5)
    outside = f"A {radius:.1f} {radius:.1f} 0 {large} 1 {at(end, radius)}"
    inside = f"A {inner:.1f} {inner:.1f} 0 {large} 0 {at(start, inner)}"
    return f"M {at(start, radius)} {outside} L {at(end, inner)} {inside} Z"


def _legend(box: Box, number: int, name: str, colour: str) -> list[str]:
    x, y = box.x + box.width - LEGEND_WIDTH, box.y + 10 + number * 16
    return [svg.rect(x, y - 8, 9, 9, colour, rx=4.5), svg.words(x + 15, y, name, 11, INK, LEGEND_WIDTH - 15)]


def _grid(columns: list[str], rows: list[list[str]], box: Box, count: str) -> list[str]:
    """A table with as many rows as fit. A column gets the width that its values need."""
    fits = max(1, int((box.height - 20) // ROW_HEIGHT))
    shown = rows[:fits]
    widths = _widths([max([len(column), *(len(row[n]) for row in shown)]) for n, column in enumerate(columns)], box.width)
    drawn, x = [], box.x
    for number, column in enumerate(columns):
        width = widths[number]
        drawn.append(svg.words(x, box.y + 10, column, 11, FAINT, width - 6, font_weight="bold"))
        for place, row in enumerate(shown):
            drawn.append(svg.words(x, box.y + 29 + place * ROW_HEIGHT, row[number], 11, INK, width - 6))
        x += width
    for place in range(len(shown)):
        y = box.y + 15 + place * ROW_HEIGHT
        drawn.append(svg.line(box.x, y, box.x + box.width, y, RULE))
    drawn.append(svg.words(box.x + box.width, box.y - 13, count, 11, FAINT, text_anchor="end"))
    return drawn


def _widths(characters: list[int], width: float) -> list[float]:
    """The width of each column: what its values need, and less for the longest where that is too much together."""
    needs = [count + 2 for count in characters]
    fits = width / (11 * svg.CHARACTER)
    while sum(needs) > fits and max(needs) > 14:
        needs[needs.index(max(needs))] -= 1
    return [need * width / max(sum(needs), fits) for need in needs]


def _text(source: str, box: Box) -> list[str]:
    """Markdown as plain lines: its paragraphs are all that the panels use."""
    drawn, y = [], box.y + 8
    for paragraph in source.split("\n\n"):
        for each in svg.wrapped(paragraph.replace("**", "").replace("`", "").replace("*", ""), box.width, 12):
            drawn.append(svg.words(box.x, y, each, 12))
            y += 17
        y += 3
    return drawn


# Values


def _cell(panel: Panel, number: int, value: object) -> str:
    """A value of a row: dates by the field of their column."""
    aggs = [*panel.buckets, *panel.metrics]
    field = aggs[number]["params"].get("field", "")
    is_date = aggs[number]["type"] in ("max", "min", "date_histogram") and field in ("@timestamp", "kafka_timestamp")
    if is_date and isinstance(value, int | float):
        return f"{datetime.fromtimestamp(value / 1000, UTC):%b %d, %H:%M:%S}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def _text_of(value: object) -> str:
    if value is None:
        return "-"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    try:
        return f"{datetime.fromisoformat(text):%b %d, %H:%M}" if len(text) == 24 and text.endswith("Z") else text
    except ValueError:
        return text


def _axis(most: float) -> tuple[float, float]:
    """The top of an axis and the distance of its ticks."""
    rough = max(most, 1) / 4
    magnitude = 10 ** math.floor(math.log10(rough))
    tick = max(1.0, next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough))
    return tick * math.ceil(max(most, 1) / tick), tick
