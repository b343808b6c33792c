"""deploy.sh, undeploy.sh and every component, with the real kubectl against a real control plane.

`make test-kubernetes-control-plane` builds etcd, kube-apiserver and kube-controller-manager from Go modules, which takes
about ten minutes the first time. Kubernetes itself admits or rejects the objects: Pod Security Standards, quota, limits,
RBAC. There are no nodes. A stand-in kubelet binds each pod and reports it as ready, or as completed if it belongs to a Job.
No container runs.
"""

import contextlib
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from conftest import KUBERNETES, kubectl
from test_components import CASES

pytestmark = pytest.mark.control_plane

SCRIPTS = KUBERNETES / "scripts"
START_S = 120


class ControlPlane:
    """The processes of the control plane, and its API."""

    def __init__(self, program: str, folder: Path):
        self.folder = folder
        self.token = secrets.token_hex(16)
        self.processes = []
        (folder / "tokens.csv").write_text(f'{self.token},admin,1,"system:masters"\n')
        subprocess.run(["openssl", "genrsa", "-out", folder / "sa.key", "2048"], check=True, capture_output=True)
        etcd, peers, port, metrics = free_ports(4)
        self.url = f"https://127.0.0.1:{port}"
        self.kubeconfig = folder / "kubeconfig"
        cluster = {"server": self.url, "certificate-authority": str(folder / "certs" / "apiserver.crt")}
        self.kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "test", "cluster": cluster}],
                    "users": [{"name": "admin", "user": {"token": self.token}}],
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
                    "current-context": "test",
                }
            )
        )
        self._start(
            program, "etcd", "--data-dir", folder / "etcd", "--unsafe-no-fsync",
            "--listen-client-urls", f"http://127.0.0.1:{etcd}", "--advertise-client-urls", f"http://127.0.0.1:{etcd}",
            "--listen-peer-urls", f"http://127.0.0.1:{peers}",
        )  # fmt: skip
        self._start(
            program, "kube-apiserver", "--etcd-servers", f"http://127.0.0.1:{etcd}", "--bind-address", "127.0.0.1",
            "--secure-port", port, "--cert-dir", folder / "certs", "--token-auth-file", folder / "tokens.csv",
            "--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", folder / "sa.key",
            "--service-account-signing-key-file", folder / "sa.key", "--authorization-mode", "RBAC",
            "--service-cluster-ip-range", "10.0.0.0/24",
        )  # fmt: skip
        self.until(lambda: self.call("GET", "/readyz") is not None, "the API server is ready")
        self._start(
            program, "kube-controller-manager", "--kubeconfig", self.kubeconfig, "--leader-elect=false",
            "--service-account-private-key-file", folder / "sa.key", "--secure-port", metrics, "--cert-dir", folder / "manager",
            # The stand-in for the kubelet sends no heartbeats.
            "--controllers", "*,-node-lifecycle-controller",
        )  # fmt: skip

    def _start(self, *command) -> None:
        log = (self.folder / f"{command[1]}.log").open("wb")
        self.processes.append(subprocess.Popen([str(word) for word in command], stdout=log, stderr=log, start_new_session=True))

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self.processes):
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def call(self, method: str, path: str, body: dict | None = None, kind: str = "application/json") -> dict | None:
        """Sends a request. Returns None if the server is down or rejects it."""
        certificate = self.folder / "certs" / "apiserver.crt"
        if not certificate.exists():
            return None
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": kind},
        )
        context = ssl.create_default_context(cafile=certificate)
        # The certificate is self-signed.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        try:
            with urllib.request.urlopen(request, timeout=20, context=context) as response:
                data = response.read()
                return json.loads(data) if data[:1] == b"{" else {}
        except (urllib.error.URLError, OSError):
            return None

    def until(self, holds, what: str) -> None:
        deadline = time.monotonic() + START_S
        while not holds():
            ended = [process.args[1] for process in self.processes if process.poll() is not None]
            assert not ended, f"{ended} ended: see {self.folder}"
            assert time.monotonic() < deadline, f"not within {START_S} s: {what}"
            time.sleep(0.3)

    def environment(self) -> dict[str, str]:
        folder = self.folder / "bin"
        folder.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (folder / "kubectl").symlink_to(kubectl())
        return {"PATH": f"{folder}:{os.environ['PATH']}", "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.folder)}

    def run(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False, timeout=300)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def items(self, path: str) -> list[dict]:
        result = self.call("GET", path)
        return result["items"] if result else []

    def refused(self, namespace: str) -> list[str]:
        """What the controllers could not create, because admission or a quota rejected it."""
        events = self.items(f"/api/v1/namespaces/{namespace}/events")
        return [event["message"] for event in events if event["reason"] in ("FailedCreate", "FailedUpdate")]


def kubelet(plane: ControlPlane, stop: threading.Event) -> None:
    """Stands in for a node: binds every pod and reports it as ready, or as completed if it belongs to a Job."""
    plane.call("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node"}})
    while not stop.wait(0.3):
        for pod in plane.items("/api/v1/pods"):
            place = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
            if "deletionTimestamp" in pod["metadata"]:
                plane.call("DELETE", place, {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})
            elif pod["status"]["phase"] == "Pending":
                if "nodeName" not in pod["spec"]:
                    target = {"apiVersion": "v1", "kind": "Node", "name": "node"}
                    binding = {
                        "apiVersion": "v1",
                        "kind": "Binding",
                        "metadata": {"name": pod["metadata"]["name"]},
                        "target": target,
                    }
                    plane.call("POST", f"{place}/binding", binding)
                done = any(owner["kind"] == "Job" for owner in pod["metadata"].get("ownerReferences", []))
                plane.call("PATCH", f"{place}/status", {"status": status(pod, done)}, "application/merge-patch+json")


