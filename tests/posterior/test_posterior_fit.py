"""Noise and evidence against their definitions, and coverage with stated false-alarm rates."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

import hessium as hs
from hessium.errors import ConvergenceWarning
from support.posterior_cases import Scalars, jacobian
from support.risk_cases import draw, mlp


def linear_problem(
    samples: int, noise: float, seed: int, features: int = 4
) -> tuple[nn.Linear, torch.Tensor, torch.Tensor, np.ndarray]:
    """A least-squares fit; the truth is zero."""
    rng = np.random.default_rng(seed)
    X = np.random.default_rng(99).standard_normal((samples, features))
    y = noise * rng.standard_normal(samples)
    w = np.linalg.lstsq(X, y, rcond=None)[0]
    model = nn.Linear(features, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(w[None]))
    return model, torch.from_numpy(X), torch.from_numpy(y[:, None]), X


def test_the_noise_is_that_of_ordinary_least_squares() -> None:
    model, x, y, X = linear_problem(12, 0.3, 0)
    post = hs.GaussNewtonPosterior(hs.EmpiricalRisk(model, nn.MSELoss(), (x, y)))
    residual = (model(x) - y).detach().numpy()
    expected = math.sqrt(float((residual**2).sum()) / (12 - 4))
    assert post.noise == pytest.approx(expected, rel=1e-12)
    assert post.noise_degrees_of_freedom == 8
    std = expected * np.sqrt(np.diag(np.linalg.inv(X.T @ X)))
    np.testing.assert_allclose(post.parameter_std(), std, rtol=1e-10)
    assert post.coverage_factor(0.95) == pytest.approx(scipy.stats.t.ppf(0.975, 8))
    assert post.distance_from_minimum < 1e-10


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_residuals_of_rounding_are_no_noise(dtype: torch.dtype) -> None:
    """An exact fit leaves residuals of 1e-16 (1e-8) of the outputs, which are no errors."""
    x = draw(9, 2)
    y = x @ torch.tensor([[1.7], [-2.9]], dtype=torch.float64)
    model = nn.Linear(2, 1, bias=False).to(dtype)
    with torch.no_grad():
        model.weight.copy_(torch.linalg.lstsq(x, y).solution.mT)
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (x.to(dtype), y.to(dtype)))
    for prior in (0.0, 1.0):
        with pytest.raises(ValueError, match="the residuals are zero to rounding"):
            hs.GaussNewtonPosterior(risk, prior_precision=prior)
    assert hs.GaussNewtonPosterior(risk, noise=0.1).noise == 0.1
    # a noise of a hundred times rounding is one
    noisy = y + 100 * torch.finfo(dtype).eps * y.abs().mean() * draw(9, 1, seed=3)
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (x.to(dtype), noisy.to(dtype)))
    assert hs.GaussNewtonPosterior(risk).noise_degrees_of_freedom == 7


def test_the_noise_beside_a_prior_solves_its_equation() -> None:
    model, x, y = mlp(2, 6, 1), draw(12, 2), draw(12, 1, seed=3)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(0.5, reduction="mean"), (x, y))
    post = hs.GaussNewtonPosterior(risk, prior_precision=2.0)
    assert isinstance(post.noise, float)
    J = jacobian(model, x)
    A = J.T @ J / post.noise**2
    gamma = np.trace(A @ np.linalg.inv(A + 2.0 * np.eye(risk.dim)))
    rss = float((model(x) - y).detach().square().sum())
    assert post.noise**2 * (12 - gamma) == pytest.approx(rss, rel=1e-9)
    assert post.noise_degrees_of_freedom == pytest.approx(12 - gamma, rel=1e-9)


def test_the_evidence_of_a_linear_model_is_that_of_the_data() -> None:
    X, y = draw(7, 3).numpy(), draw(7, 1, seed=3).numpy()[:, 0]
    noise, alpha, mean = 0.4, 1.7, 0.3
    model = nn.Linear(3, 1, bias=False).double()
    best = np.linalg.solve(
        X.T @ X / noise**2 + alpha * np.eye(3), X.T @ y / noise**2 + alpha * mean * np.ones(3)
    )
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(best[None]))
    risk = hs.EmpiricalRisk(
        model, hs.SquaredError(3.0), (torch.from_numpy(X), torch.from_numpy(y[:, None]))
    )
    post = hs.GaussNewtonPosterior(risk, noise, alpha, prior_mean=mean)
    expected = scipy.stats.multivariate_normal.logpdf(
        y, X @ (mean * np.ones(3)), noise**2 * np.eye(7) + X @ X.T / alpha
    )
    assert post.log_evidence == pytest.approx(expected, rel=1e-10)
    assert post.distance_from_minimum < 1e-10


def test_the_largest_evidence_is_found() -> None:
    model, x, y = mlp(2, 6, 1), draw(9, 2), draw(9, 1, seed=3)
    post = hs.GaussNewtonPosterior(hs.EmpiricalRisk(model, nn.MSELoss(), (x, y)), 0.3, 1.0)
    # the network is not trained
    with pytest.warns(ConvergenceWarning, match="train with this prior"):
        best = post.with_largest_evidence()
    with pytest.warns(ConvergenceWarning, match="standard deviations from the maximum"):
        at = [post.with_prior(best.prior_precision * f).log_evidence for f in (0.98, 1.0, 1.02)]
    assert max(at) == at[1]
    gamma = float(best.effective_dimension)
    assert best.prior_precision * float(post.risk.theta.square().sum()) == pytest.approx(gamma)
    at_mean = hs.GaussNewtonPosterior(post.risk, 0.3, 1.0, prior_mean=post.risk.theta)
    with pytest.raises(ValueError, match="prior_mean"):
        at_mean.with_largest_evidence()


def test_the_largest_evidence_does_not_depend_on_where_the_search_begins() -> None:
    """Columns of very different lengths, from no prior, a weak one and a strong one."""
    X = np.random.default_rng(0).standard_normal((30, 5)) * np.geomspace(1e-3, 1e2, 5)
    theta = np.array([1.0, -1.0, 0.5, 0.1, 0.02])
    y = X @ theta + 0.1 * np.random.default_rng(1).standard_normal(30)
    model = nn.Linear(5, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(theta[None]))
    data = (torch.from_numpy(X), torch.from_numpy(y[:, None]))
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), data)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # not at the maximum
        for alpha in (0.0, 1e-6, 1.0):
            post = hs.GaussNewtonPosterior(risk, 0.1, alpha, check=False)
            found.append(post.with_largest_evidence().prior_precision)
        grid = np.geomspace(found[0] / 3, found[0] * 3, 201)
        values = [post.with_prior(float(a)).log_evidence for a in grid]
    np.testing.assert_allclose(found, found[0], rtol=1e-9)
    assert grid[int(np.argmax(values))] == pytest.approx(found[0], rel=0.02)


def test_an_estimated_noise_stays_an_estimate() -> None:
    model, x, y, _ = linear_problem(7, 0.3, 0)
    post = hs.GaussNewtonPosterior(hs.EmpiricalRisk(model, nn.MSELoss(), (x, y)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        best = post.with_largest_evidence()
    assert best.noise == post.noise
    assert best.noise_degrees_of_freedom == post.noise_degrees_of_freedom == 3
    assert best.coverage_factor() == pytest.approx(scipy.stats.t.ppf(0.975, 3))
    assert "estimated, 3 degrees" in repr(best)


def test_away_from_the_maximum_the_evidence_says_what_is_missing() -> None:
    """The linear model's evidence is exact: what is said to be missing is what is missing."""
    rng = np.random.default_rng(3)
    X, noise, alpha = rng.standard_normal((7, 3)), 0.4, 1.7
    y = X @ np.array([1.0, -0.5, 0.2]) + noise * rng.standard_normal(7)
    model = nn.Linear(3, 1, bias=False).double()
    data = (torch.from_numpy(X), torch.from_numpy(y[:, None]))
    post = hs.GaussNewtonPosterior(hs.EmpiricalRisk(model, hs.SquaredError(), data), noise, alpha)
    expected = scipy.stats.multivariate_normal.logpdf(
        y, np.zeros(7), noise**2 * np.eye(7) + X @ X.T / alpha
    )
    with pytest.warns(ConvergenceWarning, match="log_evidence: the parameters are") as told:
        value = post.log_evidence
    assert value + post.distance_from_minimum**2 / 2 == pytest.approx(expected, rel=1e-10)
    assert f"{expected - value:.3g} nats larger" in str(told[0].message)


