"""The branches of a free sum, as explicit functions of those of its parts."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from hessium._typing import FloatArray, IntArray
from hessium.theory.convolution._branches import (
    CLOSE,
    INFINITE,
    Branches,
    compactified,
    from_compactified,
    maximum,
)
from hessium.theory.convolution._support_search import position, rising_stretches, slope

_LEAST = 1e-14  # branches on which r stays below this do not contribute to a gap
_KNOTS = 2.0 ** np.arange(-50, 51)


class SumBranches(Branches):
    r"""Branches of $\mu \boxplus \nu$: $w(f) = w_\mu(f) + w_\nu(f) - f$ where it increases."""

    def __init__(self, first: Branches, second: Branches) -> None:
        self.first, self.second = first, second
        self.unit = float(np.hypot(first.unit, second.unit))
        limit = INFINITE * self.unit
        found = rising_stretches(first, second, self.unit)
        self._pairs = np.array([(s.first, s.second) for s in found], dtype=np.int64).T
        self.low, self.high = np.array([(s.start, s.end) for s in found]).T
        self.low = np.where(self.low <= -limit, -np.inf, self.low)
        self.high = np.where(self.high >= limit, np.inf, self.high)
        self.peak = self._peaks()
        keep = self.top[0] > _LEAST
        self._pairs, self.peak = self._pairs[:, keep], self.peak[keep]
        self.low, self.high = self.low[keep], self.high[keep]
        del self.top

    def _values(self, k: IntArray, f: FloatArray) -> tuple[FloatArray, FloatArray]:
        i, j = self._pairs[:, k]
        return self.first.at(i, f), self.second.at(j, f)

    def at(self, k: IntArray, f: FloatArray) -> FloatArray:
        """Rows w, w - f, r and 1 - r, sums of those of the parts."""
        one, two = self._values(k, f)
        r, lack = slope(one[2:], two[2:]), one[3] + two[3]
        return np.array([position(one, two), one[1] + two[1], r, lack])

    def places(self, k: IntArray, f: FloatArray) -> list[FloatArray]:
        """The points of all laws that are added."""
        i, j = self._pairs[:, k]
        return [*self.first.places(i, f), *self.second.places(j, f)]

    def _bounded(self, f: FloatArray) -> FloatArray:
        """The compactified value of F."""
        return compactified(np.clip(f, -INFINITE * self.unit, INFINITE * self.unit), self.unit)

    def _peaks(self) -> FloatArray:
        """Golden section for r; on the outer branches r rises up to infinity."""
        every = np.arange(self.low.size)

        def rate(t: FloatArray) -> FloatArray:
            return self.at(every, from_compactified(t, self.unit))[2]

        t = maximum(rate, self._bounded(self.low), self._bounded(self.high))
        outer = [self.at(every, np.full(every.size, s * INFINITE * self.unit))[2] for s in (-1, 1)]
        peak = from_compactified(t, self.unit)
        limit = INFINITE * self.unit
        peak = np.where(np.isinf(self.low) & (outer[0] > 0.5), -limit, peak)
        return np.where(np.isinf(self.high) & (outer[1] > 0.5), limit, peak)

    def samples(self) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
        """Powers of two and points dense at the ends of each branch."""
        return self._table

    @cached_property
    def _table(self) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
        low, high = self._bounded(self.low), self._bounded(self.high)
        limit = INFINITE * self.unit
        powers = self.unit * np.concatenate([-_KNOTS[::-1], [0.0], _KNOTS])
        every, numbers = [], []
        for k, (left, right) in enumerate(zip(low, high, strict=True)):
            steps = (right - left) * CLOSE
            t = np.concatenate([left + steps, right - steps])
            ends = np.clip([self.low[k], self.high[k]], -limit, limit)
            f = np.unique(np.concatenate([powers, from_compactified(t, self.unit), ends]))
            f = f[(f >= ends[0]) & (f <= ends[1])]
            every.append(f)
            numbers.append(np.full(f.size, k))
        if not every:
            return []
        rows = self.at(np.concatenate(numbers), np.concatenate(every))[2:]
        cuts = np.cumsum([f.size for f in every])[:-1]
        parts = np.split(rows, cuts, axis=1)
        return [(f, part[0], part[1]) for f, part in zip(every, parts, strict=True)]
