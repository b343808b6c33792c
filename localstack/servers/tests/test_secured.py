"""The servers with TLS and users start with credentials of their own."""

import argparse
import ssl
import stat

import pytest

from local_stack.commands import stack
from local_stack.instance import Instance
from local_stack.servers import credentials, elasticsearch, opensearch_secured
from local_stack.servers.table import SERVERS, STACK


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("KAFKA_TO_SEARCH_STATE", str(tmp_path))


def test_the_secured_servers_the_registry_and_the_console_are_not_part_of_the_stack():
    assert [server.name for server in STACK] == ["kafka", "opensearch", "localstack", "poller"]
    assert set(SERVERS) - {server.name for server in STACK} == {
        "kafka-2",
        "kafka-3",
        "opensearch-2",
        "opensearch-3",
        "opensearch-secured",
        "elasticsearch",
        "elasticsearch-6",
        "schema-registry",
        "console",
    }


def test_a_server_keeps_a_password_and_a_ca_of_its_own():
    made = credentials.ensure(Instance("one"), "opensearch-secured")
    other = credentials.ensure(Instance("two"), "opensearch-secured")
    password, ca = made.password, made.ca.read_text()

    assert len(password) == 40
    assert password != other.password
    assert ca != other.ca.read_text()
    again = credentials.ensure(Instance("one"), "opensearch-secured")
    assert (again.password, again.ca.read_text()) == (password, ca)
    for file in (made.password_file, made.keystore):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    left = {file.name for file in made.folder.iterdir()}
    assert left == {"password", "ca.pem", "node.p12"}, "the CA's key is gone"
    (trusted,) = ssl.create_default_context(cafile=str(made.ca)).get_ca_certs()
    assert trusted["subject"] == trusted["issuer"]


def test_only_the_owner_may_read_a_private_file(tmp_path):
    file = tmp_path / "private"
    credentials.write_private(file, "first")

    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("first", 0o600)


def test_the_administrator_is_the_only_user_of_the_secured_opensearch():
    lines = opensearch_secured.users_file("$2y$12$hash").splitlines()

    assert [line.partition(":")[0] for line in lines] == ["_meta", "admin"]


def test_both_layers_of_elasticsearch_are_encrypted():
    lines = elasticsearch.security_settings("secret").splitlines()

    assert "xpack.security.enabled: true" in lines
    assert "xpack.security.http.ssl.enabled: true" in lines
    assert "xpack.security.transport.ssl.enabled: true" in lines


def test_elasticsearch_may_install_the_security_manager_where_the_jdk_has_one():
    assert elasticsearch.java_options("17.0.15").endswith(" -Djava.security.manager=allow")
    assert "security.manager" not in elasticsearch.java_options("25.0.1")


def test_a_server_that_does_not_exist_is_refused_with_the_names_of_those_that_do():
    assert stack._server_names("opensearch-secured,elasticsearch") == ["opensearch-secured", "elasticsearch"]
    with pytest.raises(
        argparse.ArgumentTypeError,
        match="no server solr: there are kafka, kafka-2, kafka-3, schema-registry, opensearch, ",
    ):
        stack._server_names("kafka,solr")
