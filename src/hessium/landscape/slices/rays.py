"""The radius of a quadratic model, by values of the loss along rays from the centre."""

from __future__ import annotations

import math

import numpy as np

from hessium._typing import FloatArray
from hessium.landscape.slices.radius import Plane

_FEW = 4  # rays on which an infinite radius is checked
_FACTORS = (0.5, 1.0, 1.3, 2.0)  # of half the reach, there
_DIRECTIONS = 16  # of a half plane that are checked at the radius found
_INSIDE = 10  # of those, with the largest errors, that are checked nearer to the centre
_NEARER = (0.8, 0.45)  # of the radius, in turn
_ROUNDS = 4  # of both checks, while the radius shrinks
_SAME = 0.8
_LIMIT = 0.985  # of the error that is allowed; the rest is for the directions between
_OUTWARD = (1.1, 1.3, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)  # times the prediction
_HALVINGS = 30
_CLOSE = 1.006  # ratio of the ends of a bracket
_AIM = 1.002  # beside the interpolated distance, so that the bracket closes from both sides
_TRIALS = 60  # of one search


def checked_radius(
    plane: Plane,
    predicted: float,
    worst: FloatArray,
    within: float,
    reach: float,
    nearest: float = math.inf,
) -> float:
    """The radius, by values of the loss along rays.

    The distance at which the error of the model becomes too large is bracketed on the ray that the
    derivatives predict to be the worst, and in a plane then on those of 32 others that are worse;
    those with the largest errors are also checked nearer to the centre.

    Args:
        plane: the quadratic model.
        predicted: radius by derivatives.
        worst: the direction that limits it.
        within: the fraction.
        reach: the largest distance of the slice, up to which an infinite radius is checked.
        nearest: distance of the nearest point of the slice at which the error is too large.

    Cost: about 50 values in a plane, 8 on a line.
    """
    rays, most = _Rays(plane, within), nearest * (1 - 1e-6)
    flat = len(plane.slope) == 1
    if not math.isfinite(predicted) or predicted <= 0:
        half = plane.units(_FEW // 2)
        rays.add(np.concatenate([half, -half]))
        if not any(rays.tried(rays.all, reach / 2 * factor) for factor in _FACTORS):
            return most
    else:
        rays.add(np.stack([worst, -worst]))
        rays.tried(rays.all, predicted / 2)
        if not rays.tried(rays.all, predicted):
            half = plane.units(_FEW // 2)  # the derivatives promised less than the loss keeps
            rays.add(np.concatenate([half, -half]))
            if not any(rays.tried(rays.all, predicted * factor) for factor in _OUTWARD):
                return most
    radius = min(rays.radius(), most)
    if flat or not 0 < radius < math.inf:
        return radius
    half = plane.units(_DIRECTIONS)
    rays.add(np.concatenate([half, -half]))
    for _ in range(_ROUNDS):
        rays.tried(rays.all[-2 * _DIRECTIONS :], radius)
        found = min(rays.radius(), most)
        for first, part in enumerate(_NEARER):
            rays.tried(rays.worst(_INSIDE)[first :: len(_NEARER)], part * found)
        before, radius = radius, min(rays.radius(), most)
        if radius > _SAME * before:
            break  # else it is nearer, where most of the rays have not been looked at
    return radius


class _Rays:
    """Errors of the model on rays, over the allowed ones, by distance."""

    def __init__(self, plane: Plane, within: float) -> None:
        self._plane = plane
        self._limit = within if len(plane.slope) == 1 else _LIMIT * within
        self._units: list[FloatArray] = []
        self._known: list[dict[float, float]] = []

    @property
    def all(self) -> range:
        """Their numbers."""
        return range(len(self._units))

    def add(self, units: FloatArray) -> range:
        """More rays; their numbers."""
        first = len(self._units)
        self._units += list(units)
        self._known += [{} for _ in units]
        return self.all[first:]

    def tried(self, numbers: range | list[int], distance: float) -> bool:
        """Evaluate the loss on some rays at a distance; whether an error is too large."""
        points = distance * np.array([self._units[i] for i in numbers])
        found = self._plane.errors(points, self._plane.losses(points), self._limit)
        for i, error in zip(numbers, found.tolist(), strict=True):
            self._known[i][distance] = error
        return bool((found > 1).any())

    def worst(self, count: int) -> list[int]:
        """The rays with the largest errors at their last good distance, relative to it."""
        ends = [self._bracket(i)[0] for i in self.all]
        return sorted(self.all, key=lambda i: -ends[i][1] / max(ends[i][0], 1e-300))[:count]

    def radius(self) -> float:
        """A distance that is good on all rays, next to one that is not; infinite if all are."""
        for _ in range(_TRIALS):
            ends = {i: self._bracket(i) for i in self.all}
            roots = {i: _root(*pair) for i, pair in ends.items() if pair[1][0] < math.inf}
            if not roots:
                return math.inf
            first = min(roots, key=lambda i: roots[i])
            low, high = ends[first][0][0], ends[first][1][0]
            if high > _CLOSE * low:
                if high < 2.0**-_HALVINGS * max(map(max, filter(None, self._known))):
                    return 0.0
                self.tried([first], _between(low, high, roots[first]))
                continue
            # rays that are known to be bad further out only, and good only further in
            open_rays = [
                i for i, (good, bad) in ends.items() if good[0] < low < bad[0] and i in roots
            ]
            if not open_rays or not self.tried(open_rays, low):
                return low
        return min(self._bracket(i)[0][0] for i in self.all)

    def _bracket(self, number: int) -> tuple[tuple[float, float], tuple[float, float]]:
        """Distance and error before the first error that is too large, and at that."""
        low, high = (0.0, 0.0), (math.inf, math.inf)
        for distance, error in sorted(self._known[number].items()):
            if error > 1:
                return low, (distance, error)
            low = (distance, error)
        return low, high


def _root(low: tuple[float, float], high: tuple[float, float]) -> float:
    """About the distance at which the error is the allowed one, 1; straight in both logarithms."""
    (r, e), (s, f) = low, high
    if not math.isfinite(f):
        return math.sqrt(r * s) if r > 0 else s / 2
    if r == 0:
        return s / min(max(f, 1.1), 4.0)
    slope = (math.log(f) - math.log(max(e, 1e-6))) / math.log(s / r)
    return min(max(s * f ** (-1 / slope) if slope > 0.1 else 0.0, r), s)


def _between(low: float, high: float, root: float) -> float:
    """A distance inside of a bracket beside its root, on the side where the bracket is wider."""
    if low == 0:
        return root
    aimed = root / _AIM if root / low > high / root else root * _AIM
    edge = (high / low) ** 0.02
    return min(max(aimed, low * edge), high / edge)
