r"""Exchangeable estimators: each probe estimates the residual of a sketch by the other probes.

Each of m estimates $t_i$ of a number uses the projector $P_i$ of the sketch without probe i, and
probe i for the rest; given all other probes it is unbiased, and so is their mean (Epperly, Tropp &
Webber, XTrace, SIAM J. Matrix Anal. Appl. 45, 2024).

The estimates are not independent. Their sample variance over m, which is the error in the
literature, misses the covariance of $t_i$ and $t_j$: intervals based on it cover the true value in
60 to 90 percent of cases instead of 95. The covariance can be estimated without bias. Let
$t_i^{(j)}$ be $t_i$ with probe j left out of its sketch as well. Given all probes but i, $t_i$ and
$t_i^{(j)}$ have mean zero error and $t_j^{(i)}$ is fixed, so products of errors with one of these
vanish on average, and

$$\mathrm{cov}(t_i, t_j) = E\big[(t_i - t_i^{(j)}) (t_j - t_j^{(i)})\big],
\quad \mathrm{var}(\bar t) = E\big[s^2 / m\big] + \mathrm{cov}(t_i, t_j)$$

with the sample variance $s^2$. Only small matrices are needed.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from hessium._typing import FloatArray
from hessium.linalg.sketch import Sketch, without

PAIRED = 64  # probes whose pairs estimate the covariance: 2016 pairs
PAIRED_ENTRIES = 12  # the same for n numbers at once: 66 pairs
CHUNK = 2**20  # entries of the part of a basis that is processed at once


def trace_estimates(
    sketch: Sketch, overlap: FloatArray, compressed: FloatArray
) -> tuple[FloatArray, float]:
    r"""XTrace, $t_i = \mathrm{tr} P_i A + \omega_i^T (I - P_i) A (I - P_i) \omega_i$, A symmetric.

    The second term is scaled to the length that $(I - P_i) \omega_i$ has on average, which reduces
    its variance (section 2.3 of the source). Probes are uniform on the sphere.

    Args:
        sketch: of A Omega.
        overlap: W = Q^T Omega, shape (m, m).
        compressed: H = Q^T A Q, shape (m, m).

    Returns:
        The estimates (m,), and the variance of their mean.
    """
    R, n, m = sketch.factor, sketch.basis.shape[0], sketch.factor.shape[0]
    # omega_i^T A omega_i = w_i^T r_i, since A omega_i = Q r_i
    forms = _dots(overlap, R)

    def estimates(S: FloatArray, reduced: FloatArray, missing: int) -> FloatArray:
        """`reduced` is the projection of the probes onto the sketch without S."""
        k = S.shape[-1]
        inside = reduced - S * _dots(S, reduced)[..., None, :]
        rest = forms[:k] - 2 * _dots(inside, R[:, :k]) + _dots(inside, compressed @ inside)
        length = (n - m + missing) / (n - _dots(inside, inside))
        return np.trace(compressed) - _dots(S, compressed @ S) + length * rest

    found = sketch.directions
    some = found[:, :PAIRED]
    one = estimates(found, overlap, 1)
    # probe j, the first index, is missing as well
    reduced = overlap[:, :PAIRED] - some.T[:, :, None] * (some.T @ overlap[:, :PAIRED])[:, None]
    lost = _dots(some, compressed @ some)
    two = estimates(without(found, PAIRED), reduced, 2) - lost[:, None]
    return one, _variance_of_mean(one, two)


def square_estimates(sketch: Sketch, squared: FloatArray) -> tuple[FloatArray, float]:
    r"""$\|A\|_F^2$ by $t_i = \|A P_i\|_F^2 + \|(I - P_i) A \omega_i\|^2$, for A symmetric.

    Args:
        sketch: of A Omega, with probes of unit variance.
        squared: Q^T A^2 Q, shape (m, m).

    Returns:
        The estimates (m,), and the variance of their mean.
    """
    R, found = sketch.factor, sketch.directions

    def estimates(S: FloatArray) -> FloatArray:
        new = _dots(S, R[:, : S.shape[-1]]) ** 2
        return np.trace(squared) - _dots(S, squared @ S) + new

    one, some = estimates(found), found[:, :PAIRED]
    two = estimates(without(found, PAIRED)) - _dots(some, squared @ some)[:, None]
    return one, _variance_of_mean(one, two)


def diagonal_estimates(sketch: Sketch, probes: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    r"""XDiag, $t_i = \mathrm{diag} P_i A + \omega_i \circ (I - P_i) A \omega_i$, for A symmetric.

    Args:
        sketch: of A Omega.
        probes: Omega, independent signs, shape (n, m).
        images: Z = A Q, shape (n, m).

    Returns:
        The means (n,), and the variance of each, in the dtype of the probes.
    """
    n, m = probes.shape
    found = torch.as_tensor(sketch.directions, device="cpu").to(probes)
    slopes = _dots(sketch.directions, sketch.factor)
    lengths = torch.as_tensor(slopes, device="cpu").to(probes)
    mean, variance = torch.empty_like(probes[:, 0]), torch.empty_like(probes[:, 0])
    step = max(1, CHUNK // m)
    for start in range(0, n, step):
        some = slice(start, start + step)
        Q, Z, omega = sketch.basis[some], images[some], probes[some]
        p, q = Q @ found, Z @ found
        estimates = (Q * Z).sum(1, keepdim=True) - p * q + omega * p * lengths
        mean[some] = estimates.mean(1)
        variance[some] = estimates.var(1) / m
        together = _paired_entries(p, q, omega, slopes, sketch.directions)
        variance[some] += together.clamp_(min=0)
    return mean, variance


def _paired_entries(
    p: Tensor, q: Tensor, omega: Tensor, slopes: FloatArray, found: FloatArray
) -> Tensor:
    """The covariance of the estimates of each entry, from all pairs of the first few probes."""
    total = torch.zeros_like(p[:, 0])
    paired = min(p.shape[1], PAIRED_ENTRIES)
    resolved = torch.finfo(p.dtype).eps ** 0.5
    for i, j in itertools.combinations(range(paired), 2):
        cosine = float(found[:, i] @ found[:, j])
        length = float(np.linalg.norm(found[:, i] - cosine * found[:, j]))
        if length < resolved:  # both images lie in the span of the others: the remainder is zero
            continue
        change = []
        for one, other in ((i, j), (j, i)):
            u, v = ((x[:, one] - cosine * x[:, other]) / length for x in (p, q))
            change.append(
                omega[:, one] * (p[:, one] - u / length) * float(slopes[one])
                - p[:, one] * q[:, one]
                + p[:, other] * q[:, other]
                + u * v
            )
        total.addcmul_(*change)
    return total.div_(paired * (paired - 1) // 2)


def _variance_of_mean(one: FloatArray, two: FloatArray) -> float:
    """Of exchangeable estimates, from those without probe i and those without j and i."""
    paired = len(two)
    change = one[:paired] - two
    np.fill_diagonal(change, 0.0)
    covariance = float((change * change.T).sum()) / (paired * (paired - 1))
    # the covariance estimate can be negative by chance; clip it at 0
    return float(one.var(ddof=1)) / one.size + max(covariance, 0.0)


def _dots(left: FloatArray, right: FloatArray) -> FloatArray:
    """Inner products of columns."""
    return np.asarray((left * right).sum(axis=-2))