def test_a_rank_that_is_not_resolved_leaves_the_noise_between_two_values() -> None:
    """Two columns that differ by ten roundings: rank one or two, of five measurements."""
    X = torch.ones(5, 2, dtype=torch.float64)
    X[0, 1] += 1.2e-13
    model = nn.Linear(2, 1, bias=False).double()
    y = draw(5, 1, seed=4)
    with torch.no_grad():
        model.weight.fill_(float(y.mean()) / 2)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (X, y), check=False)
    rss = float((model(X) - y).detach().square().sum())
    words = "the rank is between 1 and 2 in rounding"
    with pytest.warns(ConvergenceWarning, match=words) as told:
        hs.GaussNewtonPosterior(risk, check=False)
    text = str(told[0].message)
    assert f"between {math.sqrt(rss / 4):.3g} (4 degrees" in text
    assert f"and {math.sqrt(rss / 3):.3g} (3)" in text


def test_the_distance_from_the_minimum_is_a_mahalanobis_length() -> None:
    model, x, y, X = linear_problem(12, 0.3, 0)
    shift = np.array([0.1, -0.2, 0.05, 0.3])
    with torch.no_grad():
        model.weight.add_(torch.from_numpy(shift[None]))
    post = hs.GaussNewtonPosterior(hs.EmpiricalRisk(model, nn.MSELoss(), (x, y)), noise=0.3)
    expected = math.sqrt(shift @ X.T @ X @ shift) / 0.3
    assert post.distance_from_minimum == pytest.approx(expected, rel=1e-10)
    assert "standard deviations away" in repr(post)


