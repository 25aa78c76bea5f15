r"""The base class of laws of eigenvalues, and the law of a X + b for any law of X."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hessium._random import Rng
from hessium._typing import ArrayLike, ComplexArray, FloatArray, Real
from hessium.errors import InputError
from hessium.theory import _check
from hessium.theory._half_plane import upper
from hessium.theory.ensembles import haar
from hessium.theory.laws import _inverse_transforms
from hessium.theory.laws._distribution import Distribution
from hessium.theory.laws.cumulants import CumulantSeries, to_moments

_DISTANT = (
    1e9  # standard deviations: beyond this distance a law counts as one atom, with error 1e-18
)


class Law(Distribution):
    """A compactly supported probability law on the real line: continuous part plus atoms.

    A subclass defines `cauchy_above`, `log_potential_above`, `support_intervals`, `free_cumulants`
    and, if it has atoms, `atoms`. It may override `matrix`, where it has an ensemble of its own,
    and `excess_above`, where F - z cancels. Names follow `scipy.stats`; methods take and return
    arrays of any shape. Laws are immutable.

    Example:
        >>> law = hs.theory.Semicircle(variance=1.0)
        >>> law.support(), law.mean(), law.var()
        ((-2.0, 2.0), 0.0, 1.0)
        >>> round(float(law.cdf(0.0)), 12)
        0.5
    """

    # ------------------------------------------------------------------ methods of subclasses

    def excess_above(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
        """G, H = F - z and F' - 1 for the reciprocal Cauchy transform F = 1/G.

        H maps the upper half-plane to itself, and subordination adds the H of the summands. A law
        whose F is close to z (an atom of nearly full weight) overrides it without the difference.

        Args:
            z: as in `cauchy_above`, with Im z > 0.
        """
        g, slope = self.cauchy_above(z)
        # far out F and z cancel, and their difference is a series
        series = self._series
        far = np.abs(g) * series.reach < 1
        if not far.any():
            return g, 1 / g - z, -slope / (g * g) - 1
        small = np.where(far, g, 0.0)
        excess = np.where(far, -series.r_transform(small), 1 / g - z)
        rate = np.where(far, -series.slope(small) * slope, -slope / (g * g) - 1)
        return g, excess, rate

    @cached_property
    def _series(self) -> CumulantSeries:
        return CumulantSeries(self.free_cumulants, self.support())

    @abstractmethod
    def free_cumulants(self, count: int) -> FloatArray:
        """The free cumulants of order 1 to `count`, shape (count,)."""

    def matrix(self, n: int, rng: Rng = None) -> FloatArray:
        """A random symmetric n x n matrix whose spectrum tends to the law as n grows.

        By default its eigenvalues are the quantiles and its basis is Haar (`with_spectrum`).
        """
        return with_spectrum(self, n, rng)

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
            InputError: if `order` is not a natural number, or the moment is outside float64.
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

        This is the Cauchy transform, $G(z) \sim 1/z$; many texts call $-G$ the Stieltjes
        transform.
        """
        return self._at_complex(z, lambda w: self.cauchy_above(w)[0], lambda w: 1 / w)

    def log_potential(self, z: ArrayLike) -> ComplexArray:
        r"""$\int \log(z - t)\,d\mu(t)$, principal logarithm; at real z the limit from above."""
        return self._at_complex(z, self.log_potential_above, np.log)

    def _at_complex(
        self,
        z: ArrayLike,
        near: Callable[[ComplexArray], ComplexArray],
        far: Callable[[ComplexArray], ComplexArray],
    ) -> ComplexArray:
        """A transform at any z, by reflection from the upper half-plane; far out as of one atom."""
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
        return _inverse_transforms.r_transform(
            self.cauchy_above, self._series, values.ravel()
        ).reshape(values.shape)

    def s_transform(self, y: ArrayLike) -> ComplexArray:
        r"""$S(y) = g/y$ for the g near 0 with $g R(g) = y$; $S(y) = 1/(\sigma(1 + \phi y))$ for MP.

        Raises:
            InputError: if the mean is zero, or y is too large.
        """
        values = _check.complexes("y", y)
        return _inverse_transforms.s_transform(
            self.cauchy_above, self._series, values.ravel()
        ).reshape(values.shape)

    # ------------------------------------------------------------------ shift and scale

    def shifted(self, by: Real) -> Law:
        """The law of the matrix plus `by` times the identity."""
        return affine(self, shift=by)

    def scaled(self, by: Real) -> Law:
        """The law of `by` times the matrix."""
        return affine(self, scale=by)

    def _affine(self, scale: float, shift: float) -> Law:
        return Affine(self, scale, shift)


