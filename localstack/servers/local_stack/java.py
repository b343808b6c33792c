"""Finds the newest installed JDK."""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from local_stack.errors import StackError
from local_stack.versions import at_least, parse, pinned

PLACES = (
    "/usr/lib/jvm/*",
    "/usr/java/*",
    "/opt/java/*",
    "/opt/jdk*",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
    "/opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
    "~/.sdkman/candidates/java/*",
    "~/.jdks/*",
    "~/.local/share/mise/installs/java/*",
)


@cache
def home() -> Path:
    """The home of the newest JDK that is new enough."""
    minimum = str(pinned()["java"]["minimum"])
    found = newest(minimum)
    if found is None:
        raise StackError(f"no JDK {minimum} or newer was found")
    return found[1]


@cache
def newest(minimum: str, below: str | None = None) -> tuple[str, Path] | None:
    """Version and home of the newest JDK that is at least `minimum` and older than `below`."""
    fit = [
        (version, folder)
        for version, folder in installed()
        if at_least(version, minimum) and not (below and at_least(version, below))
    ]
    return max(fit, key=lambda found: parse(found[0]), default=None)


def installed() -> list[tuple[str, Path]]:
    """Every JDK that was found and runs: its version and its home."""
    found = {}
    for candidate in _candidates():
        folder = candidate.resolve()
        if folder not in found and (folder / "bin" / "java").exists():
            found[folder] = _version(folder)
    return [(version, folder) for folder, version in found.items() if version]


def _candidates() -> list[Path]:
    candidates = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    on_path = shutil.which("java")
    if on_path:
        candidates.append(Path(on_path).resolve().parent.parent)
    for place in PLACES:
        pattern = Path(place).expanduser()
        candidates.extend(sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))))
    return candidates


def _version(folder: Path) -> str | None:
    try:
        release = (folder / "release").read_text("utf-8", "replace")
    except OSError:
        release = ""
    stated = re.search(r'^JAVA_VERSION="([^"]+)"', release, re.MULTILINE)
    if stated:
        return stated.group(1)
    try:
        printed = subprocess.run([folder / "bin" / "java", "-version"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    quoted = re.search(r'version "([^"]+)"', printed.stderr)
    return quoted.group(1) if quoted else None
