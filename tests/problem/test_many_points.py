"""Values at many points against the risk at each of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.problem.many_points import ManyPoints
from support.risk_cases import draw


class Penalised(nn.Module):
    """Takes a derivative in its inputs, so that it needs a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        y = torch.tanh(self.inner(x))
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        return torch.cat([y, slope], dim=1)


class Branching(nn.Module):
    """Its course depends on values, so that it cannot be batched over parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        return y if float(y.detach().sum()) > 0 else y.sin()


def conv() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 3)), nn.Conv1d(1, 4, 2), nn.GroupNorm(2, 4),
        nn.Flatten(), nn.Linear(8, 2),
    )  # fmt: skip


MODELS: dict[str, tuple[Any, int]] = {
    "mlp": (lambda: nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)), 2),
    "conv": (conv, 2),
    "batch norm": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).eval(), 2
    ),
    "a pair behind an odd number": (  # whose part of a flat vector is a copy
        lambda: nn.Sequential(nn.Linear(3, 1, bias=False), nn.Tanh(), nn.Linear(1, 2)), 2
    ),
    "derivative inside": (Penalised, 4),
    "branch": (Branching, 2),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_values_are_those_of_the_risk_at_each_point(name: str) -> None:
    torch.manual_seed(0)
    make, outputs = MODELS[name]
    model = make().double()
    x, y = draw(30, 3), draw(30, outputs, seed=1)
    loss = nn.MSELoss()
    risk = hs.EmpiricalRisk(model, loss, [(x[:20], y[:20]), (x[20:], y[20:])])
    before = {n: (t, t.clone()) for n, t in model.state_dict(keep_vars=True).items()}
    step = draw(risk.dim, seed=2)
    points = torch.stack([risk.theta + 0.1 * (i - 10) * step for i in range(21)])
    found = ManyPoints(risk).values(lambda part: points[part], len(points))
    np.testing.assert_allclose(found, [risk.at(p).value() for p in points], rtol=1e-13)
    for n, tensor in model.state_dict(keep_vars=True).items():
        assert tensor is before[n][0]
        assert torch.equal(tensor, before[n][1])


def test_stacks_give_the_numbers_of_single_points_and_any_memory_limit_works() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (draw(30, 3), draw(30, 2, seed=1)))
    points = torch.stack([risk.theta * (1 + 0.01 * i) for i in range(12)])
    many = ManyPoints(risk)
    np.testing.assert_allclose(many._stacked(points), many._one_by_one(points), rtol=1e-13)
    found = list(many.totals(lambda part: points[part], 12))
    assert [at for at, _ in found] == list(range(0, 12, many.size))
    assert np.concatenate([totals for _, totals in found]).shape == (12, 1)
    tight = ManyPoints(risk, max_bytes=1)
    tight.values(lambda part: risk.theta.repeat(100, 1)[part], 100)
    assert not tight.stacks


def test_a_loss_that_is_not_finite_is_returned_as_such() -> None:
    model = nn.Linear(2, 1).double()
    risk = hs.EmpiricalRisk(
        model, lambda f, y: (f.exp() - y).square().sum(), (draw(4, 2), draw(4, 1)), reduction="sum"
    )
    scales = 10.0 ** torch.arange(9, dtype=torch.float64)
    found = ManyPoints(risk).values(lambda part: risk.theta * scales[part, None], 9)
    assert np.isfinite(found[0])
    assert not np.isfinite(found[-1])
