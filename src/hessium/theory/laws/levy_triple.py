r"""The free Levy-Khintchine triple of an infinitely divisible law with finitely many jumps.

$R(g) = m + v g + \sum_i \lambda_i a_i / (1 - a_i g)$: drift m, semicircular variance v, and jumps
$a_i$ at rates $\lambda_i$. Semicircle, Marchenko-Pastur, the residual law of ReLU networks and all
their free sums are of this kind, and a free sum adds the triples.

Everything is written in $w = F(z) = 1/G(z)$, where $z = x(w) = w + R(1/w)$:

- $q(w) = v/w^2 + \sum_i \lambda_i a_i^2/(w - a_i)^2 = 1 - x'(w)$ is the slope of the self-map
  $w \mapsto z - R(1/w)$ of the upper half-plane;
- at real x inside the support w is the one fixed point with positive imaginary part;
- a real w belongs to a point off the support exactly where $q(w) < 1$, and edges are $x(w)$ at the
  roots of $q = 1$. Between its poles q is convex: 0 or 2 roots, so the list of edges is complete.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.optimize import brentq

from hessium._typing import ComplexArray, FloatArray, Real
from hessium.theory._half_plane import upper

# Above this rate a jump is summed about its mean, because its rate times its size is large and
# cancels; there the fixed point keeps |w| >= |a| (sqrt(rate) - 1), so the other form is not needed.
_DENSE_RATE = 4.0


@dataclass(frozen=True, kw_only=True)
class LevyTriple:
    """Drift, variance and jumps of a freely infinitely divisible law.

    Attributes:
        drift: m.
        variance: v >= 0.
        rates: positive, shape (j,).
        jumps: distinct and not zero, ascending, shape (j,).
    """

    drift: Real = 0.0
    variance: Real = 0.0
    rates: tuple[float, ...] = ()
    jumps: tuple[float, ...] = ()

    def __add__(self, other: LevyTriple) -> LevyTriple:
        merged = dict(zip(self.jumps, self.rates, strict=True))
        for jump, rate in zip(other.jumps, other.rates, strict=True):
            merged[jump] = merged.get(jump, 0.0) + rate
        jumps = tuple(sorted(merged))
        return LevyTriple(
            drift=self.drift + other.drift,
            variance=self.variance + other.variance,
            rates=tuple(merged[a] for a in jumps),
            jumps=jumps,
        )

    def power(self, t: float) -> LevyTriple:
        """The triple of the t-th free convolution power."""
        return LevyTriple(
            drift=t * self.drift,
            variance=t * self.variance,
            rates=tuple(t * rate for rate in self.rates),
            jumps=self.jumps,
        )

    def affine(self, scale: Real, shift: Real) -> LevyTriple:
        """The triple of scale * X + shift."""
        pairs = sorted(zip((scale * a for a in self.jumps), self.rates, strict=True))
        return LevyTriple(
            drift=scale * self.drift + shift,
            variance=scale**2 * self.variance,
            rates=tuple(rate for _, rate in pairs),
            jumps=tuple(a for a, _ in pairs),
        )

    @cached_property
    def _columns(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, float]:
        """Rates and jumps as columns, sparse then dense, and the centre that dense jumps add."""
        rates, jumps = np.array(self.rates), np.array(self.jumps)
        dense = rates >= _DENSE_RATE
        centre = self.drift + float((rates * jumps)[dense].sum())
        sparse = ~dense
        return (
            rates[sparse, None],
            jumps[sparse, None],
            rates[dense, None],
            jumps[dense, None],
            centre,
        )

    def remainder(self, w: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """R(1/w) less the centre, and q(w)."""
        rates, jumps, dense_rates, dense_jumps, _ = self._columns
        value, q = np.zeros_like(w), np.zeros_like(w)
        if self.variance:
            part = self.variance / w
            value, q = value + part, q + part / w
        if rates.size:
            part = rates * jumps / (w - jumps)
            value = value + (part * w).sum(0)
            q = q + (part * jumps / (w - jumps)).sum(0)
        if dense_rates.size:
            part = dense_rates * dense_jumps**2 / (w - dense_jumps)
            value = value + part.sum(0)
            q = q + (part / (w - dense_jumps)).sum(0)
        return value, q

    @property
    def centre(self) -> float:
        """The constant that `remainder` leaves out."""
        return self._columns[-1]

    def self_map(self, z: ComplexArray, w: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """The map z - R(1/w) and its derivative q(w)."""
        value, q = self.remainder(w)
        return (z - self.centre) - value, q

    def position(self, w: FloatArray) -> tuple[FloatArray, FloatArray]:
        """x(w) and x'(w) at real w."""
        value, q = self.remainder(np.asarray(w, dtype=np.complex128))
        return self.centre + (w + value.real), 1 - q.real

    def curvature(self, w: float) -> float:
        """x''(w) at real w."""
        jumps = sum(
            rate * a**2 / (w - a) ** 3 for rate, a in zip(self.rates, self.jumps, strict=True)
        )
        return 2 * ((self.variance / w**3 if self.variance else 0.0) + jumps)

    def potential(self, z: ComplexArray, w: ComplexArray) -> ComplexArray:
        r"""$\Phi = zG - 1 - \log G - \int_0^G R$ at G = 1/w."""
        rates, jumps, dense_rates, dense_jumps, centre = self._columns
        w = upper(w)
        log_w = np.log(w)
        phi = (z - centre) / w - 1 + log_w
        if self.variance:
            phi = phi - 0.5 * self.variance / w**2
        if rates.size:
            phi = phi + (rates * (np.log(w - jumps) - log_w)).sum(0)
        if dense_rates.size:
            phi = phi + (dense_rates * log_minus_linear(dense_jumps / w)).sum(0)
        return phi

    def mass_below(self, w: float) -> float:
        """Mass below the point off the support that belongs to a real w."""
        signs = sum(
            rate * (float(w < a) - float(w < 0))
            for rate, a in zip(self.rates, self.jumps, strict=True)
        )
        return 1.0 - float(w < 0) - signs

    def free_cumulants(self, count: int) -> FloatArray:
        """Orders 1 to `count`."""
        rates, jumps = np.array(self.rates), np.array(self.jumps)
        orders = np.arange(1, count + 1)
        result = (rates[:, None] * jumps[:, None] ** orders).sum(0)
        result[:1] += self.drift
        result[1:2] += self.variance
        return np.asarray(result, dtype=np.float64)

    @cached_property
    def edges(self) -> FloatArray:
        """Real roots w of q = 1, ascending: cut k lies between x(w) of roots 2k and 2k + 1."""
        poles = np.array(sorted({*self.jumps, *([0.0] if self.variance else [])}))
        strength = np.array(
            [
                self.variance if p == 0 else self.rates[self.jumps.index(p)] * p**2
                for p in poles.tolist()
            ]
        )
        total = float(np.sqrt(strength.sum()))

        def root(k: int, sign: float, far: float) -> float:
            """The root next to pole k on one side, found as a distance from the pole."""

            def excess(t: float) -> float:
                return float((strength / (poles - poles[k] - sign * t) ** 2).sum()) - 1

            near = float(np.sqrt(strength[k]))
            if excess(near) <= 0:
                return float(poles[k] + sign * near)
            return float(poles[k] + sign * brentq(excess, near, far, xtol=1e-300, rtol=9e-16))

        roots = [root(0, -1.0, total * (1 + 1e-12))]
        for k, (left, right) in enumerate(pairwise(poles.tolist())):
            lowest = _lowest(poles, strength, left, right)
            if lowest is not None:
                roots += [root(k, 1.0, lowest - left), root(k + 1, -1.0, right - lowest)]
        roots.append(root(len(poles) - 1, 1.0, total * (1 + 1e-12)))
        return np.array(roots)


