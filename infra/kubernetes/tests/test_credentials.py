"""Each client has a Secret of its own, and no pod can read a credential of another.

A Secret belongs to one client. Its pods may read it, and the few others that the tables name with their reasons: what checks
a password or issues it. A credential that a pod gets must also be used there.
"""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import test_components as components
import test_manifests as manifests
from conftest import KUBERNETES, OVERLAYS, REPOSITORY, files_of, named

JOBS = KUBERNETES / "base" / "jobs"
objects_of = components.objects_of

# Whose credential it is: the workload, or None if a person or a program outside the stack logs in with it.
CLIENT = {
    "kafka-user-broker": "kafka",
    # The tools inside the pods of Kafka log in with it.
    "kafka-user-admin": "kafka",
    "kafka-user-logstash": "logstash",
    "kafka-user-functions": None,
    "kafka-user-services": None,
    "kafka-user-report": "stack-report",
    "kafka-user-scaler": "logstash-lag",
    "redis-auth": "redis",
    # The built-in superuser. Elasticsearch sets its password from it at its first start, and the probe logs in with it.
    "elasticsearch-user-elastic": "elasticsearch",
    "elasticsearch-user-kibana": "kibana",
    "elasticsearch-user-logstash": "logstash",
    "elasticsearch-api-key-logstash": "logstash",
    "elasticsearch-api-key-functions": "localstack",
    "elasticsearch-api-key-replayer": "replay-dead-letters",
    "elasticsearch-api-key-metrics": "stack-metrics",
    "elasticsearch-api-key-report": "stack-report",
    "kibana-keys": "kibana",
    "certificates-kafka": "kafka",
    "certificates-elasticsearch": "elasticsearch",
    "certificates-logstash": "logstash",
    "certificates-kibana": "kibana",
    "certificates-redis": "redis",
    "certificates-log-shipper": None,
    "certificate-authority": None,
    # A person makes it: components/snapshots.
    "snapshot-s3": "elasticsearch",
}
SETUP = {"elasticsearch-setup", "api-key-renewal"}
# Who else may read a Secret. These Jobs run for seconds, log in as the administrator or create the user, and then end.
OTHERS = {
    # It logs in as the administrator and creates the other users with their passwords.
    "kafka-user-admin": {"kafka-topics"},
    **{f"kafka-user-{name}": {"kafka-topics"} for name in ("logstash", "functions", "services", "report", "scaler")},
    # Each creates roles, which only an administrator may.
    "elasticsearch-user-elastic": {*SETUP, "provision-cluster", "kibana-setup", "snapshots"},
    "elasticsearch-user-kibana": SETUP,
    "elasticsearch-user-logstash": SETUP,
}
# Not secret: every client checks servers with it, and the metrics say when it ends.
PUBLIC = {"ca.crt", "tls.crt"}
# What reads a variable if neither the command nor a mounted file names it.
READ_BY = {
    # https://www.elastic.co/docs/deploy-manage/deploy/self-managed/install-elasticsearch-docker-configure
    "elasticsearch": {"ELASTIC_PASSWORD"},
    # kibana-docker turns ELASTICSEARCH_PASSWORD into elasticsearch.password, and so on for every setting.
    "kibana": {
        "ELASTICSEARCH_PASSWORD", "XPACK_SECURITY_ENCRYPTIONKEY", "XPACK_ENCRYPTEDSAVEDOBJECTS_ENCRYPTIONKEY",
        "XPACK_REPORTING_ENCRYPTIONKEY",
    },
}  # fmt: skip
# The programs of this repository read these.
PROGRAMS = {"provision-cluster": "functions/provision-cluster", "provision-elasticsearch": "functions/provision-cluster"}
CASES = [(None, overlay) for overlay in OVERLAYS] + components.CASES


@pytest.fixture(params=CASES, ids=lambda case: "-".join(filter(None, case)))
def objects(request, builds, objects_of):
    """Each overlay alone, and with each component."""
    component, overlay = request.param
    return objects_of(component, overlay) if component else builds[overlay]


def readable(workload: dict) -> set[tuple[str, str]]:
    """Secret and key of each credential that a pod gets, `*` for a whole Secret: variables and volumes of every kind."""
    spec, found = workload["spec"]["template"]["spec"], set()
    for container in manifests.containers(workload):
        for entry in container.get("env", []):
            reference = entry.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                found.add((reference["name"], reference["key"]))
        for source in container.get("envFrom", []):
            if "secretRef" in source:
                found.add((source["secretRef"]["name"], "*"))
    for volume in spec.get("volumes", []):
        sources = [volume, *volume.get("projected", {}).get("sources", [])]
        for secret in (source["secret"] for source in sources if "secret" in source):
            name = secret.get("secretName") or secret["name"]
            found |= {(name, item["key"]) for item in secret.get("items", [])} or {(name, "*")}
        assert not volume.keys() & {"csi", "flexVolume"}, f"{volume['name']}: what it can read is not known here"
    assert not spec.get("imagePullSecrets")
    return found


def name_of(workload: dict) -> str:
    return workload["metadata"]["name"]


