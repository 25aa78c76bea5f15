"""Inertia and rank of operators too large to factor, against those of the same matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.errors import InputError
from hessium.linalg import SymmetricOperator
from support.chosen_spectra import Counted, with_eigenvalues
from support.risk_cases import classes, draw, mlp, seeded


def operators() -> dict[str, SymmetricOperator]:
    x, labels = draw(30, 6), classes(30, high=3)
    risk = hs.EmpiricalRisk(mlp(6, 12, 3), nn.CrossEntropyLoss(), (x, labels))
    least = hs.EmpiricalRisk(mlp(6, 12, 3), nn.MSELoss(), (x, draw(30, 3, seed=3)))
    return {
        "H": hs.Hessian(risk),
        "H0": hs.GaussNewton(risk),
        "H1": hs.ResidualHessian(least),
        "H0 mse": hs.GaussNewton(least),
    }


def matrices() -> dict[str, Tensor]:
    rng = np.random.default_rng(0)
    wigner = draw(150, 150, seed=9)
    factor = draw(150, 60, seed=8)
    return {name: op.dense() for name, op in operators().items()} | {
        "wigner": (wigner + wigner.mT) / 2,
        "wishart of rank 60": factor @ factor.mT,
        "graded": with_eigenvalues(rng.choice([-1, 1], 120) * np.geomspace(1e-12, 1, 120)),
    }


def misses(matrix: Tensor, tol: float, seed: int, **options: object) -> tuple[int, int]:
    """How many of the four brackets do not hold the exact counts, and how wide they are."""
    exact = hs.inertia(matrix, tol, method="exact")
    found = hs.inertia(matrix, tol, method="quadrature", rng=seed, **options)  # type: ignore[arg-type]
    assert found.method == "quadrature"
    assert found.scale == pytest.approx(exact.scale, rel=1e-6)
    wrong = width = 0
    for part in ("negative", "zero", "positive", "rank"):
        truth, bracket = getattr(exact, part), getattr(found, part)
        assert bracket.lower <= bracket.value <= bracket.upper
        assert bracket.confidence == options.get("confidence", 0.999)
        # where the exact count is a bracket itself, both must meet
        wrong += not (bracket.lower <= truth.upper and truth.lower <= bracket.upper)
        width += bracket.upper - bracket.lower
    return wrong, width


TOLS = [0.0, 1e-9, 1e-6, 1e-2, 0.3]


def test_brackets_contain_the_exact_inertia() -> None:
    wrong = [
        misses(matrix, tol, seed, probes=4, steps=20, deflate=5)[0]
        for seed, (matrix, tol) in enumerate(
            (matrix, tol) for matrix in matrices().values() for tol in TOLS
        )
    ]
    assert len(wrong) == 35
    assert sum(wrong) == 0


@pytest.mark.slow
def test_brackets_contain_the_exact_inertia_in_three_hundred_draws() -> None:
    """At confidence 0.999 a third of a draw may miss on average; the brackets are conservative."""
    wrong = [
        misses(matrix, tol, 100 + seed, probes=4, steps=25, deflate=8)[0]
        for matrix in matrices().values()
        for tol in (1e-6, 1e-2, 0.3)
        for seed in range(15)
    ]
    assert len(wrong) == 315
    assert sum(wrong) == 0


def test_too_low_a_level_misses() -> None:
    """Control: brackets that claim little hold little; the test above can fail."""
    matrix = matrices()["wigner"]
    wrong = [
        misses(matrix, 0.01, seed, confidence=0.02, probes=2, steps=150)[0] for seed in range(10)
    ]
    assert sum(wrong) > 5


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10, 11, 12])
def test_small_matrices_are_counted_exactly(n: int) -> None:
    matrix = with_eigenvalues(np.linspace(-1.0, 1.5, n))
    assert misses(matrix, 1e-3, 0) == (0, 0)


def test_the_zero_matrix_and_the_identity() -> None:
    zero = hs.inertia(torch.zeros(40, 40), method="quadrature")
    assert [int(c) for c in (zero.negative, zero.zero, zero.positive)] == [0, 40, 0]
    identity = hs.inertia(torch.eye(40), method="quadrature")
    assert [int(c) for c in (identity.negative, identity.zero, identity.positive)] == [0, 0, 40]
    assert identity.rank.exact


def test_single_precision_resolves_what_it_can() -> None:
    matrix = matrices()["H0"]
    exact = hs.inertia(matrix, 1e-3, method="exact")
    found = hs.inertia(matrix.float(), 1e-3, method="quadrature", probes=4, steps=40)
    assert found.positive.lower <= int(exact.positive) <= found.positive.upper
    # a null space at a threshold below the resolution: open, not guessed
    below = hs.inertia(matrix.float(), 1e-8, method="quadrature", probes=4, steps=40)
    assert below.resolution > below.threshold
    truth = hs.inertia(matrix, 1e-8, method="exact")
    assert below.negative.lower <= int(truth.negative) <= below.negative.upper
    assert below.zero.lower <= int(truth.zero) <= below.zero.upper


def test_what_cannot_be_negative_is_not() -> None:
    model, loss = seeded(mlp(6, 8, 4)), nn.CrossEntropyLoss()
    risk = hs.EmpiricalRisk(model, loss, (draw(20, 6), classes(20, high=4)))
    found = hs.inertia(hs.GaussNewton(risk), method="quadrature", deflate=2, probes=2, steps=10)
    exact = hs.inertia(hs.GaussNewton(risk))
    assert (found.negative.lower, found.negative.upper) == (0, 0)
    assert found.rank.lower <= exact.rank.value <= found.rank.upper
    assert found.zero.lower <= exact.zero.value <= found.zero.upper
    # a loss that is not convex makes no such promise
    bent = hs.EmpiricalRisk(
        model, lambda f, y: f.sin().sum(), (draw(20, 6), classes(20, high=4)), reduction="sum"
    )
    assert not hs.GaussNewton(bent).positive_semidefinite
    assert (2 * hs.GaussNewton(risk) + 1.0 * hs.EmpiricalFisher(risk)).positive_semidefinite
    assert not (hs.GaussNewton(risk) - hs.EmpiricalFisher(risk)).positive_semidefinite


def test_progress_of_a_count_goes_forward() -> None:
    seen: list[tuple[int, int]] = []
    matrix = with_eigenvalues(np.random.default_rng(0).standard_normal(150))
    hs.inertia(
        matrix, method="quadrature", deflate=3, probes=3, steps=20,
        progress=lambda done, total, unit: seen.append((done, total)),
    )  # fmt: skip
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1]


def test_operators_of_networks_and_automatic_choice() -> None:
    for name, operator in operators().items():
        exact, matrix = hs.inertia(operator, 1e-4), operator.dense()
        small = 16 * matrix.shape[0] * 8 * 8  # no room for the matrix, room for the vectors
        found = hs.inertia(operator, 1e-4, max_bytes=small, probes=3, steps=20, deflate=5)
        assert found.method == "quadrature", name
        assert found.negative.lower <= int(exact.negative) <= found.negative.upper
        assert found.positive.lower <= int(exact.positive) <= found.positive.upper
        rank = hs.rank(operator, 1e-4, method="quadrature", probes=3, steps=20)
        assert rank.lower <= int(exact.rank) <= rank.upper
        assert rank.confidence == 0.999


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"tol": 1.0}, "tol"),
        ({"method": "guess"}, "method"),
        ({"probes": 0}, "probes"),
        ({"steps": 0}, "steps"),
        ({"confidence": 1.0}, "confidence"),
        ({"confidence": 0.0}, "confidence"),
        ({"max_bytes": 60 * 8 * 40}, "max_bytes"),
        ({"rng": -3}, "rng"),
    ],
)
def test_bad_arguments_are_named_before_the_first_product(
    arguments: dict[str, object], word: str
) -> None:
    operator = Counted(with_eigenvalues(np.linspace(-1, 1, 60)))
    options = {"method": "quadrature"} | arguments
    with pytest.raises((InputError, TypeError), match=word):
        hs.inertia(operator, **options)  # type: ignore[arg-type]
    assert operator.products == 0