def _lowest(poles: FloatArray, strength: FloatArray, left: float, right: float) -> float | None:
    """The minimum of q between two poles, or None if q is not below 1 there."""

    def slope(w: float) -> float:
        return float((strength / (poles - w) ** 3).sum())

    gap = right - left
    if strength[(poles == left) | (poles == right)].max() >= gap**2:
        return None  # one pole alone keeps q above 1
    pad = max(1e-12 * gap, 4 * float(np.spacing(max(abs(left), abs(right)))))
    low, high = left + pad, right - pad
    if low >= high:
        return None
    if slope(low) >= 0 or slope(high) <= 0:
        lowest = low if slope(low) >= 0 else high
    else:
        lowest = float(brentq(slope, low, high, rtol=9e-16))
    least = float((strength / (poles - lowest) ** 2).sum())
    return lowest if least < 1 - 1e-14 else None


def log_minus_linear(s: ComplexArray) -> ComplexArray:
    """log(1 - s) + s without cancellation at small s."""
    t = s / (2 - s)
    square = t * t
    series = np.zeros_like(t)
    for k in range(37, 1, -2):
        series = (series + 1.0 / k) * square
    small = -2 * t * (t / (1 + t) + series)
    return np.asarray(np.where(np.abs(s) < 0.5, small, np.log(1 - s) + s))
