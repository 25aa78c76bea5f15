"""Values at the points of a slice: each is computed once, in this process or in several."""

from __future__ import annotations

import functools
import math
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from hessium._arithmetic import full_precision
from hessium._processes import Result, Task, computed
from hessium._typing import AnyArray, FloatArray, IntArray
from hessium.errors import InputError
from hessium.landscape.slices.radius import batch_noise
from hessium.landscape.slices.slice_state import SliceState
from hessium.problem import EmpiricalRisk
from hessium.problem.many_points import ManyPoints
from hessium.progress import Progress

Source: TypeAlias = Callable[[], EmpiricalRisk]

_PARTS = 8  # of the points, for each worker
_FEWEST = 16  # points of a part
_NOISES = 16.0  # times the measured rounding by which a worker may differ


class SliceValues:
    """Totals of the batches at points of a slice.

    Args:
        risk: the loss at the centre.
        columns: the directions (P, k).
        max_bytes: memory limit for stacked parameters, in each process.
        workers: processes.
        source: makes the risk in a worker; None sends a copy of it.
        state: keeps what is finished, if given.
        progress: called with the number of finished points and of all.

    Raises:
        InputError: if the risk cannot be sent to a worker.
    """

    def __init__(
        self,
        risk: EmpiricalRisk,
        columns: Tensor,
        *,
        max_bytes: int,
        workers: int,
        source: Source | None,
        state: SliceState | None,
        progress: Progress,
    ) -> None:
        self._risk, self._columns = risk, columns
        self.many = ManyPoints(risk, max_bytes=max_bytes)
        self._workers, self._state, self._progress = workers, state, progress
        self._points = np.empty((0, columns.shape[1]))
        self._totals = np.empty((0, risk.num_batches))
        if state is not None and len(state.points):
            self._points, self._totals = state.points, state.totals
        self._sent = (
            b"" if workers == 1 else _packed(risk, columns, max_bytes, source or _Copy(risk))
        )

    def at(self, points: FloatArray) -> FloatArray:
        """Numerators of the batches at points (m, k): (m, batches)."""
        missing = points[_found(self._points, points) < 0]
        finished = len(points) - len(missing)
        parts, totals = [self._points], [self._totals]
        for some, new in self._computed(missing):
            parts.append(some)
            totals.append(new)
            finished += len(some)
            self._progress(finished, len(points), "points")
        self._points, self._totals = np.concatenate(parts), np.concatenate(totals)
        return self._totals[_found(self._points, points)]

    def close(self) -> None:
        """Write what is finished."""
        if self._state is not None:
            self._state.close()

    def _computed(self, points: FloatArray) -> Iterator[tuple[FloatArray, FloatArray]]:
        if not len(points):
            return
        if self._workers == 1:
            source = _evaluated(self.many, self._risk.theta, self._columns, points)
        else:
            size = max(_FEWEST, math.ceil(len(points) / (_PARTS * self._workers)))
            tasks: dict[str, Task] = {
                str(start): {
                    "sent": self._sent,
                    "points": points[start : start + size],
                }
                for start in range(0, len(points), size)
            }
            results = _results(tasks, min(self._workers, len(tasks)), self._state is not None)
            source = ((found["points"], found["totals"]) for found in results)
        for some, totals in source:
            if self._state is not None:
                self._state.add(some, totals)
            yield some, totals


def _results(tasks: dict[str, Task], workers: int, kept: bool) -> Iterator[Result]:
    try:
        for _, found in computed(_part, tasks, workers):
            yield found
    except BrokenExecutor as error:
        resumes = (
            "the same call resumes from its `checkpoint`"
            if kept
            else "give `checkpoint` to keep what is finished, and fewer workers"
        )
        msg = f"workers: a process ended before it was done, perhaps for want of memory; {resumes}"
        raise BrokenExecutor(msg) from error


