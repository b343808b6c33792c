"""Extracts the commands and queries from the guides, as a reader would copy them."""

import re
from dataclasses import dataclass
from pathlib import Path

import bashlex
from conftest import KUBERNETES, REPOSITORY
from markdown_it import MarkdownIt

GUIDES = [
    *sorted((KUBERNETES / "docs").glob("*.md")),
    KUBERNETES / "images" / "README.md",
]
PROGRAMS = (
    "kubectl ",
    "make ",
    "docker ",
    "infra/",
    "kafka-poller ",
    "kafka-consumer-groups.sh ",
    "kafka-topics.sh ",
    "event-producer ",
)


@dataclass(frozen=True)
class Command:
    """A command in a guide: its words and the text piped into it."""

    guide: str
    words: tuple[str, ...]
    stdin: str = ""

    def __str__(self) -> str:
        return f"{self.guide}: {' '.join(self.words)}"

    @property
    def inside(self) -> tuple[str, ...]:
        """What `kubectl exec` runs in the pod."""
        return self.words[self.words.index("--") + 1 :] if "--" in self.words else ()


def commands() -> list[Command]:
    """Every command in a bash block, and every inline command that starts with a known program."""
    found = []
    for path in GUIDES:
        for language, text in blocks(path):
            if language == "bash":
                for line in text.splitlines():
                    found += parsed(path, line)
        for code in inline(path):
            if code.startswith(PROGRAMS) and " " in code:
                found += parsed(path, code)
    return found


def parsed(path: Path, line: str) -> list[Command]:
    """The commands in a line. Text that `echo` pipes into a command becomes its standard input."""
    found, stdin = [], ""
    (tree,) = bashlex.parse(line)
    parts = tree.parts if tree.kind == "pipeline" else [tree]
    for part in (part for part in parts if part.kind == "command"):
        words = tuple(word.word for word in part.parts if word.kind == "word")
        if words[0] == "echo":
            stdin = words[1] + "\n"
        elif words[0] != "base64":
            found.append(Command(path.name, words, stdin))
    assert found, f"{path.name}: no command in {line!r}"
    return found


def blocks(path: Path) -> list[tuple[str, str]]:
    """The language and text of each fenced block."""
    return [(token.info, token.content) for token in MarkdownIt().parse(path.read_text()) if token.type == "fence"]


def inline(path: Path) -> list[str]:
    """Every inline code span in text and tables."""
    return [
        child.content
        for token in MarkdownIt().enable("table").parse(path.read_text())
        if token.type == "inline"
        for child in token.children
        if child.type == "code_inline"
    ]


def queries() -> list[tuple[str, str, str]]:
    """The method, path and body of each console block."""
    found = []
    for path in GUIDES:
        for language, text in blocks(path):
            if language == "console":
                first, _, body = text.partition("\n")
                method, place = first.split()
                found.append((method, "/" + place, body))
    return found


def headings(path: Path) -> set[str]:
    """The anchors of the headings in a guide."""
    tokens = MarkdownIt().parse(path.read_text())
    titles = [tokens[number + 1].content for number, token in enumerate(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def links() -> list[tuple[Path, str]]:
    """The links to project files in each guide."""
    return [
        (path, target)
        for path in GUIDES
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text())
        if not target.startswith(("http:", "https:"))
    ]


def exists(path: str) -> bool:
    """Whether a path relative to the root of the repository exists."""
    return (REPOSITORY / path).exists()
