r"""The free sum of two laws on two points each: its subordination point solves a quadratic.

A law on two points has $F(w) = w - m - v/(w - b)$ with mean m, variance v and G = 0 at b. So the
self-map of `GeneralSum` is Moebius. With $u = w_1 - b_1$, $t = w_2 - b_2$, $y = z - h$, h half the
sum of all four points, and $2d = (m_1 - b_1) - (m_2 - b_2)$, the subordination equations are
$ut + v_2 = (y + d) t$ and $ut + v_1 = (y - d) u$, hence

$(y - d) u^2 - (y^2 - d^2 + v_1 - v_2) u + (y + d) v_1 = 0$

with discriminant $(y^2 - y_-^2)(y^2 - y_+^2)$, $y_\pm^2 = d^2 + (\sqrt{v_1} \pm \sqrt{v_2})^2$. The
support is $y_- \le |y| \le y_+$; on either side lies the least of the four weights. Newton's method
fails at y = 0 of two equal laws: there the self-map is the identity.
"""

from __future__ import annotations

import numpy as np

from hessium._typing import ComplexArray
from hessium.theory.laws.empirical import Empirical

_TOUCH = 1e-15  # of y_+: intervals that are closer to each other than this are one


class MoebiusPair:
    """Two laws on two points each.

    Attributes:
        centre: h.
        inner, outer: y_- and y_+.
    """

    def __init__(self, first: Empirical, second: Empirical) -> None:
        (low, high), (other_low, other_high) = first.nodes.tolist(), second.nodes.tolist()
        (p, share), (q, other_share) = first.weights.tolist(), second.weights.tolist()
        a, b = high - low, other_high - other_low
        self._laws = first, second
        self._zeros = p * high + share * low, q * other_high + other_share * other_low
        self._variances = a * (a * p * share), b * (b * q * other_share)
        self.centre = 0.5 * (low + other_low + high + other_high)
        self._offset = 0.5 * (a * (share - p) - b * (other_share - q))
        self._share = min(p, q, share, other_share)
        # the same y as in the docstring, in forms that do not cancel
        spread, middle = 2 * np.sqrt(p * q * share * other_share), p * q + share * other_share
        top = (1 - middle) + spread
        square = 0.25 * (a - b) ** 2
        self.inner = float(np.sqrt(square + a * b * ((p - q) ** 2 / top)))
        self.outer = float(np.sqrt(square + a * b * min(top, 1.0)))

    def support_intervals(self) -> tuple[tuple[float, float], ...]:
        """Two intervals symmetric about the centre, or one if they meet there."""
        h, inner, outer = self.centre, self.inner, self.outer
        if inner <= _TOUCH * outer:
            return ((h - outer, h + outer),)
        return ((h - outer, h - inner), (h + inner, h + outer))

    def mass_below(self, x: float) -> float:
        """Mass of the intervals below a point off the support."""
        side = x - self.centre
        if abs(side) < self.inner:
            return self._share
        return 2 * self._share if side > 0 else 0.0

    def point(self, z: ComplexArray) -> ComplexArray:
        """The subordination point of the first law, at Im z >= 0."""
        return self._zeros[0] + self._distance(z, 0)

    def cauchy(self, z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        """G and G', accurate also next to atoms."""
        u, t = (self._distance(z, k) for k in range(2))
        v, other = self._variances
        with np.errstate(all="ignore"):
            g = u / (self._distance(z, 0, 0) * self._distance(z, 0, 1))
            return g, -(g * g) / (1 - v / (u * u + v) - other / (t * t + other))

    def _distance(self, z: ComplexArray, k: int, node: int | None = None) -> ComplexArray:
        r"""From the zero of G of law k to its subordination point, or from one of its nodes.

        With r the node less the zero, the difference e = u - r solves
        $(y - d) e^2 - (y^2 - d^2 + v_1 - v_2 - 2 r (y - d)) e - r (z - a_1)(z - a_2) = 0$, where
        $a_1$ and $a_2$ are the sums of the node and those of the other law.
        """
        v, other = self._variances[k], self._variances[1 - k]
        y, d = z - self.centre, self._offset * (1 - 2 * k)
        root = np.sqrt(y - self.outer) * np.sqrt(y + self.outer)
        touch = self.inner <= _TOUCH * self.outer
        place = 0.0 if node is None else float(self._laws[k].nodes[node])
        r = 0.0 if node is None else place - self._zeros[k]
        sums = place + self._laws[1 - k].nodes
        if touch:
            # both laws are the same up to a shift: d = 0, and y divides the equation
            lead, body = np.ones_like(y), y - 2 * r
            constant = v + 0 * y if node is None else -r * (z - sums[node])
        else:
            root = root * (np.sqrt(y - self.inner) * np.sqrt(y + self.inner))
            lead = y - d
            body = lead * (y + d) + (v - other) - 2 * r * lead
            constant = v * (y + d) if node is None else -r * ((z - sums[0]) * (z - sums[1]))
        same = (body * root.conj()).real >= 0  # of two forms the one that does not cancel
        with np.errstate(all="ignore"):
            return np.where(same, 0.5 * (body + root) / lead, 2 * constant / (body - root))
