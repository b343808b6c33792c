"""The scripts of the Jobs, run as the pods run them.

Stand-ins replace the Kubernetes API and, because no package registry provides them, Elasticsearch's security and lifecycle
APIs and Kibana. The requests are compared with what Elastic documents.
"""

import base64
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import pytest
from conftest import ELK, KUBERNETES
from http_server import JsonHandler, serving
from kubernetes_api import secrets_api
from logstash.config import parse

JOBS = KUBERNETES / "base" / "jobs"
SEARCH = KUBERNETES.parent / "search"


def run(script: str, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
    """Runs the script of a Job with only this environment."""
    return subprocess.run(
        [sys.executable, "-B", str(JOBS / script), *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@contextmanager
def stand_in(response_to):
    """An HTTP server that records requests. `response_to(method, path, headers, body)` returns status and body."""
    requests = []

    class Handler(JsonHandler):
        def _serve(self):
            body = self.body()
            requests.append((self.command, self.path, body, dict(self.headers)))
            self.respond(*response_to(self.command, self.path, self.headers, body))

        do_GET = do_PUT = do_POST = do_DELETE = _serve

    with serving(Handler) as url:
        yield url, requests


def test_secrets_are_created_once_and_kept(tmp_path):
    with secrets_api(tmp_path) as (environment, secrets):
        secrets["redis-auth"] = {
            "metadata": {"name": "redis-auth"},
            "type": "Opaque",
            "data": {"password": base64.b64encode(b"mine").decode()},
        }
        first = run("stack_secrets.py", environment)
        assert first.returncode == 0, first.stderr
        made = json.loads(json.dumps(secrets))
        again = run("stack_secrets.py", environment)
        assert again.returncode == 0, again.stderr
        assert secrets == made, "a second run changed something"
    assert base64.b64decode(made["redis-auth"]["data"]["password"]) == b"mine"
    assert "made" in first.stdout and "made" not in again.stdout
    passwords = [
        value for name, secret in made.items() if name.startswith(("kafka-user-", "elasticsearch-user-", "kibana-keys"))
        for value in secret["data"].values()
    ]  # fmt: skip
    assert len(passwords) == 7 + 3 + 3
    assert len(set(passwords)) == len(passwords)
    for value in passwords:
        # No character with a special meaning in a shell, JAAS or properties file. Kibana needs at least 32.
        assert re.fullmatch(rb"[0-9a-f]{32,}", base64.b64decode(value))
    assert not any(base64.b64decode(value).decode() in first.stdout for value in passwords), "the log contains a password"


def test_the_passwords_of_earlier_versions_are_taken_over(tmp_path):
    """One Secret for each server held them, and Kafka and Elasticsearch still expect them."""
    with secrets_api(tmp_path) as (environment, secrets):
        for name, users in (("kafka-users", ("broker", "admin")), ("elasticsearch-users", ("elastic", "kibana_system"))):
            data = {user: base64.b64encode(f"old-{user}".encode()).decode() for user in users}
            secrets[name] = {"metadata": {"name": name}, "type": "Opaque", "data": data}
        # Someone has already made this one.
        mine = {"password": base64.b64encode(b"mine").decode()}
        secrets["kafka-user-admin"] = {"metadata": {"name": "kafka-user-admin"}, "type": "Opaque", "data": mine}
        done = run("stack_secrets.py", environment)
        assert done.returncode == 0, done.stderr
        found = {name: base64.b64decode(secret["data"]["password"]).decode() for name, secret in secrets.items()
                 if "password" in secret["data"]}  # fmt: skip
        again = run("stack_secrets.py", environment)
        assert "taken over" not in again.stdout and "kafka-users: not used any more" in again.stdout
    assert found["kafka-user-broker"] == "old-broker" and found["kafka-user-admin"] == "mine"
    assert found["elasticsearch-user-elastic"] == "old-elastic"
    assert found["elasticsearch-user-kibana"] == "old-kibana_system"
    assert re.fullmatch("[0-9a-f]{48}", found["kafka-user-logstash"]), "the old Secret did not have this one"
    assert "old-" not in done.stdout


def test_certificates_are_valid_for_their_hosts_and_renewed_before_they_expire(tmp_path):
    restarted = []
    with secrets_api(tmp_path / "account", restarted) as (environment, secrets):
        assert run("stack_secrets.py", environment).returncode == 0
        assert restarted == []
        data = {key: base64.b64decode(value) for key, value in secrets["certificates-kafka"]["data"].items()}
        for name, content in data.items():
            (tmp_path / name).write_bytes(content)
        for host, status in (
            ("kafka", 0), ("kafka.demo-micro", 0), ("kafka.demo-micro.svc", 0), ("kafka.demo-micro.svc.cluster.local", 0),
            ("kafka-2.kafka-headless", 0), ("kafka-2.kafka-headless.demo-micro.svc", 0), ("localhost", 0),
            ("elasticsearch", 1), ("kafka.other.svc", 1),
        ):  # fmt: skip
            command = ["openssl", "verify", "-x509_strict", "-CAfile", tmp_path / "ca.crt", "-verify_hostname", host]
            done = subprocess.run([*command, tmp_path / "tls.crt"], capture_output=True, check=False)
            assert (done.returncode != 0) == (status != 0), f"{host}: {done.stderr}"
        assert b"BEGIN PRIVATE KEY" in data["tls.key"], "Kafka and Logstash need PKCS #8"
        assert data["keystore.pem"] == data["tls.key"] + data["tls.crt"] + data["ca.crt"]

        soon = certificate(secrets["certificate-authority"]["data"], days=1)
        secrets["certificates-kafka"]["data"] |= soon
        # The names that the stack gave to certificates at first.
        short = certificate(secrets["certificate-authority"]["data"], hosts=["redis", "localhost"])
        secrets["certificates-redis"]["data"] |= short
        kibana = secrets["certificates-kibana"]["data"]["tls.crt"]
        done = run("stack_secrets.py", environment)
        assert "certificates-kafka: renewed" in done.stdout and "certificates-kibana: kept" in done.stdout, done.stdout
        assert secrets["certificates-kafka"]["data"]["tls.crt"] != soon["tls.crt"]
        assert secrets["certificates-kibana"]["data"]["tls.crt"] == kibana
        assert "certificates-redis: renewed\n" in done.stdout, "it is not deployed here"
        assert restarted == [("statefulsets/kafka", "kafka-to-search/certificate-renewed")]

        # Without the authority there is a new one, which signs everything again.
        del secrets["certificate-authority"]
        done = run("stack_secrets.py", environment)
        assert done.stdout.count(": renewed") == 6, done.stdout


def certificate(authority: dict[str, str], days: int = 398, hosts=("kafka",)) -> dict[str, str]:
    """A key and a certificate by this authority, as the values of a Secret."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("ca.crt", "ca.key"):
            (Path(folder) / name).write_bytes(base64.b64decode(authority[name]))
        openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        names = ",".join(f"DNS:{host}" for host in hosts)
        subprocess.run(
            [*openssl, "-subj", f"/CN={hosts[0]}", "-days", str(days), "-CA", "ca.crt", "-CAkey", "ca.key",
             "-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:false",
             "-keyout", "tls.key", "-out", "tls.crt"],
            cwd=folder, capture_output=True, check=True,
        )  # fmt: skip
        return {name: base64.b64encode((Path(folder) / name).read_bytes()).decode() for name in ("tls.key", "tls.crt")}


@pytest.mark.parametrize("days", [398, 1])
def test_a_certificate_that_someone_else_signed_is_kept(tmp_path, days):
    """What cert-manager or a person put there: Secrets of type kubernetes.io/tls, with keys of their own."""
    with secrets_api(tmp_path / "account") as (environment, secrets):
        assert run("stack_secrets.py", environment).returncode == 0
        ours = secrets["certificate-authority"]["data"]
        # A public authority, not one of this stack.
        openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        options = ["-subj", "/CN=Corporate CA", "-addext", "basicConstraints=critical,CA:true"]
        files = ["-keyout", "ca.key", "-out", "ca.crt"]
        subprocess.run([*openssl, *options, *files], cwd=tmp_path, capture_output=True, check=True)
        corporate = {key: base64.b64encode((tmp_path / key).read_bytes()).decode() for key in ("ca.crt", "ca.key")}
        mine = {"mine": base64.b64encode(b"kept").decode()}
        by_hand = {
            "metadata": {"name": "certificates-kafka", "labels": {"team": "platform"}},
            "type": "kubernetes.io/tls",
            "data": {**certificate(corporate, days), "ca.crt": corporate["ca.crt"], **mine},
        }
        managed = {
            "metadata": {"name": "certificates-kibana", "annotations": {"cert-manager.io/certificate-name": "kibana"}},
            "type": "kubernetes.io/tls",
            # cert-manager can use the authority of the stack, too.
            "data": {**certificate(ours, days, ["kibana"]), "ca.crt": ours["ca.crt"], "tls-combined.pem": "cGVt"},
        }
        incomplete = {
            "metadata": {"name": "certificates-redis"},
            "type": "Opaque",
            "data": {**mine, "ca.crt": corporate["ca.crt"]},
        }
        secrets |= {"certificates-kafka": by_hand, "certificates-kibana": managed, "certificates-redis": incomplete}
        before = json.loads(json.dumps(secrets))
        done = run("stack_secrets.py", environment)
        assert done.returncode == 0, done.stderr
        assert secrets == before
    assert "certificates-kafka: kept, someone else signed it" in done.stdout
    assert ("It expires within 60 days" in done.stdout) == (days == 1)
    assert "certificates-kibana: kept, cert-manager renews it" in done.stdout
    assert "certificates-redis: kept, although it has no tls.crt" in done.stdout


def test_beats_and_tcp_clients_get_a_certificate_that_logstash_accepts(tmp_path):
    """Logs in as a shipper does, to a TLS server that requires client certificates of the stack's authority."""
    import ssl

    with secrets_api(tmp_path / "account") as (environment, secrets):
        assert run("stack_secrets.py", environment).returncode == 0
        for name in ("logstash", "log-shipper"):
            (tmp_path / name).mkdir()
            for key, value in secrets[f"certificates-{name}"]["data"].items():
                (tmp_path / name / key).write_bytes(base64.b64decode(value))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "logstash" / "ca.crt")
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(tmp_path / "logstash" / "tls.crt", tmp_path / "logstash" / "tls.key")
    shipper = ssl.create_default_context(cafile=tmp_path / "log-shipper" / "ca.crt")
    shipper.load_cert_chain(tmp_path / "log-shipper" / "tls.crt", tmp_path / "log-shipper" / "tls.key")
    mine, theirs = socket.socketpair()
    with ThreadPoolExecutor(1) as other:
        accepted = other.submit(server.wrap_socket, theirs, server_side=True)
        # The name that a shipper in another namespace uses.
        with shipper.wrap_socket(mine, server_hostname="logstash.demo-micro.svc"), accepted.result(timeout=30) as connection:
            assert connection.getpeercert()["subject"] == ((("commonName", "log-shipper"),),)


def test_renewing_keeps_the_type_the_metadata_and_the_other_values_of_a_secret(tmp_path):
    with secrets_api(tmp_path / "account") as (environment, secrets):
        assert run("stack_secrets.py", environment).returncode == 0
        mine = secrets["certificates-kafka"]
        mine["metadata"] |= {"labels": {"team": "platform"}, "resourceVersion": "7"}
        mine["type"] = "kubernetes.io/tls"
        mine["data"] |= {"truststore.p12": "cDEy", **certificate(secrets["certificate-authority"]["data"], days=1)}
        metadata = dict(mine["metadata"])
        assert "certificates-kafka: renewed" in run("stack_secrets.py", environment).stdout
        renewed = secrets["certificates-kafka"]
        assert (renewed["metadata"], renewed["type"]) == (metadata, "kubernetes.io/tls")
        assert renewed["data"]["truststore.p12"] == "cDEy"
        assert renewed["data"].keys() == {"tls.crt", "tls.key", "ca.crt", "keystore.pem", "truststore.p12"}


def elasticsearch_setup(url: str, environment: dict[str, str]) -> subprocess.CompletedProcess:
    """Runs elasticsearch_setup.py against this server."""
    settings = {
        "ELASTICSEARCH_URL": url, "ELASTIC_PASSWORD": "elastic-password", "KIBANA_PASSWORD": "kibana-password",
        "RETENTION_DAYS": "30",
    }  # fmt: skip
    return run("elasticsearch_setup.py", {**environment, **settings})


class ApiKeys:
    """Elasticsearch's API keys, as its documentation describes their creation, listing and end."""

    def __init__(self):
        self.keys: dict[str, dict] = {}
        self.ended: list[str] = []

    def __call__(self, method, path, headers, body=None):
        now = int(time.time() * 1000)
        if path == "/_security/_authenticate":
            identity = base64.b64decode(headers["Authorization"].removeprefix("ApiKey ")).decode().partition(":")[0]
            known = self.keys.get(identity)
            return (200, {}) if known and not known["invalidated"] else (401, {})
        if path == "/_security/api_key" and method == "POST":
            identity = f"id{len(self.keys)}"
            days = int(re.fullmatch(r"(\d+)d", body["expiration"])[1]) if "expiration" in body else None
            self.keys[identity] = {
                "id": identity, "name": body["name"], "creation": now, "invalidated": False, "metadata": body["metadata"],
                "expiration": now + days * 86_400_000,
            }  # fmt: skip
            return 200, {"id": identity, "api_key": "key"}
        if path.startswith("/_security/api_key?name="):
            name = path.partition("=")[2]
            return 200, {"api_keys": [key for key in self.keys.values() if key["name"] == name]}
        if path == "/_security/api_key" and method == "DELETE":
            self.ended += body["ids"]
            for identity in body["ids"]:
                self.keys[identity]["invalidated"] = True
        return 200, {}


def stored_keys(secrets: dict) -> dict[str, str]:
    """The keys in the Secrets: `id:key`, or their base64 under NAME-encoded."""
    prefix = "elasticsearch-api-key-"
    return {
        f"{name.removeprefix(prefix)}{form}": base64.b64decode(secret["data"][key]).decode()
        for name, secret in secrets.items() if name.startswith(prefix)
        for key, form in (("key", ""), ("encoded", "-encoded"))
    }  # fmt: skip


@pytest.mark.parametrize("why", ["there was none", "does not accept it", "rights have changed", "expires within 30 days"])
def test_a_key_is_replaced_for_each_of_these_reasons_and_logstash_restarts(tmp_path, why):
    server, restarted = ApiKeys(), []
    with secrets_api(tmp_path / "account", restarted) as (environment, secrets), stand_in(server) as (url, _):
        assert elasticsearch_setup(url, environment).returncode == 0
        first, restarted[:] = stored_keys(secrets), []
        key = server.keys[first["logstash"].partition(":")[0]]
        if why == "there was none":
            del secrets["elasticsearch-api-key-logstash"]
        elif why == "does not accept it":
            key["invalidated"] = True
        elif why == "rights have changed":
            key["metadata"] = {"rights": "others"}
        else:
            key["expiration"] = int((time.time() + 29 * 86_400) * 1000)
        done = elasticsearch_setup(url, environment)
        assert re.search(rf"API key logstash: made, because .*{why}", done.stdout), done.stdout + done.stderr
        assert "API key functions: kept" in done.stdout
        assert restarted == [("statefulsets/logstash", "kafka-to-search/api-key-replaced")]
        renewed = stored_keys(secrets)
        assert renewed["functions"] == first["functions"] and renewed["logstash"] != first["logstash"]
        assert renewed["logstash-encoded"] == base64.b64encode(renewed["logstash"].encode()).decode()
        if why == "does not accept it":
            return
        # The pods may still use the replaced key today, but not for longer.
        assert "replaced, valid for a day" in elasticsearch_setup(url, environment).stdout and server.ended == []
        server.keys[renewed["logstash"].partition(":")[0]]["creation"] -= 90_000_000
        key["creation"] -= 90_000_001
        assert "ended" in elasticsearch_setup(url, environment).stdout
        assert server.ended == [key["id"]]
        assert stored_keys(secrets) == renewed


def test_elasticsearch_setup_applies_everything(tmp_path):
    with secrets_api(tmp_path / "account") as (environment, secrets), stand_in(ApiKeys()) as (url, requests):
        done = elasticsearch_setup(url, environment)
        assert done.returncode == 0, done.stderr
        first = list(requests)
        keys = stored_keys(secrets)
        assert keys["functions-encoded"] == base64.b64encode(keys["functions"].encode()).decode()

    assert "elastic-password" not in done.stdout and ":key" not in done.stdout
    login = "Basic " + base64.b64encode(b"elastic:elastic-password").decode()
    assert all(headers["Authorization"] == login for *_, headers in first)
    calls = {(method, path): body for method, path, body, _ in first}
    assert calls["POST", "/_security/user/kibana_system/_password"] == {"password": "kibana-password"}
    policy = calls["PUT", "/_ilm/policy/platform-logs"]["policy"]["phases"]
    assert policy["delete"] == {"min_age": "30d", "actions": {"delete": {}}}
    template = calls["PUT", "/_index_template/platform-logs"]
    settings = template["template"]["settings"]
    assert settings["index.lifecycle.name"] == "platform-logs" and settings["auto_expand_replicas"] == "0-1"
    # The Job provision-cluster applies the templates of the events. No index has a template from both.
    events = ["microservices-2026.03.01", "dead-letters-microservices-2026.03.01"]
    assert not any(fnmatch(index, pattern) for index in events for pattern in template["index_patterns"])
    assert {path for method, path in calls if method == "PUT"} == {
        "/_ilm/policy/platform-logs", "/_index_template/platform-logs", "/_security/role/platform_operator",
        "/_index_template/stack-report", "/_index_template/stack-alerts",
    }  # fmt: skip
    created = [body for method, path, body, _ in first if path == "/_security/api_key"]
    assert [body["name"] for body in created] == ["logstash", "functions", "replayer", "metrics", "report"]
    assert [body["expiration"] for body in created] == ["90d", "400d", "90d", "90d", "90d"]
    for key, name, role in ((created[1], "functions", "writer"), (created[2], "replayer", "replayer")):
        text = (SEARCH / "roles" / f"elasticsearch-{role}.json").read_text()
        text = text.replace("${EVENT_INDICES}", "microservices-*")
        text = text.replace("${DEAD_LETTER_PREFIX}", "dead-letters-microservices")
        assert key["role_descriptors"][name] == json.loads(text), f"the key {name} differs from the provisioned role"
    (indices,) = created[0]["role_descriptors"]["logstash"]["indices"]
    assert set(indices["privileges"]) == {"create_doc", "auto_configure"}, "the key can read or change documents"
    # Logstash's key may write to every index of the pipelines.
    may_write = created[0]["role_descriptors"]["logstash"]["indices"][0]["names"]
    for file in ("logstash.conf", "dead-letters.conf"):
        for plugin in parse((ELK / "logstash" / "pipeline" / file).read_text()).plugins("output"):
            assert plugin.options["index"].replace("%{+YYYY.MM.dd}", "*") in may_write


@pytest.mark.parametrize("overlay", ["dev", "production"])
def test_logstash_gets_a_user_of_its_own_only_where_it_has_a_password(tmp_path, overlay):
    mine = {"LOGSTASH_PASSWORD": "logstash-password"} if overlay == "dev" else {}
    with secrets_api(tmp_path / "account") as (environment, _), stand_in(ApiKeys()) as (url, requests):
        assert elasticsearch_setup(url, {**environment, **mine}).returncode == 0
    users = {path: body for _, path, body, _ in requests if path.startswith(("/_security/user/logstash", "/_security/role/pl"))}
    assert users.pop("/_security/role/platform_operator")
    if overlay == "production":
        assert users == {}
        return
    assert users["/_security/user/logstash"] == {"password": "logstash-password", "roles": ["platform_logstash"]}
    (key,) = (body for _, path, body, _ in requests if path == "/_security/api_key" and body["name"] == "logstash")
    assert users["/_security/role/platform_logstash"] == key["role_descriptors"]["logstash"], "dev may do more than production"


def test_an_error_of_elasticsearch_fails_the_job_and_is_shown(tmp_path):
    with (
        secrets_api(tmp_path / "account") as (environment, secrets),
        stand_in(lambda *_: (403, {"error": "not for you"})) as (url, _),
    ):
        done = elasticsearch_setup(url, environment)
        assert done.returncode != 0
        assert "403" in done.stderr and "not for you" in done.stderr
        assert not secrets


def test_kibana_setup_applies_the_data_view_and_the_role():
    with stand_in(lambda *_: (200, {})) as (url, requests):
        done = run("kibana_setup.py", {"KIBANA_URL": url, "ELASTIC_PASSWORD": "p"})
    assert done.returncode == 0, done.stderr
    assert all(headers["Kbn-Xsrf"] for *_, headers in requests)
    views = [body["data_view"]["title"] for _, path, body, _ in requests if path == "/api/data_views/data_view"]
    assert views == ["platform-logs-*"], "the Job provision-cluster applies the data views of the events"
    roles = {path.rsplit("/", 1)[1]: body for _, path, body, _ in requests if path.startswith("/api/security/role/")}
    analyst = roles["microservices_analyst"]
    (indices,) = analyst["elasticsearch"]["indices"]
    assert indices["privileges"] == ["read", "view_index_metadata"] and not analyst["elasticsearch"]["cluster"]


@pytest.mark.parametrize(("status", "exit_code"), [(200, 0), (401, 0), (503, 1)])
def test_wait_for_accepts_any_response_of_a_server_that_is_up(status, exit_code):
    with stand_in(lambda *_: (status, {})) as (url, _):
        done = run("wait_for.py", {"TIMEOUT_S": "0" if exit_code else "30"}, url)
    assert done.returncode == exit_code, done.stderr


def test_wait_for_reports_a_timeout():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = run("wait_for.py", {"TIMEOUT_S": "0"}, f"kafka://127.0.0.1:{port}")
    assert done.returncode == 1 and "did not respond within 0 s" in done.stderr


def test_wait_for_needs_a_broker_and_not_just_an_open_port():
    with stand_in(lambda *_: (200, {})) as (url, _):
        done = run("wait_for.py", {"TIMEOUT_S": "0"}, url.replace("http", "kafka"))
    assert done.returncode == 1


def test_the_functions_key_is_stored_in_localstack_in_the_form_that_the_function_reads(tmp_path):
    """Uses a boto3 that only records calls. LocalStack itself is tested elsewhere."""
    (tmp_path / "boto3.py").write_text(
        "import json, sys\n"
        "class Exists(Exception): pass\n"
        "class Client:\n"
        "    class exceptions: ResourceExistsException = Exists\n"
        "    def create_secret(self, **call):\n"
        "        raise Exists\n"
        "    def put_secret_value(self, **call):\n"
        "        print(json.dumps(call), file=sys.stderr)\n"
        "        return {'ARN': 'arn:aws:secretsmanager:us-east-1:000000000000:secret:kafka-to-search/search-AbCdEf'}\n"
        "def client(service, **options):\n"
        "    assert service == 'secretsmanager'\n"
        "    return Client()\n"
    )
    key = tmp_path / "api-key"
    key.write_text("aWQ6a2V5\n")
    done = run("search_secret.py", {"SEARCH_KEY_FILE": str(key), "PYTHONPATH": str(tmp_path)})
    assert done.stdout.strip() == "arn:aws:secretsmanager:us-east-1:000000000000:secret:kafka-to-search/search-AbCdEf"
    assert json.loads(done.stderr) == {"SecretId": "kafka-to-search/search", "SecretString": '{"api_key": "aWQ6a2V5"}'}
