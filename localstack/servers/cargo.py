"""Builds the workspace's own programs of the local stack."""

import os
from collections.abc import Mapping
from pathlib import Path

import paths
import prerequisites
from process import run_logged

PROGRAMS = ("kafka-poller", "event-producer")
PROFILE = "local"


def build(program: str) -> Path:
    """Returns a program, built with the other ones, since they share most of their work; cargo knows what is to do."""
    packages = [word for name in PROGRAMS for word in ("--package", name)]
    # For mappings of a Kafka with TLS. Without OpenSSL's headers the poller serves all others, and says what it lacks.
    features = ["--features", "kafka-poller/tls"] if prerequisites.openssl_headers() else []
    run_logged(
        f"building {' and '.join(PROGRAMS)}",
        ["cargo", "build", "--locked", "--profile", PROFILE, *packages, *features],
        paths.state() / "logs" / "build.log",
        paths.REPOSITORY,
        outside(os.environ),
    )
    return paths.cargo_target() / PROFILE / program


def outside(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what cargo sets for the programs and tests that it runs.

    Build scripts look at some of it, so a build from within a test would begin anew, and so would the next one from outside.
    """
    own = ("CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_PRIMARY_")
    return {name: value for name, value in environment.items() if not name.startswith(own)}
