"""Levenberg-Marquardt on the gradient: where it ends."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import hessium as hs
from hessium.landscape.find import surface_of
from hessium.landscape.levenberg_marquardt import LevenbergMarquardt
from hessium.landscape.trajectory import Stopping


class Point(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([0.7, 0.3], dtype=torch.float64))


def without_critical_point(model: nn.Module) -> Tensor:
    """x^3/3 + x + y^2/2: the gradient is shortest, of norm 1, at zero, where it lies in ker H."""
    p: Tensor = model.p  # type: ignore[assignment]
    return p[0] ** 3 / 3 + p[0] + p[1] ** 2 / 2


def test_a_gradient_that_no_longer_falls_ends_the_search_as_stuck() -> None:
    risk = hs.EmpiricalRisk.from_closure(Point(), without_critical_point)
    surface = surface_of(risk, 0.0)
    patient, impatient = (
        LevenbergMarquardt(patience=n).find(surface, risk.theta, Stopping()) for n in (60, 5)
    )
    assert patient.ended == impatient.ended == "stuck"
    assert patient.gradients[-1] < 1 + 1e-6
    assert impatient.steps < patient.steps < 300
