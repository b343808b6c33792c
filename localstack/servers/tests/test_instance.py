"""An instance keeps its ports and processes."""

import os
import socket

import pytest

from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.ports import FREE, Port, require_free
from local_stack.process import ProcessIdentity, _lookup
from local_stack.servers.table import SERVERS

PORTS = {name: server.ports for name, server in SERVERS.items()}
DEFAULTS = {port.variable: port.default for ports in PORTS.values() for port in ports}


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("KAFKA_TO_SEARCH_STATE", str(tmp_path))
    for variable in DEFAULTS:
        monkeypatch.delenv(variable, raising=False)


def chosen(instance):
    return {port.variable: instance.port(port) for ports in PORTS.values() for port in ports}


def test_a_stack_has_the_default_ports():
    instance = Instance("demo")
    instance.choose_ports(PORTS, free=False)

    assert chosen(instance) == DEFAULTS


def test_free_ports_are_distinct_and_kept():
    instance = Instance("test")
    instance.choose_ports(PORTS, free=True)
    ports = chosen(instance)

    assert len(set(ports.values())) == len(DEFAULTS)
    assert all(port in FREE for port in ports.values())
    Instance("test").choose_ports(PORTS, free=False)
    assert chosen(Instance("test")) == ports


def test_a_variable_changes_one_port_and_zero_picks_a_free_one(monkeypatch):
    monkeypatch.setenv("KAFKA_PORT", "19092")
    monkeypatch.setenv("OPENSEARCH_PORT", "0")
    instance = Instance("demo")
    instance.choose_ports(PORTS, free=False)

    assert chosen(instance)["KAFKA_PORT"] == 19092
    assert chosen(instance)["OPENSEARCH_PORT"] in FREE
    assert chosen(instance)["LOCALSTACK_PORT"] == DEFAULTS["LOCALSTACK_PORT"]


def test_a_running_server_keeps_its_port(monkeypatch):
    instance = Instance("demo")
    instance.choose_ports(PORTS, free=False)
    instance.remember("kafka", ProcessIdentity(os.getpid(), _lookup(os.getpid()).started), "release")
    monkeypatch.setenv("KAFKA_PORT", "19092")
    monkeypatch.setenv("LOCALSTACK_PORT", "14566")
    instance.choose_ports(PORTS, free=False)

    assert chosen(instance)["KAFKA_PORT"] == DEFAULTS["KAFKA_PORT"]
    assert chosen(instance)["LOCALSTACK_PORT"] == 14566


def test_no_two_ports_share_a_variable_or_a_default():
    n_ports = sum(len(ports) for ports in PORTS.values())

    assert len(DEFAULTS) == n_ports
    assert len(set(DEFAULTS.values())) == n_ports


def test_a_port_is_named_after_its_server():
    for name, ports in PORTS.items():
        for port in ports:
            assert port.variable.startswith(name.replace("-", "_").upper())


def test_a_port_that_is_no_number_is_refused(monkeypatch):
    monkeypatch.setenv("KAFKA_PORT", "kafka")

    with pytest.raises(StackError, match="KAFKA_PORT must be a port number"):
        Instance("demo").choose_ports(PORTS, free=False)


def test_a_port_in_use_is_named_with_its_variable():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(StackError, match=f"Kafka's port {port} is in use .* KAFKA_PORT="):
            require_free(port, Port("KAFKA_PORT", 9092), "Kafka")


@pytest.mark.parametrize("name", ["", "../other", "a/b", "a b"])
def test_a_name_that_leads_out_of_the_state_folder_is_refused(name):
    with pytest.raises(StackError, match="instance name"):
        Instance(name)
