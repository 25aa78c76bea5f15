"""The result store: every finished computation is one file, named by what was computed.

Tasks of experiments, points of sweeps and parts of a profile are all kept here, in the format of
`archive`. Files were chosen over one SQLite database. A computation has arrays, so that it needs a
file in any case, and a file that gets its name when it is on the disk gives all that a transaction
gives: several processes write side by side without locks, a process that is killed or a disk that
is full leaves whole files only, damage costs one result, and a folder without rights can still be
read. What a database adds, an index, is built on reading: `rows` opens each file and reads its
document alone (2,500 of them in about a second).
"""

from __future__ import annotations

import errno
import hashlib
import json
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hessium._typing import AnyArray
from hessium.runs.archive import ArchiveError, read_archive, write_archive
from hessium.runs.codec import encode
from hessium.runs.experiment import Result, Task

_SUFFIX = ".npz"


class CorruptTaskWarning(UserWarning):
    """A stored computation cannot be used and is done again."""


class Computation(NamedTuple):
    """What identifies a result: `key(*computation)` is the name of its file.

    Attributes:
        experiment: its name.
        task: what is computed.
        code: fingerprint of the code that computes.
    """

    experiment: str
    task: Task
    code: str


_FIELDS = {*Computation._fields, "finished", "result", "seal"}  # of a document


def key(experiment: str, task: Task, code: str) -> str:
    """Name of the computation `task` of `experiment`, done with the code fingerprint `code`."""
    return _digest([experiment, encode(task), code])


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Store:
    """Finished computations in a folder, one file each.

    The document of a file says what was computed, and its name is the digest of that, so a file
    under another name is not taken for that computation. The document is sealed by a digest of its
    own, so a document that was edited is not taken for a result.

    Args:
        folder: where the files are; made on the first write.
        mark: a file that must be there at each write, if any; see `require_mark`.
    """

    def __init__(self, folder: Path, mark: Path | None = None) -> None:
        self.folder, self._mark = folder, mark

    def path(self, name: str) -> Path:
        """The file of the computation `name`."""
        return self.folder / (name + _SUFFIX)

    def checkpoint(self, name: str) -> Path:
        """A folder for the state of the computation `name` while it is under way."""
        require_mark(self._mark)
        return self.folder / f"{name}.checkpoint"

    def save(self, computation: Computation, result: Result) -> None:
        """Keep a result, in place of an earlier one of the same computation.

        Args:
            computation: what was computed.
            result: its arrays are kept as they are, all else as JSON.

        Raises:
            ValueError: if it holds objects, or outside of arrays a number that is not finite.
            OSError: if it cannot be written, or the folder was removed meanwhile.
        """
        require_mark(self._mark)
        arrays = {k: v for k, v in result.items() if isinstance(v, np.ndarray)}
        document = {
            **encode(computation._asdict()),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "result": {k: encode(v) for k, v in result.items() if k not in arrays},
        }
        document["seal"] = _digest(document)
        write_archive(self.path(key(*computation)), arrays, document)

    def load(self, name: str) -> dict[str, Any] | None:
        """The result kept as `name`; None if there is none, or, with a warning, no valid one."""
        found = self._valid(name, "cannot be used and counts as not computed")
        return None if found is None else found[1] | found[0]["result"]

    def names(self) -> list[str]:
        """Names of all computations, in order."""
        return sorted(path.stem for path in self.folder.glob(f"*{_SUFFIX}"))

    def row(self, name: str, *, with_arrays: bool = False) -> dict[str, Any] | None:
        """A result as the row of a table: `id`, where it comes from, its task, what came out.

        None, with a warning, if it is not valid.
        """
        found = self._valid(name, "is left out", with_arrays=with_arrays)
        if found is None:
            return None
        document, arrays = found
        about = {k: document[k] for k in ("experiment", "code", "finished")}
        # a task and a result may share a name, such as the method: the result is the truth
        return {"id": name} | about | document["task"] | document["result"] | arrays

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of all valid results, without arrays, in the order of names."""
        return (row for name in self.names() if (row := self.row(name)) is not None)

    def _valid(
        self, name: str, outcome: str, *, with_arrays: bool = True
    ) -> tuple[dict[str, Any], dict[str, AnyArray]] | None:
        path = self.path(name)
        try:
            document, arrays = read_archive(path, with_arrays=with_arrays)
            _require_own(document, name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ArchiveError as error:
            warnings.warn(f"{path.name} {outcome}: {error}", CorruptTaskWarning, stacklevel=3)
            return None
        return document, arrays


def _require_own(document: Any, name: str) -> None:
    """The document must be as it was written, and of the computation `name`."""
    try:
        if set(document) != _FIELDS or not isinstance(document["result"], dict):
            raise KeyError
        valid = document.pop("seal") == _digest(document)
        own = key(*(document[field] for field in Computation._fields))
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        msg = "it holds no computation"
        raise ArchiveError(msg) from error
    if not valid or own != name:
        msg = "it holds another computation" if valid else "it was changed"
        raise ArchiveError(msg)


def require_mark(mark: Path | None) -> None:
    """A directory that was removed or replaced is not written to: the new one is a stranger's.

    Raises:
        FileNotFoundError: if the file that marks it as hessium's is gone.
    """
    if mark is not None and not mark.is_file():
        reason = "removed or replaced while the command ran; nothing more is written there"
        raise FileNotFoundError(errno.ENOENT, reason, str(mark.parent))
