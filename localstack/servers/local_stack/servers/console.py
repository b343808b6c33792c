"""The console: a page that shows what the stack does. It needs no other server, so it shows what is down too."""

import hashlib
import os
import sys
import time
from pathlib import Path

from local_stack import paths, progress, rest
from local_stack.instance import Instance
from local_stack.ports import Port, free_from
from local_stack.prerequisites import Prerequisite
from local_stack.process import POLL_S
from local_stack.server import Launch, Server

PACKAGE = paths.SERVERS / "local_stack"
# A process that was stopped can have its port for a moment longer.
RELEASE_S = 2


class Console(Server):
    """The page's process: this Python, and the standard library."""

    name = "console"
    title = "the console"
    ports = (Port("CONSOLE_PORT", 8080),)
    start_timeout_s = 30
    stop_grace_s = 5

    def prerequisites(self) -> list[Prerequisite]:
        """None."""
        return []

    def fetch(self) -> Path:
        """Returns the package, which is in the checkout."""
        return PACKAGE

    def release(self, fetched: Path) -> str:
        """The hash of the package's files."""
        files = sorted(file for file in fetched.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()

    def prepare(self, instance: Instance, fetched: Path) -> Launch:
        """The console finds the servers by the instance's name."""
        command = [
            sys.executable, "-m", "local_stack.console", "--instance", instance.name, "--port", str(self.port(instance))
        ]  # fmt: skip
        return Launch(
            command, {**os.environ, "PYTHONPATH": str(fetched.parent), "KAFKA_TO_SEARCH_STATE": str(paths.state())}
        )

    def claim_ports(self, instance: Instance) -> None:
        """Takes the next free port where another program has the usual one: many programs like 8080."""
        (port,) = self.ports
        wanted = instance.port(port)
        if port.from_environment():
            return super().claim_ports(instance)
        deadline = time.monotonic() + RELEASE_S
        while (found := free_from(wanted, instance.other_ports(port))) != wanted and time.monotonic() < deadline:
            time.sleep(POLL_S)
        if found != wanted:
            progress.say(
                f"      port {wanted} is in use by another program: the console takes {found} ({port.variable} chooses)"
            )
            instance.keep_port(port, found)
        return None

    def ready(self, instance: Instance) -> bool:
        """Whether it serves the page's state."""
        return rest.succeeds(f"{self.info(instance)['endpoint']}/api/state")

    def info(self, instance: Instance) -> dict[str, str]:
        """The page's address."""
        return {"endpoint": f"http://127.0.0.1:{self.port(instance)}"}


CONSOLE = Console()
