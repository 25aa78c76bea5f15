"""Zero eigenvalues: a circle of minima, and valleys and degenerate points that are none."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hessium.landscape import symmetry
from hessium.landscape.noise_floor import PROBES, local_model
from hessium.landscape.objective import Surface
from hessium.landscape.symmetry import on_manifold
from hessium.linalg import SymmetricOperator
from hessium.linalg.operator import DenseOperator
from support.risk_cases import draw
from support.separable_surface import Separable


class Circle(Surface):
    """(|theta|^2 - 1)^2 / 4."""

    def __init__(self) -> None:
        super().__init__(2, 0.0)

    def _loss(self, theta: Tensor) -> float:
        return float((theta @ theta - 1) ** 2) / 4

    def _gradient(self, theta: Tensor) -> Tensor:
        return (theta @ theta - 1) * theta

    def _hessian(self, theta: Tensor) -> Tensor:
        return (theta @ theta - 1) * torch.eye(2).double() + 2 * torch.outer(theta, theta)

    def _operator(self, theta: Tensor) -> SymmetricOperator:
        return DenseOperator(self._hessian(theta))


def manifold(surface: Surface, x: float, y: float, seed: int) -> bool:
    """Whether the softest mode at (x, y) is judged to belong to a manifold."""
    theta = torch.tensor([x, y], dtype=torch.float64)
    draws = draw(PROBES, 2, seed=seed)
    lengths = surface.lengths(theta, theta)
    local = local_model(surface, theta, lengths, 0.0, draws)
    zero = local.values.abs() == local.values.abs().min()
    return on_manifold(surface, local, zero, theta, lengths, draws)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("angle", [0.3, 1.1, 2.9])
def test_a_circle_is_a_manifold(angle: float, seed: int) -> None:
    assert manifold(Circle(), math.cos(angle), math.sin(angle), seed)


ROTATED = torch.tensor([[1.2, -0.5], [0.5, 1.2]], dtype=torch.float64)
NONE = {
    "cubic": (lambda x: x**3, lambda x: 3 * x * x, lambda x: 6 * x),
    "quartic": (lambda x: x**4, lambda x: 4 * x**3, lambda x: 12 * x * x),
    # in rotated coordinates flat to rounding within 1e-3, and within 0.1
    "order six": (lambda x: x**6, lambda x: 6 * x**5, lambda x: 30 * x**4),
    "order sixteen": (lambda x: x**16, lambda x: 16 * x**15, lambda x: 240 * x**14),
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("change", [torch.eye(2).double(), ROTATED])
@pytest.mark.parametrize("name", NONE)
def test_a_degenerate_point_is_none(name: str, change: Tensor, seed: int) -> None:
    x, y = (change.inverse() @ torch.tensor([0.0, 1.0], dtype=torch.float64)).tolist()
    assert not manifold(Separable(NONE[name], change=change), x, y, seed)


def test_control_a_short_walk_stays_where_all_is_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symmetry, "_LENGTH", 1e-3)
    x, y = (ROTATED.inverse() @ torch.tensor([0.0, 1.0], dtype=torch.float64)).tolist()
    assert manifold(Separable(NONE["order sixteen"], change=ROTATED), x, y, 0)
