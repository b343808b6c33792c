"""Builds the workspace's own programs of the local stack."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from local_stack import paths, prerequisites
from local_stack.process import run_logged

PROGRAMS = ("kafka-poller", "event-producer")
PROFILE = "local"


def build(program: str) -> Path:
    """Returns a program. All of them are built together, since they share most dependencies, once in a run of a command."""
    _build()
    return paths.cargo_target() / PROFILE / program


@cache
def _build() -> None:
    packages = [word for name in PROGRAMS for word in ("--package", name)]
    # For mappings of a Kafka with TLS. Built without OpenSSL's headers, the poller serves all others and reports what it lacks.
    features = ["--features", "kafka-poller/tls"] if prerequisites.openssl_headers() else []
    run_logged(
        f"building {' and '.join(PROGRAMS)}",
        ["cargo", "build", "--locked", "--profile", PROFILE, *packages, *features],
        paths.state() / "logs" / "build.log",
        paths.REPOSITORY,
        outside(os.environ),
    )


def outside(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without the variables that cargo sets for the programs and tests that it runs.

    Build scripts depend on some of them, so a build from within a test would start over, and so would the next one outside.
    """
    own = ("CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_PRIMARY_")
    return {name: value for name, value in environment.items() if not name.startswith(own)}
