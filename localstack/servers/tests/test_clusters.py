"""Clusters: a name with a number of nodes stands for several servers, which know each other by the instance."""

import argparse

import pytest

from local_stack import lifecycle
from local_stack.commands import stack
from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.servers.kafka import KAFKA, KAFKA_BROKERS
from local_stack.servers.opensearch import OPENSEARCH, OPENSEARCH_NODES
from local_stack.servers.table import SERVERS


@pytest.fixture
def instance(tmp_path, monkeypatch):
    monkeypatch.setenv("KAFKA_TO_SEARCH_STATE", str(tmp_path))
    return Instance("test")


def start(instance, names, monkeypatch):
    """Starts servers but for their processes."""
    monkeypatch.setattr(lifecycle, "fetch", lambda servers: {server.name: None for server in servers})
    monkeypatch.setattr(lifecycle, "_start_together", lambda *_: None)
    lifecycle.start(instance, [SERVERS[name] for name in stack._server_names(names)], free_ports=True)


def test_a_name_with_a_number_stands_for_all_nodes():
    assert stack._server_names("kafka:3,localstack,opensearch:1") == [
        "kafka",
        "kafka-2",
        "kafka-3",
        "localstack",
        "opensearch",
    ]


@pytest.mark.parametrize("text", ["kafka:2", "kafka:", "kafka:x", "localstack:3", "solr:3", "kafka:0", "kafka:-1"])
def test_a_cluster_that_does_not_exist_is_refused_with_those_that_do(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"no cluster {text}: there are kafka:3, opensearch:3"):
        stack._server_names(text)


def test_clients_find_every_node_of_a_cluster(instance, monkeypatch):
    start(instance, "kafka:3,opensearch:3", monkeypatch)

    brokers = [f"127.0.0.1:{broker.port(instance)}" for broker in KAFKA_BROKERS]
    nodes = [f"http://127.0.0.1:{node.port(instance)}" for node in OPENSEARCH_NODES]
    for broker, address in zip(KAFKA_BROKERS, brokers, strict=True):
        assert broker.environment(instance) == {"KAFKA_BOOTSTRAP_SERVERS": ",".join(brokers)}
        assert broker.info(instance)["address"] == address
    for node, endpoint in zip(OPENSEARCH_NODES, nodes, strict=True):
        assert node.environment(instance) == {"SEARCH_ENDPOINT": ",".join(nodes)}
        assert node.info(instance)["endpoint"] == endpoint


def test_a_single_server_is_found_alone(instance, monkeypatch):
    start(instance, "kafka,opensearch", monkeypatch)

    assert KAFKA.environment(instance) == {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{KAFKA.port(instance)}"}
    assert OPENSEARCH.environment(instance) == {"SEARCH_ENDPOINT": f"http://127.0.0.1:{OPENSEARCH.port(instance)}"}


def test_a_node_of_a_cluster_can_be_started_again_alone(instance, monkeypatch):
    start(instance, "kafka:3", monkeypatch)
    start(instance, "kafka-2", monkeypatch)
    start(instance, "kafka", monkeypatch)

    assert instance.n_nodes("kafka") == 3


def test_a_node_without_its_cluster_is_refused(instance, monkeypatch):
    with pytest.raises(StackError, match="kafka-2 is a node of a cluster: start kafka:3"):
        start(instance, "kafka-2", monkeypatch)


def test_the_data_of_one_node_does_not_become_that_of_a_cluster(instance, monkeypatch):
    start(instance, "kafka", monkeypatch)
    (instance.server_folder("kafka") / "data").mkdir()

    with pytest.raises(StackError, match="the data of kafka in the instance `test` is that of another number of nodes"):
        start(instance, "kafka:3", monkeypatch)
