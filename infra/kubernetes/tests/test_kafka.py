"""Production's Kafka on real servers: start-kafka.sh starts three nodes with the certificates of stack_secrets.py.

The servers run from the released jars. Only the shell wrappers of Kafka's distribution are written here, because no package
registry provides them. Each node has its own loopback address in place of the address of a pod.
"""

import base64
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import KUBERNETES, build, folder_of
from guides import Command, commands
from kubernetes_api import secrets_api

pytestmark = pytest.mark.live

JOBS = KUBERNETES / "base" / "jobs"
TOOLS = {
    "kafka-storage.sh": "kafka.tools.StorageTool",
    "kafka-server-start.sh": "kafka.Kafka",
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "kafka-configs.sh": "kafka.admin.ConfigCommand",
    "kafka-acls.sh": "org.apache.kafka.tools.AclCommand",
    "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-console-producer.sh": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-get-offsets.sh": "org.apache.kafka.tools.GetOffsetShell",
}
START_S = 300
NAMESPACE = "demo-micro"
# Of the component external-access.
DOMAIN = "events.example.com"


class Cluster:
    """The nodes, their files, and Kafka's command-line tools."""

    def __init__(self, overlay: str, folder: Path, certificates: dict[str, bytes], passwords: dict[str, str]):
        from local_stack import java
        from local_stack.servers.kafka import KAFKA

        self.folder = folder
        self.objects = build(folder_of(overlay))
        self.passwords = passwords
        self.addresses = [f"127.{random.randint(1, 250)}.{random.randint(1, 250)}.{node + 2}" for node in range(3)]
        self.processes: list[subprocess.Popen] = []
        (folder / "hosts").write_text(
            # The names as Kubernetes resolves them in another namespace, and the short ones of the controllers.
            "".join(
                f"{address} kafka-{node}.kafka-headless.{NAMESPACE}.svc kafka-{node}.kafka-headless kafka-{node}.{DOMAIN}\n"
                for node, address in enumerate(self.addresses)
            )
            + f"{self.addresses[0]} kafka kafka.{NAMESPACE}.svc\n127.0.0.1 localhost\n"
        )
        (folder / "certificates").mkdir()
        for name, content in certificates.items():
            (folder / "certificates" / name).write_bytes(content)
        binaries = folder / "home" / "bin"
        binaries.mkdir(parents=True)
        for script, main_class in TOOLS.items():
            (binaries / script).write_text(
                "#!/bin/bash\n"
                f'exec "{java.home()}/bin/java" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx256m $KAFKA_LOG4J_OPTS '
                f'-Djdk.net.hosts.file={folder}/hosts -cp "{KAFKA.fetch()}/*" {main_class} "$@"\n'
            )
            (binaries / script).chmod(0o755)

    def configuration(self, node: int) -> Path:
        """The ConfigMap as the pod sees it, with local paths and the address of the node."""
        (config_map,) = (
            item for item in self.objects
            if item["kind"] == "ConfigMap" and item["metadata"]["name"].startswith("kafka-configuration")
        )  # fmt: skip
        folder = self.folder / f"configuration-{node}"
        folder.mkdir(exist_ok=True)
        for name, text in config_map["data"].items():
            text = text.replace("/etc/kafka/certificates", str(self.folder / "certificates"))
            text = re.sub(r"(INTERNAL|CONTROLLER)://:", rf"\1://{self.addresses[node]}:", text)
            text = text.replace(r"EXTERNAL:\/\/:", rf"EXTERNAL:\/\/{self.addresses[node]}:")
            # A node may be reading the file at its start.
            if not (folder / name).exists() or (folder / name).read_text() != text:
                (folder / name).write_text(text)
        return folder

    def environment(self, workload: str, node: int = 0) -> dict[str, str]:
        """The environment of the container in the manifest, with the values of Secrets and fields."""
        (found,) = (
            item for item in self.objects
            if item["metadata"]["name"] == workload and item["kind"] in ("StatefulSet", "Job")
        )  # fmt: skip
        (container,) = found["spec"]["template"]["spec"]["containers"]
        environment = {}
        for entry in container["env"]:
            source = entry.get("valueFrom", {})
            if "secretKeyRef" in source:
                assert source["secretKeyRef"]["key"] == "password"
                environment[entry["name"]] = self.passwords[source["secretKeyRef"]["name"].removeprefix("kafka-user-")]
            elif "fieldRef" in source:
                fields = {"metadata.name": f"kafka-{node}", "metadata.namespace": NAMESPACE}
                environment[entry["name"]] = fields[source["fieldRef"]["fieldPath"]]
            else:
                environment[entry["name"]] = entry["value"]
        run = self.folder / f"run-{workload}-{node}"
        run.mkdir(exist_ok=True)
        return {
            "PATH": os.environ["PATH"],
            "KAFKA_HOME": str(self.folder / "home"),
            "KAFKA_CONFIGURATION": str(self.configuration(node)),
            "KAFKA_RUN": str(run),
            "KAFKA_DATA": str(self.folder / f"data-{node}" / "data"),
            # As the components external-access and keda do it.
            **({"KAFKA_EXTERNAL_DOMAIN": DOMAIN, "KAFKA_SCALER_PASSWORD": self.passwords["scaler"]} if self.passwords else {}),
            **environment,
        }

    def start(self, nodes: int) -> None:
        """Starts the nodes. Returns when every node accepts connections."""
        self.processes = [self.launch(node) for node in range(nodes)]
        deadline = time.monotonic() + START_S
        for node in range(nodes):
            while not self.listens(node):
                assert self.processes[node].poll() is None, self.log(node)
                assert time.monotonic() < deadline, f"kafka-{node} did not listen in {START_S} s: {self.log(node)}"
                time.sleep(0.5)

    def launch(self, node: int) -> subprocess.Popen:
        """Runs start-kafka.sh as the pod of the node does."""
        environment = self.environment("kafka", node)
        script = Path(environment["KAFKA_CONFIGURATION"]) / "start-kafka.sh"
        with (self.folder / f"kafka-{node}.log").open("ab") as log:
            return subprocess.Popen(["bash", str(script)], env=environment, stdout=log, stderr=log, start_new_session=True)

    def create_topics(self) -> str:
        """Runs create-topics.sh as the Job does."""
        environment = self.environment("kafka-topics")
        script = Path(environment["KAFKA_CONFIGURATION"]) / "create-topics.sh"
        done = subprocess.run(["bash", str(script)], env=environment, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr + self.log(0)
        return done.stdout

    def listens(self, node: int) -> bool:
        try:
            with socket.create_connection((self.addresses[node], 29092), timeout=1):
                return True
        except OSError:
            return False

    def log(self, node: int) -> str:
        return (self.folder / f"kafka-{node}.log").read_text(errors="replace")[-3000:]

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def tool(
        self, script: str, *arguments: str, user: str = "admin", stdin: str = "", server: str = "kafka:29092"
    ) -> subprocess.CompletedProcess:
        """Runs one of Kafka's tools as a user, with the client.properties of the pods."""
        environment = self.environment("kafka")
        properties = Path(environment["KAFKA_CONFIGURATION"]) / "client.properties"
        mine = self.folder / f"client-{user}.properties"
        mine.write_text(properties.read_text())
        if user != "admin":
            environment |= {"KAFKA_USER": user, "KAFKA_PASSWORD": self.passwords[user]}
        return subprocess.run(
            [str(self.folder / "home" / "bin" / script), "--bootstrap-server", server, "--command-config", str(mine),
             *arguments],
            env=environment, input=stdin, capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip


def made_secrets(folder: Path) -> dict[str, dict[str, bytes]]:
    """The Secrets that stack_secrets.py creates in an empty namespace."""
    with secrets_api(folder / "account") as (environment, secrets):
        subprocess.run(
            [sys.executable, "-B", str(JOBS / "stack_secrets.py")],
            env={"PATH": os.environ["PATH"], "EXTERNAL_DOMAIN": DOMAIN, **environment},
            check=True,
        )
        return {
            name: {key: base64.b64decode(value) for key, value in secret["data"].items()} for name, secret in secrets.items()
        }


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Production's three nodes, with topics, users and ACLs."""
    folder = tmp_path_factory.mktemp("kafka")
    secrets = made_secrets(folder)
    passwords = {
        name.removeprefix("kafka-user-"): values["password"].decode()
        for name, values in secrets.items() if name.startswith("kafka-user-")
    }  # fmt: skip
    cluster = Cluster("production", folder, secrets["certificates-kafka"], passwords)
    try:
        cluster.start(3)
        cluster.create_topics()
        # Kubernetes runs the Job again after a failure.
        cluster.create_topics()
        yield cluster
    finally:
        cluster.stop()


def test_topics_have_three_replicas_on_three_nodes(cluster):
    done = cluster.tool("kafka-topics.sh", "--describe")
    assert done.returncode == 0, done.stderr
    for topic in ("order.events", "inventory.events", "notification.events"):
        partitions = re.findall(rf"Topic: {re.escape(topic)}\tPartition: \d+.*?Replicas: ([\d,]+)\tIsr: ([\d,]+)", done.stdout)
        assert len(partitions) == 12
        assert all(sorted(replicas.split(",")) == sorted(isr.split(",")) == ["0", "1", "2"] for replicas, isr in partitions)
    assert "min.insync.replicas=2" in done.stdout


def test_services_can_only_write_and_logstash_can_only_read(cluster):
    sent = cluster.tool(
        "kafka-console-producer.sh", "--topic", "order.events", "--command-property", "acks=all",
        user="services", stdin='{"orderId":"1"}\n',
    )  # fmt: skip
    assert sent.returncode == 0 and "ERROR" not in sent.stdout + sent.stderr, sent.stdout + sent.stderr
    read = cluster.tool(
        "kafka-console-consumer.sh", "--topic", "order.events", "--from-beginning", "--max-messages", "1",
        "--timeout-ms", "60000", "--group", "logstash-consumer-group", user="logstash",
    )  # fmt: skip
    assert '{"orderId":"1"}' in read.stdout, read.stdout + read.stderr
    refused = cluster.tool("kafka-console-producer.sh", "--topic", "order.events", user="logstash", stdin="no\n")
    assert "AuthorizationException" in refused.stdout + refused.stderr
    other_group = cluster.tool(
        "kafka-console-consumer.sh", "--topic", "order.events", "--timeout-ms", "20000", "--group", "others", user="logstash"
    )
    assert "GroupAuthorizationException" in other_group.stdout + other_group.stderr


def test_the_report_and_the_scaler_see_the_lag_and_no_event(cluster):
    """What the CronJob stack-report runs, and what KEDA's scaler asks for: offsets of the group, and ends of the partitions."""
    groups = cluster.tool("kafka-consumer-groups.sh", "--describe", "--all-groups", user="report")
    assert re.search(r"^logstash-consumer-group +order\.events ", groups.stdout, re.MULTILINE), groups.stdout + groups.stderr
    mine = cluster.tool("kafka-consumer-groups.sh", "--describe", "--group", "logstash-consumer-group", user="scaler")
    assert re.search(r"^logstash-consumer-group +order\.events ", mine.stdout, re.MULTILINE), mine.stdout + mine.stderr
    ends = cluster.tool("kafka-get-offsets.sh", "--topic", "order.events", user="scaler")
    assert len(re.findall(r"^order\.events:\d+:\d+$", ends.stdout, re.MULTILINE)) == 12, ends.stdout + ends.stderr
    for user in ("report", "scaler"):
        read = cluster.tool(
            "kafka-console-consumer.sh", "--topic", "order.events", "--from-beginning", "--timeout-ms", "20000",
            "--group", "logstash-consumer-group", user=user,
        )  # fmt: skip
        assert "AuthorizationException" in read.stdout + read.stderr and "orderId" not in read.stdout
        sent = cluster.tool("kafka-console-producer.sh", "--topic", "order.events", user=user, stdin="no\n")
        assert "AuthorizationException" in sent.stdout + sent.stderr
    others = cluster.tool("kafka-consumer-groups.sh", "--describe", "--group", "kafka-to-search-order.events", user="scaler")
    assert "GroupAuthorizationException" in others.stdout + others.stderr


def test_clients_of_other_namespaces_reach_every_broker_by_the_names_that_kafka_advertises(cluster):
    """A client connects to the bootstrap address, then to the advertised ones, and checks each certificate's names."""
    for node in range(3):
        properties = (cluster.folder / f"run-kafka-{node}" / "server.properties").read_text()
        assert f"advertised.listeners=INTERNAL://kafka-{node}.kafka-headless.{NAMESPACE}.svc:29092," in properties
    sent = cluster.tool(
        "kafka-console-producer.sh", "--topic", "notification.events", "--command-property", "acks=all",
        user="services", stdin="".join(f"{number}\n" for number in range(100)), server=f"kafka.{NAMESPACE}.svc:29092",
    )  # fmt: skip
    assert sent.returncode == 0 and "ERROR" not in sent.stdout + sent.stderr, sent.stdout + sent.stderr


def test_clients_outside_the_cluster_reach_every_broker(cluster):
    """The listener of the component external-access: TLS with the names of the domain, SCRAM, the same permissions."""
    sent = cluster.tool(
        "kafka-console-producer.sh", "--topic", "notification.events", "--command-property", "acks=all",
        user="services", stdin="".join(f"{number}\n" for number in range(100)), server=f"kafka-0.{DOMAIN}:9094",
    )  # fmt: skip
    assert sent.returncode == 0 and "ERROR" not in sent.stdout + sent.stderr, sent.stdout + sent.stderr
    read = cluster.tool(
        "kafka-console-consumer.sh", "--topic", "notification.events", "--from-beginning", "--max-messages", "100",
        "--timeout-ms", "60000", "--group", "kafka-to-search-notification.events", user="functions",
        server=f"kafka-1.{DOMAIN}:9094",
    )  # fmt: skip
    assert len(read.stdout.split()) >= 100, read.stdout + read.stderr
    refused = cluster.tool("kafka-console-producer.sh", "--topic", "order.events", user="functions", stdin="no\n",
                           server=f"kafka-2.{DOMAIN}:9094")  # fmt: skip
    assert "AuthorizationException" in refused.stdout + refused.stderr


def test_a_wrong_password_is_rejected(cluster):
    cluster.passwords["nobody"] = "wrong"
    refused = cluster.tool("kafka-topics.sh", "--list", user="nobody")
    assert refused.returncode != 0
    assert "SaslAuthenticationException" in refused.stdout + refused.stderr


def test_wait_for_connects_to_a_broker_over_tls(cluster):
    script = (
        "import socket, sys; find = socket.getaddrinfo\n"
        f"socket.getaddrinfo = lambda host, *rest, **more: find({cluster.addresses[0]!r}, *rest, **more)\n"
        f"sys.path.insert(0, {str(JOBS)!r}); import wait_for; sys.exit(wait_for.main())"
    )
    environment = {**os.environ, "CA_FILE": str(cluster.folder / "certificates" / "ca.crt"), "TIMEOUT_S": "30"}
    for url, status in (("kafkas://kafka:29092", 0), ("kafkas://elsewhere:29092", 1), ("kafka://kafka:29092", 1)):
        done = subprocess.run(
            [sys.executable, "-B", "-c", script, url], capture_output=True, text=True, check=False,
            env={**environment, "TIMEOUT_S": "30" if status == 0 else "1"},
        )  # fmt: skip
        assert done.returncode == status, (url, done.stdout, done.stderr)


def guide_commands() -> list[Command]:
    return [command for command in commands() if command.inside and command.inside[0].startswith("/opt/kafka/bin/")]


def test_kafka_commands_of_the_guides_run(cluster):
    found = guide_commands()
    assert len(found) >= 12
    for command in found:
        script, *arguments = command.inside
        assert arguments[:4] == ["--bootstrap-server", "kafka:29092", "--command-config", "/run/kafka/client.properties"], (
            command
        )
        done = cluster.tool(script.rpartition("/")[2], *arguments[4:], stdin=command.stdin)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        assert "ERROR" not in done.stdout + done.stderr and "Error" not in done.stdout + done.stderr, (
            f"{command}: {done.stdout}"
        )
        if "--from-beginning" in arguments:
            assert '{"sku":"A-1","quantity":5}' in done.stdout


def ready(cluster, node: int) -> subprocess.CompletedProcess:
    """Runs the readiness probe of a node."""
    environment = cluster.environment("kafka", node)
    probe = Path(environment["KAFKA_CONFIGURATION"]) / "ready.sh"
    return subprocess.run(["bash", str(probe)], env=environment, capture_output=True, text=True, check=False, timeout=240)


def test_a_node_can_fail_and_come_back(cluster):
    assert ready(cluster, 2).returncode == 0
    os.killpg(cluster.processes[2].pid, signal.SIGKILL)
    cluster.processes[2].wait()
    deadline = time.monotonic() + START_S
    while True:
        # Until a new leader is elected, the partitions that the dead node led accept no writes.
        sent = cluster.tool(
            "kafka-console-producer.sh", "--topic", "inventory.events", "--command-property", "acks=all",
            user="services", stdin="during\n",
        )  # fmt: skip
        if sent.returncode == 0 and "ERROR" not in sent.stdout + sent.stderr:
            break
        assert time.monotonic() < deadline, sent.stdout + sent.stderr
    # The marker has gone with the pod's volume in memory. Without its process, the node is not ready.
    (cluster.folder / "run-kafka-2" / "caught-up").unlink()
    assert ready(cluster, 2).returncode != 0
    cluster.processes[2] = cluster.launch(2)
    deadline = time.monotonic() + START_S
    while ready(cluster, 2).returncode != 0:
        assert cluster.processes[2].poll() is None, cluster.log(2)
        assert time.monotonic() < deadline, cluster.log(2)
    deadline = time.monotonic() + START_S
    while True:
        behind = cluster.tool("kafka-topics.sh", "--describe", "--under-replicated-partitions")
        if behind.returncode == 0 and not behind.stdout.strip():
            break
        assert cluster.processes[2].poll() is None, cluster.log(2)
        assert time.monotonic() < deadline, behind.stdout[-1000:]


def test_dev_runs_one_node_without_encryption(tmp_path):
    cluster = Cluster("dev", tmp_path, {}, {})
    config = yaml.safe_load((KUBERNETES / "infrastructure" / "kustomization.yaml").read_text())
    assert "kafka/start-kafka.sh" in config["configMapGenerator"][0]["files"]
    # Other tests may use the port of the listener for `kubectl port-forward`.
    original = cluster.configuration

    def without_local(node: int) -> Path:
        folder = original(node)
        properties = folder / "security.properties"
        text = properties.read_text()
        assert "LOCAL://localhost:9092" in text
        properties.write_text(text.replace(",LOCAL://:9092", "").replace(",LOCAL://localhost:9092", ""))
        return folder

    cluster.configuration = without_local
    try:
        cluster.start(1)
        assert len(re.findall(r"Topic: order.events\tPartition: ", cluster.create_topics())) == 3
    finally:
        cluster.stop()
