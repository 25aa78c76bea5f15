"""Random vectors, norms and projections. Draws are made on the CPU: equal on every device."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hessium.errors import InputError
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.shares import Pieces, Shares
from hessium.linalg.threads import passes_over

_DRAWN = 2**20  # numbers that are drawn at once, a multiple of sixteen
# entries whose products a CPU kernel of torch adds up in their dtype: its rounding grows with their
# number, in float32 to 4e-4 of a norm or an inner product of 10^7 entries
_ADDED = 2**14


def gaussian(operator: SymmetricOperator, rng: np.random.Generator) -> Tensor:
    """A standard normal vector (n,) for an operator; takes one number from `rng`.

    Drawn in float64, so that a seed gives the same vector in every precision.
    """
    return _drawn(operator, rng, ((0, operator.shape[0]),))


def gaussian_share(operator: SymmetricOperator, rng: np.random.Generator) -> Tensor:
    """The share of this process (m,) of the vector that `gaussian` would give.

    Every process draws all numbers, a part at a time, and keeps its own.
    """
    return _drawn(operator, rng, operator.shares.pieces)


def _drawn(operator: SymmetricOperator, rng: np.random.Generator, pieces: Pieces) -> Tensor:
    """Some coordinates of a standard normal vector (n,)."""
    seeded = torch.Generator().manual_seed(int(rng.integers(2**63)))
    n = operator.shape[0]
    kept, first = list[Tensor](), 0
    while first < n:
        # torch draws sixteen numbers at a time, and fewer than sixteen in another way
        last = n if n - first < 2 * _DRAWN else first + _DRAWN
        numbers = torch.randn(last - first, generator=seeded, dtype=torch.float64, device="cpu")
        kept += [
            numbers[max(start, first) - first : min(stop, last) - first].to(operator.dtype)
            for start, stop in pieces
            if start < last and stop > first
        ]
        first = last
    vector = kept[0] if len(kept) == 1 else torch.cat(kept or [torch.empty(0)])
    return vector.to(device=operator.device, dtype=operator.dtype)


def start_rows(
    operator: SymmetricOperator, given: Tensor | None, count: int, rng: np.random.Generator
) -> Tensor:
    """Shares (count, m) of vectors from which a Krylov space starts: Gaussian, or near given ones.

    Args:
        operator: whose space it is.
        given: whole vectors (n,) or (n, j), or None; the i-th is added to row i modulo `count`.
        count: number of rows.
        rng: of the Gaussian rows, which are a hundredth of the length of the given ones: a vector
            that is orthogonal to what is sought would never find it.

    Raises:
        InputError: for given vectors of another shape, dtype or device, not finite, or zero.
    """
    rows = torch.stack([gaussian_share(operator, rng) for _ in range(count)])
    if given is None:
        return rows
    n = operator.shape[0]
    fits = isinstance(given, Tensor) and given.dim() in (1, 2) and given.shape[0] == n
    if not fits or (given.dtype, given.device) != (operator.dtype, operator.device):
        got = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
        msg = f"start: {got}; a tensor ({n},) or ({n}, j), {operator.dtype} on {operator.device}"
        raise InputError(msg + ", is required")
    columns = given.detach().reshape(n, -1)
    lengths = norm(columns.mT)
    if not bool(((lengths > 0) & torch.isfinite(lengths)).all()):
        msg = f"start: lengths from {float(lengths.min())} to {float(lengths.max())}; finite "
        raise InputError(msg + "vectors other than zero are required")
    rows = rows / (100 * n**0.5)
    for number, column in enumerate((columns / lengths).unbind(1)):
        rows[number % count] += operator.shares.part(column)
    return rows


def norm(vectors: Tensor, shares: Shares | None = None) -> Tensor:
    """Length of a vector (n,), or of each row (b, n), to rounding, without under- or overflow.

    Squares of entries near 1e-22 in float32, or 1e-160 in float64, underflow; where under- or
    overflow is possible, the entries are scaled first.

    Args:
        vectors: the vectors, or shares of them.
        shares: how they are spread over processes; None if they are whole.
    """
    if shares is not None and shares.divided:
        return _joined(shares.every(norm(vectors)))
    found = _length(vectors)
    limits = torch.finfo(vectors.dtype)
    usual = (found > limits.tiny**0.5 / limits.eps) & (found < math.inf)
    if not vectors.shape[-1] or bool(usual.all()):
        return found
    largest = vectors.abs().amax(dim=-1)
    unit = torch.where(largest > 0, largest, 1.0)
    return largest * _length(vectors / unit[..., None])


def _joined(lengths: Sequence[Tensor]) -> Tensor:
    """Lengths of vectors from those of their shares."""
    if len(lengths) == 1:
        return lengths[0]
    largest = torch.stack(list(lengths)).amax(dim=0)
    unit = torch.where(largest > 0, largest, 1.0)
    total = torch.zeros_like(largest)
    for length in lengths:  # in their order: the same bits in all processes
        total = total + (length / unit).square()
    return largest * total.sqrt()


def _length(vectors: Tensor) -> Tensor:
    """Length of each row, from the lengths of its parts."""
    n = vectors.shape[-1]
    if n <= _ADDED or vectors.device.type != "cpu":
        return torch.linalg.vector_norm(vectors, dim=-1)
    whole = n - n % _ADDED
    parts = torch.linalg.vector_norm(vectors[..., :whole].unflatten(-1, (-1, _ADDED)), dim=-1)
    rest = torch.linalg.vector_norm(vectors[..., whole:], dim=-1)
    lengths = torch.cat([parts, rest[..., None]], dim=-1)
    return torch.linalg.vector_norm(lengths, dim=-1, dtype=torch.float64).to(vectors.dtype)


def inner(rows: Tensor, vectors: Tensor) -> Tensor:
    r"""Inner products $V W^T$ of rows V, (j, n) or (n,), with W, (n,) or (b, n), to rounding.

    Returns:
        Shape (j,) or (j, b); without j for one row.
    """
    if rows.dim() == 1:
        return inner(rows[None], vectors)[0]
    n, one = vectors.shape[-1], vectors.dim() == 1
    if n <= _ADDED or vectors.device.type != "cpu":
        return rows @ (vectors if one else vectors.mT)
    total = rows.new_zeros((len(rows), *vectors.shape[:-1]), dtype=torch.float64)
    for left, right in zip(rows.split(_ADDED, -1), vectors.split(_ADDED, -1), strict=True):
        total += left @ (right if one else right.mT)
    return total.to(rows.dtype)


def subtract_projection_(vectors: Tensor, basis: Tensor, shares: Shares | None = None) -> Tensor:
    r"""Replace rows W by $W - (W V^T) V$, one pass of classical Gram-Schmidt, in place.

    Args:
        vectors: W, shape (n,) or (b, n).
        basis: V, orthonormal rows, shape (j, n).
        shares: how both are spread over processes, each of which holds its columns; None if they
            are whole.

    Returns:
        The coefficients $V W^T$, shape (j,) or (j, b).

    Cost: the basis is read twice, by matrix-vector (b = 1) or matrix-matrix products.
    """
    with passes_over(basis.nbytes):
        coefficients = inner(basis, vectors)
    if shares is not None:
        coefficients = shares.sum(coefficients)
    _subtract_(vectors, basis, coefficients)
    return coefficients


class Projection:
    r"""One pass of classical Gram-Schmidt whose inner products and lengths are one exchange.

    Args:
        vectors: W, shape (n,) or (b, n), or shares of them.
        basis: V, orthonormal rows, shape (j, n), or shares of them.
    """

    def __init__(self, vectors: Tensor, basis: Tensor) -> None:
        self._vectors, self._basis = vectors, basis

    def overlaps(self) -> Tensor:
        """$V W^T$ of this process and, behind it, lengths; (j + 1,) or (j + 1, b)."""
        with passes_over(self._basis.nbytes):
            coefficients = inner(self._basis, self._vectors)
            return torch.cat([coefficients, norm(self._vectors)[None]])

    def subtract_(self, overlaps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        r"""Replace W by $W - (W V^T) V$.

        Args:
            overlaps: of each process, in their order.

        Returns:
            The coefficients $V W^T$, and the lengths of W before.
        """
        coefficients = overlaps[0][:-1]
        for other in overlaps[1:]:
            coefficients = coefficients + other[:-1]
        _subtract_(self._vectors, self._basis, coefficients)
        return coefficients, _joined([one[-1] for one in overlaps])


def _subtract_(vectors: Tensor, basis: Tensor, coefficients: Tensor) -> None:
    with passes_over(basis.nbytes):
        if vectors.dim() == 1:
            torch.addmv(vectors, basis.mT, coefficients, alpha=-1.0, out=vectors)
        else:
            torch.addmm(vectors, coefficients.mT, basis, alpha=-1.0, out=vectors)
