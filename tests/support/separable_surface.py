"""A function of two parameters with its derivatives written down, in any coordinates."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hessium.landscape.objective import Surface
from hessium.linalg import SymmetricOperator
from hessium.linalg.operator import DenseOperator

Function = Callable[[float], float]


class Separable(Surface):
    """c f(x) + c b (y - 1)^2 / 2 at (x, y) = T theta, with the derivatives of f written down."""

    def __init__(
        self,
        derivatives: tuple[Function, Function, Function],
        *,
        change: Tensor | None = None,
        factor: float = 1.0,
        curvature: float = 3.0,
    ) -> None:
        super().__init__(2, 0.0)
        self.f, self.slope, self.bend = derivatives
        self.change = torch.eye(2, dtype=torch.float64) if change is None else change
        self.factor, self.curvature = factor, curvature

    def _loss(self, theta: Tensor) -> float:
        x, y = (self.change @ theta).tolist()
        return self.factor * (self.f(x) + self.curvature * (y - 1) ** 2 / 2)

    def _gradient(self, theta: Tensor) -> Tensor:
        x, y = (self.change @ theta).tolist()
        inner = torch.tensor([self.slope(x), self.curvature * (y - 1)], dtype=torch.float64)
        return self.factor * self.change.mT @ inner

    def _hessian(self, theta: Tensor) -> Tensor:
        x = float((self.change @ theta)[0])
        inner = torch.tensor([self.bend(x), self.curvature], dtype=torch.float64)
        return self.factor * self.change.mT @ torch.diag(inner) @ self.change

    def _operator(self, theta: Tensor) -> SymmetricOperator:
        return DenseOperator(self._hessian(theta))


CUBIC = (lambda x: x**3 / 3 - x, lambda x: x * x - 1, lambda x: 2 * x)
"""Zeros of the gradient at 1 (a minimum) and at -1."""