def test_a_pod_reads_only_its_own_credentials(objects):
    for workload in manifests.workloads(objects):
        for secret, key in readable(workload):
            if secret.startswith("certificates-") and key in PUBLIC:
                continue
            allowed = {CLIENT[secret], *OTHERS.get(secret, ())}
            assert name_of(workload) in allowed, f"{name_of(workload)} can read {key} of {secret}"
    for item in objects:
        if item["kind"] == "TriggerAuthentication":
            for each in item["spec"]["secretTargetRef"]:
                public = each["name"].startswith("certificates-") and each["key"] in PUBLIC
                assert public or CLIENT[each["name"]] == item["metadata"]["name"], each


def test_no_pod_gets_every_credential_of_a_server(objects):
    """Not even what creates the users: the brokers' own password stays with the brokers."""
    for workload in manifests.workloads(objects):
        users = {secret for secret, _ in readable(workload) if secret.startswith("kafka-user-")}
        assert len(users) < sum(name.startswith("kafka-user-") for name in CLIENT), name_of(workload)
        assert not {secret for secret, _ in readable(workload)} & {"certificate-authority"}


def test_a_pod_uses_each_credential_that_it_gets(objects):
    for workload in manifests.workloads(objects):
        volumes = {volume["name"]: volume for volume in workload["spec"]["template"]["spec"].get("volumes", [])}
        mounted = set()
        for container in manifests.containers(workload):
            mounted |= {mount["name"] for mount in container.get("volumeMounts", [])}
            text = text_of(objects, volumes, container)
            for entry in container.get("env", []):
                if "secretKeyRef" in entry.get("valueFrom", {}):
                    used = entry["name"] in READ_BY.get(container["name"], ()) or re.search(rf"\b{entry['name']}\b", text)
                    assert used, f"{name_of(workload)}/{container['name']} does not use {entry['name']}"
        for name, volume in volumes.items():
            assert "secret" not in volume or name in mounted, f"{name_of(workload)}: no container mounts {name}"


def text_of(objects: list[dict], volumes: dict[str, dict], container: dict) -> str:
    """What a container runs: its command, the script that the command names, or the files that it mounts."""
    command = [*container.get("command", []), *container.get("args", [])]
    if container["name"] in PROGRAMS:
        return "".join(path.read_text() for path in (REPOSITORY / PROGRAMS[container["name"]] / "src").rglob("*.rs"))
    files = {}
    for mount in container.get("volumeMounts", []):
        source = volumes.get(mount["name"], {}).get("configMap")
        if source:
            files |= files_of(objects, re.sub(r"-[a-z0-9]{10}$", "", source["name"]))
    scripts = [Path(word).name for word in command if word.endswith((".py", ".sh"))]
    if any(script.endswith(".py") for script in scripts):
        needed = set()
        while scripts:
            script = scripts.pop()
            needed.add(script)
            imported = {f"{name}.py" for name in re.findall(r"^(?:from|import) (\w+)", files[script], re.MULTILINE)}
            scripts += (imported & files.keys()) - needed
        files = {name: files[name] for name in needed}
    probes = [container.get(name, {}).get("exec", {}).get("command", []) for name in ("readinessProbe", "livenessProbe")]
    return "\n".join([*command, *files.values(), *(word for probe in probes for word in probe)])


def job(name: str):
    """The module of a Job's script."""
    sys.path.insert(0, str(JOBS))
    spec = importlib.util.spec_from_file_location(name, JOBS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made() -> dict[str, set[str]]:
    """Every Secret that the Jobs make, with its keys."""
    stack, search = job("stack_secrets"), job("elasticsearch_setup")
    return {
        **{name: set(keys) for name, keys in stack.PASSWORDS.items()},
        "certificate-authority": {"ca.crt", "ca.key"},
        **{f"certificates-{name}": {"tls.crt", "tls.key", "ca.crt", "keystore.pem"} for name in stack.CERTIFICATES},
        **{search.secret_of(name): {"key", "encoded"} for name in search.WRITERS},
    }


def test_a_secret_holds_the_credential_of_one_client():
    """One password; only Kibana's keys, which it alone uses, are several."""
    for name, keys in job("stack_secrets").PASSWORDS.items():
        assert keys == ["password"] or name == "kibana-keys", name
    assert made().keys() == CLIENT.keys() - {"snapshot-s3"}


def test_every_key_that_a_manifest_names_is_made(objects):
    known = made()
    for workload in manifests.workloads(objects):
        for secret, key in readable(workload):
            assert secret == "snapshot-s3" or key in known[secret], f"{name_of(workload)}: {key} of {secret}"
    for item in objects:
        if item["kind"] == "TriggerAuthentication":
            assert all(each["key"] in known[each["name"]] for each in item["spec"]["secretTargetRef"])


def test_the_account_of_a_job_reads_only_the_secrets_that_the_job_writes(objects):
    stack, search = job("stack_secrets"), job("elasticsearch_setup")
    keys = {search.secret_of(name) for name in search.WRITERS}
    expected = {
        "secrets-writer": made().keys() - keys | stack.FORMER.keys(),
        "api-keys-writer": keys,
    }
    for account, names in expected.items():
        (rule,) = (rule for rule in named(objects, "Role", account)["rules"] if "resourceNames" in rule)
        assert set(rule["resourceNames"]) == names, account
    for workload in manifests.workloads(objects):
        spec = workload["spec"]["template"]["spec"]
        if "serviceAccountName" in spec:
            wanted = "api-keys-writer" if name_of(workload) in SETUP else "secrets-writer"
            assert spec["serviceAccountName"] == wanted, name_of(workload)
