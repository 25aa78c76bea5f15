r"""The gaps of a law plus free Levy noise: a complete search in the subordination point.

Positions off the support are $x(u) = u + R(G(u))$ for real u off the support of the base, where
$x'(u) = 1 - A\,Q(G(u)) > 0$, $A = |G'|$, $Q = R'$ (Biane 1997 for the semicircle). In every gap of
the base A is convex in u and G falls; Q is convex in g between its poles. So values at the ends of
a cell of u and at the lowest points bound both, and nothing is inverted. Without a semicircular
part Q vanishes where A is infinite, at atoms: there the same condition, read as $r > q$ with
$r = 1/F'$, $q(f) = Q/f^2$ and $f = 1/g$, has bounds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hessium._typing import BoolArray, FloatArray, IntArray
from hessium.theory._roots import increasing_roots, sign_changes
from hessium.theory.convolution._branches import CLOSE, falling_angle, maximum
from hessium.theory.laws.law import Law, gaps_of
from hessium.theory.laws.levy_triple import LevyTriple

_NUDGE = 1e-15  # of a gap
_NARROW = 1e-7  # of the distance to the base; a gap inside such a cell is narrower than its square
_OUTER = np.geomspace(1e-15, 1e6, 150)  # in standard deviations


class LevySupportSearch:
    """The search for the gaps of one sum.

    Args:
        base: a law.
        noise: of positive variance or rates.
        unit: standard deviation of the sum.
    """

    def __init__(self, base: Law, noise: LevyTriple, unit: float) -> None:
        self.base, self.noise, self.unit = base, noise, unit
        self.gaps = np.array(gaps_of(base))
        jumps = np.array(sorted(noise.jumps))
        cuts = [self._crossings(1 / jump) for jump in noise.jumps]
        poles = np.array(sorted(1 / jump for jump in noise.jumps))
        self._troughs = [
            self._lowest(0, *self.gaps[1:-1].T),
            _trough(self._strength, poles[:-1], poles[1:]),
        ]
        if noise.variance == 0:
            zeros = self._crossings(0.0)
            cuts.append(zeros)
            self._troughs.append(self._lowest(2, *_between(base, zeros)))
            self._troughs.append(_trough(self._weakness, jumps[:-1], jumps[1:]))
        self._cuts = np.sort(np.concatenate([np.zeros(0), *cuts]))

    def slopes(self, u: FloatArray) -> FloatArray:
        """Rows A, Q, F', q, G, F and x' at u; infinite at poles, where x' is minus infinity."""
        with np.errstate(all="ignore"):
            g, slope = (a.real for a in self.base.cauchy_above(u.astype(np.complex128)))
            f, size = 1 / g, np.abs(slope)
            strength, weakness = self._strength(g), self._weakness(f)
            rate = np.where(
                np.abs(f) > self.unit, size * strength, (np.sqrt(size) * f) ** 2 * weakness
            )
            rows = np.array([size, strength, (np.sqrt(size) * f) ** 2, weakness, g, f, 1 - rate])
            rows[-1] = np.where(np.isnan(rate), -np.inf, rows[-1])
            return rows

    def _strength(self, g: FloatArray) -> FloatArray:
        """Q(g), finite at g = 0."""
        with np.errstate(all="ignore"):
            parts = [
                rate * (jump / (1 - jump * g)) ** 2
                for rate, jump in zip(self.noise.rates, self.noise.jumps, strict=True)
            ]
            return np.asarray(sum(parts, np.full(g.shape, float(self.noise.variance))))

    def _weakness(self, f: FloatArray) -> FloatArray:
        """q(f), finite at f = 0 without a semicircular part."""
        with np.errstate(all="ignore"):
            return np.asarray(self.noise.remainder(f.astype(np.complex128))[1].real)

    def stretches(self) -> list[tuple[float, float]]:
        """Intervals of u on which x increases, ascending; the outer two are unbounded."""
        low, high, gap = self._cells()
        at_low, at_high = self.slopes(low), self.slopes(high)
        found = []
        while low.size:
            most, least, single = self._bounds(low, high, at_low, at_high)
            starts, ends = at_low[-1] > 0, at_high[-1] > 0
            near = np.minimum(low - self.gaps[gap, 0], self.gaps[gap, 1] - high)
            rounding = 8 * np.spacing(np.maximum(np.abs(low), np.abs(high)))
            narrow = high - low <= np.maximum(_NARROW * near, rounding)
            undecided = most & ~least
            root = undecided & (starts != ends) & (narrow | single)
            keep = least | (undecided & narrow & starts & ends)
            found += [np.array([low, high])[:, keep], self._positive(low[root], high[root])]
            more = undecided & ~narrow & ~root
            low, high, gap = low[more], high[more], np.tile(gap[more], 2)
            middle = 0.5 * (low + high)
            fresh = self.slopes(middle)
            low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
            at_low = np.concatenate([at_low[:, more], fresh], axis=1)
            at_high = np.concatenate([fresh, at_high[:, more]], axis=1)
        cells = np.concatenate(found, axis=1)
        cells = cells[:, np.argsort(cells[0])]
        breaks = np.flatnonzero(cells[0, 1:] != cells[1, :-1])
        starts = cells[0, np.append(0, breaks + 1)]
        ends = cells[1, np.append(breaks, cells.shape[1] - 1)]
        starts[0], ends[-1] = -np.inf, np.inf
        return list(zip(starts.tolist(), ends.tolist(), strict=True))

    def _bounds(
        self, low: FloatArray, high: FloatArray, at_low: FloatArray, at_high: FloatArray
    ) -> tuple[BoolArray, BoolArray, BoolArray]:
        """Whether x' can be positive in a cell, whether it must be, and whether A Q is monotone."""
        most, least = np.ones(low.size, dtype=bool), np.zeros(low.size, dtype=bool)
        single = np.zeros(low.size, dtype=bool)
        # A in u and Q in g, which falls; F' in u and q in F, which rises
        ranges = ((low, high), (at_high[4], at_low[4]), (low, high), (at_low[5], at_high[5]))
        for row in range(0, len(self._troughs), 2):
            small, large = np.ones((2, low.size))
            same = np.zeros(low.size)
            with np.errstate(all="ignore"):
                for k in (row, row + 1):
                    one, other = at_low[k], at_high[k]
                    lowest, turns = self._within(k, *ranges[k])
                    small = small * np.minimum(np.minimum(one, other), lowest)
                    large = large * np.maximum(one, other)
                    same += np.where(turns, np.nan, np.sign(other - one))
            most &= ~(small >= 1)
            least |= large < 1
            single |= np.abs(same) >= 1
        return most, least, single

    def _within(self, k: int, low: FloatArray, high: FloatArray) -> tuple[FloatArray, BoolArray]:
        """The minimum of function k inside each cell, and whether there is one."""
        where, values = self._troughs[k]
        if not where.size:
            return np.full(low.size, np.inf), np.zeros(low.size, dtype=bool)
        # the position of a minimum is known to rounding only
        pad = 1e-7 * (high - low)
        place = np.searchsorted(where, low - pad)
        inside = (place < where.size) & (where[np.minimum(place, where.size - 1)] <= high + pad)
        return np.where(inside, values[np.minimum(place, where.size - 1)], np.inf), inside

    def _positive(self, low: FloatArray, high: FloatArray) -> FloatArray:
        """The positive parts of cells with one change of sign."""
        if not low.size:
            return np.array([low, high])
        root = sign_changes(lambda u: np.maximum(self.slopes(u)[-1], -10.0), low, high)
        rising = self.slopes(high)[-1] > 0
        return np.array([np.where(rising, root, low), np.where(rising, high, root)])

    def _cells(self) -> tuple[FloatArray, FloatArray, IntArray]:
        """First cells, dense at the ends of gaps and cut where Q or q have poles; their gaps."""
        lows, highs, numbers = [], [], []
        shares = np.append(_NUDGE * np.array([1.0, 30.0]), CLOSE)
        for k, (left, right) in enumerate(self.gaps):
            if np.isinf(left):
                u = right - self.unit * _OUTER
            elif np.isinf(right):
                u = left + self.unit * _OUTER
            else:
                u = np.concatenate(
                    [left + (right - left) * shares, right - (right - left) * shares]
                )
            inside = self._cuts[(self._cuts > left) & (self._cuts < right)]
            u = np.unique(np.concatenate([u, inside]))
            u = u[(u > left) & (u < right)]
            lows.append(u[:-1])
            highs.append(u[1:])
            numbers.append(np.full(max(u.size - 1, 0), k))
        return np.concatenate(lows), np.concatenate(highs), np.concatenate(numbers)

    def _lowest(self, row: int, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
        return _trough(lambda u: self.slopes(u)[row], low, high)

    def _crossings(self, level: float) -> FloatArray:
        """Where G takes a value: at most once in each gap of the base."""
        ends = self.gaps.copy()
        ends[0, 0], ends[-1, 1] = ends[0, 1] - 1e9 * self.unit, ends[-1, 0] + 1e9 * self.unit
        width = ends[:, 1] - ends[:, 0]
        low, high = ends[:, 0] + _NUDGE * width, ends[:, 1] - _NUDGE * width
        low = np.maximum(low, np.nextafter(ends[:, 0], np.inf))
        high = np.minimum(high, np.nextafter(ends[:, 1], -np.inf))
        low[-1] = np.nextafter(ends[-1, 0], np.inf)
        high[0] = np.nextafter(ends[0, 1], -np.inf)

        falling = falling_angle(self.base, self.unit)
        target = -np.arctan(self.unit * level)
        every = np.arange(low.size)
        hit = (falling(low, every)[0] < target) & (falling(high, every)[0] > target)
        if not hit.any():
            return np.zeros(0)
        return increasing_roots(falling, np.full(int(hit.sum()), target), low[hit], high[hit])


def _between(base: Law, zeros: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The bounded stretches between neighbours among the zeros of G and the intervals."""
    spans = base.support_intervals()
    lows = np.concatenate([[b for _, b in spans], zeros])
    highs = np.concatenate([[a for a, _ in spans], zeros])
    lows.sort()
    highs.sort()
    if not lows.size or lows[0] >= highs[-1]:
        return np.zeros(0), np.zeros(0)
    return lows[:-1], highs[1:]


def _trough(
    function: Callable[[FloatArray], FloatArray], low: FloatArray, high: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The minima of convex functions on (low, high): positions and values."""
    if not low.size:
        return np.zeros(0), np.zeros(0)
    where = maximum(lambda t: -np.nan_to_num(function(t), nan=np.inf), low, high)
    return where, function(where)
