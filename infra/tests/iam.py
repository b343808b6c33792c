"""Evaluates the identity-based policies of a role for a request, as IAM does.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html: an explicit deny wins, then an allow,
and what no statement mentions is denied. What this file does not know (policy variables, other condition operators) is an
error: it never counts as allowed.
"""

import re
from dataclasses import dataclass, field, replace
from functools import cache


class PolicyError(Exception):
    """A policy that AWS would refuse, or that this file can't evaluate."""


@dataclass(frozen=True)
class Request:
    """A request: its action, the ARN of its resource, the condition keys that it sets, and ARNs that have to be allowed as well."""

    action: str
    resource: str
    keys: dict[str, str] = field(default_factory=dict, hash=False)
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Grant:
    """What one statement allows or denies: one of its actions on one of its resources, both with wildcards."""

    effect: str
    action: str
    resource: str
    # `Condition` of the statement, as sorted text pairs: `(operator, key, values)`.
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

    def matches(self, request: Request) -> bool:
        """Whether it is about the request."""
        return (
            matches(self.action.lower(), request.action.lower())
            and matches_arn(self.resource, request.resource)
            and all(_holds(*condition, request.keys) for condition in self.conditions)
        )


def grants(document: dict) -> list[Grant]:
    """The grants of a policy document, one for each action and resource of its statements."""
    statements = _listed(document["Statement"])
    return [grant for statement in statements for grant in _grants_of(statement)]


def decide(policy: list[Grant], request: Request) -> list[Grant]:
    """The grants that allow the request; none if it is denied."""
    allowing = []
    for resource in (request.resource, *request.others):
        about = [grant for grant in policy if grant.matches(replace(request, resource=resource))]
        if not about or any(grant.effect == "Deny" for grant in about):
            return []
        allowing += about
    return allowing


def matches(pattern: str, text: str) -> bool:
    """Whether a text is what a pattern with `*` (any text) and `?` (any character) describes."""
    return _regex(pattern).fullmatch(text) is not None


def matches_arn(pattern: str, arn: str) -> bool:
    """Whether an ARN is what a pattern describes. A wildcard does not reach beyond its segment, except in the last one."""
    if pattern == "*":
        return True
    patterns, segments = pattern.split(":", 5), arn.split(":", 5)
    return len(patterns) == len(segments) == 6 and all(map(matches, patterns, segments))


def _grants_of(statement: dict) -> list[Grant]:
    unknown = statement.keys() - {"Sid", "Effect", "Action", "Resource", "Condition"}
    if unknown:
        raise PolicyError(f"not evaluated: {', '.join(sorted(unknown))}")
    if statement["Effect"] not in ("Allow", "Deny"):
        raise PolicyError(f"no effect: {statement['Effect']}")
    actions, resources = _listed(statement["Action"]), _listed(statement["Resource"])
    if not actions or not resources:
        raise PolicyError(f"a statement without actions or resources is malformed: {statement}")
    for resource in resources:
        if "${" in resource:
            raise PolicyError(f"policy variables are not evaluated: {resource}")
        if resource != "*" and (not resource.startswith("arn:") or resource.count(":") < 5):
            raise PolicyError(f"neither an ARN nor *: {resource!r}")
    conditions = tuple(
        sorted(
            (operator, key, tuple(map(str, _listed(values))))
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )
    return [Grant(statement["Effect"], action, resource, conditions) for action in actions for resource in resources]


def _holds(operator: str, key: str, values: tuple[str, ...], keys: dict[str, str]) -> bool:
    compare = {
        "StringEquals": lambda value, expected: value == expected,
        "StringLike": lambda value, expected: matches(expected, value),
        "ArnLike": lambda value, expected: matches_arn(expected, value),
        "ArnEquals": lambda value, expected: matches_arn(expected, value),
        "Bool": lambda value, expected: value.lower() == expected.lower(),
    }.get(operator.removesuffix("IfExists"))
    if compare is None:
        raise PolicyError(f"the condition operator {operator} is not evaluated")
    lowered = {name.lower(): value for name, value in keys.items()}
    value = lowered.get(key.lower())
    if value is None:
        return operator.endswith("IfExists")
    return any(compare(value, expected) for expected in values)


def _listed(value: object) -> list:
    return value if isinstance(value, list) else [value]


@cache
def _regex(pattern: str) -> re.Pattern:
    parts = (".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", pattern))
    return re.compile("".join(parts), re.DOTALL)
