"""Losses along paths as charts."""

from __future__ import annotations

import math

import numpy as np

from hessium.figures.records import Chart, Series
from hessium.figures.views.marks import clipped
from hessium.landscape.slices import LossPath


def path_chart(path: LossPath) -> Chart:
    """The loss along the path, its barrier with the bracket, and the numbers in `along` below."""
    knots = np.arange(len(path.knots), dtype=np.float64)
    known = math.isfinite(path.barrier_upper)
    bound = (
        f"Between the values it is at most {path.barrier_upper:.4g} if the loss is smooth there."
        if known
        else "A value is not finite, so there is no upper bound."
    )
    loss = Series(
        label="bent path" if path.bent else "straight path",
        x=path.positions,
        y=clipped(path.values),
        error="exact for these data",
        source="measured",
        mark="line",
        hue=0,
    )
    ends = Series(
        label="straight line between the ends",
        x=knots,
        y=clipped(path.knots),
        error="exact",
        source="theory",
        mark="line",
        hue=0,
    )
    return Chart(
        name="loss-path",
        title=f"Loss along a path, barrier {path.barrier:.4g}",
        caption=(
            "The barrier is the largest excess of the loss over the straight line between the "
            f"values at the ends of a segment. {bound}"
        ),
        x_label="position along the path: segment number + t",
        y_label="loss",
        series=(loss, ends, *_barrier(path)),
        panels=tuple(_panel(path, name) for name in path.along),
    )


def _barrier(path: LossPath) -> list[Series]:
    """A vertical line from the chord to the loss, with the bracket at its end."""
    if not path.barrier > 0 or not math.isfinite(path.barrier):
        return []
    at = path.barrier_position
    chord = float(np.interp(at, np.arange(len(path.knots)), path.knots))
    top = chord + path.barrier
    known = math.isfinite(path.barrier_upper)
    end = f"{path.barrier_upper:.4g}" if known else "∞"
    stem = Series(
        label=f"barrier {path.barrier:.4g} at {at:.3g}, bracket [{path.barrier:.4g}, {end}]",
        x=np.array([at, at]),
        y=np.array([chord, top]),
        low=np.array([chord, top]) if known else None,
        high=np.array([chord, chord + path.barrier_upper]) if known else None,
        error="bar: from the largest value found to the bound between the values",
        source="measured",
        mark="both",
        hue=1,
    )
    return [stem]


def _panel(path: LossPath, name: str) -> Chart:
    values = path.along[name]
    finite = np.isfinite(values)
    return Chart(
        name=f"along-{list(path.along).index(name)}",
        title=name,
        caption=f"{name} along the path.",
        x_label="position along the path: segment number + t",
        y_label=name,
        series=(
            Series(
                label=name,
                x=path.positions[finite],
                y=values[finite],
                error="as its function returns it",
                source="measured",
                mark="line",
                hue=2,
            ),
        ),
    )
