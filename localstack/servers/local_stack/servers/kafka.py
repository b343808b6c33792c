"""Kafka in KRaft mode, one node or three, each broker and controller in one JVM, from the released jars."""

import os
import socket
import struct
import subprocess
from collections.abc import Mapping
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
    """A broker; `end_offsets` reads how far its cluster's topics go."""

    def __init__(self, node: int, port: int) -> None:
        self.node = node
        self.name = "kafka" if node == 1 else f"kafka-{node}"
        self.title = "Kafka" if node == 1 else f"Kafka's broker {node}"
        prefix = self.name.replace("-", "_").upper()
        self.ports = (Port(f"{prefix}_PORT", port), Port(f"{prefix}_CONTROLLER_PORT", port + 1))

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
        port = self.port(instance)
        voters = {broker.node: instance.port(broker.ports[1]) for broker in _brokers(instance)}
        configuration, log4j2 = folder / "server.properties", folder / "log4j2.properties"
        configuration.write_text(properties(port, voters, folder / "data", self.node))
        log4j2.write_text(LOG4J2)
        command = java_command(fetched, log4j2)
        if not (folder / "data" / "meta.properties").exists():
            _format(command, configuration, instance.log(self.name))
        heap = os.environ.get("KAFKA_HEAP", "-Xms256m -Xmx512m" if len(voters) == 1 else "-Xms128m -Xmx320m").split()
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
        """The bootstrap servers, which are all brokers, and this one's address."""
        brokers = (f"127.0.0.1:{broker.port(instance)}" for broker in _brokers(instance))
        return {"bootstrap_servers": ",".join(brokers), "address": f"127.0.0.1:{self.port(instance)}"}

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


KAFKA = Kafka(1, 9092)
KAFKA_BROKERS: tuple[Kafka, ...] = (KAFKA, Kafka(2, 9094), Kafka(3, 9096))


def _brokers(instance: Instance) -> tuple[Kafka, ...]:
    return KAFKA_BROKERS[: instance.n_nodes(KAFKA.name)]


def java_command(jars: Path, log4j2: Path) -> list[str]:
    """The command of a JVM with Kafka's jars; options and a main class follow."""
    # The first compiler alone warms up sooner, and the broker is not the bottleneck here.
    return [
        str(java.home() / "bin" / "java"), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={log4j2}", "-cp", f"{jars}/*",
    ]  # fmt: skip


def properties(port: int, voters: Mapping[int, int], data: Path, node: int = 1) -> str:
    """A broker's configuration: it starts quickly, and loses nothing when it is killed. `voters` are the nodes and their
    controllers' ports."""
    replicas, in_sync = min(3, len(voters)), min(2, len(voters))
    quorum = ",".join(f"{voter}@127.0.0.1:{controller_port}" for voter, controller_port in voters.items())
    return f"""\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={quorum}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{voters[node]}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
num.partitions=3
auto.create.topics.enable=false
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=10
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=10
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
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
