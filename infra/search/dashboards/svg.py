"""Elements of an SVG picture, and text that is cut to a width."""

from xml.sax.saxutils import escape, quoteattr

# Mean width of a character, as a share of the font's size: SVG does not break or cut text by itself.
CHARACTER = 0.6


def rect(x: float, y: float, width: float, height: float, fill: str, **more: object) -> str:
    """A rectangle."""
    return _element("rect", x=x, y=y, width=width, height=height, fill=fill, **more)


def line(x1: float, y1: float, x2: float, y2: float, stroke: str) -> str:
    """A thin line."""
    return _element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=stroke)


def polyline(points: list[tuple[float, float]], stroke: str) -> str:
    """A line through points."""
    path = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
    return _element("polyline", points=path, fill="none", stroke=stroke, stroke_width=1.5)


def path(commands: str, fill: str) -> str:
    """A filled shape."""
    return _element("path", d=commands, fill=fill)


def words(x: float, y: float, text: object, size: float = 11, fill: str = "#343741", width: float | None = None, **more: object) -> str:
    """A line of text whose baseline begins at this place. It is cut if it is wider than `width`."""
    shown = str(text) if width is None else cut(str(text), width, size)
    attributes = _attributes({"x": x, "y": y, "font-size": size, "fill": fill, **more})
    return f"<text {attributes}>{escape(shown)}</text>"


def cut(text: str, width: float, size: float) -> str:
    """The text, or its beginning with an ellipsis if it is wider."""
    fits = max(1, int(width / (size * CHARACTER)))
    return text if len(text) <= fits else text[: fits - 1].rstrip() + "…"


def wrapped(text: str, width: float, size: float) -> list[str]:
    """The text in lines that are no wider."""
    fits, lines = int(width / (size * CHARACTER)), [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > fits:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def picture(width: float, height: float, elements: list[str]) -> str:
    """The text of a file."""
    font = "Inter, 'Helvetica Neue', Arial, sans-serif"
    root = _attributes({"viewBox": f"0 0 {_number(width)} {_number(height)}", "width": width, "height": height, "font-family": font})
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {root}>', *elements, "</svg>", ""])


def _element(name: str, **attributes: object) -> str:
    return f"<{name} {_attributes(attributes)}/>"


def _attributes(attributes: dict) -> str:
    return " ".join(f"{name.replace('_', '-')}={quoteattr(_number(value))}" for name, value in attributes.items())


def _number(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
