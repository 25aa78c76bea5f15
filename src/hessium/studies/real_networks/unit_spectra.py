"""Eigenvalues of the residual part of two-layer ReLU networks, unit by unit."""

from __future__ import annotations

import numpy as np

from hessium._typing import AnyArray, FloatArray

ENERGY = 50.0
"""Loss over outputs: residuals are N(0, 2 ENERGY)."""


def unit_spectrum(x: FloatArray, errors: FloatArray, on: AnyArray) -> FloatArray:
    r"""All eigenvalues of H1: plus and minus the singular values of one n x n block for each unit.

    Block a is $m^{-1} \sum_\mu e_\mu \theta(z_{a\mu}) x_\mu^T$ (eq. 23): H1 couples row a of the
    first layer with column a of the second, and nothing else.
    """
    found = [np.linalg.svd(errors[gate].T @ x[gate] / len(x), compute_uv=False) for gate in on.T]
    values = np.concatenate(found)
    return np.sort(np.concatenate([values, -values]))


def residual_averages(x: FloatArray, on: AnyArray) -> FloatArray:
    r"""Second and fourth moment of H1, averaged over its Gaussian residuals exactly.

    For one unit with samples $X_a$ (those where it is on), $G = X_a^T X_a$ and $S = e^T X_a / m$ of
    residual variance v: $E \operatorname{tr} SS^T = v n \operatorname{tr} G / m^2$ and
    $E \operatorname{tr}(SS^T)^2
    = v^2 (n(n+1) \operatorname{tr} G^2 + n (\operatorname{tr} G)^2)/m^4$.
    """
    m, n = x.shape
    v, second, fourth = 2 * ENERGY / m**2, 0.0, 0.0
    for gate in on.T:
        gram = x[gate].T @ x[gate]
        trace, square = float(np.trace(gram)), float((gram**2).sum())
        second += v * n * trace
        fourth += v**2 * (n * (n + 1) * square + n * trace**2)
    return np.array([second, fourth]) / n**2
