r"""A probability law of eigenvalues, seen through its Cauchy transform.

Everything that one asks of a law follows from two functions on the closed upper half-plane:
$G(z) = \int \rho(t)/(z - t)\,dt$ and the log-potential $\Phi(z) = \int \log(z - t)\,\rho(t)\,dt$.
The density is $-\operatorname{Im} G(x + i0)/\pi$ and the distribution function
$1 - \operatorname{Im} \Phi(x + i0)/\pi$: no density is ever integrated.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from hessium._random import Rng, generator
from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.theory import _check
from hessium.theory._arrays import ArrayLike, ComplexArray, Real, upper
from hessium.theory.laws import _inverse_transforms, _quantiles
from hessium.theory.laws._cumulant_series import CumulantSeries
from hessium.theory.laws.cumulants import to_moments

_DISTANT = 1e9  # standard deviations: from here on a law is one atom, to 1e-18


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """An interval of the continuous part or an atom (low = high), with the mass around it.

    Attributes:
        low, high: its ends.
        below, upto: mass of (-inf, low) and of (-inf, high].
    """

    low: float
    high: float
    below: float
    upto: float


class Law(ABC):
    """A compactly supported probability law on the real line: continuous part plus atoms.

    A new law says five things: its transform, its log-potential, the intervals and atoms it lives
    on, its free cumulants, and how to draw a matrix. Names follow `scipy.stats`; every method takes
    and gives arrays of any shape. Laws are immutable.
    """

    # ------------------------------------------------------------------ what a law must say

    @abstractmethod
    def _transform(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """G and its derivative at points with Im z >= 0; on the real line the limit from above."""

    def _excess(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
        """G, H = F - z and F' - 1 with F = 1/G, at points with Im z > 0.

        H maps the upper half-plane to itself and is what subordination adds up. Laws whose F is
        close to z (an atom of nearly full weight) should write it without the difference.
        """
        g, slope = self._transform(z)
        # far out F and z cancel, and their difference is a series
        far = np.abs(g) * self._far.reach < 1
        if not far.any():
            return g, 1 / g - z, -slope / (g * g) - 1
        small = np.where(far, g, 0.0)
        excess = np.where(far, -self._far.r_transform(small), 1 / g - z)
        rate = np.where(far, -self._far.slope(small) * slope, -slope / (g * g) - 1)
        return g, excess, rate

    @cached_property
    def _far(self) -> CumulantSeries:
        return CumulantSeries(self)

    @abstractmethod
    def _log_potential(self, z: ComplexArray) -> ComplexArray:
        """The integral of log(z - t) at points with Im z >= 0, principal logarithms."""

    @abstractmethod
    def support_intervals(self) -> tuple[tuple[float, float], ...]:
        """The intervals of the continuous part, ascending; isolated points are in `atoms`."""

    @abstractmethod
    def free_cumulants(self, count: int) -> FloatArray:
        """The free cumulants of order 1 to `count`, shape (count,)."""

    @abstractmethod
    def matrix(self, n: int, rng: Rng = None) -> FloatArray:
        """A random symmetric n x n matrix whose spectrum tends to the law as n grows."""

    @property
    def atoms(self) -> dict[float, float]:
        """Points of positive mass: {location: weight}."""
        return {}

    # ------------------------------------------------------------------ density and distribution

    def pdf(self, x: ArrayLike) -> FloatArray:
        """Density of the continuous part: never negative, zero off the support."""
        points = _check.reals("x", x)
        density = np.zeros(points.size)
        flat = points.ravel()
        inside = self._interior(flat)
        if inside.any():
            density[inside] = self._density(flat[inside])
        return density.reshape(points.shape)

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Mass of (-inf, x], atoms included."""
        points = _check.reals("x", x)
        flat = points.ravel()
        mass = np.zeros(flat.size)
        for part in self._components:
            mass[flat >= part.high] = part.upto
        inside = self._interior(flat)
        if inside.any():
            mass[inside] = self._distribution(flat[inside])
        return np.clip(mass, 0.0, 1.0).reshape(points.shape)

    def sf(self, x: ArrayLike) -> FloatArray:
        """Mass of (x, inf): the survival function."""
        return np.asarray(1.0 - self.cdf(x))

    def mass(self, a: Real, b: Real) -> float:
        """Mass of (a, b].

        Raises:
            InputError: unless a <= b.
        """
        low, high = _check.end("a", a), _check.end("b", b)
        if low > high:
            msg = f"a, b: ({a}, {b}] is no interval; a <= b is required"
            raise InputError(msg)
        below, upto = self.cdf(np.array([low, high]))
        return float(upto - below)

    def ppf(self, q: ArrayLike) -> FloatArray:
        """The smallest x whose cdf reaches q; at q = 0 the lower end of the support.

        Raises:
            InputError: if a level is outside [0, 1].
        """
        levels = _check.levels("q", q)
        return _quantiles.quantiles(self, levels.ravel()).reshape(levels.shape)

    def isf(self, q: ArrayLike) -> FloatArray:
        """The smallest x above which at most a share q lies; at q = 1 the lower end of the support.

        Raises:
            InputError: if a level is outside [0, 1].
        """
        return self.ppf(1 - _check.levels("q", q))

    def median(self) -> float:
        """The point below which half the mass lies."""
        return float(self.ppf(0.5))

    def interval(self, confidence: Real) -> tuple[float, float]:
        """The central interval that holds a share `confidence` of the mass.

        Raises:
            InputError: if `confidence` is outside [0, 1].
        """
        level = _check.number("confidence", confidence)
        if not 0 <= level <= 1:
            msg = f"confidence: {level}; a share of the mass in [0, 1] is required"
            raise InputError(msg)
        low, high = self.ppf(np.array([(1 - level) / 2, (1 + level) / 2]))
        return float(low), float(high)

    def support(self) -> tuple[float, float]:
        """Smallest and largest point of the support, atoms included."""
        ends = [end for interval in self.support_intervals() for end in interval]
        ends += list(self.atoms)
        return min(ends), max(ends)

    def rvs(self, size: int | tuple[int, ...] = (), rng: Rng = None) -> FloatArray:
        """Independent draws from the law (the eigenvalues of `matrix` repel, these do not)."""
        return self.ppf(generator(rng).random(_check.shape("size", size)))

    # ------------------------------------------------------------------ moments

    def mean(self) -> float:
        """First moment."""
        return self.free_cumulant(1)

    def var(self) -> float:
        """Second central moment."""
        return self.free_cumulant(2)

    def std(self) -> float:
        """Root of the variance."""
        return float(np.sqrt(self.var()))

    def moment(self, order: int) -> float:
        r"""$\int x^k d\mu$.

        Raises:
            InputError: if `order` is no natural number, or the moment is outside float64.
        """
        if _check.count("order", order, 0) == 0:
            return 1.0
        with np.errstate(all="ignore"):
            value = float(to_moments(self.free_cumulants(order))[-1])
        if not np.isfinite(value):
            msg = f"order: {order}; that moment is outside float64, a smaller order is required"
            raise InputError(msg)
        return value

    def free_cumulant(self, order: int) -> float:
        r"""$\kappa_k$, the coefficient of $g^{k-1}$ in the R-transform."""
        return float(self.free_cumulants(_check.count("order", order))[-1])

    # ------------------------------------------------------------------ transforms

    def stieltjes(self, z: ArrayLike) -> ComplexArray:
        r"""$G(z) = \int \rho(t)/(z - t)\,dt$; at real z the limit from above.

        The sign is that of the sources, $G(z) \sim 1/z$; many texts call $-G$ the Stieltjes
        transform.
        """
        return self._at_complex(z, lambda w: self._transform(w)[0], lambda w: 1 / w)

    def log_potential(self, z: ArrayLike) -> ComplexArray:
        r"""$\int \log(z - t)\,d\mu(t)$, principal logarithm; at real z the limit from above."""
        return self._at_complex(z, self._log_potential, np.log)

    def _at_complex(
        self,
        z: ArrayLike,
        near: Callable[[ComplexArray], ComplexArray],
        far: Callable[[ComplexArray], ComplexArray],
    ) -> ComplexArray:
        """A transform at any z: mirrored from the upper half-plane; far out, that of one atom."""
        points = _check.complexes("z", z)
        flat = upper(points.ravel())
        centred = flat - self.mean()
        with np.errstate(all="ignore"):
            distant = ~(np.abs(centred) <= _DISTANT * self.std())
            result = np.empty(flat.shape, dtype=np.complex128)
            result[distant] = far(centred[distant])
            if not distant.all():
                result[~distant] = near(flat[~distant])
        return np.where(points.ravel().imag < 0, result.conj(), result).reshape(points.shape)

    def r_transform(self, g: ArrayLike) -> ComplexArray:
        r"""$R(g)$ with $R(G(z)) + 1/G(z) = z$, near g = 0.

        Raises:
            InputError: if g is not a value of G outside the support: its modulus is too large.
        """
        values = _check.complexes("g", g)
        return _inverse_transforms.r_transform(self, values.ravel()).reshape(values.shape)

    def s_transform(self, y: ArrayLike) -> ComplexArray:
        r"""$S(y) = g/y$ for the g near 0 with $g R(g) = y$; $S(y) = 1/(\sigma(1 + \phi y))$ for MP.

        Raises:
            InputError: if the mean is zero, or y is too large.
        """
        values = _check.complexes("y", y)
        return _inverse_transforms.s_transform(self, values.ravel()).reshape(values.shape)

    # ------------------------------------------------------------------ shift and scale

    def shifted(self, by: Real) -> Law:
        """The law of the matrix plus `by` times the identity."""
        from hessium.theory.laws.affine import affine

        return affine(self, shift=by)

    def scaled(self, by: Real) -> Law:
        """The law of `by` times the matrix."""
        from hessium.theory.laws.affine import affine

        return affine(self, scale=by)

    # ------------------------------------------------------------------ for the laws themselves

    @cached_property
    def _components(self) -> tuple[Component, ...]:
        """Intervals and atoms in ascending order, with the mass below and up to each."""
        spans = [*self.support_intervals(), *((x, x) for x in self.atoms)]
        spans.sort()
        levels = [0.0]
        for (_, end), (start, _) in pairwise(spans):
            middle = end + 0.5 * (start - end)
            # an atom that touches an interval leaves no gap between them to look at
            levels.append(self._gap_mass(middle) if end < middle < start else np.nan)
        levels.append(1.0)
        for k, (start, end) in enumerate(spans):
            if start == end and np.isnan(levels[k + 1]):
                levels[k + 1] = levels[k] + self.atoms[start]
        for k, (start, end) in reversed(list(enumerate(spans))):
            if start == end and np.isnan(levels[k]):
                levels[k] = levels[k + 1] - self.atoms[start]
        return tuple(
            Component(low=low, high=high, below=levels[k], upto=levels[k + 1])
            for k, (low, high) in enumerate(spans)
        )

    def _gap_mass(self, x: float) -> float:
        """Mass below a point that lies between two components."""
        return float(self._distribution(np.array([x]))[0])

    def _interior(self, x: FloatArray) -> npt.NDArray[np.bool_]:
        inside = np.zeros(x.shape, dtype=bool)
        for low, high in self.support_intervals():
            inside |= (x > low) & (x < high)
        return inside

    def _density(self, x: FloatArray) -> FloatArray:
        """Density at points strictly inside the intervals."""
        with np.errstate(all="ignore"):
            return np.maximum(-self._transform(x.astype(np.complex128))[0].imag / np.pi, 0.0)

    def _distribution(self, x: FloatArray) -> FloatArray:
        """Mass up to points strictly inside the intervals."""
        with np.errstate(all="ignore"):
            return np.asarray(1.0 - self._log_potential(x.astype(np.complex128)).imag / np.pi)
