"""What `make account` runs: against the demo with its mappings and rules, or against the servers that are named."""

import pytest

from local_stack import sam
from local_stack.commands import account
from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.servers.localstack import LOCALSTACK


@pytest.fixture
def instance(tmp_path, monkeypatch):
    monkeypatch.setenv("KAFKA_TO_SEARCH_STATE", str(tmp_path))
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "SEARCH_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    made = Instance("account")
    made.folder.mkdir(parents=True)
    return made


@pytest.fixture
def running(instance, monkeypatch):
    monkeypatch.setattr(Instance, "running", lambda self, name: True)
    for server in (*account.environment.__globals__["SERVERS"].values(), LOCALSTACK):
        names = {"kafka": "KAFKA_BOOTSTRAP_SERVERS", "opensearch": "SEARCH_ENDPOINT"}
        values = {names.get(server.name, "AWS_ENDPOINT_URL"): f"{server.name}-of-demo"}
        monkeypatch.setattr(type(server), "environment", lambda self, instance, values=values: values)
    sam.take_rules(instance, None)
    return instance


def test_the_demo_is_accounted_for_by_its_mappings_and_the_rules_deployed_to_it(running):
    words, variables = account.of_demo(running, ["--since", "1h"])
    assert words == ["account", "--pipeline", str(sam.rules_file(running)), "--since", "1h"]
    names = ("KAFKA_BOOTSTRAP_SERVERS", "SEARCH_ENDPOINT", "AWS_ENDPOINT_URL")
    assert [variables[name] for name in names] == ["kafka-of-demo", "opensearch-of-demo", "localstack-of-demo"]


def test_rules_that_are_named_come_first(running):
    assert account.of_demo(running, ["--pipeline=a.yaml"])[0] == ["account", "--pipeline=a.yaml"]


def test_servers_that_are_named_have_their_own_mappings_and_rules(running, monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "broker:9092")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    words, variables = account.of_demo(running, [])
    assert words == ["account"]
    assert variables["KAFKA_BOOTSTRAP_SERVERS"] == "broker:9092" and "AWS_ENDPOINT_URL" not in variables


def test_without_the_demo_its_command_is_named(instance):
    with pytest.raises(StackError, match="make demo"):
        account.of_demo(instance, [])
