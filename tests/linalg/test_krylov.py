"""Block Krylov spaces: the relation stays true through steps, breakdowns and restarts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hessium.linalg import as_operator
from hessium.linalg.krylov import KrylovSpace
from hessium.linalg.vectors import gaussian
from support.chosen_spectra import SPECTRA, with_eigenvalues

# every width in one precision; the other one is slow
SPACES = [
    pytest.param(block, dtype, marks=() if (block in (1, 3)) == double else pytest.mark.slow)
    for block in (1, 2, 3, 5)
    for double, dtype in ((True, torch.float64), (False, torch.float32))
]


def space_on(matrix: Tensor, block: int, capacity: int, seed: int = 0) -> KrylovSpace:
    operator, rng = as_operator(matrix), np.random.default_rng(seed)
    start = torch.stack([gaussian(operator, rng) for _ in range(block)])
    return KrylovSpace(operator, start, capacity, rng)


def step(space: KrylovSpace, wanted: int) -> bool:
    """One expansion, after a restart where that is needed; False where nothing is left."""
    if space.full:
        if space.complete:
            return False
        pairs = space.ritz()
        keep = min(wanted, space.size - space.block)
        space.restart(pairs, np.sort(np.argsort(-np.abs(pairs.values))[:keep]))
    space.expand()
    return True


def check_relation(space: KrylovSpace, matrix: Tensor, orthogonality: float) -> None:
    """V is orthonormal, and each Ritz pair has the residual vector that S says it has."""
    size = float(matrix.double().norm(2))
    V = space.basis[: space.size + space.block].double()
    gram = V @ V.mT
    torch.testing.assert_close(gram, torch.eye(len(V)).double(), rtol=0, atol=orthogonality)
    pairs = space.ritz()
    vectors = space.vectors(pairs, np.arange(space.size)).double()
    residuals = matrix.double() @ vectors - vectors * torch.as_tensor(pairs.values)
    np.testing.assert_allclose(
        residuals.norm(dim=0).numpy(), pairs.residuals, rtol=0, atol=20 * orthogonality * size
    )


@pytest.mark.sampled
@pytest.mark.parametrize(("block", "dtype"), SPACES)
@pytest.mark.parametrize("name", SPECTRA)
def test_relation_until_the_space_is_complete(name: str, block: int, dtype: torch.dtype) -> None:
    for n in (1, 2, 7, 47):
        matrix = with_eigenvalues(SPECTRA[name](n, np.random.default_rng(2)), dtype=dtype)
        space = space_on(matrix, block, n)
        while step(space, n):
            check_relation(space, matrix, 20 * torch.finfo(dtype).eps)
        assert space.size == n
        assert space.num_matvecs == n
        np.testing.assert_allclose(
            space.ritz().values,
            np.linalg.eigvalsh(matrix.double()),
            atol=100 * torch.finfo(dtype).eps * float(matrix.double().norm(2)),
        )


@pytest.mark.sampled
@pytest.mark.parametrize(("block", "dtype"), SPACES)
@pytest.mark.parametrize("name", SPECTRA)
def test_relation_through_restarts(name: str, block: int, dtype: torch.dtype) -> None:
    n, capacity = 60, 20
    matrix = with_eigenvalues(SPECTRA[name](n, np.random.default_rng(3)), dtype=dtype)
    space = space_on(matrix, block, capacity)
    # a restart costs a few digits in each: what is lost does not grow
    for _ in range(100):
        step(space, 6)
    check_relation(space, matrix, 2e-12 if dtype == torch.float64 else 2e-5)
    assert space.size <= capacity


def test_a_block_that_nearly_fills_the_space_couples_all_its_rows() -> None:
    # n - b < b: the last block is narrower than the products that lead to it
    for n, block in [(5, 3), (8, 5), (7, 4), (9, 5)]:
        matrix = with_eigenvalues(np.random.default_rng(n).standard_normal(n))
        space = space_on(matrix, block, n)
        space.expand()
        assert space.block == n - block
        check_relation(space, matrix, 1e-14)


def test_cancellation_within_a_block_costs_no_orthogonality() -> None:
    # three clusters: the third product of the block is a difference of nearly equal vectors
    values = np.repeat([1.0, 2.0, -3.0], 20) + 1e-8 * np.random.default_rng(5).standard_normal(60)
    matrix = with_eigenvalues(values)
    for block in (3, 5):
        space = space_on(matrix, block, 60, seed=1)
        while step(space, 60):
            check_relation(space, matrix, 1e-14)


def test_a_breakdown_goes_on_in_the_complement() -> None:
    space = space_on(torch.eye(12, dtype=torch.float64), 2, 12)
    while step(space, 12):
        pass
    assert space.exhausted > 0
    np.testing.assert_allclose(space.ritz().values, 1.0, rtol=1e-14)


def test_departure_sees_what_the_recurrence_cannot() -> None:
    values = np.random.default_rng(0).standard_normal(80)
    matrix = with_eigenvalues(values)
    space = space_on(matrix, 1, 40)
    while not space.full:
        space.expand()
    pairs, which = space.ritz(), np.arange(5)
    assert space.departure(pairs, which) < 1e-13
    # the same space, but the operator behind it has moved
    shift = torch.randn(80, 80, generator=torch.Generator().manual_seed(0)).double()
    moved = KrylovSpace.__new__(KrylovSpace)
    moved.__dict__ |= space.__dict__
    moved.__dict__["operator"] = as_operator(matrix + 1e-3 * (shift + shift.mT))
    error = 1e-3 * (shift + shift.mT) @ space.vectors(pairs, which)
    found = moved.departure(pairs, which)
    assert found > 0.5 * float(error.norm(dim=0).max())


@given(
    values=st.lists(st.floats(-5, 5), min_size=1, max_size=12),
    block=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_any_spectrum_whole(values: list[float], block: int, seed: int) -> None:
    matrix = with_eigenvalues(np.array(values), seed)
    space = space_on(matrix, block, len(values), seed)
    while step(space, len(values)):
        pass
    np.testing.assert_allclose(
        space.ritz().values, np.sort(values), atol=1e-12 * (1e-300 + np.abs(values).max())
    )


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_restarts_in_other_units(unit: float) -> None:
    matrix = unit * with_eigenvalues(SPECTRA["normal"](60, np.random.default_rng(3)))
    space = space_on(matrix, 2, 20)
    for _ in range(30):
        step(space, 6)
    assert float(space.ritz().residuals.max()) > 1e-3 * unit  # not all are locked
    check_relation(space, matrix, 2e-12)
