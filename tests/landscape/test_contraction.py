"""Newton's method beside a point: quadratic where the Hessian is the derivative of the gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hessium.landscape.contraction import contraction, quadratic
from hessium.landscape.noise_floor import Place
from hessium.landscape.objective import Surface
from hessium.linalg import SymmetricOperator
from hessium.linalg.operator import DenseOperator


class Bowl(Surface):
    """sum_i i x_i^2 / 2 + x_i^3, with a Hessian that may be off by a factor."""

    def __init__(self, off: float) -> None:
        super().__init__(3, 0.0)
        self.off = off
        self.curvatures = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)

    def _loss(self, theta: Tensor) -> float:
        return float((self.curvatures * theta.square() / 2 + theta**3).sum())

    def _gradient(self, theta: Tensor) -> Tensor:
        return self.curvatures * theta + 3 * theta.square()

    def _hessian(self, theta: Tensor) -> Tensor:
        return self.off * torch.diag(self.curvatures + 6 * theta)

    def _operator(self, theta: Tensor) -> SymmetricOperator:
        return DenseOperator(self._hessian(theta))


@pytest.mark.parametrize(("off", "contracts"), [(1.0, True), (1.05, False), (0.9, False)])
def test_linear_convergence_does_not_certify(off: float, contracts: bool) -> None:
    """With a Hessian that is off by a few per cent the steps shrink, but by a constant factor."""
    surface = Bowl(off)
    here = torch.zeros(3, dtype=torch.float64)
    values = torch.linalg.eigvalsh(surface.hessian(here))
    place = Place(
        theta=here,
        gradient=surface.gradient(here),
        values=values,
        vectors=torch.eye(3, dtype=torch.float64),
        floors=torch.full((3,), 1e-16, dtype=torch.float64),
        cut=1e-15,
    )
    draws = torch.tensor([1.0, -0.5, 0.7], dtype=torch.float64)
    factors, distance = contraction(surface, place, torch.ones(3).double(), 0, draws)
    assert max(factors) < 0.2
    assert (distance > 0) is contracts


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ((1e-3, 1e-6), True),
        ((0.5, 0.1, 5e-3), True),
        ((0.5, 0.25, 0.12), False),
        ((0.1, 0.1, 0.1), False),
        ((1.5, 1e-3, 1e-6), False),
        ((), False),
    ],
)
def test_quadratic_factors(factors: tuple[float, ...], expected: bool) -> None:
    assert quadratic(factors) is expected
