"""The readiness probe, the users and the API keys on a real Elasticsearch 8.19, the newest that a package registry provides.

Its distribution lacks lifecycles and scripts, so the steps of elasticsearch_setup.py run here one by one, without its lifecycle
policy: test_jobs.py runs the whole script against a stand-in. The Kubernetes API is a stand-in.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.parse

import pytest
from conftest import KUBERNETES, REPOSITORY
from kubernetes_api import secrets_api
from test_jobs import run, stored_keys

sys.path.insert(0, str(KUBERNETES / "base" / "jobs"))
import elasticsearch_setup
from kubernetes_secrets import Secrets

pytestmark = pytest.mark.live

STACK = [sys.executable, "-B", str(REPOSITORY / "localstack" / "servers" / "stack.py")]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """What `stack.py info` says of the server."""
    environment = {**os.environ, "KAFKA_TO_SEARCH_STATE": str(tmp_path_factory.mktemp("elasticsearch"))}
    instance = ["--instance", "kubernetes"]
    try:
        subprocess.run([*STACK, "start", "elasticsearch", *instance, "--free-ports"], env=environment, check=True, timeout=400)
        info = subprocess.run([*STACK, "info", *instance], env=environment, check=True, capture_output=True, text=True)
        yield json.loads(info.stdout)["elasticsearch"]
    finally:
        subprocess.run([*STACK, "stop", *instance], env=environment, check=True, timeout=120)


def client(server: dict, authorization: str) -> elasticsearch_setup.Elasticsearch:
    """The script's own client, with this Authorization header."""
    return elasticsearch_setup.Elasticsearch(server["endpoint"], authorization, server["ca_certificate"])


