"""One running stack: its folder, its ports, the processes it started. Kept in stack.json, so that any later command finds it."""

import fcntl
import json
import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paths
from errors import StackError
from process import Identity

DEFAULT_PORTS = {
    "KAFKA_PORT": 9092,
    "KAFKA_CONTROLLER_PORT": 9093,
    "OPENSEARCH_PORT": 9200,
    "OPENSEARCH_TRANSPORT_PORT": 9300,
    "LOCALSTACK_PORT": 4566,
    "POLLER_PORT": 9464,
    "OPENSEARCH_SECURED_PORT": 9201,
    "OPENSEARCH_SECURED_TRANSPORT_PORT": 9301,
    "ELASTICSEARCH_PORT": 9210,
    "ELASTICSEARCH_TRANSPORT_PORT": 9310,
    "ELASTICSEARCH_6_PORT": 9211,
    "ELASTICSEARCH_6_TRANSPORT_PORT": 9311,
}
# Below the range that Linux and macOS hand out to outgoing connections: a port that is kept while its server is
# stopped is then not taken by chance.
FREE_PORTS = range(20000, 32000)


class Instance:
    """A named stack in the state folder."""

    def __init__(self, name: str) -> None:
        if not name.replace("-", "").replace("_", "").isalnum():
            raise StackError(f"instance name `{name}` may have letters, digits, `-` and `_` only")
        self.name = name
        self.folder = paths.state() / name

    def exists(self) -> bool:
        """Whether anything was ever started under this name."""
        return (self.folder / "stack.json").exists()

    def server_folder(self, server: str) -> Path:
        """Where one server keeps data and logs."""
        folder = self.folder / server
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def log(self, server: str) -> Path:
        """The server's own log."""
        return self.folder / server / f"{server}.log"

    def choose_ports(self, *, free: bool) -> None:
        """Settles the port of each server that does not run: its variable, else the one kept, else the default or a free one."""
        with self._locked() as kept:
            ports = kept["ports"]
            taken = set(ports.values())
            for variable, default in DEFAULT_PORTS.items():
                asked = _port_from_environment(variable)
                if self._running(kept, _server_of(variable)):
                    continue  # its port is a fact by now
                if asked:
                    ports[variable] = asked
                elif variable not in ports:
                    ports[variable] = _free_port(taken) if free or asked == 0 else default
                taken.add(ports[variable])

    def port(self, variable: str) -> int:
        """The port that `choose_ports` settled."""
        return self._read()["ports"].get(variable, DEFAULT_PORTS[variable])

    def process(self, server: str) -> Identity | None:
        """The process that was started for a server, whether or not it still runs."""
        entry = self._read()["servers"].get(server)
        return Identity(entry["pid"], entry["started"]) if entry else None

    def running(self, server: str) -> Identity | None:
        """The server's process if it runs."""
        process = self.process(server)
        return process if process and process.alive() else None

    def release(self, server: str) -> str | None:
        """What the server's process was started from."""
        entry = self._read()["servers"].get(server)
        return entry.get("release") if entry else None

    def remember(self, server: str, process: Identity, release: str) -> None:
        """Records a process that was started, and from what, so that only it is stopped later."""
        with self._locked() as kept:
            kept["servers"][server] = {"pid": process.pid, "started": process.started, "release": release}

    def forget(self, server: str) -> None:
        """Drops the record of a process that was ended."""
        with self._locked() as kept:
            kept["servers"].pop(server, None)

    @contextmanager
    def exclusive(self, server: str) -> Iterator[None]:
        """Lets one command at a time start or stop a server."""
        with _lock(self.server_folder(server) / "lock"):
            yield

    def _read(self) -> dict:
        try:
            kept = json.loads((self.folder / "stack.json").read_text())
        except FileNotFoundError:
            kept = {}
        return {"ports": {}, "servers": {}} | kept

    @contextmanager
    def _locked(self) -> Iterator[dict]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with _lock(self.folder / "stack.lock"):
            kept = self._read()
            yield kept
            written = self.folder / "stack.json.new"
            written.write_text(json.dumps(kept, indent=2) + "\n")
            written.replace(self.folder / "stack.json")  # readers never see half a file

    @staticmethod
    def _running(kept: dict, server: str) -> bool:
        entry = kept["servers"].get(server)
        return bool(entry) and Identity(entry["pid"], entry["started"]).alive()


def instances() -> list[Instance]:
    """Every stack in the state folder."""
    return [Instance(file.parent.name) for file in sorted(paths.state().glob("*/stack.json"))]


def require_free(port: int, variable: str, server: str) -> None:
    """Fails, naming the variable that changes it, if another program has the port."""
    if not _bindable(port):
        raise StackError(
            f"{server}'s port {port} is in use by another program. Stop that program, or choose a port: "
            f"{variable}=<port> (0 picks a free one)"
        )


def _server_of(variable: str) -> str:
    """The server whose port a variable holds: `OPENSEARCH_SECURED_TRANSPORT_PORT` is one of `opensearch-secured`."""
    name = variable.removesuffix("_PORT").removesuffix("_TRANSPORT").removesuffix("_CONTROLLER")
    return name.lower().replace("_", "-")


def _port_from_environment(variable: str) -> int | None:
    text = os.environ.get(variable, "").strip()
    if not text:
        return None
    if not text.isdigit() or int(text) > 65535:
        raise StackError(f"{variable} must be a port number, or 0 for a free one, not `{text}`")
    return int(text)


def _free_port(taken: set[int]) -> int:
    for port in random.sample(FREE_PORTS, 200):
        if port not in taken and _bindable(port):
            return port
    raise StackError(f"no free port found between {FREE_PORTS.start} and {FREE_PORTS.stop}")


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def _lock(file: Path) -> Iterator[None]:
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
