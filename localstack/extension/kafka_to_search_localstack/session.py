"""The state that a function process and its executor share.

The executor writes the invocation, the Runtime API its outcome, the process watcher the end of the process. Every wait is on
one condition, so nothing polls.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from kafka_to_search_localstack.outcome import Exited, FunctionError, Response, ResponseTooLarge, TimedOut


@dataclass(frozen=True)
class Invocation:
    """One event for the function, with its Runtime API headers."""

    request_id: str
    payload: bytes
    function_arn: str
    trace_id: str
    deadline_ms: int


class Session:
    """The life of one function process: init, then one invocation at a time, then the end."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting = False
        self._invocation: Invocation | None = None
        self._running: str | None = None
        self._outcome: Response | FunctionError | ResponseTooLarge | None = None
        self._init_error: FunctionError | None = None
        self._exited: Exited | None = None
        self._shutting_down = False
        self._closed = False

    # The executor's side.

    def wait_ready(self, limit_s: float) -> FunctionError | Exited | TimedOut | None:
        """Waits until the process requests an invocation; returns None then, else why it will not."""
        with self._changed:
            if not self._wait(lambda: self._waiting or self._init_error or self._exited, limit_s):
                return TimedOut(limit_s)
            return self._init_error or self._exited

    def run(
        self, invocation: Invocation, limit_s: float
    ) -> Response | FunctionError | ResponseTooLarge | Exited | TimedOut:
        """Passes the invocation to the process and waits for its outcome."""
        with self._changed:
            self._outcome, self._invocation, self._running = None, invocation, invocation.request_id
            self._changed.notify_all()
            done = self._wait(lambda: self._outcome or self._exited, limit_s)
            self._invocation = self._running = None
            if not done:
                return TimedOut(limit_s)
            return self._outcome or self._exited

    def announce_shutdown(self) -> None:
        """Announces the shutdown to the process's extensions."""
        with self._changed:
            self._shutting_down = True
            self._changed.notify_all()

    def close(self) -> None:
        """Ends the process's waiting requests."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # The Runtime API's side.

    def next_invocation(self) -> Invocation | None:
        """Waits for an invocation; None once the session is closed."""
        with self._changed:
            self._waiting = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._invocation or self._closed)
            self._waiting = False
            invocation, self._invocation = self._invocation, None
            return invocation

    def finish(self, request_id: str, outcome: Response | FunctionError | ResponseTooLarge) -> bool:
        """Stores the outcome of the running invocation; False if another one, or none, is running."""
        with self._changed:
            if self._running != request_id or self._outcome:
                return False
            self._outcome = outcome
            self._changed.notify_all()
            return True

    def fail_init(self, error: FunctionError) -> None:
        """Stores the error that the process reports for its init."""
        with self._changed:
            self._init_error = error
            self._changed.notify_all()

    def wait_shutdown(self) -> None:
        """Waits until the shutdown is announced, which is the only event of an extension without others."""
        with self._changed:
            self._changed.wait_for(lambda: self._shutting_down or self._closed)

    # The process watcher's side.

    def exit(self, returncode: int) -> None:
        """Stores the exit of the process."""
        with self._changed:
            self._exited = Exited(returncode)
            self._closed = True
            self._changed.notify_all()

    def _wait(self, condition: Callable[[], object], limit_s: float) -> bool:
        deadline = time.monotonic() + limit_s
        while not condition():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            self._changed.wait(left_s)
        return True
