"""Starts server processes that outlive this program, and ends exactly those.

By then another program may have the same process id, so a process is identified by its id and its start time.
"""

import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from local_stack.errors import StackError
from local_stack.progress import step

POLL_S = 0.1
TAIL_LINES = 25


@dataclass(frozen=True)
class ProcessIdentity:
    """Identifies one process, and no later one with the same id."""

    pid: int
    started: str

    def alive(self) -> bool:
        """Whether this process still runs."""
        found = _lookup(self.pid)
        return found is not None and found.started == self.started


@dataclass(frozen=True)
class _Process:
    pid: int
    parent: int
    group: int
    started: str


def launch(
    command: Sequence[str], log: Path, cwd: Path, env: Mapping[str, str]
) -> tuple[ProcessIdentity, subprocess.Popen]:
    """Starts a server in its own session, so that Ctrl-C does not reach it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_name(log.name + ".1"))  # the previous run's log, to see why it ended
    with log.open("wb") as out:
        popen = subprocess.Popen(
            command, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    found = _lookup(popen.pid)
    if found is None:
        raise StackError(f"{command[0]} ended at once; its log is {log}\n{tail(log)}")
    return ProcessIdentity(found.pid, found.started), popen


def wait_until(ready: Callable[[], bool], popen: subprocess.Popen, name: str, log: Path, timeout_s: float) -> None:
    """Returns when the server is ready; fails with the end of its log if it ends first or takes too long."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        code = popen.poll()
        if code is not None:
            raise StackError(f"{name} ended with {_ending(code)} before it was ready; its log is {log}\n{tail(log)}")
        if time.monotonic() > deadline:
            raise StackError(f"{name} was not ready within {timeout_s:.0f} s; its log is {log}\n{tail(log)}")
        time.sleep(POLL_S)


def stop(server: ProcessIdentity, grace_s: float) -> str:
    """Sends SIGTERM, waits for the process to end, and kills it and its descendants if they still run."""
    if not server.alive():
        return "was not running"
    family = _family(server.pid)
    _signal(server, signal.SIGTERM)
    ended = _wait_gone([server], grace_s)
    for member in family:
        if member.alive():
            _signal(member, signal.SIGKILL)
    _wait_gone(family, 10)
    return "stopped" if ended else f"did not end within {grace_s:.0f} s and was killed"


def kill(server: ProcessIdentity) -> str:
    """Kills the process and its descendants without a chance to clean up, as a crash of the machine would."""
    if not server.alive():
        return "was not running"
    family = _family(server.pid)
    for member in family:
        _signal(member, signal.SIGKILL)
    _wait_gone(family, 10)
    return "killed"


def run_logged(
    title: str, command: Sequence[str], log: Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> None:
    """Runs a command with its output in a log; fails with the end of the log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with step(title, log), log.open("wb") as out:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=dict(env) if env is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
        if done.returncode != 0:
            raise StackError(
                f"`{' '.join(map(str, command[:6]))} …` ended with {_ending(done.returncode)}; its log is {log}\n{tail(log, 60)}"
            )


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, indented, to be printed below a message."""
    try:
        text = log.read_text("utf-8", "replace")
    except OSError:
        return "    (no log)"
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "    (the log is empty)"


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _signal(process: ProcessIdentity, number: signal.Signals) -> None:
    if process.alive():
        with suppress(ProcessLookupError):  # it may end between the check and the signal
            os.kill(process.pid, number)


def _wait_gone(processes: Sequence[ProcessIdentity], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while any(process.alive() for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _family(pid: int) -> list[ProcessIdentity]:
    """The process, its descendants, and everything in their process groups."""
    table = _processes()
    members = {pid}
    grew = True
    while grew:
        found = {p.pid for p in table if p.pid not in members and (p.parent in members or p.group in members)}
        members |= found
        grew = bool(found)
    return [ProcessIdentity(p.pid, p.started) for p in table if p.pid in members]


def _lookup(pid: int) -> _Process | None:
    if platform.system() == "Linux":
        return _read_proc(pid)
    return next((p for p in _ps("-p", str(pid))), None)


def _processes() -> list[_Process]:
    if platform.system() != "Linux":
        return _ps("-ax")
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [found for pid in pids if (found := _read_proc(pid))]


def _read_proc(pid: int) -> _Process | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name in parentheses may itself contain spaces and parentheses: parse what follows the last one.
    state, parent, group, *rest = text.rpartition(")")[2].split()
    if state in "ZX":
        return None  # it ended, but its parent has not waited for it yet
    return _Process(pid, int(parent), int(group), f"{_boot_id()}-{rest[16]}")


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return "boot"


def _ps(*selection: str) -> list[_Process]:
    listing = subprocess.run(
        ["ps", *selection, "-o", "pid=,ppid=,pgid=,stat=,lstart="], capture_output=True, text=True, check=False
    )
    rows = (line.split(maxsplit=4) for line in listing.stdout.splitlines())
    return [_Process(int(r[0]), int(r[1]), int(r[2]), r[4]) for r in rows if len(r) == 5 and not r[3].startswith("Z")]
