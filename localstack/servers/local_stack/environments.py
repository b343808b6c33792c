"""Python environments in the cache: for LocalStack, the deployment tools and the checks. Each is made once per set of pinned versions."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from local_stack import paths
from local_stack.errors import StackError
from local_stack.layout import locked, once
from local_stack.process import run_logged
from local_stack.versions import pinned

NAMES = ("localstack", "tools", "checks", "checkov", "go", "serializers")


def ensure(name: str) -> Path:
    """Returns the environment's folder, and makes it if it does not exist. The folder's name is a hash of what is in it."""
    requirements = pinned()["environments"][name]
    constraints = paths.SERVERS / "constraints" / f"{name}.txt"
    folder = paths.cache() / f"{name}-{_fingerprint(requirements, constraints)}"
    finished = folder / "finished"
    if finished.exists():
        return folder
    with locked(folder):
        if not finished.exists():
            _make(name, folder, requirements, constraints)
            finished.touch()
    return folder


def run(name: str, command: list[str]) -> int:
    """Runs a command with an environment's programs first on PATH."""
    environment = {**os.environ, "PATH": f"{ensure(name) / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}
    if name == "localstack" and (installed := extension()):
        environment["PYTHONPATH"] = str(installed)
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        raise StackError(f"no program `{command[0]}` in the environment `{name}` or on PATH")
    return subprocess.run([program, *command[1:]], env=environment, check=False).returncode


def extension() -> Path | None:
    """The folder with the installed LocalStack extension, for PYTHONPATH; None where the project has none.

    It is separate from LocalStack's environment, so that a change to it costs seconds, and checkouts with different
    extensions share the environment.
    """
    if not (paths.EXTENSION / "pyproject.toml").exists():
        return None
    sources = extension_sources()
    digest = hashlib.sha256()
    for file in sources:
        digest.update(f"{file.relative_to(paths.EXTENSION)}\0".encode())
        digest.update(file.read_bytes())
    python = ensure("localstack")
    digest.update(python.name.encode())
    return once(paths.cache() / f"extension-{digest.hexdigest()[:16]}", lambda into: _install_extension(python, into))


def extension_sources() -> list[Path]:
    """The extension's own files, without what its builds and tests leave behind."""
    ignored = {"__pycache__", "build", "dist", ".pytest_cache", "tests"}
    files = (file for file in paths.EXTENSION.rglob("*") if file.is_file())
    return sorted(
        file
        for file in files
        if not any(part in ignored or part.endswith(".egg-info") for part in file.relative_to(paths.EXTENSION).parts)
    )


def _make(name: str, folder: Path, requirements: list[str], constraints: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # an earlier attempt may have been interrupted
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    run_logged(
        f"installing {requirements[0].split('==')[0]} and its {_count(constraints)} packages (Python environment `{name}`)",
        [
            str(folder / "bin" / "pip"),
            "install",
            "--no-input",
            "--disable-pip-version-check",
            "-c",
            str(constraints),
            *requirements,
        ],
        paths.cache() / "logs" / f"pip-{name}.log",
    )


def _install_extension(environment: Path, into: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # A copy, because the build leaves files beside the sources.
        copy = Path(folder) / "extension"
        for file in extension_sources():
            target = copy / file.relative_to(paths.EXTENSION)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)
        # Its dependencies are LocalStack's own, and setuptools is in the environment: nothing is downloaded.
        options = ["--no-deps", "--no-build-isolation", "--no-input", "--disable-pip-version-check"]
        run_logged(
            "installing the LocalStack extension",
            [str(environment / "bin" / "pip"), "install", *options, "--target", str(into), str(copy)],
            paths.cache() / "logs" / "pip-extension.log",
        )


def _fingerprint(requirements: list[str], constraints: Path) -> str:
    text = "\n".join([*requirements, constraints.read_text(), sys.version, sys.base_prefix])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _count(constraints: Path) -> int:
    return sum(1 for line in constraints.read_text().splitlines() if line and not line.startswith("#"))
