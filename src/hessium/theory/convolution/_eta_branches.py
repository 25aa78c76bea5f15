r"""Branches of the eta-transform of a law on the positive half-line, at real z off its support.

With $E(z) = 1/\eta(1/z)$ a free product has $x = z_1 z_2/E$ where both laws take the value E: a sum
in logarithms. So $f = \log|E|$ and $w = \log|z|$ stand where a free sum has the values and the
arguments of F, $r = dw/df$. E increases on every branch. Where E > 0, at $z > 0$, the angle of
$\log(E/z)$ above the axis lies between 0 and $\pi$, hence
$1/r = 1 + \int k(t)\,dv/(4\sinh^2((v - w)/2))$, $t = e^v$, $0 \le k \le 1$: convex in w, and r in
[0, 1] has one peak. Where E < 0 the same holds for $-1/r$. On $z < 0$, where E < 0, $c = 1 - 1/r$
is such an integral with $\cosh^2$: there $|d(\log c - c)/df| \le 1$.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import lambertw

from hessium._typing import BoolArray, FloatArray, IntArray
from hessium.theory.convolution._branches import CLOSE, NUDGE, Branches, maximum
from hessium.theory.convolution._eta_transform import (
    LIMIT,
    RADII,
    EtaTransform,
    Piece,
    values_of,
)

SAMPLES = 90


class EtaBranches(Branches):
    """Branches on one half-axis on which E has one sign.

    Attributes:
        eta: the transform of the law.
        sign: of E.
    """

    eta: EtaTransform
    sign: float

    @abstractmethod
    def _rates(
        self, z: FloatArray, known: tuple[FloatArray, FloatArray] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """The last two rows of `at`; `known` as in `EtaTransform.rates`."""

    @abstractmethod
    def _outside(self, k: IntArray, f: FloatArray) -> BoolArray:
        """Whether f lies towards an end of the half-axis, where the series of S holds."""

    @abstractmethod
    def _inverse(self, k: IntArray, f: FloatArray) -> FloatArray:
        """The z at which log|E| = f."""

    @property
    @abstractmethod
    def _table(self) -> list[FloatArray]:
        """For each branch rows that start with z and f, ascending in f."""

    def at(self, k: IntArray, f: FloatArray) -> FloatArray:
        """Rows w, w - f, r and 1 - r: the inverse of E, or the series of S."""
        f = np.asarray(f, dtype=np.float64)
        y, above = values_of(f, self.sign)
        far = self._outside(k, f) & (np.abs(y) <= self.eta.reach)
        result = np.empty((4, f.size))
        if far.any():
            shift, lack = self.eta.far(y[far])
            lack = self.sign * lack
            result[:, far] = f[far] + shift, shift, 1 - lack, lack
        near = ~far
        if near.any():
            z = self._inverse(k[near], f[near])
            large = np.abs(f[near]) > 1
            known = np.where(large, y[near], np.nan), np.where(large, above[near], np.nan)
            with np.errstate(all="ignore"):
                w, (r, lack) = np.log(np.abs(z)), self._rates(z, known)
            result[:, near] = w, w - f[near], r, lack
        return result

    def _bracket(self, k: IntArray, f: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Entries of the table on both sides of z; one more on each side allows for rounding."""
        low, high = np.empty(f.size), np.empty(f.size)
        for one in np.unique(k):
            z, values = self._table[one][:2]
            here = k == one
            place = np.searchsorted(values, f[here])
            ends = np.array([np.maximum(place - 2, 0), np.minimum(place + 1, z.size - 1)])
            low[here], high[here] = np.sort(z[ends], axis=0)
        return low, high


