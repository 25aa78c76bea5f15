"""Noises of outputs and terms against dense formulas, and the test of one noise for all."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

import hessium as hs
from hessium._typing import FloatArray
from hessium.errors import ConvergenceWarning, InputError, SelfCheckWarning
from hessium.posterior.equal_noise import left_vectors, unequal
from support.posterior_cases import jacobian
from support.risk_cases import draw, mlp

SIGMAS = np.array([0.1, 2.0])
F64 = torch.float64


class Two(nn.Module):
    """Two outputs that share a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor([0.5, -1.0, 0.3], dtype=F64))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x @ self.a[:2], x[:, 0] * self.a[2] + x[:, 1] * self.a[1]], dim=1)


def bounds(draws: int, probability: float) -> tuple[float, float]:
    """Counts that a right probability leaves with a probability of 0.5 %."""
    law = scipy.stats.binom(draws, probability)
    return float(law.ppf(0.0025)), float(law.ppf(0.9975))


def dense(J: FloatArray, sigma: FloatArray, alpha: float) -> FloatArray:
    A = J / sigma[:, None]
    return np.asarray(np.linalg.inv(A.T @ A + alpha * np.eye(J.shape[1])))


def masked(f: Tensor, t: Tensor) -> Tensor:
    return (t[..., 1] * (f - t[..., 0]).square()).mean()


@pytest.mark.parametrize("loss", ["plain", "weighted", "masked"])
def test_noises_of_outputs_are_those_of_the_measurements_whatever_the_weights(loss: str) -> None:
    model, x, y = Two(), draw(7, 2), draw(7, 2, seed=3)
    seen = torch.ones(7, 2, dtype=torch.bool)
    weights = torch.ones(7, 2, dtype=F64)
    if loss != "plain":
        weights = draw(7, 2, seed=9).abs() + 0.3
    if loss == "masked":
        seen[2, 0] = seen[5, 1] = False
        weights[~seen] = 0.0
    risk = hs.EmpiricalRisk(model, masked, (x, torch.stack([y, weights], -1)), reduction="mean")
    post = hs.GaussNewtonPosterior(risk, noise=SIGMAS, prior_precision=0.7, prior_mean=0.2)
    keep = seen.reshape(-1).numpy()
    sigma = np.tile(SIGMAS, 7)[keep]
    J = jacobian(model, x)[keep]
    C = dense(J, sigma, 0.7)
    np.testing.assert_allclose(post.covariance(["a"]), C, rtol=1e-10)
    np.testing.assert_array_equal(post.noise, SIGMAS)
    assert post.noise_degrees_of_freedom == np.inf
    assert post.num_measurements == keep.sum()
    assert "noise 0.1, 2 (given)" in repr(post)
    r = (model(x).detach() - y).reshape(-1).numpy()[keep]
    theta = model.a.detach().numpy()
    log_p = scipy.stats.norm.logpdf(r, scale=sigma).sum()
    log_p += scipy.stats.norm.logpdf(theta, 0.2, 0.7**-0.5).sum()
    log_p += 0.5 * np.linalg.slogdet(2 * np.pi * C)[1]
    with pytest.warns(ConvergenceWarning, match="from the maximum"):
        found = post.log_evidence
    assert found == pytest.approx(log_p, rel=1e-11)
    slope = J.T @ (r / sigma**2) + 0.7 * (theta - 0.2)
    assert post.distance_from_minimum == pytest.approx(np.sqrt(slope @ C @ slope), rel=1e-9)
    # exact for a linear model: the marginal law of the data, a second oracle of the evidence
    S = np.diag(sigma**2) + J @ J.T / 0.7
    mean = r + J @ (0.2 - theta)
    exact = scipy.stats.multivariate_normal.logpdf(mean, cov=S)
    at = theta - C @ slope
    model.a.data = torch.from_numpy(at)
    risk = hs.EmpiricalRisk(model, masked, (x, torch.stack([y, weights], -1)), reduction="mean")
    best = hs.GaussNewtonPosterior(risk, noise=SIGMAS, prior_precision=0.7, prior_mean=0.2)
    assert best.log_evidence == pytest.approx(exact, rel=1e-10)
    assert best.distance_from_minimum < 1e-6
    assert best.profile_likelihood("a", index=1).shift == pytest.approx(0.0, abs=1e-4)


