"""Checks a value against a schema: every key is known, every required key is present, every value has the right form.

A schema is a type, a compiled pattern for a whole string, a set of allowed values, a list with one schema for every
element, a dict of keys (`"name?"` is optional, `str` is any key), a tuple of alternatives, or a function that checks.
"""

import re


class Mismatch(AssertionError):
    """The value does not match the schema."""


def check(value, schema, where: str = "$") -> None:
    """Raises Mismatch at the first place that does not match."""
    if isinstance(schema, tuple):
        reasons = []
        for each in schema:
            try:
                return check(value, each, where)
            except Mismatch as reason:
                reasons.append(str(reason))
        raise Mismatch(f"{where} is none of the alternatives: " + "; ".join(reasons))
    if isinstance(schema, dict):
        need(isinstance(value, dict), f"{where} must be an object")
        known = {key.removesuffix("?"): inner for key, inner in schema.items() if key is not str}
        for key, inner in value.items():
            need(key in known or str in schema, f"{where}.{key} is not known")
            check(inner, known.get(key, schema.get(str)), f"{where}.{key}")
        for key in schema:
            need(key is str or key.endswith("?") or key in value, f"{where}.{key} is missing")
    elif isinstance(schema, list):
        need(isinstance(value, list), f"{where} must be an array")
        for number, each in enumerate(value):
            check(each, schema[0], f"{where}[{number}]")
    elif isinstance(schema, set):
        need(value in schema, f"{where} is {value!r}, not one of {sorted(schema)}")
    elif isinstance(schema, re.Pattern):
        need(
            isinstance(value, str) and schema.fullmatch(value),
            f"{where} is {value!r}, not of the form {schema.pattern}",
        )
    elif isinstance(schema, type):
        right = isinstance(value, schema) and (schema is bool or not isinstance(value, bool))
        need(right, f"{where} is {value!r}, not of type {schema.__name__}")
    elif schema is None:
        need(value is None, f"{where} must be null")
    else:
        schema(value, where)


def need(holds: object, message: str) -> None:
    """Raises Mismatch if the condition is false."""
    if not holds:
        raise Mismatch(message)
