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
_SINGLY = 16  # points between two calls of `finished`, one by one
_TRIALS = 2  # timings of either way, of which the faster counts
_SHARE = 4  # a stack takes at most this part of the memory limit
_FEW = 8  # points of the smallest stack
_MANY = 64  # fewer points are evaluated one by one: a choice would cost more
_CLEARLY = 0.8  # a stack must take less than this part of the time of single points


@full_precision()
def values_at(
    risk: EmpiricalRisk, points: Points, count: int, *, max_bytes: int = 2**31
) -> FloatArray:
    """Values of a risk at many parameters, (count,); as `totals_at` over the denominator."""
    stacks = [totals for _, totals in totals_at(risk, points, count, max_bytes=max_bytes)]
    return np.asarray(np.concatenate(stacks).sum(axis=1)) / risk.denominator


def totals_at(
    risk: EmpiricalRisk, points: Points, count: int, *, max_bytes: int = 2**31
) -> Iterator[tuple[int, FloatArray]]:
    r"""Numerators of the batches of a risk at many parameters.

    Each row sums to the numerator of `risk.at(theta).value()`, to rounding. Forward passes keep no
    graph. Where it is faster, and gives the same numbers, the parameters of several points are
    stacked and the network is evaluated at all of them together (`torch.func.vmap`).

    Args:
        risk: the loss.
        points: slice of positions -> parameters, one row a point (k, P).
        count: number of points.
        max_bytes: memory limit for stacked parameters.

    Yields:
        The first position and the totals (points, batches) of each stack, NaN or infinite where the
        loss is.

    Cost: one forward pass for each point, and, from 64 points on, about 40 for the choice of the
    stack.
    """
    plan = _Plan(risk, points, count, max_bytes)
    for start in range(0, count, plan.size):
        yield start, plan.totals(points(slice(start, min(count, start + plan.size))))


class _Plan:
    """How many points are evaluated together, chosen by timing.

    Attributes:
        size: points that are evaluated together.
        stacks: whether their parameters are stacked; else the tensors are overwritten.
    """

    def __init__(self, risk: EmpiricalRisk, points: Points, count: int, max_bytes: int) -> None:
        self._risk = risk
        self._graph = self.stacks = False
        self.size = _SINGLY
        self._graph = self._needs_graph(points(slice(0, None, max(1, count - 1))))
        limit = min(_LARGEST, count // 2, max_bytes // _SHARE // (8 * max(1, risk.dim)))
        if count >= _MANY and limit >= _FEW and not self._graph and not risk.survey.draws:
            size = self._fastest(points(slice(0, None, max(1, count // limit)))[:limit])
            self.stacks, self.size = size > 1, size if size > 1 else _SINGLY

    def totals(self, thetas: Tensor) -> FloatArray:
        """(points, batches)."""
        stacked = self.stacks and len(thetas) > 1
        return self._stacked(thetas) if stacked else self._one_by_one(thetas)

    def _one_by_one(self, thetas: Tensor) -> FloatArray:
        """The totals, with the tensors in the model overwritten from point to point."""
        risk = self._risk
        columns = []
        for batch in risk.batches():
            held = [torch.nn.Parameter(p, self._graph) for p in risk.layout.parts(thetas[0])]
            column = []
            with risk.bound(held, differentiable=self._graph):
                for theta in thetas.clone().unbind(0):  # a forward pass may write to its parameters
                    for slot, part in zip(held, risk.layout.parts(theta), strict=True):
                        slot.data = part
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
