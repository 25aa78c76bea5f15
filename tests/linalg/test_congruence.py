"""Positive factors and the congruence of an operator, against dense matrices."""

from __future__ import annotations

import pytest
import torch

import hessium as hs
from hessium.errors import InputError
from hessium.linalg import BlockKronecker, Diagonal, KroneckerBlock

F64 = torch.float64


def matrix(n: int) -> torch.Tensor:
    a = torch.randn(n, n, generator=torch.Generator().manual_seed(n), dtype=F64)
    return a + a.mT


def kronecker() -> tuple[BlockKronecker, torch.Tensor]:
    left, right = (matrix(k) @ matrix(k) + torch.eye(k, dtype=F64) for k in (2, 3))
    d = torch.tensor([1.0, 2.0], dtype=F64)
    blocks: list[torch.Tensor | KroneckerBlock] = [
        KroneckerBlock(matrix=left, rows=2, columns=4),
        d,
        KroneckerBlock(matrix=right, rows=2, columns=3, left=False),
    ]
    dense = torch.block_diag(
        torch.kron(left, torch.eye(4, dtype=F64)),
        torch.diag(d),
        torch.kron(torch.eye(2, dtype=F64), right),
    )
    return BlockKronecker(blocks), dense


def test_diagonal_congruence_and_estimators() -> None:
    a, d = matrix(12), torch.linspace(0.1, 3.0, 12, dtype=F64)
    factor = Diagonal(d)
    op = factor @ hs.linalg.as_operator(a) @ factor
    expected = d[:, None] * a * d
    torch.testing.assert_close(op.dense(), expected)
    top = float(torch.linalg.eigvalsh(expected)[-1])
    assert hs.eigenpairs(op, 1, which="LA").values[0] == pytest.approx(top)
    assert hs.trace(op, 12).value == pytest.approx(float(expected.trace()))
    assert hs.spectrum(op).nodes[-1] == pytest.approx(top)
    torch.testing.assert_close((factor @ hs.linalg.as_operator(a)) @ d, d * (a @ d))


def test_kronecker_factor_is_the_dense_one() -> None:
    factor, dense = kronecker()
    torch.testing.assert_close(factor.dense(), dense)
    block = torch.randn(16, 3, dtype=F64)
    torch.testing.assert_close(factor @ factor.solve(block), block)
    a = matrix(16)
    op = factor @ hs.linalg.as_operator(a) @ factor
    torch.testing.assert_close(op.dense(), dense @ a @ dense)
    assert factor.invertible


def test_powers_of_a_block() -> None:
    block = KroneckerBlock(matrix=matrix(3) @ matrix(3), rows=3, columns=2)
    root = block.power(0.5).matrix
    torch.testing.assert_close(root @ root, block.matrix)


def test_bad_factors() -> None:
    for wrong in (torch.tensor([-1.0]), torch.tensor([float("nan")]), torch.ones(2, 2)):
        with pytest.raises(InputError, match="entries"):
            Diagonal(wrong)
    with pytest.raises(InputError, match="int64"):
        Diagonal(torch.tensor([1]))
    with pytest.raises(InputError, match="block 0"):
        BlockKronecker([KroneckerBlock(matrix=-torch.eye(2), rows=2, columns=1)])
    one, other = Diagonal(torch.ones(3)), Diagonal(torch.ones(3))
    with pytest.raises(InputError, match="same object"):
        one @ hs.linalg.as_operator(torch.eye(3)) @ other
    with pytest.raises(InputError, match="factor"):
        one @ hs.linalg.as_operator(torch.eye(4)) @ one
