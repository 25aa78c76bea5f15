r"""What intervals cover, from refits with a functional of the parameters held.

Notation: x is the distance of the functional from its estimate in standard deviations. h(x) is the
signed root of the deviance that is left after all other parameters were refitted, negative for
x < 0. F is the distribution function of errors in standard deviations: normal, or Student's t where
the noise is estimated.

Assumptions: h, as a function of the data, has the law F around the truth; and an experiment whose
estimate is x reports the standard deviation $1/h'(x)$, in units of the one at hand.

If the truth lies at $x_0$, the interval of t standard deviations of an experiment with estimate x
misses it where $|x - x_0|\,h'(x) > t$. The probability of these experiments is the integral of
$F'(h(x) - h(x_0))\,h'(x)$ over such x. It is computed for the estimate as the truth, $x_0 = 0$, and
for other truths within the interval of 90 % of the likelihood, $|h(x_0)| \le z$. That interval
contains the truth in about 90 % of experiments, so in as many an interval that is bad at the truth
is found to be bad.

For a model that is linear in its parameters h(x) = x, and all of these are the nominal coverage.
Along one parameter this is the coverage itself; errors of the other directions, which change h' as
well, are left out.

Source: signed roots as in Bates and Watts 1988, "Nonlinear Regression Analysis", section 6.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.interpolate
import scipy.optimize

from hessium._typing import BoolArray, FloatArray

LIKELY = 0.9
"""Confidence of the interval of truths for which the coverage is computed."""

SHIFTED = 0.25
"""Standard deviations from the minimum up to which an interval has the right centre."""

_LEAST, _MOST = 0.4, 1.4  # misses over 1 - confidence with which an interval is believed
_SIDES = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])  # truths, in units of the ends of that interval
_LINEAR = 0.02  # relative difference of h, h' x and x at which two refits are enough
FAR = 3.0  # distances over t up to which refits go
_NEAR = 0.02  # of t: a refit this near to an end is one at it
_BEYOND = 1.25  # end of the curve over the distance of the last refit
_STRAIGHT = 2.5  # the same where the model is nearly linear
_GRID = 400  # points of one side


class Point(NamedTuple):
    """A refit: distance from the estimate, root of the deviance, and w = x h', all not negative."""

    distance: float
    root: float
    pivot: float


def point_of(distance: float, deviance: float, slope: float) -> Point:
    r"""From the deviance D and the slope $\frac12 D'$ towards larger distances: $h' = D'/(2h)$."""
    root = math.sqrt(max(deviance, 0.0))
    return Point(distance, root, max(distance * slope / root, 0.0) if root > 0 else 0.0)


class SignedRoot:
    """h and h' along refits: cubics between them, and some way beyond the last.

    Args:
        below: refits on the side of smaller values.
        above: of larger ones.
        beyond: end of the curve over the distance of the last refit.
    """

    def __init__(
        self, below: Sequence[Point], above: Sequence[Point], beyond: float = _BEYOND
    ) -> None:
        self._known = bool(below), bool(above)
        sides = _side(below, beyond), _side(above, beyond)
        self._x, self._h, self._slope = (
            np.concatenate([sign * side[::-1], other[1:]])
            for side, other, sign in zip(*sides, (-1.0, -1.0, 1.0), strict=True)
        )

    def misses(self, truths: FloatArray, t: float, law: Any) -> FloatArray:
        """Probabilities that a truth lies below and above its interval, (truths, 2).

        NaN for a truth that the curve does not reach, and at the estimate for a side without
        refits.

        Args:
            truths: values of h at them.
            t: standard deviations of the interval.
            law: of errors in standard deviations.
        """
        found = np.full((len(truths), 2), math.nan)
        for at, truth in enumerate(truths.tolist()):
            if not self._h[0] <= truth <= self._h[-1]:
                continue
            x0 = float(np.interp(truth, self._h, self._x))
            gap = (self._x - x0) * self._slope
            mass = law.cdf(self._h - truth)
            # an estimate above the truth leaves it below the interval
            found[at, 0] = _beyond(gap, t, np.append(mass, 1.0))
            found[at, 1] = _beyond(-gap[::-1], t, np.append(1.0 - mass[::-1], 1.0))
            if truth == 0.0:
                found[at, ~np.array(self._known[::-1])] = math.nan
        return found