def coverage(draws: int, factor_of_std: float = 1.0) -> int:
    """Draws in which the 95 % interval of the first weight holds the truth, noise estimated."""
    held = 0
    for seed in range(draws):
        model, x, y, _ = linear_problem(9, 0.3, seed)
        risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, y), check=False)
        post = hs.GaussNewtonPosterior(risk, check=seed == 0)
        reach = post.coverage_factor(0.95) * post.parameter_std()[0] * factor_of_std
        held += abs(float(model.weight.detach()[0, 0])) < reach
    return held


def test_coverage_of_a_linear_model_is_exact_and_the_test_can_fail() -> None:
    draws = 40
    # a right interval fails this with probability 0.002
    low, high = (float(scipy.stats.binom.ppf(q, draws, 0.95)) for q in (0.001, 0.999))
    assert low <= coverage(draws) <= high
    # intervals of half the length are found out
    assert coverage(draws, 0.5) < low


def test_coverage_of_a_nonlinear_fit_with_known_noise() -> None:
    truth, noise, draws = np.array([2.0, 1.5]), 0.02, 40
    x = torch.linspace(0, 2, 8, dtype=torch.float64)[:, None]

    def formula(x: torch.Tensor, p: dict[str, torch.Tensor]) -> torch.Tensor:
        return p["a"] * torch.exp(-p["b"] * x)

    rng = np.random.default_rng(3)
    held = np.zeros(2)
    for number in range(draws):
        model = Scalars(formula, a=2.0, b=1.5)
        y = model(x).detach() + noise * torch.from_numpy(rng.standard_normal((8, 1)))
        for _ in range(6):
            J = jacobian(model, x)
            step = np.linalg.lstsq(J, (y - model(x)).detach().numpy()[:, 0], rcond=None)[0]
            with torch.no_grad():
                for p, change in zip(model.parameters(), step, strict=True):
                    p.add_(float(change))
        risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, y), check=False)
        post = hs.GaussNewtonPosterior(risk, noise=noise, check=number == 0)
        found = np.array([p.item() for p in model.parameters()])
        held += np.abs(found - truth) < post.coverage_factor(0.95) * post.parameter_std()
    low, high = (float(scipy.stats.binom.ppf(q, draws, 0.95)) for q in (0.001, 0.999))
    assert (held >= low).all()
    assert (held <= high).all()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, when it is imported
@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_a_full_laplace_approximation_agrees(kind: str) -> None:
    laplace = pytest.importorskip("laplace")
    x, there = draw(20, 2), draw(6, 2, seed=5)
    alpha, noise = 0.8, 0.3
    if kind == "regression":
        model, y = mlp(2, 6, 1), draw(20, 1, seed=3)
        loss: nn.Module = nn.MSELoss()
    else:
        model, y = mlp(2, 6, 3), torch.arange(20) % 3
        loss = nn.CrossEntropyLoss()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=7)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # in which it accumulates
    try:
        other = laplace.Laplace(
            model, kind, subset_of_weights="all", hessian_structure="full", prior_precision=alpha,
            **({"sigma_noise": noise} if kind == "regression" else {}),
        )  # fmt: skip
        other.fit(loader)
        covariance = other.posterior_covariance.detach().double().numpy()
        _, variance = other._glm_predictive_distribution(there)
        evidence = float(other.log_marginal_likelihood())
    finally:
        torch.set_default_dtype(before)
    post = hs.GaussNewtonPosterior(
        hs.EmpiricalRisk(model, loss, loader), noise if kind == "regression" else None, alpha
    )
    np.testing.assert_allclose(post.covariance(list(post.risk.names)), covariance, atol=1e-8)
    std = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(post.parameter_std(), std, rtol=1e-8)
    diagonal = np.diagonal(variance.detach().numpy(), axis1=1, axis2=2)
    np.testing.assert_allclose(post.prediction_std(there) ** 2, diagonal, rtol=1e-8)
    with pytest.warns(ConvergenceWarning, match="from the maximum"):  # neither is trained
        assert post.log_evidence == pytest.approx(evidence, rel=1e-8)
