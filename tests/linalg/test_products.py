"""What products, dense matrices and combinations of operators promise beside their numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hessium.errors import InputError
from hessium.linalg import SymmetricOperator
from hessium.linalg.dense_matrices import require_memory
from hessium.linalg.operator import Combination, DenseOperator
from support.risk_cases import draw


class Known(SymmetricOperator):
    """A diagonal matrix with facts beside its products; the identity returns its input."""

    def __init__(
        self, diagonal: Tensor, *, rank: int | None = None, positive: bool = False, name: str = ""
    ) -> None:
        self.diagonal, self._rank, self._positive, self._name = diagonal, rank, positive, name

    @property
    def shape(self) -> tuple[int, int]:
        return (len(self.diagonal), len(self.diagonal))

    @property
    def dtype(self) -> torch.dtype:
        return self.diagonal.dtype

    @property
    def device(self) -> torch.device:
        return self.diagonal.device

    @property
    def fingerprint(self) -> str:
        return self._name

    @property
    def positive_semidefinite(self) -> bool:
        return self._positive

    @property
    def rank_bound(self) -> int:
        return len(self.diagonal) if self._rank is None else self._rank

    def companion(self) -> SymmetricOperator | None:
        return None if self._rank is None else Known(self.diagonal[: self._rank])

    def _matmat(self, block: Tensor) -> Tensor:
        identity = bool((self.diagonal == 1).all())
        return block if identity else self.diagonal[:, None] * block


class Plain(SymmetricOperator):
    """Nothing but its products."""

    shape, dtype, device = (5, 5), torch.float64, torch.device("cpu")

    def _matmat(self, block: Tensor) -> Tensor:
        return 2 * block


def known(n: int = 5, **facts: Any) -> Known:
    return Known(torch.arange(1.0, n + 1, dtype=torch.float64), **facts)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (torch.ones(6).double(), r"\(6,\)"),
        (torch.ones(5, 1, 1).double(), r"\(5, 1, 1\)"),
        (torch.tensor(1.0).double(), r"\(\)"),
        (torch.ones(5), "float32"),
        (torch.ones(5, device="meta", dtype=torch.float64), "meta"),
        (torch.eye(5).double().to_sparse(), "sparse"),
    ],
)
def test_vectors_must_fit(vectors: Any, message: str) -> None:
    with pytest.raises(InputError, match=rf"vectors: .*{message}"):
        known() @ vectors


def test_a_product_may_be_overwritten() -> None:
    identity, vector = Known(torch.ones(4).double()), torch.arange(4.0).double()
    product = identity @ vector
    product += 1
    assert vector.tolist() == [0, 1, 2, 3]
    block = torch.eye(4).double()
    (identity @ block).zero_()
    assert torch.equal(block, torch.eye(4).double())


def test_vectors_of_inference_and_of_graphs_give_plain_products() -> None:
    with torch.inference_mode():
        inside = torch.ones(5).double()
    product = known() @ inside
    assert product.tolist() == [1, 2, 3, 4, 5]
    assert not product.is_inference()
    assert not (known() @ torch.ones(5, dtype=torch.float64, requires_grad=True)).requires_grad


def test_only_entries_that_are_not_finite_count() -> None:
    huge = torch.full((5,), 1.7e308, dtype=torch.float64)  # their sum is infinite
    halves = torch.full((5,), 0.9, dtype=torch.float64)
    assert torch.equal(Known(halves) @ huge, 0.9 * huge)
    # the product of a vector that is not finite is the caller's affair
    broken = huge.clone()
    broken[2] = math.nan
    assert bool(torch.isnan((known() @ broken)[2]))


@pytest.mark.parametrize(
    ("free", "widths"), [(0, [1] * 7), (3 * 4800, [3, 3, 1]), (3 * 4800 - 1, [2, 2, 2, 1])]
)
def test_blocks_of_columns_fit_into_memory(free: int, widths: list[int]) -> None:
    """Four arrays of 150 x columns float64 numbers are alive at once: 4800 bytes a column."""
    blocks = list(Known(torch.ones(150).double()).column_blocks(7, free))
    assert [block.stop - block.start for block in blocks] == widths
    assert [i for block in blocks for i in range(block.start, block.stop)] == list(range(7))


def test_blocks_have_at_most_sixty_four_columns() -> None:
    blocks = list(known().column_blocks(130, 2**40))
    assert [(block.start, block.stop) for block in blocks] == [(0, 64), (64, 128), (128, 130)]


def test_the_dense_matrix_beside_products() -> None:
    vectors = draw(5, 2, seed=1)
    matrix, products = known().dense_beside(vectors)
    expected = torch.diag(torch.arange(1.0, 6).double())
    assert torch.equal(matrix, expected)
    torch.testing.assert_close(products, expected @ vectors)


def test_nothing_is_assumed_of_an_operator() -> None:
    plain = Plain()
    assert plain.rank_bound == 5
    assert plain.preferred_columns == 1
    assert (plain.fingerprint, plain.choice) == ("", "")
    assert plain.positive_semidefinite is False
    assert plain.companion() is None
    assert plain.prepare(10, 2, choice="x") is plain
    assert repr(plain) == "Plain(5 x 5, torch.float64)"


def test_facts_of_combinations() -> None:
    two, three = known(rank=2, positive=True, name="a"), known(rank=3, positive=True, name="b")
    indefinite = known(name="c")
    assert (two + three).fingerprint == "a b"
    assert (two - two).rank_bound == 4
    assert (two + three + three).rank_bound == 5  # at most n
    assert (two + 0 * three).rank_bound == 2
    assert two.shifted(1.0).rank_bound == 5
    assert (two + 2 * three).positive_semidefinite
    assert (0 * two).positive_semidefinite
    assert two.shifted(0.5).positive_semidefinite
    assert not two.shifted(-0.5).positive_semidefinite
    assert not (two - three).positive_semidefinite
    assert not (two + indefinite).positive_semidefinite


def test_a_multiple_has_the_multiple_of_the_companion() -> None:
    companion = (3 * known(rank=2)).companion()
    assert companion is not None
    assert torch.equal(companion.dense(), torch.diag(torch.tensor([3.0, 6.0]).double()))
    assert (2 * known()).companion() is None
    assert known(rank=2).shifted(1.0).companion() is None
    assert (known(rank=2) + known(rank=2)).companion() is None


def test_combinations_are_flat() -> None:
    nested = (2 * (known().shifted(1.0) * 3.0 - known())).shifted(2.0)
    assert isinstance(nested, Combination)
    assert [factor for factor, _ in nested.terms] == [6.0, -2.0]
    assert nested.shift == 8.0
    assert all(not isinstance(term, Combination) for _, term in nested.terms)


def test_a_dense_sum_holds_two_matrices_at_a_time() -> None:
    one = 5 * 5 * 8
    assert (2 * known()).dense(max_bytes=one)[1, 1] == 4
    assert (known() + known()).dense(max_bytes=2 * one)[1, 1] == 4
    assert (known() + known() + known()).dense(max_bytes=2 * one)[1, 1] == 6
    with pytest.raises(InputError, match="max_bytes"):
        (known() + known()).dense(max_bytes=2 * one - 1)
    with pytest.raises(InputError, match="max_bytes"):
        (2 * known()).dense(max_bytes=one - 1)


def test_the_memory_of_a_dense_matrix() -> None:
    assert require_memory(10, torch.float32, 400) == 400
    assert require_memory(10, torch.float64, 2**40) == 2**40
    with pytest.raises(InputError, match=r"0\.0745 GiB.*10000 x 10000.*needs 0\.745 GiB"):
        require_memory(10_000, torch.float64, 80_000_000)


def test_what_is_not_arithmetic_of_operators() -> None:
    A: Any = known()
    assert sum([A]) is A
    for wrong in (
        lambda: 1 + A,
        lambda: 2.0 - A,
        lambda: A - 1.0,
        lambda: A * "2",
        lambda: A * torch.ones(2),
        lambda: A / torch.tensor(2.0),
        lambda: torch.mul(torch.eye(5).double(), A),
        lambda: torch.add(torch.eye(5).double(), A, alpha=2),
    ):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(InputError, match="divisor"):
        A / 0
    with pytest.raises(InputError, match="shift"):
        A.shifted(math.inf)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (torch.eye(2).to_sparse(), "sparse"),
        (torch.empty(2, 2, device="meta"), "meta"),
        (torch.ones(2), r"\(2,\)"),
        (torch.ones(2, 3), r"\(2, 3\)"),
        (torch.ones(2, 2, 2), r"\(2, 2, 2\)"),
        (torch.ones(0, 0), r"\(0, 0\)"),
        (torch.eye(2).half(), "float16"),
        (torch.eye(2).long(), "int64"),
        (torch.tensor([[1.0, math.nan], [math.nan, math.inf]]), "3 entries"),
        (
            torch.tensor([[4.0, 1.0], [1.0 + 7e-8, 4.0]], dtype=torch.float64),
            "transpose by up to 7e-08",
        ),
        (torch.tensor([[4.0, 1.0], [1.002, 4.0]]), "transpose"),
    ],
)
def test_matrices_must_be_symmetric_and_finite(matrix: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"matrix: .*{message}"):
        DenseOperator(matrix)


def test_rounding_is_not_asymmetry() -> None:
    matrix = torch.tensor([[4.0, 1.0], [1.0 + 5e-8, 4.0]], dtype=torch.float64)
    operator = DenseOperator(matrix)
    dense = operator.dense()
    assert float(dense[0, 1]) == float(dense[1, 0]) == pytest.approx(1 + 2.5e-8, abs=1e-15)
    dense.zero_()
    assert operator.dense()[0, 0] == 4.0
    assert float(matrix[1, 0]) == 1 + 5e-8
    assert operator.dense(max_bytes=32).shape == (2, 2)
    with pytest.raises(InputError, match="max_bytes"):
        operator.dense(max_bytes=31)


def test_scipy_multiplies_blocks_and_transposes() -> None:
    operator = known().to_scipy()
    assert operator.shape == (5, 5)
    np.testing.assert_allclose(operator.rmatvec(np.ones(5)), [1, 2, 3, 4, 5])
    np.testing.assert_allclose(operator.matmat(np.eye(5)), np.diag([1.0, 2, 3, 4, 5]))