def _evaluated(
    many: ManyPoints, theta: Tensor, columns: Tensor, points: FloatArray
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Points and totals as they are finished."""
    rows = torch.as_tensor(points).to(columns)

    def parameters(part: slice) -> Tensor:
        return torch.addmm(theta, rows[part], columns.mT)

    for start, totals in many.totals(parameters, len(points)):
        yield points[start : start + len(totals)], totals


def _found(known: FloatArray, points: FloatArray) -> IntArray:
    """Position of each point among the known ones; -1 where it is not."""
    if not len(known):
        return np.full(len(points), -1)
    keys, wanted = _keys(known), _keys(points)
    order = np.argsort(keys)
    at = order[np.searchsorted(keys, wanted, sorter=order).clip(max=len(keys) - 1)]
    return np.where(keys[at] == wanted, at, -1)


def _keys(points: FloatArray) -> AnyArray:
    """One number for a point, for comparisons: NumPy orders complex numbers by both parts."""
    return points[:, 0] + 1j * (points[:, 1] if points.shape[1] == 2 else 0)


@dataclass(frozen=True, slots=True)
class _Copy:
    """A source that returns the risk that was sent."""

    risk: EmpiricalRisk

    def __call__(self) -> EmpiricalRisk:
        return self.risk


def _packed(risk: EmpiricalRisk, columns: Tensor, max_bytes: int, source: Source) -> bytes:
    try:
        return pickle.dumps((source, risk.theta.cpu(), columns.cpu(), _centre(risk), max_bytes))
    except (pickle.PicklingError, AttributeError, TypeError, RuntimeError) as error:
        msg = (
            f"workers: the risk cannot be sent to another process ({error}); give `source`, a "
            "function of a module that makes it there, or use workers=1"
        )
        raise InputError(msg) from error


@full_precision()
def _part(task: Task) -> Result:
    """What a worker computes."""
    found = list(_evaluated(*_unpacked(task["sent"]), task["points"]))
    return {"points": task["points"], "totals": np.concatenate([totals for _, totals in found])}


@functools.lru_cache(maxsize=1)
def _unpacked(sent: bytes) -> tuple[ManyPoints, Tensor, Tensor]:
    source, theta, columns, centre, max_bytes = pickle.loads(sent)
    risk = source()
    risk = risk.at(theta.to(risk.theta))
    many = ManyPoints(risk, max_bytes=max_bytes)
    _require_same(many.batches(risk.theta[None])[0], centre, risk)
    return many, risk.theta, columns.to(risk.theta)


@dataclass(frozen=True, slots=True)
class _Centre:
    """What a worker must find at the centre: totals of the batches, and their rounding errors."""

    totals: FloatArray
    noise: FloatArray


def _centre(risk: EmpiricalRisk) -> _Centre:
    totals = ManyPoints(risk).batches(risk.theta[None])[0]
    return _Centre(totals, batch_noise(risk, ManyPoints(risk), totals))


def _require_same(found: FloatArray, centre: _Centre, risk: EmpiricalRisk) -> None:
    """Raise InputError unless all batches have the totals of the parent, to rounding.

    Beside a nearly perfect fit the totals are rounding alone, and differ with threads and kernels:
    by as much as they change with the last bits of the parameters.
    """
    if found.shape != centre.totals.shape:
        differs = f"a worker has {len(found)} batches, this process {len(centre.totals)}"
    else:
        bits = torch.finfo(risk.dtype).eps ** 0.5 * np.abs(centre.totals)
        same = np.abs(found - centre.totals) <= bits + _NOISES * centre.noise
        same |= (found == centre.totals) | (np.isnan(found) & np.isnan(centre.totals))
        if same.all():
            return
        worst = int(same.argmin())
        differs = (
            f"the loss summed over batch {worst + 1} of {len(found)} is {found[worst]:.8g} in a "
            f"worker and {centre.totals[worst]:.8g} here"
        )
    msg = (
        f"source: {differs}; a function that makes the same risk in every process is required "
        "(seeds, data, buffers)"
    )
    raise InputError(msg)


def sampling_stderr(risk: EmpiricalRisk, totals: FloatArray) -> FloatArray:
    """Standard error of the values, from the spread of the batches (ratio estimator)."""
    counts = []
    for inputs, targets in risk.batches():
        outputs = risk.outputs(risk.constants(), inputs, differentiable=False)
        counts.append(risk.loss.count(outputs, targets))
    weights = np.array(counts)
    ratio = totals.sum(axis=1, keepdims=True) / weights.sum()
    batches = len(weights)
    variance = ((totals - ratio * weights) ** 2).sum(axis=1) * batches / (batches - 1)
    return np.asarray(np.sqrt(variance)) / risk.denominator
