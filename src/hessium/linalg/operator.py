"""Symmetric operators: sums, multiples and shifts of matrices that are given by their products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, TypeAlias

import torch
from torch import Tensor

from hessium._arguments import memory, number
from hessium._arithmetic import full_precision
from hessium.errors import InputError
from hessium.linalg.dense_matrices import require_memory, symmetrize_
from hessium.linalg.products import MatrixProducts
from hessium.linalg.shares import Shares, Undivided

# names and shapes of tensors, concatenated to one vector in this order
NamedShapes: TypeAlias = tuple[tuple[str, tuple[int, ...]], ...]


class SymmetricOperator(MatrixProducts):
    """A real symmetric n x n matrix given by its products.

    Operators can be added, subtracted, scaled and shifted; symmetric tensors may be operands.
    """

    # NumPy and torch must leave `array - operator` to the operator
    __array_ufunc__ = None

    def companion(self) -> SymmetricOperator | None:
        """A smaller symmetric operator with the same non-zero spectrum, or None."""
        return None

    def prepare(
        self, products: int, columns: int = 1, *, choice: str | None = None
    ) -> SymmetricOperator:
        """The operator prepared for many products; an operator with several routes fixes one.

        Advice: without it the first products find their route themselves.

        Args:
            products: number of products to come.
            columns: largest number of columns of one block product.
            choice: value of `choice` when the same work began; resumed work then rounds alike.
        """
        del products, columns, choice  # ignored by operators with one route
        return self

    @property
    def choice(self) -> str:
        """The route that `prepare` chose, for a later `prepare`."""
        return ""

    @property
    def preferred_columns(self) -> int:
        """Number of columns of a block product that minimises the cost per column."""
        return 1

    @property
    def product_bytes(self) -> int:
        """Memory that its products hold, or take in passing, beside their vectors."""
        return 0

    @property
    def fingerprint(self) -> str:
        """Identifies the operator in checkpoints; empty where unknown."""
        return ""

    @property
    def writes_checkpoints(self) -> bool:
        """Whether this process writes them; of several that compute together one does."""
        return True

    @property
    def named_shapes(self) -> NamedShapes:
        """Names and shapes of the tensors whose entries are the coordinates; empty if unnamed."""
        return ()

    @property
    def positive_semidefinite(self) -> bool:
        """Whether the operator is known to be positive semidefinite."""
        return False

    @property
    def rank_bound(self) -> int:
        """Upper bound on the rank; n where no smaller bound is known."""
        return self.shape[0]

    def shifted(self, shift: float) -> SymmetricOperator:
        """The operator plus `shift` times the identity."""
        return Combination([(1.0, self)], shift=number("shift", shift))

    def __add__(self, other: SymmetricOperator | Tensor) -> SymmetricOperator:
        if not isinstance(other, (SymmetricOperator, Tensor)):
            return NotImplemented
        return Combination([(1.0, self), (1.0, _lift(other))])

    def __sub__(self, other: SymmetricOperator | Tensor) -> SymmetricOperator:
        if not isinstance(other, (SymmetricOperator, Tensor)):
            return NotImplemented
        return Combination([(1.0, self), (-1.0, _lift(other))])

    def __radd__(self, other: Tensor | float) -> SymmetricOperator:
        if isinstance(other, Tensor):
            return _lift(other) + self
        # `sum` starts from the number zero
        return self if isinstance(other, Real) and other == 0 else NotImplemented

    def __rsub__(self, other: Tensor) -> SymmetricOperator:
        if not isinstance(other, Tensor):
            return NotImplemented
        return _lift(other) - self

    def __mul__(self, factor: float | Tensor) -> SymmetricOperator:
        if not isinstance(factor, Real) and not (isinstance(factor, Tensor) and factor.dim() == 0):
            return NotImplemented
        return Combination([(float(factor), self)])

    def __rmul__(self, factor: float | Tensor) -> SymmetricOperator:
        return self * factor

    def __truediv__(self, divisor: float) -> SymmetricOperator:
        if not isinstance(divisor, Real):
            return NotImplemented
        if divisor == 0:
            msg = f"divisor: {divisor}; a number other than zero is required"
            raise InputError(msg)
        return Combination([(1.0 / float(divisor), self)])

    def __neg__(self) -> SymmetricOperator:
        return Combination([(-1.0, self)])

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Handle `tensor + operator` and `tensor - operator`; nothing else."""
        name = getattr(func, "__name__", "").strip("_")
        plain = name in ("add", "sub") and len(args) == 2 and not kwargs
        if plain and isinstance(args[1], SymmetricOperator):
            return getattr(args[1], f"__r{name}__")(args[0])
        return NotImplemented


