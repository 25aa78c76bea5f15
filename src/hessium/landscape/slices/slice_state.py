"""The directions of a slice and its finished points in a folder, so that the same call resumes."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hessium._typing import FloatArray
from hessium.curvature import Hessian
from hessium.estimate.checkpoint import Checkpoint, folder_of, joined
from hessium.landscape.slices.directions import Directions
from hessium.linalg.vectors import gaussian

_EVERY = 60.0  # seconds between two states
_MARKS = 4


class SliceState:
    """What is kept of a slice. Any extent and number of points share one folder.

    Args:
        folder: of the checkpoint.
        operator: the Hessian at the centre.
        directions: name or columns that were asked for; others are refused.
        batches: of the data.
        seed: of random directions; a folder of another seed is refused.

    Attributes:
        columns: the directions (P, k) of an earlier call; None if there was none.
        labels: of the directions.
        points: coordinates of the finished points (m, k).
        totals: of their batches (m, batches).

    Raises:
        InputError: if the folder holds another slice, or cannot be written.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        operator: Hessian,
        directions: Directions,
        batches: int,
        seed: int | None = None,
    ) -> None:
        work: dict[str, Any] = {"kind": "slice", "batches": batches, "seed": seed}
        work["directions"] = _marks(operator, directions)
        self._checkpoint = Checkpoint(folder_of(os.fspath(folder)), work, operator, _EVERY)
        self._new: list[tuple[FloatArray, FloatArray]] = []
        self.columns: Tensor | None = None
        self.labels: tuple[str, ...] = ()
        self.points, self.totals = np.empty((0, 0)), np.empty((0, batches))
        if (found := self._checkpoint.load("labels", "points")) is not None:
            numbers, files = found
            self.columns = files[0]["columns"].to(operator.device)
            self.labels = tuple(numbers["labels"])
            rows = int(numbers["points"])
            if rows:
                self.points = joined([file["points"] for file in files[1:]], rows).numpy()
                self.totals = joined([file["totals"] for file in files[1:]], rows).numpy()

    def begin(self, columns: Tensor, labels: tuple[str, ...]) -> None:
        """Keep the directions."""
        self.columns, self.labels = columns, labels
        numbers = {"labels": list(labels), "points": 0}
        self._checkpoint.save(numbers, {"columns": columns.cpu()}, append=False)

    def add(self, points: FloatArray, totals: FloatArray) -> None:
        """Keep finished points; they are written once a minute."""
        self._new.append((points, totals))
        if self._checkpoint.due:
            self.close()

    def close(self) -> None:
        """Write all that is finished."""
        if not self._new:
            return
        points, totals = (np.concatenate(parts) for parts in zip(*self._new, strict=True))
        numbers = {"labels": list(self.labels), "points": len(self.points) + len(points)}
        vectors = {"points": torch.from_numpy(points), "totals": torch.from_numpy(totals)}
        if self._checkpoint.save(numbers, vectors, append=True):
            self.points = np.concatenate([self.points.reshape(-1, points.shape[1]), points])
            self.totals = np.concatenate([self.totals, totals])
            self._new.clear()


def _marks(operator: Hessian, directions: Directions) -> str | list[float]:
    """The name, or inner products of the columns with a few vectors: stable to rounding."""
    if isinstance(directions, str):
        return directions
    rng = np.random.default_rng(0)
    marks = [gaussian(operator, rng) @ directions for _ in range(_MARKS)]
    return [float(v) for mark in marks for v in mark]
