"""Arithmetic of operators is that of their matrices."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hessium.errors import InputError, NonFiniteError
from hessium.linalg import SymmetricOperator, as_operator
from hessium.linalg.dense_matrices import mirror_lower_, symmetrize_
from support.chosen_spectra import Counted
from support.risk_cases import draw


def symmetric(n: int, seed: int) -> Tensor:
    matrix = draw(n, n, seed=seed)
    return (matrix + matrix.mT) / 2


numbers = st.floats(-10, 10)


@given(a=numbers, b=numbers, shift=numbers, divisor=st.sampled_from([-2.0, 0.5, 3.0]))
def test_linear_combinations(a: float, b: float, shift: float, divisor: float) -> None:
    A, B, C = (symmetric(6, seed) for seed in (1, 2, 3))
    V = draw(6, 2, seed=4)
    operator = (a * Counted(A) - Counted(B) * b + C).shifted(shift) / divisor
    nested = C - (operator + operator) * 0.5 + (-operator)
    expected = (a * A - b * B + C + shift * torch.eye(6).double()) / divisor
    for made, matrix in [(operator, expected), (nested, C - 2 * expected)]:
        torch.testing.assert_close(made @ V, matrix @ V, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(made @ V[:, 0], matrix @ V[:, 0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(made.dense(), matrix, rtol=1e-12, atol=1e-12)


def test_a_tensor_may_stand_on_either_side() -> None:
    A, B = symmetric(5, 1), symmetric(5, 2)
    for made, expected in [
        (A + Counted(B), A + B),
        (A - Counted(B), A - B),
        (Counted(B) + A, A + B),
        (Counted(B) - A, B - A),
        (2 * Counted(B), 2 * B),
        (np.float64(2) * Counted(B), 2 * B),
        (Counted(B) * torch.tensor(2.0), 2 * B),
        (sum([Counted(A), Counted(B)]), A + B),
    ]:
        assert isinstance(made, SymmetricOperator)
        torch.testing.assert_close(made.dense(), expected, rtol=1e-13, atol=1e-13)


def test_dense_takes_n_products_in_blocks_within_the_budget() -> None:
    A = symmetric(150, 1)
    operator = Counted(A)
    torch.testing.assert_close(operator.dense(), A, rtol=0, atol=0)
    assert operator.products == 150
    tight = operator.dense(max_bytes=A.nbytes + 4 * 150 * 8)
    assert torch.equal(tight, tight.mT)
    with pytest.raises(InputError, match="max_bytes"):
        operator.dense(max_bytes=A.nbytes - 1)


def test_to_scipy_gives_the_same_eigenvalues() -> None:
    A = symmetric(40, 3)
    values = scipy.sparse.linalg.eigsh(
        Counted(A).to_scipy(), k=3, which="LA", return_eigenvectors=False
    )
    np.testing.assert_allclose(np.sort(values), np.linalg.eigvalsh(A.numpy())[-3:], rtol=1e-10)
    operator = Counted(A.float()).to_scipy()
    assert operator.dtype == np.float32
    assert operator.matmat(np.eye(40, dtype=np.float64)).dtype == np.float32


def test_symmetrize_covers_every_tile() -> None:
    A = draw(2100, 2100)
    expected = (A + A.mT) / 2
    assert torch.equal(symmetrize_(A.clone()), expected)


class Foreign:
    """An object of somebody else's that multiplies vectors."""

    shape = (4, 4)
    dtype = torch.float64
    device = torch.device("cpu")

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def __matmul__(self, other: Tensor) -> Tensor:
        assert other.dim() == 1
        return self.matrix @ other


def test_foreign_operators_are_wrapped_and_checked_for_symmetry() -> None:
    A = symmetric(4, 5)
    torch.testing.assert_close(as_operator(Foreign(A)).dense(), A)
    torch.testing.assert_close(as_operator(A.numpy()).dense(), A)
    with pytest.raises(InputError, match="must be equal"):
        as_operator(Foreign(torch.triu(A)))


def test_products_that_are_not_finite_carry_what_was_computed() -> None:
    A = symmetric(4, 5)
    A[1, 1] = float("nan")
    with pytest.raises(NonFiniteError, match="NaN or infinite") as caught:
        Counted(A) @ torch.ones(4, dtype=torch.float64)
    assert isinstance(caught.value.partial, Tensor)
    assert int(torch.isnan(caught.value.partial).sum()) == 1


def test_operators_of_different_kind_do_not_add() -> None:
    A = symmetric(4, 5)
    for other in (symmetric(5, 1), A.float()):
        with pytest.raises(InputError, match="shape, dtype and device"):
            Counted(A) + other
    with pytest.raises(InputError, match="finite numbers"):
        float("nan") * Counted(A)
    with pytest.raises(TypeError):
        Counted(A) + 3.0  # type: ignore[operator]


def test_mirror_covers_every_tile() -> None:
    A = draw(2100, 2100)
    expected = A.tril() + A.tril(-1).mT
    assert torch.equal(mirror_lower_(A.clone()), expected)
