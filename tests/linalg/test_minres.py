from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hessium.linalg.damped import damped_solve, eigensystem, pseudo_solve
from hessium.linalg.minres import minres
from hessium.linalg.operator import DenseOperator


def symmetric(n: int, zeros: int, seed: int) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(n, n, generator=g, dtype=torch.float64))[0]
    values = torch.randn(n, generator=g, dtype=torch.float64)
    values += 0.2 * values.sign()
    values[:zeros] = 0
    return basis @ torch.diag(values) @ basis.mT, torch.randn(n, generator=g, dtype=torch.float64)


@given(st.integers(1, 30), st.integers(0, 5), st.integers(0, 10**6))
def test_the_least_norm_solution_of_singular_systems(n: int, zeros: int, seed: int) -> None:
    matrix, vector = symmetric(n, min(zeros, n), seed)
    solved = minres(DenseOperator(matrix), vector, tol=1e-13, steps=n)
    expected = torch.linalg.pinv(matrix, hermitian=True, rtol=1e-12) @ vector
    assert float((solved.solution - expected).norm()) <= 1e-7 * (1 + float(expected.norm()))
    assert solved.num_matvecs <= n
    residual = float((matrix @ expected - vector).norm() / vector.norm())
    assert abs(solved.residual - residual) < 1e-7


@given(st.integers(2, 25), st.integers(0, 10**6))
def test_residuals_fall_and_ritz_values_bound_the_index(n: int, seed: int) -> None:
    matrix, vector = symmetric(n, 0, seed)
    residuals = []
    index = int((torch.linalg.eigvalsh(matrix) < 0).sum())
    for steps in range(1, n + 1):
        solved = minres(DenseOperator(matrix), vector, tol=0.0, steps=steps)
        true = float((matrix @ solved.solution - vector).norm() / vector.norm())
        assert abs(true - solved.residual) < 1e-9
        residuals.append(true)
        assert (solved.ritz < -1e-12).sum() <= index
    assert (np.diff(residuals) <= 1e-12).all()


@given(st.integers(20, 40), st.integers(0, 10**6))
def test_inconsistent_systems_stop_at_the_normal_residual(n: int, seed: int) -> None:
    """b has a part in the kernel, so that the residual stays, and A r vanishes."""
    matrix, vector = symmetric(n, 5, seed)
    values, basis = torch.linalg.eigh(matrix)
    few = torch.where(values.abs() < 1e-9, 0.0, values.sign() * (1 + (values.abs() > 1)))
    matrix = basis @ torch.diag(few) @ basis.mT  # four eigenvalues beside zero: five steps do
    solved = minres(DenseOperator(matrix), vector, tol=1e-8, steps=n)
    rest = vector - matrix @ solved.solution
    true = float((matrix @ rest).norm() / (torch.linalg.matrix_norm(matrix, 2) * rest.norm()))
    assert solved.num_matvecs <= 6
    assert solved.normal_residual <= 1e-8
    assert true <= 1e-8
    early = minres(DenseOperator(matrix), vector, tol=1e-8, steps=2)
    assert early.normal_residual > 1e-4


def test_nothing_to_solve() -> None:
    solved = minres(DenseOperator(torch.eye(3).double()), torch.zeros(3).double())
    assert solved.num_matvecs == 0
    assert not solved.solution.any()


@given(st.integers(1, 20), st.floats(0, 10), st.integers(0, 10**6))
def test_damped_solve(n: int, damping: float, seed: int) -> None:
    matrix, vector = symmetric(n, 0, seed)
    squared = matrix @ matrix + damping * torch.eye(n).double()
    expected = matrix @ torch.linalg.solve(squared, vector)
    found = damped_solve(matrix, vector, damping)
    assert float((found - expected).norm()) <= 1e-9 * (1 + float(expected.norm()))


def test_coarse_eigensystems_have_six_digits() -> None:
    matrix, _ = symmetric(30, 0, 1)
    values, vectors = eigensystem(matrix, coarse=True)
    exact = torch.linalg.eigvalsh(matrix)
    assert values.dtype == vectors.dtype == torch.float64
    assert 1e-12 < float((values - exact).abs().max()) < 1e-5
    fine, _ = eigensystem(matrix)
    assert float((fine - exact).abs().max()) < 1e-13


def test_solutions_of_exactly_singular_matrices_have_the_least_norm() -> None:
    vector = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64)
    for unit in (1e-20, 1.0, 1e20):
        found = damped_solve(torch.full((3, 3), unit, dtype=torch.float64), vector, 0.0)
        torch.testing.assert_close(unit * found, torch.ones(3, dtype=torch.float64))


def test_modes_at_the_cut_are_left_out() -> None:
    values = torch.tensor([-0.5, 0.25, 2.0], dtype=torch.float64)
    vectors, vector = torch.eye(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    for cut, drop, expected in [
        (0.25, 0, [-2.0, 0.0, 0.5]),
        (0.5, 0, [0.0, 0.0, 0.5]),
        (0.0, 0, [-2.0, 4.0, 0.5]),
        (0.0, 1, [-2.0, 0.0, 0.5]),
        (0.0, 2, [0.0, 0.0, 0.5]),
    ]:
        assert pseudo_solve(values, vectors, vector, cut, drop=drop).tolist() == expected


def test_the_normal_residual_is_that_of_the_step_before() -> None:
    matrix, vector = symmetric(12, 0, 3)
    A, ends = DenseOperator(matrix), {}
    for steps in (1, 2, 4, 7):
        before = vector - matrix @ minres(A, vector, tol=0.0, steps=steps).solution
        solved = minres(A, vector, tol=0.0, steps=steps + 1)
        ends[steps] = float((matrix @ before).norm() / before.norm()) / solved.normal_residual
    # relative to one scale: a norm of the tridiagonal matrix, which grows to that of A
    size = float(torch.linalg.matrix_norm(matrix, 2))
    assert all(size / 2 < scale < 2 * size for scale in ends.values())
    assert (np.diff([ends[steps] for steps in (1, 2, 4, 7)]) >= -1e-9).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_damped_solve_on_a_gpu() -> None:
    matrix = torch.diag(torch.linspace(-1, 1, 9, dtype=torch.float64))
    vector = torch.arange(9.0, dtype=torch.float64)
    there = damped_solve(matrix.cuda(), vector.cuda(), 0.3)
    torch.testing.assert_close(there.cpu(), damped_solve(matrix, vector, 0.3))
