r"""Free cumulants: conversion from and to moments, and the R-transform as a power series.

$m_n = \sum_{s=1}^{n} \kappa_s \sum_{i_1 + \dots + i_s = n - s} m_{i_1} \cdots m_{i_s}$
(Nica and Speicher, Lectures on the Combinatorics of Free Probability, prop. 11.4), where the inner
sum is the coefficient of $t^{n-s}$ in $M(t)^s$, $M(t) = 1 + \sum_k m_k t^k$.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hessium._typing import ComplexArray, FloatArray, Real
from hessium.theory import _check

_ORDER = 12
_RADII = 100.0


def _powers(series: FloatArray) -> FloatArray:
    """The truncated coefficients of series^s, in row s."""
    size = series.size
    rows = np.zeros((size, size))
    rows[0, 0] = 1.0
    for s in range(1, size):
        rows[s] = np.convolve(rows[s - 1], series)[:size]
    return rows


def moments_from_cumulants(cumulants: FloatArray) -> FloatArray:
    """Moments of order 1..n from free cumulants of order 1..n.

    Raises:
        InputError: unless a list of real numbers is given.

    Example:
        >>> hs.theory.moments_from_cumulants(np.array([0.0, 1.0, 0.0, 0.0])).tolist()  # semicircle
        [0.0, 1.0, 0.0, 2.0]
    """
    return to_moments(_check.flat("cumulants", cumulants))


def to_moments(cumulants: FloatArray) -> FloatArray:
    """Moments from cumulants, without a check: numbers may be infinite."""
    n = cumulants.size
    series = np.zeros(n + 1)
    series[0] = 1.0
    for order in range(1, n + 1):
        rows = _powers(series)
        series[order] = sum(cumulants[s - 1] * rows[s, order - s] for s in range(1, order + 1))
    return series[1:]


def cumulants_from_moments(moments: FloatArray) -> FloatArray:
    """Free cumulants of order 1..n from moments of order 1..n.

    Raises:
        InputError: unless a list of real numbers is given.

    Example:
        >>> hs.theory.cumulants_from_moments(np.array([0.0, 1.0, 0.0, 2.0])).tolist()
        [0.0, 1.0, 0.0, 0.0]
    """
    return to_cumulants(_check.flat("moments", moments))


def to_cumulants(moments: FloatArray) -> FloatArray:
    """Cumulants from moments, without a check: numbers may be infinite."""
    n = moments.size
    rows = _powers(np.concatenate([[1.0], moments]))
    cumulants = np.zeros(n)
    for order in range(1, n + 1):
        lower = sum(cumulants[s - 1] * rows[s, order - s] for s in range(1, order))
        cumulants[order - 1] = moments[order - 1] - lower
    return cumulants


def reverted(series: FloatArray) -> FloatArray:
    """The power series inverse to s_1 z + s_2 z^2 + ..., by Lagrange inversion."""
    n = series.size
    # z / s(z) = 1 / (s_1 + s_2 z + ...)
    ratio = np.zeros(n)
    ratio[:1] = 1 / series[:1]
    for k in range(1, n):
        ratio[k] = -(series[1 : k + 1] @ ratio[:k][::-1]) / series[0]
    power, result = np.zeros(n), np.zeros(n)
    power[:1] = 1.0
    for k in range(n):
        power = np.convolve(power, ratio)[:n]
        result[k] = power[k] / (k + 1)
    return result


class CumulantSeries:
    r"""$w - F = R(1/F)$ as a power series, for large F, where the difference cancels.

    Attributes:
        support: smallest and largest point of the law.
        mean, variance: of the law.
        reach: values of |F| from which on the series is exact to rounding.
    """

    def __init__(
        self, free_cumulants: Callable[[int], FloatArray], support: tuple[Real, Real]
    ) -> None:
        low, high = support
        with np.errstate(over="ignore", invalid="ignore"):
            cumulants = np.array(free_cumulants(_ORDER))
        cumulants[~np.isfinite(cumulants)] = 0.0  # high powers of extreme scales
        self.support, self.mean, self.variance = support, *(float(k) for k in cumulants[:2])
        self.reach = _RADII * max(high - cumulants[0], cumulants[0] - low)
        self._series = cumulants[::-1]
        self._slope = (np.arange(_ORDER) * cumulants)[:0:-1]

    def r_transform(self, g: ComplexArray) -> ComplexArray:
        """R(g) for |g| < 1 / reach."""
        return np.asarray(np.polyval(self._series, g))

    def slope(self, g: ComplexArray) -> ComplexArray:
        """R'(g) for |g| < 1 / reach."""
        return np.asarray(np.polyval(self._slope, g))

    def outside(self, f: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The differences w - f and 1 - dw/df at |f| > reach."""
        g = 1 / f
        return np.asarray(np.polyval(self._series, g)), np.asarray(
            g * (g * np.polyval(self._slope, g))
        )
