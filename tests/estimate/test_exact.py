"""Exact spectra and counts against matrices whose eigenvalues are chosen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import hessium as hs
from support.chosen_spectra import with_eigenvalues
from support.risk_cases import classes, draw, mlp

SMALL = np.concatenate([[-2.0, -1e-3, -3e-6], np.zeros(10), [2e-6, 1e-4, 0.5, 4.0]])
# the same counts at a size where factorisations are used
LARGE = np.concatenate([-np.geomspace(1e-5, 2, 120), np.zeros(400), np.geomspace(1e-5, 4.0, 180)])


@pytest.mark.parametrize(
    ("values", "method"), [(SMALL, "eigenvalues"), (LARGE, "ldl")], ids=["small", "large"]
)
@pytest.mark.parametrize("tol", [0.3, 1e-2, 1e-4, 1e-6])
def test_inertia_and_rank(values: np.ndarray, method: str, tol: float) -> None:
    matrix = with_eigenvalues(values)
    threshold = tol * 4.0
    found = hs.inertia(matrix, tol)
    assert found.method == method
    assert found.scale == pytest.approx(4.0, rel=1e-3)
    assert found.threshold == pytest.approx(threshold, rel=1e-3)
    wanted = (
        (values < -threshold).sum(),
        (abs(values) <= threshold).sum(),
        (values > threshold).sum(),
    )
    assert (int(found.negative), int(found.zero), int(found.positive)) == wanted
    assert found.negative.exact
    assert found.positive.exact
    assert int(hs.rank(matrix, tol)) == wanted[0] + wanted[2]


@pytest.mark.parametrize("n", [20, 700])
def test_an_eigenvalue_on_the_threshold_opens_the_bracket(n: int) -> None:
    values = np.concatenate([np.zeros(n - 3), [1e-6, -1e-6, 1.0]])
    found = hs.inertia(with_eigenvalues(values), tol=1e-6)
    assert (found.positive.lower, found.positive.upper) == (1, 2)
    assert (found.negative.lower, found.negative.upper) == (0, 1)
    assert (found.zero.lower, found.zero.upper) == (n - 3, n - 1)
    assert found.method == "eigenvalues"
    rank = hs.rank(with_eigenvalues(values), tol=1e-6)
    assert rank.lower == 1
    assert rank.upper == 3
    assert "in [1, 3]" in repr(rank)


def test_single_precision_cannot_resolve_one_part_in_a_million_and_says_so() -> None:
    values = np.concatenate([np.geomspace(1e-7, 1e-5, 50), [1.0]])
    found = hs.rank(with_eigenvalues(values).float(), tol=1e-6)
    assert not found.exact
    assert found.lower <= 26 <= found.upper
    assert hs.rank(with_eigenvalues(values), tol=1e-6).exact


def test_brackets_hold_the_truth_below_the_resolution() -> None:
    values = np.concatenate([np.full(59, 1e-9), [1.0]])
    found = hs.inertia(with_eigenvalues(values).float(), 0.0)
    assert found.positive.lower <= 60 <= found.positive.upper
    assert found.negative.lower <= 0 <= found.negative.upper
    assert found.zero.lower <= 0 <= found.zero.upper
    assert found.rank.lower <= 60 <= found.rank.upper


def test_zero_matrix_has_rank_zero() -> None:
    found = hs.inertia(torch.zeros(5, 5), tol=1e-6)
    assert (int(found.negative), int(found.zero), int(found.positive)) == (0, 5, 0)
    big = hs.inertia(torch.zeros(600, 600, dtype=torch.float64))
    assert int(big.zero) == 600


def test_inertia_of_multiples_and_negatives() -> None:
    matrix = with_eigenvalues(LARGE)
    found, scaled, flipped = (hs.inertia(m) for m in (matrix, 1e9 * matrix, -matrix))
    assert found.negative == scaled.negative == flipped.positive == 120


def test_spectrum_is_sorted_with_equal_weights() -> None:
    measure = hs.spectrum(with_eigenvalues(SMALL))
    np.testing.assert_allclose(measure.nodes, np.sort(SMALL), atol=1e-14)
    np.testing.assert_allclose(measure.weights, 1 / SMALL.size)
    assert measure.mean() == pytest.approx(SMALL.mean())


def test_rank_profile_counts_at_every_threshold() -> None:
    profile = hs.rank_profile(with_eigenvalues(SMALL), [1e-1, 1e-5, 1e-9])
    assert profile.positive.tolist() == [2, 3, 4]
    assert profile.negative.tolist() == [1, 2, 3]
    assert profile.rank.tolist() == [3, 5, 7]
    again = hs.rank_profile(hs.spectrum(with_eigenvalues(SMALL)), [1e-9, 1e-5, 1e-1])
    assert again.rank.tolist() == profile.rank.tolist()


def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Shapes of all matrices that are made dense."""
    seen: list[tuple[int, int]] = []
    for kind in (hs.Gram, hs.GaussNewton):
        original = kind.dense_beside

        def dense(self, vectors, *, max_bytes=2**33, made=original):  # type: ignore[no-untyped-def]
            seen.append(self.shape)
            return made(self, vectors, max_bytes=max_bytes)

        monkeypatch.setattr(kind, "dense_beside", dense)
    return seen


