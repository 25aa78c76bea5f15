r"""A law on the positive half-line off its support, seen from the values of its E-function.

With $T(z) = zG(z) - 1 = \int t\,\mu(dt)/(z - t)$ and $E = 1 + 1/T$, a free product has
$x = z_1 z_2/E$ where both laws take the value E: a sum in logarithms. So $f = \log|E|$ and
$w = \log|z|$ stand where a free sum has the values and the arguments of F, $r = dw/df$. E increases
on every branch. Where E > 0, at $z > 0$, $\log(E/z)$ has an angle between 0 and $\pi$ above the
axis, hence $1/r = 1 + \int k(t)\,dv/(4\sinh^2((v - w)/2))$, $t = e^v$, $0 \le k \le 1$: convex in
w, and r in [0, 1] has one peak. Where E < 0 the same holds for $-1/r$. On $z < 0$, where E < 0,
$c = 1 - 1/r$ is such an integral with $\cosh^2$: there $|d(\log c - c)/df| \le 1$.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from hessium._typing import BoolArray, FloatArray, IntArray
from hessium.theory.convolution._branches import CLOSE, NUDGE, Branches, maximum
from hessium.theory.convolution._eta_transform import LIMIT, RADII, Piece, Ratio, values_of

SAMPLES = 90


class PositiveBranches(Branches):
    """The pieces of z > 0 on which E has one sign; r is counted positive on both."""

    def __init__(self, ratio: Ratio, pieces: list[Piece], sign: float) -> None:
        self.ratio, self.sign = ratio, sign
        self.pieces = [piece for piece in pieces if piece.sign == sign]
        self.left = np.array([p.left for p in self.pieces])
        self.right = np.array([p.right for p in self.pieces])
        left_edge = np.array([p.left_edge for p in self.pieces], dtype=bool)
        right_edge = np.array([p.right_edge for p in self.pieces], dtype=bool)
        self._nudge(left_edge, right_edge)
        at_left = np.where(left_edge, self._logarithm(self.left), -sign * np.inf)
        at_right = np.where(right_edge, self._logarithm(self.right), sign * np.inf)
        if sign < 0 and self.from_zero:
            weight = ratio.law.atoms[0.0]
            at_left[0] = np.log(weight / (1 - weight))
        self.low, self.high = (at_left, at_right) if sign > 0 else (at_right, at_left)
        self.peak = self._peaks()

    @property
    def from_zero(self) -> bool:
        """Whether the first piece starts at z = 0."""
        return bool((self.left[:1] == 0).any())

    def _nudge(self, left_edge: BoolArray, right_edge: BoolArray) -> None:
        width = np.where(np.isfinite(self.right), self.right - self.left, self.ratio.unit)
        for end, edge, side in ((self.left, left_edge, 1.0), (self.right, right_edge, -1.0)):
            pad = np.maximum(NUDGE * width, 2 * np.spacing(np.where(edge, end, 0.0)))
            end += np.where(edge, side * pad, 0.0)

    def _logarithm(self, z: FloatArray) -> FloatArray:
        usable = np.isfinite(z) & (z > 0)
        return np.where(usable, self.ratio.logarithm(np.where(usable, z, 1.0)), np.nan)

    def _rates(
        self, z: FloatArray, known: tuple[FloatArray, FloatArray] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        r, lack = self.ratio.rates(z, known)
        if self.sign < 0:
            size = np.maximum(np.nan_to_num(-r, posinf=np.inf), 0.0)
            return size, 1 - size
        return np.clip(r, 0.0, 1.0), np.clip(lack, 0.0, 1.0)

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

    def at(self, k: IntArray, f: FloatArray) -> FloatArray:
        """Rows w, w - f, r and 1 - r: the inverse of E, or the series of S."""
        f = np.asarray(f, dtype=np.float64)
        y, above = values_of(f, self.sign)
        outside = np.where(f > 0, np.isinf(self.right[k]), self.left[k] == 0)
        far = outside & (np.abs(y) <= self.ratio.reach) & (self.sign > 0)
        result = np.empty((4, f.size))
        if far.any():
            shift, lack = self.ratio.far(y[far])
            result[:, far] = f[far] + shift, shift, 1 - lack, lack
        near = ~far
        if near.any():
            z = self._inverse(k[near], f[near])
            large = np.abs(f[near]) > 1
            known = np.where(large, y[near], np.nan), np.where(large, above[near], np.nan)
            with np.errstate(all="ignore"):
                w, (r, lack) = np.log(z), self._rates(z, known)
            at_zero = z == 0
            r, lack = np.where(at_zero, np.inf, r), np.where(at_zero, -np.inf, lack)
            result[:, near] = w, w - f[near], r, lack
        return result

    def _inverse(self, k: IntArray, f: FloatArray) -> FloatArray:
        low, high = np.empty(f.size), np.empty(f.size)
        for one in np.unique(k):
            z, values = self._table[one][:2]
            here = k == one
            place = np.searchsorted(values, f[here])
            # a sample to spare on both sides, for rounding
            ends = np.array([np.maximum(place - 2, 0), np.minimum(place + 1, z.size - 1)])
            low[here], high[here] = np.sort(z[ends], axis=0)
        z = self.ratio.inverse(f, self.sign, low, high)
        # beyond the limit, and at an atom in 0, an end
        first, last = (self.left, self.right) if self.sign > 0 else (self.right, self.left)
        z = np.where((f <= -LIMIT) & (first[k] > 0) & np.isneginf(self.low[k]), first[k], z)
        z = np.where((f >= LIMIT) & np.isfinite(last[k]) & np.isposinf(self.high[k]), last[k], z)
        return np.where((self.sign < 0) & (last[k] == 0) & (f >= self.high[k]), 0.0, z)

    def samples(self) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
        """Points of each piece; outside, as far as the series, and then by the series."""
        return [(f, r, lack) for _, f, r, lack in self._table]

    @cached_property
    def _table(self) -> list[FloatArray]:
        """For each piece rows z, f, r and 1 - r, ascending in f."""
        rows = []
        ends = np.clip(np.array([self.low, self.high]), -4 * LIMIT, 4 * LIMIT).T
        for left, right, (low, high) in zip(self.left, self.right, ends, strict=True):
            z = self._grid(left, right)
            f, (r, lack) = self.ratio.logarithm(z), self._rates(z)
            if self.sign > 0 and (left == 0 or np.isinf(right)):
                with np.errstate(all="ignore"):
                    y = values_of(f, 1.0)[0]
                near = np.abs(y) <= self.ratio.reach
                near &= (f > 0) if np.isinf(right) else (f < 0)
                small = self.ratio.far(np.where(near, y, 0.0))[1]
                r, lack = np.where(near, 1 - small, r), np.where(near, small, lack)
                if np.isinf(right):
                    start = np.log1p(1 / self.ratio.reach)
                    far = np.geomspace(start, max(LIMIT, 2 * start), SAMPLES)
                    shift, small = self.ratio.far(values_of(far, 1.0)[0])
                    distant = np.array([np.exp(far + shift), far, 1 - small, small])
                    row = np.concatenate([np.array([z, f, r, lack])[:, ~near], distant], axis=1)
                else:
                    row = np.array([z, f, r, lack])
            else:
                row = np.array([z, f, r, lack])
            row = row[:, :: int(self.sign)]
            row[1] = np.maximum.accumulate(np.clip(row[1], low, high))
            # at 0 and far out the points stop short of the ends
            first, last = (left, right) if self.sign > 0 else (right, left)
            row[1, 0] = low if first > 0 else row[1, 0]
            row[1, -1] = high if np.isfinite(last) and last > 0 else row[1, -1]
            rows.append(row)
        return rows

    def _grid(self, left: float, right: float) -> FloatArray:
        if np.isinf(right):
            steps = np.geomspace(NUDGE * self.ratio.unit, 2 * RADII * self.ratio.radius, SAMPLES)
            return np.append(left, left + steps)
        steps = (right - left) * CLOSE
        if left == 0:
            shares = np.geomspace(1e-22, 0.5, SAMPLES)
            return np.concatenate([right * shares, right - steps[-2::-1], [right]])
        return np.concatenate([[left], left + steps, right - steps[-2::-1], [right]])
