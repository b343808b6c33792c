"""Builds from within a test have the same environment as others."""

from local_stack import cargo


def test_what_cargo_sets_for_a_test_does_not_reach_a_build():
    inside = {
        "CARGO_MANIFEST_DIR": "/tests",
        "CARGO_PKG_NAME": "integration-tests",
        "CARGO_BIN_EXE_x": "/x",
        "CARGO_TARGET_DIR": "/target",
        "CARGO_HOME": "/cargo",
        "PATH": "/bin",
    }

    assert cargo.outside(inside) == {"CARGO_TARGET_DIR": "/target", "CARGO_HOME": "/cargo", "PATH": "/bin"}


def test_a_command_builds_once_however_often_it_needs_a_program(monkeypatch):
    runs = []
    monkeypatch.setattr(cargo, "run_logged", lambda *arguments: runs.append(arguments))
    cargo._build.cache_clear()
    first, second = cargo.build("kafka-poller"), cargo.build("event-producer")
    cargo._build.cache_clear()
    assert (first.name, second.name) == ("kafka-poller", "event-producer")
    assert len(runs) == 1
