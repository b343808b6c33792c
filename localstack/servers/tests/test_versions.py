"""Versions are compared as numbers."""

import re

import pytest

from local_stack import paths
from local_stack.versions import at_least, minimum_rust, parse, pinned


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("cargo 1.95.0 (f2d3ce0bd 2026-03-21)", (1, 95, 0)),
        ("25.0.3", (25, 0, 3)),
        ("1.8.0_392", (1, 8, 0)),
        ("GNU Make 4.3", (4, 3)),
        ("no number", ()),
    ],
)
def test_the_first_version_in_a_text_is_read(text, numbers):
    assert parse(text) == numbers


@pytest.mark.parametrize(
    ("version", "minimum", "expected"),
    [
        ("1.94.1", "1.94.1", True),
        ("1.100.0", "1.94.1", True),
        ("1.94.0", "1.94.1", False),
        ("1.94", "1.94.0", True),
        ("9", "21", False),
        ("21", "21", True),
        ("21.0.1", "21", True),
        ("nothing", "0", False),
    ],
)
def test_a_version_is_compared_by_its_numbers(version, minimum, expected):
    assert at_least(version, minimum) is expected


def test_the_constraints_of_an_environment_pin_what_it_requires():
    for name, requirements in pinned()["environments"].items():
        constraints = (paths.SERVERS / "constraints" / f"{name}.txt").read_text().lower().replace("_", "-").splitlines()
        for requirement in requirements:
            assert re.sub(r"\[.*\]", "", requirement).lower() in constraints


def test_the_rust_version_is_the_workspaces_own():
    assert f'rust-version = "{minimum_rust()}"' in (paths.REPOSITORY / "Cargo.toml").read_text()
