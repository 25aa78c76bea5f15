"""Positive factors D and the congruence D A D of an operator, for preconditioned spectra."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hessium.errors import InputError
from hessium.linalg.operator import NamedShapes, SymmetricOperator
from hessium.linalg.shares import Shares


class Factor(SymmetricOperator):
    """A symmetric positive semidefinite matrix that is cheap to apply and to invert.

    `D @ op @ D`, with the same D on both sides, is a `Congruence`, a symmetric operator.
    """

    @abstractmethod
    def solve(self, block: Tensor) -> Tensor:
        """$D^{-1}$ times a block (n, k)."""

    @property
    @abstractmethod
    def invertible(self) -> bool:
        """Whether all eigenvalues are positive."""

    @property
    def positive_semidefinite(self) -> bool:
        """True."""
        return True

    def __matmul__(self, other: Any) -> Any:
        """A product with vectors, or the left half of `D @ op @ D`."""
        if isinstance(other, SymmetricOperator):
            return LeftFactor(self, other)
        return super().__matmul__(other)


class Diagonal(Factor):
    r"""$D = \mathrm{diag}(d)$ with $d_i \ge 0$.

    Args:
        entries: d, shape (n,).

    Raises:
        InputError: if it is not a finite, nonnegative float32 or float64 vector.

    Example:
        >>> D = hs.linalg.Diagonal(torch.full((13,), 0.1, dtype=torch.float64))
        >>> pairs = hs.eigenpairs(D @ H @ D, 1)
        >>> bool(np.isclose(pairs.values[0], 0.01 * hs.eigenpairs(H, 1).values[0]))
        True
    """

    def __init__(self, entries: Tensor) -> None:
        if not isinstance(entries, Tensor) or entries.dim() != 1 or not entries.numel():
            got = tuple(entries.shape) if isinstance(entries, Tensor) else type(entries).__name__
            msg = f"entries: {got}; a tensor of shape (n,) is required"
            raise InputError(msg)
        if entries.dtype not in (torch.float32, torch.float64):
            msg = f"entries: {entries.dtype}; float32 or float64 is required"
            raise InputError(msg)
        if not bool((torch.isfinite(entries) & (entries >= 0)).all()):
            msg = f"entries: from {float(entries.min())} to {float(entries.max())}; finite numbers "
            raise InputError(msg + ">= 0 are required")
        self.entries = entries.detach().clone()

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""
        return (self.entries.shape[0], self.entries.shape[0])

    @property
    def dtype(self) -> torch.dtype:
        """Of the entries."""
        return self.entries.dtype

    @property
    def device(self) -> torch.device:
        """Of the entries."""
        return self.entries.device

    @property
    def invertible(self) -> bool:
        """Whether no entry is zero."""
        return bool((self.entries > 0).all())

    def _matmat(self, block: Tensor) -> Tensor:
        return self.entries[:, None] * block

    def solve(self, block: Tensor) -> Tensor:
        """$D^{-1}$ times a block (n, k)."""
        return block / self.entries[:, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class KroneckerBlock:
    r"""$L \otimes I$ or $I \otimes R$ on a weight matrix W, flattened by rows: L W or W R.

    Attributes:
        matrix: L or R, symmetric positive definite.
        rows: of W.
        columns: of W.
        left: whether the matrix is L.
    """

    matrix: Tensor
    rows: int
    columns: int
    left: bool = True

    def power(self, exponent: float, scale: float = 1.0) -> KroneckerBlock:
        """`scale` times a power of the block."""
        values, vectors = torch.linalg.eigh(self.matrix)
        root = scale * (vectors * values**exponent) @ vectors.mT
        return dataclasses.replace(self, matrix=root)

    def to(self, like: Tensor) -> KroneckerBlock:
        """The block in dtype and on the device of a tensor."""
        return dataclasses.replace(self, matrix=self.matrix.to(like))

    def apply(self, block: Tensor) -> Tensor:
        """The product with a block (rows * columns, k)."""
        w = block.reshape(self.rows, self.columns, -1)
        what = "ij,jck->ick" if self.left else "rck,cd->rdk"
        pair = (self.matrix, w) if self.left else (w, self.matrix)
        return torch.einsum(what, *pair).reshape(block.shape)


class BlockKronecker(Factor):
    r"""A block-diagonal factor of diagonal and of Kronecker blocks, as Muon and Shampoo use.

    Args:
        blocks: for each block in turn a vector d >= 0, or a Kronecker block.

    Raises:
        InputError: if an entry of a vector is negative or not finite, or an eigenvalue of a
            Kronecker block is not positive.

    Example:
        >>> first, second = torch.ones(4).double(), torch.full((9,), 2.0).double()
        >>> root = hs.linalg.BlockKronecker([first, second])
        >>> (root @ H @ root).shape
        (13, 13)
    """

    def __init__(self, blocks: Sequence[Tensor | KroneckerBlock]) -> None:
        self._blocks = list(blocks)
        for position, block in enumerate(self._blocks):
            if isinstance(block, Tensor):
                Diagonal(block)
            elif not bool((torch.linalg.eigvalsh(block.matrix) > 0).all()):
                msg = f"blocks: block {position} has eigenvalues <= 0; positive ones are required"
                raise InputError(msg)
        self._inverses = [
            1 / block if isinstance(block, Tensor) else block.power(-1.0) for block in self._blocks
        ]
        self._sizes = [
            len(block) if isinstance(block, Tensor) else block.rows * block.columns
            for block in self._blocks
        ]

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""
        return (sum(self._sizes), sum(self._sizes))

    @property
    def dtype(self) -> torch.dtype:
        """Of the blocks."""
        return self._first.dtype

    @property
    def device(self) -> torch.device:
        """Of the blocks."""
        return self._first.device

    @property
    def invertible(self) -> bool:
        """Whether no entry of a diagonal block is zero."""
        return all(bool((b > 0).all()) for b in self._blocks if isinstance(b, Tensor))

    @property
    def _first(self) -> Tensor:
        block = self._blocks[0]
        return block if isinstance(block, Tensor) else block.matrix

    def _matmat(self, block: Tensor) -> Tensor:
        return self._mapped(block, self._blocks)

    def solve(self, block: Tensor) -> Tensor:
        """$D^{-1}$ times a block (n, k)."""
        return self._mapped(block, self._inverses)

    def _mapped(self, block: Tensor, factors: Sequence[Tensor | KroneckerBlock]) -> Tensor:
        parts = zip(torch.split(block, self._sizes), factors, strict=True)
        return torch.cat(
            [f[:, None] * p if isinstance(f, Tensor) else f.apply(p) for p, f in parts]
        )


class LeftFactor:
    """`D @ op`, which waits for the D on the right; it is not symmetric by itself."""

    def __init__(self, factor: Factor, operator: SymmetricOperator) -> None:
        self.factor, self.operator = factor, operator

    def __matmul__(self, right: Any) -> Any:
        if isinstance(right, Tensor):
            return self.factor @ (self.operator @ right)
        if right is not self.factor:
            msg = (
                f"right factor: {right!r}; the same object as on the left is required (D @ op @ D)"
            )
            raise InputError(msg)
        return Congruence(self.factor, self.operator)

    def __repr__(self) -> str:
        return f"{self.factor!r} @ {self.operator!r}"


class Congruence(SymmetricOperator):
    """D A D, for a positive factor D and a symmetric operator A.

    Cost of a product: one product with A.

    Raises:
        InputError: if shape, dtype or device of the two differ.
    """

    def __init__(self, factor: Factor, operator: SymmetricOperator) -> None:
        mine, other = ((t.shape, t.dtype, t.device) for t in (factor, operator))
        if mine != other:
            msg = f"factor: {factor!r}; shape, dtype and device of {operator!r} are required"
            raise InputError(msg)
        self.factor, self.operator = factor, operator

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""
        return self.operator.shape

    @property
    def dtype(self) -> torch.dtype:
        """Of the operator."""
        return self.operator.dtype

    @property
    def device(self) -> torch.device:
        """Of the operator."""
        return self.operator.device

    @property
    def shares(self) -> Shares:
        """Those of the operator."""
        return self.operator.shares

    @property
    def writes_checkpoints(self) -> bool:
        """As the operator."""
        return self.operator.writes_checkpoints

    @property
    def named_shapes(self) -> NamedShapes:
        """Those of the operator."""
        return self.operator.named_shapes

    @property
    def positive_semidefinite(self) -> bool:
        """Whether the operator is."""
        return self.operator.positive_semidefinite

    @property
    def rank_bound(self) -> int:
        """That of the operator."""
        return self.operator.rank_bound

    def prepare(
        self, products: int, columns: int = 1, *, choice: str | None = None
    ) -> SymmetricOperator:
        """The congruence with the prepared operator."""
        return Congruence(self.factor, self.operator.prepare(products, columns, choice=choice))

    @property
    def choice(self) -> str:
        """That of the operator."""
        return self.operator.choice

    @property
    def product_bytes(self) -> int:
        """That of the operator, and two vectors between the factors."""
        return 2 * self.shape[0] * self.dtype.itemsize + self.operator.product_bytes

    @property
    def preferred_columns(self) -> int:
        """That of the operator."""
        return self.operator.preferred_columns

    def _matmat(self, block: Tensor) -> Tensor:
        return self.factor @ (self.operator @ (self.factor @ block))