def one_and_two() -> tuple[hs.GaussNewtonPosterior, hs.GaussNewtonPosterior, Tensor]:
    """A loss with weights and one noise, and a loss without weights and two noises."""
    model = mlp(1, 1, 2)
    x = torch.linspace(-1, 1, 9, dtype=F64)[:, None]
    y = torch.cat([x + 0.02 * x**2, torch.sin(2 * x)], dim=1)
    w = torch.tensor([1.0, 1 / 400], dtype=F64)

    def loss(f: Tensor, t: Tensor) -> Tensor:
        return (w * (f - t).square()).sum()

    first = hs.EmpiricalRisk(model, loss, (x, y), reduction="sum")
    one = hs.GaussNewtonPosterior(first, 0.1, 0.3)
    plain = hs.EmpiricalRisk(model, nn.MSELoss(), (x, y))
    return one, hs.GaussNewtonPosterior(plain, [0.1, 2.0], 0.3), x


def test_noises_give_what_weights_give() -> None:
    one, two, x = one_and_two()
    with pytest.warns(ConvergenceWarning, match="from the maximum"):
        assert two.log_evidence == pytest.approx(one.log_evidence, rel=1e-12)
    assert two.distance_from_minimum == pytest.approx(one.distance_from_minimum, rel=1e-9)
    np.testing.assert_allclose(
        two.with_prior(2.0).parameter_std(), one.with_prior(2.0).parameter_std()
    )
    with pytest.warns(ConvergenceWarning, match="from the maximum"):
        assert two.with_largest_evidence().prior_precision == pytest.approx(
            one.with_largest_evidence().prior_precision
        )
    np.testing.assert_allclose(two.information_gain(x), one.information_gain(x), rtol=1e-9)


@pytest.mark.slow
def test_noises_give_the_refits_and_radii_that_weights_give() -> None:
    one, two, _ = one_and_two()
    names = ["0.weight"]
    a, b = (post.profile_likelihood(*names, at=[-1.0, 1.0]) for post in (one, two))
    np.testing.assert_allclose(a.deviance, b.deviance, rtol=1e-4, atol=1e-4)
    c, d = (post.trust_radius(names, k=1, random=0) for post in (one, two))
    np.testing.assert_allclose(c.first_order, d.first_order, rtol=1e-6)
    np.testing.assert_allclose(c.quadratic, d.quadratic, rtol=1e-6)
    np.testing.assert_allclose(c.coverage, d.coverage, rtol=1e-3)


def test_noises_of_very_different_units_are_kept() -> None:
    model, x = Two(), draw(7, 2)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, draw(7, 2, seed=3)))
    wide = np.array([1e-6, 1e3])
    post = hs.GaussNewtonPosterior(risk, noise=wide)
    J = jacobian(model, x) / np.tile(wide, 7)[:, None]
    scale = np.linalg.norm(J, axis=0)
    C = np.linalg.inv((J / scale).T @ (J / scale)) / np.outer(scale, scale)
    np.testing.assert_allclose(post.parameter_std(), np.sqrt(np.diag(C)), rtol=1e-6)
    assert post.num_measurements == 14
    many = hs.EmpiricalRisk(model, hs.SquaredError(), [(x[:4], x[:4]), (x[4:], x[4:])])
    split = hs.GaussNewtonPosterior(many, noise=torch.from_numpy(wide))
    np.testing.assert_allclose(split.parameter_std(), post.parameter_std(), rtol=1e-9)


