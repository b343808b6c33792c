"""Parses a Logstash pipeline file into plugins and branches."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from lark import Lark, Token, Transformer

PARSER = Lark(Path(__file__).with_name("grammar.lark").read_text(), parser="lalr", maybe_placeholders=False)


@dataclass
class Plugin:
    """A plugin and its options, before environment variables are substituted."""

    name: str
    options: dict = field(default_factory=dict)


@dataclass
class Branch:
    """An if with its else-if and else arms: conditions and bodies. The condition of else is None."""

    arms: list[tuple[object, list]]


@dataclass
class Pipeline:
    """The three sections, each a list of plugins and branches."""

    input: list
    filter: list
    output: list

    def plugins(self, section: str) -> list[Plugin]:
        """All plugins of a section, including those inside branches."""
        return list(_flat(getattr(self, section)))


def parse(text: str) -> Pipeline:
    """Parses a pipeline. Raises lark's error, with line and column, if Logstash would reject it."""
    sections = {"input": [], "filter": [], "output": []}
    for kind, body in _Build().transform(PARSER.parse(text)):
        sections[kind].extend(body)
    return Pipeline(**sections)


def substitute(value, environment: dict[str, str]):
    """Puts environment variables in, `${NAME}` or `${NAME:default}`, as Logstash does in every option."""
    if isinstance(value, str):
        return re.sub(r"\$\{([A-Za-z_]\w*)(?::([^}]*))?\}", lambda found: _lookup(found, environment), value)
    if isinstance(value, list):
        return [substitute(item, environment) for item in value]
    if isinstance(value, dict):
        return {substitute(key, environment): substitute(item, environment) for key, item in value.items()}
    return value


def _lookup(found: re.Match, environment: dict[str, str]) -> str:
    name, default = found.groups()
    if name in environment:
        return environment[name]
    if default is None:
        raise KeyError(f"the pipeline needs the environment variable {name}")
    return default


def _flat(items: list):
    for item in items:
        if isinstance(item, Branch):
            for _, body in item.arms:
                yield from _flat(body)
        else:
            yield item


class _Build(Transformer):
    def start(self, sections):
        return sections

    def section(self, parts):
        return str(parts[0]), parts[1:]

    def block(self, parts):
        return ("block", parts)

    def branch(self, parts):
        arms, condition = [], None
        for part in parts:
            if isinstance(part, tuple) and part[0] == "block":
                arms.append((condition, part[1]))
                condition = None
            else:
                condition = part
        return Branch(arms)

    def plugin(self, parts):
        names = [name for name, _ in parts[1:]]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"plugin {parts[0]} has the option {sorted(twice)[0]} twice")
        return Plugin(parts[0], dict(parts[1:]))

    def attribute(self, parts):
        return parts[0], parts[1]

    def entry(self, parts):
        return parts[0], parts[1]

    def name(self, parts):
        return _unquoted(parts[0])

    def bareword(self, parts):
        return {"true": True, "false": False}.get(str(parts[0]), str(parts[0]))

    def string(self, parts):
        return _unquoted(parts[0])

    def number(self, parts):
        return float(parts[0]) if "." in parts[0] else int(parts[0])

    def array(self, parts):
        return list(parts)

    def hash(self, parts):
        return dict(parts)

    def selector(self, parts):
        return ("selector", "".join(parts))

    def regexp(self, parts):
        return ("regexp", str(parts[0])[1:-1].replace(r"\/", "/"))

    def condition(self, parts):
        return ("condition", [str(part) if isinstance(part, Token) else part for part in parts])

    def group(self, parts):
        return parts[0]

    def negated(self, parts):
        return ("negated", parts[0])

    def is_in(self, parts):
        return ("in", parts[0], parts[1])

    def is_not_in(self, parts):
        return ("negated", ("in", parts[0], parts[1]))

    def compare(self, parts):
        return ("compare", parts[0], str(parts[1]), parts[2])

    def match(self, parts):
        return ("match", parts[0], str(parts[1]), parts[2])

    def truth(self, parts):
        return ("truth", parts[0])


def _unquoted(token) -> str:
    text = str(token)
    return text[1:-1] if text[:1] in "\"'" else text
