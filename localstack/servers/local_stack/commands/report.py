"""The report that ends `make demo`: what arrived, an event, what was put in the cluster, the lag, what to try next. It fits on a screen."""

import json
import re
import textwrap
from collections import Counter
from dataclasses import dataclass, field

from local_stack.provisioning import Provisioned
from local_stack.terminal import Style

# The newest indices that are named. The rest is counted.
N_INDICES = 5
WIDTH = 100
INDENT = 18
# What the function added to an event, apart from the event's own fields.
ADDED = (
    "@timestamp", "service", "service_name", "environment", "platform", "kafka_topic", "kafka_partition", "kafka_offset",
    "kafka_timestamp", "kafka_key", "trace", "span", "correlation_id", "tags",
)  # fmt: skip
KINDS = ("component template", "index template", "lifecycle policy", "role", "monitor")
LACKS_PLUGIN = re.compile(r"has no (plugin [\w-]+|security plugin)")
NEXT = (
    ("make search Q='service_name:order AND total:>100'", "search the daily indices"),
    ("make produce FILE=events.ndjson TOPIC=order.events", "your own events, one a line; N=10000: generated ones"),
    ("make deploy-rules PIPELINE=my.yaml", "other rules of topics, without a build"),
    ("make conflicts", "the events whose fields conflict, and what ends it"),
    ("make status", "what runs, and where the logs are"),
    ("make demo-down", "stop everything (make demo-clean: remove the data too)"),
)


@dataclass(frozen=True)
class Index:
    """A daily index."""

    name: str
    n_documents: int
    size: str


@dataclass(frozen=True)
class Findings:
    """What is in the stack."""

    indices: list[Index]
    services: dict[str, int]
    # The address of the page that shows the stack.
    console: str = ""
    event: dict | None = None
    rescued: dict | None = None
    n_routed: int = 0
    recipient: str = ""
    routed_to: str = ""
    formats: dict[str, int] = field(default_factory=dict)
    # The records that wait, by topic and partition.
    lag: dict[tuple[str, int], int] = field(default_factory=dict)
    provisioned: list[Provisioned] = field(default_factory=list)