def two_terms(**kinds: Any) -> tuple[hs.SumRisk, Two, Tensor, Tensor]:
    model, x, z = Two(), draw(5, 2), draw(8, 2, seed=4)
    risk = hs.SumRisk(
        {
            "data": hs.EmpiricalRisk(model, nn.MSELoss(), (x, draw(5, 2, seed=7))),
            "law": hs.EmpiricalRisk(
                model,
                hs.SquaredError(reduction="mean"),
                (z, torch.zeros(8, 1, dtype=F64)),
                forward=lambda m, at: m(at)[:, :1] - 2 * m(at)[:, 1:],
            ),
        },
        weights={"law": 17.0},
    )
    return risk, model, x, z


def test_noises_of_terms() -> None:
    risk, model, x, z = two_terms()
    noise = {"law": 0.03, "data": 0.4}
    post = hs.GaussNewtonPosterior(risk, noise=noise, prior_precision=0.1)
    f = jacobian(model, z)
    J = np.r_[jacobian(model, x), f[::2] - 2 * f[1::2]]
    sigma = np.r_[np.full(10, 0.4), np.full(8, 0.03)]
    C = dense(J, sigma, 0.1)
    np.testing.assert_allclose(post.covariance(["a"]), C, rtol=1e-10)
    assert post.noise == noise
    assert "noise 0.4 of data, 0.03 of law (given)" in repr(post)
    np.testing.assert_allclose(post.with_prior(0.1).parameter_std(), np.sqrt(np.diag(C)))
    # one number: of the measurement of the largest weight, as the weights of the loss say
    words = r"noise: 0.4; .* \{'data': 1.844, 'law': 0.4\}; give the noise of every term by name"
    with pytest.warns(SelfCheckWarning, match=words):
        one = hs.GaussNewtonPosterior(risk, noise=0.4, prior_precision=0.1)
    top = 17.0 / 8  # against 1 / 10 of each measurement of "data"
    sigma = 0.4 * np.r_[np.full(10, np.sqrt(top / 0.1)), np.ones(8)]
    np.testing.assert_allclose(one.covariance(["a"]), dense(J, sigma, 0.1), rtol=1e-10)
    # terms of one weight have one noise, and nothing is said
    equal = hs.SumRisk(risk.terms, {"law": 8.0, "data": 10.0})
    sigma = np.full(18, 0.4)
    plain = hs.GaussNewtonPosterior(equal, noise=0.4, prior_precision=0.1)
    np.testing.assert_allclose(plain.covariance(["a"]), dense(J, sigma, 0.1), rtol=1e-10)


@pytest.mark.parametrize("dtype", [F64, torch.float32])
def test_an_equation_that_differentiates_has_a_noise(dtype: torch.dtype) -> None:
    net = mlp(1, 20, 1).to(dtype)
    x, z = draw(6, 1).to(dtype), draw(9, 1, seed=2).to(dtype)

    def decay(m: nn.Module, at: Tensor) -> Tensor:
        at = at.detach().clone().requires_grad_()
        u = m(at)
        (slope,) = torch.autograd.grad(u.sum(), at, create_graph=True)
        return slope + u

    law = hs.EmpiricalRisk(net, nn.MSELoss(), [(z[:4], 0 * z[:4]), (z[4:], 0 * z[4:])],
                           forward=decay)  # fmt: skip
    data = hs.EmpiricalRisk(net, nn.MSELoss(), (x, torch.exp(-x)))
    risk, noise = hs.SumRisk({"law": law, "data": data}), {"law": 0.2, "data": 0.05}
    J = np.r_[
        hs.Jacobian(law.in_dtype(F64)).dense().numpy() / 0.2,
        hs.Jacobian(data.in_dtype(F64)).dense().numpy() / 0.05,
    ]
    C = np.linalg.inv(J.T @ J + 0.7 * np.eye(J.shape[1]))
    for max_bytes, method in ((2**30, "orthogonal factorisation"), (25_000, "Gram matrix")):
        post = hs.GaussNewtonPosterior(risk, noise, 0.7, max_bytes=max_bytes)
        assert post.method == method
        np.testing.assert_allclose(post.parameter_std(), np.sqrt(np.diag(C)), rtol=1e-8)
    with torch.no_grad():
        assert hs.GaussNewtonPosterior(risk, noise, 0.7).noise == noise


