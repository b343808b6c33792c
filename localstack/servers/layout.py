"""Puts a download together once: made aside, then moved into the cache whole, so that a half-made one is never used."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import paths


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Returns the folder, made by `make` if it is not there; `make` gets an empty folder beside it to fill."""
    if folder.exists():
        return folder
    with locked(folder):
        if not folder.exists():  # another command may have made it while we waited
            aside = folder.with_name(folder.name + ".incomplete")
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            make(aside)
            aside.replace(folder)
    return folder


class locked:
    """Holds the lock of one cached thing, across processes."""

    def __init__(self, thing: Path) -> None:
        self._file = paths.cache() / "locks" / thing.name

    def __enter__(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._handle = self._file.open("w")
        fcntl.flock(self._handle, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._handle.close()
