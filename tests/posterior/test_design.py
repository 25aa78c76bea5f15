"""Gains and greedy designs against posteriors that are computed anew with the added data."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium._typing import FloatArray
from support.posterior_cases import THREE_ROWS, Linear6, dense_covariance, jacobian
from support.risk_cases import draw, mlp

NOISE, ALPHA = 0.2, 0.5


def problem(outputs: int = 1) -> tuple[nn.Module, Tensor, hs.GaussNewtonPosterior]:
    model, x = mlp(2, 5, outputs), draw(6, 2)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, draw(6, outputs, seed=3)))
    return model, x, hs.GaussNewtonPosterior(risk, NOISE, ALPHA)


def test_the_gain_of_one_output_is_exact_and_so_is_a_repetition() -> None:
    model, x, post = problem()
    for there in (x, draw(7, 2, seed=5)):
        v = post.prediction_std(there)[:, 0] ** 2
        np.testing.assert_allclose(
            post.information_gain(there), np.log1p(v / NOISE**2) / 2, rtol=1e-12
        )
    J = jacobian(model, x)
    before = np.linalg.slogdet(dense_covariance(J, NOISE, ALPHA))[1]
    for i, gain in enumerate(post.information_gain(x)):
        after = np.linalg.slogdet(dense_covariance(np.r_[J, J[i : i + 1]], NOISE, ALPHA))[1]
        assert gain == pytest.approx((before - after) / 2, rel=1e-9)
    # without a prior too, where it adds no direction
    free = post.with_prior(0.0)
    v = free.prediction_std(x)[:, 0] ** 2
    np.testing.assert_allclose(free.information_gain(x), np.log1p(v / NOISE**2) / 2, rtol=1e-12)
    doubled = hs.EmpiricalRisk(model, hs.SquaredError(), (x[[0, 1, 2, 3, 4, 5, 2]], draw(7, 1)))
    assert hs.GaussNewtonPosterior(doubled, NOISE).rank == free.rank == 6


def test_several_outputs_are_measured_together() -> None:
    model, x, post = problem(outputs=3)
    there = draw(4, 2, seed=5)
    C = dense_covariance(jacobian(model, x), NOISE, ALPHA)
    G = jacobian(model, there).reshape(4, 3, -1)
    expected = [np.linalg.slogdet(np.eye(3) + g @ C @ g.T / NOISE**2)[1] / 2 for g in G]
    np.testing.assert_allclose(post.information_gain(there), expected, rtol=1e-10)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("criterion", ["D", "A"])
def test_greedy_choices_are_those_of_posteriors_computed_anew(outputs: int, criterion: str) -> None:
    model, x, post = problem(outputs)
    there = draw(8, 2, seed=5)
    G = jacobian(model, there).reshape(8, outputs, -1)
    rows = jacobian(model, x)
    chosen: list[int] = []
    spread = []
    for _ in range(3):

        def score(i: int, rows: FloatArray = rows) -> float:
            C = dense_covariance(np.r_[rows, G[i]], NOISE, ALPHA)
            if criterion == "D":
                return float(-np.linalg.slogdet(C)[1])
            return float(-sum(np.trace(g @ C @ g.T) for g in G))

        best = max((i for i in range(8) if i not in chosen), key=score)
        chosen.append(best)
        rows = np.r_[rows, G[best]]
        C = dense_covariance(rows, NOISE, ALPHA)
        spread.append(np.sqrt(np.mean([np.diag(g @ C @ g.T) for g in G])))
    found = post.design(there, 3, criterion=criterion)  # type: ignore[arg-type]
    assert found.indices.tolist() == chosen
    np.testing.assert_allclose(found.rms_std[1:], np.array(spread) / NOISE, rtol=1e-8)
    picked = post.next_measurements(there, 3, criterion=criterion)  # type: ignore[arg-type]
    assert picked.tolist() == chosen
    assert picked.dtype == np.int64
    assert there[picked].shape == (3, 2)


def test_a_batch_of_close_candidates_is_not_measured_twice() -> None:
    _, _, post = problem()
    far = torch.tensor([[3.0, 3.0], [3.0, 3.0001], [-2.0, 1.0]], dtype=torch.float64)
    gains = post.information_gain(far)
    assert gains[:2].min() > gains[2]
    assert set(post.next_measurements(far, 2).tolist()) & {2}


def test_costs_divide_gains_and_repetition_is_allowed_on_request() -> None:
    _, _, post = problem()
    there = draw(5, 2, seed=5)
    gains = post.information_gain(there)
    costs = np.array([1.0, 2.0, 3.0, 4.0, 100.0])
    assert post.next_measurements(there, 1, costs=costs)[0] == (gains / costs).argmax()
    assert len(post.next_measurements(there, 9, repeat=True)) == 9
    with pytest.raises(ValueError, match="k: 9"):
        post.next_measurements(there, 9)
    with pytest.raises(ValueError, match="costs"):
        post.next_measurements(there, 1, costs=[1.0, -1.0, 1.0, 1.0, 1.0])
    with pytest.raises((ValueError, TypeError), match="criterion"):
        post.next_measurements(there, 1, criterion="E")  # type: ignore[arg-type]


def test_targets_of_the_a_criterion() -> None:
    model, x, post = problem()
    there, targets = draw(6, 2, seed=5), draw(3, 2, seed=8)
    J, G, T = jacobian(model, x), jacobian(model, there), jacobian(model, targets)

    def left(i: int) -> float:
        C = dense_covariance(np.r_[J, G[i : i + 1]], NOISE, ALPHA)
        return float(np.trace(T @ C @ T.T))

    found = post.design(there, 1, criterion="A", targets=targets)
    best = min(range(6), key=left)
    assert found.indices.tolist() == [best]
    assert found.rms_std[1] == pytest.approx(np.sqrt(left(best) / 3) / NOISE, rel=1e-9)


def test_new_directions_come_first_and_then_the_limit_is_exact() -> None:
    model = Linear6()
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (THREE_ROWS, model(THREE_ROWS).detach()))
    post = hs.GaussNewtonPosterior(risk, noise=0.1)
    there = torch.cat([torch.eye(6, dtype=torch.float64), draw(4, 6, seed=1)])
    gains = post.information_gain(there)
    assert np.isinf(gains).tolist() == [False, True, True, False, True, True, *[True] * 4]
    found = post.design(there, 5)
    assert np.isinf(found.gains).tolist() == [True, True, True, False, False]
    assert np.isinf(found.rms_std).tolist() == [True, True, True, False, False, False]
    for k in (3, 4, 5):
        rows = np.r_[THREE_ROWS.numpy(), there[found.indices[:k]].numpy()]
        C = np.linalg.inv(rows.T @ rows)
        expected = np.sqrt(np.mean(np.diag(there.numpy() @ C @ there.numpy().T)))
        assert found.rms_std[k] == pytest.approx(expected, rel=1e-8)
    everything = torch.eye(6, dtype=torch.float64)
    used = post.design(everything, 6).indices.tolist()
    assert set(used[:3]) in [{4, 5, 1}, {4, 5, 2}]


def test_order_of_candidates_does_not_matter() -> None:
    _, _, post = problem()
    there = draw(6, 2, seed=5)
    base = [there[i].tolist() for i in post.next_measurements(there, 3)]
    for order in itertools.islice(itertools.permutations(range(6)), 0, 720, 240):
        moved = there[list(order)]
        assert [moved[i].tolist() for i in post.next_measurements(moved, 3)] == base
