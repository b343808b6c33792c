"""kafka-poller, built from this checkout: it serves the Kafka event source mappings of the instance's LocalStack."""

import hashlib
import os
from pathlib import Path

from local_stack import cargo, prerequisites
from local_stack.instance import Instance
from local_stack.ports import Port
from local_stack.prerequisites import Prerequisite
from local_stack.server import Launch, Server
from local_stack.servers.localstack import LOCALSTACK

# The poller's port is open before it serves. It logs this line when it begins to serve, and can be stopped gracefully from
# then on.
SERVING = b"serving Kafka event source mappings"


class Poller(Server):
    """The poller. It looks for mappings again and again, so it may start before they are deployed."""

    name = "poller"
    title = "the poller"
    ports = (Port("POLLER_PORT", 9464),)
    needs = (LOCALSTACK,)
    start_timeout_s = 30
    stop_grace_s = 60

    def prerequisites(self) -> list[Prerequisite]:
        """Rust, and what compiles its Kafka client."""
        return [prerequisites.rust(), *prerequisites.c_toolchain()]

    def fetch(self) -> Path:
        """Returns the program, built."""
        return cargo.build("kafka-poller")

    def release(self, fetched: Path) -> str:
        """The program's hash."""
        return hashlib.sha256(fetched.read_bytes()).hexdigest()

    def prepare(self, instance: Instance, fetched: Path) -> Launch:
        """The poller is configured by its command line alone."""
        endpoint = LOCALSTACK.info(instance)["endpoint"]
        listen = f"127.0.0.1:{self.port(instance)}"
        command = [str(fetched), "serve", "--endpoint-url", endpoint, "--listen", listen]
        return Launch(command, {**os.environ, **LOCALSTACK.environment(instance)})

    def ready(self, instance: Instance) -> bool:
        """Whether it has logged that it serves."""
        return SERVING in instance.log(self.name).read_bytes()

    def info(self, instance: Instance) -> dict[str, str]:
        """The endpoint of its health, status and metrics."""
        return {"endpoint": f"http://127.0.0.1:{self.port(instance)}"}


POLLER = Poller()
