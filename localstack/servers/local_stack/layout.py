"""Makes each folder of the cache once. It is filled aside and then moved into place, so an incomplete one is never used."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

from local_stack import paths


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Returns the folder. If it does not exist, `make` fills an empty folder beside it, which then takes its name."""
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
    """Holds the lock of one cached folder, across processes."""

    def __init__(self, thing: Path) -> None:
        self._file = paths.cache() / "locks" / thing.name

    def __enter__(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._handle = self._file.open("w")
        fcntl.flock(self._handle, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._handle.close()
