"""Refits with one parameter held at distances from a minimum."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from hessium.posterior.pivots import FAR, Point, end_between, interval_reached, point_of, straight
from hessium.posterior.refit_budget import Budget
from hessium.posterior.refits import Refits


class HeldRefit(NamedTuple):
    """A refit with the parameter held at a signed distance."""

    at: float
    deviance: float
    slope: float
    converged: bool
    theta: Tensor

    @property
    def point(self) -> Point:
        """As the curve takes it, with its distance positive on either side."""
        sign = math.copysign(1.0, self.at)
        return point_of(abs(self.at), self.deviance, sign * self.slope)


class HeldRefits:
    """Refits with the parameter held at distances from a minimum; each starts from a nearer one.

    Args:
        fit: makes refits.
        budget: of their factorisations.
        base: the minimum.
        lowest: negative log-posterior there.
        path: change of all parameters by one standard deviation of this one.
        entry: of the parameter.
        std: its standard deviation.
    """

    def __init__(
        self,
        fit: Refits,
        budget: Budget,
        base: Tensor,
        lowest: float,
        path: Tensor,
        entry: int,
        std: float,
    ) -> None:
        self._fit, self._budget, self._base, self._lowest = fit, budget, base, lowest
        self._path, self._entry, self._std = path, entry, std
        self.refits: list[HeldRefit] = []

    def __call__(self, distance: float) -> HeldRefit:
        """The refit at a distance, which is kept."""
        near = max(
            (one for one in self.refits if one.at * distance > 0 and abs(one.at) < abs(distance)),
            key=lambda one: abs(one.at), default=None,
        )  # fmt: skip
        begin = (self._base, 0.0) if near is None or not near.converged else (near.theta, near.at)
        start = begin[0] + (distance - begin[1]) * self._path
        start[self._entry] = self._base[self._entry] + distance * self._std
        there, value, done = self._fit.refit(start, held=True, budget=self._budget)
        # at a refit the slope of the density is along the functional that is held
        slope = float(self._path @ self._fit.slope(there)) if math.isfinite(value) else math.nan
        found = HeldRefit(distance, 2 * (value - self._lowest), slope, done, there)
        self.refits.append(found)
        return found


def refit_both_sides(held: HeldRefits, t: float) -> None:
    """Refits at t / 2 and t on both sides, and farther ones where the model is not linear.

    These end where the deviance bounds the interval and its coverage is known, where it does not
    increase any more, where a refit does not converge, or at 3 t. One more is made where the curve
    through them says that the interval ends.

    Args:
        held: makes a refit.
        t: standard deviations of the interval.
    """
    near = [held(distance) for distance in (-t / 2, t / 2, -t, t)]
    if not all(one.converged for one in near) or straight([one.point for one in near[2:]], t):
        return
    for sign in (-1.0, 1.0):
        side = [one for one in near if one.at * sign > 0]
        while not interval_reached([one.point for one in side], t) and len(side) < 2 * FAR:
            found = held(sign * (len(side) + 1) * t / 2)
            if not found.converged:
                held.refits.pop()
                break
            side.append(found)
        end = end_between([one.point for one in side], t)
        if end is not None and not held(sign * end).converged:
            held.refits.pop()
