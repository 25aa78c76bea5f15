"""Finished computations on disk: one file each, found by what was computed, never half written."""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hessium._files import write_atomically
from hessium.experiments.codec import encode
from hessium.experiments.experiment import Result, Task

_JSON = "__json__"


def key(experiment: str, task: Task, code: str) -> str:
    """Name of the computation `task` of `experiment`, done with the code fingerprint `code`."""
    content = json.dumps([experiment, encode(task), code], sort_keys=True, allow_nan=False)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


class CorruptTaskWarning(UserWarning):
    """A stored computation could not be read and is done again."""


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
        """The result kept as `name`; None if there is none, or, with a warning, a corrupt one."""

    @abstractmethod
    def save(self, name: str, result: Result, about: About | None = None) -> None:
        """Keep `result`: its arrays as they are, all else as JSON. Objects are refused."""


class Store(Results):
    """The finished computations of a run directory, one file each.

    Args:
        folder: where the files are; made on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """The file of the computation `name`."""
        return self.folder / f"{name}.npz"

    def save(self, name: str, result: Result, about: About | None = None) -> None:
        """Keep `result`: its arrays as they are, all else as JSON. Objects are refused."""
        arrays = {k: v for k, v in result.items() if isinstance(v, np.ndarray)}
        rest = {k: encode(v) for k, v in result.items() if k not in arrays}
        arrays[_JSON] = np.array(json.dumps(rest, allow_nan=False))
        with tempfile.SpooledTemporaryFile(max_size=2**26) as buffer:
            np.savez_compressed(buffer, allow_pickle=False, **arrays)
            buffer.seek(0)
            write_atomically(self.path(name), buffer.read())

    def load(self, name: str) -> dict[str, Any] | None:
        """The result kept as `name`; None if there is none, or, with a warning, a corrupt one."""
        path = self.path(name)
        if not path.exists():
            return None
        try:
            with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
                arrays: dict[str, Any] = {k: file[k] for k in file.files if k != _JSON}
                rest = json.loads(str(file[_JSON]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            warnings.warn(
                f"{path.name} cannot be read ({reason}); it is computed again",
                CorruptTaskWarning,
                stacklevel=2,
            )
            return None
        return arrays | rest


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Keep the arrays behind a page, for readers who want to go on with them."""
    with tempfile.SpooledTemporaryFile(max_size=2**26) as buffer:
        np.savez_compressed(buffer, allow_pickle=False, **dict(arrays))
        buffer.seek(0)
        write_atomically(path, buffer.read())
