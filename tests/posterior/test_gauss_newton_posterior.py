"""The posterior against plain linear algebra on Jacobians taken row by row."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.posterior import factors
from support.posterior_cases import dense_covariance, jacobian
from support.risk_cases import classes, draw, mlp, poisson_loss, seeded, split

NOISE, ALPHA = 0.3, 0.7


@pytest.fixture(params=["factorisation", "gram"])
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "gram":
        monkeypatch.setattr(factors, "_COPIES", 10**12)  # no Jacobian fits into memory
    return str(request.param)


@pytest.mark.parametrize(
    "loss",
    [
        hs.SquaredError(), hs.SquaredError(0.5, reduction="mean"), nn.MSELoss(),
        nn.MSELoss(reduction="sum"),
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("sizes", [(7,), (3, 4)])
def test_covariances_do_not_depend_on_loss_scale_batches_or_route(
    route: str, loss: object, sizes: tuple[int, ...]
) -> None:
    model, x, y, there = mlp(3, 6, 2), draw(7, 3), draw(7, 2, seed=3), draw(5, 3, seed=4)
    risk = hs.EmpiricalRisk(model, loss, split(x, y, *sizes))
    post = hs.GaussNewtonPosterior(risk, noise=NOISE, prior_precision=ALPHA)
    assert (post.method == "Gram matrix") == (route == "gram")
    C = dense_covariance(jacobian(model, x), NOISE, ALPHA)
    np.testing.assert_allclose(post.parameter_std(), np.sqrt(np.diag(C)), rtol=1e-10)
    G = jacobian(model, there)
    np.testing.assert_allclose(post.prediction_covariance(there), G @ C @ G.T, atol=1e-11)
    std = post.prediction_std(there)
    assert std.shape == (5, 2)
    assert std.dtype == np.float64
    np.testing.assert_allclose(std, np.sqrt(np.diag(G @ C @ G.T)).reshape(5, 2), rtol=1e-10)
    J = jacobian(model, x)
    dimension = np.trace(J.T @ J / NOISE**2 @ C)
    assert float(post.effective_dimension) == pytest.approx(dimension, rel=1e-10)
    assert post.effective_dimension.lower <= dimension <= post.effective_dimension.upper
    assert post.rank == 14


def test_more_measurements_than_parameters() -> None:
    model, x, y = mlp(2, 4, 1), draw(60, 2), draw(60, 1, seed=3)
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), split(x, y, 20, 40))
    post = hs.GaussNewtonPosterior(risk, noise=NOISE)
    C = dense_covariance(jacobian(model, x), NOISE, 0.0)
    np.testing.assert_allclose(post.covariance(list(risk.names)), C, rtol=1e-6)
    std = np.sqrt(np.diag(C))
    correlations = post.correlations(list(risk.names))
    np.testing.assert_allclose(correlations, C / np.outer(std, std), atol=1e-8)
    assert post.rank == risk.dim
    assert float(post.effective_dimension) == risk.dim


def test_names_select_entries_in_the_order_of_the_risk_with_the_others_as_nuisance(
    route: str,
) -> None:
    model, x, y = mlp(3, 5, 1), draw(6, 3), draw(6, 1, seed=3)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, y))
    post = hs.GaussNewtonPosterior(risk, NOISE, ALPHA)
    C = dense_covariance(jacobian(model, x), NOISE, ALPHA)
    at = np.r_[
        np.arange(risk.dim)[risk.layout.slice("0.bias")],
        np.arange(risk.dim)[risk.layout.slice("2.bias")],
    ]
    for names in (["0.bias", "2.bias"], ["2.bias", "0.bias"], ["*.bias"]):
        np.testing.assert_allclose(post.parameter_std(names), np.sqrt(np.diag(C)[at]), rtol=1e-10)
    np.testing.assert_allclose(
        post.covariance(["*.bias"]), C[np.ix_(at, at)], rtol=1e-8, atol=1e-12
    )
    # without nuisance parameters the errors are smaller: not what was asked for
    alone = hs.GaussNewtonPosterior(risk.restrict(["*.bias"]), NOISE, ALPHA).parameter_std()
    assert (alone < post.parameter_std(["*.bias"])).all()
    Jb = jacobian(model, x)[:, at]
    np.testing.assert_allclose(
        alone, np.sqrt(np.diag(dense_covariance(Jb, NOISE, ALPHA))), rtol=1e-9
    )


def test_a_float32_model_is_computed_in_float64() -> None:
    single = mlp(3, 6, 2).float()
    x, y = draw(7, 3).float(), draw(7, 2, seed=3).float()
    post = hs.GaussNewtonPosterior(hs.EmpiricalRisk(single, nn.MSELoss(), (x, y)), NOISE, ALPHA)
    double = mlp(3, 6, 2)
    double.load_state_dict(single.state_dict())
    C = dense_covariance(jacobian(double, x.double()), NOISE, ALPHA)
    np.testing.assert_allclose(post.parameter_std(), np.sqrt(np.diag(C)), rtol=1e-10)
    assert post.prediction_std(x).dtype == np.float64
    assert post.sample(2).dtype == torch.float32
    assert next(single.parameters()).dtype == torch.float32


def test_weights_are_relative_and_masked_measurements_do_not_exist() -> None:
    model, x, y = mlp(3, 4, 1), draw(6, 3), draw(6, 1, seed=3)
    weights = torch.tensor([1.0, 4.0, 0.0, 1.0, 2.0, 0.0], dtype=torch.float64)[:, None]
    packed = torch.cat([y, weights], dim=1)
    J = jacobian(model, x)
    W = np.diag(weights[:, 0].numpy() / 4)
    C = np.linalg.inv(J.T @ W @ J / NOISE**2 + ALPHA * np.eye(J.shape[1]))
    for factor_ in (1.0, 17.0):

        def loss(f: Tensor, t: Tensor, factor_: float = factor_) -> Tensor:
            return factor_ * (t[:, 1:] * (f - t[:, :1]).square()).sum()

        risk = hs.EmpiricalRisk(model, loss, (x, packed), reduction="sum")
        post = hs.GaussNewtonPosterior(risk, NOISE, ALPHA)
        np.testing.assert_allclose(post.parameter_std(), np.sqrt(np.diag(C)), rtol=1e-9)
        assert post.num_measurements == 4


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_other_losses_are_their_own_likelihood(route: str, reduction: str) -> None:
    model, x, y = mlp(3, 5, 3), draw(8, 3), classes(8, high=3)
    post = hs.GaussNewtonPosterior(
        hs.EmpiricalRisk(model, nn.CrossEntropyLoss(reduction=reduction), split(x, y, 5, 3)),
        prior_precision=ALPHA,
    )
    J = jacobian(model, x).reshape(8, 3, -1)
    p = model(x).softmax(1).detach().numpy()
    precision = ALPHA * np.eye(J.shape[2])
    for rows, q in zip(J, p, strict=True):
        precision += rows.T @ (np.diag(q) - np.outer(q, q)) @ rows
    C = np.linalg.inv(precision)
    np.testing.assert_allclose(post.parameter_std(), np.sqrt(np.diag(C)), rtol=1e-9)
    there = draw(4, 3, seed=9)
    G = jacobian(model, there)
    np.testing.assert_allclose(
        post.prediction_std(there).ravel() ** 2, np.diag(G @ C @ G.T), rtol=1e-9
    )
    assert post.noise is None
    with pytest.raises(ValueError, match="not a squared error"):
        hs.GaussNewtonPosterior(post.risk, noise=0.1)
    with pytest.raises(ValueError, match="not a squared error"):
        post.information_gain(there)


def test_a_convolution_and_a_physics_informed_network_by_rows(route: str) -> None:
    model = seeded(nn.Sequential(nn.Conv1d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 1)))
    x, y = draw(5, 1, 6), draw(5, 1, seed=3)
    post = hs.GaussNewtonPosterior(hs.EmpiricalRisk(model, hs.SquaredError(), (x, y)), NOISE, ALPHA)
    C = dense_covariance(jacobian(model, x), NOISE, ALPHA)
    np.testing.assert_allclose(post.parameter_std(), np.sqrt(np.diag(C)), rtol=1e-9)

    net = mlp(1, 6, 1)

    def residuals(module: nn.Module, points: Tensor) -> Tensor:
        points = points.clone().requires_grad_()
        (slope,) = torch.autograd.grad(module(points).sum(), points, create_graph=True)
        return slope + module(points)

    points = draw(5, 1)
    risk = hs.EmpiricalRisk(
        net, hs.SquaredError(), (points, torch.zeros_like(points)), forward=residuals
    )
    post = hs.GaussNewtonPosterior(risk, NOISE, ALPHA)

    class AsModel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, z: Tensor) -> Tensor:
            return residuals(self.net, z)

    C = dense_covariance(jacobian(AsModel(), points), NOISE, ALPHA)
    np.testing.assert_allclose(post.parameter_std(), np.sqrt(np.diag(C)), rtol=1e-9)


def test_samples_have_the_covariance(route: str) -> None:
    model, x, y = mlp(2, 3, 1), draw(5, 2), draw(5, 1, seed=3)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, y))
    post = hs.GaussNewtonPosterior(risk, NOISE, ALPHA)
    draws = post.sample(4000, rng=1)
    assert draws.shape == (4000, risk.dim)
    C = dense_covariance(jacobian(model, x), NOISE, ALPHA)
    # whitened draws: entries of their covariance have a standard error of about 1/63
    white = np.linalg.solve(np.linalg.cholesky(C), (draws - risk.theta).numpy().T)
    assert np.abs(white @ white.T / 4000 - np.eye(risk.dim)).max() < 6 / math.sqrt(4000) * 1.5
    assert torch.equal(post.sample(3, rng=5), post.sample(3, rng=5))


def test_bad_input_names_the_argument() -> None:
    risk = hs.EmpiricalRisk(mlp(2, 3, 1), hs.SquaredError(), (draw(5, 2), draw(5, 1, seed=3)))
    with pytest.raises(ValueError, match="noise: 0"):
        hs.GaussNewtonPosterior(risk, noise=0)
    with pytest.raises(ValueError, match="prior_precision: -1"):
        hs.GaussNewtonPosterior(risk, prior_precision=-1.0)
    post = hs.GaussNewtonPosterior(risk, 0.1, 1.0)
    with pytest.raises(ValueError, match="matches none"):
        post.parameter_std(["kappa"])
    with pytest.raises(ValueError, match="list of parameter names"):
        post.parameter_std("0.bias")
    with pytest.raises(ValueError, match="NaN or infinite"):
        post.prediction_std(torch.full((1, 2), math.nan, dtype=torch.float64))
    with pytest.raises(ValueError, match="closure"):
        hs.GaussNewtonPosterior(hs.EmpiricalRisk.from_closure(mlp(1, 4, 1), poisson_loss), 0.1)
    with pytest.raises(ValueError, match="n: 0"):
        post.sample(0)
    with pytest.raises(ValueError, match="model does not take them"):
        post.prediction_std(draw(4, 5))
    with pytest.raises(ValueError, match="at least one sample"):
        post.prediction_std(draw(4, 2)[:0])
    with pytest.raises(ValueError, match="inputs: those given have 1 of 2 entries that are NaN"):
        post.information_gain(torch.tensor([[1.0, math.nan]], dtype=torch.float64))
    with pytest.raises(ValueError, match="targets: no sample"):
        post.design(draw(4, 2), 1, targets=draw(4, 2)[:0])
    with pytest.raises(ValueError, match="costs: values from -1 to 2; a positive"):
        post.next_measurements(draw(2, 2), 1, costs=[2, -1])
    with pytest.raises(ValueError, match=r"at: .*finite distances other than zero"):
        post.profile_likelihood("0.bias", at=[1.0, math.inf])
    listed = hs.GaussNewtonPosterior(risk, 0.1, 1.0, prior_mean=[0.5] * risk.dim)
    half = hs.GaussNewtonPosterior(risk, 0.1, 1.0, prior_mean=0.5)
    assert listed.distance_from_minimum == half.distance_from_minimum
    with pytest.raises(ValueError, match=r"prior_mean: shape \(2,\)"):
        hs.GaussNewtonPosterior(risk, 0.1, 1.0, prior_mean=np.zeros(2))
    labels = hs.EmpiricalRisk(
        mlp(2, 3, 2), torch.nn.CrossEntropyLoss(), (draw(5, 2), torch.ones(5).long())
    )
    assert repr(hs.GaussNewtonPosterior(labels, prior_precision=1.0)).startswith(
        "GaussNewtonPosterior(5 samples,"
    )
    with pytest.raises(ValueError, match="prior_mean: has entries"):
        hs.GaussNewtonPosterior(
            risk, 0.1, 1.0, prior_mean=torch.full((risk.dim,), math.nan, dtype=torch.float64)
        )


def test_the_model_is_untouched_and_the_answer_is_reproducible() -> None:
    model, x, y = mlp(3, 4, 1), draw(6, 3), draw(6, 1, seed=3)
    before = [p.clone() for p in model.parameters()]
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, y))
    first = hs.GaussNewtonPosterior(risk, NOISE, ALPHA)
    second = hs.GaussNewtonPosterior(risk, NOISE, ALPHA)
    assert (first.prediction_std(x) == second.prediction_std(x)).all()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_tables_and_sentences() -> None:
    model, x, y = mlp(1, 3, 1), draw(6, 1), draw(6, 1, seed=3)
    post = hs.GaussNewtonPosterior(hs.EmpiricalRisk(model, hs.SquaredError(), (x, y)), NOISE, ALPHA)
    frame = post.to_dataframe()
    assert list(frame.columns) == ["parameter", "value", "std", "answer"]
    assert frame["parameter"][0] == "0.weight[0, 0]"
    np.testing.assert_allclose(frame["std"], post.parameter_std())
    assert "6 measurements" in repr(post)
    assert "<table>" in post._repr_html_()
    shares = post.by_parameter(3)
    np.testing.assert_allclose(shares.shares.sum(axis=0), 1.0)
    assert shares.by_layer().names == ("0", "2")
    pairs = hs.eigenpairs(hs.GaussNewton(post.risk), 2, "LA")
    table = hs.by_parameter(pairs, post.risk)
    vector = pairs.vectors[:, 0]
    share = float(vector[post.risk.layout.slice("2.weight")].square().sum())
    assert table.shares[list(table.names).index("2.weight"), 0] == pytest.approx(share)
    assert table.to_dataframe().shape == (2, 2 + 4)
