"""The readiness probe on a real Elasticsearch 8.19, the newest that a package registry provides.

Its distribution lacks lifecycles, user management and what the index of API keys needs, so elasticsearch_setup.py does not run
on it: test_jobs.py runs that against a stand-in.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse

import pytest
from conftest import KUBERNETES, REPOSITORY

sys.path.insert(0, str(KUBERNETES / "base" / "jobs"))
import elasticsearch_setup

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


def test_a_node_is_ready_once_the_cluster_has_the_status(server, tmp_path):
    """The probe with this server's ports in place of those of the pod. An index whose replica has no place keeps it yellow."""
    port = urllib.parse.urlsplit(server["endpoint"]).port
    text = (KUBERNETES / "elk" / "elasticsearch" / "ready.sh").read_text().replace("localhost:9200", f"127.0.0.1:{port}")
    assert len(re.findall(rf"127\.0\.0\.1:{port}", text)) == 3
    (tmp_path / "ready.sh").write_text(text)
    shutil.copy2(server["ca_certificate"], tmp_path / "ca.crt")
    login = elasticsearch_setup.login({"ELASTIC_PASSWORD": server["password"]})
    cluster = elasticsearch_setup.Elasticsearch(server["endpoint"], login, server["ca_certificate"])
    cluster.call("PUT", "/one-replica", {"settings": {"number_of_replicas": 1}})
    for status, code in (("green", 1), ("yellow", 0)):
        environment = {
            "PATH": os.environ["PATH"], "READY_STATUS": status, "ELASTIC_PASSWORD": server["password"],
            "READY_FOLDER": str(tmp_path), "READINESS_PORT": str(port), "CERTIFICATES": str(tmp_path),
        }  # fmt: skip
        done = subprocess.run(["bash", tmp_path / "ready.sh"], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, (status, done)
    assert (tmp_path / "recovered").exists()
