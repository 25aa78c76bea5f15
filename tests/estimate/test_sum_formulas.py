"""Spectral sums, their proven bounds and their errors, against formulas worked out by hand."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
import scipy.stats
import torch

import hessium as hs
from hessium.errors import ConvergenceWarning, IndefiniteError, InputError
from hessium.estimate import Estimate, NormEstimate, SpectralSum
from hessium.estimate.deflation import Deflated
from hessium.estimate.exact import assembled, fits
from hessium.estimate.lanczos_quadrature import FAILURE, Quadratures, Summand
from hessium.linalg import SymmetricOperator, as_operator
from hessium.progress import silent
from support.chosen_spectra import with_eigenvalues
from support.risk_cases import draw, mlp

VALUES = np.linspace(0.5, 3.0, 400)
LOG = Summand(value=np.log, slope=lambda x: 1 / x, bend=lambda x: 1 / x**2)


class Smaller(SymmetricOperator):
    """A diagonal matrix whose zeros a companion leaves out, as a Gram matrix does."""

    def __init__(self, values: list[float], zeros: int) -> None:
        self.values = torch.tensor(values, dtype=torch.float64)
        self.whole = torch.cat([self.values, torch.zeros(zeros, dtype=torch.float64)])

    @property
    def shape(self) -> tuple[int, int]:
        return (len(self.whole), len(self.whole))

    @property
    def dtype(self) -> torch.dtype:
        return torch.float64

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def companion(self) -> SymmetricOperator | None:
        return as_operator(torch.diag(self.values))

    def _matmat(self, block: torch.Tensor) -> torch.Tensor:
        return self.whole[:, None] * block


def quadratures(shift: float, smallest: float | None = None, steps: int = 20) -> Quadratures:
    A = as_operator(with_eigenvalues(VALUES))
    none = Deflated.of(A, None)
    return Quadratures(A, none, shift, 4, steps, smallest, 0, 2**33, silent)


def proven(found: Quadratures, steps: int) -> float:
    """Kuczynski and Wozniakowski, theorem 4.2, for both ends of the spectrum and four starts."""
    nodes = np.concatenate([run.gauss()[0] for run in found._runs])
    q = (FAILURE / 2) ** 0.25
    epsilon = (math.log(1.648 * math.sqrt(400) / q) / (2 * steps - 1)) ** 2
    low, high = nodes.min(), nodes.max()
    return float(low - epsilon / (1 - 2 * epsilon) * (high - low) - 32 * 2.0**-52 * high)


def test_the_bound_on_the_smallest_eigenvalue() -> None:
    found = quadratures(3.0)
    total = found.total(LOG)
    assert total.smallest == pytest.approx(proven(found, 20), rel=1e-12)
    assert total.smallest < 0.5
    # with a shift that just makes it positive, or just does not
    for shift, finite in ((-total.smallest + 0.01, True), (-total.smallest - 0.01, False)):
        other = quadratures(shift).total(LOG)
        assert math.isfinite(other.lower) == finite
        assert other.smallest == (pytest.approx(total.smallest) if finite else -math.inf)
        middle = other.brackets.mean(axis=1) if finite else other.brackets[:, 1]
        np.testing.assert_allclose(other.samples, middle)
    # too few steps prove nothing
    assert quadratures(3.0, steps=4).total(LOG).smallest == -math.inf


def test_a_proven_bound_is_used_where_it_is_better() -> None:
    proof = quadratures(3.0).total(LOG).smallest
    assert quadratures(3.0, smallest=0.45).total(LOG).smallest == 0.45
    assert quadratures(3.0, smallest=-2.5).total(LOG).smallest == proof
    with pytest.raises(InputError, match=r"smallest: 0\.7; a Ritz value"):
        quadratures(3.0, smallest=0.7).total(LOG)
    assert hs.log_determinant(torch.eye(3).double(), shift=0.3, smallest=0.2).smallest == 0.2
    with pytest.raises(InputError, match="it must be positive"):
        hs.log_determinant(torch.eye(3).double(), shift=0.3, smallest=-0.3)


def test_zeros_beside_a_companion_count() -> None:
    A = Smaller([1.0, 2.0], 3)
    total = hs.log_determinant(A, shift=0.5)
    assert total.value == pytest.approx(math.log(1.5) + math.log(2.5) + 3 * math.log(0.5))
    assert total.interval() == (total.lower, total.upper)
    assert hs.effective_dimension(A, 1.0).value == pytest.approx(1 / 2 + 2 / 3)
    with pytest.raises(IndefiniteError, match="at most 0 "):
        hs.log_determinant(A)
    assert hs.log_determinant(Smaller([1.0, 2.0], 0)).value == pytest.approx(math.log(2))


@pytest.mark.parametrize(("lowest", "doubt"), [(-1e-3, False), (-1e-17, True)])
def test_rounding_may_make_a_matrix_indefinite(lowest: float, doubt: bool) -> None:
    matrix = torch.diag(torch.tensor([lowest, 1.0, 2.0], dtype=torch.float64))
    for method in ("exact", "quadrature"):
        with pytest.raises(IndefiniteError) as caught:
            hs.log_determinant(matrix, method=method)
        assert ("rounding" in str(caught.value)) == doubt
        assert caught.value.partial is not None


def test_an_interval_of_a_sum_adds_both_errors() -> None:
    brackets = np.array([[1.0, 2.0], [3.0, 5.0], [2.0, 2.0]])
    total = SpectralSum(
        value=2.5, lower=2.0, upper=3.0, stderr=0.1, num_matvecs=9, steps=3,
        brackets=brackets, smallest=0.1,
    )  # fmt: skip
    student = scipy.stats.t.ppf(0.95, 2) / math.sqrt(3)
    low, high = total.interval(0.9)
    assert low == pytest.approx(2 - student * np.std([1, 3, 2], ddof=1))
    assert high == pytest.approx(3 + student * np.std([2, 5, 2], ddof=1))


def test_the_norm_is_the_root_of_its_square() -> None:
    square = Estimate(
        value=9.0, stderr=0.6, num_matvecs=4, method="x", samples=np.array([8.0, 10.0])
    )
    norm = NormEstimate(square=square)
    assert (norm.value, norm.stderr) == pytest.approx((3.0, 0.1))
    student = scipy.stats.t.ppf(0.9, 1) * 0.6
    assert norm.interval(0.8) == pytest.approx((math.sqrt(9 - student), math.sqrt(9 + student)))
    assert norm.interval(0.99)[0] == 0.0  # the square may be negative
    nothing = Estimate(value=-1.0, stderr=0.6, num_matvecs=4, method="x", samples=np.zeros(2))
    assert (NormEstimate(square=nothing).value, NormEstimate(square=nothing).stderr) == (0.0, 0.0)


def test_the_memory_that_exact_counts_need() -> None:
    assert fits(as_operator(torch.eye(10).double()), 4 * 100 * 8)
    assert not fits(as_operator(torch.eye(10).double()), 4 * 100 * 8 - 1)
    risk = hs.EmpiricalRisk(mlp(3, 8, 1), torch.nn.MSELoss(), (draw(5, 3), draw(5, 1)))
    assert fits(hs.GaussNewton(risk), 4 * 25 * 8)  # of its Gram matrix
    assert not fits(hs.GaussNewton(risk), 4 * 25 * 8 - 1)


def test_the_memory_that_all_eigenvalues_need() -> None:
    """The matrix, its copy in float64, and what LAPACK takes."""
    matrix = with_eigenvalues(np.arange(1.0, 11.0))
    assert hs.spectrum(matrix, max_bytes=3 * 100 * 8).exact
    with pytest.raises(InputError, match="max_bytes"):
        hs.spectrum(matrix, max_bytes=3 * 100 * 8 - 1)


def test_a_matrix_is_compared_with_products() -> None:
    sound = with_eigenvalues(np.arange(1.0, 9.0))
    _, departure = assembled(as_operator(sound), 2**30, 3)
    assert departure < 1e-13

    class Noisy(Smaller):
        def _matmat(self, block: torch.Tensor) -> torch.Tensor:
            wrong = torch.zeros_like(block)
            wrong[0] = 1e-3 * block[1] if block.shape[1] == 1 else 0.0
            return super()._matmat(block) + wrong

    _, departure = assembled(Noisy([1.0, 2.0], 6), 2**30, 3)
    assert 1e-3 < departure < 20e-3


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e20])
def test_operators_are_told_apart_in_any_unit(unit: float, tmp_path: object) -> None:
    A = unit * with_eigenvalues(np.arange(1.0, 9.0))
    hs.eigenpairs(A, 2, checkpoint=str(tmp_path))
    hs.eigenpairs(A * (1 + 1e-13), 2, checkpoint=str(tmp_path))
    with pytest.raises(InputError, match="another operator"):
        hs.eigenpairs(1.001 * A, 2, checkpoint=str(tmp_path))


def test_limits_of_counts_are_allowed() -> None:
    A = with_eigenvalues(np.arange(1.0, 9.0))
    with pytest.warns(ConvergenceWarning):
        assert hs.eigenpairs(A, 1, max_products=1).num_matvecs == 2  # one measures the rounding
    twice = hs.spectral_measure(A, probes=2, steps=3, reorthogonalize=2)
    once = hs.spectral_measure(A, probes=2, steps=3, reorthogonalize=1)
    np.testing.assert_allclose(twice.nodes, once.nodes)


def test_work_on_the_zero_matrix_resumes(tmp_path: object) -> None:
    zero = torch.zeros(6, 6, dtype=torch.float64)
    first = hs.eigenpairs(zero, 2, checkpoint=str(tmp_path))
    again = hs.eigenpairs(zero, 2, checkpoint=str(tmp_path))
    assert first.null_space
    assert again.num_matvecs == first.num_matvecs
    with pytest.raises(InputError, match="another operator"):
        hs.eigenpairs(zero + torch.eye(6).double(), 2, checkpoint=str(tmp_path))


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_the_choice_of_a_norm_does_not_depend_on_the_unit(unit: float) -> None:
    decaying = unit * with_eigenvalues(np.exp2(-np.arange(200.0)))
    flat = unit * with_eigenvalues(np.where(np.arange(200) % 2, 1.0, -1.0))
    assert hs.frobenius_norm(decaying, 100).method == "exchangeable"
    assert hs.frobenius_norm(flat, 100).method == "hutchinson"


@pytest.mark.parametrize("method", ["auto", "xtrace", "hutchinson"])
def test_traces_of_a_multiple_of_the_identity_and_a_few_more(
    method: Literal["auto", "xtrace", "hutchinson"],
) -> None:
    values = 5 + np.concatenate([np.arange(1.0, 11.0), np.zeros(190)])
    found = hs.trace(with_eigenvalues(values), 100, method=method)
    assert abs(found.value - values.sum()) < 6 * found.stderr + 1e-9 * values.sum()


def test_residuals_of_deflated_pairs_widen_the_bracket() -> None:
    """The sum over A lies between that over its part in and beside their space, and the bound."""
    values, vectors = np.linalg.eigh(with_eigenvalues(VALUES).numpy())
    rng = np.random.default_rng(0)
    for size in (1e-1, 1e-2, 1e-3):
        basis, _ = np.linalg.qr(vectors[:, -8:] + size / 20 * rng.standard_normal((400, 8)))
        A = vectors @ np.diag(values) @ vectors.T
        ritz, turn = np.linalg.eigh(basis.T @ A @ basis)
        basis = basis @ turn
        residuals = np.linalg.norm(A @ basis - basis * ritz, axis=0)
        inside = basis @ basis.T
        split = inside @ A @ inside + (A - inside @ A - A @ inside + inside @ A @ inside)
        lost = np.log(np.linalg.eigvalsh(split)).sum() - np.log(values).sum()
        rows = torch.from_numpy(basis.T.copy())
        pairs = Deflated(values=ritz, residuals=residuals, rows=rows, num_matvecs=0)
        made = Quadratures(
            as_operator(torch.from_numpy(A)), pairs, 0.0, 2, 20, 0.4, 0, 2**33, silent
        )
        bound = made._lost(LOG, 0.4)
        assert 0 < lost <= bound < 40 * size
        total = made.total(LOG)
        assert total.upper - total.lower > bound * (1 - 1e-6)
        # without the bound the bracket would leave the truth out where all probes agree
        assert bound < 1e4 * lost


def test_quadrature_beside_deflated_pairs() -> None:
    """The projected probes sample the rest: what a probe has is known from the eigenvectors."""
    spread = np.concatenate([np.geomspace(1e-3, 0.05, 140), np.geomspace(1, 30, 10)])
    A = with_eigenvalues(spread)
    truth, errors = np.log(spread + 0.1).sum(), []
    for deflate in (0, 10):
        found = hs.log_determinant(
            A, shift=0.1, method="quadrature", deflate=deflate, steps=40, smallest=0.0
        )
        low, high = found.interval(0.999)
        assert low <= truth <= high
        errors.append(found.stderr)
        assert (found.num_matvecs > 400) == (deflate > 0)
    assert errors[1] < errors[0] / 3
    pairs = hs.eigenpairs(A, 10)
    again = hs.log_determinant(A, shift=0.01, method="quadrature", deflate=pairs, smallest=0.0)
    assert again.num_matvecs == pairs.num_matvecs + 800
    with pytest.raises(InputError, match="deflate: "):
        hs.log_determinant(2 * A, shift=0.01, method="quadrature", deflate=pairs)
    with pytest.raises(IndefiniteError):
        hs.log_determinant(-A, shift=0.01, method="quadrature", deflate=3)


def test_all_but_one_direction_deflated_is_exact() -> None:
    A = with_eigenvalues(np.array([1.0, 2.0, 3.0, 5.0, 8.0]))
    found = hs.log_determinant(A, method="quadrature", deflate=5, smallest=0.5)
    assert found.value == pytest.approx(math.log(240.0), rel=1e-9)
