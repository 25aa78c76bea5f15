"""Losses along lines, planes and paths as charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.figures.fields import Field
from hessium.figures.records import Chart, Series
from hessium.landscape import CriticalPoint
from hessium.landscape.slices import LossPath, LossSlice


def slice_chart(found: LossSlice, *, points: Sequence[CriticalPoint] = ()) -> Chart:
    """The loss and its quadratic model on a line, or contours of the loss in a plane.

    The dashed circle or the vertical lines bound the region in which the quadratic model is right.

    Args:
        found: the slice.
        points: critical points to be marked, at their projections, with their index.
    """
    if len(found.coordinates) == 1:
        return _line_chart(found, points)
    x, y = found.coordinates
    z = clipped(found.values).T
    series = [_region(found), *_marked(found, points)]
    return Chart(
        name="loss-slice",
        title="Loss in a plane",
        caption=slice_caption(found),
        x_label=found.labels[0],
        y_label=found.labels[1],
        series=tuple(one for one in series if one.x.size),
        field=Field(
            label="loss",
            x=x,
            y=y,
            z=z,
            log=found.logarithmic,
            error="exact for these data",
        ),
    )


def _line_chart(found: LossSlice, points: Sequence[CriticalPoint]) -> Chart:
    (x,) = found.coordinates
    values = clipped(found.values)
    length = float(found.directions[:, 0].double().norm())
    band = found.sampling_stderr
    low, high = (None, None) if band is None else (values - 2 * band, values + 2 * band)
    reach = found.validity_radius / length
    ends = [end for end in (-reach, reach) if x[0] <= end <= x[-1]]
    model = Series(
        label="quadratic model", x=x, y=found.quadratic, error="exact", source="theory", mark="line"
    )
    bound = Series(
        label=f"where it is right to {found.within:.0%}",
        x=np.array(ends),
        y=np.interp(ends, x, found.quadratic),
        error="checked on the slice",
        source="theory",
        mark="points",
    )
    loss = Series(
        label="loss",
        x=x,
        y=values,
        low=low,
        high=high,
        error="exact for these data" if band is None else "2 standard errors over samples",
        source="measured",
        mark="line",
    )
    series = (loss, model, *([bound] if ends else []), *_marked(found, points))
    return Chart(
        name="loss-slice",
        title=f"Loss along {found.labels[0]}",
        caption=slice_caption(found),
        x_label=f"coordinate along {found.labels[0]}",
        y_label="loss",
        series=series,
    )


def _region(found: LossSlice) -> Series:
    """The ellipse of coordinates at the validity radius, cut at the edges of the slice."""
    kept = np.empty((2, 0))
    if math.isfinite(found.validity_radius):
        gram = (found.directions.mT @ found.directions).double().cpu().numpy()
        angles = np.linspace(0, 2 * np.pi, 181)
        circle = found.validity_radius * np.stack([np.cos(angles), np.sin(angles)])
        coordinates = np.linalg.solve(np.linalg.cholesky(gram).T, circle)
        ends = np.array([[axis[-1]] for axis in found.coordinates])
        if (np.abs(coordinates) <= ends).all(axis=0).any():
            kept = np.clip(coordinates, -ends, ends)
    return Series(
        label=f"quadratic model right to {found.within:.0%}",
        x=kept[0],
        y=kept[1],
        error="checked on the slice",
        source="theory",
        mark="line",
        hue=1,
    )


@dataclass(frozen=True, slots=True)
class Mark:
    """A critical point in a slice.

    Attributes:
        point: the point.
        at: coordinates of its projection.
        inside: whether that is within the extent of the slice.
        distance: of the point from the slice, in the parameters.
        from_centre: distance of the projection from the centre.
    """

    point: CriticalPoint
    at: FloatArray
    inside: bool
    distance: float
    from_centre: float

    @property
    def label(self) -> str:
        """Kind, index and distance."""
        point = self.point
        return f"{point.kind} point, index {point.index.bracket}, {self.distance:.2g} away"


def marks(found: LossSlice, points: Sequence[CriticalPoint]) -> list[Mark]:
    """Critical points at their projections into a slice."""
    gram = (found.directions.mT @ found.directions).double().cpu().numpy()
    listed = []
    for point in points:
        at, distance = found.project(point.theta)
        inside = all(
            axis[0] <= c <= axis[-1] for axis, c in zip(found.coordinates, at, strict=True)
        )
        listed.append(Mark(point, at, inside, distance, math.sqrt(at @ gram @ at)))
    return listed


def _marked(found: LossSlice, points: Sequence[CriticalPoint]) -> list[Series]:
    """One point each for critical points, at their projections."""
    return [
        Series(
            label=mark.label,
            x=mark.at[:1],
            y=mark.at[1:] if len(mark.at) == 2 else np.array([mark.point.loss]),
            error="exact",
            source="measured",
            mark="points",
            hue=2 + number,
        )
        for number, mark in enumerate(marks(found, points))
        if mark.inside
    ]


def plane_axes(found: LossSlice) -> tuple[FloatArray, FloatArray]:
    """Both coordinates of a plane slice.

    Raises:
        InputError: for a slice along one direction.
    """
    if len(found.coordinates) != 2:
        msg = "found: a slice along one direction; two directions are required"
        raise InputError(msg)
    return found.coordinates[0], found.coordinates[1]


def clipped(values: FloatArray) -> FloatArray:
    """Values that are not finite become the largest finite one."""
    finite = values[np.isfinite(values)]
    top = float(finite.max()) if finite.size else 0.0
    return np.where(np.isfinite(values), values, top)


def slice_caption(found: LossSlice) -> str:
    """How far the quadratic model reaches, and how much of the curvature the slice holds."""
    reach = float(found.distances.max())
    radius = found.validity_radius
    bound = f"within {radius:.3g}" if math.isfinite(radius) else "wherever it was tried"
    return (
        f"The quadratic model is right to {found.within:.0%} {bound}; the slice reaches "
        f"{reach:.3g}. The slice holds {100 * found.trace_share:.3g} % of the trace of the Hessian "
        f"(standard error {100 * found.trace_share_stderr:.2g} %)."
    )


def path_chart(path: LossPath) -> Chart:
    """The loss along the path, and the straight line between its ends on each segment."""
    knots = np.arange(len(path.knots), dtype=np.float64)
    return Chart(
        name="loss-path",
        title=f"Loss along a path, barrier {path.barrier:.4g}",
        caption=(
            "The barrier is the largest excess of the loss over the straight line between the "
            "values at the ends of a segment."
        ),
        x_label="position along the path",
        y_label="loss",
        series=(
            Series(
                label="bent path" if path.bent else "straight path",
                x=path.positions,
                y=clipped(path.values),
                error="exact for these data",
                source="measured",
                mark="line",
            ),
            Series(
                label="between the ends",
                x=knots,
                y=path.knots,
                error="exact",
                source="theory",
                mark="line",
            ),
        ),
    )


VIEWS = {"LossSlice": slice_chart, "LossPath": path_chart}
