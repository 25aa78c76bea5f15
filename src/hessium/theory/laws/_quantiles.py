"""Quantiles: the distribution function inverted on each interval, all levels at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hessium._typing import FloatArray

if TYPE_CHECKING:
    from hessium.theory.laws.law import Component, Law

_TABLE = 65
_STEPS = 60


def quantiles(law: Law, q: FloatArray) -> FloatArray:
    """Generalised inverse of the distribution function at levels q, shape (k,)."""
    result = np.full(q.shape, law.support()[0])
    for part in law._components:
        # half a rounding step, so that a level computed as the mass of a component belongs to it
        here = (q > part.below * (1 + 4e-16)) & (q <= part.upto * (1 + 4e-16))
        if part.low == part.high:
            result[here] = part.low
        elif here.any():
            result[here] = _invert(law, part, q[here])
    return result


def _invert(law: Law, part: Component, q: FloatArray) -> FloatArray:
    r"""Bracketed Newton on t in x = a + (b - a) sin^2(pi t / 2), where square roots are smooth."""
    width = part.high - part.low

    def point(t: FloatArray) -> FloatArray:
        return np.asarray(part.low + width * np.sin(0.5 * np.pi * t) ** 2)

    knots = np.linspace(0.0, 1.0, _TABLE)
    heights = np.concatenate([[part.below], law.cdf(point(knots[1:-1])), [part.upto]])
    cell = np.clip(np.searchsorted(heights, q, side="left"), 1, _TABLE - 1)
    low, high = knots[cell - 1], knots[cell]
    rise = np.maximum(heights[cell] - heights[cell - 1], 1e-300)
    t = low + (high - low) * np.clip((q - heights[cell - 1]) / rise, 0.0, 1.0)
    todo = np.arange(q.size)
    for _ in range(_STEPS):
        x = point(t[todo])
        excess = law.cdf(x) - q[todo]
        slope = law.pdf(x) * width * 0.5 * np.pi * np.sin(np.pi * t[todo])
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
