"""Runs a function's bootstrap as a child process: its start, its memory limit and its end."""

import logging
import os
import shutil
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kafka_to_search_localstack.output import Output, OutputPipe
from kafka_to_search_localstack.session import Session

LOG = logging.getLogger(__name__)

MEMORY_CHECK_S = 0.05

# The kernel sends the parent-death signal when the *thread* that started the child ends.
# Request threads come and go; this one lives as long as LocalStack.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="function-spawner")


class FunctionProcess:
    """A running bootstrap; it reports its exit to the session."""

    def __init__(
        self, bootstrap: Path, env: dict[str, str], memory_limit_mb: int, session: Session, output: Output
    ) -> None:
        self._session = session
        self._memory_limit_mb = memory_limit_mb
        self._ended = threading.Event()
        self._reaping = threading.Lock()
        self._reaped = False
        self.max_memory_mb = 0
        self._pipe = OutputPipe(output)
        try:
            self._process = _SPAWNER.submit(self._spawn, bootstrap, env).result()
        except BaseException:
            self._pipe.close()
            raise
        threading.Thread(target=self._watch_end, name="function-end", daemon=True).start()
        threading.Thread(target=self._watch_memory, name="function-memory", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return not self._ended.is_set()

    def drain_output(self) -> None:
        """Returns when every line that the process has written is in the output."""
        self._pipe.drain()

    def measure_memory(self) -> int:
        """The peak memory of the process so far, in MB."""
        if peak_kb := _peak_memory_kb(self._process.pid):
            self.max_memory_mb = max(self.max_memory_mb, -(-peak_kb // 1024))
        return self.max_memory_mb

    def stop(self, grace_s: float) -> None:
        """Sends SIGTERM, and kills the process after the grace."""
        self._signal(signal.SIGTERM)
        if not self._ended.wait(grace_s):
            self.kill()

    def kill(self) -> None:
        """Ends the process and its children, and returns when it is gone."""
        self._signal(signal.SIGKILL)
        self._ended.wait(5)

    def _spawn(self, bootstrap: Path, env: dict[str, str]) -> subprocess.Popen:
        command = [str(bootstrap)]
        if setpriv := shutil.which("setpriv"):
            # The function dies with LocalStack, however that ends. setpriv replaces itself with the bootstrap.
            command = [setpriv, "--pdeathsig", "KILL", "--", *command]
        return subprocess.Popen(
            command,
            cwd=bootstrap.parent,
            env=env,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=self._pipe.writer,
            stderr=subprocess.STDOUT,
        )

    def _watch_end(self) -> None:
        # Until it is reaped, the process keeps its id, so this signals its own group and no other.
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        self._signal(signal.SIGKILL)
        with self._reaping:
            returncode = self._process.wait()
            self._reaped = True
        self._pipe.drain()
        self._pipe.close()
        self._ended.set()
        self._session.exit(returncode)

    def _watch_memory(self) -> None:
        while not self._ended.wait(MEMORY_CHECK_S):
            if self.measure_memory() > self._memory_limit_mb:
                LOG.warning(
                    "function process %s exceeded its memory of %s MB", self._process.pid, self._memory_limit_mb
                )
                self._signal(signal.SIGKILL)
                return

    def _signal(self, number: int) -> None:
        with self._reaping:
            if not self._reaped:
                os.killpg(self._process.pid, number)


def _peak_memory_kb(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return None
