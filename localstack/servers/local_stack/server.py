"""The type of every server: how it is fetched, started, checked, described and stopped."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from local_stack import process, progress
from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.ports import Port, require_free
from local_stack.prerequisites import Prerequisite
from local_stack.process import ProcessIdentity


@dataclass(frozen=True)
class Launch:
    """The command of a server's process, and its environment."""

    command: list[str]
    environment: Mapping[str, str]


class Server(ABC):
    """One kind of server. It has no state: an `Instance` keeps the ports and processes."""

    name: str
    """As commands, folders and `info` name it."""
    title: str
    """As messages name it."""
    ports: tuple[Port, ...]
    """Clients connect to the first one."""
    node: int = 1
    """Its number in its cluster, from 1."""
    needs: tuple["Server", ...] = ()
    """Servers that must run before this one starts."""
    start_timeout_s: float = 120
    stop_grace_s: float = 30

    @property
    def cluster(self) -> str:
        """The name of the cluster's first node; a server that has no cluster is one of its own."""
        return self.name.removesuffix(f"-{self.node}") if self.node > 1 else self.name

    @abstractmethod
    def prerequisites(self) -> list[Prerequisite]:
        """What must be installed to fetch and run it."""

    @abstractmethod
    def fetch(self) -> Path:
        """Downloads or builds it unless the cache has it; returns where it is."""

    def release(self, fetched: Path) -> str:
        """Identifies what would be started now: a process of another release is restarted."""
        return fetched.name

    @abstractmethod
    def prepare(self, instance: Instance, fetched: Path) -> Launch:
        """Writes the configuration and what else must be there before the process starts."""

    @abstractmethod
    def ready(self, instance: Instance) -> bool:
        """Whether the started server serves its clients by now."""

    @abstractmethod
    def info(self, instance: Instance) -> dict[str, str]:
        """Where clients connect, and with what credentials."""

    def environment(self, instance: Instance) -> dict[str, str]:
        """The variables by which commands find it."""
        return {}

    def port(self, instance: Instance) -> int:
        """The port that clients connect to."""
        return instance.port(self.ports[0])

    def claim_ports(self, instance: Instance) -> None:
        """Fails if another program uses one of its ports."""
        for port in self.ports:
            require_free(instance.port(port), port, self.title)

    def start(self, instance: Instance, fetched: Path) -> None:
        """Starts it, unless this release already runs; returns when it is ready."""
        release = self.release(fetched)
        with instance.exclusive(self.name):
            found = instance.running(self.name)
            if found and instance.release(self.name) == release:
                progress.say(f"   ok {self.name} already runs (pid {found.pid})")
                return
            if found:
                with progress.step(f"stopping {self.name}, which runs an older release"):
                    process.stop(found, self.stop_grace_s)
            self._launch(instance, fetched, release)

    def stop(self, instance: Instance) -> None:
        """Stops it with SIGTERM, and kills it if it does not end within its grace."""
        self._end(instance, lambda found: process.stop(found, self.stop_grace_s))

    def kill(self, instance: Instance) -> None:
        """Kills it, as a crash would."""
        self._end(instance, process.kill)

    def _launch(self, instance: Instance, fetched: Path, release: str) -> None:
        for needed in self.needs:
            if not instance.running(needed.name):
                raise StackError(f"{self.title} needs {needed.title}, which does not run: start {needed.name} first")
        self.claim_ports(instance)
        folder, log = instance.server_folder(self.name), instance.log(self.name)
        with progress.step(f"starting {self.title} on 127.0.0.1:{self.port(instance)}"):
            launch = self.prepare(instance, fetched)
            started, popen = process.launch(launch.command, log, folder, launch.environment)
            instance.remember(self.name, started, release)
            process.wait_until(lambda: self.ready(instance), popen, self.title, log, self.start_timeout_s)

    def _end(self, instance: Instance, how: Callable[[ProcessIdentity], str]) -> None:
        with instance.exclusive(self.name):
            found = instance.process(self.name)
            if found is None:
                return
            if found.alive():
                with progress.step(f"stopping {self.name} (pid {found.pid})"):
                    outcome = how(found)
                if outcome not in ("stopped", "killed"):
                    progress.say(f"      {self.name} {outcome}")
            instance.forget(self.name)