@dataclass(frozen=True)
class Affine(Law):
    """The law of factor * X + offset, X of law `base`; made by `shifted` and `scaled`.

    Example:
        >>> law = hs.theory.Semicircle(1.0).scaled(2.0).shifted(1.0)
        >>> law.mean(), law.var()
        (1.0, 4.0)
    """

    base: Law
    factor: Real
    offset: Real

    def _affine(self, scale: float, shift: float) -> Law:
        return Affine(self.base, self.factor * scale, scale * self.offset + shift)

    def _pull_back(self, z: ComplexArray) -> ComplexArray:
        """The base's point, mirrored into the upper half-plane if the factor is negative."""
        point = (z - self.offset) / self.factor
        return np.asarray(point if self.factor > 0 else point.real + 1j * np.abs(point.imag))

    def cauchy_above(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """G and G' of the base at (z - offset)/factor, divided by powers of the factor."""
        g, slope = self.base.cauchy_above(self._pull_back(z))
        if self.factor < 0:
            g, slope = g.conj(), slope.conj()
        return g / self.factor, slope / self.factor**2

    def excess_above(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
        """F - z of the base, scaled and shifted."""
        g, excess, rate = self.base.excess_above(self._pull_back(z))
        if self.factor < 0:
            g, excess, rate = g.conj(), excess.conj(), rate.conj()
        return g / self.factor, self.factor * excess - self.offset, rate

    def residual(self, z: ArrayLike) -> FloatArray:
        """The residual of the base if it is computed by iteration; zero for a closed form."""
        points = _check.complexes("z", z)
        solved: Any = getattr(self.base, "residual", None)
        return np.zeros(points.shape) if solved is None else solved(self._pull_back(points))

    def log_potential_above(self, z: ComplexArray) -> ComplexArray:
        """The log-potential of the base plus log|factor|."""
        phi = self.base.log_potential_above(self._pull_back(z))
        if self.factor < 0:
            phi = phi.conj() + 1j * np.pi
        return np.asarray(phi + np.log(abs(self.factor)))

    def _push(self, x: float) -> float:
        return self.factor * x + self.offset

    def support_intervals(self) -> tuple[tuple[float, float], ...]:
        """The images of the base's intervals."""
        images = (sorted((self._push(a), self._push(b))) for a, b in self.base.support_intervals())
        return tuple(sorted((a, b) for a, b in images))

    @property
    def atoms(self) -> dict[float, float]:
        """The images of the base's atoms."""
        return {self._push(x): weight for x, weight in sorted(self.base.atoms.items())}

    def free_cumulants(self, count: int) -> FloatArray:
        r"""$\kappa_n a^n$, and the shift added to the first."""
        base = self.base.free_cumulants(count)
        result = base * self.factor ** np.arange(1, base.size + 1)
        result[:1] += self.offset
        return np.asarray(result)

    def matrix(self, n: int, rng: Rng = None) -> FloatArray:
        """The base's matrix, scaled and shifted."""
        return self.factor * self.base.matrix(n, rng) + self.offset * np.eye(n)


def affine(law: Law, scale: Real = 1.0, shift: Real = 0.0) -> Law:
    """The law of scale * X + shift.

    Raises:
        InputError: if `scale` is zero or an argument is not finite.
    """
    factor, offset = _check.number("scale", scale), _check.number("shift", shift)
    if factor == 0:
        msg = "scale: 0; a number other than 0 is required (0 X is an atom)"
        raise InputError(msg)
    if factor == 1 and offset == 0:
        return law
    return law._affine(factor, offset)


def checked_law(name: str, value: Any) -> Law:
    """The argument, checked to be a law.

    Raises:
        InputError: if it is not a law.
    """
    if not isinstance(value, Law):
        msg = (
            f"{name}: a {type(value).__name__} is not a law; for a measured spectrum write "
            "theory.Empirical(spectrum.nodes, weights=spectrum.weights)"
        )
        raise InputError(msg)
    return value


def with_spectrum(law: Law, n: int, rng: Rng = None) -> FloatArray:
    """Q diag Q^T with Q Haar and the quantiles of a law at (k + 1/2)/n on the diagonal.

    Example:
        >>> a = hs.theory.with_spectrum(hs.theory.Semicircle(1.0), 200, rng=0)
        >>> a.shape
        (200, 200)
    """
    size = _check.count("n", n)
    checked_law("law", law)
    q = haar(size, rng)
    return np.asarray((q * law.ppf((np.arange(size) + 0.5) / size)) @ q.T)


def gaps_of(law: Law) -> list[tuple[float, float]]:
    """The open intervals between the components of a law, both unbounded ones included."""
    spans = sorted([*law.support_intervals(), *((x, x) for x in law.atoms)])
    starts = [-np.inf, *(high for _, high in spans)]
    ends = [*(low for low, _ in spans), np.inf]
    return [(a, b) for a, b in zip(starts, ends, strict=True) if b > a]
