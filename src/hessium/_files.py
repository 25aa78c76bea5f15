"""Files that a reader, or a crash, sees whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PREFIX = ".unfinished-"
_OLD = 86400.0  # seconds: where files cannot be locked, an older one has no writer any more


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees all of it or the one before."""
    replace_atomically(path, lambda unfinished: unfinished.write_bytes(content))


def replace_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file of another name, and give it the name when it is on the disk.

    Raises:
        OSError: if the disk refuses it; it names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _replace(path, write)
    except OSError as error:
        if error.errno is None:
            raise
        # a full disk names no file, or the unfinished one, which is gone
        raise OSError(error.errno, error.strerror, str(path)) from error


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    handle, unfinished = _begun(path.parent)
    try:
        write(unfinished)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        unfinished.chmod(0o666 & ~umask)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


def is_unfinished(name: str) -> bool:
    """Whether a file of this name is being written, or was when its writer was killed."""
    return name.startswith(_PREFIX)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left unfinished below a folder.

    A writer locks its file until it has its name, so that a file in work is known, whoever writes
    it; where files cannot be locked, those of the last day stay.
    """
    for place, _, names in os.walk(folder):
        for name in names:
            if is_unfinished(name):
                with contextlib.suppress(OSError):
                    _remove_if_left(Path(place) / name)


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Lock a file, made if need be, while the block lasts; False if another process holds it.

    The lock ends with the process, however that ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield _lock(handle) is not False
    finally:
        os.close(handle)


def _begun(folder: Path) -> tuple[int, Path]:
    """A new file, open and locked."""
    while True:
        handle, name = tempfile.mkstemp(dir=folder, prefix=_PREFIX)
        if _lock(handle) is not False and os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)  # another process took it for one that was left, before it was locked


def _remove_if_left(path: Path) -> None:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        return
    handle = os.open(path, os.O_RDWR)
    try:
        locked = _lock(handle)
        if locked or (locked is None and time.time() - found.st_mtime > _OLD):
            path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool | None:
    """Whether the lock of an open file is ours now; None where files cannot be locked."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems
        return None
    return True
