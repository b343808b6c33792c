"""What the servers with TLS and users are started with: nothing that is known elsewhere."""

import argparse
import ssl
import stat

import pytest

import elasticsearch_node
import identity
import opensearch_secured
import stack
from instance import Instance
from servers import SERVERS, STACK


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("KAFKA_TO_SEARCH_STATE", str(tmp_path))


def test_the_stack_is_without_the_secured_servers():
    assert STACK == ["kafka", "opensearch", "localstack", "poller"]
    assert set(SERVERS) - set(STACK) == {"opensearch-secured", "elasticsearch", "elasticsearch-6"}


def test_a_server_has_a_password_and_a_ca_of_its_own_that_last():
    made = identity.ensure(Instance("one"), "opensearch-secured")
    other = identity.ensure(Instance("two"), "opensearch-secured")
    password, ca = made.password, made.ca.read_text()

    assert len(password) == 40
    assert password != other.password
    assert ca != other.ca.read_text()
    again = identity.ensure(Instance("one"), "opensearch-secured")
    assert (again.password, again.ca.read_text()) == (password, ca)
    for file in (made.password_file, made.keystore):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    left = {file.name for file in made.folder.iterdir()}
    assert left == {"password", "ca.pem", "node.p12"}, "the CA's key is gone"
    (trusted,) = ssl.create_default_context(cafile=str(made.ca)).get_ca_certs()
    assert trusted["subject"] == trusted["issuer"]


def test_a_private_file_is_for_its_owner_alone(tmp_path):
    file = tmp_path / "private"
    identity.write_private(file, "first")

    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("first", 0o600)


def test_the_administrator_is_the_only_user_of_the_secured_opensearch():
    lines = opensearch_secured.users_file("$2y$12$hash").splitlines()

    assert [line.partition(":")[0] for line in lines] == ["_meta", "admin"]


def test_both_layers_of_elasticsearch_are_encrypted():
    lines = elasticsearch_node.security_settings("secret").splitlines()

    assert "xpack.security.enabled: true" in lines
    assert "xpack.security.http.ssl.enabled: true" in lines
    assert "xpack.security.transport.ssl.enabled: true" in lines


def test_elasticsearch_asks_for_the_security_manager_where_there_is_one():
    assert elasticsearch_node.java_options("17.0.15").endswith(" -Djava.security.manager=allow")
    assert "security.manager" not in elasticsearch_node.java_options("25.0.1")


def test_servers_are_named_as_they_are_started():
    assert stack._servers("opensearch-secured,elasticsearch") == ["opensearch-secured", "elasticsearch"]
    with pytest.raises(argparse.ArgumentTypeError, match="no server solr: there are kafka, opensearch, "):
        stack._servers("kafka,solr")
