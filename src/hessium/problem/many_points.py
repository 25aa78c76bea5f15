"""Values of a risk at many points: without graphs, and in stacks of parameters where that wins."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from hessium._arithmetic import full_precision
from hessium._typing import FloatArray
from hessium.problem.data import Batch
from hessium.problem.risk import EmpiricalRisk

Points: TypeAlias = Callable[[slice], Tensor]

_LARGEST = 64  # points of one stack
_SINGLY = 16  # points that are made together and evaluated one by one
_TRIALS = 2  # timings of either way, of which the faster counts
_SHARE = 4  # a stack takes at most this part of the memory limit
_FEW = 8  # points of the smallest stack
_MANY = 64  # fewer points are evaluated one by one: a choice would cost more
_CLEARLY = 0.8  # a stack must take less than this part of the time of single points
_LONG = 5e-3  # seconds of a pass on a CPU, in which kernels take nearly all of the time


class ManyPoints:
    r"""Values of a risk at many parameters.

    Forward passes keep no graph, unless the model needs one. Where it is faster, and gives the same
    numbers, the parameters of several points are stacked and the network is evaluated at all of
    them together (`torch.func.vmap`). Both are decided once, when the first points come; the stack
    by timing, as soon as 64 points come together and a pass takes less than 5 ms.

    Args:
        risk: the loss.
        max_bytes: memory limit for stacked parameters.

    Cost: one forward pass for each point, four for the first decision, and about 40 short ones for
    the stack.

    Attributes:
        size: points that are evaluated together.
        stacks: whether their parameters are stacked; else the tensors are overwritten.
    """

    def __init__(self, risk: EmpiricalRisk, *, max_bytes: int = 2**31) -> None:
        self._risk, self._max_bytes = risk, max_bytes
        self._graph = self.stacks = False
        self.size = _SINGLY
        self._begun = self._timed = False

    @full_precision()
    def values(self, points: Points, count: int) -> FloatArray:
        """Values (count,), NaN or infinite where the loss is; `points` as in `totals`."""
        parts = [totals for _, totals in self.totals(points, count)]
        return np.asarray(np.concatenate(parts).sum(axis=1)) / self._risk.denominator

    @full_precision()
    def batches(self, thetas: Tensor) -> FloatArray:
        """Totals of the batches at parameters (k, P): (k, batches)."""
        parts = [totals for _, totals in self.totals(lambda part: thetas[part], len(thetas))]
        return np.asarray(np.concatenate(parts))

    def totals(self, points: Points, count: int) -> Iterator[tuple[int, FloatArray]]:
        """Numerators of the batches, which sum to that of `risk.at(theta).value()`, to rounding.

        Args:
            points: slice of positions -> parameters, one row a point (k, P).
            count: number of points.

        Yields:
            The first position and the totals (points, batches) of some points after another.
        """
        self._decide(points, count)
        for start in range(0, count, self.size):
            thetas = points(slice(start, min(count, start + self.size)))
            stacked = self.stacks and len(thetas) > 1
            yield start, self._stacked(thetas) if stacked else self._one_by_one(thetas)

    def _decide(self, points: Points, count: int) -> None:
        if not self._begun:
            self._graph = self._needs_graph(points(slice(0, None, max(1, count - 1))))
            self._begun = True
        limit = min(_LARGEST, count // 2, self._max_bytes // _SHARE // (8 * self._risk.dim))
        if self._timed or count < _MANY or limit < _FEW or self._graph or self._risk.survey.draws:
            return
        self._timed = True
        size = self._fastest(points(slice(0, None, max(1, count // limit)))[:limit])
        self.stacks, self.size = size > 1, size if size > 1 else _SINGLY

    def _one_by_one(self, thetas: Tensor) -> FloatArray:
        """The totals, with the numbers in the model overwritten from point to point."""
        risk = self._risk
        flat = thetas[0].clone()
        parts = risk.layout.parts(flat)
        held = [torch.nn.Parameter(part, self._graph) for part in parts]
        # of complex tensors some parts are copies
        copies = [i for i, part in enumerate(parts) if not _shares(part, flat)]
        columns = []
        for batch in risk.batches():
            column = []
            with risk.bound(held, differentiable=self._graph):
                for theta in thetas.unbind(0):
                    flat.copy_(theta)
                    if copies:
                        parts = risk.layout.parts(flat)
                        for i in copies:
                            held[i].data = parts[i]
                    column.append(float(self._total(held, batch)))
            columns.append(column)
        return np.array(columns).T

    def _stacked(self, thetas: Tensor) -> FloatArray:
        rows = self._risk.layout.parts(thetas)
        columns = []
        for batch in self._risk.batches():

            def total(*parameters: Tensor, batch: Batch = batch) -> Tensor:
                return self._total(parameters, batch)

            columns.append(torch.func.vmap(total)(*rows).double().cpu().numpy())
        return np.array(columns).T

    def _total(self, parameters: Sequence[Tensor], batch: Batch) -> Tensor:
        return self._risk.total(parameters, batch, differentiable=self._graph).detach()

    def _needs_graph(self, thetas: Tensor) -> bool:
        """Whether a forward pass without a graph fails, or gives other numbers."""
        try:
            fast = self._one_by_one(thetas).sum(axis=1) / self._risk.denominator
        except RuntimeError:
            return True
        return not self._equal(fast, np.array([self._risk.at(t).value() for t in thetas.unbind(0)]))

    def _equal(self, found: FloatArray, expected: FloatArray) -> bool:
        tolerance = 64 * torch.finfo(self._risk.dtype).eps
        return bool(np.allclose(found, expected, rtol=tolerance, atol=0, equal_nan=True))

    def _fastest(self, thetas: Tensor) -> int:
        """The size of a stack that takes the least time for a point; 1 for none."""
        on_cpu = thetas.device.type == "cpu"
        if on_cpu and self._seconds(lambda: self._one_by_one(thetas[:1])) > _LONG:
            return 1
        few = thetas[:_FEW]
        best, size = _CLEARLY * self._seconds(lambda: self._one_by_one(few)) / len(few), 1
        try:
            if not self._equal(self._stacked(thetas[:2]), self._one_by_one(thetas[:2])):
                return 1
            trial = len(few)
            while trial <= len(thetas):
                seconds = self._seconds(partial(self._stacked, thetas[:trial])) / trial
                if seconds > best:
                    break
                best, size = seconds, trial
                trial *= 2
        except RuntimeError:  # the forward pass depends on values, or has no batched kernel
            return 1
        return size

    @staticmethod
    def _seconds(work: Callable[[], object]) -> float:
        found = []
        for _ in range(_TRIALS):
            start = time.perf_counter()
            work()
            found.append(time.perf_counter() - start)
        return min(found)


def _shares(part: Tensor, flat: Tensor) -> bool:
    return part.untyped_storage().data_ptr() == flat.untyped_storage().data_ptr()
