r"""Tracy-Widom laws from Fredholm determinants."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.polynomial import chebyshev
from scipy.special import airy

from hessium._display import Plottable
from hessium._random import Rng, generator
from hessium._typing import AnyArray, ArrayLike, FloatArray, IntArray
from hessium.errors import InputError
from hessium.theory import _check
from hessium.theory._roots import increasing_roots

_LOW, _HIGH = -10.0, 16.0  # beyond these F is 0 or 1 to 1e-16, for every beta
_TAIL = 30.0  # the kernel Ai((x + y)/2) is below 1e-16 from here on
_ORDER, _DEGREE = 80, 120
_LARGE = 10.0  # arguments of Ai from which eight terms of its asymptotic series suffice


@dataclass(frozen=True)
class TracyWidom(Plottable):
    r"""Tracy-Widom law of index beta, from Fredholm determinants.

    With V the operator of kernel $\frac12\operatorname{Ai}(\frac{x+y}{2})$ on $(s, \infty)$,
    $F_1 = \det(I - V)$, $F_2 = \det(I - V)\det(I + V)$,
    $F_4(s) = \frac12(\det(I - V) + \det(I + V))$ at $\sqrt2 s$ (Ferrari and Spohn 2005; Bornemann,
    Math. Comp. 79, 2010). Evaluated at 121 Chebyshev points once, then interpolated: absolute
    error near 1e-14 in the cdf and 1e-12 in the pdf. For beta = 4 other texts take $2^{-1/6}$ times
    this variable, of mean -2.0552: `soft_edge` uses that normalisation.

    Args:
        beta: 1 (real symmetric), 2 (complex Hermitian) or 4.

    Raises:
        InputError: for any other beta.

    Example:
        >>> law = hs.theory.TracyWidom(beta=1)
        >>> round(float(law.mean()), 4)
        -1.2065
    """

    beta: int = 1

    def __post_init__(self) -> None:
        if _check.count("beta", self.beta) not in (1, 2, 4):
            msg = f"beta: {self.beta!r}; 1, 2 or 4 is required"
            raise InputError(msg)

    def cdf(self, s: ArrayLike) -> FloatArray:
        """F_beta(s)."""
        points = _check.reals("s", s)
        inner = np.clip((2 * points - _LOW - _HIGH) / (_HIGH - _LOW), -1.0, 1.0)
        values = chebyshev.chebval(inner, _series(self.beta))
        values = np.where(points <= _LOW, 0.0, np.where(points >= _HIGH, 1.0, values))
        return np.asarray(np.clip(values, 0.0, 1.0))

    def sf(self, s: ArrayLike) -> FloatArray:
        """1 - F_beta(s)."""
        return np.asarray(1.0 - self.cdf(s))

    def pdf(self, s: ArrayLike) -> FloatArray:
        """Derivative of the interpolant."""
        points = _check.reals("s", s)
        inner = np.clip((2 * points - _LOW - _HIGH) / (_HIGH - _LOW), -1.0, 1.0)
        slope = chebyshev.chebder(_series(self.beta)) * 2 / (_HIGH - _LOW)
        inside = (points > _LOW) & (points < _HIGH)
        return np.asarray(np.where(inside, np.maximum(chebyshev.chebval(inner, slope), 0.0), 0.0))

    def ppf(self, q: ArrayLike) -> FloatArray:
        """Quantiles; -inf and inf at the levels 0 and 1.

        Raises:
            InputError: if a level is outside [0, 1].
        """
        levels = _check.probabilities("q", q)
        flat = levels.ravel()
        result = np.where(flat == 0, -np.inf, np.inf)
        inner = (flat > 0) & (flat < 1)
        low, high = np.full((2, int(inner.sum())), [[_LOW], [_HIGH]])

        def heights(s: FloatArray, _: IntArray) -> tuple[FloatArray, FloatArray]:
            return self.cdf(s), self.pdf(s)

        result[inner] = increasing_roots(heights, flat[inner], low, high)
        return result.reshape(levels.shape)

    def isf(self, q: ArrayLike) -> FloatArray:
        """The point above which a share q lies: the quantile of 1 - q.

        Raises:
            InputError: if a level is outside [0, 1].
        """
        return self.ppf(1 - _check.probabilities("q", q))

    def mean(self) -> float:
        """First moment; -1.2065335745820 for beta = 1."""
        # by parts: the integral of s dF = high - integral of F
        return _HIGH - self._primitive(chebyshev.chebint(_series(self.beta)))

    def var(self) -> float:
        """Second central moment; 1.607781034581 for beta = 1."""
        weighted = chebyshev.chebmul(_series(self.beta), _position())
        second = _HIGH**2 - 2 * self._primitive(chebyshev.chebint(weighted))
        return second - self.mean() ** 2

    @staticmethod
    def _primitive(series: AnyArray) -> float:
        ends = chebyshev.chebval(np.array([-1.0, 1.0]), series)
        return float(ends[1] - ends[0]) * (_HIGH - _LOW) / 2

    def rvs(self, size: int | tuple[int, ...] = (), rng: Rng = None) -> FloatArray:
        """Independent draws."""
        return self.ppf(generator(rng).random(_check.shape("size", size)))


def _position() -> FloatArray:
    """The Chebyshev series of s itself."""
    return np.array([0.5 * (_HIGH + _LOW), 0.5 * (_HIGH - _LOW)])


@cache
def _series(beta: int) -> FloatArray:
    """Chebyshev coefficients of F_beta on [low, high]."""
    nodes = chebyshev.chebpts1(_DEGREE + 1)
    minus, plus = _on_grid(float(np.sqrt(2.0)) if beta == 4 else 1.0)
    values = {1: minus, 2: minus * plus, 4: 0.5 * (minus + plus)}[beta]
    basis = chebyshev.chebvander(nodes, _DEGREE)
    series = 2 * (basis.T @ values) / nodes.size
    series[0] /= 2
    return np.asarray(series)


@cache
def _on_grid(stretch: float) -> tuple[FloatArray, FloatArray]:
    nodes = chebyshev.chebpts1(_DEGREE + 1)
    return _determinants(stretch * (0.5 * (_LOW + _HIGH) + 0.5 * (_HIGH - _LOW) * nodes))


def _determinants(s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """det(I - V) and det(I + V) on (s, infinity), by Gauss-Legendre quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(_ORDER)
    half = 0.5 * (_TAIL - s)[:, None]
    x, root = s[:, None] + half * (nodes + 1), np.sqrt(half * weights)
    row, column = np.tril_indices(_ORDER)
    kernel = np.empty((s.size, _ORDER, _ORDER))
    kernel[:, row, column] = 0.5 * _airy(0.5 * (x[:, row] + x[:, column]))
    kernel[:, column, row] = kernel[:, row, column]
    matrix = root[:, :, None] * kernel * root[:, None, :]
    eye = np.eye(_ORDER)
    return np.linalg.det(eye - matrix), np.linalg.det(eye + matrix)


def _airy(z: FloatArray) -> FloatArray:
    r"""Ai(z), to an absolute error of 1e-20 for large arguments and as SciPy has it for others.

    SciPy takes ten times as long for large arguments as for small ones. There the value is
    $e^{-\zeta} \sum_k (-1)^k u_k \zeta^{-k} / (2\sqrt\pi z^{1/4})$ with
    $\zeta = \tfrac23 z^{3/2}$ (DLMF 9.7.5).
    """
    values = np.empty_like(z)
    large = z > _LARGE
    values[~large] = airy(z[~large])[0]
    zeta = z[large] ** 1.5 / 1.5
    term, total = np.ones_like(zeta), np.ones_like(zeta)
    for k in range(1, 9):
        term *= -(6 * k - 5) * (6 * k - 3) * (6 * k - 1) / (216 * k * (2 * k - 1)) / zeta
        total += term
    values[large] = np.exp(-zeta) * total / (2 * np.sqrt(np.pi) * z[large] ** 0.25)
    return values
