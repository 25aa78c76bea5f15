r"""Bounds of an unseen part of a spectrum, from a random vector and a few products with it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy.linalg
import scipy.special

from hessium._typing import FloatArray


def normal_floor(confidence: float) -> float:
    """The number that a standard normal variable exceeds in size with probability `confidence`."""
    return float(scipy.special.ndtri(1 - confidence / 2))


def largest_support(
    diagonal: Sequence[float], off_diagonal: Sequence[float], inverse_mass: float
) -> float:
    r"""The largest point where a measure with known moments can have a mass of 1 / `inverse_mass`.

    For a start vector u, the operator has an eigenvalue x with mass $(u \cdot v)^2$. A measure
    whose Jacobi matrix begins with the given coefficients has at most the mass
    $1 / \sum_{j \le k} p_j(x)^2$ at x, with its orthonormal polynomials $p_j$ (Christoffel). So if
    the mass of the largest eigenvalue is at least 1 / `inverse_mass`, the eigenvalue lies at or
    below the largest x where the sum is at most `inverse_mass`.

    Args:
        diagonal: $\alpha_0 \dots \alpha_{k-1}$.
        off_diagonal: $\beta_1 \dots \beta_k$, the last one behind the last row.
        inverse_mass: at least 1.
    """
    alpha, beta = np.asarray(diagonal), np.asarray(off_diagonal)
    start = float(scipy.linalg.eigvalsh_tridiagonal(alpha, beta[:-1])[-1])
    scale = float(np.abs(alpha).max() + beta.max())
    if scale == 0 or beta.min() <= 1e-12 * scale:  # the space is complete
        return start
    # K grows beyond the largest zero of p_k, from at most 1 / weight there
    if _christoffel(start, alpha, beta) >= inverse_mass:
        return start
    low, high = start, start + scale
    while _christoffel(high, alpha, beta) < inverse_mass:
        low, high = high, high + 2 * (high - start)
    for _ in range(60):
        middle = (low + high) / 2
        if _christoffel(middle, alpha, beta) < inverse_mass:
            low = middle
        else:
            high = middle
    return high


def _christoffel(x: float, alpha: FloatArray, beta: FloatArray) -> float:
    before, now, total = 0.0, 1.0, 1.0
    for j, (a, b) in enumerate(zip(alpha, beta, strict=True)):
        step = (x - a) * now - (beta[j - 1] * before if j else 0.0)
        before, now = now, step / b
        total += now * now
        if not math.isfinite(total):
            return math.inf
    return total


def coupled(values: FloatArray, couplings: FloatArray, beyond: float) -> FloatArray:
    r"""Ends of the spectrum of $\begin{pmatrix}\Theta & R^T\\ R & C\end{pmatrix}$.

    Args:
        values: diagonal of $\Theta$, shape (k,).
        couplings: norms of the columns of R, shape (k,).
        beyond: bound of the spectrum of C, above or below.

    Returns:
        Eigenvalues of the comparison matrix, ascending: the last one bounds the spectrum above if
        `beyond` does, the first one below if `beyond` does.
    """
    if not math.isfinite(beyond):
        return np.array([-math.inf, math.inf])
    k = values.size
    matrix = np.diag(np.append(values, beyond))
    matrix[k, :k] = matrix[:k, k] = couplings
    return np.linalg.eigvalsh(matrix)
