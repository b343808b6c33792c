"""The lines that a function process writes to stdout and stderr."""

import os
import secrets
import threading


class Output:
    """Collects the lines of all processes of the function until they are taken."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: list[str] = []

    def add_all(self, lines: list[str]) -> None:
        """Appends lines."""
        with self._lock:
            self._lines += lines

    def peek(self) -> list[str]:
        """The lines so far; they stay."""
        with self._lock:
            return list(self._lines)

    def take(self) -> list[str]:
        """Returns the lines so far and removes them."""
        with self._lock:
            lines, self._lines = self._lines, []
            return lines


class OutputPipe:
    """The pipe from one process to the output.

    Lines that were written before a response are in the pipe when the response arrives, but perhaps not read yet.
    `drain` writes a mark behind them, and waits until the reader has read it.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._reader, self.writer = os.pipe()
        self._mark = b"\x1e" + secrets.token_hex(16).encode() + b"\x1e"
        self._marked = threading.Event()
        self._write_lock = threading.Lock()
        self._closed = False
        threading.Thread(target=self._read, name="function-output", daemon=True).start()

    def drain(self, limit_s: float = 1.0) -> None:
        """Returns when every line written so far is in the output."""
        with self._write_lock:
            if self._closed:
                return
            self._marked.clear()
            os.write(self.writer, self._mark)  # shorter than PIPE_BUF: never split, never mixed
            self._marked.wait(limit_s)

    def close(self) -> None:
        """Closes this end; the reader ends when the last process has closed its end."""
        with self._write_lock:
            if not self._closed:
                self._closed = True
                os.close(self.writer)

    def _read(self) -> None:
        pending = b""
        while chunk := os.read(self._reader, 65536):
            pending += chunk
            before, mark, after = pending.partition(self._mark)
            if mark:
                self._add_lines(before.split(b"\n"))
                pending = after
            *lines, pending = pending.split(b"\n")
            self._add_lines(lines)
            if mark:
                self._marked.set()
        self._add_lines([pending])
        os.close(self._reader)

    def _add_lines(self, lines: list[bytes]) -> None:
        texts = [line.decode("utf-8", "replace").rstrip("\r") for line in lines]
        self._output.add_all([text for text in texts if text])
