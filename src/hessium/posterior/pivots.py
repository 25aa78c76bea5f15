r"""What intervals cover, from refits with a functional of the parameters held.

Let x be the distance of the functional from its estimate in standard deviations, and h(x) the root
of the deviance that is left after a refit of everything else, negative for x < 0. At the refit the
standard deviation of the functional is $1/h'(x)$ of that at the estimate. So if the estimate were
the truth and an experiment gave the refit at x, the truth would lie $w(x) = x\,h'(x)$ standard
deviations of that experiment away, and its interval of t standard deviations would miss the truth
where $|w| > t$. Errors that lead to x and further have the probability $1 - F(|h(x)|)$.

For a model that is linear in its parameters h(x) = w(x) = x. Along one parameter this is the
coverage itself; errors of the other directions, which change h' as well, are left out.

Source: signed roots as in Bates and Watts 1988, "Nonlinear Regression Analysis", section 6.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hessium._typing import BoolArray, FloatArray

_LEAST, _MOST = 0.2, 1.2  # misses over 1 - confidence with which an interval is believed
_FAR = 2.0  # distances over t up to which refits go
_NEAR = 0.03  # relative difference of w and t at which they end
_POINTS = 4  # refits of one side


class Point(NamedTuple):
    """A refit: distance from the estimate, root of the deviance, and w, all not negative."""

    distance: float
    root: float
    pivot: float


def point_of(distance: float, deviance: float, slope: float) -> Point:
    r"""From the deviance D and the slope $\frac12 D'$ towards larger distances: $h' = D'/(2h)$."""
    root = math.sqrt(max(deviance, 0.0))
    return Point(distance, root, max(distance * slope / root, 0.0) if root > 0 else 0.0)


def root_at(points: Sequence[Point], t: float) -> float:
    """The root of the deviance at which w = t, between points or a little beyond; infinite if none.

    Args:
        points: of one side.
        t: standard deviations of the interval.
    """
    known = [Point(0.0, 0.0, 0.0), *sorted(points)]
    for before, after in pairwise(known):
        if after.pivot >= t:
            share = (t - before.pivot) / (after.pivot - before.pivot)
            return before.root + share * (after.root - before.root)
    if not points:
        return math.inf
    before, after = known[-2:]
    rise = after.pivot - before.pivot
    if rise <= 0 or (step := (t - after.pivot) / rise) > 0.5:
        return math.inf
    return after.root + step * (after.root - before.root)


def root_by_search(evaluate: Callable[[float], Point | None], t: float) -> tuple[float, bool]:
    """The root of the deviance at which w = t, and whether the refits within t converged.

    Beyond the end of the interval a refit may fail: then what was found until there counts.

    Args:
        evaluate: distance -> refit; None if it does not converge.
        t: standard deviations of the interval.
    """
    points: list[Point] = []
    x = t
    while len(points) < _POINTS:
        found = evaluate(x)
        if found is None and x <= t:
            return math.nan, False
        if found is None:
            break
        points.append(found)
        if abs(found.pivot - t) <= _NEAR * t or (x >= _FAR * t and found.pivot < t):
            break
        x = _next(points, t)
    return root_at(points, t), True


def _next(points: Sequence[Point], t: float) -> float:
    """The distance that straight lines between the points suggest."""
    known = [Point(0.0, 0.0, 0.0), *sorted(points)]
    for before, after in pairwise(known):
        if after.pivot >= t:
            share = (t - before.pivot) / (after.pivot - before.pivot)
            return before.distance + min(max(share, 0.1), 0.9) * (after.distance - before.distance)
    before, after = known[-2:]
    rise = after.pivot - before.pivot
    step = (t - after.pivot) / rise if rise > 0 else math.inf
    return after.distance + min(max(step, 0.2), 1.0) * min(t, after.distance - before.distance)


def believed(misses: FloatArray, e: float) -> BoolArray:
    """Whether an interval that misses with these probabilities on its two sides may be believed.

    Args:
        misses: last dimension 2.
        e: nominal probability, 1 - confidence.
    """
    total = misses.sum(axis=-1)
    return np.asarray((total >= _LEAST * e) & (total <= _MOST * e))
