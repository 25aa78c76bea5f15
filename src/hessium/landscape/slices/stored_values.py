"""Values at the points of a slice that are kept in a folder while they are computed."""

from __future__ import annotations

import hashlib
import io
import os
import time
from pathlib import Path

import numpy as np
from torch import Tensor

from hessium._files import write_atomically
from hessium._typing import AnyArray, FloatArray
from hessium.errors import InputError
from hessium.problem import EmpiricalRisk

_FILE = "values.npz"
_EVERY = 60.0  # seconds between two states


class StoredValues:
    """Totals of a slice, NaN-free where `known`; written once a minute.

    Args:
        folder: where they are kept; None keeps nothing.
        risk: the loss at the centre.
        columns: the directions.
        grid: coordinates of the points (m, k).

    Attributes:
        totals: (m, batches).
        known: which points are finished (m,).

    Raises:
        InputError: if the folder holds the values of another slice, or cannot be written.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None,
        risk: EmpiricalRisk,
        columns: Tensor,
        grid: FloatArray,
    ) -> None:
        self.totals = np.full((len(grid), risk.num_batches), np.nan)
        self.known = np.zeros(len(grid), dtype=bool)
        self._path = None if folder is None else Path(folder) / _FILE
        self._last = time.monotonic()
        if self._path is None:
            return
        first = np.array([risk.value()])
        parts = (risk.theta.cpu().numpy(), columns.cpu().numpy(), grid, first.round(9))
        text = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
        self._key = hashlib.blake2b(text, digest_size=16).hexdigest()
        if self._path.exists():
            self._read(self._path)
        else:
            self._write(self._path)

    def keep(self, positions: AnyArray, totals: FloatArray) -> None:
        """Add the totals at some positions."""
        self.totals[positions] = totals
        self.known[positions] = True
        if self._path is not None and time.monotonic() - self._last > _EVERY:
            self._write(self._path)

    def close(self) -> None:
        """Write all that is known."""
        if self._path is not None:
            self._write(self._path)

    def _read(self, path: Path) -> None:
        try:
            with np.load(path, allow_pickle=False) as file:
                key, totals, known = str(file["key"]), file["totals"], file["known"]
        except (OSError, ValueError, KeyError) as error:
            msg = f"checkpoint: {path} cannot be read ({error}); remove it, or use another folder"
            raise InputError(msg) from error
        if key != self._key or totals.shape != self.totals.shape:
            msg = f"checkpoint: {path} holds another slice; use another folder"
            raise InputError(msg)
        self.totals, self.known = totals, known

    def _write(self, path: Path) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, key=np.array(self._key), totals=self.totals, known=self.known)
        try:
            write_atomically(path, buffer.getvalue())
        except OSError as error:
            msg = f"checkpoint: {path} cannot be written ({error.strerror})"
            raise InputError(msg) from error
        self._last = time.monotonic()
