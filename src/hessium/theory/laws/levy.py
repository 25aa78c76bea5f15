r"""Laws whose R-transform is a finite sum: compound free Poisson plus semicircle."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hessium._random import Rng, generator
from hessium._typing import ArrayLike, ComplexArray, FloatArray, IntArray, Real
from hessium.errors import InputError
from hessium.theory import _check
from hessium.theory._fixed_point import FixedPoints, OneVariable, fixed_points
from hessium.theory._half_plane import upper
from hessium.theory._roots import increasing_roots
from hessium.theory.laws._certificate import resolved
from hessium.theory.laws.law import Law
from hessium.theory.laws.levy_triple import LevyTriple


class LevyLaw(Law):
    r"""A law with $R(g) = m + v g + \sum_i \lambda_i a_i/(1 - a_i g)$.

    The class is closed under free sums. A subclass defines `triple` and `reciprocal_above`; all
    else follows from $w = F(z) = 1/G(z)$.

    Example:
        >>> law = hs.theory.wishart_wigner(0.1, 0.25)
        >>> isinstance(law, hs.theory.LevyLaw)
        True
    """

    @property
    @abstractmethod
    def triple(self) -> LevyTriple:
        """Drift, variance, rates and jumps."""

    @abstractmethod
    def reciprocal_above(self, z: ComplexArray) -> ComplexArray:
        """The reciprocal Cauchy transform F = 1/G at points z as in `cauchy_above`."""

    def cauchy_above(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """G = 1/w and its derivative, w = F(z)."""
        w = self.reciprocal_above(z)
        _, q = self.triple.remainder(w)
        return 1 / w, -1 / (w * w * (1 - q))

    def excess_above(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
        """F - z = -R(1/w) without a difference."""
        w = self.reciprocal_above(z)
        value, q = self.triple.remainder(w)
        return 1 / w, -(self.triple.centre + value), q / (1 - q)

    def log_potential_above(self, z: ComplexArray) -> ComplexArray:
        """The log-potential as a function of w = F(z)."""
        return self.triple.potential(z, self.reciprocal_above(z))

    def support_intervals(self) -> tuple[tuple[float, float], ...]:
        """The intervals between the roots of dz/dG = 0; the list is complete."""
        ends = self.triple.position(self.triple.edges)[0].tolist()
        return tuple(zip(ends[::2], ends[1::2], strict=True))

    @property
    def atoms(self) -> dict[float, float]:
        """The drift, of weight one minus the total rate, if the variance is zero."""
        left = 1.0 - sum(self.triple.rates)
        return {self.triple.drift: left} if self.triple.variance == 0 and left > 0 else {}

    def _affine(self, scale: float, shift: float) -> Law:
        return FreeLevy.from_triple(self.triple.affine(scale, shift))

    def free_cumulants(self, count: int) -> FloatArray:
        r"""$\kappa_n = \sum_i \lambda_i a_i^n$, plus the drift at n = 1, the variance at n = 2."""
        return self.triple.free_cumulants(_check.count("count", count, 0))

    def r_transform(self, g: ArrayLike) -> ComplexArray:
        r"""$R(g) = m + v g + \sum_i \lambda_i a_i/(1 - a_i g)$, for every complex g."""
        values = _check.complexes("g", g)
        result = self.triple.drift + self.triple.variance * values
        for rate, jump in zip(self.triple.rates, self.triple.jumps, strict=True):
            result = result + rate * jump / (1 - jump * values)
        return np.asarray(result)

    def matrix(self, n: int, rng: Rng = None) -> FloatArray:
        """Drift, GOE, and round(rate * n) random rank-one jumps, added up."""
        size, source = _check.count("n", n), generator(rng)
        result = self.triple.drift * np.eye(size)
        if self.triple.variance:
            noise = source.standard_normal((size, size))
            result += np.sqrt(self.triple.variance / (2 * size)) * (noise + noise.T)
        for rate, jump in zip(self.triple.rates, self.triple.jumps, strict=True):
            factor = source.standard_normal((size, round(rate * size)))
            result += jump / size * (factor @ factor.T)
        return result

    def residual(self, z: ArrayLike) -> FloatArray:
        r"""$|z - R(G) - 1/G| / (|z| + |1/G|)$: the certificate of G, and of the density, at z.

        Args:
            z: real or complex, of any shape; zero at real points off the support.
        """
        points = _check.complexes("z", z)
        flat = upper(points.ravel())
        result = np.zeros(flat.size)
        solved = ((flat.imag > 0) | self._interior(flat.real)) & np.isfinite(flat)
        if solved.any():
            w = self.reciprocal_above(flat[solved])
            image, _ = self.triple.self_map(flat[solved], w)
            result[solved] = np.abs(image - w) / (np.abs(flat[solved]) + np.abs(w))
        return result.reshape(points.shape)

    def _gap_mass(self, x: float) -> float:
        """The exact mass, by a count of the poles between w and infinity."""
        return self.triple.mass_below(float(self._outside(np.array([x]))[0]))

    def _outside(self, x: FloatArray) -> FloatArray:
        """The real w of points off the support."""
        roots = np.concatenate([[-np.inf], self.triple.edges, [np.inf]])
        ends = np.concatenate([[-np.inf], self.triple.position(self.triple.edges)[0], [np.inf]])
        gap = np.clip(np.searchsorted(ends, x, side="left") - 1, 0, ends.size - 2)
        gap -= gap % 2  # rounding may put a point on an interval: it belongs to the gap beside it

        def position(w: FloatArray, _: IntArray) -> tuple[FloatArray, FloatArray]:
            return self.triple.position(w)

        return increasing_roots(position, x, roots[gap], roots[gap + 1])


@dataclass(frozen=True)
class FreeLevy(LevyLaw):
    r"""The law with $R(g) = m + v g + \sum_i \lambda_i a_i/(1 - a_i g)$, solved numerically.

    At real x in the support, $w = 1/G$ is the fixed point of $w \mapsto x - R(1/w)$ in the upper
    half-plane, found by Newton from an arc of a circle that is exact for the semicircle and for
    Marchenko-Pastur. `residual(x)` is its certificate.

    With variance 0 and drift 0 this is the compound free Poisson law: the spectrum of
    $\sum_i a_i X_i X_i^T / n$ with $X_i$ standard normal of shape n x (rate_i n).

    Args:
        drift: m.
        variance: v >= 0.
        rates: positive, one for each jump.
        jumps: sizes, not zero; equal sizes are merged.

    Raises:
        InputError: if an argument breaks its rule, or variance and rates are all zero (an atom).

    Example:
        >>> law = hs.theory.FreeLevy(variance=0.2, rates=(4.0,), jumps=(0.25,))
        >>> round(law.mean(), 12), round(law.var(), 12)
        (1.0, 0.45)
    """

    drift: Real = 0.0
    variance: Real = 0.0
    rates: tuple[float, ...] = ()
    jumps: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        rates = tuple(_check.positive("rates", r) for r in _check.sequence("rates", self.rates))
        jumps = tuple(_check.number("jumps", a) for a in _check.sequence("jumps", self.jumps))
        variance = _check.nonnegative("variance", self.variance)
        if len(rates) != len(jumps):
            msg = f"rates, jumps: {len(rates)} and {len(jumps)} values; one rate for each jump"
            raise InputError(msg)
        if 0.0 in jumps:
            msg = "jumps: contains 0; a jump of size 0 has no effect, leave it out"
            raise InputError(msg)
        if not rates and variance == 0:
            msg = "variance, rates: 0 and none; use Empirical([drift]) for a single atom"
            raise InputError(msg)
        triple = LevyTriple(drift=_check.number("drift", self.drift), variance=variance)
        for rate, jump in zip(rates, jumps, strict=True):
            triple = triple + LevyTriple(rates=(rate,), jumps=(jump,))
        for name in ("drift", "variance", "rates", "jumps"):
            object.__setattr__(self, name, getattr(triple, name))

    @classmethod
    def from_triple(cls, triple: LevyTriple) -> FreeLevy:
        """The law of a triple."""
        return cls(
            drift=triple.drift, variance=triple.variance, rates=triple.rates, jumps=triple.jumps
        )

    @cached_property
    def triple(self) -> LevyTriple:
        """Drift, variance, rates and jumps."""
        return LevyTriple(
            drift=self.drift, variance=self.variance, rates=self.rates, jumps=self.jumps
        )

    def reciprocal_above(self, z: ComplexArray) -> ComplexArray:
        """F(z): certified fixed points above the axis and inside the cuts, real roots elsewhere."""
        w = np.empty(z.shape, dtype=np.complex128)
        above = z.imag > 0
        inside = self._interior(z.real) & ~above
        for where, solve in ((above, self._above), (inside, self._solve)):
            if where.any():
                found = solve(z[where])
                at_edge, which, _ = resolved(self, z[where], found, solve)
                found.points[0, at_edge] = self.triple.edges[which]
                w[where] = found.points[0]
        rest = ~(above | inside)
        if rest.any():
            w[rest] = self._outside(z.real[rest])
        return w

    @cached_property
    def _arcs(self) -> tuple[FloatArray, FloatArray]:
        roots = self.triple.edges.reshape(-1, 2)
        return roots, np.array(self.support_intervals())

    def _interior(self, x: FloatArray) -> npt.NDArray[np.bool_]:
        ends = self._arcs[1].ravel()
        return (np.searchsorted(ends, x, side="right") % 2 == 1) & ~np.isin(x, ends)

    def _above(self, z: ComplexArray) -> FixedPoints:
        start = z - self.triple.centre
        return fixed_points(OneVariable(self.triple.self_map), z, start[None])

    def _solve(self, z: ComplexArray) -> FixedPoints:
        """Fixed points at real z strictly inside the cuts."""
        (roots, ends), x = self._arcs, z.real
        cut = np.searchsorted(ends[:, 0], x, side="right") - 1
        share = np.clip((x - ends[cut, 0]) / (ends[cut, 1] - ends[cut, 0]), 0.0, 1.0)
        left, right = roots[cut, 0], roots[cut, 1]
        height = (right - left) * np.sqrt(share * (1 - share))
        start = left + (right - left) * share + 1j * np.maximum(height, 1e-300)
        return fixed_points(OneVariable(self.triple.self_map), z, start[None])