def test_what_does_not_name_noises_is_refused() -> None:
    risk, model, x, _ = two_terms()
    plain = hs.EmpiricalRisk(model, hs.SquaredError(), (x, draw(5, 2, seed=7)))

    def refused(risk: hs.EmpiricalRisk, noise: Any, match: str) -> None:
        with pytest.raises(InputError, match=match):
            hs.GaussNewtonPosterior(risk, noise=noise)

    refused(risk, None, r"noise: None; .*every term.*\{'data': \.\.\., 'law': \.\.\.\}")
    refused(risk, {"data": 1.0}, "'law' is missing")
    refused(risk, {"data": 1.0, "law": 1.0, "x": 2.0}, "'x' is not a term")
    refused(risk, {"data": 1.0, "law": -1.0}, r"noise\['law'\]: -1.0")
    refused(risk, [1.0, 2.0], "each term by name")
    refused(plain, {"data": 1.0}, r"hs\.SumRisk")
    refused(plain, [1.0, 2.0, 3.0], r"noise: shape \(3,\); .* shape \(2,\)")
    refused(plain, [1.0, 0.0], "positive")
    coupled = hs.EmpiricalRisk(model, lambda f, t: (f.sum(1) - t[:, 0]).square().sum(), (x, x),
                               reduction="sum")  # fmt: skip
    refused(coupled, [1.0, 2.0], "couples the outputs")
    labels = torch.tensor([0, 1, 0, 1, 1])
    refused(hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), (x, labels)), [1.0, 2.0], "no noise")
    post = hs.GaussNewtonPosterior(plain, noise=SIGMAS)
    with pytest.raises(InputError, match="noise"):
        post.with_prior(1.0, noise=0.3)
    assert hs.GaussNewtonPosterior(risk, {"data": 1.0, "law": 1.0}).prior_precision == 0.0