def status(pod: dict, done: bool) -> dict:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    state = {"terminated": {"exitCode": 0, "reason": "Completed"}} if done else {"running": {"startedAt": now}}
    return {
        "phase": "Succeeded" if done else "Running",
        "startTime": now,
        "conditions": [
            {"type": kind, "status": str(kind in ("Initialized", "PodScheduled") or not done), "lastTransitionTime": now}
            for kind in ("Initialized", "PodScheduled", "ContainersReady", "Ready")
        ],
        "containerStatuses": [
            {
                "name": container["name"], "image": container["image"], "imageID": "none", "ready": not done,
                "started": True, "restartCount": 0, "state": state,
            }
            for container in pod["spec"]["containers"]
        ],
    }  # fmt: skip


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    program = os.environ.get("CONTROL_PLANE")
    assert program and Path(program).exists(), "CONTROL_PLANE is not set to a program: run `make test-kubernetes-control-plane`"
    plane = ControlPlane(program, tmp_path_factory.mktemp("control-plane"))
    stop = threading.Event()
    node = threading.Thread(target=kubelet, args=(plane, stop))
    node.start()
    try:
        yield plane
    finally:
        stop.set()
        node.join()
        plane.stop()


@pytest.fixture(scope="module", params=["dev", "production"])
def deployed(request, plane):
    """Deploys an overlay to its own namespace with deploy.sh, and finally removes it with all data."""
    overlay, namespace = request.param, f"of-{request.param}"
    where = ["--overlay", overlay, "--namespace", namespace]
    try:
        output = plane.run("bash", str(SCRIPTS / "deploy.sh"), "--infrastructure", "--elk", *where)
        assert "Kafka integration enabled" in output
        # The namespace neither rejects nor warns about anything.
        assert "PodSecurity" not in output and "Warning" not in output, output
        yield overlay, namespace, where
    finally:
        plane.run("bash", str(SCRIPTS / "undeploy.sh"), *where, "--delete-data")
        folder = KUBERNETES / "overlays" / f"namespace-{namespace}"
        (folder / "kustomization.yaml").unlink()
        folder.rmdir()