def report(found: Findings, style: Style) -> str:
    """The text of the report."""
    parts = [
        _indices(found, style),
        _event(found, style),
        _rescued(found, style),
        _details(found, style),
        _next(found, style),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _indices(found: Findings, style: Style) -> list[str]:
    total = sum(index.n_documents for index in found.indices)
    lines = [style.heading(f"{total:,} documents in {_count(len(found.indices), 'daily index', 'daily indices')}")]
    newest = sorted(found.indices, key=lambda index: (index.name[-10:], index.name), reverse=True)
    lines += [f"  {index.name:<46}{index.n_documents:>10,}{index.size:>10}" for index in newest[:N_INDICES]]
    if older := newest[N_INDICES:]:
        n_documents = sum(index.n_documents for index in older)
        lines.append(f"  and {_count(len(older), 'older index', 'older indices')} with {n_documents:,} documents")
    services = [f"{name} {count:,}" for name, count in found.services.items()]
    return [*lines, f"  by service: {', '.join(services)}"] if services else lines


def _event(found: Findings, style: Style) -> list[str]:
    if found.event is None:
        return []
    source = found.event["_source"]
    own = {name: value for name, value in source.items() if name not in ADDED}
    ids = [f"{name}.id {source[name]['id']}" for name in ("trace", "span") if "id" in source.get(name, {})]
    place = [
        f"{name} {source[f'kafka_{name}']}" for name in ("partition", "offset", "key") if f"kafka_{name}" in source
    ]
    shown = {
        "its own fields": json.dumps(own, ensure_ascii=False),
        "@timestamp": source.get("@timestamp", ""),
        "service_name": f"{source.get('service_name')}, of the topic {source.get('service')}",
        "kafka_*": ", ".join(place),
        "trace": ", ".join(ids),
        "correlation_id": source.get("correlation_id", ""),
    }
    where = style.faint(f"{found.event['_index']}/{found.event['_id']}")
    return [f"{style.heading('An event, as it was enriched:')} {where}", *_members(shown)]


def _rescued(found: Findings, style: Style) -> list[str]:
    if found.rescued is None:
        return []
    source = found.rescued["_source"]
    shown = {
        "conflict": json.dumps(source["conflict"], ensure_ascii=False) if "conflict" in source else "",
        "because": source.get("conflict_reason", ""),
    }
    heading = "An event that does not fit the mapping: what is in the way moved to `conflict`"
    return [style.heading(heading), *_members(shown)]


def _members(shown: dict[str, str]) -> list[str]:
    """Names and values, which get up to two lines."""
    lines = []
    for name, value in shown.items():
        wrapped = textwrap.wrap(value, WIDTH - INDENT, max_lines=2, placeholder=" …", break_on_hyphens=False)
        for label, text in zip((f"  {name}", ""), wrapped, strict=False):
            lines.append(f"{label:<{INDENT}}{text}")
    return lines


def _details(found: Findings, style: Style) -> list[str]:
    lines = []
    if found.n_routed:
        mails = f"{found.n_routed:,} e-mails are in {found.routed_to}, each to a recipient such as {found.recipient}"
        lines.append(_detail("Rules", mails, style))
    if found.formats:
        formats = " and ".join(f"{count:,} {name}" for name, count in found.formats.items())
        lines.append(_detail("Schemas", f"{formats} events were decoded by the registry's schemas", style))
    lines.append(_detail("Lag", _lag(found.lag, style), style))
    return lines + _cluster(found.provisioned, style)


def _detail(name: str, text: str, style: Style) -> str:
    return f"{style.heading(name)}{' ' * (9 - len(name))}{text}"


def _lag(lag: dict[tuple[str, int], int], style: Style) -> str:
    if not lag:
        return style.bad("unknown: no mapping has a partition")
    behind: Counter[str] = Counter()
    for (topic, _), records in lag.items():
        behind[topic] += records
    if total := sum(behind.values()):
        topics = ", ".join(f"{topic} {records:,}" for topic, records in behind.most_common() if records)
        return style.bad(f"{total:,} records wait: {topics}")
    return style.good(f"none in {_count(len(lag), 'partition')} of {_count(len(behind), 'topic')}")


def _cluster(things: list[Provisioned], style: Style) -> list[str]:
    if not things:
        return []
    done = [each.thing for each in things if each.outcome in ("applied", "unchanged")]
    kinds = Counter(next((kind for kind in KINDS if thing.startswith(kind)), thing) for thing in done)
    applied = ", ".join(_count(n, kind) if kind in KINDS else kind for kind, n in kinds.items())
    failed = [each.reason for each in things if each.outcome == "failed"]
    return [
        _detail("Cluster", f"{_count(len(done), 'thing')} applied{f': {applied}' if applied else ''}", style),
        *(f"         {style.bad('failed')}: {_cut(reason, WIDTH)}" for reason in failed),
        *(f"         {cause}" for cause in causes(things)),
    ]


def causes(things: list[Provisioned]) -> list[str]:
    """Why things were not applied: a line for each cause, however many things it kept back."""
    reasons = [each.reason for each in things if each.outcome == "not applied"]
    n_plugins = sum(bool(LACKS_PLUGIN.search(reason)) for reason in reasons)
    lines = []
    if n_plugins:
        need = "thing needs" if n_plugins == 1 else "things need"
        lines.append(f"{n_plugins} {need} plugins that this local OpenSearch has not: `make provision ARGS=show`")
    others = Counter(reason.split(": ")[0] for reason in reasons if not LACKS_PLUGIN.search(reason))
    return lines + [_cut(f"{_count(n, 'thing')} not applied: {cause}", WIDTH) for cause, n in others.items()]


def _next(found: Findings, style: Style) -> list[str]:
    page = [(f"open {found.console}", "the console: events, lag, dead letters, replay")]
    commands = [*(page if found.console else ()), *NEXT]
    width = max(len(command) for command, _ in commands) + 4
    lines = [f"  {style.command(command)}{' ' * (width - len(command))}{what}" for command, what in commands]
    return [style.heading("What to try next"), *lines]


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
