"""Coverage from signed roots and slopes, against closed forms and draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.posterior.pivots import (
    Point,
    SignedRoot,
    believed,
    coverages,
    crossing,
    point_of,
    signed_root,
)
from support.posterior_cases import Scalars

T, Z = 1.96, 1.645
NORMAL = scipy.stats.norm


def exponential(s: float, distance: float) -> Point:
    """The root of exp(psi) with standard deviation s: h = (exp(s x) - 1) / s."""
    h = (math.exp(s * distance) - 1) / s
    slope = math.exp(s * distance)
    return point_of(abs(distance), h**2, math.copysign(h * slope, abs(distance)))


@pytest.mark.parametrize("s", [0.005, 0.05, 0.15])
def test_coverage_of_an_exponential_is_that_of_its_draws(s: float) -> None:
    curve, converged = signed_root(lambda x: exponential(s, x), T, Z)
    assert converged
    # in units of the standard deviation: the data u ~ N(u0, 1), x = log(1 + s u) / s
    misses, coverage_range = coverages(curve, T, Z, NORMAL)
    fine = np.linspace(-6, 6, 400_001)
    known = []
    for truth in Z * np.array([-1, -0.5, 0, 0.5, 1]):
        u = truth + fine[1 + s * (truth + fine) > 0]
        mass = NORMAL.pdf(u - truth) * (fine[1] - fine[0])
        gap = np.log((1 + s * u) / (1 + s * truth)) / s * (1 + s * u)
        known.append((mass[gap > T].sum(), mass[gap < -T].sum()))
    np.testing.assert_allclose(misses, known[2], atol=4e-4)
    total = 1 - np.sum(known, axis=1)
    np.testing.assert_allclose(coverage_range, (total.min(), total.max()), atol=2e-3)


def test_a_line_needs_two_refits_and_failures_count_within_the_interval_only() -> None:
    asked: list[float] = []

    def line(x: float) -> Point:
        asked.append(x)
        return point_of(abs(x), x**2, abs(x))

    curve, converged = signed_root(line, T, Z)
    assert converged
    assert asked == [-T, T]
    misses, coverage_range = coverages(curve, T, Z, NORMAL)
    np.testing.assert_allclose(misses, NORMAL.sf(T), rtol=1e-3)
    np.testing.assert_allclose(coverage_range, 1 - 2 * NORMAL.sf(T), atol=1e-4)
    assert signed_root(lambda _: None, T, Z)[1] is False
    assert signed_root(lambda x: line(x) if x > 0 else None, T, Z)[1] is False

    def fails(x: float) -> Point | None:
        return Point(abs(x), abs(x) * 0.9, abs(x) * 0.7) if abs(x) <= T else None

    curve, converged = signed_root(fails, T, Z)
    assert converged
    assert curve.misses(np.zeros(1), T, NORMAL).max() == 0.0  # w falls


def test_a_truth_that_the_likelihood_does_not_bound_is_not_believed() -> None:
    """h = tanh(x): the deviance stays below 1, so the interval of 90 % has no ends."""

    def bounded(x: float) -> Point:
        h = math.tanh(x)
        return point_of(abs(x), h**2, abs(h) * (1 - h**2))

    curve, converged = signed_root(bounded, T, Z)
    assert converged
    misses, coverage_range = coverages(curve, T, Z, NORMAL)
    assert misses.tolist() == [0.0, 0.0]
    assert np.isnan(coverage_range).all()
    assert not believed(coverage_range, 0.95).any()


def test_a_root_that_falls_ends_the_curve() -> None:
    """A second minimum farther away is none of the refits of this one."""
    points = [Point(1.0, 1.0, 1.0), Point(2.0, 1.9, 1.8), Point(3.0, 0.5, 0.0)]
    ended, whole = SignedRoot(points, points), SignedRoot(points[:2], points[:2])
    at = np.array([0.0, 1.0])
    np.testing.assert_array_equal(ended.misses(at, T, NORMAL), whole.misses(at, T, NORMAL))
    beyond = Point(3.0, math.inf, math.nan)
    same = SignedRoot([*points[:2], beyond], points[:2])
    np.testing.assert_array_equal(same.misses(at, T, NORMAL), whole.misses(at, T, NORMAL))


def test_the_rule_of_belief() -> None:
    covers = np.array([0.929, 0.931, 0.979, 0.981, 1.0, np.nan])
    assert believed(covers, 0.95).tolist() == [False, True, True, False, False, False]


def measured(b: float, s: float) -> hs.EmpiricalRisk:
    """Decay with a rate exp(s): at s = -40 the rate has no effect."""
    t = torch.linspace(0, 2, 9, dtype=torch.float64)[:, None]
    model = Scalars(lambda x, p: p["b"] * torch.exp(-torch.exp(p["s"]) * x), b=b, s=s)
    return hs.EmpiricalRisk(model, hs.SquaredError(), (t, model(t).detach()))


def test_a_parameter_that_ran_off_is_found_and_a_product_is_not() -> None:
    found = hs.GaussNewtonPosterior(measured(2.0, -40.0), noise=0.02).trust_radius(k=0, random=0)
    assert found.bounded == ("s",)
    assert found.has_nominal_coverage.all()
    assert not found.valid
    assert "without effect at the estimate" in repr(found)
    x = torch.linspace(0, 1, 5, dtype=torch.float64)[:, None]
    model = Scalars(lambda x, p: p["b"] * p["c"] * x, b=2.0, c=3.0)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, model(x).detach()))
    product = hs.GaussNewtonPosterior(risk, noise=0.02).trust_radius(k=1, random=0)
    assert product.bounded == ()
    assert product.valid


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
    np.testing.assert_allclose(profile.interval(0.95), exact, rtol=1e-4)  # a refit is there
    with pytest.raises(ValueError, match="larger distances at="):
        profile.interval(0.999999)
    with pytest.raises(ValueError, match="confidence"):
        profile.interval(1.5)
    one_side = hs.GaussNewtonPosterior(risk, noise=0.02).profile_likelihood("a", at=(1.0, 2.0))
    assert one_side.valid
    with pytest.raises(ValueError, match="below the estimate reach 0"):
        one_side.interval()


def test_an_interval_that_ends_at_a_refit() -> None:
    """Rounding may put the cubic through a refit a little below its root: no crossing is left."""
    rng = np.random.default_rng(0)
    for level, bend in zip(rng.uniform(1.9, 2.1, 200), rng.uniform(0.9, 1.1, 200), strict=True):
        points = [Point(level / 2, bend * level / 2, level / 2), Point(level, level, level)]
        assert crossing(points, float(level)) == pytest.approx(level, rel=1e-9)


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
    assert not found.valid
    assert "do not converge" in repr(found)


def test_both_ends_of_a_crooked_interval_are_those_of_the_likelihood() -> None:
    """a x / (b + x) with two of seven samples near saturation: the interval of b is 0.54 to 3.53.

    Oracle: the deviance with a eliminated, and its roots. Without refits at the ends the lower one
    is off by 3 % and the coverage by one point.
    """
    x = np.linspace(0.2, 3, 7)
    y = 2 * x / (1 + x) + 0.08 * np.random.default_rng(2).standard_normal(7)

    def rss(b: float) -> float:
        base = x / (b + x)
        return float(np.square(base * (base @ y) / (base @ base) - y).sum())

    best = scipy.optimize.minimize_scalar(rss, bounds=(0.3, 4), options={"xatol": 1e-12})
    base = x / (best.x + x)
    model = Scalars(
        lambda x, p: p["a"] * x / (p["b"] + x), a=float(base @ y / (base @ base)), b=best.x
    )
    data = tuple(torch.from_numpy(one)[:, None] for one in (x, y))
    post = hs.GaussNewtonPosterior(hs.EmpiricalRisk(model, hs.SquaredError(), data))
    profile = post.profile_likelihood("b")
    level = scipy.stats.t.ppf(0.975, 5) ** 2 * best.fun / 5
    exact = [
        scipy.optimize.brentq(lambda b: rss(b) - best.fun - level, *ends)
        for ends in ((0.2, best.x), (best.x, 9.0))
    ]
    np.testing.assert_allclose(profile.interval(), exact, rtol=1e-3)
    np.testing.assert_allclose(
        post.trust_radius(["b"], k=0, random=0).coverage[0], 0.937, atol=2e-3
    )
