"""Fetches Maven artifacts through `mvn`, so that the user's own mirrors, proxies and credentials are used.

Maven checks each artifact against its checksum (`--strict-checksums`).
"""

import tempfile
from pathlib import Path

from local_stack import paths
from local_stack.process import run_logged
from local_stack.versions import pinned


def copy(title: str, artifact: str, into: Path) -> None:
    """Copies one artifact, `group:name:version[:type[:classifier]]`, into a folder."""
    _run(title, ["copy", f"-Dartifact={artifact}", f"-DoutputDirectory={into}"])


def copy_with_dependencies(title: str, artifacts: list[str], into: Path) -> None:
    """Copies artifacts, `group:name:version`, and their run-time dependencies into a folder."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pom.xml").write_text(pom(artifacts))
        _run(title, ["copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={into}"], Path(folder))


def pom(artifacts: list[str]) -> str:
    """A project that does nothing but depend on these artifacts."""
    wanted = "".join(
        "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>".format(
            *artifact.split(":")
        )
        for artifact in artifacts
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>kafka-to-search</groupId><artifactId>server</artifactId><version>1</version><packaging>pom</packaging>"
        f"<dependencies>{wanted}</dependencies></project>\n"
    )


def _run(title: str, goal: list[str], cwd: Path | None = None) -> None:
    plugin = f"org.apache.maven.plugins:maven-dependency-plugin:{pinned()['maven']['dependency-plugin']}"
    command = ["mvn", "--batch-mode", "--strict-checksums", f"{plugin}:{goal[0]}", *goal[1:]]
    run_logged(title, command, paths.cache() / "logs" / "maven.log", cwd or paths.cache())
