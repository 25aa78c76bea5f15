"""Parameters beside a slice, at their projections into it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from scipy.interpolate import RegularGridInterpolator
from torch import Tensor

from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.figures.records import Series
from hessium.landscape import CriticalPoint
from hessium.landscape.slices import LossSlice

Point: TypeAlias = CriticalPoint | Tensor
Points: TypeAlias = Sequence[Point | tuple[str, Point]] | Mapping[str, Point]

_WITHIN = 0.01  # of the reach of a slice: points that are nearer are drawn as points of it
_KINDS = {
    "critical": "critical point",
    "gradient-flat": "gradient-flat point",
    "diverging": "end of a diverging search, no critical point",
    "unconverged": "end of an unconverged search, no critical point",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A point at its projection into a slice.

    Attributes:
        point: what was found there; None for parameters without more.
        at: coordinates of the projection.
        inside: whether the projection is within the extent of the slice.
        distance: of the point from the slice, in the parameters.
        from_centre: distance of the projection from the centre.
        loss: L of a critical point; of other parameters the loss of the slice at the projection.
        filled: whether it is a critical point of L, or other parameters, that lies in the slice.
        label: name, kind, function, index and distance.
    """

    point: CriticalPoint | None
    at: FloatArray
    inside: bool
    distance: float
    from_centre: float
    loss: float
    filled: bool
    label: str


def marks(found: LossSlice, points: Points) -> list[Mark]:
    """Points at their projections into a slice.

    Args:
        found: the slice.
        points: critical points or parameters (P,): a list, or a mapping from names to them. A
            member of a list may be a pair of a name and a point. Parameters without a name are
            numbered from 1.

    Raises:
        InputError: for anything but critical points and parameters (P,).
    """
    gram = (found.directions.mT @ found.directions).double().cpu().numpy()
    near = _WITHIN * float(found.distances.max())
    kind = "plane" if len(found.coordinates) == 2 else "line"
    listed = []
    unnamed = itertools.count(1)
    for number, (name, given) in enumerate(named(points)):
        point = given if isinstance(given, CriticalPoint) else None
        at, distance = found.project(_parameters(found, given, name or f"number {number + 1}"))
        inside = all(
            axis[0] <= c <= axis[-1] for axis, c in zip(found.coordinates, at, strict=True)
        )
        kinds = [] if point is None else [_name(point)]
        called = ": ".join([name] * bool(name) + kinds) or f"point {next(unnamed)}"
        place = f"in the {kind}" if distance <= near else f"{distance:.2g} from the {kind}"
        own = point is None or (point.kind == "critical" and point.ridge == 0)
        listed.append(
            Mark(
                point=point,
                at=at,
                inside=inside,
                distance=distance,
                from_centre=math.sqrt(at @ gram @ at),
                loss=_between(found, at) if point is None else point.loss,
                filled=own and distance <= near,
                label=f"{called}, {place}",
            )
        )
    return listed


def marked(found: LossSlice, points: Points) -> list[Series]:
    """One series for each point that projects into the slice; hollow if it does not lie in it."""
    return [
        Series(
            label=mark.label,
            x=mark.at[:1],
            y=mark.at[1:] if len(mark.at) == 2 else np.array([mark.loss]),
            error="exact",
            source="measured",
            mark="points",
            hue=2 + number,
            hollow=not mark.filled,
        )
        for number, mark in enumerate(marks(found, points))
        if mark.inside
    ]


def named(points: Any) -> list[tuple[str, Point]]:
    """Pairs of a name, empty where there is none, and a point.

    Raises:
        InputError: for no list or mapping, and for names that are no words.
    """
    if isinstance(points, Mapping):
        pairs: list[Any] = list(points.items())
    elif isinstance(points, Sequence) and not isinstance(points, str):
        pairs = [one if isinstance(one, tuple) and len(one) == 2 else ("", one) for one in points]
    else:
        msg = (
            f"points: {type(points).__name__}; a list of critical points or parameters, or a "
            "mapping from names to them, is required"
        )
        raise InputError(msg)
    for name, _ in pairs:
        if not isinstance(name, str):
            msg = f"points: the name {name!r}; names must be strings"
            raise InputError(msg)
    return pairs


def _name(point: CriticalPoint) -> str:
    of = f" of L + {point.ridge / 2:.3g} |θ|²" if point.ridge else ""
    if point.kind in ("critical", "gradient-flat"):
        return f"{_KINDS[point.kind]}{of}, index {point.index.bracket}"
    return f"{_KINDS[point.kind]}{of}"


def _parameters(found: LossSlice, given: Point, called: str) -> Tensor:
    theta = given.theta if isinstance(given, CriticalPoint) else given
    shape = tuple(theta.shape) if isinstance(theta, Tensor) else type(given).__name__
    if shape != tuple(found.theta.shape):
        msg = (
            f"points: {called} is {shape}; critical points or parameters of shape "
            f"{tuple(found.theta.shape)} are required"
        )
        raise InputError(msg)
    return theta


def _between(found: LossSlice, at: FloatArray) -> float:
    """Linear between the values of the slice; those that are not finite count as the largest."""
    surface = RegularGridInterpolator(
        found.coordinates, clipped(found.values), bounds_error=False, fill_value=None
    )
    return float(surface(at[None])[0])


def clipped(values: FloatArray) -> FloatArray:
    """Values that are not finite become the largest finite one."""
    finite = values[np.isfinite(values)]
    top = float(finite.max()) if finite.size else 0.0
    return np.where(np.isfinite(values), values, top)
