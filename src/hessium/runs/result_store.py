"""Finished computations on disk: one file each, found by what was computed, never half written."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import shutil
import tempfile
import warnings
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hessium._files import held, write_atomically
from hessium.runs.codec import encode
from hessium.runs.experiment import Result, Task

_JSON, _NAME, _REST = "__json__", "name", "rest"
_MOST_COMPRESSED = 2**26  # bytes
_HEADERS = 2**20  # bytes, of the members of an archive


def key(experiment: str, task: Task, code: str) -> str:
    """Name of the computation `task` of `experiment`, done with the code fingerprint `code`."""
    content = json.dumps([experiment, encode(task), code], sort_keys=True, allow_nan=False)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


class CorruptTaskWarning(UserWarning):
    """A stored computation cannot be used and is done again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Where a result comes from.

    Attributes:
        experiment: name.
        task: what was computed.
        code: fingerprint of the code.
    """

    experiment: str
    task: Task
    code: str


class Results(ABC):
    """Finished computations by name: what the runner reads and adds to, one process at a time."""

    @abstractmethod
    def load(self, name: str) -> dict[str, Any] | None:
        """The result kept as `name`; None if there is none, or, with a warning, no valid one."""

    def checkpoint(self, name: str) -> Path | None:
        """A folder for the state of the computation `name` while it is under way, if any."""
        return None

    @abstractmethod
    def tidy(self) -> None:
        """Remove states of computations that are not under way any more."""

    @abstractmethod
    def save(self, name: str, result: Result, about: About | None = None) -> None:
        """Keep `result`: its arrays as they are, all else as JSON. Objects are refused."""


class Store(Results):
    """The finished computations of a run directory, one file each.

    A file holds the name of its computation, so that a file under another name is not taken for
    that one. It is compressed up to 64 MiB of arrays, and not beyond: a file that claims to unfold
    to much more than its size is not read.

    Args:
        folder: where the files are; made on the first write.
        mark: a file that must be there at each write, if any; see `require_mark`.
    """

    def __init__(self, folder: Path, mark: Path | None = None) -> None:
        self.folder, self._mark = folder, mark

    def path(self, name: str) -> Path:
        """The file of the computation `name`."""
        return self.folder / f"{name}.npz"

    def checkpoint(self, name: str) -> Path:
        """A folder for the state of the computation `name` while it is under way, if any."""
        require_mark(self._mark)
        return self.folder / f"{name}.checkpoint"

    def tidy(self) -> None:
        """Remove states of computations that are not under way any more."""
        for folder in self.folder.glob("*.checkpoint"):
            with own(folder) as mine:
                if mine is not None:
                    shutil.rmtree(mine, ignore_errors=True)
        for lock in self.folder.glob("*.lock"):
            with own(lock.with_suffix(".checkpoint")):
                pass

    def save(self, name: str, result: Result, about: About | None = None) -> None:
        """Keep `result`: its arrays as they are, all else as JSON. Objects are refused."""
        require_mark(self._mark)
        arrays = {k: v for k, v in result.items() if isinstance(v, np.ndarray)}
        rest = {k: encode(v) for k, v in result.items() if k not in arrays}
        document = json.dumps({_NAME: name, _REST: rest}, allow_nan=False)
        save_arrays(self.path(name), arrays | {_JSON: np.array(document)})

    def load(self, name: str) -> dict[str, Any] | None:
        """The result kept as `name`; None if there is none, or, with a warning, no valid one."""
        path = self.path(name)
        if not path.exists():
            return None
        try:
            return _read(path, name)
        except Exception as error:  # whatever is wrong with a file, it is no result
            lines = str(error).splitlines()
            warn_again(path.name, lines[0] if lines else type(error).__name__)
            return None


def require_mark(mark: Path | None) -> None:
    """A directory that was removed or replaced is not written to: the new one is a stranger's.

    Raises:
        FileNotFoundError: if the file that marks it as hessium's is gone.
    """
    if mark is not None and not mark.is_file():
        reason = "removed or replaced while the command ran; nothing more is written there"
        raise FileNotFoundError(errno.ENOENT, reason, str(mark.parent))


@contextlib.contextmanager
def own(checkpoint: Path | None) -> Iterator[Path | None]:
    """The folder of a state, if no other process works in it while the block lasts; else None."""
    if checkpoint is None:
        yield None
        return
    lock = checkpoint.with_suffix(".lock")
    with held(lock) as mine:
        yield checkpoint if mine else None
        if mine:
            lock.unlink(missing_ok=True)


def _read(path: Path, name: str) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        unfolded = sum(member.file_size for member in archive.infolist())
    if unfolded > path.stat().st_size + _MOST_COMPRESSED + _HEADERS:
        msg = f"it would unfold to {unfolded / 2**20:.0f} MiB"
        raise ValueError(msg)
    with np.load(path, allow_pickle=False) as file:
        arrays: dict[str, Any] = {k: file[k] for k in file.files if k != _JSON}
        document = json.loads(str(file[_JSON]))
    if not isinstance(document, dict) or document.get(_NAME) != name:
        msg = "it holds another computation"
        raise ValueError(msg)
    rest: dict[str, Any] = document[_REST]
    return arrays | rest


def warn_again(what: str, reason: str) -> None:
    """Say that something stored is no valid result."""
    warnings.warn(
        f"{what} cannot be used ({reason}) and counts as not computed",
        CorruptTaskWarning,
        stacklevel=3,
    )


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Keep arrays in one file, compressed if they are not large."""
    small = sum(np.asarray(array).nbytes for array in arrays.values()) <= _MOST_COMPRESSED
    save = np.savez_compressed if small else np.savez
    with tempfile.SpooledTemporaryFile(max_size=2**26) as buffer:
        save(buffer, allow_pickle=False, **dict(arrays))
        buffer.seek(0)
        write_atomically(path, buffer.read())
