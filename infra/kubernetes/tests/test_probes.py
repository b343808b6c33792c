"""The probes and commands of the servers, run as their containers run them.

Stand-ins take the place of Kafka's tool, curl and redis-server. test_kafka.py runs Kafka's probe against real brokers.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import KUBERNETES, named

KAFKA = KUBERNETES / "infrastructure" / "kafka" / "ready.sh"
ELASTICSEARCH = KUBERNETES / "elk" / "elasticsearch" / "ready.sh"
# What kafka-topics.sh --describe --under-replicated-partitions of Kafka 4.3 prints.
BEHIND = "\tTopic: order.events\tPartition: {n}\tLeader: 1\tReplicas: {replicas}\tIsr: {isr}\tElr: \tLastKnownElr: \n"


def script(path: Path, text: str) -> None:
    """Writes a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("behind", "ready"),
    [
        ("", True),
        (BEHIND.format(n=0, replicas="1,2,0", isr="1,0"), True),
        (BEHIND.format(n=0, replicas="1,2,0", isr="1,2"), False),
        (BEHIND.format(n=0, replicas="1,0", isr="1") + BEHIND.format(n=1, replicas="1,2", isr="1"), False),
        (BEHIND.format(n=0, replicas="10,20", isr="10"), True),
    ],
)
def test_a_kafka_node_is_ready_once_it_has_caught_up(tmp_path, behind, ready):
    script(tmp_path / "bin" / "kafka-topics.sh", f"#!/bin/sh\nprintf '{behind}'\n".replace("\t", "\\t").replace("\n'", "\\n'"))
    environment = {
        "PATH": os.environ["PATH"], "KAFKA_HOME": str(tmp_path), "KAFKA_RUN": str(tmp_path), "POD_NAME": "kafka-0",
    }  # fmt: skip
    done = subprocess.run(["bash", KAFKA], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == ready, done
    assert (tmp_path / "caught-up").exists() == ready
    if not ready:
        assert done.stdout == "not in sync yet: 1 partitions\n"


def test_a_kafka_node_is_not_ready_while_the_tool_fails(tmp_path):
    script(tmp_path / "bin" / "kafka-topics.sh", "#!/bin/sh\nexit 1\n")
    environment = {
        "PATH": os.environ["PATH"], "KAFKA_HOME": str(tmp_path), "KAFKA_RUN": str(tmp_path), "POD_NAME": "kafka-0",
    }  # fmt: skip
    assert subprocess.run(["bash", KAFKA], env=environment, check=False).returncode != 0
    assert not (tmp_path / "caught-up").exists()


@pytest.mark.parametrize(("status", "ready", "recovered"), [(200, True, True), (408, False, False), (401, True, False)])
def test_an_elasticsearch_node_is_ready_once_its_shards_have_recovered(tmp_path, status, ready, recovered):
    """Elasticsearch responds with 408 if the status was not reached in time."""
    script(tmp_path / "curl", f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\ncat >>{tmp_path}/stdin\nprintf {status}\n')
    with socket.create_server(("127.0.0.1", 0)) as readiness:
        environment = {
            "PATH": f"{tmp_path}:{os.environ['PATH']}", "READY_STATUS": "green", "ELASTIC_PASSWORD": "my-password",
            "READY_FOLDER": str(tmp_path), "READINESS_PORT": str(readiness.getsockname()[1]), "CERTIFICATES": str(tmp_path),
        }  # fmt: skip
        (tmp_path / "ca.crt").touch()
        done = subprocess.run(["bash", ELASTICSEARCH], env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == ready, done
        assert (tmp_path / "recovered").exists() == recovered
        calls = (tmp_path / "calls").read_text()
        assert "https://localhost:9200/_cluster/health?wait_for_status=green" in calls
        assert "my-password" not in calls, "the list of processes would show it"
        assert (tmp_path / "stdin").read_text() == f'user = "elastic:my-password"\ncacert = "{tmp_path}/ca.crt"\n'
        if recovered:
            (tmp_path / "curl").unlink()
            assert subprocess.run(["bash", ELASTICSEARCH], env=environment, check=False).returncode == 0
    # The port closes when the node has left the cluster.
    assert subprocess.run(["bash", ELASTICSEARCH], env=environment, capture_output=True, check=False).returncode != 0


def test_a_rollout_waits_for_recovery_and_does_not_hurry(builds):
    for name, objects in builds.items():
        for kind, workload in (
            ("StatefulSet", "kafka"), ("StatefulSet", "elasticsearch"), ("StatefulSet", "logstash"), ("StatefulSet", "redis"),
            ("Deployment", "kibana"),
        ):  # fmt: skip
            assert named(objects, kind, workload)["spec"]["minReadySeconds"] >= 5, (name, workload)
        for workload, mount in (("kafka", "/etc/kafka/stack"), ("elasticsearch", "/stack")):
            (container,) = named(objects, "StatefulSet", workload)["spec"]["template"]["spec"]["containers"]
            assert container["readinessProbe"]["exec"]["command"] == ["/bin/bash", f"{mount}/ready.sh"]
            assert mount in [each["mountPath"] for each in container["volumeMounts"]]
        variables = {each["name"]: each.get("value") for each in container["env"]}
        assert variables["READY_STATUS"] == ("green" if name == "production" else "yellow")


@pytest.mark.parametrize("name", ["dev", "production"])
def test_redis_gets_the_signal_to_stop(builds, name, tmp_path):
    """The command of the container, with a stand-in for redis-server. Without SIGTERM Redis is killed and saves nothing."""
    (container,) = named(builds[name], "StatefulSet", "redis")["spec"]["template"]["spec"]["containers"]
    command = [part.replace("/run/redis", str(tmp_path)) for part in container["command"]]
    script(
        tmp_path / "redis-server",
        f"#!{sys.executable}\nimport signal, sys\nfrom pathlib import Path\n"
        f"here = Path({str(tmp_path)!r})\n"
        "signal.signal(signal.SIGTERM, lambda *_: ((here / 'stopped').touch(), sys.exit(0)))\n"
        "(here / 'started').write_text(' '.join(sys.argv[1:]))\nsignal.pause()\n",
    )
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "REDISCLI_AUTH": "secret"}
    process = subprocess.Popen(command, env=environment)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "started").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
    assert (tmp_path / "stopped").exists()
    assert (tmp_path / "started").read_text() == f"{tmp_path}/redis.conf", "the arguments are in the list of processes"
    text = (tmp_path / "redis.conf").read_text()
    assert text.startswith("requirepass secret\n") and "appendonly yes\n" in text
    assert (tmp_path / "redis.conf").stat().st_mode & 0o077 == 0
