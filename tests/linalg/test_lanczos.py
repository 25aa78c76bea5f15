"""The Lanczos process keeps its relation, whatever the spectrum, the precision and the unit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from hessium.errors import InputError
from hessium.linalg import SymmetricOperator, as_operator
from hessium.linalg.lanczos import LanczosProcess, Passes, lanczos_steps
from hessium.linalg.vectors import gaussian, norm
from support.chosen_spectra import SPECTRA, with_eigenvalues

DTYPES = [torch.float64, torch.float32]


def start_of(matrix: Tensor, seed: int = 0) -> Tensor:
    return gaussian(as_operator(matrix), np.random.default_rng(seed))


def run(matrix: Tensor, steps: int, passes: Passes = 2, seed: int = 0) -> LanczosProcess:
    *_, last = lanczos_steps(as_operator(matrix), start_of(matrix, seed), steps, passes=passes)
    return last


@pytest.mark.sampled
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize(("n", "steps"), [(50, 20), (50, 50), (2, 2), (1, 4), (6, 30)])
def test_relation_and_orthonormality(
    name: str, n: int, steps: int, passes: Passes, dtype: torch.dtype
) -> None:
    matrix = with_eigenvalues(SPECTRA[name](n, np.random.default_rng(1)), dtype=dtype)
    eps, size = torch.finfo(dtype).eps, float(matrix.double().norm(2))
    for process in lanczos_steps(as_operator(matrix), start_of(matrix), steps, passes=passes):
        j = len(process.alphas)
        V = process.basis[:j].double()
        T = (
            np.diag(process.alphas)
            + np.diag(process.betas[:-1], 1)
            + np.diag(process.betas[:-1], -1)
        )
        residual = matrix.double() @ V.mT - V.mT @ torch.as_tensor(T)
        torch.testing.assert_close(V @ V.mT, torch.eye(j).double(), rtol=0, atol=20 * eps)
        assert float(residual[:, :-1].abs().max()) <= 10 * eps * size if j > 1 else True
        assert float(residual[:, -1].norm()) == pytest.approx(
            process.betas[-1], abs=20 * eps * size
        )
        if not process.finished:
            following = process.direction.double() * process.betas[-1]
            torch.testing.assert_close(residual[:, -1], following, rtol=0, atol=20 * eps * size)
    assert j <= min(n, steps)
    assert j == min(n, steps) or process.betas[-1] == 0.0


def test_an_invariant_space_ends_the_process() -> None:
    matrix = with_eigenvalues(np.where(np.arange(60) < 8, 1.0 + np.arange(60), 0.0))
    process = run(matrix, 40)
    # eight eigenvalues and zero, and what is left of rounding
    assert 9 <= len(process.alphas) <= 12
    nodes, weights = process.rule().gauss()
    seen = np.unique(nodes[weights > 1e-20].round(12))
    np.testing.assert_allclose(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8], atol=1e-13)
    assert process.rule().complete


def test_no_ghosts_in_three_hundred_steps() -> None:
    values = np.concatenate([np.linspace(-1, 1, 999), [100.0]])
    nodes, _ = run(with_eigenvalues(values), 300, passes=1).rule().gauss()
    assert (nodes > 2).sum() == 1
    assert nodes[-1] == pytest.approx(100.0, rel=1e-13)
    # without reorthogonalisation there are copies: what the test would see
    assert (without_reorthogonalisation(with_eigenvalues(values), 300) > 2).sum() > 1


def without_reorthogonalisation(matrix: Tensor, steps: int) -> np.ndarray:
    vector = start_of(matrix)
    vector, before = vector / vector.norm(), torch.zeros_like(vector)
    alphas, betas = [], [0.0]
    for _ in range(steps):
        product = matrix @ vector - betas[-1] * before
        alphas.append(float(product @ vector))
        product -= alphas[-1] * vector
        betas.append(float(product.norm()))
        before, vector = vector, product / betas[-1]
    off = betas[1:-1]
    return np.linalg.eigvalsh(np.diag(alphas) + np.diag(off, 1) + np.diag(off, -1))


@pytest.mark.parametrize(
    ("dtype", "unit"),
    [(torch.float64, u) for u in (1e-300, 1e-200, 1e-160, 1e160, 1e300)]
    + [(torch.float32, u) for u in (1e-30, 1e-22, 1e22, 1e30)],
)
def test_the_unit_of_the_loss_does_not_matter(dtype: torch.dtype, unit: float) -> None:
    # squares of such entries vanish or overflow
    matrix = with_eigenvalues(np.linspace(-1, 1, 40), dtype=dtype)
    plain, scaled = run(matrix, 25), run(matrix * unit, 25)
    rtol = 1e3 * torch.finfo(dtype).eps
    np.testing.assert_allclose(np.array(scaled.alphas) / unit, plain.alphas, atol=rtol)
    np.testing.assert_allclose(np.array(scaled.betas) / unit, plain.betas, atol=rtol)
    points = np.linspace(-1.5, 1.5, 20)
    np.testing.assert_allclose(
        scaled.rule().cdf_brackets(points * unit), plain.rule().cdf_brackets(points), atol=1e-2
    )
    assert float(norm(torch.full((4,), unit, dtype=dtype))) == pytest.approx(2 * unit)


def test_a_seed_means_the_same_in_both_precisions_and_leaves_the_world_alone() -> None:
    matrix = with_eigenvalues(np.linspace(-1, 1, 30))
    before = torch.get_rng_state()
    double, single = start_of(matrix), start_of(matrix.float())
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(double.float(), single)
    np.testing.assert_allclose(run(matrix, 10).alphas, run(matrix.float(), 10).alphas, atol=1e-5)


class Identity(SymmetricOperator):
    """Gives back the very tensor that it was given."""

    shape = (5, 5)
    dtype = torch.float64
    device = torch.device("cpu")

    def _matmat(self, block: Tensor) -> Tensor:
        return block


def test_a_product_that_is_its_own_input_is_not_overwritten() -> None:
    start = torch.ones(5, dtype=torch.float64)
    (process,) = lanczos_steps(Identity(), start, 3)
    assert process.finished
    torch.testing.assert_close(process.basis[0], start / 5**0.5)


def test_bad_starts() -> None:
    for start, steps in [(torch.zeros(3), 2), (torch.full((3,), torch.nan), 2), (torch.ones(3), 0)]:
        with pytest.raises(InputError, match=r"start|steps"):
            LanczosProcess(start, steps)


def test_products_with_the_tridiagonal_matrix() -> None:
    A = as_operator(with_eigenvalues(np.arange(1.0, 9.0)))
    start = torch.arange(1.0, 9.0, dtype=torch.float64)
    *_, process = lanczos_steps(A, start, 5)
    T = process.basis @ A.dense() @ process.basis.mT
    weights = np.array([1.0, -2.0, 3.0, 0.5, 4.0])
    np.testing.assert_allclose(process.times(weights), T.numpy() @ weights, atol=1e-12)
    assert process.mass == pytest.approx(float(start @ start))


@pytest.mark.parametrize("start", [[0.0, 0.0], [np.inf, 1.0], [np.nan, 1.0]])
def test_a_start_has_a_direction(start: list[float]) -> None:
    with pytest.raises(InputError, match="start"):
        LanczosProcess(torch.tensor(start, dtype=torch.float64), 2)
    with pytest.raises(InputError, match="steps"):
        LanczosProcess(torch.ones(2, dtype=torch.float64), 0)