def test_gauss_newton_goes_through_its_gram_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = counted(monkeypatch)
    risk = hs.EmpiricalRisk(mlp(4, 8, 3), nn.CrossEntropyLoss(), (draw(6, 4), classes(6, high=3)))
    operator = hs.GaussNewton(risk)
    measure = hs.spectrum(operator)
    assert seen == [(18, 18)]
    assert measure.nodes.size == risk.dim
    dense = np.linalg.eigvalsh(operator.dense())
    np.testing.assert_allclose(measure.nodes, dense, atol=1e-13 * dense[-1])
    assert int(hs.rank(operator)) == int((dense > 1e-6 * dense[-1]).sum()) == 12
    scaled = hs.spectrum(3.0 * operator)
    np.testing.assert_allclose(scaled.nodes, 3 * measure.nodes, atol=1e-13)


def test_gauss_newton_with_many_samples_stays_dense(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = counted(monkeypatch)
    risk = hs.EmpiricalRisk(mlp(2, 2, 1), nn.MSELoss(), (draw(60, 2), draw(60, 1)))
    hs.spectrum(hs.GaussNewton(risk))
    assert seen == [(9, 9)]


@pytest.mark.slow
def test_a_million_parameters_and_a_hundred_samples() -> None:
    model = mlp(784, 1024, 256, 10)
    risk = hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), (draw(100, 784), classes(100, high=10)))
    assert risk.dim == 1_068_810
    rank = hs.rank(hs.GaussNewton(risk), tol=1e-9)
    assert rank.exact
    assert int(rank) == 900  # nine directions a sample: softmax ignores a shift of all scores


def single() -> hs.EmpiricalRisk:
    """Twelve samples and 921 parameters in float32, so that rounding decides much."""
    model = mlp(2, 20, 20, 20, 1).float()
    x, y = draw(12, 2).float(), draw(12, 1, seed=3).float()
    return hs.EmpiricalRisk(model, nn.MSELoss(), (x, y))


def test_what_is_known_of_a_gauss_newton_matrix_bounds_its_counts() -> None:
    operator = hs.GaussNewton(single())
    found = hs.inertia(operator, 1e-12)
    assert found.negative == 0
    assert found.rank.upper <= 12
    assert found.zero.lower == 909
    assert hs.rank(2.0 * operator, 1e-12).upper <= 12
    assert operator.rank_bound == 12
    assert (operator + operator).rank_bound == 24
    assert operator.shifted(1.0).rank_bound == 921
    assert hs.inertia(hs.Gram(operator.risk), 1e-12).negative == 0
    rough = hs.inertia(operator, 1e-12, method="quadrature", deflate=2, probes=2, steps=15)
    assert rough.negative == 0
    assert rough.rank.upper <= 12
    measure = hs.spectrum(operator)
    assert measure.nodes[0] == 0.0
    assert int((measure.nodes == 0).sum()) >= 909
    # the control: the same matrix without what is known of it
    assert hs.rank(operator.dense(), 1e-12).upper > 12


def test_the_gram_matrix_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    whole = hs.Gram.__init__

    def noted(self: hs.Gram, risk: hs.EmpiricalRisk) -> None:
        made.append(risk)
        whole(self, risk)

    monkeypatch.setattr(hs.Gram, "__init__", noted)
    operator = hs.GaussNewton(single())
    hs.inertia(operator)
    hs.rank(operator)
    hs.spectrum(operator)
    assert len(made) == 1
