"""Candidates with weights, masks, terms and several outputs, against dense formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium._typing import FloatArray
from hessium.errors import InputError
from support.posterior_cases import jacobian
from support.risk_cases import draw, mlp

F64 = torch.float64
SIGMAS = np.array([0.1, 2.0])


def gains_of(J: FloatArray, G: FloatArray, variances: FloatArray, alpha: float) -> FloatArray:
    """Differences of log-determinants of precisions, J in units of its noise, G (m, c, P)."""
    A = J.T @ J + alpha * np.eye(J.shape[1])
    after = [A + g.T @ (g / variances[:, None]) for g in G]
    return np.array([np.linalg.slogdet(one)[1] - np.linalg.slogdet(A)[1] for one in after]) / 2


def rows_of(model: nn.Module, there: Tensor) -> FloatArray:
    return jacobian(model, there).reshape(len(there), 2, -1)


@pytest.mark.parametrize("how", ["weights", "noises", "callable with both"])
def test_an_output_has_the_noise_of_its_measurements(how: str) -> None:
    model, x, there = mlp(2, 4, 2), draw(6, 2), draw(5, 2, seed=5)
    y = draw(6, 2, seed=3)
    w = torch.from_numpy((SIGMAS[0] / SIGMAS) ** 2) if how == "weights" else torch.tensor([3.0, 1])

    def loss(f: Tensor, t: Tensor) -> Tensor:
        return (w * (f - t).square()).mean()

    plain: Any = hs.SquaredError() if how == "noises" else loss
    reduction: Any = None if how == "noises" else "mean"
    risk = hs.EmpiricalRisk(model, plain, (x, y), reduction=reduction)
    post = hs.GaussNewtonPosterior(risk, 0.1 if how == "weights" else SIGMAS, 0.5)
    J = jacobian(model, x) / np.tile(SIGMAS, 6)[:, None]
    expected = gains_of(J, rows_of(model, there), SIGMAS**2, 0.5)
    np.testing.assert_allclose(post.information_gain(there), expected, rtol=1e-9)
    # a repetition adds what a posterior with the point twice has more
    again = gains_of(J, rows_of(model, x), SIGMAS**2, 0.5)
    np.testing.assert_allclose(post.information_gain(x), again, rtol=1e-9)


def test_new_measurements_scatter_about_predictions_with_the_noise_of_their_output() -> None:
    model, x, there = mlp(2, 4, 2), draw(6, 2), draw(5, 2, seed=5)
    data = (x, draw(6, 2, seed=3))
    post = hs.GaussNewtonPosterior(hs.EmpiricalRisk(model, hs.SquaredError(), data), SIGMAS, 0.5)
    expected = np.sqrt(post.prediction_std(there) ** 2 + SIGMAS**2)
    np.testing.assert_allclose(post.measurement_std(there), expected, rtol=1e-12)
    # coupled noises: the diagonal of their covariance
    precision = torch.tensor([[2.0, 0.9], [0.9, 1.0]], dtype=F64)

    def loss(f: Tensor, t: Tensor) -> Tensor:
        return ((f - t) @ precision * (f - t)).sum() / 2

    risk = hs.EmpiricalRisk(model, loss, data, reduction="sum")
    post = hs.GaussNewtonPosterior(risk, 0.3, 0.5)
    largest = float(torch.linalg.eigvalsh(precision).max())
    noise = 0.09 * largest * np.diag(np.linalg.inv(precision))
    expected = np.sqrt(post.prediction_std(there) ** 2 + noise)
    np.testing.assert_allclose(post.measurement_std(there), expected, rtol=1e-9)
    classes = hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), (x, torch.tensor([0, 1] * 3)))
    with pytest.raises(InputError, match="not a squared error"):
        hs.GaussNewtonPosterior(classes, prior_precision=1.0).measurement_std(there)


def test_a_masked_output_is_not_measured() -> None:
    model = nn.Linear(3, 2, bias=False, dtype=F64)
    x, there = draw(6, 3), draw(4, 3, seed=5)
    w = torch.tensor([1.0, 0.0], dtype=F64)

    def loss(f: Tensor, t: Tensor) -> Tensor:
        return (w * (f - t).square()).sum()

    risk = hs.EmpiricalRisk(model, loss, (x, draw(6, 2, seed=3)), reduction="sum")
    for noise in (0.1, np.array([0.1, 7.0])):
        post = hs.GaussNewtonPosterior(risk, noise)
        C = np.linalg.inv(x.T @ x) * 0.01
        v = np.einsum("ij,jk,ik->i", there, C, there)
        np.testing.assert_allclose(post.information_gain(there), np.log1p(v / 0.01) / 2, rtol=1e-9)
        assert np.isinf(post.prediction_std(there)[:, 1]).all()
        scattered = post.measurement_std(there)
        np.testing.assert_allclose(scattered[:, 0], np.sqrt(v + 0.01), rtol=1e-9)
        assert np.isinf(scattered[:, 1]).all()
        found = post.design(there, 2, criterion="A")
        assert np.isfinite(found.rms_std).all()
        assert found.rms_std[0] == pytest.approx(np.sqrt(v.mean()) / 0.1, rel=1e-9)


def test_weights_of_samples_and_of_coupled_outputs() -> None:
    model, x, there = mlp(2, 4, 2), draw(6, 2), draw(5, 2, seed=5)
    J, G = jacobian(model, x).reshape(6, 2, -1), rows_of(model, there)
    # each sample its own weight: a candidate has the largest
    weights = torch.linspace(0.1, 1.0, 6, dtype=F64)

    def by_sample(f: Tensor, t: Tensor) -> Tensor:
        return (t[:, 2:] * (f - t[:, :2]).square()).sum()

    targets = torch.cat([draw(6, 2, seed=3), weights[:, None]], dim=1)
    risk = hs.EmpiricalRisk(model, by_sample, (x, targets), reduction="sum")
    post = hs.GaussNewtonPosterior(risk, 0.3, 0.5)
    scaled = J * np.sqrt(weights.numpy())[:, None, None] / 0.3
    expected = gains_of(scaled.reshape(12, -1), G, np.full(2, 0.09), 0.5)
    np.testing.assert_allclose(post.information_gain(there), expected, rtol=1e-9)
    # a full matrix of weights, the same for all samples
    root = np.array([[1.0, 0.0], [0.6, 0.5]])
    W = torch.from_numpy(root @ root.T)

    def coupled(f: Tensor, t: Tensor) -> Tensor:
        return 0.5 * ((f - t) @ W * (f - t)).sum()

    risk = hs.EmpiricalRisk(model, coupled, (x, draw(6, 2, seed=3)), reduction="sum")
    q = float(np.linalg.eigvalsh(W).max())
    post = hs.GaussNewtonPosterior(risk, 0.3, 0.5)
    root = root / np.sqrt(q) / 0.3
    turned = np.einsum("cr,scp->srp", root, J).reshape(12, -1)
    expected = gains_of(turned, np.einsum("cr,scp->srp", root, G), np.ones(2), 0.5)
    np.testing.assert_allclose(post.information_gain(there), expected, rtol=1e-8)

    # a matrix of each sample: the loss does not say, so the noise is that of the largest weight
    def own(f: Tensor, t: Tensor) -> Tensor:
        return 0.5 * (weights[:, None] * ((f - t) @ W * (f - t))).sum()

    risk = hs.EmpiricalRisk(model, own, (x, draw(6, 2, seed=3)), reduction="sum", check=False)
    post = hs.GaussNewtonPosterior(risk, 0.3, 0.5, check=False)
    turned = turned.reshape(6, 2, -1) * np.sqrt(weights.numpy())[:, None, None]
    expected = gains_of(turned.reshape(12, -1), G / 0.3, np.ones(2), 0.5)
    np.testing.assert_allclose(post.information_gain(there), expected, rtol=1e-8)


def test_a_candidate_of_a_sum_is_measured_by_one_of_its_terms() -> None:
    model, x, z = mlp(2, 4, 2), draw(4, 2), draw(5, 2, seed=4)
    there = draw(6, 2, seed=5)
    loss = hs.SquaredError(reduction="mean")
    terms = {
        "good": hs.EmpiricalRisk(model, loss, (x, draw(4, 2, seed=7))),
        "bad": hs.EmpiricalRisk(model, loss, (z, draw(5, 2, seed=8))),
        "law": hs.EmpiricalRisk(
            model, loss, (z, torch.zeros(5, 1, dtype=F64)), forward=lambda m, at: m(at)[:, :1]
        ),
    }
    risk = hs.SumRisk(terms, {"law": 5.0})
    noise = {"good": 0.1, "bad": 2.0, "law": 0.5}
    post = hs.GaussNewtonPosterior(risk, noise, 0.5)
    J = np.r_[
        jacobian(model, x) / 0.1, jacobian(model, z) / 2.0, jacobian(model, z)[::2] / 0.5
    ]  # fmt: skip
    G = rows_of(model, there)
    for name, rows in {"good": G, "bad": G, "law": G[:, :1]}.items():
        expected = gains_of(J, rows, np.full(rows.shape[1], noise[name] ** 2), 0.5)
        np.testing.assert_allclose(post.information_gain(there, term=name), expected, rtol=1e-9)
        np.testing.assert_allclose(
            post.information_gain(risk.inputs_of(name, there)), expected, rtol=1e-9
        )
    chosen = post.design(there, 2, criterion="A", targets=x, term="bad")
    assert (
        chosen.indices.tolist()
        == post.design(
            risk.inputs_of("bad", there), 2, criterion="A", targets=risk.inputs_of("bad", x)
        ).indices.tolist()
    )
    with pytest.raises(InputError, match=r"term: None; 'good', 'bad' could take"):
        post.next_measurements(there, 1)
    with pytest.raises(InputError, match="term: 'none'"):
        post.information_gain(there, term="none")
    with pytest.raises(InputError, match="inputs of 'bad'"):
        post.information_gain(risk.inputs_of("bad", there), term="good")
    with pytest.raises(InputError, match="targets: inputs of 'law'"):
        post.design(there, 1, term="bad", targets=risk.inputs_of("law", x))
    # of a term and an equation, the term
    few = hs.SumRisk({name: terms[name] for name in ("law", "bad")})
    post = hs.GaussNewtonPosterior(few, {"law": 0.5, "bad": 2.0}, 0.5)
    np.testing.assert_allclose(
        post.information_gain(there), post.information_gain(there, term="bad"), rtol=1e-12
    )
    with pytest.raises(InputError, match="has no terms"):
        hs.GaussNewtonPosterior(terms["bad"], 1.0).information_gain(there, term="bad")


class Generic(nn.Module):
    """Linear in 20 parameters; data see only some of them, through rows without zeros inside."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.zeros(20, dtype=F64))
        self.outputs = outputs

    def forward(self, z: Tensor) -> Tensor:
        return z.reshape(len(z), self.outputs, 20) @ self.a


