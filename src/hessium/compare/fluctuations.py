r"""Fluctuations of linear eigenvalue statistics of random matrices.

Eigenvalues repel, so $\sum_i f(\lambda_i)$ has an error of order one, not $\sqrt n$: treating them
as independent draws overstates every error n-fold. For the Gaussian ensembles, Wishart matrices and
free sums of these the second-order free cumulants vanish, and with $F = 1/G$ of the limit law

$$\operatorname{Cov}\Big(\sum f, \sum g\Big) = \frac2\beta \oint\!\oint f'(z) g'(w)
  \log\frac{F(z) - F(w)}{z - w}, \quad
  E\sum f - n\!\int\! f = \Big(\frac2\beta - 1\Big) \frac12 \oint f'(z) \log F'(z),$$

both with $dz/2\pi i$ around the support (Mingo and Speicher, J. Funct. Anal. 235, 2006; for the
mean term of the real case see Bai and Silverstein, Ann. Probab. 32, 2004).

The logarithm is the branch that vanishes at infinity. The quotient has no zero outside a contour on
which its real part is positive (that part is harmonic in either variable, so its minimum is there),
and the principal branch is then the right one. Sums of Wishart and Gaussian matrices satisfy this
on every contour around the support, any law on an interval on the ellipse around it with semi-axes
$\sqrt2$ and 1 half-widths: there the quotient differs from one by at most the largest
$\operatorname{Im} F(z)/\operatorname{Im} z - 1$, which is at most one, attained by two atoms at the
ends. Other laws may give negative variances: then no such ensemble exists.

A spike $\theta u u^T$ adds $\oint f\, d\log(1 - \theta G)$: interlacing moves the bulk by as much
as one eigenvalue although the spike itself lies outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.polynomial import chebyshev

from hessium._typing import AnyArray, BoolArray, ComplexArray, FloatArray
from hessium.theory import Law, LevyLaw

_DIGITS = 18.0  # e-folds that the trapezoidal rule gains on the upper half of the contour
_NEAREST = 1e-2  # half-widths: a contour closer to the support would need too many points
_WIDEST = 4.0  # Bernstein parameter of the contour; any law is sure of its branch at 1 + sqrt 2
_GROWTH = 3.5  # decades that the polynomials may grow by on the contour: twice that is rounded off
_FEWEST = 48  # points, for the cut of the logarithm inside a wide contour
_SETTLED = 1e-9  # relative step of Newton's method after which the next one is rounding
_ROUNDING = 1e-6  # of variances, which are of order one for Chebyshev polynomials


def degree_for(size: int, at_least: int = 3) -> int:
    """Number of Chebyshev statistics for which the limit formulas hold at a size.

    Their variances have a relative error of about $k^3/(10 n)$, so k grows as the cube root of n.
    """
    return max(at_least, round((size / 2) ** (1 / 3)))


def degree_of(law: Law, size: int, at_least: int = 3) -> int:
    """`degree_for` the number of eigenvalues off the atoms of the law; those on atoms are fixed."""
    return degree_for(round(size * (1 - sum(law.atoms.values()))), at_least)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The interval of the statistics of a law.

    Atoms outside its bulk (exact zeros) are excluded like outliers, unless no contour separates
    them from the bulk.

    Attributes:
        low, high: its ends.
        detached: the excluded atoms.
    """

    low: float
    high: float
    detached: tuple[float, ...]

    @classmethod
    def of(cls, law: Law) -> Span:
        """The span of a law with a continuous part."""
        intervals = law.support_intervals()
        low, high = intervals[0][0], intervals[-1][1]
        reach = _NEAREST * (high - low) / 2
        detached = tuple(x for x in law.atoms if not low - reach <= x <= high + reach)
        near = [x for x in law.atoms if x not in detached]
        return cls(low=min([low, *near]), high=max([high, *near]), detached=detached)

    def holds(self, nodes: FloatArray) -> BoolArray:
        """Which nodes are not on a detached atom."""
        return ~np.isin(nodes, self.detached)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contour:
    """The ellipse with foci at the ends of an interval, as nodes of the trapezoidal rule.

    Attributes:
        low, high: foci.
        stretch: sum of its semi-axes over half the focal distance, > 1.
    """

    low: float
    high: float
    stretch: float

    @classmethod
    def around(
        cls, low: float, high: float, outside: Sequence[float] = (), degree: int = 10
    ) -> Contour:
        """The widest contour for a degree, at most half-way to the nearest excluded point."""
        half = (high - low) / 2
        gaps = [max(x - high, low - x) / half for x in outside]
        gap = max(min(gaps, default=np.inf), _NEAREST)
        reach = 1 + gap + np.sqrt(gap * (2 + gap))
        return cls(
            low=low,
            high=high,
            stretch=float(min(_WIDEST, 10 ** (_GROWTH / degree), np.sqrt(reach))),
        )

    @property
    def nodes(self) -> tuple[ComplexArray, ComplexArray]:
        r"""Points of the upper half and their weights, $dz/(2\pi i)$ included."""
        points = max(_FEWEST, int(np.ceil(_DIGITS / np.log(self.stretch))))
        angle = np.exp(1j * np.pi * (np.arange(points) + 0.5) / points)
        centre, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        outer, inner = self.stretch * angle, 1 / (self.stretch * angle)
        weights = half * (outer - inner) / (4 * points)
        return centre + half * (outer + inner) / 2, weights


