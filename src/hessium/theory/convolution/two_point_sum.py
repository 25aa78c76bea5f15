r"""The free sum of two laws on two points each, in closed form.

Subordination fails to decide this one case at real x: the self-map is Moebius, and for
{-1, 1} + {-1, 1} at x = 0 it is the identity. But $aP + bQ$ with free projections of traces p and q
splits into 2 x 2 blocks with eigenvalues $h \pm \sqrt{d^2 + a b c}$, $h = (a + b)/2$,
$d = (a - b)/2$, where c has the law of P Q P (Voiculescu 1987), with density
$\sqrt{(c_+ - c)(c - c_-)}/(2\pi c(1 - c))$, $c_\pm = p + q - 2pq \pm 2\sqrt{pq(1-p)(1-q)}$.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hessium._random import Rng, generator
from hessium._typing import ArrayLike, ComplexArray, FloatArray
from hessium.theory import _check
from hessium.theory._half_plane import log_upper, upper
from hessium.theory.ensembles import haar
from hessium.theory.laws._certificate import require
from hessium.theory.laws.empirical import Empirical
from hessium.theory.laws.law import Law

_SLACK = 1e-7  # of the points: next to double roots they are known to a root of rounding


@dataclass(frozen=True)
class TwoPointSum(Law):
    """The free sum of two `Empirical` laws of two points each; made by `free_sum`."""

    first: Empirical
    second: Empirical

    @cached_property
    def _shape(self) -> tuple[float, float, float, float, float]:
        """a, b > 0, p, q, and the smallest point: X = origin + a P + b Q."""
        (low, high), (other_low, other_high) = self.first.nodes, self.second.nodes
        p, q = self.first.weights[1], self.second.weights[1]
        origin = low + other_low
        return float(high - low), float(other_high - other_low), float(p), float(q), float(origin)

    @cached_property
    def _roots(self) -> tuple[float, float, float]:
        """H (with the origin added) and the distances from it where the intervals begin and end."""
        a, b, p, q, origin = self._shape
        spread = 2 * np.sqrt(p * q * (1 - p) * (1 - q))
        middle = p + q - 2 * p * q
        # the smaller root as a quotient, so that it is zero exactly where it has to be
        top = middle + spread
        bottom = (p - q) ** 2 / top
        square = 0.25 * (a - b) ** 2
        inner = np.sqrt(square + a * b * bottom)
        outer = np.sqrt(square + a * b * min(top, 1.0))
        return origin + 0.5 * (a + b), float(inner), float(outer)

    def support_intervals(self) -> tuple[tuple[float, float], ...]:
        """Two intervals symmetric about the centre, or one if they meet there."""
        h, inner, outer = self._roots
        if inner <= 1e-15 * outer:
            return ((h - outer, h + outer),)
        return ((h - outer, h - inner), (h + inner, h + outer))

    @property
    def atoms(self) -> dict[float, float]:
        """Sums of points whose weights add up to more than one."""
        return {
            x + y: float(p + q - 1)
            for x, p in self.first.atoms.items()
            for y, q in self.second.atoms.items()
            if p + q - 1 > 1e-15
        }

    def free_cumulants(self, count: int) -> FloatArray:
        """Sums of the cumulants."""
        return self.first.free_cumulants(count) + self.second.free_cumulants(count)

    def matrix(self, n: int, rng: Rng = None) -> FloatArray:
        """The first matrix plus the second in a Haar basis."""
        one, two, three = generator(rng).spawn(3)
        q = haar(n, three)
        return np.asarray(self.first.matrix(n, one) + q @ self.second.matrix(n, two) @ q.T)

    def _transform(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        a, b, p, q, origin = self._shape
        h, inner, outer = self._roots
        y = z - h
        root = np.sqrt(y - outer) * np.sqrt(y + outer)
        slope = (y / (y - outer)) / (y + outer)
        x = z - origin
        poles = (x, x - a, x - b, x - a - b)
        signs = (0.5 * (1 - p - q), 0.5 * (p - q), 0.5 * (q - p), 0.5 * (p + q - 1))
        if inner <= 1e-15 * outer:
            # a = b and p = q: y^2 stands above and below
            body = root / poles[0] / poles[3]
            slope = slope - 1 / poles[0] - 1 / poles[3]
        else:
            # quotients in turn: products of four lengths over- or underflow at extreme scales
            body = y / poles[0] * (root / poles[1])
            body = body * (np.sqrt(y - inner) * np.sqrt(y + inner) / poles[2]) / poles[3]
            slope = slope + (y / (y - inner)) / (y + inner) + 1 / y - sum(1 / w for w in poles)
        g, dg = body, body * slope
        for pole, sign in zip(poles, signs, strict=True):
            if sign:
                g, dg = g + sign / pole, dg - sign / pole**2
        return g, dg

    def _log_potential(self, z: ComplexArray) -> ComplexArray:
        """Through the subordination points, which solve a quadratic for each summand."""
        g, _ = self._transform(z)
        f = 1 / g
        best = np.full(z.shape, np.inf)
        phi = np.empty_like(z)
        for w in self._preimages(self.first, f):
            for v in self._preimages(self.second, f):
                error = np.abs(w + v - z - f) / (np.abs(z) + np.abs(f))
                below = (w.imag < -_SLACK * np.abs(w)) | (v.imag < -_SLACK * np.abs(v))
                error = np.where(below, np.inf, error)
                value = self.first._log_potential(upper(w)) - log_upper(f)
                value = value + self.second._log_potential(upper(v))
                phi = np.where(error < best, value, phi)
                best = np.fmin(best, error)
        require(self, z, best <= _SLACK)
        return phi

    @staticmethod
    def _preimages(law: Empirical, f: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """Both solutions w of F(w) = f for a law on two points."""
        (x, y), (p, q) = law.nodes, law.weights
        middle, product = x + y + f, x * y + f * (p * y + q * x)
        root = np.sqrt(middle * middle - 4 * product)
        return 0.5 * (middle + root), 0.5 * (middle - root)

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Mass of (-inf, x], from the law of the angle between the projections."""
        points = _check.reals("x", x)
        _, _, p, q, _ = self._shape
        h, inner, outer = self._roots
        share = min(p, q, 1 - p, 1 - q)
        y = np.clip(np.abs(points - h), inner, outer)
        # differences of squares: rounding of y^2 would be a root of rounding in the angle
        near, far = np.sqrt(y - inner), np.sqrt(outer - y)
        angle = np.asarray(2 * np.arctan2(near * np.sqrt(y + inner), far * np.sqrt(outer + y)))
        above = np.where(y >= outer, 0.0, np.maximum(share - _angle_mass(angle, p, q), 0.0))
        total = np.where(points < h, above, 2 * share - above)
        for location, weight in self.atoms.items():
            total = total + weight * (points >= location)
        return np.asarray(np.where(points >= self.support()[1], 1.0, np.minimum(total, 1.0)))

    def _gap_mass(self, x: float) -> float:
        return float(self.cdf(x))

    def _distribution(self, x: FloatArray) -> FloatArray:
        return self.cdf(x)


