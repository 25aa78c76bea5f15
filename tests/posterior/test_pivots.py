"""Coverage from signed roots and slopes, against closed forms and draws."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.posterior.pivots import Point, believed, point_of, root_at, root_by_search
from support.posterior_cases import Scalars

T = 1.96


def exponential(s: float, sign: float, distance: float) -> Point:
    """The root of exp(psi) with standard deviation s: h = (exp(s x) - 1) / s."""
    x = sign * distance
    h = (math.exp(s * x) - 1) / s
    return point_of(distance, h**2, sign * h * math.exp(s * x))


@pytest.mark.parametrize("s", [0.01, 0.1, 0.3])
def test_roots_at_misses_are_those_of_an_exponential(s: float) -> None:
    for sign in (-1.0, 1.0):
        found, converged = root_by_search(partial(exponential, s, sign), T)
        assert converged
        # x exp(s x) = +- T
        inside = np.linspace(0, 2 * T, 200_001)
        reached = np.flatnonzero(inside * np.exp(sign * s * inside) >= T)
        if reached.size:
            x = sign * inside[reached[0]]
            assert found == pytest.approx(abs(math.exp(s * x) - 1) / s, rel=0.01)
        else:
            assert math.isinf(found)


def test_a_line_needs_one_refit_and_failures_count_within_the_interval_only() -> None:
    asked: list[float] = []

    def line(x: float) -> Point:
        asked.append(x)
        return point_of(x, x**2, x)

    assert root_by_search(line, T)[0] == pytest.approx(T)
    assert asked == [T]
    assert root_by_search(lambda _: None, T)[1] is False
    # w stays below T until the refits fail: no interval misses there
    found = root_by_search(lambda x: Point(x, x / 4, x / 4) if x <= T else None, T)
    assert found == (math.inf, True)
    assert math.isinf(root_at([], T))


def test_the_rule_of_belief() -> None:
    sides = np.array([[0.025, 0.025], [0.05, 0.0], [0.06, 0.02], [0.0, 0.005], [np.nan, 0.02]])
    assert believed(sides, 0.05).tolist() == [True, True, False, False, False]


def measured(b: float, s: float) -> hs.EmpiricalRisk:
    """Decay with a rate exp(s): at s = -40 the rate has no effect."""
    t = torch.linspace(0, 2, 9, dtype=torch.float64)[:, None]
    model = Scalars(lambda x, p: p["b"] * torch.exp(-torch.exp(p["s"]) * x), b=b, s=s)
    return hs.EmpiricalRisk(model, hs.SquaredError(), (t, model(t).detach()))


def test_a_parameter_that_ran_off_is_found_and_a_product_is_not() -> None:
    found = hs.GaussNewtonPosterior(measured(2.0, -40.0), noise=0.02).trust_radius(k=0, random=0)
    assert found.bounded == ("s",)
    assert found.trusted.all()
    assert not found.believable
    assert "without effect at the estimate" in repr(found)
    x = torch.linspace(0, 1, 5, dtype=torch.float64)[:, None]
    model = Scalars(lambda x, p: p["b"] * p["c"] * x, b=2.0, c=3.0)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, model(x).detach()))
    product = hs.GaussNewtonPosterior(risk, noise=0.02).trust_radius(k=1, random=0)
    assert product.bounded == ()
    assert product.believable


def test_the_interval_of_refits_is_that_of_the_likelihood() -> None:
    """f = exp(a) at a = 0: the deviance is ((exp(a) - 1) / noise)^2."""
    model = Scalars(lambda x, p: torch.exp(p["a"]) * x, a=0.0)
    x = torch.ones(1, 1, dtype=torch.float64)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, x))
    profile = hs.GaussNewtonPosterior(risk, noise=0.2).profile_likelihood("a")
    for confidence in (0.5, 0.9, 0.95):
        z = scipy.stats.norm.isf((1 - confidence) / 2)
        exact = np.log1p(np.array([-z, z]) * 0.2)
        np.testing.assert_allclose(profile.interval(confidence), exact, rtol=0.015)
    with pytest.raises(ValueError, match="larger distances at="):
        profile.interval(0.999999)
    with pytest.raises(ValueError, match="confidence"):
        profile.interval(1.5)
    one_side = hs.GaussNewtonPosterior(risk, noise=0.02).profile_likelihood("a", at=(1.0, 2.0))
    assert one_side.believable
    with pytest.raises(ValueError, match="below the estimate reach 0"):
        one_side.interval()


def test_a_model_that_fails_far_away_ends_a_refit() -> None:
    """A matrix that is singular beyond a = 1.5: the refit has not converged, and no more."""

    def solve(x: Tensor, p: dict[str, nn.Parameter]) -> Tensor:
        a = p["a"]
        if float(a.detach()) > 1.5:
            x = torch.linalg.inv(torch.zeros(1, 1, dtype=torch.float64))
        return a * x

    x = torch.ones(3, 1, dtype=torch.float64)
    risk = hs.EmpiricalRisk(Scalars(solve, a=1.0), hs.SquaredError(), (x, x))
    found = hs.GaussNewtonPosterior(risk, noise=1.0).trust_radius(["a"], k=0, random=0)
    assert not found.converged.any()
    assert not found.believable
    assert "do not converge" in repr(found)
