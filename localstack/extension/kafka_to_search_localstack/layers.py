"""Gives a function the content of its layers: a folder that stands for /opt.

The process shares the machine's file system, so it can't have an /opt of its own. Its layers are unpacked into a folder, and its
environment variables that name a path below /opt name that folder.
"""

import hashlib
import os
import re
import shutil
import stat
import tempfile
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from localstack import config

OPT = "/opt"
CHUNK_BYTES = 1 << 20
# A value, or a part of a list such as LD_LIBRARY_PATH=/opt/lib:/opt/lib64.
_PATH = re.compile(r"(^|[:,])/opt(?=[/:,]|\Z)")
_UNPACKING = threading.Lock()


class LayerError(Exception):
    """A layer can't be unpacked."""


def folder_of(layers: Sequence) -> Path:
    """The folder that stands for /opt with these layer versions. The same versions in the same order share it."""
    names = "\n".join(layer.code.id for layer in layers)
    return Path(tempfile.gettempdir()) / "lambda" / "opt" / hashlib.sha256(names.encode()).hexdigest()[:32]


def unpack(layers: Sequence) -> Path:
    """Unpacks the layer versions in their order, so that a file of a later one replaces an earlier one's; once."""
    folder = folder_of(layers)
    with _UNPACKING:
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            aside = Path(tempfile.mkdtemp(dir=folder.parent))
            try:
                left_bytes = config.LAMBDA_LIMITS_CODE_SIZE_UNZIPPED
                for layer in layers:
                    with tempfile.TemporaryFile() as archive:
                        layer.code._download_archive_to_file(archive)
                        left_bytes = unpack_archive(archive, aside, folder, left_bytes)
                aside.chmod(0o755)
                aside.rename(folder)
            except BaseException:
                shutil.rmtree(aside, ignore_errors=True)
                raise
    return folder


def unpack_archive(archive, target: Path, folder: Path, left_bytes: int) -> int:
    """Unpacks a zip of at most `left_bytes` into `target`, which will become `folder`; returns how many bytes are left."""
    try:
        with zipfile.ZipFile(archive) as files:
            for entry in files.infolist():
                left_bytes -= _unpack_entry(files, entry, target, folder, left_bytes)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise LayerError(f"a layer is no zip that can be unpacked: {error}") from error
    return left_bytes


def with_folder(value: str, folder: Path) -> str:
    """A variable's value with `folder` in place of /opt, where the value is a path below /opt or a list of such paths."""
    return _PATH.sub(lambda found: found[1] + str(folder), value)


def _unpack_entry(files: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, folder: Path, left_bytes: int) -> int:
    path = PurePosixPath(entry.filename)
    if path.is_absolute() or ".." in path.parts:
        raise LayerError(f"a layer has the file {entry.filename!r}, which is not below {OPT}")
    file = target / path
    mode = entry.external_attr >> 16
    if entry.is_dir():
        _make_folder(file, target)
        return 0
    _make_folder(file.parent, target)
    if file.is_symlink() or file.is_file():
        file.unlink()
    elif file.is_dir():
        raise LayerError(f"a layer has the file {entry.filename!r}, which is a folder in an earlier one")
    if stat.S_ISLNK(mode):
        # It is made as it is, and followed only where it stays below the target.
        file.symlink_to(with_folder(files.read(entry).decode(), folder))
        return 0
    with files.open(entry) as source:
        n_bytes = _copy(source, file, left_bytes)
    # Lambda's processes have another user than the one who made the zip.
    file.chmod((mode & 0o777) | 0o444)
    return n_bytes


def _make_folder(wanted: Path, target: Path) -> None:
    try:
        wanted.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise LayerError(
            f"a layer has the folder {wanted.relative_to(target)}, which is a file in an earlier one"
        ) from error
    if not Path(os.path.realpath(wanted)).is_relative_to(os.path.realpath(target)):
        raise LayerError(f"a layer has the folder {wanted.relative_to(target)}, whose link leads out of {OPT}")


def _copy(source, file: Path, left_bytes: int) -> int:
    """Copies what is really there: the size that a zip's directory gives may be wrong."""
    n_bytes = 0
    with file.open("xb") as out:
        while chunk := source.read(CHUNK_BYTES):
            n_bytes += len(chunk)
            if n_bytes > left_bytes:
                limit = config.LAMBDA_LIMITS_CODE_SIZE_UNZIPPED
                raise LayerError(
                    f"the layers are larger than {limit} bytes: a function and its layers may have no more"
                )
            out.write(chunk)
    return n_bytes
