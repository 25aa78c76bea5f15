"""Checkpoints of long computations: numbers as JSON, vectors as safetensors."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from hessium._arguments import nonnegative
from hessium._files import replace_atomically, write_atomically
from hessium.errors import InputError
from hessium.estimate.share_files import Entry, entry_of, names_in, read
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.shares import Shares
from hessium.linalg.vectors import gaussian_share, norm

logger = logging.getLogger(__name__)

_STATE = "state.json"
_MARKS = 8
Numbers: TypeAlias = dict[str, Any]


class Checkpoint:
    """The state of one computation in its own folder.

    `state.json` names the files that hold the vectors; it is replaced last, so the folder always
    holds one complete state, the current or the previous one. Of several processes that compute
    together (`EmpiricalRisk(process_group=)`) each writes its share of the vectors and one the
    state; any number of processes can resume. Each must see the folder.

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
        self._shares = operator.shares
        self._first = operator.writes_checkpoints and self._shares.number == 0
        self._files: list[Entry] = []
        self._last = time.monotonic()
        with self._shares.together("opening a checkpoint"):
            try:
                writes = self._first or self._shares.divided
                if writes:
                    folder.mkdir(parents=True, exist_ok=True)
                if writes and not os.access(folder, os.W_OK):
                    raise PermissionError(13, "no permission")
            except OSError as error:
                msg = f"checkpoint: {folder} cannot be written ({error.strerror})"
                raise InputError(msg) from error

    def load(
        self, *needed: str, whole: Collection[str] = ()
    ) -> tuple[Numbers, list[dict[str, Tensor]]] | None:
        """The last state: numbers, and vectors file by file; None if there is none.

        Args:
            needed: names of the required numbers.
            whole: names of the tensors that are not shared: every process reads them whole.

        Raises:
            InputError: if it belongs to another computation, cannot be read, or is not seen by all
                processes.
        """
        with self._shares.together("reading a checkpoint"):
            found = self._read(needed, whole)
        if not self._shares.agree(found is None) and not self._shares.agree(found is not None):
            msg = (
                f"checkpoint: not every process sees the state in {self._folder}; a folder on a "
                "disk that all processes share is required"
            )
            raise InputError(msg)
        return found

    def _read(
        self, needed: Sequence[str], whole: Collection[str]
    ) -> tuple[Numbers, list[dict[str, Tensor]]] | None:
        path = self._folder / _STATE
        if not path.exists():
            return None
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            work, numbers, files = document["work"], document["numbers"], document["files"]
            self._require_same(work)
            found = [read(self._folder, entry, self._shares, whole) for entry in files]
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
        """Whether `every` seconds have passed since the last state, by one clock for all."""
        now = torch.tensor([time.monotonic() - self._last], dtype=torch.float64)
        return float(self._shares.every(now)[0]) >= self._every

    def save(
        self,
        numbers: Mapping[str, Any],
        vectors: Mapping[str, Tensor],
        *,
        append: bool,
        whole: Collection[str] = (),
    ) -> bool:
        """Write a state; False if writing fails, in which case the previous state remains.

        Args:
            numbers: values that JSON can hold; floats are restored bit for bit.
            vectors: new tensors; the last dimension are the coordinates of this process.
            append: keep the files of the previous state instead of replacing them.
            whole: names of the tensors that are not shared; they are equal in all processes.
        """
        if not (self._first or self._shares.divided):
            self._last = time.monotonic()
            return True
        kept = self._files if append else []
        files = [*kept, *([entry_of(_stamp(self._shares), self._shares)] if vectors else ())]
        try:
            written = not vectors or self._write_share(files[-1], vectors, whole)
            # the state names files that exist
            written = self._shares.agree(written) and self._write_state(numbers, files)
            written = self._shares.agree(written)
        finally:
            self._last = time.monotonic()
        if written:
            self._files = files
        return written

    def _write_share(
        self, entry: Entry, vectors: Mapping[str, Tensor], whole: Collection[str]
    ) -> bool:
        mine = {k: v.contiguous() for k, v in vectors.items() if self._first or k not in whole}
        place = self._folder / names_in(entry)[self._shares.number]
        return self._tried(lambda: replace_atomically(place, lambda path: save_file(mine, path)))

    def _write_state(self, numbers: Mapping[str, Any], files: Sequence[Entry]) -> bool:
        """Write the state and remove files of older ones; the first process does it for all."""
        if not self._first:
            return True
        names = {name for entry in files for name in names_in(entry)}
        unseen = sorted(name for name in names if not (self._folder / name).exists())
        if unseen:
            self._warn(f"{unseen[0]} of another process is not there")
            return False
        document = {"work": self._work, "numbers": dict(numbers), "files": list(files)}
        state = json.dumps(document).encode()
        if not self._tried(lambda: write_atomically(self._folder / _STATE, state)):
            return False
        # files of older states, and partial files of a killed process
        for old in (*self._folder.glob("*.safetensors"), *self._folder.glob(".unfinished-*")):
            if old.name not in names:
                old.unlink(missing_ok=True)
        return True

    def _tried(self, write: Callable[[], object]) -> bool:
        """Whether a file was written: a full disk does not stop the computation."""
        try:
            write()
        except (OSError, SafetensorError) as error:
            self._warn(str(error))
            return False
        return True

    def _warn(self, reason: str) -> None:
        logger.warning(
            "checkpoint %s cannot be written (%s); the computation continues", self._folder, reason
        )

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
        if isinstance(other, float):
            other = [other]
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
    rng, shares = np.random.default_rng(0), operator.shares
    product = operator.times_shares(gaussian_share(operator, rng)[None])[0]
    length = norm(product, shares)
    unit = product / torch.where(length > 0, length, 1.0)
    marks = [float(shares.sum(unit @ gaussian_share(operator, rng))) for _ in range(_MARKS)]
    return [float(length), *(float(length) * mark for mark in marks)]


def _stamp(shares: Shares) -> str:
    """The time, by one clock for all processes."""
    return f"{int(shares.every(torch.tensor([time.time_ns()]))[0]):020d}"


def _short(value: Any) -> bool:
    return len(str(value)) < 40
