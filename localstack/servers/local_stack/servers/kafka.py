"""Kafka: one node in KRaft mode, broker and controller in one JVM, from the released jars."""

import os
import socket
import struct
import subprocess
from pathlib import Path

from local_stack import java, maven, paths, prerequisites
from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.layout import once
from local_stack.ports import Port
from local_stack.prerequisites import Prerequisite
from local_stack.process import tail
from local_stack.server import Launch, Server
from local_stack.versions import pinned

# Every local cluster has this id, since clusters never share a data folder.
CLUSTER_ID = "a2Fma2EtdG8tc2VhcmNoMQ"
METADATA_REQUEST = 3
METADATA_VERSION = 7

LOG4J2 = """\
status=error
appender.console.type=Console
appender.console.name=console
appender.console.target=SYSTEM_ERR
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=info
rootLogger.appenderRefs=console
rootLogger.appenderRef.console.ref=console
"""


class Kafka(Server):
    """The broker; `end_offsets` reads how far its topics go."""

    name = "kafka"
    title = "Kafka"
    ports = (Port("KAFKA_PORT", 9092), Port("KAFKA_CONTROLLER_PORT", 9093))

    def prerequisites(self) -> list[Prerequisite]:
        """A JDK, and Maven."""
        return [prerequisites.jdk(), prerequisites.maven()]

    def fetch(self) -> Path:
        """Returns the folder of jars."""
        versions = pinned()["kafka"]
        artifacts = [
            f"org.apache.kafka:kafka_{versions['scala']}:{versions['version']}",
            f"org.apache.kafka:kafka-tools:{versions['version']}",
            # Kafka logs through slf4j; these write the log.
            f"org.apache.logging.log4j:log4j-slf4j-impl:{versions['log4j']}",
            f"org.apache.logging.log4j:log4j-core:{versions['log4j']}",
            f"org.apache.logging.log4j:log4j-1.2-api:{versions['log4j']}",
        ]
        title = f"fetching Kafka {versions['version']} (55 MB)"
        folder = paths.cache() / f"kafka-{versions['version']}-log4j-{versions['log4j']}"
        return once(folder, lambda into: maven.copy_with_dependencies(title, artifacts, into))

    def prepare(self, instance: Instance, fetched: Path) -> Launch:
        """Writes the configuration, and formats a new data folder."""
        folder = instance.server_folder(self.name)
        port, controller_port = map(instance.port, self.ports)
        configuration, log4j2 = folder / "server.properties", folder / "log4j2.properties"
        configuration.write_text(properties(port, controller_port, folder / "data"))
        log4j2.write_text(LOG4J2)
        command = java_command(fetched, log4j2)
        if not (folder / "data" / "meta.properties").exists():
            _format(command, configuration, instance.log(self.name))
        heap = os.environ.get("KAFKA_HEAP", "-Xms256m -Xmx512m").split()
        return Launch([*command, *heap, "kafka.Kafka", str(configuration)], os.environ)

    def ready(self, instance: Instance) -> bool:
        """Whether the broker serves metadata that includes itself: registered, caught up and open to clients."""
        body = struct.pack(">hhih", METADATA_REQUEST, METADATA_VERSION, 1, -1) + struct.pack(">i?", 0, False)
        try:
            with socket.create_connection(("127.0.0.1", self.port(instance)), timeout=2) as connection:
                connection.sendall(struct.pack(">i", len(body)) + body)
                response = connection.makefile("rb")
                (size,) = struct.unpack(">i", response.read(4))
                _correlation, _throttle_ms, n_brokers = struct.unpack_from(">iii", response.read(size))
        except (OSError, struct.error):
            return False
        return n_brokers > 0

    def info(self, instance: Instance) -> dict[str, str]:
        """The bootstrap servers."""
        return {"bootstrap_servers": f"127.0.0.1:{self.port(instance)}"}

    def environment(self, instance: Instance) -> dict[str, str]:
        """The bootstrap servers."""
        return {"KAFKA_BOOTSTRAP_SERVERS": self.info(instance)["bootstrap_servers"]}

    def end_offsets(self, instance: Instance) -> dict[tuple[str, int], int]:
        """The end offset of every partition of the topics that are not Kafka's own."""
        done = subprocess.run(
            [
                *java_command(self.fetch(), instance.server_folder(self.name) / "log4j2.properties"), "-Xmx128m",
                "org.apache.kafka.tools.GetOffsetShell",
                "--bootstrap-server", self.info(instance)["bootstrap_servers"], "--exclude-internal-topics",
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        rows = [line.rsplit(":", 2) for line in done.stdout.splitlines() if line.count(":") >= 2]
        if done.returncode != 0 and rows == [] and "Could not match any topic-partitions" not in done.stderr:
            raise StackError(f"Kafka's end offsets could not be read:\n{done.stderr[-2000:]}")
        return {(topic, int(partition)): int(offset) for topic, partition, offset in rows}


KAFKA = Kafka()


def java_command(jars: Path, log4j2: Path) -> list[str]:
    """The command of a JVM with Kafka's jars; options and a main class follow."""
    # The first compiler alone warms up sooner, and the broker is not the bottleneck here.
    return [
        str(java.home() / "bin" / "java"), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={log4j2}", "-cp", f"{jars}/*",
    ]  # fmt: skip


def properties(port: int, controller_port: int, data: Path) -> str:
    """The broker's configuration: one node that starts quickly, and loses nothing when it is killed."""
    return f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
num.partitions=3
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=10
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=10
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
message.max.bytes=10485760
"""


def _format(command: list[str], configuration: Path, log: Path) -> None:
    done = subprocess.run(
        [*command, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(configuration)],
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        log.write_bytes(done.stdout + done.stderr)
        raise StackError(f"Kafka's data folder could not be formatted; its log is {log}\n{tail(log)}")