def vanishing_prior(
    rows: FloatArray, G: FloatArray, T: FloatArray, scale: FloatArray, alpha: float
) -> FloatArray:
    """Summed variance at T after each candidate, for the prior alpha D^2; noise one."""
    A = rows.T @ rows + alpha * np.diag(scale**2)
    return np.array([np.trace(T @ np.linalg.solve(A + g.T @ g, T.T)) for g in G])


@pytest.mark.parametrize("outputs", [1, 2])
def test_without_a_prior_a_lowers_the_open_part_at_the_targets_first(outputs: int) -> None:
    rng = np.random.default_rng(3)
    span = rng.standard_normal((9, 20)) * np.exp(rng.standard_normal(20))
    data = rng.standard_normal((6, 4)) @ span[:4]
    model = Generic(outputs)
    n = len(data) // outputs
    x = torch.from_numpy(data.reshape(n, -1))
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, torch.zeros(n, outputs, dtype=F64)))
    post = hs.GaussNewtonPosterior(risk, 1.0)
    scale = np.linalg.norm(data, axis=0)
    # targets in the span of what is known (4) and useful (2), not of what is of no use (3)
    targets = (rng.standard_normal((3 * outputs, 6)) @ span[:6]) / 3
    mixes = np.zeros((8 * outputs, 9))
    mixes[:, :4] = rng.standard_normal((8 * outputs, 4))
    mixes[: 2 * outputs, 6:] = rng.standard_normal((2 * outputs, 3))  # new directions of no use
    mixes[3 * outputs : 5 * outputs, 4:6] = rng.standard_normal((2 * outputs, 2))
    mixes[5 * outputs : 6 * outputs, 4:] = rng.standard_normal((outputs, 5))
    G = (mixes @ span).reshape(8, outputs, 20)
    there, T = torch.from_numpy(G.reshape(8, -1)), torch.from_numpy(targets.reshape(3, -1))
    found = post.design(there, 4, criterion="A", targets=T)
    rows = data
    seen: list[int] = []
    for step in range(4):
        left = vanishing_prior(rows, G, targets, scale, 1e-7)
        left[seen] = np.inf
        assert found.indices[step] == left.argmin()
        seen.append(int(left.argmin()))
        rows = np.r_[rows, G[seen[-1]]]
    assert set(found.indices[: 2 // outputs]) <= {3, 4, 5}
    closed = np.isfinite(found.rms_std)
    assert closed.any()
    for step in np.flatnonzero(closed).tolist():
        rows = np.r_[data, *G[found.indices[:step]]]
        C = np.linalg.pinv(rows.T @ rows, rcond=1e-11)
        expected = np.sqrt(np.trace(targets @ C @ targets.T) / len(targets))
        assert found.rms_std[step] == pytest.approx(expected, rel=1e-6)


def test_targets_that_are_determined_get_better_although_candidates_open_directions() -> None:
    """Only a[0] is determined and wanted: a new direction elsewhere tells nothing of it."""
    z = torch.zeros(3, 20, dtype=F64)
    z[:, 0] = torch.tensor([1.0, 2.0, 1.5])
    risk = hs.EmpiricalRisk(Generic(), hs.SquaredError(), (z, torch.zeros(3, 1, dtype=F64)))
    post = hs.GaussNewtonPosterior(risk, 0.1)
    there = torch.zeros(2, 20, dtype=F64)
    there[0, 1] = there[1, 0] = 1.0
    found = post.design(there, 1, criterion="A", targets=there[1:])
    assert found.indices.tolist() == [1]
    assert found.rms_std[1] == pytest.approx((7.25 + 1) ** -0.5)
    assert post.design(there, 1).indices.tolist() == [0]
    # two that open the same: the one with less finite variance, although it comes second
    wide = torch.zeros(2, 20, dtype=F64)
    wide[:, 1], wide[0, 0] = 1.0, 3.0
    found = post.design(wide, 1, criterion="A", targets=torch.eye(20, dtype=F64)[1:2])
    assert found.indices.tolist() == [1]
    assert found.rms_std[1] == pytest.approx(1.0)


def test_a_small_new_direction_counts_beside_a_large_one() -> None:
    rng = np.random.default_rng(1)
    Q = np.linalg.qr(rng.standard_normal((20, 20)))[0]
    x = torch.from_numpy(Q[:5])
    risk = hs.EmpiricalRisk(Generic(), hs.SquaredError(), (x, torch.zeros(5, 1, dtype=F64)))
    post = hs.GaussNewtonPosterior(risk, 0.1)
    there = torch.from_numpy(np.array([Q[6] * 1e6, Q[1] + 1e-7 * Q[7], Q[2], 1e-9 * Q[8]]))
    gains = post.information_gain(there)
    for i in range(4):
        assert np.isinf(gains[i]) == np.isinf(post.prediction_std(there[i : i + 1])[0, 0])
        alone = post.information_gain(there[i : i + 1])[0]
        assert alone == pytest.approx(gains[i], rel=1e-9)
    assert np.isinf(gains).tolist() == [True, True, False, True]
    # once measured, a direction is not new again
    found = post.design(there, 8, repeat=True)
    assert np.isinf(found.gains).sum() == 3
    assert sorted(found.indices[:3].tolist()) == [0, 1, 3]
    # nor is what rounding leaves of a small one that two candidates share
    tilts = np.array([Q[1] + Q[3], Q[2] - Q[0], Q[4] + Q[0]]) + 1e-12 * Q[7]
    assert np.isinf(post.information_gain(torch.from_numpy(tilts))).all()
    found = post.design(torch.from_numpy(tilts), 3)
    assert np.isinf(found.gains).tolist() == [True, False, False]


def test_with_other_costs_greedy_gains_have_no_bound() -> None:
    z = torch.zeros(2, 20, dtype=F64)
    z[0, 0] = z[1, 1] = 1.0
    risk = hs.EmpiricalRisk(Generic(), hs.SquaredError(), (z, torch.zeros(2, 1, dtype=F64)))
    post = hs.GaussNewtonPosterior(risk, 1.0)
    there = z * torch.tensor([[1.0], [0.01]], dtype=F64)
    found = post.design(there, 1, costs=[1.0, 1e-5])
    assert found.gains[0] < 1e-3 * post.information_gain(there).max()


@pytest.mark.parametrize("criterion", ["D", "A"])
def test_choices_with_two_noises_are_those_of_dense_posteriors(criterion: Any) -> None:
    model, x, there = mlp(2, 4, 2), draw(6, 2), draw(7, 2, seed=5)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, draw(6, 2, seed=3)))
    post = hs.GaussNewtonPosterior(risk, SIGMAS, 0.5)
    J = jacobian(model, x) / np.tile(SIGMAS, 6)[:, None]
    G = rows_of(model, there) / SIGMAS[:, None]
    found = post.design(there, 3, criterion=criterion)
    chosen: list[int] = []
    for step in range(3):
        costs = []
        for g in G:
            rows = np.r_[J, g]
            C = np.linalg.inv(rows.T @ rows + 0.5 * np.eye(rows.shape[1]))
            D = np.linalg.slogdet(C)[1]
            costs.append(D if criterion == "D" else sum(np.trace(h @ C @ h.T) for h in G))
        order = [i for i in np.argsort(costs) if i not in chosen]
        chosen.append(int(order[0]))
        J = np.r_[J, G[chosen[-1]]]
        C = np.linalg.inv(J.T @ J + 0.5 * np.eye(J.shape[1]))
        rms = np.sqrt(np.mean([np.diag(h @ C @ h.T) for h in G]))
        assert found.rms_std[step + 1] == pytest.approx(rms, rel=1e-8)
    assert found.indices.tolist() == chosen


def test_gains_need_samples_along_the_first_dimension() -> None:
    """Outputs (time, samples, 1): rows are times, which are not what one candidate is."""

    class TimeFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 1).double()

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.layer(x).transpose(0, 1)
            return out

    x = draw(6, 3, 2)  # six samples of three times
    model = TimeFirst()
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (x, model(x).detach()), num_samples=6)
    assert risk.sample_axis == 1
    post = hs.GaussNewtonPosterior(risk, 0.1)
    with pytest.raises(InputError, match="candidates: samples are dimension 1 of the outputs"):
        post.information_gain(x)
    assert post.prediction_std(x).shape == (3, 6, 1)
