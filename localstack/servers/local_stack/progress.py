"""Shows the progress of long steps.

A terminal shows a bar that moves while steps run, and a line for each when it ends. A file gets a line for each step that ends, and
one now and then while a step takes long. Steps may run in parallel, so one ticker shows all of them. Everything goes to standard
error: standard output is for a command's result.
"""

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local_stack.terminal import style

# Without a terminal, a long step prints a line after the first of these times, and then after each of the second.
FIRST_REMINDER_S, REMINDER_S = 10, 30
TICK_S = 0.2
BAR_WIDTH = 16
MARK_WIDTH = 4

_lock = threading.Lock()


@dataclass(frozen=True)
class _Step:
    began: float
    detail: Callable[[], str]
    share: Callable[[], float] | None


_running: dict[str, _Step] = {}
_terminal = sys.stderr.isatty()
_style = style(sys.stderr)


def say(line: str) -> None:
    """Prints a line without garbling the ticking one."""
    with _lock:
        _clear()
        print(line, file=sys.stderr, flush=True)


@contextmanager
def step(title: str, log: Path | None = None, share: Callable[[], float] | None = None) -> Iterator[None]:
    """Ticks while a step runs, and prints how long it took and whether it failed.

    `share` returns how much of the step is done, from 0 to 1, where that is known.
    """
    began = time.monotonic()
    with _lock:
        _running[title] = _Step(began, lambda: _last_line(log), share)
        _start_ticker()
    outcome = _style.bad("FAILED")
    try:
        yield
        outcome = f"   {_style.good('ok')}"
    finally:
        with _lock:
            _running.pop(title, None)
            _clear()
            took = _style.faint(f"({seconds(time.monotonic() - began)})")
            print(f"{outcome} {title} {took}", file=sys.stderr, flush=True)


def seconds(span_s: float) -> str:
    """A duration for people: `7.3 s`, `2 min 5 s`."""
    return f"{span_s:.1f} s" if span_s < 90 else f"{int(span_s) // 60} min {int(span_s) % 60} s"


def bar(share: float | None, elapsed_s: float) -> str:
    """A bar that fills, or a mark that moves to and fro where the share that is done is not known."""
    if share is not None:
        filled = round(min(max(share, 0.0), 1.0) * BAR_WIDTH)
        return f"[{'#' * filled}{'-' * (BAR_WIDTH - filled)}]"
    room = BAR_WIDTH - MARK_WIDTH
    place = int(elapsed_s / TICK_S) % (2 * room)
    left = place if place <= room else 2 * room - place
    return f"[{'-' * left}{'#' * MARK_WIDTH}{'-' * (room - left)}]"


def ticking(steps: list[tuple[str, float, str, float | None]], width: int) -> str:
    """The line of a terminal while steps run: (title, seconds so far, detail, share)."""
    elapsed_s = max(elapsed for _, elapsed, _, _ in steps)
    shares = [share for _, _, _, share in steps]
    known = None if None in shares else sum(shares) / len(shares)
    parts = [f"{title} {elapsed:.0f} s{detail}" for title, elapsed, detail, _ in steps]
    return f"{bar(known, elapsed_s)} {' | '.join(parts)}"[:width]


_ticker: threading.Thread | None = None


def _start_ticker() -> None:
    global _ticker
    if _ticker is None:
        _ticker = threading.Thread(target=_tick, daemon=True)
        _ticker.start()


def _tick() -> None:
    reminded: dict[str, float] = {}
    while True:
        time.sleep(TICK_S)
        with _lock:
            now = time.monotonic()
            if _terminal and _running:
                steps = [
                    (title, now - each.began, each.detail(), each.share() if each.share else None)
                    for title, each in _running.items()
                ]
                print(f"\r\033[K{ticking(steps, _width())}", end="", file=sys.stderr, flush=True)
            for title, each in _running.items() if not _terminal else ():
                due = reminded[title] + REMINDER_S if title in reminded else each.began + FIRST_REMINDER_S
                if now >= due:
                    reminded[title] = now
                    print(f"      {title}: {now - each.began:.0f} s so far{each.detail()}", file=sys.stderr, flush=True)
            for title in reminded.keys() - _running.keys():
                del reminded[title]


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
    return max(20, shutil.get_terminal_size((100, 24)).columns - 1)


def _clear() -> None:
    if _terminal:
        print("\r\033[K", end="", file=sys.stderr)
