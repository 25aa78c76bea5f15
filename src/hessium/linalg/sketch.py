r"""An orthonormal basis of $A\Omega$ and its leave-one-out and leave-two-out versions.

With $A\Omega = QR$ let $s_i$ be the unit vector orthogonal to all columns of R but the i-th (the
i-th column of $R^{-T}$, normalised). Then $Q (I - s_i s_i^T) Q^T$ projects onto the range of the
sketch without probe i, and is independent of that probe, without another factorisation
(Epperly, Tropp & Webber, XTrace, SIAM J. Matrix Anal. Appl. 45, 2024, section 2.3 and 3).
Without two probes i and j the direction of i is $s_i - (s_i \cdot s_j) s_j$, normalised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from hessium._typing import FloatArray

ARRAYS = 5  # of the size of the probes (n, m) that are alive at once while a sketch is used


@dataclass(frozen=True, slots=True)
class Sketch:
    """Orthonormal basis of the range of a block of images.

    Attributes:
        basis: Q, shape (n, m), orthonormal columns.
        factor: R, shape (m, m), upper triangular, float64.
        directions: S, unit columns s_i, shape (m, m).
    """

    basis: Tensor
    factor: FloatArray
    directions: FloatArray

    @classmethod
    def of(cls, images: Tensor) -> Sketch:
        """Of A Omega, shape (n, m) with m <= n. Cost: one QR factorisation, 4 n m^2 operations."""
        basis, upper = torch.linalg.qr(images)
        factor = to_float64(upper)
        return cls(basis, factor, directions(factor))


def directions(factor: FloatArray) -> FloatArray:
    """Unit columns, each orthogonal to all columns of a triangular factor but one."""
    size = factor.shape[0]
    scale = np.abs(factor).max()
    if scale == 0:
        return np.eye(size)
    # linearly dependent images: replace zeros on the diagonal by a number far below rounding
    tiny = 1e-24 * scale
    safe = factor + np.diag(np.where(np.abs(np.diagonal(factor)) < tiny, tiny, 0.0))
    dual = scipy.linalg.solve_triangular(safe, np.eye(size), trans="T")
    dual /= np.abs(dual).max(axis=0)
    return np.asarray(dual / np.linalg.norm(dual, axis=0))


def without(found: FloatArray, count: int) -> FloatArray:
    """Directions of the first `count` probes with one further probe j left out.

    Returns:
        Shape (count, m, count): j first, then the columns s_i; entries with i = j are meaningless.
    """
    some = found[:, :count]
    rest = some - some.T[:, :, None] * (some.T @ some)[:, None]
    length = np.linalg.norm(rest, axis=1, keepdims=True)
    return np.asarray(rest / np.where(length == 0, 1.0, length))


def missed_part(images: Tensor) -> FloatArray:
    r"""Squared lengths $(s_i \cdot r_i)^2$ to a few digits, from $Y^T Y$ alone.

    Cost: a quarter of a QR factorisation.
    """
    gram = gram64(images)
    scale = np.trace(gram)
    if scale == 0:
        return np.zeros(gram.shape[0])
    floor = float(torch.finfo(images.dtype).eps) * scale
    inverse = np.linalg.inv(gram + floor * np.eye(gram.shape[0]))
    return np.asarray(1 / np.diagonal(inverse))


def gram64(columns: Tensor) -> FloatArray:
    r"""$Y^T Y$ in float64, scaled first: squares of entries near 1e-30 underflow in float32."""
    largest = columns.abs().amax()
    unit = columns / torch.where(largest > 0, largest, 1.0)
    return np.asarray(to_float64(unit.mT @ unit) * float(largest) ** 2)


def to_float64(small: Tensor) -> FloatArray:
    """A small tensor as a NumPy float64 array."""
    return np.asarray(small.cpu().numpy(), dtype=np.float64)
