r"""A law off its support, seen from the values f of F = 1/G.

$F(w) = w - m + \int \sigma(dt)/(t - w)$ with a positive measure $\sigma$: F increases on every
*branch*, the stretch between two neighbours among the poles of F (zeros of G) and the intervals of
the law; isolated atoms, where F = 0, lie inside branches. There $F'$ is convex, so that
$r = 1/F' = dw/df$, in [0, 1], rises to one peak and falls. Values at the two ends of a cell and
the peak therefore bound r in between, and a search that uses these bounds is complete.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property

import numpy as np

from hessium._typing import BoolArray, FloatArray, IntArray
from hessium.theory._roots import RealMap, increasing_roots
from hessium.theory.laws.law import Law, gaps_of

INFINITE = 2.0**50
"""In standard deviations: values of F beyond this are taken as one point, G = 0."""

NUDGE = 1e-13
"""Of a gap: the distance from an edge at which transforms are evaluated."""

_SECTIONS = 70
CLOSE = np.concatenate([np.geomspace(1e-12, 0.02, 30), np.linspace(0.03, 0.5, 30)])
"""Where a bounded branch is sampled, from each of its ends, as shares of its length."""


def compactified(f: FloatArray, unit: float) -> FloatArray:
    """f/(unit + |f|): the real line as the interval from -1 to 1."""
    return np.asarray(f / (unit + np.abs(f)))


def from_compactified(t: FloatArray, unit: float) -> FloatArray:
    """The inverse of `compactified`."""
    return np.asarray(unit * t / (1 - np.abs(t)))


def middle(start: float, end: float, unit: float) -> float:
    """A point between two, which may be infinite: the middle of the compactified interval."""
    t = 0.5 * compactified(np.array([start, end]), unit).sum(keepdims=True)
    return float(from_compactified(t, unit)[0])


class Branches(ABC):
    """The branches of one law, in ascending order.

    Attributes:
        low, high: ends in f, shape (n,); infinite at poles.
        peak: where r is largest, shape (n,); NaN where it is constant.
        unit: standard deviation of the law.
    """

    low: FloatArray
    high: FloatArray
    peak: FloatArray
    unit: float

    @cached_property
    def top(self) -> FloatArray:
        """(r, 1 - r) at the peaks, shape (2, n)."""
        return self.at(np.arange(self.peak.size), self.peak)[2:]

    @abstractmethod
    def at(self, k: IntArray, f: FloatArray) -> FloatArray:
        """Rows w, w - f, r and 1 - r at values f on branches k, each precise where it is small."""

    @abstractmethod
    def samples(self) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
        """For each branch ascending values f from end to end, with r and 1 - r."""

    def places(self, k: IntArray, f: FloatArray) -> list[FloatArray]:
        """The points w, one for each law whose sum has these branches."""
        return [self.at(k, f)[0]]

    def bounds(self, knots: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Largest r, its 1 - r, smallest r and its 1 - r, in each cell; shape (n, cells)."""
        rows = []
        for k, (f, r, lack) in enumerate(self.samples()):
            left = np.clip(np.searchsorted(f, knots[:-1], side="right") - 1, 0, f.size - 1)
            right = np.clip(np.searchsorted(f, knots[1:], side="left"), 0, f.size - 1)
            most, least = np.maximum(r[left], r[right]), np.minimum(r[left], r[right])
            near, far = np.minimum(lack[left], lack[right]), np.maximum(lack[left], lack[right])
            inside = (f[left] <= self.peak[k]) & (self.peak[k] <= f[right])
            most = np.where(inside, np.maximum(most, self.top[0, k]), most)
            near = np.where(inside, np.minimum(near, self.top[1, k]), near)
            rows.append((most, near, least, far))
        most, near, least, far = np.array(rows).transpose(1, 0, 2)
        return most, near, least, far

    def extremes(
        self, k: IntArray, ends: FloatArray, values: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Largest and smallest (r, 1 - r) in cells on branches k: at an end, or at the peak.

        Args:
            k: branches, shape (n,).
            ends: of the cells, shape (2, n).
            values: (r, 1 - r) there, shape (2, 2, n).
        """
        (r, lack), (other, other_lack) = values
        inside = (ends[0] < self.peak[k]) & (self.peak[k] < ends[1])
        most, near = np.maximum(r, other), np.minimum(lack, other_lack)
        most = np.where(inside, np.maximum(most, self.top[0, k]), most)
        near = np.where(inside, np.minimum(near, self.top[1, k]), near)
        least = np.array([np.minimum(r, other), np.maximum(lack, other_lack)])
        return np.array([most, near]), least

    def turns(self, k: IntArray, ends: FloatArray) -> tuple[BoolArray, BoolArray]:
        """Whether r is known to rise, and to fall, through cells on branches k."""
        return ~(self.peak[k] < ends[1]), ~(self.peak[k] > ends[0])


class LawBranches(Branches):
    """Branches of a law from its Cauchy transform."""

    def __init__(self, law: Law) -> None:
        self.law, self.unit, self._series = law, law.std(), law._series
        spans = law.support_intervals()
        starts, ends = [-np.inf, *(b for _, b in spans)], [*(a for a, _ in spans), np.inf]
        zeros = _zeros_of_transform(law, self.unit)
        lefts, rights, pole_left, pole_right = [], [], [], []
        for start, end in zip(starts, ends, strict=True):
            inner = [z for z in zeros if start < z < end]
            lefts += [start, *inner]
            rights += [*inner, end]
            pole_left += [np.isinf(start), *[True] * len(inner)]
            pole_right += [*[True] * len(inner), np.isinf(end)]
        self.left, self.right = np.array(lefts), np.array(rights)
        self._nudge(np.array(pole_left), np.array(pole_right))
        self.low = np.where(pole_left, -np.inf, self._reciprocal(self.left)[0])
        self.high = np.where(pole_right, np.inf, self._reciprocal(self.right)[0])
        self.peak = self._peaks()

    def _nudge(self, pole_left: BoolArray, pole_right: BoolArray) -> None:
        width = np.where(np.isfinite(self.right - self.left), self.right - self.left, self.unit)
        for end, pole, sign in ((self.left, pole_left, 1.0), (self.right, pole_right, -1.0)):
            pad = np.maximum(NUDGE * width, 2 * np.spacing(np.where(pole, 0.0, np.abs(end))))
            end += np.where(pole, 0.0, sign * pad)

    def _reciprocal(self, w: FloatArray) -> tuple[FloatArray, FloatArray]:
        """F and 1/F' at real w off the support; at an atom, F = 0 and its weight."""
        with np.errstate(all="ignore"):
            g, slope = (a.real for a in self.law.cauchy_above(w.astype(np.complex128)))
            at_atom = ~(np.isfinite(g) & np.isfinite(slope)) & np.isfinite(w)
            f, r = 1 / g, -g * (g / slope)
            if at_atom.any():
                beside = np.nextafter(w[at_atom], np.inf).astype(np.complex128)
                g, slope = (a.real for a in self.law.cauchy_above(beside))
                f[at_atom], r[at_atom] = 0.0, np.nan_to_num(-g * (g / slope))
        return f, np.clip(r, 0.0, 1.0)

    def _peaks(self) -> FloatArray:
        """Golden section for r on the bounded branches; on the outer ones r rises to infinity."""
        peak = np.where(np.isinf(self.left), -np.inf, np.inf)
        inner = np.flatnonzero(np.isfinite(self.right - self.left))
        if inner.size:
            best = maximum(lambda w: self._reciprocal(w)[1], self.left[inner], self.right[inner])
            peak[inner] = self._reciprocal(best)[0]
        return np.asarray(np.clip(peak, -INFINITE * self.unit, INFINITE * self.unit))

    def at(self, k: IntArray, f: FloatArray) -> FloatArray:
        """Rows w, w - f, r and 1 - r: the inverse of F, or its series at large f."""
        f = np.asarray(f, dtype=np.float64)
        outward = np.where(f > 0, np.isinf(self.right[k]), np.isinf(self.left[k]))
        far = outward & (np.abs(f) > self._series.reach)
        result = np.empty((4, f.size))
        if far.any():
            shift, lack = self._series.outside(f[far])
            result[:, far] = f[far] + shift, shift, 1 - lack, lack
        near = ~far
        if near.any():
            w = self._inverse(k[near], f[near])
            with np.errstate(all="ignore"):
                slope = self.law.cauchy_above(w.astype(np.complex128))[1].real
                # where F is large, f is more accurate than 1/G
                large = np.clip(-1 / (f[near] * (f[near] * slope)), 0.0, 1.0)
            r = np.where(np.abs(f[near]) > self.unit, large, self._reciprocal(w)[1])
            result[:, near] = w, w - f[near], r, 1 - r
        return result

    def _inverse(self, k: IntArray, f: FloatArray) -> FloatArray:
        size = np.where(f == 0, self.unit, np.abs(f))

        def angle(w: FloatArray, which: IntArray) -> tuple[FloatArray, FloatArray]:
            """A function of F that is smooth through atoms and poles and scales with f."""
            scale = size[which]
            with np.errstate(all="ignore"):
                g, slope = (a.real for a in self.law.cauchy_above(w.astype(np.complex128)))
                value = np.where(np.isfinite(g), np.arctan(1 / (scale * g)), 0.0)
                return value, np.asarray(-scale * slope / (1 + (scale * g) ** 2))

        low, high = self.left[k], self.right[k]
        for one in np.unique(k):
            w, values, _, _ = self._table[one]
            here = k == one
            place = np.searchsorted(values, f[here])
            # one more sample on both sides allows for rounding
            low[here] = np.maximum(low[here], w[np.maximum(place - 2, 0)])
            high[here] = np.minimum(high[here], w[np.minimum(place + 1, w.size - 1)])
        w = increasing_roots(angle, 0.25 * np.pi * np.sign(f), low, high)
        huge = np.abs(f) >= INFINITE * self.unit
        return np.where(huge, np.where(f > 0, self.right[k], self.left[k]), w)

    def samples(self) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
        """Points of each branch; on the outer branches the series supplies the far ones."""
        return [(f, r, lack) for _, f, r, lack in self._table]

    @cached_property
    def _table(self) -> list[FloatArray]:
        """For each branch rows w, f, r and 1 - r, ascending."""
        limit, rows = INFINITE * self.unit, []
        ends = np.clip(np.array([self.low, self.high]), -limit, limit).T
        for left, right, (low, high) in zip(self.left, self.right, ends, strict=True):
            if np.isfinite(right - left):
                steps = (right - left) * CLOSE
                w = np.concatenate([[left], left + steps, right - steps[-2::-1], [right]])
                f, r = self._reciprocal(w)
                f = np.clip(f, low, high)  # rounding at a pole may give the wrong sign
                f[0], f[-1] = low, high
                row = np.array([w, f, r, 1 - r])
            else:
                row = self._outer_row(left, right)
            row[1] = np.maximum.accumulate(row[1])
            rows.append(row)
        return rows

    def _outer_row(self, left: float, right: float) -> FloatArray:
        sign, end = (1.0, left) if np.isfinite(left) else (-1.0, right)
        w = end + sign * np.append(0.0, np.geomspace(NUDGE * self.unit, 2 * self._series.reach, 60))
        f, r = self._reciprocal(w)
        keep = sign * f < self._series.reach
        outer = sign * np.geomspace(self._series.reach, INFINITE * self.unit, 60)
        shift, lack = self._series.outside(outer)
        near, far = (
            np.array([w, f, r, 1 - r])[:, keep],
            np.array([outer + shift, outer, 1 - lack, lack]),
        )
        return np.concatenate([near, far], axis=1)[:, :: int(sign)]


def falling_angle(law: Law, unit: float) -> RealMap:
    """-arctan(unit G) and its slope at real points off the support, where G falls."""

    def angle(w: FloatArray, _: IntArray) -> tuple[FloatArray, FloatArray]:
        with np.errstate(all="ignore"):
            g, slope = (a.real for a in law.cauchy_above(w.astype(np.complex128)))
            return -np.arctan(unit * g), -unit * slope / (1 + (unit * g) ** 2)

    return angle


def _zeros_of_transform(law: Law, unit: float) -> list[float]:
    """Zeros of G. It falls in every gap between components and is infinite at atoms."""
    gaps = [(a, b) for a, b in gaps_of(law) if np.isfinite(a) and np.isfinite(b)]
    if not gaps:
        return []
    low, high = np.array(gaps).T

    falling = falling_angle(law, unit)
    atoms = np.array(list(law.atoms))
    pad = np.maximum(NUDGE * (high - low), 2 * np.spacing(np.maximum(np.abs(low), np.abs(high))))
    every = np.arange(low.size)
    rises = np.isin(low, atoms) | (falling(low + pad, every)[0] < 0)
    falls = np.isin(high, atoms) | (falling(high - pad, every)[0] > 0)
    both = rises & falls
    if not both.any():
        return []
    roots = increasing_roots(falling, np.zeros(int(both.sum())), low[both], high[both])
    return [float(x) for x in roots]


def maximum(
    function: Callable[[FloatArray], FloatArray], low: FloatArray, high: FloatArray
) -> FloatArray:
    """The maxima of functions with one peak each on (low, high), by golden section."""
    golden = 0.5 * (np.sqrt(5.0) - 1)
    a, b = low.copy(), high.copy()
    left, right = b - golden * (b - a), a + golden * (b - a)
    f_left, f_right = function(left), function(right)
    for _ in range(_SECTIONS):
        up = f_left < f_right
        a, b = np.where(up, left, a), np.where(up, b, right)
        left, right = (
            np.where(up, right, b - golden * (b - a)),
            np.where(up, a + golden * (b - a), left),
        )
        fresh = function(np.where(up, right, left))
        f_left, f_right = np.where(up, f_right, fresh), np.where(up, fresh, f_left)
    return np.asarray(0.5 * (a + b))
