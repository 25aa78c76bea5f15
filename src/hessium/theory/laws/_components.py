"""Components of a law (intervals and atoms) with their masses, and quantiles on each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from hessium._typing import FloatArray, Real

RealFunction: TypeAlias = Callable[[FloatArray], FloatArray]

_TABLE = 65
_STEPS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """An interval of the continuous part or an atom (low = high), with the mass around it.

    Attributes:
        low, high: its ends.
        below, upto: mass of (-inf, low) and of (-inf, high].
    """

    low: float
    high: float
    below: float
    upto: float


def components(
    intervals: Iterable[tuple[Real, Real]],
    atoms: Mapping[float, float],
    mass_below: Callable[[float], float],
) -> tuple[Component, ...]:
    """Intervals and atoms in ascending order, with the mass below and up to each.

    Args:
        intervals: of the continuous part.
        atoms: {location: weight}.
        mass_below: the mass below a point between two components.
    """
    spans = [*intervals, *((x, x) for x in atoms)]
    spans.sort()
    levels = [0.0]
    for (_, end), (start, _) in pairwise(spans):
        middle = end + 0.5 * (start - end)
        # an atom may touch an interval, without a gap between them
        levels.append(mass_below(middle) if end < middle < start else np.nan)
    levels.append(1.0)
    for k, (start, end) in enumerate(spans):
        if start == end and np.isnan(levels[k + 1]):
            levels[k + 1] = levels[k] + atoms[start]
    for k, (start, end) in reversed(list(enumerate(spans))):
        if start == end and np.isnan(levels[k]):
            levels[k] = levels[k + 1] - atoms[start]
    return tuple(
        Component(low=low, high=high, below=levels[k], upto=levels[k + 1])
        for k, (low, high) in enumerate(spans)
    )


def quantiles(
    parts: tuple[Component, ...], cdf: RealFunction, pdf: RealFunction, q: FloatArray
) -> FloatArray:
    """Generalised inverse of the distribution function at levels q, shape (k,)."""
    result = np.full(q.shape, parts[0].low)
    for part in parts:
        # a tolerance of rounding, so that a level equal to the mass of a component belongs to it
        here = (q > part.below * (1 + 4e-16)) & (q <= part.upto * (1 + 4e-16))
        if part.low == part.high:
            result[here] = part.low
        elif here.any():
            result[here] = _invert(part, cdf, pdf, q[here])
    return result


def _invert(part: Component, cdf: RealFunction, pdf: RealFunction, q: FloatArray) -> FloatArray:
    r"""Bracketed Newton on t in x = a + (b - a) sin^2(pi t / 2), where square roots are smooth."""
    width = part.high - part.low

    def point(t: FloatArray) -> FloatArray:
        return np.asarray(part.low + width * np.sin(0.5 * np.pi * t) ** 2)

    knots = np.linspace(0.0, 1.0, _TABLE)
    heights = np.concatenate([[part.below], cdf(point(knots[1:-1])), [part.upto]])
    cell = np.clip(np.searchsorted(heights, q, side="left"), 1, _TABLE - 1)
    low, high = knots[cell - 1], knots[cell]
    rise = np.maximum(heights[cell] - heights[cell - 1], 1e-300)
    t = low + (high - low) * np.clip((q - heights[cell - 1]) / rise, 0.0, 1.0)
    todo = np.arange(q.size)
    for _ in range(_STEPS):
        x = point(t[todo])
        excess = cdf(x) - q[todo]
        slope = pdf(x) * width * 0.5 * np.pi * np.sin(np.pi * t[todo])
        low[todo] = np.where(excess < 0, t[todo], low[todo])
        high[todo] = np.where(excess >= 0, t[todo], high[todo])
        with np.errstate(all="ignore"):
            fresh = t[todo] - excess / slope
        inside = (fresh > low[todo]) & (fresh < high[todo])
        fresh = np.where(inside, fresh, 0.5 * (low[todo] + high[todo]))
        fresh = np.where(np.abs(excess) <= 4e-16, t[todo], fresh)
        moved = np.abs(fresh - t[todo])
        t[todo] = fresh
        todo = todo[moved > 4e-16]
        if not todo.size:
            break
    return point(t)