def _side(points: Sequence[Point], beyond: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Distances, roots and slopes on a grid of one side, up to where roots no longer increase."""
    known = [Point(0.0, 0.0, 0.0)]
    for point in sorted(points):
        if not known[-1].root < point.root < math.inf or not math.isfinite(point.pivot):
            break
        known.append(point)
    if len(known) == 1:
        return np.zeros(1), np.zeros(1), np.ones(1)
    slopes = [1.0, *(one.pivot / one.distance for one in known[1:])]
    curve = scipy.interpolate.CubicHermiteSpline(
        [one.distance for one in known], [one.root for one in known], slopes
    )
    x = np.linspace(0.0, known[-1].distance * beyond, _GRID)
    return x, np.maximum.accumulate(curve(x)), np.maximum(curve.derivative()(x), 0.0)


def _beyond(gap: FloatArray, t: float, mass: FloatArray) -> float:
    """Probability that gap > t: a straight line between points, constant beyond the last.

    Args:
        gap: at the points, (n,).
        t: the limit.
        mass: distribution function at the points, and at infinity, (n + 1,).
    """
    excess, steps = gap - t, np.diff(mass)
    a, b = excess[:-1], excess[1:]
    width = np.where(a == b, 1.0, b - a)
    share = np.clip(np.where((a > 0) == (b > 0), a > 0, np.where(b > 0, b, -a) / width), 0.0, 1.0)
    return float((share * steps[:-1]).sum() + (excess[-1] > 0) * steps[-1])


def signed_root(
    evaluate: Callable[[float], Point | None], t: float, z: float
) -> tuple[SignedRoot, bool]:
    """The curve, as far as truths with |h| <= z need it, and whether its refits converged.

    Beyond t a refit may fail: then what was found until there counts.

    Args:
        evaluate: signed distance -> refit; None if it does not converge.
        t: standard deviations of the interval.
        z: see above.
    """
    ends = [evaluate(sign * t) for sign in (-1.0, 1.0)]
    below, above = ([] if one is None else [one] for one in ends)
    if not below or not above:
        return SignedRoot(below, above), False
    if straight(ends, t):
        return SignedRoot(below, above, _STRAIGHT), True
    converged = True
    for sign, points in ((-1.0, below), (1.0, above)):
        middle = evaluate(sign * t / 2)
        converged &= middle is not None
        points[:0] = [] if middle is None else [middle]
        while not _covers_truths(points, t, z) and (x := points[-1].distance + t / 2) <= FAR * t:
            found = evaluate(sign * x)
            if found is None:
                break
            points.append(found)
        end = end_between(points, t)
        if end is not None and (found := evaluate(sign * end)) is not None:
            points.append(found)
    return SignedRoot(below, above), converged


def straight(ends: Sequence[Point | None], t: float) -> bool:
    """Whether refits at the distance t are those of a model that is linear, nearly."""
    return all(
        one is not None and max(abs(one.root - t), abs(one.pivot - t)) <= _LINEAR * t
        for one in ends
    )


def interval_reached(points: Sequence[Point], t: float) -> bool:
    """Whether refits of one side show where h = t, and which intervals miss the estimate.

    Also if h does not increase any more. Experiments beyond h = 1.5 t are left out.
    """
    if len(points) > 1 and points[-1].root <= points[-2].root:
        return True
    last = points[-1]
    return last.root >= t and (last.pivot >= t or last.root >= 1.5 * t)


def crossing(points: Sequence[Point], level: float) -> float:
    """The smallest distance at which the root of the deviance reaches a level."""
    known = [Point(0.0, 0.0, 0.0), *points]
    slopes = [1.0, *(one.pivot / one.distance for one in points)]
    curve = scipy.interpolate.CubicHermiteSpline(
        [one.distance for one in known], [one.root for one in known], slopes
    )
    first = next((i for i, one in enumerate(known) if one.root >= level), None)
    if first is None:
        return known[-1].distance + (level - known[-1].root) / max(slopes[-1], 1e-300)
    low, high = known[first - 1].distance, known[first].distance
    if float(curve(high)) <= level:  # by rounding
        return high
    return float(scipy.optimize.brentq(lambda x: float(curve(x)) - level, low, high))


def end_between(points: Sequence[Point], t: float) -> float | None:
    """Where h = t by the curve through refits of one side, if none of them is near it."""
    if not np.isfinite(points).all() or max(one.root for one in points) < t:
        return None
    end = crossing(points, t)
    return end if min(abs(end - one.distance) for one in points) > _NEAR * t else None


def _covers_truths(points: Sequence[Point], t: float, z: float) -> bool:
    """Whether the interval of the last refit misses a truth at h = z, or h has ended before it."""
    last = points[-1]
    if len(points) > 1 and last.root <= points[-2].root:
        return True
    if last.root <= z:
        return False
    roots, distances = ([0.0, *(one[i] for one in points)] for i in (1, 0))
    truth = float(np.interp(z, roots, distances))
    return (last.distance - truth) * last.pivot / last.distance >= t


def coverages(curve: SignedRoot, t: float, z: float, law: Any) -> tuple[FloatArray, FloatArray]:
    """Misses below and above if the estimate is the truth, (2,); least and largest coverage, (2,).

    The latter for truths with |h| <= z; NaN where the curve does not reach them.
    """
    misses = curve.misses(_SIDES * z, t, law)
    total = 1.0 - misses.sum(axis=1)
    return misses[len(_SIDES) // 2], np.array([total.min(), total.max()])


def believed(coverage: FloatArray, confidence: float) -> BoolArray:
    """Whether intervals of a confidence may be believed that have this coverage."""
    e = 1.0 - confidence
    misses = 1.0 - coverage
    return np.asarray((misses >= _LEAST * e) & (misses <= _MOST * e))
