"""No module of the project's Python packages imports another that imports it, directly or not."""

import ast
from pathlib import Path

import pytest

from local_stack import paths

PACKAGES = (paths.SERVERS / "local_stack", paths.EXTENSION / "kafka_to_search_localstack")


def imports(package: Path) -> dict[str, set[str]]:
    """The modules of a package that each module imports, by their full names."""
    files = {_name(package, file): file for file in package.rglob("*.py")}
    return {name: _imported(file) & (files.keys() - {name}) for name, file in files.items()}


def circle(graph: dict[str, set[str]]) -> list[str]:
    """One circle in a graph, from a module to itself; empty if there is none."""

    def search(path: list[str]) -> list[str]:
        for imported in sorted(graph[path[-1]]):
            if imported in path:
                return [*path[path.index(imported) :], imported]
            if imported not in finished and (found := search([*path, imported])):
                return found
        finished.add(path[-1])
        return []

    finished: set[str] = set()
    return next((found for name in sorted(graph) if name not in finished and (found := search([name]))), [])


def _name(package: Path, file: Path) -> str:
    parts = file.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Import():
                names |= {alias.name for alias in node.names}
            case ast.ImportFrom(module=str(module)):
                names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_modules_do_not_import_each_other_in_a_circle(package):
    graph = imports(package)

    assert any(graph.values()), "no import was found: the test looks in the wrong place"
    assert circle(graph) == []


def test_a_circle_is_found_over_several_modules():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
