"""Checkpoints of long computations: numbers as JSON, vectors as safetensors."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hessium._arguments import nonnegative
from hessium._files import replace_atomically, write_atomically
from hessium.errors import InputError
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.vectors import gaussian, norm

logger = logging.getLogger(__name__)

_STATE = "state.json"
_MARKS = 8
Numbers: TypeAlias = dict[str, Any]


class Checkpoint:
    """The state of one computation in its own folder.

    `state.json` names the files that hold the vectors; it is replaced last, so the folder always
    holds one complete state, the current or the previous one. Of several processes that compute
    together (`EmpiricalRisk(process_group=)`) one writes, and all read: each must see the folder.

    Args:
        folder: created if it does not exist.
        work: identifies the computation; the state of another computation is rejected. Lists of
            numbers are compared up to rounding.
        operator: part of the identity, by its fingerprint and by a product. Cost: one product.
        every: seconds between two states.

    Raises:
        InputError: if `every` is negative or the folder cannot be written.
    """

    def __init__(
        self, folder: Path, work: Mapping[str, Any], operator: SymmetricOperator, every: float
    ) -> None:
        self._folder, self._every = folder, nonnegative("checkpoint_every", every)
        self._unit = float(torch.finfo(operator.dtype).eps ** 0.6)
        self._work = {
            **work,
            "n": operator.shape[0],
            "dtype": str(operator.dtype),
            "parameters": operator.fingerprint,
            "product": _marks(operator),
        }
        self._writes = operator.writes_checkpoints
        self._files: list[str] = []
        self._last = time.monotonic()
        try:
            if self._writes:
                folder.mkdir(parents=True, exist_ok=True)
            if self._writes and not os.access(folder, os.W_OK):
                raise PermissionError(13, "no permission")
        except OSError as error:
            msg = f"checkpoint: {folder} cannot be written ({error.strerror})"
            raise InputError(msg) from error

    def load(self, *needed: str) -> tuple[Numbers, list[dict[str, Tensor]]] | None:
        """The last state: numbers, and vectors file by file; None if there is none.

        Args:
            needed: names of the required numbers.

        Raises:
            InputError: if it belongs to another computation, or cannot be read.
        """
        path = self._folder / _STATE
        if not path.exists():
            return None
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            work, numbers, files = document["work"], document["numbers"], document["files"]
            self._require_same(work)
            found = [load_file(self._folder / name) for name in files]
            for name in needed:
                numbers[name]
        except InputError:
            raise
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            msg = (
                f"checkpoint: {path} cannot be read ({error}); remove {self._folder} to start over"
            )
            raise InputError(msg) from error
        self._files = list(files)
        return numbers, found

    @property
    def due(self) -> bool:
        """Whether `every` seconds have passed since the last state."""
        return time.monotonic() - self._last >= self._every

    def save(
        self, numbers: Mapping[str, Any], vectors: Mapping[str, Tensor], *, append: bool
    ) -> bool:
        """Write a state; False if writing fails, in which case the previous state remains.

        Args:
            numbers: values that JSON can hold; floats are restored bit for bit.
            vectors: new tensors.
            append: keep the files of the previous state instead of replacing them.
        """
        if not self._writes:
            self._last = time.monotonic()
            return True
        name = f"{time.time_ns():020d}.safetensors"
        kept = self._files if append else []
        files = [*kept, name] if vectors else kept
        document = {"work": self._work, "numbers": dict(numbers), "files": files}
        try:
            if vectors:
                tensors = {key: value.contiguous() for key, value in vectors.items()}
                replace_atomically(self._folder / name, lambda path: save_file(tensors, path))
            write_atomically(self._folder / _STATE, json.dumps(document).encode())
        except (OSError, SafetensorError) as error:
            # a full disk does not stop the computation; the next state may fit
            logger.warning(
                "checkpoint %s cannot be written (%s); the computation continues",
                self._folder,
                error,
            )
            self._last = time.monotonic()
            return False
        # files of older states, and partial files of a killed process
        for old in (*self._folder.glob("*.safetensors"), *self._folder.glob(".unfinished-*")):
            if old.name not in files:
                old.unlink(missing_ok=True)
        self._files = files
        self._last = time.monotonic()
        return True

    def _require_same(self, work: Mapping[str, Any]) -> None:
        for name, mine in self._work.items():
            other = work.get(name)
            if other == mine or (isinstance(mine, list) and self._close(mine, other)):
                continue
            if name in ("product", "parameters"):
                msg = (
                    f"checkpoint: {self._folder} was written for another operator ({name} differ); "
                    "give another folder"
                )
            else:
                shown = f"{other}, here {mine}" if _short(mine) and _short(other) else "differs"
                msg = (
                    f"checkpoint: {self._folder} holds another computation ({name}: {shown}); "
                    "give another folder"
                )
            raise InputError(msg)

    def _close(self, mine: list[float], other: Any) -> bool:
        if not isinstance(other, list) or len(other) != len(mine):
            return False
        difference = np.abs(np.subtract(mine, other)).max(initial=0.0)
        return bool(difference <= self._unit * np.abs(mine).max(initial=0.0))


def folder_of(checkpoint: str | Path) -> Path:
    """The folder of a checkpoint.

    Raises:
        InputError: if `checkpoint` is not a path.
    """
    try:
        return Path(checkpoint)
    except TypeError as error:
        msg = f"checkpoint: {checkpoint!r}; the path of a folder is required"
        raise InputError(msg) from error


def joined(pieces: Sequence[Tensor], rows: int) -> Tensor:
    """Concatenate rows that were written in pieces.

    Raises:
        InputError: if their number differs from that in the state.
    """
    whole = torch.cat(list(pieces))
    if len(whole) != rows:
        msg = (
            f"checkpoint: {len(whole)} vectors of a basis; {rows} are required (remove the folder "
            "to start over)"
        )
        raise InputError(msg)
    return whole


def _marks(operator: SymmetricOperator) -> list[float]:
    """Inner products of A z with a few vectors, z random: a fingerprint stable to rounding."""
    rng = np.random.default_rng(0)
    product = operator @ gaussian(operator, rng)
    length = norm(product)
    unit = product / torch.where(length > 0, length, 1.0)
    return [
        float(length),
        *(float(length * (unit @ gaussian(operator, rng))) for _ in range(_MARKS)),
    ]


def _short(value: Any) -> bool:
    return len(str(value)) < 40
