"""Translates the part of the Kibana Query Language that the dashboards use, as OpenSearch Dashboards and Kibana translate it.

The part: `field:value`, `field:*`, `field:"some words"`, `field:(a or b)`, and, or, not, parentheses. Anything else is an error,
so that no query is run that says something else than the saved object.
https://docs.opensearch.org/latest/dashboards/dql/
"""

import re
from collections.abc import Callable

TOKEN = re.compile(r'\s*(?:(?P<quoted>"[^"]*")|(?P<sign>[():])|(?P<word>[^\s():"<>]+))')


class KqlError(ValueError):
    """The query is not one of the part that is translated."""


def fields_of(text: str) -> set[str]:
    """The fields that a query names."""
    words = _tokens(text)
    return {word for word, following in zip(words, words[1:], strict=False) if following == ":"}


def translated(text: str) -> dict:
    """The query of a text. An empty one finds everything."""
    words = _tokens(text)
    if not words:
        return {"match_all": {}}
    query, rest = _either(words, _clause)
    if rest:
        raise KqlError(f"`{text}` goes on after its end: {' '.join(rest)}")
    return query


Parser = Callable[[list[str]], tuple[dict, list[str]]]


def _tokens(text: str) -> list[str]:
    words, place = [], 0
    while place < len(text.rstrip()):
        found = TOKEN.match(text, place)
        if not found:
            raise KqlError(f"`{text[place:]}` is not of the part of the language that is translated")
        words.append(found[0].strip())
        place = found.end()
    return words


def _either(words: list[str], part: Parser) -> tuple[dict, list[str]]:
    query, words = _both(words, part)
    queries = [query]
    while words and words[0].lower() == "or":
        query, words = _both(words[1:], part)
        queries.append(query)
    return (_should(*queries) if len(queries) > 1 else queries[0]), words


def _both(words: list[str], part: Parser) -> tuple[dict, list[str]]:
    query, words = _negated(words, part)
    queries = [query]
    while words and words[0].lower() == "and":
        query, words = _negated(words[1:], part)
        queries.append(query)
    return ({"bool": {"filter": queries}} if len(queries) > 1 else queries[0]), words


def _negated(words: list[str], part: Parser) -> tuple[dict, list[str]]:
    if words and words[0].lower() == "not":
        query, words = _negated(words[1:], part)
        return {"bool": {"must_not": query}}, words
    if words and words[0] == "(":
        query, words = _either(words[1:], part)
        return query, _without(")", words)
    return part(words)


def _clause(words: list[str]) -> tuple[dict, list[str]]:
    if len(words) < 3 or words[1] != ":":
        raise KqlError(f"`{' '.join(words)}` does not begin with `field:value`")
    field, words = words[0], words[2:]

    def value(words: list[str]) -> tuple[dict, list[str]]:
        if not words or words[0] in "():":
            raise KqlError(f"`{field}:` has no value")
        return _should(_matching(field, words[0])), words[1:]

    if words[0] != "(":
        return value(words)
    query, words = _either(words[1:], value)
    return query, _without(")", words)


def _matching(field: str, value: str) -> dict:
    if value == "*":
        return {"exists": {"field": field}}
    if value.startswith('"'):
        return {"match_phrase": {field: value[1:-1]}}
    if "*" in value:
        return {"query_string": {"fields": [field], "query": value}}
    return {"match": {field: value}}


def _should(*queries: dict) -> dict:
    return {"bool": {"should": list(queries), "minimum_should_match": 1}}


def _without(sign: str, words: list[str]) -> list[str]:
    if not words or words[0] != sign:
        raise KqlError(f"`{sign}` is missing")
    return words[1:]