class Combination(SymmetricOperator):
    r"""$\sum_i c_i A_i + s I$, flat: sums of sums are one sum.

    Args:
        terms: pairs (c_i, A_i), at least one.
        shift: s.
    """

    def __init__(
        self, terms: Sequence[tuple[float, SymmetricOperator]], *, shift: float = 0.0
    ) -> None:
        flat: list[tuple[float, SymmetricOperator]] = []
        for factor, term in terms:
            if isinstance(term, Combination):
                flat += [(factor * c, t) for c, t in term.terms]
                shift += factor * term.shift
            else:
                flat.append((factor, term))
        first = flat[0][1]
        for _, term in flat:
            mine, other = ((t.shape, t.dtype, t.device) for t in (first, term))
            if mine != other:
                msg = f"operators: {first!r}, {term!r}; one shape, dtype and device are required"
                raise InputError(msg)
        numbers = [shift, *(factor for factor, _ in flat)]
        if not all(math.isfinite(number) for number in numbers):
            msg = f"factors: {numbers}; finite numbers are required"
            raise InputError(msg)
        self.terms: tuple[tuple[float, SymmetricOperator], ...] = tuple(flat)
        self.shift: float = float(shift)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""
        return self.terms[0][1].shape

    @property
    def dtype(self) -> torch.dtype:
        """Of all terms."""
        return self.terms[0][1].dtype

    @property
    def device(self) -> torch.device:
        """Of all terms."""
        return self.terms[0][1].device

    @property
    def product_bytes(self) -> int:
        """Of all terms, and two vectors: the sum so far and a summand."""
        vectors = 2 * self.shape[0] * self.dtype.itemsize
        return vectors + sum(term.product_bytes for _, term in self.terms)

    @property
    def fingerprint(self) -> str:
        """Of all terms."""
        return " ".join(term.fingerprint for _, term in self.terms)

    @property
    def writes_checkpoints(self) -> bool:
        """Whether the process of all terms does."""
        return all(term.writes_checkpoints for _, term in self.terms)

    @property
    def shares(self) -> Shares:
        """Those of a term that runs in several processes, if there is one."""
        several = (term.shares for _, term in self.terms)
        return next((one for one in several if one.divided), Undivided(self.shape[0]))

    @property
    def sums_over_processes(self) -> bool:
        """Whether a term does."""
        return any(term.sums_over_processes for _, term in self.terms)

    def own_product(self, block: Tensor) -> Tensor:
        """The summand of the terms that are sums over processes."""
        product = torch.zeros_like(block)
        for factor, term in self.terms:
            if term.sums_over_processes:
                product += factor * term.own_product(block)
        return product

    @full_precision()
    def times_shares(self, rows: Tensor) -> Tensor:
        """As for each term; together one all-gather and one reduce-scatter."""
        shares = self.shares
        if not shares.divided:
            return super().times_shares(rows)
        whole = shares.whole(rows)
        product = self.shift * rows
        for factor, term in self.terms:
            if not term.sums_over_processes:
                product += factor * shares.part(term._rows(whole))
        if self.sums_over_processes:
            product += shares.added(lambda: self.own_product(whole.mT).mT, repr(self))
        return product

    @property
    def named_shapes(self) -> NamedShapes:
        """Those of the terms that have any, if they agree."""
        found = {term.named_shapes for _, term in self.terms} - {()}
        return found.pop() if len(found) == 1 else ()

    @property
    def positive_semidefinite(self) -> bool:
        """Whether the shift and all factors are nonnegative and all terms semidefinite."""
        numbers = [self.shift, *(factor for factor, _ in self.terms)]
        return min(numbers) >= 0 and all(term.positive_semidefinite for _, term in self.terms)

    @property
    def rank_bound(self) -> int:
        """Sum of the bounds of the terms if there is no shift."""
        if self.shift:
            return self.shape[0]
        return min(self.shape[0], sum(term.rank_bound for c, term in self.terms if c))

    def _matmat(self, block: Tensor) -> Tensor:
        product = self.shift * block
        for factor, term in self.terms:
            product += factor * (term @ block)
        return product

    def dense(self, *, max_bytes: int = 2**33) -> Tensor:
        """The sum of the dense terms, each by its own fastest route; two matrices at a time."""
        max_bytes = memory("max_bytes", max_bytes)
        require_memory(self.shape[0], self.dtype, max_bytes // min(2, len(self.terms)))
        total: Tensor | None = None
        for factor, term in self.terms:
            part = term.dense(max_bytes=max_bytes).mul_(factor)
            total = part if total is None else total.add_(part)
        assert total is not None
        total.diagonal().add_(self.shift)
        return total

    def companion(self) -> SymmetricOperator | None:
        """Scaled companion, if the combination is a multiple of one operator that has one."""
        if len(self.terms) > 1 or self.shift:
            return None
        factor, term = self.terms[0]
        companion = term.companion()
        return None if companion is None else factor * companion


class DenseOperator(SymmetricOperator):
    """A symmetric tensor as an operator.

    Args:
        matrix: shape (n, n), float32 or float64, finite, symmetric to rounding.

    Raises:
        InputError: if it is not.
    """

    def __init__(self, matrix: Tensor) -> None:
        if not isinstance(matrix, Tensor) or matrix.layout != torch.strided or matrix.is_meta:
            kind = f"{matrix.layout} on {matrix.device}" if isinstance(matrix, Tensor) else matrix
            msg = f"matrix: {kind}; a dense tensor with data is required"
            raise InputError(msg)
        if matrix.dim() != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.numel():
            msg = f"matrix: shape {tuple(matrix.shape)}; a square matrix (n, n) is required"
            raise InputError(msg)
        if matrix.dtype not in (torch.float32, torch.float64):
            msg = f"matrix: {matrix.dtype}; float32 or float64 is required"
            raise InputError(msg)
        if not bool(torch.isfinite(matrix).all()):
            msg = f"matrix: {int((~torch.isfinite(matrix)).sum())} entries are NaN or infinite"
            raise InputError(msg)
        asymmetry = float((matrix - matrix.mT).abs().max())
        if asymmetry > torch.finfo(matrix.dtype).eps ** 0.5 * float(matrix.abs().max()):
            msg = (
                f"matrix: differs from its transpose by up to {asymmetry:.3g}; it must be symmetric"
            )
            raise InputError(msg)
        self._matrix = matrix.detach()

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""
        return (self._matrix.shape[0], self._matrix.shape[1])

    @property
    def dtype(self) -> torch.dtype:
        """Of the tensor."""
        return self._matrix.dtype

    @property
    def device(self) -> torch.device:
        """Of the tensor."""
        return self._matrix.device

    def _matmat(self, block: Tensor) -> Tensor:
        return self._matrix @ block

    def dense(self, *, max_bytes: int = 2**33) -> Tensor:
        """A copy of the tensor."""
        require_memory(self.shape[0], self.dtype, max_bytes)
        return symmetrize_(self._matrix.clone())


def _lift(operand: SymmetricOperator | Tensor) -> SymmetricOperator:
    return operand if isinstance(operand, SymmetricOperator) else DenseOperator(operand)
