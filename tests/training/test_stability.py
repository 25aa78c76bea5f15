"""Thresholds and preconditioners, against runs of the optimisers themselves on a parabola."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn, optim

import hessium as hs
from hessium.errors import InputError
from hessium.training.stability import preconditioner_of, rule_of, unwrapped

LATE = torch.tensor(1e12)  # steps: no bias correction is left

# optimiser, and the state that holds its preconditioner fixed
CASES: dict[str, tuple[Callable[[Any], optim.Optimizer], dict[str, float]]] = {
    "sgd": (lambda p: optim.SGD(p, 0.1), {}),
    "decay": (lambda p: optim.SGD(p, 0.1, weight_decay=2.0), {}),
    "momentum": (lambda p: optim.SGD(p, 0.1, momentum=0.8, weight_decay=1.0), {}),
    "dampening": (lambda p: optim.SGD(p, 0.1, momentum=0.8, dampening=0.3), {}),
    "nesterov": (lambda p: optim.SGD(p, 0.1, momentum=0.8, nesterov=True), {}),
    "adam": (lambda p: optim.Adam(p, 0.1, betas=(0.9, 1 - 1e-10)), {"exp_avg_sq": 4.0}),
    "adam and decay": (
        lambda p: optim.Adam(p, 0.1, betas=(0.5, 1 - 1e-10), weight_decay=3.0),
        {"exp_avg_sq": 4.0},
    ),
    "adamw": (
        lambda p: optim.AdamW(p, 0.1, betas=(0.9, 1 - 1e-10), weight_decay=5.0),
        {"exp_avg_sq": 4.0},
    ),
    "amsgrad": (
        lambda p: optim.Adam(p, 0.1, betas=(0.9, 1 - 1e-10), amsgrad=True),
        {"exp_avg_sq": 1.0, "max_exp_avg_sq": 9.0},
    ),
    "rmsprop": (lambda p: optim.RMSprop(p, 0.1, alpha=1 - 1e-12, eps=0.5), {"square_avg": 4.0}),
    "rmsprop and momentum": (
        lambda p: optim.RMSprop(p, 0.1, alpha=1 - 1e-12, momentum=0.7),
        {"square_avg": 4.0},
    ),
    "adagrad": (lambda p: optim.Adagrad(p, 0.1), {"sum": 4.0}),
}


def prepared(name: str) -> tuple[nn.Module, torch.Tensor, optim.Optimizer]:
    make, kept = CASES[name]
    model = nn.Linear(1, 1, bias=False).double()
    weight = next(model.parameters())
    with torch.no_grad():
        weight.zero_()  # so that the first step puts nothing into the buffers
    optimizer = make(model.parameters())
    (0 * weight.sum()).backward()
    optimizer.step()
    with torch.no_grad():
        weight.copy_(torch.full_like(weight, 1e-6))
    state = optimizer.state[weight]
    if "step" in state:
        state["step"] = LATE.clone()
    for key, value in kept.items():
        state[key] = torch.full_like(weight, value).detach()
    return model, weight, optimizer


def grows(name: str, curvature: float) -> bool:
    _, weight, optimizer = prepared(name)
    for _ in range(400):
        optimizer.zero_grad()
        (0.5 * curvature * weight.square()).sum().backward()
        optimizer.step()
        if float(weight.detach().abs()) > 1e-4:  # before the preconditioner notices
            return True
    return False


@pytest.mark.sampled
@pytest.mark.parametrize("name", CASES)
def test_a_parabola_diverges_just_above_the_threshold(name: str) -> None:
    model, _, optimizer = prepared(name)
    risk = hs.EmpiricalRisk.from_closure(model, lambda m: 0.5 * next(m.parameters()).square().sum())
    found = preconditioner_of(optimizer, risk.layout, dict(model.named_parameters()), risk.theta)
    assert found is not None
    limit = found.threshold_along(torch.ones(1, dtype=torch.float64))
    scale = 1.0 if found.factor is None else float(found.factor.dense()[0, 0]) ** 2
    assert not grows(name, 0.97 * limit / scale)
    assert grows(name, 1.03 * limit / scale)


def test_reading_leaves_the_state_alone() -> None:
    model = nn.Linear(2, 1)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (torch.ones(3, 2), torch.ones(3, 1)))
    optimizer = optim.Adam(model.parameters())
    named = dict(model.named_parameters())
    assert preconditioner_of(optimizer, risk.layout, named, risk.theta) is None
    assert len(optimizer.state) == 0


def test_known_thresholds() -> None:
    weight = nn.Parameter(torch.zeros(2))
    adam = optim.Adam([weight], 1e-3)
    assert rule_of(adam, adam.param_groups[0]).threshold == pytest.approx(38 / 1e-3)
    sgd = optim.SGD([weight], 0.5)
    assert rule_of(sgd, sgd.param_groups[0]).threshold == pytest.approx(2 / 0.5)


def test_bias_correction_early_in_training() -> None:
    """One step of Adam moves by the learning rate over P times the averaged gradient."""
    model = nn.Linear(3, 2).double()
    optimizer = optim.Adam(model.parameters(), 0.01, eps=1e-3)
    x = torch.randn(5, 3, dtype=torch.float64)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, torch.ones(5, 2, dtype=torch.float64)))
    for _ in range(3):
        optimizer.zero_grad()
        risk.loss.total(model(x), torch.ones(5, 2, dtype=torch.float64)).backward()
        before = [p.detach().clone() for p in model.parameters()]
        optimizer.step()
    found = preconditioner_of(optimizer, risk.layout, dict(model.named_parameters()), risk.theta)
    assert found is not None
    assert found.factor is not None
    d = torch.diagonal(found.factor.dense())
    moment = torch.cat([optimizer.state[p]["exp_avg"].reshape(-1) for p in model.parameters()])
    pairs = zip(model.parameters(), before, strict=True)
    moved = torch.cat([(p.detach() - b).reshape(-1) for p, b in pairs])
    torch.testing.assert_close(moved, -0.01 * d.square() * moment)


def test_groups_share_one_threshold() -> None:
    """Doubling the learning rate of a group scales its rows by the root of two."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    x = torch.randn(6, 2, dtype=torch.float64)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, x[:, :1]))
    groups = [
        {"params": model[0].parameters(), "lr": 0.1},
        {"params": model[2].parameters(), "lr": 0.2},
    ]
    optimizer = optim.SGD(groups, 0.1)
    scaled = hs.precondition(hs.Hessian(risk), optimizer).dense()
    d = torch.ones(risk.dim, dtype=torch.float64)
    d[risk.layout.slice("2.weight")] = d[risk.layout.slice("2.bias")] = 2**0.5
    torch.testing.assert_close(scaled, d[:, None] * hs.Hessian(risk).dense() * d)


