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

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import lambertw

from hessium._typing import BoolArray, FloatArray, IntArray
from hessium.theory._branches import CLOSE, NUDGE, Branches, gaps_of, maximum
from hessium.theory._cumulants import reverted
from hessium.theory._solver import increasing_roots
from hessium.theory.law import Law

LIMIT = 35.0
"""Values of f beyond this, E beyond e^35, are taken as one point."""

_ORDER = 12
_RADII = 100.0
_SAMPLES = 90


class Ratio:
    r"""T of a law on the positive half-line at real z off the support, and what follows from it.

    Attributes:
        reach: values of |T| up to which $S(T) = (1 + T)/(zT)$ is summed as a power series, which
            keeps the digits that differences lose.
    """

    def __init__(self, law: Law) -> None:
        self.law, self.mean, self.unit = law, law.mean(), law.std()
        self.low, self.high = law.support()
        self.radius = max(self.high - self.mean, self.mean - self.low)
        self.reach = self.mean / (_RADII * self.radius)
        with np.errstate(all="ignore"):
            cumulants = np.array(law.free_cumulants(_ORDER)) / self.mean ** np.arange(1, _ORDER + 1)
        cumulants[~np.isfinite(cumulants)] = 0.0  # high powers of extreme scales
        # g R(g) = y and S = g/y
        series = reverted(cumulants)
        self._series = series[::-1]
        self._slope = (np.arange(_ORDER) * series)[:0:-1]

    def at(self, z: FloatArray) -> FloatArray:
        """Rows T, 1 + T and T'; infinite at atoms."""
        with np.errstate(all="ignore"):
            g, slope = (a.real for a in self.law._transform(z.astype(np.complex128)))
            return np.array([z * g - 1, z * g, g + z * slope])

    def far(self, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """W - f and 1 - r where T = y, |y| <= reach."""
        s, slope = np.polyval(self._series, y), np.polyval(self._slope, y)
        return np.asarray(np.log(self.mean) - np.log(s)), np.asarray(-y * (1 + y) * slope / s)

    def rates(
        self, z: FloatArray, known: tuple[FloatArray, FloatArray] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """R and 1 - r at z, each precise where it is small.

        Args:
            z: not zero.
            known: T and 1 + T where they are known better than z tells them, else NaN.
        """
        z = np.asarray(z, dtype=np.float64)
        with np.errstate(all="ignore"):
            g, slope = (a.real for a in self.law._transform(z.astype(np.complex128)))
            at_atom = ~(np.isfinite(g) & np.isfinite(slope * z))
            if at_atom.any():
                z = np.where(at_atom, np.nextafter(z, np.inf), z)
                again = self.law._transform(z[at_atom].astype(np.complex128))
                g[at_atom], slope[at_atom] = (a.real for a in again)
            t, above = z * g - 1, z * g
            if known is not None:
                t = np.where(np.isnan(known[0]), t, known[0])
                above = np.where(np.isnan(known[1]), above, known[1])
            r = -(t / z) * (above / (g + z * slope))
            # 1/r - 1 = z (F' - 1)/(z - F)
            lack = -r * z * (slope / g + g) / t
            return r, np.where(np.abs(r) > 0.5, lack, 1 - r)

    def logarithm(self, z: FloatArray) -> FloatArray:
        """The f = log|E| at z; 0 at atoms."""
        t, above, _ = self.at(z)
        with np.errstate(all="ignore"):
            large = np.isinf(t) | np.isnan(t) | (t > 1) | (t < -2)
            inverse = np.where(np.isfinite(t), 1 / t, 0.0)
            return np.where(
                large, np.log1p(np.where(large, inverse, 0.0)), np.log(np.abs(above / t))
            )

    def inverse(self, f: FloatArray, sign: float, low: FloatArray, high: FloatArray) -> FloatArray:
        """The z in (low, high) where E = sign exp(f)."""
        scale = np.exp(f)

        def angle(z: FloatArray, which: IntArray) -> tuple[FloatArray, FloatArray]:
            size, (t, above, slope) = scale[which], self.at(z)
            with np.errstate(all="ignore"):
                value = np.arctan(above / (size * t))
                rise = -slope * (size / ((size * t) ** 2 + above**2))
                return np.where(np.isfinite(value), value, np.arctan(1 / size)), rise

        return increasing_roots(angle, np.full(f.size, 0.25 * np.pi * sign), low, high)


def values_of(f: FloatArray, sign: float) -> tuple[FloatArray, FloatArray]:
    """T and 1 + T where E = sign exp(f)."""
    with np.errstate(all="ignore"):
        if sign > 0:
            return 1 / np.expm1(f), -1 / np.expm1(-f)
        return -1 / (1 + np.exp(f)), 1 / (1 + np.exp(-f))


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of z > 0 on which E is finite and has one sign.

    Attributes:
        left, right: its ends; a `left` of 0 and a `right` of infinity are ends of the half-line.
        left_edge, right_edge: whether an end is an edge of the law, where E is neither 0 nor
            infinite.
        sign: of E.
    """

    left: float
    right: float
    left_edge: bool
    right_edge: bool
    sign: float


def pieces_of(ratio: Ratio) -> list[Piece]:
    """All pieces in ascending order; T falls from atom to atom, through 0 and then through -1."""
    law = ratio.law
    breaks = [*_crossings(ratio, 0.0), *_crossings(ratio, -1.0)]
    spans = [(a, b) for a, b in law.support_intervals() if b > 0]
    starts, ends = [0.0, *(b for _, b in spans)], [*(a for a, _ in spans), np.inf]
    found = []
    for start, end in zip(starts, ends, strict=True):
        if end <= start:
            continue
        inner = sorted(z for z in breaks if start < z < end)
        lefts, rights = [start, *inner], [*inner, end]
        for k, (left, right) in enumerate(zip(lefts, rights, strict=True)):
            middle = left + min(0.5 * (right - left), ratio.unit)
            t, above, _ = ratio.at(np.array([middle]))[:, 0]
            negative = t < 0 < above
            found.append(
                Piece(
                    left=left,
                    right=right,
                    left_edge=k == 0 and left > 0,
                    right_edge=k == len(inner) and bool(np.isfinite(right)),
                    sign=-1.0 if negative else 1.0,
                )
            )
    return found


def _crossings(ratio: Ratio, level: float) -> list[float]:
    """Where T = level between components: there T falls, from infinity at an atom."""
    law = ratio.law
    gaps = [(max(a, 0.0), b) for a, b in gaps_of(law) if np.isfinite(b) and b > 0]
    if not gaps:
        return []
    low, high = np.array(gaps).T
    row = 1 if level else 0

    def falling(z: FloatArray, _: IntArray) -> tuple[FloatArray, FloatArray]:
        values = ratio.at(z)
        return -np.arctan(values[row]), -values[2] / (1 + values[row] ** 2)

    atoms = np.array(list(law.atoms))
    pad = np.maximum(NUDGE * (high - low), 2 * np.spacing(high))
    every = np.arange(low.size)
    # at 0 itself T is one less than the weight of the atom there
    rises = np.isin(low, atoms[atoms > 0]) | (falling(low + pad, every)[0] < 0)
    rises = np.where(low == 0, (level != 0) & np.isin(0.0, atoms), rises)
    falls = np.isin(high, atoms) | (falling(high - pad, every)[0] > 0)
    both = rises & falls
    if not both.any():
        return []
    roots = increasing_roots(falling, np.zeros(int(both.sum())), low[both], high[both])
    return [float(x) for x in roots]


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
                    far = np.geomspace(start, max(LIMIT, 2 * start), _SAMPLES)
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
            steps = np.geomspace(NUDGE * self.ratio.unit, 2 * _RADII * self.ratio.radius, _SAMPLES)
            return np.append(left, left + steps)
        steps = (right - left) * CLOSE
        if left == 0:
            shares = np.geomspace(1e-22, 0.5, _SAMPLES)
            return np.concatenate([right * shares, right - steps[-2::-1], [right]])
        return np.concatenate([[left], left + steps, right - steps[-2::-1], [right]])


class NegativeBranch(Branches):
    """The half-line z < 0. Rows give 1 - b for r and b for 1 - r, b = r - 1 = c/(1 - c) >= 0."""

    def __init__(self, ratio: Ratio) -> None:
        self.ratio = ratio
        weight = ratio.law.atoms.get(0.0, 0.0)
        # |E| falls from infinity, at minus infinity, to weight/(1 - weight)
        self.low = np.array([np.log(weight / (1 - weight)) if weight else -np.inf])
        self.high = np.array([np.inf])
        self.peak = np.array([np.nan])

    def at(self, k: IntArray, f: FloatArray) -> FloatArray:
        """Rows w, w - f, 1 - b and b."""
        f = np.asarray(f, dtype=np.float64)
        y, above = values_of(f, -1.0)
        far = np.abs(y) <= self.ratio.reach
        result = np.empty((4, f.size))
        if far.any():
            shift, lack = self.ratio.far(y[far])
            result[:, far] = f[far] + shift, shift, 1 + lack, -lack
        near = ~far
        if near.any():
            # E lies between z/mean and z times its slope at 0
            z = self._inverse(f[near])
            with np.errstate(all="ignore"):
                w = np.log(-z)
                large = np.abs(f[near]) > 1
                known = np.where(large, y[near], np.nan), np.where(large, above[near], np.nan)
                b = np.maximum(-self.ratio.rates(z, known)[1], 0.0)
            b = np.where(z == 0, np.inf, b)
            result[:, near] = w, w - f[near], 1 - b, b
        return result

    def _inverse(self, f: FloatArray) -> FloatArray:
        z, values = self._table
        place = np.searchsorted(values, f)
        ends = np.array([np.maximum(place - 2, 0), np.minimum(place + 1, z.size - 1)])
        low, high = np.sort(z[ends], axis=0)
        high = np.where(ends[0] == 0, 0.0, high)
        found = self.ratio.inverse(f, -1.0, low, high)
        return np.where(f <= self.low[0], 0.0, found)

    @cached_property
    def _table(self) -> tuple[FloatArray, FloatArray]:
        """Rows z and f, ascending in f."""
        size = self.ratio.mean * np.geomspace(
            1e-30, 4 * _RADII * max(1.0, 1 / self.ratio.reach), 400
        )
        f = np.maximum.accumulate(self.ratio.logarithm(-size))
        return -size, f

    def samples(self) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
        """None are needed: `bounds` looks at the knots."""
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