class PositiveBranches(EtaBranches):
    """The pieces of z > 0 on which E has one sign; r is counted positive on both."""

    def __init__(self, eta: EtaTransform, pieces: list[Piece], sign: float) -> None:
        self.eta, self.sign = eta, sign
        self.pieces = [piece for piece in pieces if piece.sign == sign]
        self.left = np.array([p.left for p in self.pieces])
        self.right = np.array([p.right for p in self.pieces])
        left_edge = np.array([p.left_edge for p in self.pieces], dtype=bool)
        right_edge = np.array([p.right_edge for p in self.pieces], dtype=bool)
        self._nudge(left_edge, right_edge)
        at_left = np.where(left_edge, self._logarithm(self.left), -sign * np.inf)
        at_right = np.where(right_edge, self._logarithm(self.right), sign * np.inf)
        if sign < 0 and self.from_zero:
            at_left[0] = eta.logarithm_at_zero
        self.low, self.high = (at_left, at_right) if sign > 0 else (at_right, at_left)
        self.peak = self._peaks()

    @property
    def from_zero(self) -> bool:
        """Whether the first piece starts at z = 0."""
        return bool((self.left[:1] == 0).any())

    def _nudge(self, left_edge: BoolArray, right_edge: BoolArray) -> None:
        width = np.where(np.isfinite(self.right), self.right - self.left, self.eta.unit)
        for end, edge, side in ((self.left, left_edge, 1.0), (self.right, right_edge, -1.0)):
            pad = np.maximum(NUDGE * width, 2 * np.spacing(np.where(edge, end, 0.0)))
            end += np.where(edge, side * pad, 0.0)

    def _logarithm(self, z: FloatArray) -> FloatArray:
        usable = np.isfinite(z) & (z > 0)
        return np.where(usable, self.eta.logarithm(np.where(usable, z, 1.0)), np.nan)

    def _rates(
        self, z: FloatArray, known: tuple[FloatArray, FloatArray] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        r, lack = self.eta.rates(z, known)
        if self.sign > 0:
            return np.clip(r, 0.0, 1.0), np.clip(lack, 0.0, 1.0)
        size = np.maximum(np.nan_to_num(-r, posinf=np.inf), 0.0)
        size = np.where(z == 0, np.inf, size)
        return size, 1 - size

    def _outside(self, k: IntArray, f: FloatArray) -> BoolArray:
        return np.where(f > 0, np.isinf(self.right[k]), self.left[k] == 0) & (self.sign > 0)

    def _peaks(self) -> FloatArray:
        """Golden section for r in log z; up to both ends of the half-line r rises."""
        peak = np.where(np.isinf(self.right), LIMIT, -self.sign * LIMIT)
        if self.sign < 0 and self.from_zero:
            peak[0] = self.high[0]
        inner = np.flatnonzero((self.left > 0) & np.isfinite(self.right))
        if inner.size:
            best = maximum(
                lambda w: self._rates(np.exp(w))[0],
                np.log(self.left[inner]),
                np.log(self.right[inner]),
            )
            found = np.clip(self._logarithm(np.exp(best)), -LIMIT, LIMIT)
            peak[inner] = np.clip(found, self.low[inner], self.high[inner])
        return np.asarray(peak)

    def _inverse(self, k: IntArray, f: FloatArray) -> FloatArray:
        z = self.eta.inverse(f, self.sign, *self._bracket(k, f))
        # values beyond the limit, and an atom in 0, belong to an end
        first, last = (self.left, self.right) if self.sign > 0 else (self.right, self.left)
        z = np.where((f <= -LIMIT) & (first[k] > 0) & np.isneginf(self.low[k]), first[k], z)
        z = np.where((f >= LIMIT) & np.isfinite(last[k]) & np.isposinf(self.high[k]), last[k], z)
        return np.where((self.sign < 0) & (last[k] == 0) & (f >= self.high[k]), 0.0, z)

    def samples(self) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
        """Points of each piece; on the outer pieces the series supplies the far ones."""
        return [(f, r, lack) for _, f, r, lack in self._table]

    @cached_property
    def _table(self) -> list[FloatArray]:
        rows = []
        ends = np.clip(np.array([self.low, self.high]), -4 * LIMIT, 4 * LIMIT).T
        for left, right, (low, high) in zip(self.left, self.right, ends, strict=True):
            z = self._grid(left, right)
            row = np.array([z, self.eta.logarithm(z), *self._rates(z)])
            if self.sign > 0 and (left == 0 or np.isinf(right)):
                row = self._with_series(row, bool(np.isinf(right)))
            row = row[:, :: int(self.sign)]
            row[1] = np.maximum.accumulate(np.clip(row[1], low, high))
            # at 0 and far out the points do not reach the ends
            first, last = (left, right) if self.sign > 0 else (right, left)
            row[1, 0] = low if first > 0 else row[1, 0]
            row[1, -1] = high if np.isfinite(last) and last > 0 else row[1, -1]
            rows.append(row)
        return rows

    def _with_series(self, row: FloatArray, outward: bool) -> FloatArray:
        """The rates by the series of S where it holds; outward, points beyond the grid as well."""
        f = row[1]
        with np.errstate(all="ignore"):
            y = values_of(f, 1.0)[0]
        near = (np.abs(y) <= self.eta.reach) & ((f > 0) if outward else (f < 0))
        if not outward:
            small = self.eta.far(np.where(near, y, 0.0))[1]
            row[2:] = np.where(near, [1 - small, small], row[2:])
            return row
        start = np.log1p(1 / self.eta.reach)
        far = np.geomspace(start, max(LIMIT, 2 * start), SAMPLES)
        shift, small = self.eta.far(values_of(far, 1.0)[0])
        distant = np.array([np.exp(far + shift), far, 1 - small, small])
        return np.concatenate([row[:, ~near], distant], axis=1)

    def _grid(self, left: float, right: float) -> FloatArray:
        if np.isinf(right):
            steps = np.geomspace(NUDGE * self.eta.unit, 2 * RADII * self.eta.radius, SAMPLES)
            return np.append(left, left + steps)
        steps = (right - left) * CLOSE
        if left == 0:
            shares = np.geomspace(1e-22, 0.5, SAMPLES)
            return np.concatenate([right * shares, right - steps[-2::-1], [right]])
        return np.concatenate([[left], left + steps, right - steps[-2::-1], [right]])


class NegativeBranch(EtaBranches):
    """The half-line z < 0. Rows give 1 - b for r and b for 1 - r, b = r - 1 = c/(1 - c) >= 0."""

    def __init__(self, eta: EtaTransform) -> None:
        self.eta, self.sign = eta, -1.0
        # |E| falls from infinity, at minus infinity, to its value at 0
        self.low, self.high = np.array([eta.logarithm_at_zero]), np.array([np.inf])
        self.peak = np.array([np.nan])

    def _rates(
        self, z: FloatArray, known: tuple[FloatArray, FloatArray] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        b = np.maximum(-self.eta.rates(z, known)[1], 0.0)
        b = np.where(z == 0, np.inf, b)
        return 1 - b, b

    def _outside(self, k: IntArray, f: FloatArray) -> BoolArray:
        return np.ones(f.shape, dtype=bool)

    def _inverse(self, k: IntArray, f: FloatArray) -> FloatArray:
        found = self.eta.inverse(f, self.sign, *self._bracket(k, f))
        return np.where(f <= self.low[0], 0.0, found)

    @cached_property
    def _table(self) -> list[FloatArray]:
        reach = max(1.0, 1 / self.eta.reach)
        z = -self.eta.mean * np.geomspace(1e-30, 4 * RADII * reach, 400)
        f = np.maximum.accumulate(self.eta.logarithm(z))
        return [np.array([np.append(0.0, z), np.append(self.low, f)])]

    def samples(self) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
        """Empty, because `bounds` evaluates the branch at the knots."""
        return []

    def bounds(self, knots: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Bounds from the values at the ends of the cells."""
        inside = np.clip(knots, self.low, self.high)
        values = self.at(np.zeros(knots.size, dtype=np.int64), inside)[2:]
        most, least = self.extremes(
            np.zeros(knots.size - 1, dtype=np.int64),
            np.array([knots[:-1], knots[1:]]),
            np.array([values[:, :-1], values[:, 1:]]),
        )
        return most[0, None], most[1, None], least[0, None], least[1, None]

    def extremes(
        self, k: IntArray, ends: FloatArray, values: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        r"""From $|d(\log c - c)/df| \le 1$ and the values of c at both ends."""
        b = values[:, 1]
        with np.errstate(all="ignore"):
            c = np.where(np.isinf(b), 1.0, b / (1 + b))
            level = np.log(c) - c
            width = ends[1] - ends[0]
            lowest = np.maximum(level.max(0) - width, 0.5 * (level.sum(0) - width))
            highest = np.minimum(level.min(0) + width, 0.5 * (level.sum(0) + width))
            small, large = (_excess(side) for side in (np.minimum(lowest, level.min(0)), highest))
        small, large = np.minimum(small, b.min(0)), np.maximum(large, b.max(0))
        return np.array([1 - small, small]), np.array([1 - large, large])

    def turns(self, k: IntArray, ends: FloatArray) -> tuple[BoolArray, BoolArray]:
        """Unknown: b may rise and fall many times."""
        never = np.zeros(k.shape, dtype=bool)
        return never, never


def _excess(level: FloatArray) -> FloatArray:
    """The b = c/(1 - c) where log c - c = level; infinite from -1 on."""
    argument: Any = -np.exp(np.minimum(level, -1.0))
    c = -np.asarray(lambertw(argument)).real
    with np.errstate(divide="ignore"):
        return np.where(level >= -1, np.inf, c / (1 - c))
