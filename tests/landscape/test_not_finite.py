"""Searches that leave the domain of a loss or overflow: a try ends with a kind, the next begins."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.errors import ConvergenceWarning, NonFiniteError, SelfCheckWarning
from hessium.landscape.point import KINDS
from hessium.landscape.trajectory import Stopping, Walk

Function = Callable[[Tensor], Tensor]


class Point(nn.Module):
    def __init__(self, *coordinates: float) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(coordinates, dtype=torch.float64))


def on(function: Function, *coordinates: float) -> hs.EmpiricalRisk:
    def closure(model: Any) -> Tensor:
        return function(model.p)

    return hs.EmpiricalRisk.from_closure(Point(*coordinates), closure)


def search(risk: hs.EmpiricalRisk, **arguments: Any) -> hs.CriticalPoint:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return hs.find_critical_point(risk, **arguments)


def bowl(p: Tensor) -> Tensor:
    """A minimum at zero, maxima at +-1 in every coordinate, minus infinity beyond."""
    return (p.square() / 2 - p**4 / 4).sum()


ESCAPES: dict[str, tuple[Function, tuple[float, float]]] = {
    "quartic to minus infinity": (bowl, (1.5, 1.5)),
    "cubic to minus infinity": (lambda p: (p**3 + p).sum(), (-0.5, 2.0)),
    "exponential": (lambda p: torch.exp(p).sum(), (1.0, 2.0)),
    "minus exponential": (lambda p: -torch.exp(p).sum(), (1.0, 2.0)),
    "iterated exponential": (lambda p: torch.exp(torch.exp(p)).sum(), (2.0, 3.0)),
    "linear": (lambda p: p.sum(), (0.3, 0.7)),
    "logarithm": (lambda p: torch.log(p).sum(), (0.5, 2.0)),
    "root": (lambda p: torch.sqrt(p).sum(), (0.5, 2.0)),
    "reciprocal": (lambda p: (1 / p).sum(), (0.5, 2.0)),
}


@pytest.mark.sampled
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        pytest.param({"method": "newton-mr"}, marks=pytest.mark.slow),
        pytest.param({"method": "saddle", "index": 0}, marks=pytest.mark.slow),
        pytest.param({"method": "saddle", "index": 1}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("name", ESCAPES)
def test_every_search_ends_with_a_kind(name: str, arguments: dict[str, Any]) -> None:
    function, start = ESCAPES[name]
    found = search(on(function, *start), **arguments)
    assert found.kind in KINDS
    assert bool(torch.isfinite(found.theta).all())
    # none of them has a critical point but the bowl, cubic ones none
    assert found.kind != "critical" or name == "quartic to minus infinity"


@pytest.mark.parametrize("start", [1e40, 1e51, 1e60, 1e75])
def test_squares_that_overflow_end_with_a_kind_or_an_error_of_numbers(start: float) -> None:
    """Loss and derivatives are finite there, squares of the derivatives are not all."""
    risk = on(lambda p: (p**4).sum() - p.sum(), start, start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SelfCheckWarning)  # no step for differences either
        try:
            found = search(risk)
        except NonFiniteError:
            return
    assert found.kind in KINDS
    assert bool(torch.isfinite(found.theta).all())


@pytest.mark.parametrize(
    ("function", "start", "zero"),
    [
        (lambda p: (p * torch.log(p)).sum(), 0.9, math.exp(-1)),
        (lambda p: (p - torch.sqrt(p)).sum(), 0.9, 0.25),
        (lambda p: -torch.log(1 - p.square()).sum(), 0.5, 0.0),
    ],
)
def test_zeros_inside_a_border_are_found(function: Function, start: float, zero: float) -> None:
    found = search(on(function, start, start))
    assert found.kind == "critical"
    assert float((found.theta - zero).abs().max()) < 1e-12


@pytest.mark.sampled
@pytest.mark.parametrize("method", ["levenberg-marquardt", "newton-mr", "saddle"])
@pytest.mark.parametrize(
    ("function", "first", "then"),
    [
        (bowl, 1e90, 0.1),
        (lambda p: torch.cosh(p).sum(), 900.0, 0.5),
        (lambda p: (p - torch.sqrt(p)).sum(), -1.0, 0.4),
    ],
)
def test_the_next_try_begins(function: Function, first: float, then: float, method: str) -> None:
    """The first start has no derivatives; the second is beside a critical point."""
    starts = iter([np.full(2, first), np.full(2, then)])
    found = search(
        on(function, then, then),
        start=lambda _: torch.from_numpy(next(starts)),
        method=method,
        index=0 if method == "saddle" else None,
        restarts=2,
    )
    assert found.restarts == 1
    assert found.kind == "critical"


@pytest.mark.slow
def test_a_saddle_search_that_escapes_is_diverging_and_repeated() -> None:
    tries: list[int] = []
    found = search(
        on(bowl, 1.5, 1.5, 1.5),
        method="saddle",
        index=0,
        restarts=2,
        progress=lambda done, total, what: tries.append(done) if what == "tries" else None,
    )
    assert found.kind == "diverging"
    assert tries == [0, 1, 2]


def test_no_finite_start_is_said() -> None:
    risk = on(lambda p: (p.square() - torch.log(p)).sum(), 1.0, 1.0)
    border = on(lambda p: torch.sqrt(p).sum(), 0.0, 0.0)
    with pytest.raises(NonFiniteError, match=r"start: .* not finite in 3 tries"):
        search(border, start=lambda _: torch.zeros(2).double(), restarts=2)
    # the gradient vanishes at -sqrt(1/2) as well, where there is no loss
    assert search(risk).kind == "critical"
    found = search(risk, start=-torch.ones(2).double())
    assert found.kind == "unconverged"
    assert found.spectrum is None
    assert (found.index.lower, found.index.upper) == (0, 2)
    assert "not finite" in found.certificate.reason


def test_a_walk_does_not_go_where_derivatives_are_not_finite() -> None:
    here, there = torch.zeros(2).double(), torch.ones(2).double()
    walk = Walk(here)
    assert walk.arrive(here, there, Stopping())
    assert not walk.arrive(there, torch.full((2,), torch.inf).double(), Stopping())
    assert walk.ended == "not finite"
    assert walk.theta is here
    assert len(walk.gradients) == 1


def test_a_search_that_no_longer_falls_is_stuck() -> None:
    walk = Walk(torch.zeros(1).double())
    walk.gradients = [0.9**k for k in range(41)]
    assert not walk.stalls(40)
    walk.gradients += [walk.gradients[-1]] * 40
    assert walk.stalls(40)
    assert not walk.stalls(100)
