"""Errors of the first-order and of the quadratic model along a line."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from hessium.errors import InputError, NonFiniteError, SelfCheckError
from hessium.posterior.measurements import measurements
from hessium.problem import EmpiricalRisk

Pair: TypeAlias = tuple[float, float]
_HALVINGS = 4  # of the bracket of a radius, in the logarithm: to 4 per cent
_DOUBLINGS = 24  # from the first distance, either way


FAILURES = (InputError, NonFiniteError, SelfCheckError, RuntimeError)
"""Of a model far from the parameters of its risk."""


class Line:
    """Outputs and loss along lines."""

    def __init__(self, risk: EmpiricalRisk) -> None:
        self._risk = risk
        self._data = measurements(risk)
        self._start, self._value = self._measured(risk)
        self.slope = risk.gradient()
        self.unit = self._data.largest_weight / risk.denominator

    def whiten(self, outputs: Tensor) -> Tensor:
        """Outputs with the square roots of their weights."""
        return self._data.whiten(outputs[:, None])[:, 0]

    def _measured(self, risk: EmpiricalRisk) -> tuple[Tensor, float]:
        """Whitened outputs, and the loss."""
        leaves = risk.leaves()
        outputs, totals = [], []
        for inputs, targets in risk.batches():
            f = risk.outputs(leaves, inputs).detach()
            outputs.append(f.reshape(-1))
            totals.append(float(risk.loss_of(f, targets).detach()))
        return self.whiten(torch.cat(outputs)), math.fsum(totals) / risk.denominator

    def errors(self, d: Tensor, image: Tensor, along: float, bend: float, floor: float) -> Errors:
        """Relative errors of both models as functions of the distance, the worse of both sides."""
        return Errors(self, d, image, along, bend, floor)

    def at(
        self, d: Tensor, image: Tensor, along: float, bend: float, floor: float, t: float
    ) -> Pair:
        """Relative errors of the first-order and of the quadratic model at one distance.

        Args:
            d: the direction.
            image: J d, whitened.
            along: $g^T d$.
            bend: $d^T H d$.
            floor: smallest size of a change per distance, in units of `image`.
            t: the distance.
        """
        first = quadratic = 0.0
        for s in (-t, t):
            try:
                outputs, value = self._measured(self._risk.at(self._risk.theta + s * d))
            except FAILURES:
                return math.inf, math.inf
            moved, rise = outputs - self._start, value - self._value
            size = max(float(moved.norm()), abs(s) * float(image.norm()), abs(s) * floor)
            first = max(first, _ratio(float((moved - s * image).norm()), size))
            error = abs(rise - s * along - 0.5 * s * s * bend)
            # differences of the loss have the rounding of the loss
            error = error if math.isnan(error) else max(0.0, error - 1e-14 * abs(self._value))
            quadratic = max(quadratic, _ratio(error, abs(s * along) + 0.5 * s * s * abs(bend)))
        return first, quadratic


class Errors:
    """Errors along one line, each distance evaluated once."""

    def __init__(
        self, line: Line, d: Tensor, image: Tensor, along: float, bend: float, floor: float
    ) -> None:
        self._compute = partial(line.at, d, image, along, bend, floor)
        self._known: dict[float, Pair] = {}

    def __call__(self, which: int, t: float) -> float:
        """Of the first-order (0) or the quadratic (1) model at a distance."""
        if t not in self._known:
            self._known[t] = self._compute(t)
        return self._known[t][which]


def _ratio(error: float, size: float) -> float:
    if not math.isfinite(error):
        return math.inf
    return error / size if size > 0 else (0.0 if error == 0 else math.inf)


def radius(error: Callable[[float], float], within: float, start: float) -> float:
    """Smallest distance found at which the error exceeds the fraction; infinite if none."""
    low, high = 0.0, start
    if error(start) > within:
        for _ in range(_DOUBLINGS):
            low = high / 2
            if error(low) <= within:
                break
            high = low
        else:
            return 0.0
    else:
        for _ in range(_DOUBLINGS // 2):
            low, high = high, 2 * high
            if error(high) > within:
                break
        else:
            return math.inf
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if error(middle) <= within else (low, middle)
    return low
