"""Shows the progress of long steps: a line when one begins, a line with its duration when it ends, a ticking line in between.

Steps may run in parallel, so one ticker shows all of them. Everything goes to standard error: standard output is for a
command's result.
"""

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

REMINDER_S = 30  # without a terminal, a long step prints a line this often

_lock = threading.Lock()
_running: dict[str, tuple[float, Callable[[], str]]] = {}
_terminal = sys.stderr.isatty()


def say(line: str) -> None:
    """Prints a line without garbling the ticking one."""
    with _lock:
        _clear()
        print(line, file=sys.stderr, flush=True)


@contextmanager
def step(title: str, log: Path | None = None) -> Iterator[None]:
    """Prints that a step begins, ticks while it runs, and prints how long it took and whether it failed."""
    began = time.monotonic()
    with _lock:
        _clear()
        print(f"  ... {title}", file=sys.stderr, flush=True)
        _running[title] = (began, lambda: _last_line(log))
        _start_ticker()
    outcome = "FAILED"
    try:
        yield
        outcome = "ok"
    finally:
        with _lock:
            _running.pop(title, None)
            _clear()
            print(f"  {outcome:>3} {title} ({seconds(time.monotonic() - began)})", file=sys.stderr, flush=True)


def seconds(span_s: float) -> str:
    """A duration for people: `7.3 s`, `2 min 5 s`."""
    return f"{span_s:.1f} s" if span_s < 90 else f"{int(span_s) // 60} min {int(span_s) % 60} s"


_ticker: threading.Thread | None = None


def _start_ticker() -> None:
    global _ticker
    if _ticker is None:
        _ticker = threading.Thread(target=_tick, daemon=True)
        _ticker.start()


def _tick() -> None:
    reminded: dict[str, float] = {}
    while True:
        time.sleep(1)
        with _lock:
            now = time.monotonic()
            if _terminal and _running:
                parts = [f"{title} {now - began:.0f} s{detail()}" for title, (began, detail) in _running.items()]
                print(f"\r\033[K      {' | '.join(parts)[: _width()]}", end="", file=sys.stderr, flush=True)
            for title, (began, detail) in _running.items() if not _terminal else ():
                if now - reminded.get(title, began) >= REMINDER_S:
                    reminded[title] = now
                    print(f"      {title}: {now - began:.0f} s so far{detail()}", file=sys.stderr, flush=True)


def _last_line(log: Path | None) -> str:
    if log is None:
        return ""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 400))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    shown = [line.split("\r")[-1].strip() for line in lines]
    last = next((line for line in reversed(shown) if line), "")
    return f": {last[:70]}" if last else ""


def _width() -> int:
    return max(20, shutil.get_terminal_size((100, 24)).columns - 8)


def _clear() -> None:
    if _terminal:
        print("\r\033[K", end="", file=sys.stderr)
