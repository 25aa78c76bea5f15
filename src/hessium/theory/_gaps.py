r"""Where a subordinated law has no mass: a complete scan of the real line outside its summands.

Off the support of the result, the subordination points are real, off the supports of the summands,
and the position x is an increasing function of a parameter t that runs through a gap of a summand.
Every stretch of t with dx/dt > 0 is a gap of the result, and every gap arises so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq

from hessium._typing import FloatArray, IntArray

if TYPE_CHECKING:
    from hessium.theory.law import Law

Curve = Callable[[FloatArray], tuple[FloatArray, FloatArray]]
Slope = Callable[[FloatArray, IntArray], FloatArray]

_GRID = 32
_SECTIONS = 25
_LONG, _CLOSE = 1e3, 1e-14
_NEAREST = 1e-7  # squared, the distance of the outermost sample from the end of a stretch


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A stretch of the parameter on which the position increases.

    Attributes:
        curve: parameter -> position and its derivative.
        start, end: of the parameter; may be infinite.
        low, high: positions there.
    """

    curve: Curve
    start: float
    end: float
    low: float
    high: float


def gaps_of(law: Law) -> list[tuple[float, float]]:
    """The open intervals between the components of a law, with both unbounded ones."""
    spans = sorted([*law.support_intervals(), *((x, x) for x in law.atoms)])
    starts = [-np.inf, *(high for _, high in spans)]
    ends = [*(low for low, _ in spans), np.inf]
    return [(a, b) for a, b in zip(starts, ends, strict=True) if b > a]


def _parameter(s: FloatArray, start: FloatArray, end: FloatArray, unit: float) -> FloatArray:
    """Maps (0, 1) to (start, end), dense at finite ends."""
    bend = np.sin(0.5 * np.pi * s) ** 2
    finite_start, finite_end = np.isfinite(start), np.isfinite(end)
    low, high = np.where(finite_start, start, 0.0), np.where(finite_end, end, 0.0)
    # each end as a distance from itself, so that a point next to an end keeps its digits
    inner = np.where(
        s < 0.5, low + (high - low) * bend, high - (high - low) * np.cos(0.5 * np.pi * s) ** 2
    )
    rising = low + unit * bend / (1 - s) ** 2
    falling = high - unit * np.cos(0.5 * np.pi * s) ** 2 / s**2
    result = np.where(finite_start & finite_end, inner, np.where(finite_start, rising, falling))
    # a long finite stretch is an unbounded gap cut off far away: logarithmic from its near end
    decades = np.log(np.where(finite_start & finite_end, high - low, unit) / (_CLOSE * unit))
    right = np.abs(low) < np.abs(high)
    far_right = low + _CLOSE * unit * np.exp(decades * s)
    far_left = high - _CLOSE * unit * np.exp(decades * (1 - s))
    long = finite_start & finite_end & (high - low > _LONG * unit)
    return np.asarray(np.where(long, np.where(right, far_right, far_left), result))


def rising_stretches(curve: Curve, start: FloatArray, end: FloatArray, unit: float) -> list[Gap]:
    """All stretches with dx/dt > 0 inside the intervals (start, end), found on a grid.

    A maximum of dx/dt that falls between two samples is looked for by golden section.
    """
    s = np.concatenate([[_NEAREST], (np.arange(_GRID) + 0.5) / _GRID, [1 - _NEAREST]])
    rows = np.arange(start.size)

    def slope(level: FloatArray, row: IntArray) -> FloatArray:
        t = _parameter(level, start[row], end[row], unit)
        value: FloatArray = curve(t.ravel())[1].reshape(t.shape)
        return value

    with np.errstate(all="ignore"):
        samples = slope(np.tile(s, (start.size, 1)), rows[:, None] * np.ones(s.size, dtype=int))
        peaks = _peaks(slope, s, samples)
        gaps = []
        for row in rows:
            knots = np.sort(np.append(s, peaks[row]))
            values = slope(knots, np.full(knots.size, row))
            gaps += _stretches(curve, slope, int(row), knots, values, (start, end), unit)
    return gaps


def _peaks(slope: Slope, s: FloatArray, samples: FloatArray) -> FloatArray:
    """For each row the place of the largest slope, refined by golden section."""
    samples = np.where(np.isfinite(samples), samples, -np.inf)
    best = np.clip(samples.argmax(1), 1, s.size - 2)
    low, high = s[best - 1].copy(), s[best + 1].copy()
    golden = 0.5 * (np.sqrt(5.0) - 1)
    rows = np.arange(low.size)
    active = (samples.max(1) < 0) & (samples.max(1) > -4)
    rows, low_a, high_a = rows[active], low[active], high[active]
    for _ in range(_SECTIONS if rows.size else 0):
        left, right = high_a - golden * (high_a - low_a), low_a + golden * (high_a - low_a)
        lower = slope(left, rows) < slope(right, rows)
        low_a, high_a = np.where(lower, left, low_a), np.where(lower, high_a, right)
    peaks = s[best].copy()
    peaks[active] = 0.5 * (low_a + high_a)
    return np.asarray(peaks)


def _stretches(
    curve: Curve,
    slope: Slope,
    row: int,
    knots: FloatArray,
    values: FloatArray,
    ends: tuple[FloatArray, FloatArray],
    unit: float,
) -> list[Gap]:
    positive = values > 0
    if not positive.any():
        return []
    index = np.full(1, row)

    def at(level: float) -> float:
        value = float(slope(np.array([level]), index)[0])
        return value if np.isfinite(value) else -1.0

    def crossing(left: float, right: float) -> float:
        if at(left) * at(right) >= 0:  # a slope at the noise floor: the knot is the edge
            return left if at(left) == 0 else right
        return float(brentq(at, left, right, xtol=1e-16, rtol=9e-16))

    gaps = []
    k = 0
    while k < knots.size:
        if not positive[k]:
            k += 1
            continue
        last = k
        while last + 1 < knots.size and positive[last + 1]:
            last += 1
        first_s = crossing(knots[k - 1], knots[k]) if k else knots[0]
        last_s = crossing(knots[last], knots[last + 1]) if last + 1 < knots.size else knots[-1]
        t = _parameter(np.array([first_s, last_s]), ends[0][index], ends[1][index], unit)
        low, high = curve(t)[0]
        a, b = float(t[0]), float(t[1])
        if k == 0 and np.isinf(ends[0][row]):
            a, low = -np.inf, -np.inf
        if last + 1 == knots.size and np.isinf(ends[1][row]):
            b, high = np.inf, np.inf
        gaps.append(Gap(curve=curve, start=a, end=b, low=float(low), high=float(high)))
        k = last + 1
    return gaps
