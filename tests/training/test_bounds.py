"""Bounds of what a random vector leaves unseen, and extremes of operators that change."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hessium.linalg import as_operator
from hessium.linalg.congruence import Diagonal, Factor
from hessium.training.extremes import DEEP, measure_extremes
from hessium.training.ritz_space import End
from hessium.training.upper_ends import coupled, largest_support, normal_floor
from hessium.training.warm_start import Extremes, Warm, next_to

F64 = torch.float64


def walk(values: np.ndarray, start: np.ndarray, steps: int) -> tuple[list[float], list[float]]:
    """Lanczos on a diagonal matrix."""
    alpha, beta, basis = [], [], [start / np.linalg.norm(start)]
    for _ in range(steps):
        step = values * basis[-1]
        alpha.append(float(basis[-1] @ step))
        for _ in range(2):
            for v in basis:
                step = step - v * (v @ step)
        beta.append(float(np.linalg.norm(step)))
        basis.append(step / beta[-1])
    return alpha, beta


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_bound_fails_as_often_as_stated(steps: int) -> None:
    """At confidence 0.7 with a lonely largest eigenvalue, where the bound is nearly attained."""
    rng = np.random.default_rng(steps)
    values = np.append(np.zeros(200), 1.0) + np.append(1e-3 * rng.standard_normal(200), 0.0)
    held, draws = 0, 400
    for _ in range(draws):
        start = rng.standard_normal(values.size)
        alpha, beta = walk(values, start, steps)
        mass = float(np.linalg.norm(start) / normal_floor(0.7)) ** 2
        held += largest_support(alpha, beta, mass) >= 1.0
    # three standard errors: false alarm 0.3 % a case
    assert held / draws >= 0.7 - 3 * (0.21 / draws) ** 0.5
    if steps == 1:  # and it is not wider than stated
        assert held / draws <= 0.7 + 3 * (0.21 / draws) ** 0.5


def test_a_floor_twice_as_high_is_seen_to_fail() -> None:
    rng = np.random.default_rng(0)
    values = np.append(np.zeros(200), 1.0) + np.append(1e-3 * rng.standard_normal(200), 0.0)
    held = 0
    for _ in range(400):
        start = rng.standard_normal(values.size)
        mass = float(np.linalg.norm(start) / (2 * normal_floor(0.7))) ** 2
        held += largest_support(*walk(values, start, 1), mass) >= 1.0
    assert held / 400 < 0.6


def test_coupled_bounds_the_block_matrix() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        a = rng.standard_normal((12, 12))
        a = a + a.T
        top, rest = a[:2, :2], np.linalg.eigvalsh(a[2:, 2:])
        theta, q = np.linalg.eigh(top)
        couplings = np.linalg.norm(a[2:, :2] @ q, axis=0)
        truth = np.linalg.eigvalsh(a)
        assert coupled(theta, couplings, rest[-1])[-1] >= truth[-1] - 1e-12
        assert coupled(theta, couplings, rest[0])[0] <= truth[0] + 1e-12
    assert coupled(theta, couplings, np.inf)[-1] == np.inf


def drifting(n: int, t: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, n, generator=generator, dtype=F64) for _ in range(2))
    values = torch.cat([torch.tensor([9.0, 6.0, -4.0], dtype=F64), torch.linspace(-1, 1, n - 3)])
    q, _ = torch.linalg.qr(a + t * b)
    return q * values @ q.mT


def measured(matrix: torch.Tensor, warm: Warm, seed: int, steps: int = 2) -> Extremes:
    d = torch.linspace(0.5, 2.0, len(matrix), dtype=F64)
    sides: list[tuple[Factor | None, dict[str, End]]] = [
        (None, {"top": "largest", "bottom": "smallest"}),
        (Diagonal(d), {"scaled": "largest"}),
    ]
    return measure_extremes(
        as_operator(matrix), sides, warm, np.random.default_rng(seed),
        tol=0.01, confidence=0.95, steps=steps,
    )  # fmt: skip


@pytest.mark.parametrize("steps", [1, 3])
def test_extremes_follow_an_operator(steps: int) -> None:
    warm, n = Warm(), 120
    d = torch.linspace(0.5, 2.0, n, dtype=F64)
    held, costs = [], []
    for t in range(30):
        matrix = drifting(n, 0.002 * t)
        found = measured(matrix, warm, t, steps)
        truth = torch.linalg.eigvalsh(matrix)
        wanted = {
            "top": float(truth[-1]),
            "bottom": float(truth[0]),
            "scaled": float(torch.linalg.eigvalsh(d[:, None] * matrix * d)[-1]),
        }
        for name, value in wanted.items():
            bracket = found.brackets[name]
            assert bracket.value == pytest.approx(value, rel=0.02)
            inner = bracket.upper >= value if name == "bottom" else bracket.lower <= value
            assert inner
            held.append(value in bracket)
        costs.append(found.num_matvecs)
    assert np.mean(held) >= 0.95
    assert np.median(costs) <= 3 + (2 if steps == 1 else 2 * steps)
    assert costs[0] > np.median(costs)


def test_brackets_hold_as_often_as_stated_over_an_unseen_eigenvalue() -> None:
    """The kept vector belongs to the second eigenvalue; only the random vector sees the first."""
    n, draws, held, held_shared = 150, 300, 0, 0
    matrix = torch.zeros(n, n, dtype=F64)
    matrix[0, 0], matrix[1, 1] = 10.0, 20.0
    kept = torch.eye(n, dtype=F64)[0]
    one: tuple[None, dict[str, End]] = (None, {"top": "largest"})
    other: tuple[Factor, dict[str, End]] = (
        Diagonal(torch.full((n,), 0.5, dtype=F64)),
        {"scaled": "largest"},
    )
    for seed in range(draws):
        warm = Warm(vectors={"top": kept, "scaled": kept})
        rng = np.random.default_rng(seed)
        both = measure_extremes(
            as_operator(matrix), [one, other], warm, rng, tol=0.01, confidence=0.7, steps=1
        )
        assert both.num_matvecs == 3
        held_shared += 5.0 in both.brackets["scaled"]
        warm = Warm(vectors={"top": kept})
        alone = measure_extremes(
            as_operator(matrix), [one], warm, rng, tol=0.01, confidence=0.7, steps=1
        )
        assert alone.brackets["top"].value == pytest.approx(10)
        held += 20.0 in alone.brackets["top"]
    error = 3 * (0.21 / draws) ** 0.5  # three standard errors: false alarm 0.3 % a side
    assert 0.7 - error <= held / draws <= 0.7 + error
    assert held_shared / draws >= 0.7 - error


def test_a_jump_starts_over() -> None:
    warm = Warm()
    assert not measured(drifting(120, 0.0), warm, 0).restarted
    assert not measured(drifting(120, 0.001), warm, 1).restarted
    other = torch.randn(120, 120, generator=torch.Generator().manual_seed(5), dtype=F64)
    q, _ = torch.linalg.qr(other)
    matrix = q @ drifting(120, 0.0) @ q.mT
    found = measured(matrix, warm, 2)
    assert found.restarted
    assert found.brackets["top"].value == pytest.approx(9.0, rel=0.02)


@pytest.mark.parametrize("explores", [True, False])
def test_an_eigenvalue_that_overtakes_is_found(explores: bool) -> None:
    """The negative control has no second vector, and stays with the one that was the largest."""
    n, warm, errors = 150, Warm(), []
    q, _ = torch.linalg.qr(drifting(n, 0.0) + 3 * torch.eye(n, dtype=F64))
    for t in range(20):
        values = torch.linspace(-1, 1, n, dtype=F64)
        values[-2:] = torch.tensor([9.0 - 0.15 * t, 8.0 + 0.15 * t])
        if not explores:
            warm.vectors.pop(next_to("top"), None)
        found = measure_extremes(
            as_operator(q * values @ q.mT), [(None, {"top": "largest"})], warm,
            np.random.default_rng(t), tol=0.01, confidence=0.95,
            steps=1 if t else DEEP, explore=explores and t % 4 == 0,
        )  # fmt: skip
        errors.append(abs(1 - found.brackets["top"].value / float(values.max())))
        assert found.brackets["top"].lower <= float(values.max()) * (1 + 1e-10)
    assert (max(errors) < 0.01) == explores


def test_the_curvature_along_a_residual_is_learnt_from_the_end_that_was_found() -> None:
    warm, slope = Warm(), 0.3
    residual = 0.4
    end = float(np.linalg.eigvalsh([[2.0, residual], [residual, 2.0 * slope]])[-1])
    for _ in range(12):
        warm.learn("top", 0, 2.0, residual, end)
    assert warm.slope("top", 0) == pytest.approx(slope, abs=1e-3)
    assert warm.slope("top", 1) == Warm().slope("top", 1)  # other steps have their own
    before = warm.slope("top", 0)
    warm.learn("top", 0, 2.0, 0.02, end)  # so small a residual says nothing
    assert warm.slope("top", 0) == before


def test_more_products_refine_an_ordinary_record() -> None:
    costs = []
    for more in (0, 10):
        warm = Warm()
        for t in range(8):
            found = measure_extremes(
                as_operator(drifting(200, 0.01 * t)), [(None, {"top": "largest"})], warm,
                np.random.default_rng(t), tol=1e-4, confidence=0.95, steps=1, usual=2, more=more,
                exact=t == 0,
            )  # fmt: skip
        costs.append(found.num_matvecs)
        if more:
            assert found.brackets["top"].value == pytest.approx(9, rel=1e-4)
    assert costs[0] == 2 < costs[1] <= 12


def test_ends_near_a_threshold_are_refined() -> None:
    found = {}
    for near in (8.0, 20.0):
        warm = Warm()
        for t in range(6):
            found[near] = measure_extremes(
                as_operator(drifting(200, 0.02 * t)), [(None, {"top": "largest"})], warm,
                np.random.default_rng(t), tol=1e-4, confidence=0.95, steps=1, usual=2,
                exact=t == 0, near={"top": near},
            )  # fmt: skip
    assert found[20.0].num_matvecs == 2 < found[8.0].num_matvecs
    assert found[8.0].brackets["top"].value == pytest.approx(9, rel=1e-4)


def test_a_product_serves_both_spectra() -> None:
    """The vector kept for D A D is multiplied as the eigenvector of A, which A alone lacks."""
    n = 80
    d = torch.linspace(0.5, 2.0, n, dtype=F64)
    x, other = torch.randn(2, n, generator=torch.Generator().manual_seed(0), dtype=F64)
    x, other, y = x / x.norm(), other / other.norm(), x / d / (x / d).norm()
    found = measure_extremes(
        as_operator(5 * torch.outer(x, x)),
        [(None, {"top": "largest"}), (Diagonal(d), {"scaled": "largest"})],
        Warm(vectors={"top": other, "scaled": y}), np.random.default_rng(0),
        tol=10.0, confidence=0.95, steps=0, most=2,
    )  # fmt: skip
    assert found.brackets["top"].value == pytest.approx(5, rel=1e-9)


def test_zero_and_tiny_operators() -> None:
    for n in (1, 2, 5):
        found = measured(torch.zeros(n, n, dtype=F64), Warm(), 0)
        assert found.brackets["top"].value == 0
        assert 0 in found.brackets["scaled"]
    found = measured(torch.diag(torch.tensor([1.0, -2.0], dtype=F64)), Warm(), 0, 8)
    assert found.brackets["bottom"].value == pytest.approx(-2)
    assert found.brackets["top"].upper == pytest.approx(1, rel=1e-6)
