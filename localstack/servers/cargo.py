"""Builds the workspace's own programs for release."""

from pathlib import Path

import paths
from process import run_logged


def build(package: str) -> Path:
    """Builds a package's program of the same name; cargo itself knows whether anything is to do."""
    run_logged(
        f"building {package}",
        ["cargo", "build", "--release", "--locked", "--package", package],
        paths.state() / "logs" / f"build-{package}.log",
        paths.REPOSITORY,
    )
    return paths.cargo_target() / "release" / package