def _angle_mass(angle: FloatArray, p: float, q: float) -> FloatArray:
    r"""$\int_{c_-}^{c} \sqrt{(c_+ - t)(t - c_-)}/(2\pi t(1 - t))\,dt$ by $1/t + 1/(1 - t)$.

    The angle goes from 0 at $c_-$ to $\pi$ at $c_+$: $c = m - r\cos\theta$.
    """
    spread = 2 * np.sqrt(p * q * (1 - p) * (1 - q))
    middle = p + q - 2 * p * q
    lower = _half(angle, middle, spread, abs(p - q))
    upper = _half(np.pi, 1 - middle, spread, abs(1 - p - q)) - _half(
        np.pi - angle, 1 - middle, spread, abs(1 - p - q)
    )
    return np.asarray((lower + upper) / (2 * np.pi))


def _half(angle: FloatArray | float, middle: float, spread: float, product: float) -> FloatArray:
    r"""$\int_0^\theta r^2 \sin^2 t/(m - r\cos t)\,dt$, with product $= \sqrt{m^2 - r^2}$."""
    half = 0.5 * np.asarray(angle)
    turn = np.arctan2((middle + spread) * np.sin(half), product * np.cos(half))
    return np.asarray(middle * 2 * half + spread * np.sin(2 * half) - 2 * product * turn)
