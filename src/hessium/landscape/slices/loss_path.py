r"""The loss along a path between parameters, and its barrier.

On a straight segment from a to b the barrier is
$\max_t L(\theta(t)) - (1 - t) L(a) - t L(b)$ (Frankle et al. 2020, arXiv:1912.05671). A bent path
is a quadratic Bezier curve (Garipov et al. 2018, arXiv:1802.10026, eq. 3)

$$\theta(t) = (1 - t)^2 a + 2 t (1 - t)\, w + t^2 b,$$

whose middle point w minimises the mean loss over t.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

from hessium._arguments import count
from hessium._arithmetic import full_precision
from hessium._display import Displayable
from hessium._random import Rng, generator
from hessium._typing import AnyArray, FloatArray
from hessium.errors import InputError
from hessium.problem import EmpiricalRisk
from hessium.problem.many_points import ManyPoints
from hessium.problem.one_pass import values_and_gradients

Curve: TypeAlias = Callable[[float], Tensor]
_NODES = 8  # values of t whose losses are averaged for a bent path
_XTOL = 1e-9  # of t at a maximum
_PEAKS = 3  # local maxima that are refined


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class LossPath(Displayable):
    r"""Values of a loss along a path.

    Attributes:
        positions: along the path, from 0 to 1 on each segment: the i-th point of segment s is at
            s + t, (m,).
        values: the loss there, (m,).
        distances: length of the path up to there, in the parameters, (m,).
        knots: values at the given points.
        barrier: largest excess over the straight line between the values at the ends of a
            segment; at least 0.
        barrier_upper: upper bound of the barrier, given that on each interval the second derivative
            of the loss along the path is at most twice the largest second difference beside it;
            infinite if a value is not finite.
        barrier_position: where the barrier is reached.
        along: the numbers that were asked for at each position, (m,) each.
        bent: whether the segments are optimised curves.
        middles: the middle points of the bent segments, (segments, P); empty if straight.

    Example:
        >>> path = hs.loss_path(risk, [risk.theta, 0.5 * risk.theta], num=11)
        >>> bool(np.isclose(path.values[0], risk.value()))
        True
    """

    positions: FloatArray
    values: FloatArray
    distances: FloatArray
    knots: FloatArray
    barrier: float
    barrier_upper: float
    barrier_position: float
    bent: bool
    middles: Tensor
    along: Mapping[str, FloatArray]

    @property
    def peak(self) -> tuple[float, float]:
        """The largest loss that was found, and its position: refined where the barrier is."""
        known = np.where(np.isnan(self.values), -np.inf, self.values)
        best = int(known.argmax())
        chord = np.interp(self.barrier_position, np.arange(len(self.knots)), self.knots)
        refined = float(chord) + self.barrier
        if self.barrier > 0 and refined > known[best]:
            return refined, self.barrier_position
        return float(known[best]), float(self.positions[best])

    @property
    def columns(self) -> dict[str, AnyArray]:
        """Positions, distances, values and the numbers in `along`, by name.

        Where the barrier was refined between two positions there is one row more, which
        `refined` marks; its distance is interpolated, and its numbers in `along` are NaN.
        """
        own = {"positions": self.positions, "distances": self.distances, "values": self.values}
        own |= self.along
        at, knots = self.barrier_position, np.arange(len(self.knots))
        row = int(np.searchsorted(self.positions, at))
        if not self.barrier > 0 or at in self.positions:
            return own | {"refined": np.zeros(len(self.positions), dtype=bool)}
        new = dict.fromkeys(own, math.nan) | {
            "positions": at,
            "distances": float(np.interp(at, self.positions, self.distances)),
            "values": float(np.interp(at, knots, self.knots)) + self.barrier,
        }
        found = {name: np.insert(array, row, new[name]) for name, array in own.items()}
        return found | {"refined": np.arange(len(self.positions) + 1) == row}

    def __repr__(self) -> str:
        kind = "bent" if self.bent else "straight"
        segments = len(self.knots) - 1
        ends = ", ".join(f"{value:.4g}" for value in self.knots)
        place = "ends" if segments == 1 else "given points"
        top, at = self.peak
        return (
            f"LossPath({segments} {kind} segment{'s' * (segments > 1)}, loss at the {place} "
            f"{ends}; largest {top:.4g} at t = {at:.4g}; barrier {self.barrier:.6g} at "
            f"t = {self.barrier_position:.4g}, at most {self.barrier_upper:.6g} if smooth between "
            "the values)"
        )


@full_precision()
def loss_path(
    risk: EmpiricalRisk,
    points: Sequence[Tensor],
    num: int = 51,
    *,
    bend: bool = False,
    steps: int = 200,
    rng: Rng = 0,
    along: Mapping[str, Callable[[EmpiricalRisk], float]] | None = None,
) -> LossPath:
    r"""The loss along a path through given parameters.

    Args:
        risk: the loss; its own parameters do not matter.
        points: parameters (P,), two or more.
        num: equidistant values of t on each segment.
        bend: replace each segment by a quadratic Bezier curve whose middle point minimises the mean
            loss along it.
        steps: evaluations of L-BFGS for each bent segment.
        rng: seed of the offset of the nodes of the mean.
        along: numbers to compute at each position, by name: functions of the risk there, such as
            `lambda r: float(hs.eigenpairs(hs.Hessian(r), 1).values[0])` for the sharpness.

    Returns:
        Values, and the barrier. Its maximum is refined between the equidistant points by Brent's
        method, to $10^{-9}$ in t: exact for a loss that has one maximum between two neighbours.

    Raises:
        InputError: for points of another shape, dtype or device, or `along` that is not a mapping
            to functions.

    Cost: one forward pass for each value and about 30 for the refinement; `steps` times 8
    gradients for a bent segment; the functions in `along` once for each position.

    Example:
        >>> hs.loss_path(risk, [risk.theta, 0.5 * risk.theta], num=11).barrier >= 0
        True
    """
    num = count("num", num, 3)
    asked = _functions(along)
    thetas = _checked(risk, points)
    middles = [
        _bent(risk, a, b, count("steps", steps), generator(rng)) if bend else (a + b) / 2
        for a, b in itertools.pairwise(thetas)
    ]
    curves = [_bezier(a, w, b) for a, w, b in zip(thetas, middles, thetas[1:], strict=False)]
    t = np.linspace(0.0, 1.0, num)
    places = [(s, float(x)) for s in range(len(curves)) for x in (t if s == 0 else t[1:])]
    values = ManyPoints(risk).values(
        lambda part: torch.stack([curves[s](x) for s, x in places[part]]), len(places)
    )
    knots = values[:: num - 1]
    positions = np.array([s + x for s, x in places])
    barrier, position = _barrier(risk, curves, positions, values, num)
    found: dict[str, list[float]] = {name: [] for name in asked}
    for s, x in places if asked else ():
        here = risk.at(curves[s](x))
        for name, work in asked.items():
            found[name].append(float(work(here)))
    steps_taken = [
        float((curves[s](x) - curves[s](x - 1 / (num - 1))).norm()) if x > 0 else 0.0
        for s, x in places
    ]
    return LossPath(
        positions=positions,
        values=values,
        distances=np.cumsum(steps_taken),
        knots=knots,
        barrier=barrier,
        barrier_upper=_upper(barrier, _excess(positions, values, num), num),
        barrier_position=position,
        along={name: np.array(numbers) for name, numbers in found.items()},
        bent=bend,
        middles=torch.stack(middles) if bend else thetas[0].new_zeros(0, risk.dim),
    )


def _checked(risk: EmpiricalRisk, points: Sequence[Tensor]) -> list[Tensor]:
    if not isinstance(risk, EmpiricalRisk):
        msg = f"risk: {type(risk).__name__}; an hs.EmpiricalRisk is required"
        raise InputError(msg)
    risk.ranks.require_alone()
    if isinstance(points, str | Tensor) or not isinstance(points, Sequence) or len(points) < 2:
        msg = "points: a list of two parameter vectors or more is required"
        raise InputError(msg)
    return [risk.at(theta).theta for theta in points]


def _functions(along: Any) -> dict[str, Callable[[EmpiricalRisk], float]]:
    if not isinstance(along, Mapping | None) or not all(map(callable, (along or {}).values())):
        msg = f"along: {along!r}; a mapping from names to functions of a risk is required"
        raise InputError(msg)
    return dict(along or {})


def _bezier(a: Tensor, w: Tensor, b: Tensor) -> Curve:
    def curve(t: float) -> Tensor:
        return (1 - t) ** 2 * a + 2 * t * (1 - t) * w + t**2 * b

    return curve


def _bent(
    risk: EmpiricalRisk, a: Tensor, b: Tensor, steps: int, rng: np.random.Generator
) -> Tensor:
    """The middle point that minimises the mean loss over equidistant t with a random offset."""
    nodes = ((np.arange(_NODES) + rng.uniform()) / _NODES).tolist()

    def mean(flat: FloatArray) -> tuple[float, FloatArray]:
        curve = _bezier(a, torch.from_numpy(flat).to(a), b)
        found = values_and_gradients([risk.at(curve(t)) for t in nodes])
        slope = sum(
            2 * t * (1 - t) * g.double().cpu().numpy()
            for t, (_, g) in zip(nodes, found, strict=True)
        )
        return float(np.mean([value for value, _ in found])), np.asarray(slope) / _NODES

    start = ((a + b) / 2).double().cpu().numpy()
    result = scipy.optimize.minimize(
        mean, start, jac=True, method="L-BFGS-B", options={"maxfun": steps, "maxiter": steps}
    )
    return torch.from_numpy(result.x).to(a)


def _barrier(
    risk: EmpiricalRisk,
    curves: Sequence[Curve],
    positions: FloatArray,
    values: FloatArray,
    num: int,
) -> tuple[float, float]:
    """The largest excess over the chords, refined beside the largest of the values."""
    ends = values[:: num - 1]

    def chord(at: float) -> float:
        s = min(int(at), len(curves) - 1)
        return float((1 - (at - s)) * ends[s] + (at - s) * ends[s + 1])

    excess = _excess(positions, values, num)
    best = int(np.nanargmax(excess))
    barrier, position = max(0.0, float(excess[best])), float(positions[best])
    if not excess[best] > 0:
        return barrier, position
    inner = np.r_[-np.inf, excess, -np.inf]
    peaks = np.flatnonzero((excess >= inner[:-2]) & (excess >= inner[2:]))
    for peak in sorted(peaks, key=lambda i: -excess[i])[:_PEAKS]:
        segment = min(int(positions[peak]), len(curves) - 1)
        low = max(float(segment), float(positions[peak]) - 1 / (num - 1))
        high = min(segment + 1.0, float(positions[peak]) + 1 / (num - 1))
        found = scipy.optimize.minimize_scalar(
            lambda at, s=segment: chord(at) - risk.at(curves[s](at - s)).value(),
            bounds=(low, high), method="bounded", options={"xatol": _XTOL},
        )  # fmt: skip
        if -float(found.fun) > barrier:
            barrier, position = -float(found.fun), float(found.x)
    return barrier, position


def _excess(positions: FloatArray, values: FloatArray, num: int) -> FloatArray:
    """The loss minus the straight line between the values at the ends of each segment."""
    knots = values[:: num - 1]
    return np.asarray(values - np.interp(positions, np.arange(len(knots)), knots))


def _upper(barrier: float, excess: FloatArray, num: int) -> float:
    """The bound of `_between`; infinite where a value is not finite."""
    return max(barrier, _between(excess, num)) if np.isfinite(excess).all() else float("inf")


def _between(excess: FloatArray, num: int) -> float:
    """Bound of a function between equidistant values, from second differences.

    On an interval of length h a function with |f''| <= M is at most M h^2/8 above the larger end.
    M is twice the largest second difference at the neighbours, within a segment.
    """
    bounds = []
    for first in range(0, len(excess) - 1, num - 1):
        part = excess[first : first + num]
        bends = np.abs(np.diff(part, 2))
        # of each interval: the second differences at its two ends
        beside = np.maximum(np.r_[bends[:1], bends], np.r_[bends, bends[-1:]])
        bounds.append(float((np.maximum(part[:-1], part[1:]) + beside / 4).max()))
    return max(bounds)
