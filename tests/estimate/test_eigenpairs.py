"""Eigenpairs: nothing invented, nothing twice, and residuals that are true."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import hessium as hs
from hessium.errors import ConvergenceWarning, InputError, NonFiniteError
from hessium.estimate.convergence import Which
from hessium.linalg import SymmetricOperator
from support.child_memory import needs_status, numbers_of
from support.chosen_spectra import SPECTRA, Counted, Diagonal, with_eigenvalues
from support.risk_cases import draw, mlp

WHICH: list[Which] = ["LA", "SA", "LM", "BE"]


def wanted(values: np.ndarray, which: Which, k: int) -> np.ndarray:
    """By the words of the documentation, from all eigenvalues."""
    ascending = np.sort(values)
    if which == "LA":
        return ascending[::-1][:k]
    if which == "SA":
        return ascending[:k]
    if which == "LM":
        return values[np.argsort(-np.abs(values), kind="stable")][:k]
    upper, lower = ascending[::-1], ascending
    return np.array([(upper if i % 2 == 0 else lower)[i // 2] for i in range(k)])


def check_residuals(found: hs.Eigenpairs, matrix: Tensor) -> None:
    """What `residuals` promises: they are no smaller than the truth, and an eigenvalue is there."""
    exact = matrix.double()
    size = float(exact.norm(2))
    vectors = found.vectors.double()
    true = (exact @ vectors - vectors * torch.as_tensor(found.values)).norm(dim=0).numpy()
    # the check itself rounds: vectors to the dtype, eigvalsh to float64
    assert (true <= found.residuals * 1.01 + 4 * np.finfo(np.float64).eps * size).all()
    nearest = np.abs(np.linalg.eigvalsh(exact)[:, None] - found.values).min(axis=0)
    assert (nearest <= found.residuals + 4 * np.finfo(np.float64).eps * size).all()
    gram = vectors.mT @ vectors
    loose = 1e-4 if found.vectors.dtype == torch.float32 else 1e-11
    torch.testing.assert_close(gram, torch.eye(len(found)).double(), rtol=0, atol=loose)


def check_multiplicities(found: hs.Eigenpairs, values: np.ndarray) -> None:
    """Where they are said to be known, the list is as long as the truth."""
    for value, residual, known in zip(
        found.values, found.residuals, found.multiplicity_known, strict=True
    ):
        if known:
            reach = residual + 1e-13 * np.abs(values).max()
            true = int((np.abs(values - value) <= reach).sum())
            listed = int((np.abs(found.values - value) <= 2 * reach).sum())
            assert listed >= true


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize("name", ["normal", "negative definite", "network-like", "geometric"])
def test_against_all_eigenvalues(name: str, which: Which, dtype: torch.dtype) -> None:
    values = SPECTRA[name](90, np.random.default_rng(3))
    matrix = with_eigenvalues(values, dtype=dtype)
    found = hs.eigenpairs(matrix, 5, which)
    truth = wanted(values, which, 5)
    if found.null_space:  # values that are zero to rounding are named, not listed
        truth = truth[np.abs(truth) > 100 * torch.finfo(dtype).eps * np.abs(values).max()]
    if len(found) == len(truth):
        atol = 1e-10 if dtype == torch.float64 else 1e-4
        np.testing.assert_allclose(found.values, truth, atol=atol * np.abs(values).max())
    assert found.converged.all()
    check_residuals(found, matrix)
    assert found.num_matvecs <= 100


@given(
    name=st.sampled_from(sorted(SPECTRA)),
    n=st.integers(1, 40),
    k=st.integers(1, 12),
    block=st.integers(1, 5),
    which=st.sampled_from(WHICH),
    single=st.booleans(),
    tight=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_any_spectrum(
    name: str, n: int, k: int, block: int, which: Which, single: bool, tight: bool, seed: int
) -> None:
    k = min(k, n)
    dtype = torch.float32 if single else torch.float64
    values = SPECTRA[name](n, np.random.default_rng(seed))
    matrix = with_eigenvalues(values, seed, dtype)
    # the least memory that is accepted, so that restarts happen, or all
    row = n * dtype.itemsize
    least = (min(n, k + 2 * block + 1) + max(4 * block, k + 4)) * row
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # clusters, with little memory
        found = hs.eigenpairs(
            matrix, k, which, block=block, max_bytes=least if tight else 2**33, rng=seed
        )
    exact = np.linalg.eigvalsh(matrix.double())
    check_residuals(found, matrix)
    check_multiplicities(found, exact)
    assert len(found) == k or found.null_space
    # no more copies than there are
    for value, residual in zip(found.values, found.residuals, strict=True):
        near = residual + 1e-12 * found.scale
        listed = int((np.abs(found.values - value) <= 1e-14 * found.scale).sum())
        assert listed <= int((np.abs(exact - value) <= near).sum())


@pytest.mark.parametrize("block", [1, 2, 3])
def test_no_ghosts(block: int) -> None:
    """Three hundred products on a matrix with one eigenvalue 100 return it once."""
    matrix = torch.diag(torch.as_tensor(np.append(np.linspace(-1, 1, 999), 100.0)))
    with pytest.warns(ConvergenceWarning):
        # a bulk without gaps takes long; the outlier has converged to the last digit
        found = hs.eigenpairs(matrix, 20, block=block, tol=1e-10, max_products=300)
    assert found.num_matvecs >= 300
    assert (found.values > 2).sum() == 1
    assert found.values[0] == pytest.approx(100.0, rel=1e-13)
    check_residuals(found, matrix)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("block", [1, 2, 4])
@pytest.mark.parametrize("n", [20, 300])
def test_twelve_of_rank_eight_are_eight_and_a_null_space(
    n: int, block: int, dtype: torch.dtype
) -> None:
    values = np.zeros(n)
    values[:8] = [5, -4, 3, 2.5, 2, -1, 0.5, 0.1]
    found = hs.eigenpairs(with_eigenvalues(values, dtype=dtype), 12, block=block)
    assert len(found) == 8
    assert found.requested == 12
    assert found.null_space
    assert "null space" in repr(found)
    np.testing.assert_allclose(found.values, values[:8], atol=1e-5)


def test_a_zero_matrix_has_a_null_space_and_nothing_else() -> None:
    found = hs.eigenpairs(torch.zeros(30, 30), 3)
    assert found.null_space
    np.testing.assert_array_equal(found.values, 0.0)
    np.testing.assert_array_equal(found.residuals, 0.0)


def test_small_ritz_values_are_no_null_space_before_they_converge() -> None:
    # bipartite: every odd Krylov space from one half has the Ritz value zero, no matrix needs one
    matrix = torch.zeros(40, 40, dtype=torch.float64)
    matrix[:20, 20:] = with_eigenvalues(np.linspace(1, 2, 20))
    matrix = matrix + matrix.mT
    for products in range(3, 12):
        with pytest.warns(ConvergenceWarning):
            found = hs.eigenpairs(matrix, 3, tol=1e-12, max_products=products)
        assert not found.null_space


@pytest.mark.sampled
@pytest.mark.parametrize("multiplicity", [1, 2, 3, 4])
@pytest.mark.parametrize("block", [1, 2, 3, 5])
@pytest.mark.parametrize("k", [1, 2, 4, 6])
def test_multiplicities_are_right_or_said_to_be_unresolved(
    multiplicity: int, block: int, k: int
) -> None:
    top = np.full(multiplicity, 10.0)
    values = np.concatenate([top, [7.0, 6.0], np.linspace(-1, 1, 100)])
    found = hs.eigenpairs(with_eigenvalues(values), k, block=block)
    check_multiplicities(found, values)
    listed = int((np.abs(found.values - 10) < 1e-3).sum())
    # rounding may show more copies than the block has vectors; never more than there are
    assert min(k, multiplicity, block) <= listed <= min(k, multiplicity)
    assert bool(found.multiplicity_known[0]) == (multiplicity < block and k >= multiplicity)


def test_a_list_cut_within_copies_does_not_claim_them_all() -> None:
    # the whole space is known, and yet only one of two copies is listed
    small = hs.eigenpairs(torch.diag(torch.tensor([5.0, 5.0, 1.0])), 1)
    assert not small.multiplicity_known[0]
    assert hs.eigenpairs(torch.diag(torch.tensor([5.0, 5.0, 1.0])), 2).multiplicity_known.all()


def test_what_has_not_converged_is_flagged_and_said() -> None:
    matrix = with_eigenvalues(np.linspace(-1, 1, 400))
    with pytest.warns(ConvergenceWarning, match="max_products = 30"):
        found = hs.eigenpairs(matrix, 6, max_products=30)
    assert not found.converged.all()
    assert "not converged" in repr(found)
    check_residuals(found, matrix)


class Noisy(Counted):
    """Rounds its products like a much lower precision, the same way each time."""

    def _matmat(self, block: Tensor) -> Tensor:
        product = super()._matmat(block)
        seeded = torch.Generator().manual_seed(int(block.abs().sum() * 1e12) % 2**31)
        noise = torch.randn(product.shape, generator=seeded, dtype=product.dtype)
        return product + 1e-4 * noise * product.norm() / noise.norm()


def test_noise_of_products_shows_in_residuals_and_flags() -> None:
    values = np.concatenate([np.linspace(-1, 1, 200), [5.0, 8.0]])
    matrix = with_eigenvalues(values)
    with pytest.warns(ConvergenceWarning, match="rounding"):
        found = hs.eigenpairs(Noisy(matrix), 2, tol=1e-6)
    assert not found.converged.any()
    assert (np.abs(found.values - [8.0, 5.0]) <= found.residuals).all()
    assert found.residuals.max() < 1e-2


class Lopsided(SymmetricOperator):
    """Claims to be symmetric and is not."""

    shape = (50, 50)
    dtype = torch.float64
    device = torch.device("cpu")

    def _matmat(self, block: Tensor) -> Tensor:
        return torch.triu(draw(50, 50)) @ block


def test_an_asymmetric_operator_is_refused_or_shows_in_the_residuals() -> None:
    matrix = torch.triu(draw(50, 50))
    with pytest.raises(InputError, match="symmetric"):
        hs.eigenpairs(matrix, 2)

    class Foreign:
        shape, dtype, device = (50, 50), torch.float64, torch.device("cpu")

        def __matmul__(self, other: Tensor) -> Tensor:
            return matrix @ other

    with pytest.raises(InputError, match="must be equal"):
        hs.spectral_measure(Foreign())
    with pytest.warns(ConvergenceWarning):
        found = hs.eigenpairs(Lopsided(), 2)
    assert not found.converged.any()
    assert found.residuals.min() > 0.1


@pytest.mark.parametrize(
    ("dtype", "unit"),
    [(torch.float64, u) for u in (1e-300, 1e-200, 1e-160, 1e160, 1e300)]
    + [(torch.float32, u) for u in (1e-30, 1e-22, 1e22, 1e30)],
)
def test_the_unit_of_the_loss_does_not_matter(dtype: torch.dtype, unit: float) -> None:
    matrix = with_eigenvalues(np.linspace(-1, 2, 50), dtype=dtype)
    plain, scaled = hs.eigenpairs(matrix, 3), hs.eigenpairs(matrix * unit, 3)
    rtol = 1e-10 if dtype == torch.float64 else 1e-5
    np.testing.assert_allclose(scaled.values / unit, plain.values, rtol=rtol)
    assert scaled.converged.all()
    assert np.isfinite(scaled.residuals).all()


@pytest.mark.parametrize("k", [1, 3, 12])
def test_a_product_that_is_not_finite_returns_what_there_was(k: int) -> None:
    matrix = with_eigenvalues(np.linspace(-1, 1, 200))
    with pytest.raises(NonFiniteError, match="after 6 products") as caught:
        hs.eigenpairs(Counted(matrix, nan_at=7), k)
    partial = caught.value.partial
    assert isinstance(partial, hs.Eigenpairs)
    assert len(partial) == min(k, 6)
    assert not partial.converged.any()
    check_residuals(partial, matrix)
    with pytest.raises(NonFiniteError, match="after 0 products") as caught:
        hs.eigenpairs(Counted(matrix, nan_at=1), k)
    assert caught.value.partial is None


def test_a_last_product_that_is_not_finite_loses_nothing() -> None:
    matrix = with_eigenvalues(np.concatenate([np.linspace(-1, 1, 50), [9.0]]))
    operator = Counted(matrix)
    products = hs.eigenpairs(operator, 1).num_matvecs
    with pytest.raises(NonFiniteError) as caught:
        hs.eigenpairs(Counted(matrix, nan_at=products), 1)
    assert isinstance(caught.value.partial, hs.Eigenpairs)
    assert caught.value.partial.values[0] == pytest.approx(9.0)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"k": 0}, "k"),
        ({"k": 61}, "k"),
        ({"k": 2, "which": "XX"}, "which"),
        ({"k": 2, "block": 0}, "block"),
        ({"k": 2, "tol": 0.0}, "tol"),
        ({"k": 2, "tol": float("nan")}, "tol"),
        ({"k": 2, "max_products": 0}, "max_products"),
        ({"k": 2, "max_products": -1}, "max_products"),
        ({"k": 2, "max_bytes": 60 * 8 * 9}, "max_bytes"),
        ({"k": 2, "rng": -1}, "rng"),
    ],
)
def test_bad_arguments_are_named_before_the_first_product(
    arguments: dict[str, object], word: str
) -> None:
    operator = Counted(with_eigenvalues(np.linspace(-1, 1, 60)))
    with pytest.raises((InputError, TypeError), match=word):
        hs.eigenpairs(operator, **arguments)  # type: ignore[arg-type]
    assert operator.products == 0


def global_state() -> Any:
    """NumPy's global generator, which nothing here may touch."""
    return np.random.get_state(legacy=False)["state"]["key"]  # noqa: NPY002


