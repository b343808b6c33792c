"""A server is started once, ready when it says so, restarted for a new release, and stopped."""

import os
import sys
from pathlib import Path

import pytest

from local_stack.errors import StackError
from local_stack.instance import Instance
from local_stack.ports import Port
from local_stack.server import Launch, Server


class Sleeper(Server):
    name = "sleeper"
    title = "Sleeper"
    ports = (Port("SLEEPER_PORT", 0),)
    start_timeout_s = 20
    stop_grace_s = 20

    def prerequisites(self):
        return []

    def fetch(self):
        return Path("/cache/sleeper-1")

    def prepare(self, instance, fetched):
        code = "import pathlib, time; pathlib.Path('started').touch(); time.sleep(600)"
        return Launch([sys.executable, "-c", code], os.environ)

    def ready(self, instance):
        return (instance.server_folder(self.name) / "started").exists()

    def info(self, instance):
        return {"endpoint": f"http://127.0.0.1:{self.port(instance)}"}


class Dependent(Sleeper):
    name = "dependent"
    title = "Dependent"
    needs = (Sleeper(),)


@pytest.fixture
def instance(tmp_path, monkeypatch):
    monkeypatch.setenv("KAFKA_TO_SEARCH_STATE", str(tmp_path))
    instance = Instance("test")
    instance.choose_ports({"sleeper": Sleeper.ports}, free=True)
    yield instance
    Sleeper().kill(instance)


def test_a_server_is_ready_when_its_start_returns_and_gone_when_its_stop_returns(instance):
    server = Sleeper()
    server.start(instance, server.fetch())

    process = instance.running("sleeper")
    assert server.ready(instance)
    assert process
    server.stop(instance)
    assert instance.process("sleeper") is None
    assert not process.alive()


def test_a_server_that_runs_is_left_alone_until_its_release_changes(instance):
    server = Sleeper()
    server.start(instance, server.fetch())
    first = instance.running("sleeper")

    server.start(instance, server.fetch())
    assert instance.running("sleeper") == first

    server.start(instance, Path("/cache/sleeper-2"))
    assert instance.running("sleeper") != first
    assert not first.alive()
    assert instance.release("sleeper") == "sleeper-2"


def test_a_server_does_not_start_without_those_that_it_needs(instance):
    with pytest.raises(StackError, match="Dependent needs Sleeper, which does not run: start sleeper first"):
        Dependent().start(instance, Path("/cache/dependent-1"))
