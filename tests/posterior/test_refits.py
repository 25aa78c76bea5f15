"""Refits that have not converged, that find a lower minimum, or that the budget ends."""

from __future__ import annotations

import math

import pytest
import torch

import hessium as hs
from support.posterior_cases import Scalars


def rosenbrock(a: float, b: float) -> hs.GaussNewtonPosterior:
    """Residuals 1 - a and 100 (b - a^2): the minimum is a = b = 1, along a curved valley."""
    model = Scalars(
        lambda x, p: torch.cat([1 - p["a"] + 0 * x, 100 * (p["b"] - p["a"] ** 2) + 0 * x], dim=1),
        a=a, b=b,
    )  # fmt: skip
    data = (torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64))
    return hs.GaussNewtonPosterior(hs.EmpiricalRisk(model, hs.SquaredError(), data), noise=1.0)


def test_the_minimum_at_the_end_of_a_curved_valley_is_found() -> None:
    """Every Gauss-Newton step needs much damping, and the first refit ends too early."""
    found = rosenbrock(-1.2, 1.0).profile_likelihood("a")
    assert found.minimum_found
    assert found.value == pytest.approx(1.0, abs=math.sqrt(2 * 2e-3))
    # with b refitted the deviance is that of 1 - a
    assert found.deviance == pytest.approx(found.at**2, rel=0.15)
    assert not found.valid  # the parameters of the risk are 2.2 standard deviations away


@pytest.mark.parametrize("budget", [1, 10, 40])
def test_a_minimum_that_the_budget_does_not_reach_is_not_one(budget: int) -> None:
    found = rosenbrock(-1.2, 1.0).profile_likelihood("a", budget=budget)
    assert not found.minimum_found
    assert not found.valid
    assert found.exhausted
    assert found.steps == budget
    assert "has not converged to a minimum" in repr(found)
    assert f"({budget} factorisations, the budget, are used up)" in repr(found)
    assert all(map(math.isnan, found.ends()))
    with pytest.raises(ValueError, match="found no minimum"):
        found.interval()


def test_a_lower_minimum_within_the_interval_is_taken() -> None:
    """A double well, (a^2 - 1, 0.3 (a - 1)): from its upper minimum a refit reaches the other."""
    model = Scalars(
        lambda x, p: torch.cat([p["a"] ** 2 - 1 + 0 * x, 0.3 * (p["a"] - 1) + 0 * x], dim=1),
        a=-0.9525,
    )
    data = (torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64))
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), data)
    found = hs.GaussNewtonPosterior(risk, noise=2.0).profile_likelihood("a")
    assert found.minimum_found
    assert found.value == pytest.approx(1.0, abs=1e-2)
    assert found.deviance.min() > -5e-3
    assert not found.valid


def test_directions_share_the_budget_of_a_trust_radius() -> None:
    times = torch.linspace(0, 3, 8, dtype=torch.float64)[:, None]
    model = Scalars(lambda x, p: p["a"] * torch.exp(-p["b"] * x) + p["c"], a=2.0, b=1.5, c=0.5)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (times, model(times).detach()))
    post = hs.GaussNewtonPosterior(risk, noise=1.0)
    free = post.trust_radius(["a", "b", "c"], k=0, random=0)
    assert free.steps > 6
    assert not free.exhausted
    assert "budget" not in repr(free)
    few = post.trust_radius(["a", "b", "c"], k=0, random=0, budget=6)
    assert few.exhausted
    assert few.steps <= 6
    assert not few.valid
    assert f"ended after {few.steps} factorisations, the budget" in repr(few)
    with pytest.raises(ValueError, match="budget: 0"):
        post.trust_radius(budget=0)


def test_a_refit_that_chords_do_not_end_is_ended_by_new_factorisations() -> None:
    """Near the minimum of the valley all converges; far from it another minimum is not taken."""
    near = rosenbrock(0.9, 0.81 + 1e-3).trust_radius(["a"], k=0, random=0)
    assert near.converged.all()
    assert near.steps > 0
    # with b refitted the deviance is that of 1 - a
    assert near.coverage[0] == pytest.approx(0.95, abs=0.02)
    far = rosenbrock(-1.2, 1.0).trust_radius(["a"], k=0, random=0)
    assert not far.converged.any()
    assert not far.valid
