"""Builds the workspace's own programs of the local stack."""

from pathlib import Path

import paths
from process import run_logged

PROGRAMS = ("kafka-poller", "event-producer")
PROFILE = "local"


def build(program: str) -> Path:
    """Returns a program, built with the other ones, since they share most of their work; cargo knows what is to do."""
    packages = [word for name in PROGRAMS for word in ("--package", name)]
    run_logged(
        f"building {' and '.join(PROGRAMS)}",
        ["cargo", "build", "--locked", "--profile", PROFILE, *packages],
        paths.state() / "logs" / "build.log",
        paths.REPOSITORY,
    )
    return paths.cargo_target() / PROFILE / program
