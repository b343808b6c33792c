"""Ports: the variable that sets each, its default, and whether it is free."""

import os
import random
import socket
from dataclasses import dataclass

from local_stack.errors import StackError

# Below the range that Linux and macOS use for outgoing connections: a port that is kept while its server is stopped is
# then not taken by chance.
FREE = range(20000, 32000)


@dataclass(frozen=True)
class Port:
    """One port of a server."""

    variable: str
    default: int

    def from_environment(self) -> int | None:
        """The port that the variable asks for, 0 for any free one; None where it is not set."""
        text = os.environ.get(self.variable, "").strip()
        if not text:
            return None
        if not text.isdigit() or int(text) > 65535:
            raise StackError(f"{self.variable} must be a port number, or 0 for a free one, not `{text}`")
        return int(text)


def pick_free(taken: set[int]) -> int:
    """A port that is free now and not among those taken."""
    for number in random.sample(FREE, 200):
        if number not in taken and _bindable(number):
            return number
    raise StackError(f"no free port found between {FREE.start} and {FREE.stop}")


def free_from(first: int, taken: set[int]) -> int:
    """The first port from this one on that is free now and not among those taken."""
    for number in range(first, min(first + 100, 65536)):
        if number not in taken and _bindable(number):
            return number
    raise StackError(f"no free port found from {first} on")


def require_free(number: int, port: Port, server: str) -> None:
    """Fails if another program uses the port, and names the variable that changes it."""
    if not _bindable(number):
        raise StackError(
            f"{server}'s port {number} is in use by another program. Stop that program, or choose a port: "
            f"{port.variable}=<port> (0 picks a free one)"
        )


def _bindable(number: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True
