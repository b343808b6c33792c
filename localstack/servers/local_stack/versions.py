"""Reads versions.toml, and compares versions as numbers."""

import re
import tomllib
from functools import cache

from local_stack import paths


@cache
def pinned() -> dict:
    """The contents of versions.toml."""
    return tomllib.loads((paths.SERVERS / "versions.toml").read_text())


@cache
def minimum_rust() -> str:
    """The workspace's `rust-version`."""
    manifest = tomllib.loads((paths.REPOSITORY / "Cargo.toml").read_text())
    return manifest["workspace"]["package"]["rust-version"]


def parse(text: str) -> tuple[int, ...]:
    """The numbers of the first version in a text: `rustc 1.95.0 (5980 …)` gives (1, 95, 0); none gives ()."""
    found = re.search(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def at_least(version: str, minimum: str) -> bool:
    """Whether a version is as new as the minimum; a missing part counts as zero."""
    have, need = parse(version), parse(minimum)
    width = max(len(have), len(need))
    return bool(have) and have + (0,) * (width - len(have)) >= need + (0,) * (width - len(need))
