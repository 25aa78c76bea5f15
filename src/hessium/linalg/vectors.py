"""Random vectors, norms and projections. Draws are made on the CPU: equal on every device."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from hessium.linalg.operator import SymmetricOperator


def gaussian(operator: SymmetricOperator, rng: np.random.Generator) -> Tensor:
    """A standard normal vector (n,) for an operator; takes one number from `rng`.

    Drawn in float64, so that a seed gives the same vector in every precision.
    """
    seeded = torch.Generator().manual_seed(int(rng.integers(2**63)))
    vector = torch.randn(operator.shape[0], generator=seeded, dtype=torch.float64, device="cpu")
    return vector.to(device=operator.device, dtype=operator.dtype)


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
    if vectors.dim() == 1:
        coefficients = basis @ vectors
        torch.addmv(vectors, basis.mT, coefficients, alpha=-1.0, out=vectors)
    else:
        coefficients = basis @ vectors.mT
        torch.addmm(vectors, coefficients.mT, basis, alpha=-1.0, out=vectors)
    return coefficients