class Fit(nn.Module):
    """Both outputs a line with two parameters of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.zeros(2, 2, dtype=F64))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.a


def test_coverage_with_a_noise_of_each_output() -> None:
    """95 % intervals of 2,000 draws: 93.5 to 96.3 % with a false-alarm rate of 0.5 % a parameter.

    The model is linear, so one posterior has the errors of all draws. Negative control: one
    estimated noise for both covers all of 60 draws of one output and too few of the other, and
    warns.
    """
    x, rng, model = draw(10, 2), np.random.default_rng(5), Fit()
    y = torch.from_numpy(rng.standard_normal((2000, 10, 2)) * SIGMAS)
    solutions = torch.linalg.lstsq(x.expand(2000, 10, 2), y).solution
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, y[0]))
    std = hs.GaussNewtonPosterior(risk, noise=SIGMAS).parameter_std().reshape(2, 2)
    hits = (solutions.abs().numpy() <= scipy.stats.norm.ppf(0.975) * std).sum(axis=0)
    low, high = bounds(2000, 0.95)
    assert (hits >= low).all()
    assert (hits <= high).all()
    one, warned = np.zeros(2), 0
    for n in range(60):
        model.a.data = solutions[n].contiguous()
        risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, y[n]), check=False)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            post = hs.GaussNewtonPosterior(risk, check=False)
        warned += any(issubclass(c.category, SelfCheckWarning) for c in caught)
        wide = post.coverage_factor() * post.parameter_std().reshape(2, 2)
        one += (np.abs(model.a.data.numpy()) <= wide)[0]
    assert warned == 60
    assert one[0] == 60
    assert one[1] <= 52  # 57 are expected of a right interval; this or less has probability 2 %


def test_the_test_of_one_noise_is_false_as_often_as_it_says() -> None:
    """At 1 % among 4,000 draws: 22 to 59 warnings with a false-alarm rate of 0.5 %."""
    rng = np.random.default_rng(0)
    U = np.linalg.qr(rng.standard_normal((24, 7)) * np.repeat([30.0, 1.0], 12)[:, None])[0]
    seen = np.ones((8, 3), dtype=bool)
    low, high = bounds(4000, 0.01)
    wrong = 0
    for _ in range(4000):
        e = rng.standard_normal(24)
        p, found = unequal(np.square(e - U @ (U.T @ e)).reshape(8, 3), seen, U)
        wrong += bool(p.min() < 0.01)
    assert low <= wrong <= high
    assert found.shape == (3,)
    # one against the others where the design is the same for all: the F test
    X = np.kron(rng.standard_normal((8, 2)), np.eye(2))
    U = np.linalg.qr(X)[0]
    r = rng.standard_normal(16)
    r = (r - U @ (U.T @ r)).reshape(8, 2)
    p, _ = unequal(r**2, np.ones((8, 2), dtype=bool), U)
    ratio = np.square(r[:, 0]).sum() / np.square(r[:, 1]).sum()
    law = scipy.stats.f(6, 6)
    assert p[0] == pytest.approx(2 * min(law.cdf(ratio), law.sf(ratio)), rel=1e-9)


@pytest.mark.parametrize("size", [3, 30])
def test_left_vectors_are_those_of_the_whitened_jacobian(size: int) -> None:
    model, x = mlp(2, size, 2), draw(11, 2)
    w = torch.tensor([1.0, 0.01], dtype=F64)

    def loss(f: Tensor, t: Tensor) -> Tensor:
        return (w * (f - t).square()).sum()

    batches = [(x[:4], x[:4]), (x[4:], x[4:])]
    post = hs.GaussNewtonPosterior(hs.EmpiricalRisk(model, loss, batches, reduction="sum"), 0.1)
    A = jacobian(model, x) * np.tile(np.sqrt(w.numpy()), 11)[:, None]
    U = left_vectors(post._factor)[:, : post.rank.lower]
    np.testing.assert_allclose(U.T @ U, np.eye(U.shape[1]), atol=1e-9)
    if size == 30:
        np.testing.assert_allclose(np.linalg.matrix_rank(A), U.shape[1])
    np.testing.assert_allclose(U @ (U.T @ A), A, atol=1e-7)


def test_intervals_beside_an_equation_cover_with_a_noise_of_each_term() -> None:
    """u a cubic, law u'' = s up to 0.01: 95 % intervals of s over 2,000 draws of the data.

    93.5 to 96.3 % with a false-alarm rate of 0.5 %. Negative control: one noise from the residuals
    of both terms, as these were pooled before, covers less than 60 %.
    """
    law, data = torch.linspace(0, 1, 60, dtype=F64)[:, None], torch.linspace(0, 1, 8, dtype=F64)
    data = data[:, None]

    def powers(x: Tensor) -> Tensor:
        return torch.cat([x**k for k in range(4)], dim=1)

    class Cubic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c = nn.Parameter(torch.tensor([0.3, 1.0, 1.0, 0.0], dtype=F64))
            self.s = nn.Parameter(torch.tensor([2.0], dtype=F64))

        def forward(self, x: Tensor) -> Tensor:
            return powers(x) @ self.c[:, None]

    def residual(m: Any, x: Tensor) -> Tensor:
        out: Tensor = 2 * m.c[2] + 6 * m.c[3] * x - m.s
        return out

    model, loss = Cubic(), hs.SquaredError(reduction="mean")
    risk = hs.SumRisk(
        {
            "law": hs.EmpiricalRisk(model, loss, (law, 0 * law), forward=residual),
            "data": hs.EmpiricalRisk(model, loss, (data, model(data).detach())),
        }
    )
    rng, noise = np.random.default_rng(11), {"law": 0.01, "data": 0.05}
    std = hs.GaussNewtonPosterior(risk, noise).parameter_std(["s"])[0]
    ones, zeros = np.ones((60, 1)), np.zeros((60, 2))
    A = np.r_[np.c_[zeros, 2 * ones, 6 * law.numpy(), -ones], np.c_[powers(data).numpy(), 0 * data]]
    errors = rng.standard_normal((68, 2000)) * np.repeat([0.01, 0.05], [60, 8])[:, None]
    w = 1 / np.repeat([0.01, 0.05], [60, 8])[:, None]
    fits = np.linalg.lstsq(w * A, w * errors, rcond=None)[0]
    low, high = bounds(2000, 0.95)
    assert low <= (np.abs(fits[4]) <= scipy.stats.norm.ppf(0.975) * std).sum() <= high
    w = np.repeat([60.0, 8.0], [60, 8])[:, None] ** -0.5  # the weights of two means
    fits = np.linalg.lstsq(w * A, w * errors, rcond=None)[0]
    left = np.square(w * (A @ fits - errors)).sum(axis=0) / 63
    pooled = np.sqrt(left * np.linalg.inv((w * A).T @ (w * A))[4, 4])
    assert (np.abs(fits[4]) <= scipy.stats.t(63).ppf(0.975) * pooled).mean() < 0.6


def test_the_warning_names_the_output_and_the_noises() -> None:
    model, x = Fit(), draw(12, 2)
    e = draw(12, 2, seed=2) * torch.tensor([0.1, 5.0], dtype=F64)
    model.a.data = torch.linalg.lstsq(x, e).solution
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, e))
    with pytest.warns(SelfCheckWarning, match=r"noise: None; residuals of output \d .*noise="):
        post = hs.GaussNewtonPosterior(risk)
    # weights that make both alike: no warning
    w = torch.tensor([1.0, (0.1 / 5) ** 2], dtype=F64)
    risk = hs.EmpiricalRisk(
        model, lambda f, t: (w * (f - t).square()).sum(), (x, e), reduction="sum"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weighted = hs.GaussNewtonPosterior(risk)
        hs.GaussNewtonPosterior(risk, max_bytes=20_000)
    assert isinstance(weighted.noise, float)
    assert isinstance(post.noise, float)
    assert weighted.noise < 0.2 < 1 < post.noise


def test_the_gram_matrix_gives_the_same_residual_test() -> None:
    model, x = mlp(2, 9, 2), draw(9, 2)
    risk = hs.EmpiricalRisk(
        model, hs.SquaredError(), (x, draw(9, 2, seed=3) * torch.tensor([1e-3, 10.0], dtype=F64))
    )
    found = []
    for max_bytes in (2**30, 30_000):
        with pytest.warns(SelfCheckWarning) as caught:
            hs.GaussNewtonPosterior(risk, prior_precision=20.0, max_bytes=max_bytes)
        found.append([m for m in (str(one.message) for one in caught) if "output" in m])
    assert len(found[0]) == 1
    assert found[0] == found[1]


def test_an_output_without_degrees_of_freedom_has_no_noise() -> None:
    """One measurement of the third output fixes its parameter: its residual says nothing."""
    x = draw(12, 2)
    e = draw(12, 3, seed=2) * torch.tensor([0.1, 5.0, 1.0], dtype=F64)
    seen = torch.ones(12, 3, dtype=F64)
    seen[1:, 2] = 0.0
    model = nn.Linear(2, 3, bias=False).double()
    model.weight.data[:2] = torch.linalg.lstsq(x, e[:, :2]).solution.mT
    model.weight.data[2] = x[0] * e[0, 2] / x[0].square().sum()
    risk = hs.EmpiricalRisk(
        model, lambda f, t: (seen * (f - t).square()).sum(), (x, e), reduction="sum"
    )
    with pytest.warns(SelfCheckWarning, match="residuals of output") as caught:
        hs.GaussNewtonPosterior(risk)
    (message,) = (str(one.message) for one in caught)
    sums = (model(x) - e).square().sum(dim=0).detach()[:2]
    told = ", ".join(f"{one:.3g}" for one in (sums / 10).sqrt().tolist())
    assert f"(the residuals tell about [{told}, nan])" in message
    ratio = float((sums[0] / sums[1]).sqrt())
    assert f"{ratio:.3g} times" in message or f"{1 / ratio:.3g} times" in message
