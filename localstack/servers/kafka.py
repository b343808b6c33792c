"""Kafka: one node in KRaft mode, broker and controller in one JVM, from the released jars."""

import os
import socket
import struct
import subprocess
from pathlib import Path

import java
import maven
import paths
from errors import StackError
from instance import Instance, require_free
from layout import once
from process import launch, tail, wait_until
from progress import step
from versions import pinned

NAME = "kafka"
START_TIMEOUT_S = 120
STOP_GRACE_S = 30
# Every local cluster has this id: a data folder is never shared between clusters.
CLUSTER_ID = "a2Fma2EtdG8tc2VhcmNoMQ"
METADATA_REQUEST = 3
METADATA_VERSION = 7


def fetch() -> Path:
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


def release() -> str:
    """What would be started now, to tell whether what runs is older."""
    return fetch().name


def start(instance: Instance) -> None:
    """Starts the broker; returns when it is registered and answers."""
    jars = fetch()
    port, controller_port = instance.port("KAFKA_PORT"), instance.port("KAFKA_CONTROLLER_PORT")
    require_free(port, "KAFKA_PORT", "Kafka")
    require_free(controller_port, "KAFKA_CONTROLLER_PORT", "Kafka")
    folder, log = instance.server_folder(NAME), instance.log(NAME)
    configuration = folder / "server.properties"
    configuration.write_text(properties(port, controller_port, folder / "data"))
    (folder / "log4j2.properties").write_text(LOG4J2)
    with step(f"starting Kafka on 127.0.0.1:{port}"):
        if not (folder / "data" / "meta.properties").exists():
            _format(jars, configuration, log)
        command = [
            *_java(jars, folder / "log4j2.properties"), *os.environ.get("KAFKA_HEAP", "-Xms256m -Xmx512m").split(),
            "kafka.Kafka", str(configuration),
        ]  # fmt: skip
        process, popen = launch(command, log, folder, os.environ)
        instance.remember(NAME, process, release())
        wait_until(lambda: _answers(port), popen, "Kafka", log, START_TIMEOUT_S)


def info(instance: Instance) -> dict:
    """Where clients connect."""
    return {"bootstrap_servers": f"127.0.0.1:{instance.port('KAFKA_PORT')}"}


def end_offsets(instance: Instance) -> dict[tuple[str, int], int]:
    """The end offset of every partition of the topics that are not Kafka's own."""
    told = subprocess.run(
        [
            *_java(fetch(), instance.server_folder(NAME) / "log4j2.properties"), "-Xmx128m",
            "org.apache.kafka.tools.GetOffsetShell", "--bootstrap-server", info(instance)["bootstrap_servers"],
            "--exclude-internal-topics",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    rows = [line.rsplit(":", 2) for line in told.stdout.splitlines() if line.count(":") >= 2]
    if told.returncode != 0 and rows == [] and "Could not match any topic-partitions" not in told.stderr:
        raise StackError(f"Kafka's end offsets could not be read:\n{told.stderr[-2000:]}")
    return {(topic, int(partition)): int(offset) for topic, partition, offset in rows}


def properties(port: int, controller_port: int, data: Path) -> str:
    """The broker's configuration: for one node that loses nothing when it is killed, and starts quickly."""
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


def _java(jars: Path, log4j2: Path) -> list[str]:
    # The first compiler alone warms up sooner; the broker is far from being the slow part here.
    return [
        str(java.home() / "bin" / "java"), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={log4j2}", "-cp", f"{jars}/*",
    ]  # fmt: skip


def _format(jars: Path, configuration: Path, log: Path) -> None:
    done = subprocess.run(
        [*_java(jars, configuration.parent / "log4j2.properties"), "kafka.tools.StorageTool", "format",
         "-t", CLUSTER_ID, "-c", str(configuration)],
        capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        log.write_bytes(done.stdout + done.stderr)
        raise StackError(f"Kafka's data folder could not be prepared; its log is {log}\n{tail(log)}")


def _answers(port: int) -> bool:
    """Whether the broker serves metadata with itself in it: registered, caught up and open to clients."""
    body = struct.pack(">hhih", METADATA_REQUEST, METADATA_VERSION, 1, -1) + struct.pack(">i?", 0, False)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            answer = connection.makefile("rb")
            (size,) = struct.unpack(">i", answer.read(4))
            _correlation, _throttle_ms, n_brokers = struct.unpack_from(">iii", answer.read(size))
    except (OSError, struct.error):
        return False
    return n_brokers > 0
