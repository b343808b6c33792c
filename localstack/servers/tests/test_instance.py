"""An instance's ports and processes are kept for its life."""

import os
import socket

import pytest

from errors import StackError
from instance import DEFAULT_PORTS, FREE_PORTS, Instance, _server_of, require_free
from process import Identity, _lookup
from servers import SERVERS


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("KAFKA_TO_SEARCH_STATE", str(tmp_path))
    for variable in DEFAULT_PORTS:
        monkeypatch.delenv(variable, raising=False)


def ports(instance):
    return {variable: instance.port(variable) for variable in DEFAULT_PORTS}


def test_a_stack_has_the_default_ports():
    instance = Instance("demo")
    instance.choose_ports(free=False)

    assert ports(instance) == DEFAULT_PORTS


def test_free_ports_differ_and_are_kept():
    instance = Instance("test")
    instance.choose_ports(free=True)
    chosen = ports(instance)

    assert len(set(chosen.values())) == len(DEFAULT_PORTS)
    assert all(port in FREE_PORTS for port in chosen.values())
    Instance("test").choose_ports(free=False)
    assert ports(Instance("test")) == chosen


def test_a_variable_changes_one_port_and_zero_picks_a_free_one(monkeypatch):
    monkeypatch.setenv("KAFKA_PORT", "19092")
    monkeypatch.setenv("OPENSEARCH_PORT", "0")
    instance = Instance("demo")
    instance.choose_ports(free=False)

    assert instance.port("KAFKA_PORT") == 19092
    assert instance.port("OPENSEARCH_PORT") in FREE_PORTS
    assert instance.port("LOCALSTACK_PORT") == DEFAULT_PORTS["LOCALSTACK_PORT"]


def test_a_running_server_keeps_its_port(monkeypatch):
    instance = Instance("demo")
    instance.choose_ports(free=False)
    instance.remember("kafka", Identity(os.getpid(), _lookup(os.getpid()).started), "release")
    monkeypatch.setenv("KAFKA_PORT", "19092")
    monkeypatch.setenv("LOCALSTACK_PORT", "14566")
    instance.choose_ports(free=False)

    assert instance.port("KAFKA_PORT") == DEFAULT_PORTS["KAFKA_PORT"]
    assert instance.port("LOCALSTACK_PORT") == 14566


def test_every_port_belongs_to_a_server():
    assert {_server_of(variable) for variable in DEFAULT_PORTS} == set(SERVERS)


def test_a_port_that_is_no_number_is_refused(monkeypatch):
    monkeypatch.setenv("KAFKA_PORT", "kafka")

    with pytest.raises(StackError, match="KAFKA_PORT must be a port number"):
        Instance("demo").choose_ports(free=False)


def test_a_port_in_use_is_named_with_its_variable():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(StackError, match=f"Kafka's port {port} is in use .* KAFKA_PORT="):
            require_free(port, "KAFKA_PORT", "Kafka")


@pytest.mark.parametrize("name", ["", "../other", "a/b", "a b"])
def test_a_name_that_leads_out_of_the_state_folder_is_refused(name):
    with pytest.raises(StackError, match="instance name"):
        Instance(name)