def test_frozen_groups_and_rates_of_zero() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)).double()
    x = torch.randn(6, 2, dtype=torch.float64)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, x[:, :1]))
    half = optim.SGD(model[0].parameters(), 0.1)
    dense = hs.precondition(hs.Hessian(risk), half).dense()
    assert not dense[risk.layout.slice("1.weight")].any()
    still = optim.SGD(model.parameters(), 0.0)
    found = preconditioner_of(still, risk.layout, dict(model.named_parameters()), risk.theta)
    assert found is not None
    assert found.threshold == math.inf


@pytest.mark.skipif(not hasattr(optim, "Muon"), reason="torch without Muon")
@pytest.mark.parametrize("shape", [(3, 5), (5, 3)])
def test_muon_moves_along_its_preconditioned_momentum(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = nn.Linear(shape[1], shape[0], bias=False).double()
    optimizer = optim.Muon(model.parameters(), 0.01, weight_decay=0.0, nesterov=False, ns_steps=5)
    x = torch.randn(20, shape[1], dtype=torch.float64)
    y = torch.randn(20, shape[0], dtype=torch.float64)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, y))
    (model(x) - y).square().sum().backward()
    optimizer.step()
    found = preconditioner_of(optimizer, risk.layout, dict(model.named_parameters()), risk.theta)
    assert found is not None
    assert found.factor is not None
    buffer = optimizer.state[model.weight]["momentum_buffer"]
    update = found.factor @ (found.factor @ buffer.reshape(-1))
    left, _, right = torch.linalg.svd(buffer, full_matrices=False)
    ratio = max(1.0, shape[0] / shape[1]) ** 0.5
    torch.testing.assert_close(update.view(shape), ratio * left @ right, rtol=1e-6, atol=1e-6)


def test_bad_optimizers() -> None:
    weight = nn.Parameter(torch.zeros(2))
    with pytest.raises(InputError, match="optimizer"):
        unwrapped("adam")
    other = optim.Rprop([weight])
    with pytest.raises(InputError, match="Rprop"):
        rule_of(other, other.param_groups[0])
    up = optim.SGD([weight], 0.1, maximize=True)
    with pytest.raises(InputError, match="maximize"):
        rule_of(up, up.param_groups[0])
    model = nn.Linear(2, 1)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (torch.ones(3, 2), torch.ones(3, 1)))
    with pytest.raises(InputError, match="no state"):
        hs.precondition(hs.Hessian(risk), optim.Adam(model.parameters()))
    with pytest.raises(InputError, match="none of the parameters"):
        hs.precondition(hs.Hessian(risk), optim.SGD([weight], 0.1))
    with pytest.raises(InputError, match="op"):
        hs.precondition(hs.linalg.Diagonal(torch.ones(3)), optim.SGD(model.parameters(), 0.1))
