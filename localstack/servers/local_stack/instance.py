"""One running stack: its folder, its ports and its processes, kept in stack.json, where any later command finds them."""

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from local_stack import paths
from local_stack.errors import StackError
from local_stack.ports import Port, pick_free
from local_stack.process import ProcessIdentity


class Instance:
    """A named stack in the state folder. Servers are known to it by their names."""

    def __init__(self, name: str) -> None:
        if not name.replace("-", "").replace("_", "").isalnum():
            raise StackError(f"instance name `{name}` may have letters, digits, `-` and `_` only")
        self.name = name
        self.folder = paths.state() / name

    def exists(self) -> bool:
        """Whether anything was ever started under this name."""
        return (self.folder / "stack.json").exists()

    def server_folder(self, server: str) -> Path:
        """The folder for a server's data and logs."""
        folder = self.folder / server
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def log(self, server: str) -> Path:
        """The server's own log."""
        return self.folder / server / f"{server}.log"

    def choose_ports(self, servers: Mapping[str, Sequence[Port]], *, free: bool) -> None:
        """Chooses each port of the servers that do not run: its variable, else the one kept, else the default or a free one."""
        with self._locked() as kept:
            chosen = kept["ports"]
            taken = set(chosen.values())
            for server, ports in servers.items():
                running = self._running(kept, server)
                for port in ports:
                    wanted = port.from_environment()
                    if running:
                        continue  # its ports can't change any more
                    if wanted:
                        chosen[port.variable] = wanted
                    elif port.variable not in chosen:
                        chosen[port.variable] = pick_free(taken) if free or wanted == 0 else port.default
                    taken.add(chosen[port.variable])

    def port(self, port: Port) -> int:
        """The number that `choose_ports` chose."""
        return self._read()["ports"].get(port.variable, port.default)

    def other_ports(self, port: Port) -> set[int]:
        """The numbers that were chosen for all ports but this one."""
        return {number for variable, number in self._read()["ports"].items() if variable != port.variable}

    def keep_port(self, port: Port, number: int) -> None:
        """Chooses another number for a port of a server that does not run."""
        with self._locked() as kept:
            kept["ports"][port.variable] = number

    def n_nodes(self, cluster: str) -> int:
        """How many nodes a cluster has: 1 unless `set_n_nodes` set another number."""
        return self._read()["nodes"].get(cluster, 1)

    def set_n_nodes(self, cluster: str, count: int) -> None:
        """Sets how many nodes a cluster has, before the first of them is started."""
        if count != self.n_nodes(cluster) and (self.folder / cluster / "data").exists():
            raise StackError(
                f"the data of {cluster} in the instance `{self.name}` is that of another number of nodes: take another instance, "
                f"or remove {self.folder}"
            )
        with self._locked() as kept:
            kept["nodes"][cluster] = count

    def process(self, server: str) -> ProcessIdentity | None:
        """The process that was started for a server, whether or not it still runs."""
        started = self._read()["servers"].get(server)
        return ProcessIdentity(started["pid"], started["started"]) if started else None

    def running(self, server: str) -> ProcessIdentity | None:
        """The server's process if it runs."""
        process = self.process(server)
        return process if process and process.alive() else None

    def release(self, server: str) -> str | None:
        """The release that the server's process was started from."""
        started = self._read()["servers"].get(server)
        return started.get("release") if started else None

    def remember(self, server: str, process: ProcessIdentity, release: str) -> None:
        """Records a started process and its release, so that only this process is stopped later."""
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
        return {"ports": {}, "servers": {}, "nodes": {}} | kept

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
        started = kept["servers"].get(server)
        return bool(started) and ProcessIdentity(started["pid"], started["started"]).alive()


def instances() -> list[Instance]:
    """Every stack in the state folder."""
    return [Instance(file.parent.name) for file in sorted(paths.state().glob("*/stack.json"))]


@contextmanager
def _lock(file: Path) -> Iterator[None]:
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
