"""Evaluates the filters and outputs of a parsed pipeline for one Kafka record.

It supports the plugins that the pipelines use: kafka (input), mutate and ruby (filters), elasticsearch (output). An
unsupported option or plugin is an error, so that no part of a pipeline is skipped. The code of ruby filters runs in a real
JRuby, the one that ships with Logstash (ruby_filter.rb).
"""

import re
from copy import deepcopy
from datetime import UTC, datetime

from .config import Branch, Pipeline, Plugin, substitute

IGNORED_FILTER_OPTIONS = {"id"}


class Event:
    """A Logstash event: fields, and metadata that is never written."""

    def __init__(self, fields: dict, metadata: dict):
        self.fields = fields
        self.metadata = metadata

    def get(self, reference: str):
        node = self.root(reference)
        for name in _path(reference):
            if not isinstance(node, dict) or name not in node:
                return None
            node = node[name]
        return node

    def set(self, reference: str, value) -> None:
        *parents, last = _path(reference)
        node = self.root(reference)
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = value

    def root(self, reference: str) -> dict:
        return {"@metadata": self.metadata, **self.fields} if reference.startswith("[@metadata]") else self.fields

    def sprintf(self, text: str) -> str:
        return re.sub(r"%\{([^}]+)\}", lambda found: self._value(found[1]), text)

    def _value(self, reference: str) -> str:
        if reference.startswith("+"):
            time = datetime.fromisoformat(self.fields["@timestamp"]).astimezone(UTC)
            pattern = reference[1:].replace("YYYY", "%Y").replace("MM", "%m").replace("dd", "%d")
            if re.search(r"[A-Za-z]", re.sub("%[Ymd]", "", pattern)):
                raise ValueError(f"date pattern {reference} is not supported")
            return time.strftime(pattern).rjust(len(reference) - 1, "0")
        value = self.get(reference)
        return "%{" + reference + "}" if value is None else str(value)


class Evaluator:
    """Runs records through a pipeline."""

    def __init__(self, pipeline: Pipeline, environment: dict[str, str], ruby):
        self.pipeline = pipeline
        self.environment = environment
        self.ruby = ruby

    def written(self, event: Event) -> list[tuple[Plugin, dict]]:
        """Filters the event. Returns each elasticsearch output that receives it, with action, index, id and document."""
        event = Event(deepcopy(event.fields), deepcopy(event.metadata))
        self._run(self.pipeline.filter, event, self._filter)
        written = []
        self._run(self.pipeline.output, event, lambda plugin, event: written.append(self._output(plugin, event)))
        return written

    def _run(self, items: list, event: Event, act) -> None:
        for item in items:
            if isinstance(item, Branch):
                for condition, body in item.arms:
                    if condition is None or _holds(condition, event):
                        self._run(body, event, act)
                        break
            else:
                act(item, event)

    def _filter(self, plugin: Plugin, event: Event) -> None:
        options = substitute(plugin.options, self.environment)
        options = {name: value for name, value in options.items() if name not in IGNORED_FILTER_OPTIONS}
        {"mutate": _mutate, "ruby": self._ruby}[plugin.name](options, event)

    def _ruby(self, options: dict, event: Event) -> None:
        unknown = options.keys() - {"init", "code"}
        if unknown:
            raise ValueError(f"unsupported options of the ruby filter: {unknown}")
        event.fields, event.metadata = self.ruby(options, event.fields, event.metadata)

    def _output(self, plugin: Plugin, event: Event) -> tuple[Plugin, dict]:
        if plugin.name != "elasticsearch":
            raise ValueError(f"output {plugin.name} is not supported")
        options = substitute(plugin.options, self.environment)
        document_id = options.get("document_id")
        return plugin, {
            "action": options["action"],
            "index": event.sprintf(options["index"]),
            "id": event.sprintf(document_id) if document_id else None,
            "document": event.fields,
        }


def _mutate(options: dict, event: Event) -> None:
    # The plugin applies options in its documented order, not in the order of the file.
    unknown = options.keys() - {"gsub", "copy", "add_field"}
    if unknown:
        raise ValueError(f"unsupported options of the mutate filter: {unknown}")
    gsub = options.get("gsub", [])
    for reference, pattern, replacement in zip(gsub[::3], gsub[1::3], gsub[2::3], strict=True):
        value = event.get(reference)
        if isinstance(value, str):
            # Ruby's $ matches at the end of a line, as Python's does with MULTILINE.
            event.set(reference, re.sub(pattern, replacement, value, flags=re.MULTILINE))
    for source, target in options.get("copy", {}).items():
        value = event.get(source)
        if value is not None:
            event.set(target, deepcopy(value))
    for name, value in options.get("add_field", {}).items():
        event.set(event.sprintf(name), event.sprintf(value))


def _path(reference: str) -> list[str]:
    return re.findall(r"\[([^\[\]]+)\]", reference) if reference.startswith("[") else [reference]


def _holds(condition, event: Event) -> bool:
    kind, *parts = condition
    if kind == "condition":
        terms = parts[0]
        result = _holds(terms[0], event)
        for operator, term in zip(terms[1::2], terms[2::2], strict=True):
            right = _holds(term, event)
            result = {
                "and": result and right,
                "or": result or right,
                "xor": result != right,
                "nand": not (result and right),
            }[operator]
        return result
    if kind == "negated":
        return not _holds(parts[0] if parts[0][0] != "selector" else ("truth", parts[0]), event)
    if kind == "truth":
        return _resolve(parts[0], event) not in (None, False)
    if kind == "in":
        container = _resolve(parts[1], event)
        return container is not None and _resolve(parts[0], event) in container
    if kind == "compare":
        left, right = _resolve(parts[0], event), _resolve(parts[2], event)
        return {"==": left == right, "!=": left != right}[parts[1]]
    if kind == "match":
        found = re.search(_resolve(parts[2], event), str(_resolve(parts[0], event) or "")) is not None
        return found == (parts[1] == "=~")
    raise ValueError(f"condition {kind} is not supported")


def _resolve(value, event: Event):
    if isinstance(value, tuple) and value[0] == "selector":
        return event.get(value[1])
    if isinstance(value, tuple) and value[0] == "regexp":
        return value[1]
    return value
