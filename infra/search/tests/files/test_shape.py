"""The schema checker itself."""

import re

import pytest

from shape import Mismatch, check

SCHEMA = {
    "name": str,
    "size?": int,
    "kind": {"a", "b"},
    "ages?": [re.compile(r"\d+d")],
    "any?": {str: bool},
    "one?": (None, int),
}


def test_a_matching_value_passes():
    check({"name": "n", "size": 1, "kind": "a", "ages": ["1d"], "any": {"x": True}, "one": None}, SCHEMA)
    check({"name": "n", "kind": "b", "one": 3}, SCHEMA)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"other": 1}, r"\$\.other is not known"),
        ({"name": 1}, "not of type str"),
        ({"size": True}, "not of type int"),
        ({"kind": "c"}, "not one of"),
        ({"ages": ["1d", "d"]}, r"ages\[1\] .* not of the form"),
        ({"ages": "1d"}, "must be an array"),
        ({"any": {"x": 1}}, "not of type bool"),
        ({"one": "1"}, "none of the alternatives"),
    ],
)
def test_a_value_that_does_not_match_is_rejected(changes, reason):
    with pytest.raises(Mismatch, match=reason):
        check({"name": "n", "kind": "a", **changes}, SCHEMA)


def test_a_missing_key_is_rejected():
    with pytest.raises(Mismatch, match=r"\$\.kind is missing"):
        check({"name": "n"}, SCHEMA)