def test_products_are_counted_and_seeds_repeat() -> None:
    matrix = with_eigenvalues(np.random.default_rng(0).standard_normal(120))
    operator = Counted(matrix)
    before, state = torch.get_rng_state(), global_state().copy()
    found = hs.eigenpairs(operator, 4, "BE", block=2, rng=5)
    assert found.num_matvecs == operator.products
    again = hs.eigenpairs(matrix, 4, "BE", block=2, rng=np.random.default_rng(5))
    np.testing.assert_array_equal(found.values, again.values)
    assert torch.equal(found.vectors, again.vectors)
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(state, global_state())


def test_single_precision_agrees_within_its_rounding() -> None:
    risk = hs.EmpiricalRisk(mlp(6, 12, 3), torch.nn.MSELoss(), (draw(40, 6), draw(40, 3, seed=2)))
    matrix = hs.Hessian(risk).dense()
    double, single = hs.eigenpairs(matrix, 6), hs.eigenpairs(matrix.float(), 6)
    reach = double.residuals + single.residuals + 1e-6 * double.scale
    assert (np.abs(double.values - single.values) <= reach).all()


def test_progress_ends_where_the_work_ends() -> None:
    seen: list[tuple[int, int]] = []
    matrix = with_eigenvalues(np.random.default_rng(0).standard_normal(150))
    hs.eigenpairs(matrix, 5, progress=lambda done, total, unit: seen.append((done, total)))
    assert all(done <= total for done, total in seen)
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


