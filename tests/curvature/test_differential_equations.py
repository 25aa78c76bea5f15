"""Losses of the solution of an ODE: by steps, and by an adjoint without second derivatives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

import hessium as hs
from hessium.errors import SelfCheckError
from support.risk_cases import draw

STEPS, STEP = 10, 0.1


class Adjoint(torch.autograd.Function):
    """u' = rate u by explicit steps, and its discrete adjoint, as adjoint solvers write it."""

    @staticmethod
    def forward(ctx: Any, rate: Tensor, start: Tensor) -> Tensor:
        u, states = start, []
        for _ in range(STEPS):
            states.append(u)
            u = u + STEP * rate * u
        ctx.save_for_backward(rate, *states)
        return u

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:
        rate, *states = ctx.saved_tensors
        adjoint, found = grads[0], torch.zeros_like(rate)
        for u in reversed(states):
            found = found + STEP * (adjoint * u).sum()
            adjoint = adjoint * (1 + STEP * rate)
        return found, adjoint


class Growth(nn.Module):
    """Growth from given values, by an adjoint or by Runge-Kutta steps of fourth order."""

    def __init__(self, *, adjoint: bool) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
        self.adjoint = adjoint

    def forward(self, u: Tensor) -> Tensor:
        if self.adjoint:
            found: Tensor = Adjoint.apply(self.rate, u)  # type: ignore[no-untyped-call]
            return found
        for _ in range(STEPS):
            k1 = self.rate * u
            k2 = self.rate * (u + STEP / 2 * k1)
            k3 = self.rate * (u + STEP / 2 * k2)
            k4 = self.rate * (u + STEP * k3)
            u = u + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return u


def risk_of(model: nn.Module) -> hs.EmpiricalRisk:
    return hs.EmpiricalRisk(model, hs.SquaredError(), (draw(6, 1).abs(), draw(6, 1, seed=1)))


def test_steps_of_runge_kutta_have_all_derivatives() -> None:
    risk = risk_of(Growth(adjoint=False))
    start, targets = draw(6, 1).abs(), draw(6, 1, seed=1)
    # the steps are the series of exp(rate STEP) to the fourth order, to the power STEPS
    rate = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    z = rate * STEP
    final = start * (1 + z + z**2 / 2 + z**3 / 6 + z**4 / 24) ** STEPS
    loss = (final - targets).square().sum()
    (slope,) = torch.autograd.grad(loss, rate, create_graph=True)
    (bend,) = torch.autograd.grad(slope, rate)
    assert risk.value() == pytest.approx(float(loss.detach()), rel=1e-13)
    assert float(hs.Hessian(risk).dense()) == pytest.approx(float(bend), rel=1e-12)


def test_an_adjoint_has_a_gauss_newton_part_and_its_hessian_is_refused_with_advice() -> None:
    risk = risk_of(Growth(adjoint=True))
    start, targets = draw(6, 1).abs(), draw(6, 1, seed=1)
    growth = (1 + STEP * 0.5) ** STEPS
    slope = start * STEPS * STEP * growth / (1 + STEP * 0.5)
    gauss_newton = 2 * float(slope.square().sum())
    assert float(hs.GaussNewton(risk).dense()) == pytest.approx(gauss_newton, rel=1e-12)
    bend = slope * (STEPS - 1) * STEP / (1 + STEP * 0.5)
    exact = gauss_newton + 2 * float(((start * growth - targets) * bend).sum())
    with pytest.raises(SelfCheckError, match=r"adjoint solver.*route='finite-difference'"):
        hs.Hessian(risk)
    differenced = hs.Hessian(risk, route="finite-difference")
    assert float(differenced.dense()) == pytest.approx(exact, rel=1e-6)
    assert hs.GaussNewtonPosterior(risk).rank.value == 1
