"""Brackets of spectral sums hold the sum of every probe; both errors together hold the truth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.errors import IndefiniteError, InputError, NonFiniteError
from hessium.estimate import SpectralSum
from hessium.estimate.probes import sphere
from support.chosen_spectra import Counted, with_eigenvalues
from support.risk_cases import draw, mlp

SEEDS = 200
VALUES = np.concatenate([np.zeros(20), np.linspace(0.05, 3, 60)])
A = with_eigenvalues(VALUES)
SHIFT = 0.02
Function = Callable[..., SpectralSum]
SUMS: list[tuple[Function, Callable[[np.ndarray], np.ndarray]]] = [
    (
        lambda op, **k: hs.log_determinant(op, shift=SHIFT, method="quadrature", **k),
        lambda x: np.log(x + SHIFT),
    ),
    (
        lambda op, **k: hs.effective_dimension(op, SHIFT, method="quadrature", **k),
        lambda x: x / (x + SHIFT),
    ),
]


@pytest.mark.parametrize(("estimate", "f"), SUMS, ids=["log-determinant", "effective dimension"])
@pytest.mark.parametrize("steps", [4, 8, 16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_brackets_hold_what_the_probe_has(
    estimate: Function, f: Callable[[np.ndarray], np.ndarray], steps: int, dtype: torch.dtype
) -> None:
    """Always, not on average: omega^T f(A) omega by the eigenvectors, for the same probe."""
    values, vectors = np.linalg.eigh(A.numpy())
    found = estimate(A.to(dtype), probes=20, steps=steps, smallest=-1e-3)
    stream = np.random.default_rng(0)
    rounding = 1e3 * torch.finfo(dtype).eps * 80
    for lower, upper in found.brackets:
        exact = (sphere(stream, 80) @ vectors) ** 2 @ f(values)
        assert lower - rounding <= exact <= upper + rounding
        assert steps > 4 or upper - lower > 1
    assert found.smallest == pytest.approx(-1e-3)


@pytest.mark.parametrize("which", ["log", pytest.param("dimension", marks=pytest.mark.slow)])
def test_intervals(which: str) -> None:
    """Steps enough for the Monte-Carlo error alone."""
    held, shift = 0, 0.3
    truth = (np.log(VALUES + shift) if which == "log" else VALUES / (VALUES + shift)).sum()
    estimate = hs.log_determinant if which == "log" else hs.effective_dimension
    for seed in range(SEEDS):
        found = estimate(
            A, shift=shift, method="quadrature", probes=10, steps=9, smallest=-1e-3, rng=seed
        )
        lower, upper = found.interval()
        held += lower <= truth <= upper
        assert found.upper - found.lower < 0.1 * found.stderr
    assert 0.92 <= held / SEEDS <= 0.98  # 5 % false alarms over other seeds


@pytest.mark.parametrize(("estimate", "f"), SUMS, ids=["log-determinant", "effective dimension"])
@pytest.mark.slow
def test_gauss_rules_alone_fail_the_same_test(
    estimate: Function, f: Callable[[np.ndarray], np.ndarray]
) -> None:
    """Negative control: too few steps, and the algorithmic error left out."""
    truth, held, whole = float(f(VALUES).sum()), 0, 0
    for seed in range(100):
        found = estimate(A, probes=40, steps=4, smallest=-1e-3, rng=seed)
        lower, upper = found.interval()
        whole += lower <= truth <= upper
        width = upper - found.upper
        held += abs(found.upper - truth) <= width
    assert held < 80
    assert whole >= 95


def test_the_bound_that_random_starts_prove() -> None:
    """Where there is room below the spectrum it needs no help, and it is below the spectrum."""
    lifted = A + 0.5 * torch.eye(80, dtype=torch.float64)
    for seed in range(15):
        found = hs.log_determinant(lifted, method="quadrature", probes=10, steps=40, rng=seed)
        assert 0 < found.smallest <= 0.5
        assert found.upper - found.lower < 1e-6 * abs(found.value)
    blind = hs.log_determinant(lifted, method="quadrature", probes=10, steps=4)
    assert np.isneginf(blind.lower)
    assert np.isneginf(blind.interval()[0])
    assert blind.value == pytest.approx(blind.upper, rel=1e-14)


def test_a_matrix_that_is_not_positive_definite() -> None:
    operator = Counted(A - 0.3 * torch.eye(80, dtype=torch.float64))
    with pytest.raises(IndefiniteError, match=r"a shift above 0\.\d+ is required") as caught:
        hs.log_determinant(operator, shift=0.1, method="quadrature", steps=10)
    assert -0.2 <= caught.value.ritz_value <= 0
    assert isinstance(caught.value.partial, hs.DiscreteMeasure)
    assert caught.value.partial.nodes.size == 100
    with pytest.raises(IndefiniteError, match="rounding alone"):
        hs.log_determinant(A, method="quadrature", steps=60)
    with pytest.raises(InputError, match=r"smallest: 0.*a Ritz value -0"):
        hs.log_determinant(operator, shift=0.5, method="quadrature", smallest=0.0)


def test_memory_decides_how_many_starts_go_side_by_side() -> None:
    wide = hs.log_determinant(A, shift=SHIFT, method="quadrature", steps=12, smallest=-1e-3)
    narrow = hs.log_determinant(A, shift=SHIFT, steps=12, smallest=-1e-3, max_bytes=3 * 16 * 80 * 8)
    assert narrow.method == wide.method
    np.testing.assert_allclose(wide.brackets, narrow.brackets, rtol=1e-9)
    assert wide.num_matvecs == narrow.num_matvecs == 120
    assert "120 products" in repr(wide)
    with pytest.raises(InputError, match=r"max_bytes: .*12 steps"):
        hs.log_determinant(A, shift=SHIFT, steps=12, max_bytes=15 * 80 * 8)


def test_products_that_are_not_finite_leave_the_quadratures_before() -> None:
    operator = Counted(A, nan_at=51)
    with pytest.raises(NonFiniteError) as caught:
        hs.effective_dimension(operator, SHIFT, steps=12, max_bytes=3 * 16 * 80 * 8)
    assert isinstance(caught.value.partial, hs.DiscreteMeasure)
    assert caught.value.partial.nodes.size == 36


def test_parameters_that_the_data_determine() -> None:
    risk = hs.EmpiricalRisk(mlp(4, 12, 3), nn.MSELoss(), (draw(10, 4), draw(10, 3, seed=3)))
    operator = hs.GaussNewton(risk)
    values: Tensor = torch.linalg.eigvalsh(operator.dense())
    shift = 1e-3
    found = hs.effective_dimension(operator, shift, method="quadrature", probes=40, steps=40)
    truth = float((values / (values + shift)).sum())
    lower, upper = found.interval(0.9999)
    assert lower <= truth <= upper
    assert 0 < truth <= 30
    assert float(found) == found.value
    assert found.samples.shape == (40,)
    assert found.method == "stochastic Lanczos quadrature"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exact_sums(dtype: torch.dtype) -> None:
    """By all eigenvalues wherever the matrix, or its companion, fits."""
    sums: list[tuple[Function, Callable[[np.ndarray], np.ndarray]]] = [
        (lambda op, **k: hs.log_determinant(op, shift=SHIFT, **k), lambda x: np.log(x + SHIFT)),
        (lambda op, **k: hs.effective_dimension(op, SHIFT, **k), lambda x: x / (x + SHIFT)),
    ]
    for estimate, f in sums:
        found, truth = estimate(A.to(dtype)), float(f(VALUES).sum())
        assert found.method == "exact"
        assert found.lower <= truth <= found.upper
        assert found.interval() == pytest.approx((found.lower, found.upper))
        assert found.value == pytest.approx(truth, rel=1e-4 if dtype == torch.float32 else 1e-12)
        assert (found.stderr, found.num_matvecs) == (0.0, 80)
        assert "exact" in repr(found)
        assert "80 products" in repr(found)
        assert estimate(A.to(dtype), max_bytes=3 * 2**16, smallest=-1e-3).method != "exact"
    with pytest.raises(IndefiniteError, match=r"a shift above 0\.2") as caught:
        hs.log_determinant(A - 0.2 * torch.eye(80, dtype=torch.float64), shift=0.1)
    assert caught.value.ritz_value == pytest.approx(-0.1)
    with pytest.raises(IndefiniteError):
        hs.log_determinant(torch.diag(torch.tensor([0.0, 1.0])))
    with pytest.raises(InputError, match=r"smallest: 0; an eigenvalue -0.2 lies below"):
        hs.log_determinant(A - 0.2 * torch.eye(80, dtype=torch.float64), shift=0.5, smallest=0.0)


def test_a_gauss_newton_matrix_is_summed_by_its_gram_matrix() -> None:
    risk = hs.EmpiricalRisk(mlp(4, 12, 3), nn.MSELoss(), (draw(10, 4), draw(10, 3, seed=3)))
    operator = hs.GaussNewton(risk)
    values = np.linalg.eigvalsh(operator.dense())
    found = hs.effective_dimension(operator, 1e-3)
    assert found.num_matvecs == 30
    assert found.value == pytest.approx(float((values / (values + 1e-3)).sum()), rel=1e-9)
    assert found.upper - found.lower < 1e-8
    whole = hs.log_determinant(operator, shift=1e-3)
    assert whole.value == pytest.approx(float(np.log(values + 1e-3).sum()), rel=1e-9)
    # no eigenvalue is negative, so the quadrature has a lower end without being told
    short = hs.log_determinant(operator, shift=1e-3, method="quadrature", steps=3)
    assert short.smallest == 0.0
    assert np.isfinite(short.lower)
    with pytest.raises(IndefiniteError):
        hs.log_determinant(operator)


@pytest.mark.parametrize("shift", [0.0, -1.0, float("nan")])
def test_effective_dimension_needs_a_positive_shift(shift: float) -> None:
    with pytest.raises(InputError, match=r"shift: .*number.* is required"):
        hs.effective_dimension(A, shift)


def test_bad_arguments() -> None:
    with pytest.raises(InputError, match="shift: inf; a finite real number"):
        hs.log_determinant(A, shift=float("inf"))
    with pytest.raises(InputError, match="probes: 1; an integer >= 2"):
        hs.log_determinant(A, probes=1)
    with pytest.raises(InputError, match="steps: 1; an integer >= 2"):
        hs.log_determinant(A, steps=1)
    with pytest.raises(InputError, match=r"smallest: -1; with shift 0.5 it must be positive"):
        hs.log_determinant(A, shift=0.5, smallest=-1.0)
