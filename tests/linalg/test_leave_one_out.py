"""Leave-one-out estimates against a projector of its own for each set of probes."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch

from hessium.linalg import leave_one_out
from hessium.linalg.sketch import Sketch, directions, gram64, missed_part, without

Array = npt.NDArray[np.float64]

N, M = 12, 5
RNG = np.random.default_rng(7)
A = (lambda X: (X + X.T) / 2 + np.diag(np.arange(N)))(RNG.standard_normal((N, N)))
SPHERE = (lambda X: X * np.sqrt(N) / np.linalg.norm(X, axis=0))(RNG.standard_normal((N, M)))
SIGNS = np.sign(RNG.standard_normal((N, M)))


def projector(probes: Array, *missing: int) -> Array:
    """Onto the images of all probes but some."""
    basis = np.linalg.qr(A @ np.delete(probes, missing, axis=1))[0]
    return np.asarray(basis @ basis.T)


def trace_without(i: int, *others: int) -> float:
    rest = np.eye(N) - projector(SPHERE, i, *others)
    left = rest @ SPHERE[:, i]
    scale = np.trace(rest) / (left @ left)
    return float(np.trace(A) - np.trace(rest @ A) + scale * left @ A @ left)


def square_without(i: int, *others: int) -> float:
    P = projector(SPHERE, i, *others)
    return float(np.sum((A @ P) ** 2) + np.sum(((np.eye(N) - P) @ A @ SPHERE[:, i]) ** 2))


def diagonal_without(i: int, *others: int) -> Array:
    P = projector(SIGNS, i, *others)
    return np.diagonal(P @ A) + SIGNS[:, i] * ((np.eye(N) - P) @ A @ SIGNS[:, i])


def variance_of_mean(estimate: Callable[..., Array | float], paired: int) -> Array:
    """By the formula of the module, pair by pair; never below that of independent estimates."""
    alone = np.array([estimate(i) for i in range(M)])
    products = [
        (alone[i] - estimate(i, j)) * (alone[j] - estimate(j, i))
        for i, j in itertools.combinations(range(paired), 2)
    ]
    return np.asarray(alone.var(axis=0, ddof=1) / M + np.maximum(np.mean(products, axis=0), 0.0))


def sketch_of(probes: Array) -> Sketch:
    return Sketch.of(torch.as_tensor(A @ probes))


@pytest.mark.parametrize("paired", [3, 64])
def test_traces(paired: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leave_one_out, "PAIRED", paired)
    sketch = sketch_of(SPHERE)
    Q = sketch.basis.numpy()
    found, variance = leave_one_out.trace_estimates(sketch, Q.T @ SPHERE, Q.T @ A @ Q)
    np.testing.assert_allclose(found, [trace_without(i) for i in range(M)], rtol=1e-10)
    expected = variance_of_mean(trace_without, min(paired, M))
    assert variance == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("paired", [3, 64])
def test_squares(paired: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leave_one_out, "PAIRED", paired)
    sketch = sketch_of(SPHERE)
    Q = sketch.basis.numpy()
    found, variance = leave_one_out.square_estimates(sketch, Q.T @ A @ A @ Q)
    np.testing.assert_allclose(found, [square_without(i) for i in range(M)], rtol=1e-10)
    expected = variance_of_mean(square_without, min(paired, M))
    assert variance == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize(("paired", "chunk"), [(3, 2**20), (12, 4 * M), (12, 1)])
def test_diagonals(paired: int, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leave_one_out, "PAIRED_ENTRIES", paired)
    monkeypatch.setattr(leave_one_out, "CHUNK", chunk)
    sketch = sketch_of(SIGNS)
    images = torch.as_tensor(A) @ sketch.basis
    mean, variance = leave_one_out.diagonal_estimates(sketch, torch.as_tensor(SIGNS), images)
    alone = np.array([diagonal_without(i) for i in range(M)])
    np.testing.assert_allclose(mean.numpy(), alone.mean(axis=0), rtol=1e-10, atol=1e-12)
    expected = variance_of_mean(diagonal_without, min(paired, M))
    np.testing.assert_allclose(variance.numpy(), expected, rtol=1e-8)


def test_more_probes_than_dimensions_leave_nothing_of_the_pairs() -> None:
    """Rank two: without two probes the images still span the range, and all estimates agree."""
    low = torch.as_tensor(A[:, :2] @ A[:, :2].T)
    probes = torch.as_tensor(SIGNS)
    sketch = Sketch.of(low @ probes)
    mean, variance = leave_one_out.diagonal_estimates(sketch, probes, low @ sketch.basis)
    torch.testing.assert_close(mean, low.diagonal(), rtol=1e-9, atol=1e-9)
    assert float(variance.max()) < 1e-18


def test_directions_are_orthogonal_to_all_columns_but_one() -> None:
    R = sketch_of(SPHERE).factor
    S = directions(R)
    product = S.T @ R
    np.testing.assert_allclose(product, np.diag(np.diagonal(product)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(S, axis=0), 1.0)
    np.testing.assert_array_equal(directions(np.zeros((3, 3))), np.eye(3))
    # the third image is the sum of the others: the direction that misses both is found
    dependent = np.array([[2.0, 1.0, 3.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    assert np.abs(directions(dependent)[:, 2]) == pytest.approx([0, 0, 1])
    scaled = directions(1e-200 * R)
    np.testing.assert_allclose(scaled, S, rtol=1e-9)


def test_two_probes_left_out() -> None:
    R = sketch_of(SPHERE).factor
    both = without(directions(R), 4)
    assert both.shape == (4, M, 4)
    for j, i in itertools.permutations(range(4), 2):
        s = both[j, :, i]
        assert np.linalg.norm(s) == pytest.approx(1)
        # orthogonal to the direction of j and to all columns but i and j
        others = np.delete(R, [i, j], axis=1)
        np.testing.assert_allclose(s @ others, 0.0, atol=1e-12)
        assert abs(s @ directions(R)[:, j]) < 1e-12


def test_the_missed_part_is_the_squared_distance_to_the_other_images() -> None:
    Y = A @ SPHERE
    expected = [np.sum((Y[:, i] - projector(SPHERE, i) @ Y[:, i]) ** 2) for i in range(M)]
    np.testing.assert_allclose(missed_part(torch.as_tensor(Y)), expected, rtol=1e-9)
    np.testing.assert_array_equal(missed_part(torch.zeros(4, 2)), [0.0, 0.0])
    # an image within the span of the others misses nothing beyond rounding of the trace
    double = torch.as_tensor(np.stack([Y[:, 0], Y[:, 0]], axis=1))
    floor = 2.3e-16 * float((double**2).sum())
    assert (missed_part(double) < 4 * floor).all()


@pytest.mark.parametrize("unit", [1e-30, 1.0, 1e30])
def test_gram_matrices_of_small_and_large_float32(unit: float) -> None:
    Y = torch.tensor([[3.0, 1.0], [4.0, -1.0]]) * unit
    expected = np.array([[25.0, -1.0], [-1.0, 2.0]]) * unit**2
    found = gram64(Y)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_array_equal(gram64(torch.zeros(3, 2)), np.zeros((2, 2)))
