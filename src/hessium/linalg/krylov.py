"""Block Krylov spaces with thick restarts: a few eigenpairs within bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from hessium._typing import FloatArray, IntArray
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.threads import dense_algebra
from hessium.linalg.vectors import Projection, gaussian_share, norm, subtract_projection_

_CANCELLED = 0.7  # fraction of a length; below it rounding is not small relative to the remainder


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RitzPairs:
    """Eigenpairs of the projected matrix.

    Attributes:
        values: ascending, shape (j,).
        coefficients: of the Ritz vectors in the basis, columns, shape (j, j).
        residuals: norms of A x - value x, from the coupling alone, shape (j,).
    """

    values: FloatArray
    coefficients: FloatArray
    residuals: FloatArray


class KrylovSpace:
    r"""An orthonormal basis V with $A V^T = V^T T + Q^T S^T$, grown b vectors at a time.

    V has j rows, the b rows of Q are orthonormal and orthogonal to V, T is $V A V^T$, and S (j x b)
    couples the two: a Ritz pair $T y = \theta y$ has a residual of norm $|S^T y|$ exactly. Every
    step reorthogonalises against all of V, so converged pairs are not repeated; a restart keeps any
    set of Ritz vectors and preserves the relation (Wu & Simon 2000).

    Args:
        operator: A. Where its vectors are spread over processes, each holds its share of V, Q and
            `start`, and all hold T and S.
        start: b vectors as rows, shape (b, n); b bounds the multiplicities that can be resolved.
        capacity: most rows of V, at least 2 b + 1 or n.
        rng: for the random directions that replace missing ones after a breakdown.

    Attributes:
        operator: A.
        shares: of this process.
        basis: V and behind it Q, shape (capacity + b, n), or (capacity + b, m) where shared.
        size: j.
        width: b at the start.
        block: b now: smaller only where the whole space is nearly spanned.
        num_matvecs: products so far.
        exhausted: number of breakdowns so far (the space was invariant to rounding).
    """

    def __init__(
        self,
        operator: SymmetricOperator,
        start: Tensor,
        capacity: int,
        rng: np.random.Generator,
    ) -> None:
        n = operator.shape[0]
        self.operator, self._rng = operator, rng
        self.shares = operator.shares
        self._cut = float(torch.finfo(operator.dtype).eps)
        self._capacity = min(capacity, n)
        self.width = self.block = min(start.shape[0], n)
        self.basis = start.new_empty(min(self._capacity + self.block, n), start.shape[1])
        self.size = 0
        self.num_matvecs = 0
        self.exhausted = 0
        self._projected = np.zeros((self._capacity, self._capacity))
        self._coupling = np.zeros((0, self.block))
        self._scale = 0.0
        self._append(start[: self.block].clone())

    def state(self, first: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Everything that `restore` needs, with the rows of the basis from `first` on."""
        numbers = {
            "size": self.size,
            "capacity": self._capacity,
            "block": self.block,
            "num_matvecs": self.num_matvecs,
            "exhausted": self.exhausted,
            "scale": self._scale,
        }
        tensors = {
            "basis": self.basis[first : self.size + self.block].cpu(),
            "projected": torch.from_numpy(self._projected[: self.size, : self.size].copy()),
            "coupling": torch.from_numpy(self._coupling.copy()),
        }
        return numbers, tensors

    def restore(self, numbers: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Restore a state, given with all rows of the basis."""
        self.size, self.block = numbers["size"], numbers["block"]
        self.num_matvecs, self.exhausted = numbers["num_matvecs"], numbers["exhausted"]
        self._scale = numbers["scale"]
        rows = tensors["basis"]
        self.basis[: len(rows)] = rows.to(self.basis)
        self._projected[: self.size, : self.size] = tensors["projected"].numpy()
        self._coupling = tensors["coupling"].numpy().copy()

    @property
    def full(self) -> bool:
        """Whether the next step does not fit, or V spans everything."""
        return self.size + self.block > self._capacity or self.complete

    @property
    def complete(self) -> bool:
        """Whether V spans the whole space: Ritz pairs are eigenpairs."""
        return self.size == self.operator.shape[0]

    @property
    def scale(self) -> float:
        """Largest |Ritz value| so far, a lower bound of the norm of A."""
        return self._scale

    def expand(self) -> None:
        """One step: b products. Not when `full`."""
        first, last = self.size, self.size + self.block
        rows = self.operator.times_shares(self.basis[first:last])
        self.num_matvecs += self.block
        basis = self.basis[:last]
        # most of a product lies along the last vectors; removing them first makes one full pass
        # accurate
        coefficients = np.zeros((last, self.block))
        near = max(0, first - self.block)
        coefficients[near:] = self._orthogonalize(rows, self.basis[near:last])
        projection = Projection(rows if len(rows) > 1 else rows[0], basis)
        found, norms = projection.subtract_(self.shares.every(projection.overlaps()))
        along = _array(found / torch.where(norms > 0, norms, 1.0)).reshape(last, -1)
        coefficients += _array(found).reshape(last, -1)
        # a second pass is needed if Gram-Schmidt cancelled most of the vector (Kahan, Parlett)
        if (np.square(along).sum(axis=0) > 1 - _CANCELLED**2).any():
            coefficients += self._orthogonalize(rows, basis)
        new = slice(first, last)
        self._projected[:last, new] = coefficients
        self._projected[new, :last] = coefficients.T
        corner = self._projected[new, new]
        self._projected[new, new] = (corner + corner.T) / 2
        self._scale = max(self._scale, float(np.abs(self._projected[:last, new]).max()))
        self.size = last
        coupling = self._append(rows)
        self._coupling = np.zeros((last, self.block))
        self._coupling[new] = coupling

    def _orthogonalize(self, rows: Tensor, basis: Tensor) -> FloatArray:
        # matrix-vector products are faster for one row
        one = rows.shape[0] == 1
        found = subtract_projection_(rows[0] if one else rows, basis, self.shares)
        return _array(found).reshape(len(basis), -1)

    def _append(self, rows: Tensor) -> FloatArray:
        """Orthonormalise the residual rows W behind V; returns S with $W = S Q$, shape (b, b)."""
        n = self.operator.shape[0]
        count = rows.shape[0]
        coupling = np.zeros((count, count))
        self.block = min(count, n - self.size)
        for i in range(count):
            row, known = rows[i], self.basis[: self.size + min(i, self.block)]
            before = length = float(norm(row, self.shares))
            for _ in range(2 if i else 0):
                found = subtract_projection_(row, known[self.size :], self.shares)
                coupling[i, : found.shape[0]] += found.double().cpu().numpy()
            if i >= self.block:  # V and Q span the whole space
                continue
            if i:
                length = float(norm(row, self.shares))
            if length > self._cut * self._scale and length > 0:
                coupling[i, i] = length
                row = row / length
                if self.size and length < max(1e3 * self._cut * self._scale, _CANCELLED * before):
                    # after cancellation the remainder is no longer orthogonal to V
                    row = self._fresh(row, known)
            else:  # invariant subspace: continue in the complement, without coupling
                self.exhausted += 1
                row = self._fresh(gaussian_share(self.operator, self._rng), known)
            self.basis[self.size + i] = row
        return coupling[:, : self.block]

    def _fresh(self, row: Tensor, known: Tensor) -> Tensor:
        for _ in range(3):
            row = row / norm(row, self.shares)
            if len(known):
                subtract_projection_(row, known, self.shares)
        return row / norm(row, self.shares)

    def ritz(self) -> RitzPairs:
        """All Ritz pairs of the present space. Cost: an eigenproblem of size j, no product."""
        j = self.size
        with dense_algebra(j):
            values, vectors = scipy.linalg.eigh(self._projected[:j, :j])
        if self.shares.divided:  # signs of eigenvectors may depend on the processor
            both = torch.from_numpy(np.vstack([values, vectors]))
            values, vectors = np.split(self.shares.from_first(both).numpy(), [1])
            values = values[0]
        self._scale = max(self._scale, float(np.abs(values).max()))
        residuals = np.zeros(j)
        if self._scale > 0:
            # in units of the operator: squares of its entries may overflow
            coupled = (self._coupling / self._scale).T @ vectors
            residuals = np.linalg.norm(coupled, axis=0) * self._scale
        return RitzPairs(values=values, coefficients=vectors, residuals=residuals)

    def restart(self, pairs: RitzPairs, keep: IntArray) -> None:
        """Replace V by the Ritz vectors `keep`, preserving the relation of the class."""
        chosen = pairs.coefficients[:, keep]
        count = keep.size
        fresh = self.basis[self.size : self.size + self.block].clone()
        self._rotate(chosen)
        self.basis[count : count + self.block] = fresh
        self._coupling = chosen.T @ self._coupling
        # pairs converged to rounding are locked: their coupling is rounding noise and must not be
        # amplified
        locked = pairs.residuals[keep] <= 10 * self._cut * self._scale
        self._coupling[locked] = 0.0
        self._projected[:count, :count] = np.diag(pairs.values[keep])
        self.size = count

    def vectors(self, pairs: RitzPairs, which: IntArray) -> Tensor:
        """Ritz vectors as columns, shape (n, len(which)); where shared, the rows (m, ...)."""
        return self.basis[: self.size].mT @ self._tensor(pairs.coefficients[:, which])

    def departure(self, pairs: RitzPairs, which: IntArray) -> float:
        """Norm of the difference between products with Ritz pairs and V, T, S. Cost: one product.

        The pairs are summed with alternating signs, so that the error of any of them is visible.
        """
        signs = (-1.0) ** np.arange(which.size)
        weights = pairs.coefficients[:, which] @ np.stack([signs, signs * pairs.values[which]], 1)
        vector, expected = (self.basis[: self.size].mT @ self._tensor(weights)).unbind(1)
        product = self.operator.times_shares(vector[None].contiguous())[0] - expected
        if not self.complete:
            behind = self.basis[self.size : self.size + self.block]
            product -= behind.mT @ self._tensor(self._coupling.T @ weights[:, 0])
        self.num_matvecs += 1
        return float(norm(product, self.shares))

    def _rotate(self, chosen: FloatArray) -> None:
        """V := Y^T V in place, over slices of columns, so that no second basis is needed."""
        weights = self._tensor(chosen.T)
        old = self.basis[: self.size]
        for part in torch.split(old, max(1024, old.shape[1] // 32), dim=1):
            part[: weights.shape[0]] = weights @ part

    def _tensor(self, array: FloatArray) -> Tensor:
        return torch.from_numpy(array.copy()).to(self.basis)


def _array(tensor: Tensor) -> FloatArray:
    return np.asarray(tensor.double().cpu().numpy(), dtype=np.float64)
