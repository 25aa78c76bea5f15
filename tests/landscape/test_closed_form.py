from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.landscape.dead_units import dead_unit_index, with_dead_units
from hessium.landscape.find import surface_of
from hessium.landscape.objective import RiskSurface
from hessium.landscape.two_layer import TwoLayerSurface, recognise
from support.dense_reference import rows_of
from support.risk_cases import draw


def network(activation: nn.Module | None = None) -> nn.Sequential:
    middle = [activation] if activation is not None else []
    first, last = nn.Linear(4, 3, bias=False), nn.Linear(3, 2, bias=False)
    return nn.Sequential(first, *middle, last).double()


def risk_of(model: nn.Module, samples: int = 7) -> hs.EmpiricalRisk:
    x, y = draw(samples, 4, seed=1), draw(samples, 2, seed=2)
    batches = [(x[:3], y[:3]), (x[3:], y[3:])]
    return hs.EmpiricalRisk(model, hs.SquaredError(0.5, reduction="mean"), batches)


@pytest.mark.parametrize("activation", [None, nn.Identity(), nn.Tanh()])
def test_it_is_the_risk(activation: nn.Module | None) -> None:
    model = network(activation)
    risk = risk_of(model)
    surface = surface_of(risk, ridge=0.1)
    assert type(surface) is TwoLayerSurface
    theta = draw(risk.dim, seed=3)
    # the oracle: torch differentiates the model itself, row by row
    leaf = theta.clone().requires_grad_()
    first, last = (p.view(s) for p, s in zip(leaf.split([12, 6]), [(3, 4), (2, 3)], strict=True))
    hidden = draw(7, 4, seed=1) @ first.mT
    hidden = torch.tanh(hidden) if isinstance(activation, nn.Tanh) else hidden
    loss = 0.5 / 7 * (hidden @ last.mT - draw(7, 2, seed=2)).square().sum()
    value = loss + 0.05 * leaf.square().sum()
    gradient = rows_of(value.reshape(1), [leaf])[0]
    hessian = rows_of(gradient, [leaf]).detach()
    assert abs(surface.value(theta) - float(value.detach())) < 1e-14
    assert abs(surface.loss(theta) - float(loss.detach())) < 1e-14
    torch.testing.assert_close(surface.gradient(theta), gradient.detach(), atol=1e-13, rtol=0)
    torch.testing.assert_close(surface.hessian(theta), hessian, atol=1e-13, rtol=0)
    block = draw(risk.dim, 5, seed=4)
    torch.testing.assert_close(surface.operator(theta) @ block, hessian @ block, atol=1e-12, rtol=0)


def test_other_models_are_left_to_autodiff() -> None:
    biased = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    relu = network(nn.ReLU())
    frozen = network(nn.Tanh())
    frozen[0].weight.requires_grad_(False)
    for model in (biased, relu, frozen):
        assert recognise(risk_of(model), 0.0) is None
    assert type(surface_of(risk_of(biased), 0.0)) is RiskSurface


class Doubled(nn.Tanh):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def test_a_network_in_disguise_is_found_out() -> None:
    """What looks like the closed form but computes something else fails the comparison."""
    assert recognise(risk_of(network(Doubled())), 0.0) is None
    model = network(nn.Tanh())
    model.register_forward_hook(lambda module, given, out: 2 * out)
    risk = risk_of(model)
    assert recognise(risk, 0.0) is not None
    assert type(surface_of(risk, 0.0)) is RiskSurface


def test_dead_units_make_saddles_of_known_index() -> None:
    x, y = draw(24, 6, seed=5), draw(24, 6, seed=6)
    loss = hs.SquaredError(0.5, reduction="mean")

    def model(units: int) -> nn.Sequential:
        layers = nn.Linear(6, units, bias=False), nn.Tanh(), nn.Linear(units, 6, bias=False)
        return nn.Sequential(*layers).double()

    ridge = 1e-2
    risk = hs.EmpiricalRisk(model(3), loss, (x, y))
    start = 0.5 * draw(risk.dim, seed=7)
    small = hs.find_critical_point(risk, start, method="saddle", index=2, ridge=ridge, restarts=5)
    assert small.kind == "critical"
    narrow = TwoLayerSurface(x, y, 3, ridge=ridge)
    wide = hs.EmpiricalRisk(model(6), loss, (x, y))
    found = hs.find_critical_point(wide, with_dead_units(narrow, small.theta, 6), ridge=ridge)
    each = dead_unit_index(narrow, small.theta)
    assert each > 0
    assert found.kind == "critical"
    assert found.index == int(small.index) + 3 * each
    assert abs(found.loss - small.loss) < 1e-13
