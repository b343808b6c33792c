"""Exactly the processes that were started are ended."""

import os
import signal
import sys
import time
from dataclasses import replace

import pytest

from local_stack import process
from local_stack.errors import StackError

DEADLINE_S = 20


@pytest.fixture
def start(tmp_path):
    """Starts Python code as a server; it is killed at the end if it still runs."""
    started = []

    def run(code):
        identity, popen = process.launch([sys.executable, "-c", code], tmp_path / "server.log", tmp_path, os.environ)
        started.append(popen)
        return identity, popen

    yield run
    for popen in started:
        popen.kill()
        popen.wait()


def eventually(condition):
    deadline = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)
    return value


def words(file):
    return file.read_text().split() if file.exists() else []


def test_a_server_is_stopped_with_children_that_have_sessions_of_their_own(start, tmp_path):
    child = (
        "import os, time, pathlib; os.setsid(); pathlib.Path('child').write_text(f'{os.getpid()} '); time.sleep(600)"
    )
    identity, _ = start(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])")
    (pid,) = eventually(lambda: words(tmp_path / "child"))
    child_identity = next(member for member in process._family(identity.pid) if member.pid == int(pid))

    assert process.stop(identity, DEADLINE_S) == "stopped"
    assert not identity.alive()
    assert not child_identity.alive()


def test_a_server_that_ignores_sigterm_is_killed_after_its_grace(start, tmp_path):
    identity, _ = start(
        "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "pathlib.Path('ready').write_text('ready'); time.sleep(600)"
    )
    eventually(lambda: words(tmp_path / "ready"))

    assert process.stop(identity, 0.2) == "did not end within 0 s and was killed"
    assert not identity.alive()


def test_another_process_with_the_same_id_is_left_alone(start):
    identity, popen = start("import time; time.sleep(600)")
    earlier = replace(identity, started="an earlier moment")

    assert not earlier.alive()
    assert process.stop(earlier, DEADLINE_S) == "was not running"
    assert process.kill(earlier) == "was not running"
    assert popen.poll() is None


def test_a_killed_server_gets_no_chance_to_clean_up(start, tmp_path):
    identity, popen = start(
        "import pathlib, signal, time;"
        "signal.signal(signal.SIGTERM, lambda *_: pathlib.Path('cleaned').touch());"
        "pathlib.Path('ready').write_text('ready'); time.sleep(600)"
    )
    eventually(lambda: words(tmp_path / "ready"))

    assert process.kill(identity) == "killed"
    assert popen.wait(DEADLINE_S) == -signal.SIGKILL
    assert not (tmp_path / "cleaned").exists()


def test_a_server_that_ends_early_fails_with_the_end_of_its_log(start, tmp_path):
    log = tmp_path / "server.log"
    _, popen = start("import sys; print('cannot read the configuration'); sys.exit(3)")

    with pytest.raises(StackError) as error:
        process.wait_until(lambda: False, popen, "the server", log, DEADLINE_S)

    assert str(error.value) == (
        f"the server ended with exit code 3 before it was ready; its log is {log}\n    cannot read the configuration"
    )


def test_a_failed_command_shows_its_log(tmp_path):
    log = tmp_path / "command.log"

    with pytest.raises(StackError, match="(?s)ended with exit code 2.*no such thing"):
        process.run_logged("trying", [sys.executable, "-c", "import sys; print('no such thing'); sys.exit(2)"], log)