@cache
def _slopes(count: int) -> FloatArray:
    """The derivatives of T_1, ..., T_count as combinations of T_0, ..., T_(count - 1)."""
    return np.ascontiguousarray(chebyshev.chebder(np.eye(count + 1)[:, 1:]).T)


@dataclass(frozen=True, slots=True, kw_only=True)
class Polynomials:
    r"""Chebyshev polynomials $T_1, \dots, T_K$ of an interval, as functions of eigenvalues.

    $\sum_i T_k(\lambda_i)$ is an integral of the distribution function: no histogram, no kernel.

    Attributes:
        low, high: the interval.
        count: K.
    """

    low: float
    high: float
    count: int

    def at(self, x: AnyArray) -> AnyArray:
        """Values at real or complex points, shape (count, x.size)."""
        return np.asarray(chebyshev.chebvander(self._inner(x), self.count).T[1:])

    def slopes(self, x: AnyArray) -> AnyArray:
        """Derivatives, shape (count, x.size)."""
        values = chebyshev.chebvander(self._inner(x), self.count - 1).T
        return 2 / (self.high - self.low) * (_slopes(self.count) @ values)

    def _inner(self, x: AnyArray) -> AnyArray:
        return (2 * x - self.low - self.high) / (self.high - self.low)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Path:
    """A contour with the transforms of a law along it.

    Attributes:
        z, weights: points and weights of the rule.
        g: G there.
        bend: F' there.
        inverse: G at the places of spikes, which is 1/theta.
    """

    z: ComplexArray
    weights: ComplexArray
    g: ComplexArray
    bend: ComplexArray
    inverse: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearStatistics:
    """Mean and covariance of linear statistics of the eigenvalues inside a contour.

    Attributes:
        functions: the polynomials.
        contour: the contour.
        beta: 1 for real symmetric matrices, 2 for complex Hermitian ones.
        spikes: eigenvalues that additive spikes have pushed out of the contour.
        near: a law close to those requested. For laws of Levy type z is an explicit function of w =
            1/G, so the contour is fixed in the w-plane and no equation is solved.
    """

    functions: Polynomials
    contour: Contour
    beta: int = 1
    spikes: tuple[float, ...] = ()
    near: LevyLaw | None = None
    _guide: tuple[ComplexArray, ComplexArray, FloatArray] | None = field(init=False)

    def __post_init__(self) -> None:
        guide = None
        if self.near is not None:
            path = self._solved(self.near)
            guide = 1 / path.g, path.bend * path.weights, 1 / path.inverse
        object.__setattr__(self, "_guide", guide)

    def mean(self, law: Law, size: int) -> FloatArray:
        """Expectation to order one for matrices of side `size`, shape (count,)."""
        path = self._path(law)
        density = size * path.g
        if self.spikes:
            # a spike theta sits where G = 1/theta, and moves the others by d log(1 - theta G)
            slope = -path.bend * path.g**2
            density = density + (slope / (path.g - path.inverse[:, None])).sum(axis=0)
        total = self.functions.at(path.z) @ (path.weights * density)
        shift = self.functions.slopes(path.z) @ (path.weights * np.log(path.bend))
        return np.asarray(2 * total.real + (2 / self.beta - 1) * shift.real)

    def covariance(self, law: Law) -> FloatArray:
        """Limit covariance, shape (count, count).

        NaN from the degree on at which no Gaussian-type ensemble can have the law: its branch is
        not determined, or a variance would be negative.
        """
        path = self._path(law)
        z, f, bend = (np.concatenate([v, v.conj()]) for v in (path.z, 1 / path.g, path.bend))
        apart = np.subtract.outer(z, z)
        np.fill_diagonal(apart, 1.0)
        ratio = np.subtract.outer(f, f) / apart
        np.fill_diagonal(ratio, bend)
        upper = self.functions.slopes(path.z) * path.weights
        slopes = np.concatenate([upper, upper.conj()], axis=1)
        if not (ratio.real > 0).all():
            return np.full((self.functions.count,) * 2, np.nan)
        covariance = 2 / self.beta * (slopes @ np.log(ratio) @ slopes.T).real
        covariance = (covariance + covariance.T) / 2
        for k in range(self.functions.count):
            if np.linalg.eigvalsh(covariance[: k + 1, : k + 1])[0] < -_ROUNDING:
                covariance[k:], covariance[:, k:] = np.nan, np.nan
                break
        return np.asarray(covariance)

    def _path(self, law: Law) -> _Path:
        if self._guide is None or not isinstance(law, LevyLaw):
            return self._solved(law)
        w, steps, places = self._guide
        value, q = law.triple.remainder(w)
        return _Path(
            z=law.triple.centre + w + value,
            weights=(1 - q) * steps,
            g=1 / w,
            bend=1 / (1 - q),
            inverse=1 / self._moved(law, places),
        )

    def _moved(self, law: LevyLaw, places: FloatArray) -> FloatArray:
        """Values of w at the spikes, by Newton's method from the values of the nearby law."""
        for _ in range(4 if places.size else 0):
            x, slope = law.triple.position(places)
            step = (x - np.array(self.spikes)) / slope
            places = places - step
            if (np.abs(step) < _SETTLED * np.abs(places)).all():
                break
        return places

    def _solved(self, law: Law) -> _Path:
        z, weights = self.contour.nodes
        g, slope = law.cauchy_above(z)
        inverse = law.stieltjes(np.array(self.spikes)).real
        return _Path(z=z, weights=weights, g=g, bend=-slope / g**2, inverse=inverse)