MEMORY = """
import sys, torch, warnings
import hessium.linalg
import hessium as hs
torch.set_num_threads(1)
# glibc returns an allocation above 32 MiB to the system when it is freed, smaller ones it may keep
n, budget = 4_500_000, int(sys.argv[1])

class Diagonal(hessium.linalg.SymmetricOperator):
    shape, dtype, device = (n, n), torch.float64, torch.device("cpu")
    d = torch.linspace(-1, 1, n, dtype=torch.float64)[:, None]
    def _matmat(self, block):
        return self.d * block

operator = Diagonal()
operator @ torch.ones(n, dtype=torch.float64)
warnings.simplefilter("ignore")
hs.eigenpairs(torch.eye(60, dtype=torch.float64), 4)  # loads LAPACK and the last modules
before = memory("VmHWM")
hs.eigenpairs(operator, 4, max_bytes=budget, max_products=80)
print(memory("VmHWM") - before)
"""


@needs_status
@pytest.mark.slow
@pytest.mark.parametrize("rows", [20, 40])
def test_memory_stays_within_what_was_allowed(rows: int) -> None:
    budget = rows * 4_500_000 * 8
    (used,) = numbers_of(MEMORY, budget)
    assert 0.7 * budget < used <= 1.1 * budget


@pytest.mark.parametrize(("dtype", "tol"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_the_default_tolerance_is_that_of_the_precision(dtype: torch.dtype, tol: float) -> None:
    matrix = with_eigenvalues(np.linspace(0, 1, 300) ** 3).to(dtype)
    usual, told = hs.eigenpairs(matrix, 3), hs.eigenpairs(matrix, 3, tol=tol)
    assert usual.num_matvecs == told.num_matvecs
    assert np.abs(usual.residuals).max() <= tol
    assert hs.eigenpairs(matrix, 3, tol=tol / 50).num_matvecs > told.num_matvecs


def test_eigenvalues_of_millions_of_parameters_have_the_digits_of_float32() -> None:
    """With sums that round at every entry the error is 1e-4, more than the stated residual."""
    n = 3_000_000
    entries = torch.rand(n, generator=torch.Generator().manual_seed(0))
    entries[: n // 3] = 5.0  # an eigenvector with a million entries
    found = hs.eigenpairs(Diagonal(entries), 1, rng=0)
    assert abs(found.values[0] / 5 - 1) < 2e-6
    assert abs(float(found.vectors.double().norm()) - 1) < 1e-6
    assert bool(found.converged.all())
