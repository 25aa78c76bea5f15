"""Random vectors, norms and projections. Draws are made on the CPU: equal on every device."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from hessium.errors import InputError
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.threads import passes_over


def gaussian(operator: SymmetricOperator, rng: np.random.Generator) -> Tensor:
    """A standard normal vector (n,) for an operator; takes one number from `rng`.

    Drawn in float64, so that a seed gives the same vector in every precision.
    """
    seeded = torch.Generator().manual_seed(int(rng.integers(2**63)))
    vector = torch.randn(operator.shape[0], generator=seeded, dtype=torch.float64, device="cpu")
    return vector.to(device=operator.device, dtype=operator.dtype)


def start_rows(
    operator: SymmetricOperator, given: Tensor | None, count: int, rng: np.random.Generator
) -> Tensor:
    """Rows (count, n) from which a Krylov space starts: Gaussian, or near given vectors.

    Args:
        operator: whose space it is.
        given: vectors (n,) or (n, j), or None; the i-th is added to row i modulo `count`.
        count: number of rows.
        rng: of the Gaussian rows, which are a hundredth of the length of the given ones: a vector
            that is orthogonal to what is sought would never find it.

    Raises:
        InputError: for given vectors of another shape, dtype or device, not finite, or zero.
    """
    rows = torch.stack([gaussian(operator, rng) for _ in range(count)])
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
        rows[number % count] += column
    return rows


def norm(vectors: Tensor) -> Tensor:
    """Length of a vector (n,), or of each row (b, n), without under- or overflow.

    Squares of entries near 1e-22 in float32, or 1e-160 in float64, underflow; where under- or
    overflow is possible, the entries are scaled first.
    """
    found = torch.linalg.vector_norm(vectors, dim=-1)
    limits = torch.finfo(vectors.dtype)
    if bool(((found > limits.tiny**0.5 / limits.eps) & (found < math.inf)).all()):
        return found
    largest = vectors.abs().amax(dim=-1)
    unit = torch.where(largest > 0, largest, 1.0)
    return largest * torch.linalg.vector_norm(vectors / unit[..., None], dim=-1)


def subtract_projection_(vectors: Tensor, basis: Tensor) -> Tensor:
    r"""Replace rows W by $W - (W V^T) V$, one pass of classical Gram-Schmidt, in place.

    Args:
        vectors: W, shape (n,) or (b, n).
        basis: V, orthonormal rows, shape (j, n).

    Returns:
        The coefficients $V W^T$, shape (j,) or (j, b).

    Cost: the basis is read twice, by matrix-vector (b = 1) or matrix-matrix products.
    """
    with passes_over(basis.nbytes):
        if vectors.dim() == 1:
            coefficients = basis @ vectors
            torch.addmv(vectors, basis.mT, coefficients, alpha=-1.0, out=vectors)
        else:
            coefficients = basis @ vectors.mT
            torch.addmm(vectors, coefficients.mT, basis, alpha=-1.0, out=vectors)
    return coefficients
