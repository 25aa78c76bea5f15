"""Where a grid of a slice gets more points."""

from __future__ import annotations

import numpy as np

from hessium._typing import FloatArray

_LOG_FROM = 100.0  # ratio of the largest to the lowest value, from which heights are logarithmic
_SHARE = 0.25  # of the largest error: intervals with more are halved


def refined(axes: tuple[FloatArray, ...], heights: FloatArray, most: int) -> tuple[FloatArray, ...]:
    r"""Axes with one more point in each interval in which the surface is least smooth.

    In an interval of length h, linear interpolation along the axis is wrong by up to
    $\tfrac18 h^2 \max |f''|$. Second divided differences at both ends stand for $f''$, on the
    worst of the lines that are parallel to the axis. Intervals of either axis in which the error
    exceeds a quarter of the largest one are halved; all other points stay.

    Args:
        axes: coordinates along each direction, increasing, three points or more.
        heights: finite, one axis for each direction.
        most: points of an axis; where more would be needed, the intervals of the largest errors.
    """
    errors = [_errors(axis, np.moveaxis(heights, i, 0)) for i, axis in enumerate(axes)]
    largest = max(float(error.max()) for error in errors)
    found = []
    for axis, error in zip(axes, errors, strict=True):
        middles = (axis[:-1] + axis[1:]) / 2
        worst = np.argsort(-error, kind="stable")[: most - len(axis)]
        found.append(np.sort(np.r_[axis, middles[worst[error[worst] > _SHARE * largest]]]))
    return tuple(found)


def _errors(axis: FloatArray, heights: FloatArray) -> FloatArray:
    """Error of interpolation in each interval of the first axis of the heights."""
    steps = np.diff(axis)
    slopes = np.diff(heights.reshape(len(axis), -1), axis=0) / steps[:, None]
    bend = np.abs(np.diff(slopes, axis=0) / ((steps[1:] + steps[:-1]) / 2)[:, None]).max(axis=1)
    ends = np.r_[bend[0], bend, bend[-1]]
    return np.asarray(steps**2 / 8 * np.maximum(ends[:-1], ends[1:]))


def is_logarithmic(finite: FloatArray) -> bool:
    """Whether finite values span so much that logarithms are drawn."""
    low, high = float(finite.min(initial=np.inf)), float(finite.max(initial=0.0))
    return 0 < low < np.inf and high > _LOG_FROM * low


def heights_of(values: FloatArray) -> FloatArray:
    """Values as they are drawn: finite, and logarithms where they span much."""
    finite = np.isfinite(values)
    top = values[finite].max(initial=0.0) if finite.any() else 0.0
    heights = np.where(finite, values, top)
    return np.log(heights) if is_logarithmic(values[finite]) else heights