def test_the_accounts_of_the_jobs_can_write_their_secrets_and_read_no_others(plane, deployed, tmp_path):
    overlay, namespace, _ = deployed
    (tmp_path / "namespace").write_text(namespace)
    (tmp_path / "token").write_text(plane.run("kubectl", "--namespace", namespace, "create", "token", "secrets-writer"))
    (tmp_path / "ca.crt").write_bytes((plane.folder / "certs" / "apiserver.crt").read_bytes())
    environment = {"PATH": os.environ["PATH"], "KUBERNETES_API": plane.url, "SERVICE_ACCOUNT": str(tmp_path)}
    for word in ("made", "kept"):
        job = subprocess.run(
            [sys.executable, "-B", str(KUBERNETES / "base" / "jobs" / "stack_secrets.py")],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert job.returncode == 0, job.stderr
        assert all(f": {word}" in line for line in job.stdout.splitlines()), job.stdout
    for account, mine, others in (
        ("secrets-writer", "kafka-user-admin", "elasticsearch-api-key-logstash"),
        ("api-keys-writer", "elasticsearch-api-key-logstash", "elasticsearch-user-elastic"),
    ):
        user = f"system:serviceaccount:{namespace}:{account}"
        asked = {"create secrets": "yes", f"get secret/{mine}": "yes", f"update secret/{mine}": "yes"}
        forbidden = [
            "list secrets",
            f"get secret/{others}",
            f"update secret/{others}",
            "get secret/x",
            f"delete secret/{mine}",
            "get pods",
        ]
        for what, expected in {**asked, **dict.fromkeys(forbidden, "no")}.items():
            output = plane.run("kubectl", "--namespace", namespace, "auth", "can-i", *what.split(), "--as", user, check=False)
            assert output.splitlines()[-1] == expected, f"{overlay}, {account}: {what}"


def test_the_namespace_rejects_pods_that_are_not_restricted(plane, deployed):
    _, namespace, _ = deployed
    refused = plane.run(
        "kubectl", "--namespace", namespace, "run", "intruder", "--image=redis:8.10.2", "--dry-run=server", check=False
    )
    assert "violates PodSecurity" in refused and "restricted" in refused


def test_kubernetes_accepts_the_whole_overlay(plane, deployed):
    overlay, namespace, where = deployed
    pods = {pod["metadata"]["name"]: pod for pod in plane.items(f"/api/v1/namespaces/{namespace}/pods")}
    replicas = 3 if overlay == "production" else 1
    for name in ("kafka", "elasticsearch"):
        assert {f"{name}-{number}" for number in range(replicas)} <= pods.keys()
    assert {"logstash-0", "redis-0"} <= pods.keys()
    assert plane.refused(namespace) == []
    for quota in plane.items(f"/api/v1/namespaces/{namespace}/resourcequotas"):
        assert overlay == "production" and quota["status"]["used"]["pods"] != "0"
    # Deploy again, as an operator would after a change.
    assert "Kafka integration enabled" in plane.run("bash", str(SCRIPTS / "deploy.sh"), "--infrastructure", "--elk", *where)

    plane.run("bash", str(SCRIPTS / "undeploy.sh"), *where)
    plane.until(lambda: not plane.items(f"/api/v1/namespaces/{namespace}/pods"), "the pods are gone")
    claims = {claim["metadata"]["name"] for claim in plane.items(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims")}
    assert {"data-kafka-0", "data-elasticsearch-0", "data-logstash-0"} <= claims, "undeploy.sh lost data"


# KEDA's and the Prometheus operator's kinds. Kubernetes checks the names and scopes of their objects, and none of their fields.
KINDS = {
    "keda.sh/v1alpha1": {"ScaledObject": "scaledobjects", "TriggerAuthentication": "triggerauthentications"},
    "monitoring.coreos.com/v1": {"ServiceMonitor": "servicemonitors", "PrometheusRule": "prometheusrules"},
}


@pytest.fixture(scope="module")
def kinds(plane):
    """Kubernetes knows the kinds that the components use."""
    for version, known in KINDS.items():
        group, _, number = version.partition("/")
        for kind, plural in known.items():
            schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            definition = {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": f"{plural}.{group}"},
                "spec": {
                    "group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
                    "versions": [{"name": number, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
                },
            }  # fmt: skip
            plane.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        plane.until(lambda version=version: plane.call("GET", f"/apis/{version}"), f"{version} is served")


@pytest.mark.parametrize(("component", "overlay"), CASES)
def test_kubernetes_accepts_every_component_and_runs_its_pods(plane, kinds, component, overlay, tmp_path):
    """In a namespace of its own: every object, the pods of every workload and CronJob, and Logstash at its largest size."""
    namespace = f"with-{component}-{overlay}"
    here = tmp_path.resolve()
    overlay_of_mine = {
        "resources": [os.path.relpath(KUBERNETES / "overlays" / overlay, here)],
        "components": [os.path.relpath(KUBERNETES / "components" / component, here)],
        "namespace": namespace,
        # Each runs once, below, and not by the clock.
        "patches": [{"target": {"kind": "CronJob"}, "patch": '[{"op": "add", "path": "/spec/suspend", "value": true}]'}],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay_of_mine))
    try:
        output = plane.run("kubectl", "apply", "--validate=strict", "--kustomize", str(tmp_path))
        assert "Warning" not in output, output
        objects = list(yaml.safe_load_all(plane.run("kubectl", "kustomize", str(tmp_path))))
        wanted = Counter()
        for item in objects:
            if item["kind"] in ("StatefulSet", "Deployment"):
                wanted[item["metadata"]["name"]] = item["spec"].get("replicas", 1)
        for item in objects:
            if item["kind"] == "CronJob":
                name = item["metadata"]["name"]
                plane.run("kubectl", "--namespace", namespace, "create", "job", f"{name}-now", f"--from=cronjob/{name}")
            if item["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
                wanted["logstash"] = item["spec"].get("maxReplicas") or item["spec"]["maxReplicaCount"]
        plane.run("kubectl", "--namespace", namespace, "scale", "statefulset/logstash", f"--replicas={wanted['logstash']}")
        jobs = [item for item in objects if item["kind"] in ("Job", "CronJob")]

        def settled() -> bool:
            assert plane.refused(namespace) == []
            ready = Counter()
            for kind in ("statefulsets", "deployments"):
                for item in plane.items(f"/apis/apps/v1/namespaces/{namespace}/{kind}"):
                    ready[item["metadata"]["name"]] = item["status"].get("readyReplicas", 0)
            runs = plane.items(f"/apis/batch/v1/namespaces/{namespace}/jobs")
            done = [run for run in runs if run["status"].get("succeeded")]
            return ready == wanted and len(done) == len(jobs)

        plane.until(settled, f"every pod of {component} in {overlay} ran")
        print(f"{component}, {overlay}: {len(objects)} objects, {wanted.total()} pods, {len(jobs)} Jobs")
    finally:
        plane.run("kubectl", "delete", "namespace", namespace, "--wait=false")
