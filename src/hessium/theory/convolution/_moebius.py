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
        self._zero = p * high + share * low
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
        (v, other), d, y = self._variances, self._offset, z - self.centre
        root = np.sqrt(y - self.outer) * np.sqrt(y + self.outer)
        if self.inner <= _TOUCH * self.outer:
            # both laws are the same up to a shift: d = 0, and y divides the equation
            return np.asarray(self._zero + 0.5 * (y + root))
        root = root * (np.sqrt(y - self.inner) * np.sqrt(y + self.inner))
        body = (y - d) * (y + d) + (v - other)
        same = (body * root.conj()).real >= 0  # of two forms the one that does not cancel
        with np.errstate(all="ignore"):
            u = np.where(same, 0.5 * (body + root) / (y - d), 2 * v * (y + d) / (body - root))
        return np.asarray(self._zero + u)
