"""Losses along lines and in planes as charts."""

from __future__ import annotations

import math

import numpy as np

from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.figures.fields import Field
from hessium.figures.records import Chart, Series
from hessium.figures.views.marks import Points, clipped, marked
from hessium.figures.views.paths import path_chart
from hessium.landscape.slices import LossSlice

_NARROWEST = 5.0  # ratio of the sides of a picture with one scale


def slice_chart(found: LossSlice, *, points: Points = ()) -> Chart:
    """The loss and its quadratic model on a line, or contours of the loss in a plane.

    The dashed line bounds the region in which the quadratic model is right.

    Args:
        found: the slice.
        points: critical points, or parameters (P,), to be marked at their projections: filled if
            they lie in the slice, hollow if they lie elsewhere, with their distance. A list, or a
            mapping from names to them.
    """
    if len(found.coordinates) == 1:
        return _line_chart(found, points)
    x, y = found.coordinates
    z = clipped(found.values).T
    series = [_region(found), *marked(found, points)]
    log = found.logarithmic
    lost = int((~np.isfinite(found.values)).sum())
    beyond = f" {lost} values that are not finite have the colour of the largest." if lost else ""
    return Chart(
        name="loss-slice",
        title="Loss in a plane",
        caption=(
            f"{slice_caption(found)} {_scale(found)}Contours run through values "
            f"that are interpolated between the {x.size} x {y.size} computed ones.{beyond}"
        ),
        x_label=_axis(found, 0),
        y_label=_axis(found, 1),
        series=tuple(one for one in series if one.x.size),
        field=Field(
            label="loss, logarithmic colours" if log else "loss",
            x=x,
            y=y,
            z=z,
            log=log,
            equal=_to_scale(found),
            unit_ratio=float(found.lengths[1] / found.lengths[0]),
            error="exact for these data",
        ),
    )


def _to_scale(found: LossSlice) -> bool:
    """Whether distances along both axes have one scale in the picture."""
    size = [n * (axis[-1] - axis[0])
            for n, axis in zip(found.lengths, found.coordinates, strict=True)]  # fmt: skip
    return bool(max(size) <= _NARROWEST * min(size))


def _scale(found: LossSlice) -> str:
    """What the picture keeps of distances and angles."""
    scaled = (
        "A distance in the parameters is as long along either axis. "
        if _to_scale(found)
        else "The axes have different scales, since one direction is much longer than the other. "
    )
    return scaled if found.orthogonal else f"{scaled}The picture does not keep angles. "


def _axis(found: LossSlice, i: int) -> str:
    """Numbers stay on the line of their names."""
    label, size = found.labels[i], float(found.lengths[i])
    per = "" if f"{size:.3g}" == "1" else f" (per unit: length\N{NO-BREAK SPACE}{size:.3g})"
    space = "\N{NO-BREAK SPACE}"
    name = label.replace("direction ", f"direction{space}").replace(" = ", f"{space}={space}")
    return f"coordinate along {name}{per}"


def _line_chart(found: LossSlice, points: Points) -> Chart:
    (x,) = found.coordinates
    values = clipped(found.values)
    band = found.sampling_stderr
    low, high = (None, None) if band is None else (values - 2 * band, values + 2 * band)
    model = Series(
        label="quadratic model",
        x=x,
        y=found.quadratic,
        error="exact",
        source="theory",
        mark="line",
        hue=1,
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
    region = _interval(found, float(min(values.min(), found.quadratic.min())),
                       float(max(values.max(), found.quadratic.max())))  # fmt: skip
    series = (loss, model, *([region] if region.x.size else []), *marked(found, points))
    return Chart(
        name="loss-slice",
        title=f"Loss along {found.labels[0]}",
        caption=slice_caption(found),
        x_label=_axis(found, 0),
        y_label="loss",
        series=series,
    )


def _interval(found: LossSlice, low: float, high: float) -> Series:
    """Vertical lines at both ends of the interval in which the model is right, joined on top."""
    (x,) = found.coordinates
    reach = found.validity_radius / float(found.directions[:, 0].double().norm())
    ends = [end for end in (-reach, reach) if x[0] <= end <= x[-1]]
    corners = [(end, y) for end, y in zip(np.repeat(ends, 2), (low, high, high, low), strict=False)]
    return _bound(found, np.array(corners).reshape(-1, 2).T)


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
    return _bound(found, kept)


def _bound(found: LossSlice, corners: FloatArray) -> Series:
    return Series(
        label=f"inside, the quadratic model errs by at most {100 * found.within:.3g} % of its "
        "largest change at that distance",
        x=corners[0],
        y=corners[1],
        error="checked on rays and on the slice",
        source="theory",
        mark="line",
        hue=1,
    )


def plane_axes(plane: LossSlice) -> tuple[FloatArray, FloatArray]:
    """Both coordinates of a plane slice.

    Raises:
        InputError: for a slice along one direction.
    """
    if len(plane.coordinates) != 2:
        msg = "plane: a slice along one direction; two directions are required"
        raise InputError(msg)
    return plane.coordinates[0], plane.coordinates[1]


def slice_caption(found: LossSlice) -> str:
    """How far the quadratic model reaches, and how much of the curvature the slice holds."""
    reach = float(found.distances.max())
    radius = found.validity_radius
    where = (
        f"Up to a distance of {radius:.3g} from the centre"
        if math.isfinite(radius)
        else "Wherever it was tried,"
    )
    share, error = found.trace_share, found.trace_share_stderr
    ends = (found.trace_share_lower, found.trace_share_upper)
    if not math.isfinite(share):
        held = "The trace of the Hessian vanishes, so no share of it is stated."
    elif all(map(math.isfinite, ends)) and error > 0:
        held = (
            f"The slice holds {100 * share:.3g} % [{100 * ends[0]:.3g}, {100 * ends[1]:.3g}] of "
            "the trace of the Hessian (95 % interval over random vectors)."
        )
    else:
        held = (
            f"The slice holds {100 * share:.3g} % of the trace of the Hessian (standard error "
            f"{100 * error:.2g} %)."
        )
    return (
        f"{where} the quadratic model errs by at most {100 * found.within:.3g} % of its largest "
        f"change at the same distance; the slice reaches {reach:.3g}. {held}{_directions(found)}"
    )


def _directions(found: LossSlice) -> str:
    """Lengths and angle of directions that are not orthonormal."""
    return f" The directions are not orthonormal: {found.units}." if found.units else ""


VIEWS = {"LossSlice": slice_chart, "LossPath": path_chart}
