"""Radii against formulas in closed form, and the two checks of the quadratic model."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

import hessium as hs
from support.posterior_cases import Scalars
from support.risk_cases import draw, seeded

X = torch.ones(1, 1, dtype=torch.float64)


def test_a_linear_model_holds_everywhere() -> None:
    model = seeded(nn.Linear(3, 2))
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (draw(9, 3), draw(9, 2, seed=3)))
    found = hs.trust_radius(risk, k=2)
    assert len(found.labels) == 4
    assert np.isinf(found.first_order).all()
    assert np.isinf(found.quadratic).all()
    np.testing.assert_allclose(found.curvature_ratio, 0.0, atol=1e-9)
    with pytest.raises(ValueError, match="standard deviations"):
        _ = found.valid
    post = hs.GaussNewtonPosterior(risk, noise=0.1)
    far = post.trust_radius()
    assert far.has_nominal_coverage.all()  # of a linear model the intervals cover what they say
    assert not far.valid  # but their centre is that of the minimum, 33 standard deviations away
    fitted = hs.EmpiricalRisk(model, hs.SquaredError(), (draw(9, 3), model(draw(9, 3)).detach()))
    assert hs.GaussNewtonPosterior(fitted, noise=0.1).trust_radius().valid


def test_the_radius_of_a_square_is_that_of_its_formula() -> None:
    # f = a^2 at a = 1: f(1 + t) - f(1) = 2 t + t^2; the error t^2 over the larger of true and
    # predicted change is t / 2 on the side where the change is 2 t (1 + t / 2) < 2 t
    model = Scalars(lambda x, p: p["a"] ** 2 * x, a=1.0)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (X, X))
    direction = torch.ones(1, 1, dtype=torch.float64)
    for within in (0.1, 0.3):
        found = hs.trust_radius(risk, direction, within)
        assert 2 * within * 0.94 <= found.first_order[0] <= 2 * within
    # L = (a^2 - 1)^2 = 4 t^2 + 4 t^3 + t^4: the quadratic model is off by t + t^2 / 4
    exact = 2 * (math.sqrt(1.1) - 1)
    found = hs.trust_radius(risk, direction, 0.1)
    assert exact * 0.94 <= found.quadratic[0] <= exact * 1.001
    assert found.curvature_ratio[0] == pytest.approx(0.0, abs=1e-12)  # no residual
    assert "off by 10 %" in repr(found)


def test_the_residual_part_shows_in_the_ratio() -> None:
    # H0 = 2 (2 a)^2, H1 = 2 (f - y) 2
    model = Scalars(lambda x, p: p["a"] ** 2 * x, a=1.0)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (X, 1.5 * X))
    found = hs.trust_radius(risk, torch.ones(1, 1, dtype=torch.float64))
    assert found.curvature_ratio[0] == pytest.approx(-2.0 / 8.0)


def test_radii_of_a_posterior_are_in_standard_deviations_and_judge_it() -> None:
    model = Scalars(lambda x, p: p["a"] ** 2 * x, a=1.0)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (X, X))
    for noise, believed in ((0.02, True), (2.5, False)):
        post = hs.GaussNewtonPosterior(risk, noise=noise)
        found = post.trust_radius(["a"], k=0, random=0)
        std = noise / 2
        assert found.first_order[0] == pytest.approx(0.2 / std, rel=0.07)
        assert found.needed.tolist() == pytest.approx([1.96], rel=1e-3)
        assert found.valid is believed
        assert ("may be believed" in repr(found)) is believed
        profile = post.profile_likelihood("a")
        assert profile.valid is believed
        # deviance ((1 + t std)^2 - 1)^2 / noise^2
        t = profile.at * std
        np.testing.assert_allclose(
            profile.deviance, ((1 + t) ** 2 - 1) ** 2 / noise**2, rtol=1e-6, atol=1e-8
        )
        assert ("may be believed" in repr(profile)) is believed


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.2, 0.5])
def test_coverage_of_one_parameter_is_that_of_its_estimates(noise: float) -> None:
    """f = a^2 at the truth a = 1: the estimate is sqrt(y), its error noise / (2 sqrt(y))."""
    model = Scalars(lambda x, p: p["a"] ** 2 * x, a=1.0)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (X, X))
    found = hs.GaussNewtonPosterior(risk, noise=noise).trust_radius(["a"], k=0, random=0)
    z = scipy.stats.norm.ppf(0.975)

    def sides(truth: float) -> tuple[float, float]:
        # a (a - truth) = +- z noise / 2 at estimates whose intervals just miss the truth
        high = (truth + math.sqrt(truth**2 + 2 * z * noise)) / 2
        below = float(scipy.stats.norm.sf((high**2 - truth**2) / noise))
        if (root := truth**2 - 2 * z * noise) <= 0:
            return below, 0.0
        ends = (truth + math.sqrt(root)) / 2, (truth - math.sqrt(root)) / 2
        low, lower = ((end**2 - truth**2) / noise for end in ends)
        return below, float(scipy.stats.norm.cdf(low) - scipy.stats.norm.cdf(lower))

    below, above = sides(1.0)
    assert found.misses[0, 0] == pytest.approx(below, rel=0.02)
    assert found.misses[0, 1] == pytest.approx(above, rel=0.02, abs=1e-4)
    assert found.coverage[0] == pytest.approx(1 - below - above, abs=1e-3)
    # truths at the ends of the interval of 90 %, half way, and at the estimate
    roots = scipy.stats.norm.ppf(0.95) * np.linspace(-1, 1, 5)
    known = [1 - sum(sides(math.sqrt(1 + noise * u))) for u in roots]
    np.testing.assert_allclose(found.coverage_range[0], (min(known), max(known)), atol=2e-3)
    assert found.valid is bool(min(known) >= 0.93 and max(known) <= 0.98)
    if noise < 0.3:  # the same by draws of y; below that the parameter may vanish
        y = 1 + noise * np.random.default_rng(0).standard_normal(100_000)
        a = np.sqrt(np.maximum(y, 1e-12))
        share = np.mean(np.abs(a - 1) <= z * noise / (2 * a))
        # five standard errors: 1 false alarm in 10^6
        assert found.coverage[0] == pytest.approx(share, abs=5 * 0.0007)


def test_nuisance_parameters_are_refitted_at_the_ends() -> None:
    x = torch.linspace(0, 2, 8, dtype=torch.float64)[:, None]
    model = Scalars(lambda x, p: p["a"] * torch.exp(-p["b"] * x), a=2.0, b=1.5)
    y = model(x).detach()
    post = hs.GaussNewtonPosterior(hs.EmpiricalRisk(model, hs.SquaredError(), (x, y)), noise=0.05)
    found = post.trust_radius(["b"], k=0, random=0)
    std = post.parameter_std(["b"])[0]
    for side, sign in enumerate((-1, 1)):
        basis = np.exp(-(1.5 + sign * 1.959964 * std) * x.numpy()[:, 0])
        a = basis @ y.numpy()[:, 0] / (basis @ basis)  # the best a for this b
        deviance = float(((a * basis - y.numpy()[:, 0]) ** 2).sum()) / 0.05**2
        assert found.misses[0, side] == pytest.approx(
            float(scipy.stats.norm.sf(deviance**0.5)), rel=0.02
        )
    assert found.valid


def test_curvature_that_other_parameters_make_up_for_is_no_reason_to_warn() -> None:
    """In b = log c the outputs are the same, so the interval of a is; only the radius moves."""
    x = torch.linspace(0, 1, 6, dtype=torch.float64)[:, None]
    model = Scalars(lambda x, p: p["a"] + torch.exp(p["b"]) * x, a=1.0, b=0.0)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, model(x).detach()))
    post = hs.GaussNewtonPosterior(risk, noise=0.3)
    found = post.trust_radius(["a"], k=0, random=0)
    assert found.first_order[0] < 1.0
    assert found.coverage[0] == pytest.approx(0.95, abs=0.005)
    assert found.valid
    assert not post.with_prior(0.0, noise=0.6).trust_radius(["b"], k=0, random=0).valid


def test_a_profile_refits_the_other_parameters() -> None:
    x = torch.linspace(0, 2, 8, dtype=torch.float64)[:, None]
    model = Scalars(lambda x, p: p["a"] * torch.exp(-p["b"] * x), a=2.0, b=1.5)
    y = model(x).detach()
    post = hs.GaussNewtonPosterior(hs.EmpiricalRisk(model, hs.SquaredError(), (x, y)), noise=0.05)
    profile = post.profile_likelihood("b")
    assert profile.converged.all()
    for at, deviance in zip(profile.at, profile.deviance, strict=True):
        b = 1.5 + at * profile.std
        basis = np.exp(-b * x.numpy()[:, 0])
        # the best a for this b
        a = basis @ y.numpy()[:, 0] / (basis @ basis)
        expected = float(((a * basis - y.numpy()[:, 0]) ** 2).sum()) / 0.05**2
        assert deviance == pytest.approx(expected, rel=1e-3, abs=1e-4)
    # with the others fixed the deviance would be larger
    fixed = ((2.0 * np.exp(-b * x.numpy()) - y.numpy()) ** 2).sum() / 0.05**2
    at = profile.at.tolist().index(profile.reach)
    b = 1.5 + profile.reach * profile.std
    fixed = ((2.0 * np.exp(-b * x.numpy()) - y.numpy()) ** 2).sum() / 0.05**2
    assert profile.deviance[at] < 0.9 * fixed
    assert profile.to_dataframe().shape == (len(profile.at), 5)


def test_a_profile_goes_on_until_the_likelihood_bounds_the_interval() -> None:
    """f = 1 - exp(-a): the deviance at +2 standard deviations is far below 4, at -2 far above."""
    model = Scalars(lambda x, p: (1 - torch.exp(-p["a"])) * x, a=1.0)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (X, model(X).detach()))
    for noise, more in ((1e-3, 0), (0.05, 3)):
        post = hs.GaussNewtonPosterior(risk, noise=noise)
        profile = post.profile_likelihood("a")
        assert profile.reach == pytest.approx(1.96, abs=1e-3)
        assert len(profile.at) == 4 + more
        assert profile.confidence == pytest.approx(0.95)
        # 1 - exp(-a) is between these for y = 1 - exp(-1)
        z, y = 1.959964, 1 - math.exp(-1)
        exact = -np.log(1 - (y + z * noise * np.array([-1, 1])))
        np.testing.assert_allclose(profile.interval(), exact, rtol=1e-4)
        # the interval that is judged is the same as that of trust_radius
        trust = post.trust_radius(["a"], k=0, random=0)
        assert profile.coverage == pytest.approx(trust.coverage[0], abs=1e-3)
    wide = hs.GaussNewtonPosterior(risk, noise=0.25).profile_likelihood("a")  # 1 - y < 2 noise
    assert wide.at.max() > 2 * wide.reach
    with pytest.raises(ValueError, match="above the estimate"):
        wide.interval()


def test_a_profile_counts_the_prior() -> None:
    model = Scalars(lambda x, p: p["a"] + p["b"] * x, a=0.0, b=0.0)
    x = torch.linspace(0, 1, 5, dtype=torch.float64)[:, None]
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, 0 * x))
    post = hs.GaussNewtonPosterior(risk, noise=0.5, prior_precision=3.0)
    profile = post.profile_likelihood("b")
    # a linear model with a Gaussian prior: the quadratic model is exact
    np.testing.assert_allclose(profile.deviance, profile.predicted, rtol=1e-6)
    assert profile.shift == pytest.approx(0.0, abs=1e-12)
    assert profile.valid


def test_a_risk_that_is_not_at_its_minimum_is_not_believed() -> None:
    model = Scalars(lambda x, p: p["a"] + p["b"] * x, a=0.5, b=0.0)
    x = torch.linspace(0, 1, 5, dtype=torch.float64)[:, None]
    post = hs.GaussNewtonPosterior(
        hs.EmpiricalRisk(model, hs.SquaredError(), (x, 0 * x)), noise=0.5
    )
    profile = post.profile_likelihood("a")
    assert profile.value == pytest.approx(0.0, abs=1e-6)
    assert profile.shift == pytest.approx(-0.5 / profile.std, rel=1e-5)
    assert not profile.valid
    assert "away" in repr(profile)


def test_bad_input_of_the_checks() -> None:
    model = Scalars(lambda x, p: p["b"] * p["c"] * x, b=1.0, c=2.0)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (X, X))
    post = hs.GaussNewtonPosterior(risk, noise=0.1)
    with pytest.raises(ValueError, match="b is undetermined"):
        post.profile_likelihood("b")
    with pytest.raises(ValueError, match="index: 3"):
        post.profile_likelihood("b", index=3)
    with pytest.raises(ValueError, match="directions"):
        hs.trust_radius(risk, torch.ones(5, dtype=torch.float64))
    with pytest.raises(ValueError, match="within"):
        hs.trust_radius(risk, within=1.5)
    with pytest.raises(ValueError, match="directions: none"):
        hs.trust_radius(risk, [])
    with pytest.raises(ValueError, match="column is zero"):
        hs.trust_radius(risk, torch.zeros(2, 1, dtype=torch.float64))
    with pytest.raises(ValueError, match="several parameters"):
        post.profile_likelihood("*")
