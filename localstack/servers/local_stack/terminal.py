"""Colours for a terminal. A file, and a terminal whose user does not want any, get plain text."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True)
class Style:
    """Marks text. Without colours it stays as it is."""

    colours: bool

    def heading(self, text: str) -> str:
        """The name of a part."""
        return self._marked("1", text)

    def good(self, text: str) -> str:
        """A success."""
        return self._marked("32", text)

    def bad(self, text: str) -> str:
        """A failure, or what someone should look at."""
        return self._marked("31", text)

    def command(self, text: str) -> str:
        """A command to type."""
        return self._marked("36", text)

    def faint(self, text: str) -> str:
        """What is seldom read."""
        return self._marked("2", text)

    def _marked(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.colours else text


def style(stream: TextIO, environment: Mapping[str, str] = os.environ) -> Style:
    """The style of a stream. NO_COLOR is respected: https://no-color.org."""
    wanted = not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
    return Style(wanted and stream.isatty())