@pytest.fixture
def cluster(server):
    """The client of the administrator, with the templates that the setup applies. It has no keys yet."""
    cluster = client(server, elasticsearch_setup.login({"ELASTIC_PASSWORD": server["password"]}))
    for name, template in elasticsearch_setup.STACK_TEMPLATES.items():
        template = json.loads(json.dumps(template))
        template["template"]["settings"].pop("index.lifecycle.name", None)
        cluster.call("PUT", f"/_index_template/{name}", template)
    cluster.call("PUT", "/_security/role/platform_operator", elasticsearch_setup.OPERATOR)
    mine = cluster.call("GET", "/_security/api_key?active_only=true")["api_keys"]
    if mine:
        cluster.call("DELETE", "/_security/api_key", {"ids": [key["id"] for key in mine]})
    return cluster


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The Secrets as the Job reads and writes them, and what they hold."""
    with secrets_api(tmp_path / "account") as (environment, secrets):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield Secrets.of_pod(), secrets


def allowed(server: dict, authorization: str, method: str, path: str, body: dict | None = None) -> bool:
    """Whether these credentials may do it: False if Elasticsearch says 403."""
    try:
        client(server, authorization).call(method, path, body)
    except SystemExit as error:
        assert ": 403 " in str(error), error
        return False
    return True


def ensured(cluster, store, capsys) -> str:
    """Runs the part of the Job that makes the keys, and returns what it prints."""
    capsys.readouterr()
    elasticsearch_setup.ensure_keys(cluster, store[0])
    return capsys.readouterr().out


def test_keys_expire_are_kept_and_are_listed(cluster, store, capsys):
    before = time.time() * 1000
    first = ensured(cluster, store, capsys)
    assert first.count("made, because there was none") == len(elasticsearch_setup.WRITERS)
    assert ensured(cluster, store, capsys).count(": kept") == len(elasticsearch_setup.WRITERS)
    for name, days in elasticsearch_setup.KEY_DAYS.items():
        (key,) = elasticsearch_setup.keys_of(cluster, name)
        assert abs(key["expiration"] - before - days * 86_400_000) < 120_000
        assert key["metadata"] == {"rights": elasticsearch_setup.rights(name)}
        assert key["id"] == stored_keys(store[1])[name].partition(":")[0]
        assert not any(value in first for value in stored_keys(store[1]).values()), "the log contains a key"


def test_a_key_is_replaced_when_its_rights_change_and_the_old_one_ends(cluster, server, store, capsys, monkeypatch):
    ensured(cluster, store, capsys)
    old = stored_keys(store[1])["logstash-encoded"]
    less = {"cluster": ["monitor"], "indices": [{"names": ["microservices-*"], "privileges": ["create_doc"]}]}
    monkeypatch.setitem(elasticsearch_setup.WRITERS, "logstash", less)
    printed = ensured(cluster, store, capsys)
    assert "API key logstash: made, because its rights have changed" in printed and "API key functions: kept" in printed
    new = stored_keys(store[1])["logstash-encoded"]
    assert new != old
    # The pods still use the old one while they restart.
    assert "replaced, valid for a day" in ensured(cluster, store, capsys)
    assert cluster.accepts(f"ApiKey {old}")
    monkeypatch.setattr(elasticsearch_setup, "GRACE_MS", 0)
    assert f"{base64.b64decode(old).decode().partition(':')[0]}: ended" in ensured(cluster, store, capsys)
    assert not cluster.accepts(f"ApiKey {old}") and cluster.accepts(f"ApiKey {new}")
    (key,) = elasticsearch_setup.keys_of(cluster, "logstash")
    assert key["metadata"] == {"rights": elasticsearch_setup.rights("logstash")}
    assert allowed(server, f"ApiKey {new}", "GET", "/_cluster/health")


def test_a_key_that_expires_soon_or_was_ended_is_replaced(cluster, store, capsys, monkeypatch):
    ensured(cluster, store, capsys)
    with monkeypatch.context() as patch:
        patch.setattr(elasticsearch_setup, "RENEW_DAYS", 91)
        printed = ensured(cluster, store, capsys)
        assert "API key logstash: made, because it expires within 91 days" in printed
        assert "API key functions: kept" in printed, "it lasts 400 days"
    ended = stored_keys(store[1])["metrics"].partition(":")[0]
    cluster.call("DELETE", "/_security/api_key", {"ids": [ended]})
    assert "API key metrics: made, because Elasticsearch does not accept it" in ensured(cluster, store, capsys)


def test_an_expired_key_is_refused_and_replaced(cluster, store, capsys, monkeypatch):
    ensured(cluster, store, capsys)
    request = {"name": "replayer", "expiration": "1s", "metadata": {"rights": elasticsearch_setup.rights("replayer")}}
    made = cluster.call("POST", "/_security/api_key", request)
    value = f"{made['id']}:{made['api_key']}".encode()
    store[0].write(elasticsearch_setup.secret_of("replayer"), {"key": value, "encoded": base64.b64encode(value)})
    deadline = time.monotonic() + 60
    while cluster.accepts(f"ApiKey {made['encoded']}"):
        assert time.monotonic() < deadline, "the key did not expire"
    assert "API key replayer: made, because Elasticsearch does not accept it" in ensured(cluster, store, capsys)


def test_each_key_may_do_what_its_client_does_and_no_more(cluster, server, store, capsys):
    ensured(cluster, store, capsys)
    keys = {name: f"ApiKey {stored_keys(store[1])[f'{name}-encoded']}" for name in elasticsearch_setup.WRITERS}
    event, dead, report = "microservices-2026.03.01", "dead-letters-microservices-2026.03.01", "stack-report-2026.03.01"
    for index in (event, dead, report, "platform-logs-2026.03.01"):
        cluster.call("PUT", f"/{index}/_doc/known?refresh=true", {"kind": "known"})
    create, read, replace = "PUT /{}/_create/{}", "GET /{}/_search", "PUT /{}/_doc/known"
    expected = {
        "logstash": {(create, event), (create, dead), (create, "platform-logs-2026.03.01"), (create, "microservices-new")},
        "functions": {(create, event), (create, dead), (create, "microservices-new")},
        "replayer": {
            (create, event), (create, dead), (create, "microservices-new"), (read, event), (read, dead), (replace, event),
        },
        "metrics": {(read, report)},
        "report": {(read, event), (read, dead), (read, report), (create, report)},
    }  # fmt: skip
    for name, key in keys.items():
        may = {
            (what, index)
            for what in (create, read, replace)
            for index in (event, dead, report, "platform-logs-2026.03.01", "microservices-new", "mine")
            if allowed(server, key, *what.format(index, f"by-{name}").split(), None if what == read else {"kind": name})
        }
        # Reading or replacing in an index that only the administrator knows is not asked for.
        assert may - {(read, "microservices-new"), (replace, "microservices-new")} == expected[name], name
        for what in ("GET /_security/user", "GET /_security/api_key", "DELETE /" + event, "GET /_cluster/settings"):
            may = allowed(server, key, *what.split())
            assert may == (what == "GET /_cluster/settings" and name in ("logstash", "metrics", "report")), (name, what)


def test_the_report_runs_with_its_own_key(cluster, server, store, capsys, tmp_path):
    """The whole script of the CronJob, twice: the second run reads what the first has written."""
    ensured(cluster, store, capsys)
    (tmp_path / "groups").write_text("logstash-consumer-group order.events 0 10 40 30 c h i\n")
    settings = {
        "ELASTICSEARCH_URL": server["endpoint"], "CA_FILE": server["ca_certificate"], "GROUPS_FILE": str(tmp_path / "groups"),
        "API_KEY": stored_keys(store[1])["report-encoded"],
    }  # fmt: skip
    for _ in range(2):
        done = run("stack_report.py", settings)
        assert done.returncode == 0, done.stderr
        cluster.call("POST", "/stack-report-*/_refresh")
    found = cluster.call("POST", "/stack-report-*/_search", {"query": {"term": {"kind": "lag"}}})
    assert found["hits"]["total"]["value"] == 2 and found["hits"]["hits"][0]["_source"]["lag"] == 30


def test_the_users_have_the_passwords_of_their_secrets(cluster, server, capsys):
    """Of dev. Again with others, as after a change of the Secrets."""
    for password in ("first-password", "second-password"):
        elasticsearch_setup.set_users(cluster, {"KIBANA_PASSWORD": f"kibana-{password}", "LOGSTASH_PASSWORD": password})
        assert password not in capsys.readouterr().out
        kibana, logstash = (
            "Basic " + base64.b64encode(f"{user}:{value}".encode()).decode()
            for user, value in (("kibana_system", f"kibana-{password}"), ("logstash", password))
        )
        assert cluster.accepts(kibana) and cluster.accepts(logstash)
    assert not cluster.accepts("Basic " + base64.b64encode(b"logstash:first-password").decode())
    assert allowed(server, logstash, "PUT", "/microservices-2026.03.02/_create/1", {"orderId": "1"})
    assert not allowed(server, logstash, "GET", "/microservices-2026.03.02/_search")
    assert not allowed(server, logstash, "PUT", "/microservices-2026.03.02/_doc/1", {"orderId": "2"})
    assert not allowed(server, logstash, "GET", "/_security/user")


def test_a_node_is_ready_once_the_cluster_has_the_status(server, tmp_path):
    """The probe with this server's ports in place of those of the pod. An index whose replica has no place keeps it yellow."""
    port = urllib.parse.urlsplit(server["endpoint"]).port
    text = (KUBERNETES / "elk" / "elasticsearch" / "ready.sh").read_text().replace("localhost:9200", f"127.0.0.1:{port}")
    assert len(re.findall(rf"127\.0\.0\.1:{port}", text)) == 3
    (tmp_path / "ready.sh").write_text(text)
    shutil.copy2(server["ca_certificate"], tmp_path / "ca.crt")
    cluster = client(server, elasticsearch_setup.login({"ELASTIC_PASSWORD": server["password"]}))
    cluster.call("PUT", "/one-replica", {"settings": {"number_of_replicas": 1}})
    for status, code in (("green", 1), ("yellow", 0)):
        environment = {
            "PATH": os.environ["PATH"], "READY_STATUS": status, "ELASTIC_PASSWORD": server["password"],
            "READY_FOLDER": str(tmp_path), "READINESS_PORT": str(port), "CERTIFICATES": str(tmp_path),
        }  # fmt: skip
        done = subprocess.run(["bash", tmp_path / "ready.sh"], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, (status, done)
    assert (tmp_path / "recovered").exists()
