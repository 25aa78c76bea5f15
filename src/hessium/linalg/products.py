"""A symmetric matrix given by its products: with vectors, with blocks, with all unit vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
import scipy.sparse.linalg
import torch
from torch import Tensor

from hessium._arithmetic import full_precision
from hessium._finite import all_finite
from hessium._typing import AnyArray
from hessium.errors import InputError, NonFiniteError
from hessium.linalg.dense_matrices import require_memory, symmetrize_
from hessium.linalg.shares import Shares, Undivided

COLUMNS = 64  # columns of a block product: 64 to 128 are faster than all at once (cache)


class MatrixProducts(ABC):
    """A real symmetric n x n matrix given by its products."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(n, n)."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """Of input and output vectors."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Of input and output vectors."""

    @abstractmethod
    def _matmat(self, block: Tensor) -> Tensor:
        """Product with a checked block (n, k)."""

    @full_precision()
    def __matmul__(self, other: Tensor) -> Tensor:
        """Product with a vector (n,) or with k vectors at once, (n, k).

        Raises:
            InputError: for another shape, dtype or device.
            NonFiniteError: if the product has entries that are not finite.
        """
        n = self.shape[0]
        if isinstance(other, Tensor) and other.layout != torch.strided:
            msg = f"vectors: layout {other.layout}; a dense tensor is required (to_dense())"
            raise InputError(msg)
        if not isinstance(other, Tensor) or other.dim() not in (1, 2) or other.shape[0] != n:
            got = tuple(other.shape) if isinstance(other, Tensor) else type(other).__name__
            msg = f"vectors: {got}; a tensor of shape ({n},) or ({n}, k) is required"
            raise InputError(msg)
        if other.dtype != self.dtype or other.device != self.device:
            msg = (
                f"vectors: {other.dtype} on {other.device}; this operator takes {self.dtype} on "
                f"{self.device}"
            )
            raise InputError(msg)
        # autograd cannot save inference tensors; a copy is an ordinary tensor
        vectors = other.clone() if other.is_inference() else other.detach()
        block = vectors.reshape(n, -1)
        product = self._matmat(block).reshape(other.shape)
        if product.data_ptr() == block.data_ptr():
            product = product.clone()  # callers overwrite products; this may be the input
        if not all_finite(product) and all_finite(block):
            msg = f"{self!r}: product with a finite vector has entries that are NaN or infinite"
            raise NonFiniteError(msg, partial=product)
        return product

    @property
    def shares(self) -> Shares:
        """How the coordinates of vectors are spread over processes that compute together."""
        return Undivided(self.shape[0])

    @property
    def sums_over_processes(self) -> bool:
        """Whether a product is the sum of the `own_product` of all processes."""
        return False

    def own_product(self, block: Tensor) -> Tensor:
        """The summand of this process of the product with a whole block (n, k).

        No communication. Only where `sums_over_processes`.
        """
        raise NotImplementedError

    @full_precision()
    def times_shares(self, rows: Tensor) -> Tensor:
        """Products with vectors of which each process holds its share, as shares.

        Args:
            rows: the share of this process, shape (b, m).

        Returns:
            That of the products, shape (b, m), contiguous.

        Raises:
            NonFiniteError: if a product has entries that are not finite.

        Bytes: one all-gather and one reduce-scatter of b vectors where `sums_over_processes`.
        """
        shares = self.shares
        whole = shares.whole(rows)
        if self.sums_over_processes and shares.divided:
            return shares.added(lambda: self.own_product(whole.mT).mT, repr(self))
        return shares.part(self._rows(whole)).contiguous()

    def _rows(self, vectors: Tensor) -> Tensor:
        """Products with whole vectors (b, n), as rows."""
        if len(vectors) == 1:  # matrix-vector products are faster for one
            return (self @ vectors[0])[None]
        return (self @ vectors.mT).mT

    @full_precision()
    def dense(self, *, max_bytes: int = 2**33) -> Tensor:
        """The matrix itself, symmetric to the last bit, built in blocks of columns.

        Args:
            max_bytes: memory limit for the matrix and its work space (8 GiB).

        Raises:
            InputError: if the matrix alone does not fit.

        Cost: n products, in blocks.
        """
        n = self.shape[0]
        max_bytes = require_memory(n, self.dtype, max_bytes)
        matrix = torch.empty(self.shape, dtype=self.dtype, device=self.device)
        for columns in self.column_blocks(n, max_bytes - matrix.nbytes):
            unit = torch.zeros(
                n, columns.stop - columns.start, dtype=self.dtype, device=self.device
            )
            unit[columns].fill_diagonal_(1.0)
            matrix[:, columns] = self @ unit
        return symmetrize_(matrix)

    def dense_beside(self, vectors: Tensor, *, max_bytes: int = 2**33) -> tuple[Tensor, Tensor]:
        """The matrix of `dense`, and beside it products that do not use it, to compare the two.

        Args:
            vectors: shape (n, k).
            max_bytes: as in `dense`.

        Cost: that of `dense` and k products, or less where they share passes over data.
        """
        matrix = self.dense(max_bytes=max_bytes)
        return matrix, torch.stack([self @ column for column in vectors.unbind(1)], dim=1)

    def column_blocks(self, count: int, free_bytes: int) -> Iterator[slice]:
        """Slices of columns 0 to `count`, each as large as a block product within `free_bytes`."""
        step = int(self._columns_within(free_bytes))
        for start in range(0, count, step):
            yield slice(start, min(start + step, count))

    def to_scipy(self) -> scipy.sparse.linalg.LinearOperator:
        """A SciPy LinearOperator on NumPy arrays of the operator's precision."""
        dtype = np.dtype(str(self.dtype).removeprefix("torch."))

        def apply(array: AnyArray) -> AnyArray:
            block = torch.from_numpy(np.ascontiguousarray(array)).to(self.dtype)
            return (self @ block.to(self.device)).cpu().numpy()

        return scipy.sparse.linalg.LinearOperator(
            shape=self.shape, matvec=apply, rmatvec=apply, matmat=apply, rmatmat=apply, dtype=dtype
        )

    def _columns_within(self, free_bytes: int) -> int:
        """How many columns of a block product fit into `free_bytes`."""
        per_column = 4 * self.shape[0] * self.dtype.itemsize
        return max(1, min(COLUMNS, free_bytes // max(per_column, 1)))

    def __repr__(self) -> str:
        n = self.shape[0]
        return f"{type(self).__name__}({n} x {n}, {self.dtype})"
