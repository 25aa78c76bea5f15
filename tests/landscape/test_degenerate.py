"""Points at which gradient and Hessian both vanish: a kind with an open index, and no exception."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.errors import ConvergenceWarning
from support.risk_cases import draw


class Point(nn.Module):
    def __init__(self, *coordinates: float) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(coordinates, dtype=torch.float64))


def on(function: Callable[[Tensor], Tensor], *coordinates: float) -> hs.EmpiricalRisk:
    def closure(model: Any) -> Tensor:
        return function(model.p)

    return hs.EmpiricalRisk.from_closure(Point(*coordinates), closure)


def search(risk: hs.EmpiricalRisk, method: str, **arguments: Any) -> hs.CriticalPoint:
    if method == "saddle":
        arguments.setdefault("index", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return hs.find_critical_point(risk, method=method, **arguments)


METHODS = ("levenberg-marquardt", "newton-mr", "gradient-norm", "saddle")
VANISHING: dict[str, Callable[[Tensor], Tensor]] = {
    "monkey saddle": lambda p: p[0] ** 3 - 3 * p[0] * p[1] ** 2,
    "inflection": lambda p: (p**3).sum(),
    "valleys that cross": lambda p: p[0] ** 2 * p[1] ** 2,
    "minimum of order four": lambda p: (p**4).sum(),
    "maximum of order four": lambda p: -(p**4).sum(),
    "minimum of order six": lambda p: p.square().sum() ** 3,
    "saddle of order six": lambda p: p[0] ** 5 * p[1],
    "constant": lambda p: 3 + 0 * p.sum(),
    "twice differentiable": lambda p: p.abs().pow(3).sum(),
    "cancelled curvature": lambda p: (torch.cos(p) - 1 + p.square() / 2).sum(),
}


@pytest.mark.sampled
@pytest.mark.parametrize(
    "method", [METHODS[0], *(pytest.param(one, marks=pytest.mark.slow) for one in METHODS[1:])]
)
@pytest.mark.parametrize("name", VANISHING)
def test_no_class_without_curvature(name: str, method: str) -> None:
    found = search(on(VANISHING[name], 0.0, 0.0), method)
    assert found.kind == "unconverged"
    assert (found.index.lower, found.index.upper) == (0, 2)
    assert found.certificate.reason


@pytest.mark.parametrize("unit", [1e-12, 1e12])
@pytest.mark.parametrize("name", ["monkey saddle", "minimum of order six", "constant"])
def test_nor_in_other_units(name: str, unit: float) -> None:
    function = VANISHING[name]
    found = search(on(lambda p: function(p / unit), 0.0, 0.0), "levenberg-marquardt")
    assert found.kind == "unconverged"
    assert not found.index.exact


@pytest.mark.parametrize("method", METHODS[:2])
@pytest.mark.parametrize("name", ["monkey saddle", "minimum of order six"])
def test_a_ridge_decides(name: str, method: str) -> None:
    """Control: with curvature the same points have a class."""
    found = search(on(VANISHING[name], 0.0, 0.0), method, ridge=1e-2)
    assert found.kind == "critical"
    assert found.index.exact
    assert found.index == 0


@pytest.mark.sampled
@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("method", METHODS)
def test_the_origin_of_a_linear_network(depth: int, method: str) -> None:
    """A strict saddle with two layers, of index rank(Y X^T); degenerate with more."""
    layers = [nn.Linear(3, 3, bias=False).double() for _ in range(depth)]
    for layer in layers:
        nn.init.zeros_(layer.weight)
    risk = hs.EmpiricalRisk(
        nn.Sequential(*layers),
        hs.SquaredError(0.5, reduction="mean"),
        (draw(20, 3, seed=1), draw(20, 3, seed=2)),
    )
    found = search(risk, method, **({"index": 9} if method == "saddle" else {}))
    if depth == 2:
        assert found.kind == "critical"
        assert found.index == 9
        assert found.index.exact
    else:
        assert found.kind == "unconverged"
        assert (found.index.lower, found.index.upper) == (0, risk.dim)


def test_positive_definite_everywhere_and_no_minimiser() -> None:
    """The printed class of functions with one minimiser: the exponential function has none."""
    risk = on(lambda p: torch.exp(p).sum(), 0.0)
    for x in np.linspace(-30, 30, 13):
        there = risk.at(torch.tensor([x], dtype=torch.float64))
        assert float(hs.Hessian(there, check=False).dense()) > 0
    found = search(risk, "levenberg-marquardt")
    assert found.kind == "diverging"
    assert float(found.theta) < -20


def test_semidefinite_at_the_only_minimiser() -> None:
    """The printed class of functions with many minimisers: the fourth power has one."""
    risk = on(lambda p: (p**4).sum(), 0.0)
    assert float(hs.Hessian(risk).dense()) == 0
    beside = [risk.at(torch.tensor([x], dtype=torch.float64)).value() for x in (-1e-3, 1e-3)]
    assert min(beside) > 0 == risk.value()
    assert search(risk, "levenberg-marquardt").kind == "unconverged"


def test_no_index_where_the_hessian_jumps() -> None:
    found = search(on(lambda p: p.abs().sum() + p.square().sum(), 0.0, 0.0), "newton-mr")
    assert found.kind == "unconverged"
    assert (found.index.lower, found.index.upper) == (0, 2)
