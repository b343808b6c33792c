"""Apicurio Registry: Confluent's schema registry API under `/apis/ccompat/v7`, from the released archive."""

import os
import tarfile
import tempfile
from pathlib import Path

from local_stack import java, maven, paths, prerequisites, rest
from local_stack.instance import Instance
from local_stack.layout import once
from local_stack.ports import Port
from local_stack.prerequisites import Prerequisite
from local_stack.progress import step
from local_stack.server import Launch, Server
from local_stack.versions import pinned

CONFLUENT_API = "/apis/ccompat/v7"
HEAP = "-Xms128m -Xmx384m"


class SchemaRegistry(Server):
    """The registry, open to everybody on this machine. It holds the schemas in memory: register them after each start."""

    name = "schema-registry"
    title = "Apicurio Registry"
    ports = (Port("SCHEMA_REGISTRY_PORT", 8081), Port("SCHEMA_REGISTRY_MANAGEMENT_PORT", 8082))

    def prerequisites(self) -> list[Prerequisite]:
        """A JDK, and Maven."""
        return [prerequisites.jdk(), prerequisites.maven()]

    def fetch(self) -> Path:
        """Returns the folder with `quarkus-run.jar`."""
        version, size_mb = pinned()[self.name]["version"], pinned()[self.name]["download-mb"]
        folder = paths.cache() / f"apicurio-registry-{version}"
        return once(folder, lambda into: _unpack(version, size_mb, into))

    def prepare(self, instance: Instance, fetched: Path) -> Launch:
        """The registry is configured by its command line alone."""
        # The first compiler alone warms up sooner, as Kafka's does.
        options = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true", *HEAP.split()]
        command = [str(java.home() / "bin" / "java"), *options, *properties(*map(instance.port, self.ports))]
        return Launch([*command, "-jar", str(fetched / "quarkus-run.jar")], os.environ)

    def ready(self, instance: Instance) -> bool:
        """Whether it lists its subjects: the API is up, and the store behind it."""
        return rest.succeeds(f"{self.info(instance)['endpoint']}/subjects")

    def info(self, instance: Instance) -> dict[str, str]:
        """The URL that serializers and functions are given, with the path of Confluent's API."""
        return {"endpoint": f"http://127.0.0.1:{self.port(instance)}{CONFLUENT_API}"}

    def environment(self, instance: Instance) -> dict[str, str]:
        """The URL."""
        return {"SCHEMA_REGISTRY_URL": self.info(instance)["endpoint"]}


SCHEMA_REGISTRY = SchemaRegistry()


def properties(port: int, management_port: int) -> list[str]:
    """The registry's settings: the loopback address alone, and no log of each request."""
    settings = {
        "quarkus.http.host": "127.0.0.1",
        "quarkus.http.port": str(port),
        # Health and metrics, which would be open to the network on port 9000.
        "quarkus.management.host": "127.0.0.1",
        "quarkus.management.port": str(management_port),
    }
    return [f"-D{name}={value}" for name, value in settings.items()]


def _unpack(version: str, size_mb: int, into: Path) -> None:
    artifact = f"io.apicurio:apicurio-registry-app:{version}:tar.gz:all"
    with tempfile.TemporaryDirectory(dir=paths.cache()) as aside:
        maven.copy(f"fetching Apicurio Registry {version} ({size_mb} MB)", artifact, Path(aside))
        archive = Path(aside) / f"apicurio-registry-app-{version}-all.tar.gz"
        with step(f"unpacking Apicurio Registry {version}"), tarfile.open(archive) as packed:
            packed.extractall(into, filter="data")
