"""Charts of an identification: the prediction band, the map of measurements, the gain."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hessium._typing import BoolArray, FloatArray
from hessium.errors import InputError
from hessium.figures.formatting import digits
from hessium.figures.records import Chart, Series
from hessium.figures.views.posteriors import parameters_chart, profile_chart, radius_chart
from hessium.posterior import ProfileLikelihood
from hessium.profiles.units import axis, begun

if TYPE_CHECKING:
    from hessium.profiles.identification import Identification

_MOST_OUTPUTS = 3  # with a chart of their own
_SLICES = 4
_CLASSES = 4  # of a map
_SEEN = 0.03  # of the range of a chart: width of a line, nearly
_BAND = "bands of two-sided 95 % intervals"
_EXACT = "exact for the linear model"


def charts(found: Identification) -> tuple[Chart, ...]:
    """All charts that can be drawn."""
    drawn: list[Chart] = []
    columns = found.candidates.shape[1] if found.candidates.size else 0
    outputs = range(min(found.prediction.shape[1], _MOST_OUTPUTS))
    if columns == 1:
        drawn += [one for c in outputs if (one := _band(found, c)) is not None]
        drawn += [_gain(found)] if np.isfinite(found.gains).any() else []
    elif columns == 2:
        drawn += [_map(found, c) for c in outputs]
        drawn += [one for c in outputs if (one := _slices(found, c)) is not None]
    table = found.parameters
    if table is not None and int(np.isfinite(table.std).sum()) > 1:
        kinds = {found.units.of_label(label) for label in table.labels}
        if len(kinds) == 1 and len({label.partition("[")[0] for label in table.labels}) == 1:
            drawn.append(parameters_chart(table))
    if found.profiles:
        worst = max(found.profiles, key=lambda one: (not one.valid, one.departure))
        drawn.append(replace(profile_chart(worst), caption=_profile_caption(found, worst)))
    with contextlib.suppress(InputError):  # both models hold everywhere
        drawn.append(radius_chart(found.trust))
    return tuple(drawn)


def _profile_caption(found: Identification, profile: ProfileLikelihood) -> str:
    """Where the 95 % interval of the refits ends; `coverage` has a table of its own."""
    lower, upper = (digits(end, 4) if math.isfinite(end) else "" for end in profile.ends())
    unit = found.units.of_label(profile.label)
    ends = " and ".join(filter(None, (lower, upper)))
    text = f"Refits hold {profile.label} and fit all other parameters again. "
    if not ends:
        return text + "They reach no end of its 95 % interval."
    level = digits(found.coverage_factor**2, 3)
    return text + f"The deviance is {level} at {ends} {unit}".rstrip() + (
        ", the ends of its 95 % interval." if lower and upper else ", an end of its 95 % interval; "
        "the other end lies beyond the refits, if there is one."
    )  # fmt: skip


def _data(found: Identification, c: int) -> list[Series]:
    if not found.targets.size or found.targets.shape[1] != found.prediction.shape[1]:
        return []
    return [
        Series(
            label="measured", x=found.inputs[:, 0], y=found.targets[:, c], error="none drawn",
            source="published", mark="points", hue=5,
        )
    ]  # fmt: skip


def _band(found: Identification, c: int) -> Chart | None:
    """The model along its input with its band, the data and the next measurements."""
    order = np.argsort(found.candidates[:, 0], kind="stable")
    x, y = found.candidates[order, 0], found.prediction[order, c]
    std = found.prediction_std[order, c]
    known = np.isfinite(std)
    name, unit = found.units.output(c, found.prediction.shape[1])
    series: list[Series] = []
    if known.any():
        reach = found.coverage_factor * std[known]
        series.append(
            Series(
                label="model with its 95 % band", x=x[known], y=y[known], low=y[known] - reach,
                high=y[known] + reach, error=_BAND, source="measured", mark="line",
            )
        )  # fmt: skip
    if not known.all():
        series.append(
            Series(
                label="undetermined by the data", x=x[~known], y=y[~known],
                error="no error: the data leave these outputs open", source="measured",
                mark="points", hue=1,
            )
        )  # fmt: skip
    series += _data(found, c)
    series += _chosen(found, c)
    return Chart(
        name=f"predictions-{c}",
        title=f"{begun(name)}: model, band and data",
        caption=_band_caption(series),
        x_label=axis(*found.units.input(0)),
        y_label=axis(name, unit),
        series=tuple(series),
    )


def _band_caption(series: list[Series]) -> str:
    """What the band is, and that it is there where it is too narrow to be seen."""
    text = "The band is for the model's output, not for a new measurement with its noise."
    ends = [(one.low, one.high) for one in series if one.low is not None and one.high is not None]
    drawn = np.concatenate([one.y for one in series])
    widest = max((float((high - low).max(initial=0.0)) for low, high in ends), default=math.inf)
    return f"{text} It is hardly wider than a line." if widest < _SEEN * np.ptp(drawn) else text


def _chosen(found: Identification, c: int) -> list[Series]:
    """The next measurements on the model."""
    if found.design is None:
        return []
    at = found.design.indices
    return [
        Series(
            label="measure next", x=found.candidates[at, 0], y=found.prediction[at, c],
            error="none", source="theory", mark="points", hue=3,
        )
    ]  # fmt: skip


def _gain(found: Identification) -> Chart:
    """Information of one measurement along the input."""
    order = np.argsort(found.candidates[:, 0], kind="stable")
    order = order[np.isfinite(found.gains[order])]
    series = [
        Series(
            label="one more measurement", x=found.candidates[order, 0], y=found.gains[order],
            error=_EXACT, source="measured", mark="line",
        )
    ]  # fmt: skip
    if found.design is not None:
        at = found.design.indices[np.isfinite(found.gains[found.design.indices])]
        if at.size:
            series.append(
                Series(
                    label="measure next", x=found.candidates[at, 0], y=found.gains[at],
                    error="none", source="theory", mark="points", hue=3,
                )
            )  # fmt: skip
    return Chart(
        name="gain",
        title="Information of one more measurement",
        caption="About all parameters together. The next measurements are chosen one after the "
        "other, so the second gains less than its place on the curve says. Places where a "
        "measurement would determine a new direction have an infinite gain and are left out.",
        x_label=axis(*found.units.input(0)),
        y_label="information (nats)",
        series=tuple(series),
    )


def _map(found: Identification, c: int) -> Chart:
    """Where the prediction is known how well, in the plane of both inputs."""
    std = found.prediction_std[:, c]
    known = np.isfinite(std)
    (name, unit) = found.units.output(c, found.prediction.shape[1])
    series: list[Series] = []
    edges = np.quantile(std[known], np.linspace(0, 1, _CLASSES + 1)) if known.any() else None
    hues = (2, 0, 4, 1)  # from well known to badly known
    if edges is not None:
        for i in range(_CLASSES):
            inside = known & (std >= edges[i] if i == 0 else std > edges[i]) & (std <= edges[i + 1])
            label = f"{digits(edges[i], 2)} to {digits(edges[i + 1], 2)} {unit}".rstrip()
            series += _points(found.candidates, inside, label, hues[i], "measured")
    series += _points(found.candidates, ~known, "undetermined by the data", 5, "measured")
    data = np.ones(len(found.inputs), dtype=np.bool_)
    if found.inputs.shape[1:] == (2,):
        series += _points(found.inputs, data, "measured", 5, "published")
    if found.design is not None:
        next_ = np.zeros(len(found.candidates), dtype=np.bool_)
        next_[found.design.indices] = True
        series += _points(found.candidates, next_, "measure next", 3, "measured")
    return Chart(
        name=f"map-{c}",
        title=f"{begun(name)}: how well it is known, and where to measure",
        caption="Each filled point is a candidate. Its colour and shape say the standard deviation "
        "of the model's output there; the four classes have equally many candidates.",
        x_label=axis(*found.units.input(0)),
        y_label=axis(*found.units.input(1)),
        series=tuple(series),
    )


def _points(
    places: FloatArray, which: BoolArray, label: str, hue: int, source: str
) -> list[Series]:
    if not which.any():
        return []
    return [
        Series(
            label=label, x=places[which, 0], y=places[which, 1], error="none, places are exact",
            source="published" if source == "published" else "measured", mark="points", hue=hue,
        )
    ]  # fmt: skip


def _slices(found: Identification, c: int) -> Chart | None:
    """Model and band along the first input at some values of the second, on a grid."""
    places = found.candidates
    second = np.unique(places[:, 1])
    if second.size * np.unique(places[:, 0]).size != len(places):
        return None
    std = found.prediction_std[:, c]
    picked = second[np.unique(np.linspace(0, second.size - 1, _SLICES).round().astype(int))]
    (name, unit), (other, other_unit) = (
        found.units.output(c, found.prediction.shape[1]),
        found.units.input(1),
    )
    series = []
    for value in picked:
        at = np.flatnonzero((places[:, 1] == value) & np.isfinite(std))
        at = at[np.argsort(places[at, 0])]
        if at.size:
            y, reach = found.prediction[at, c], found.coverage_factor * std[at]
            series.append(
                Series(
                    label=f"{other} = {digits(float(value))} {other_unit}".rstrip(),
                    x=places[at, 0], y=y, low=y - reach, high=y + reach, error=_BAND,
                    source="measured", mark="line",
                )
            )  # fmt: skip
    if not series:
        return None
    return Chart(
        name=f"predictions-{c}",
        title=f"{begun(name)}: model and band",
        caption=_band_caption(series),
        x_label=axis(*found.units.input(0)),
        y_label=axis(name, unit),
        series=tuple(series),
    )


def identification_chart(found: Identification) -> Chart:
    """The first of the charts: the prediction band, or the map."""
    drawn = charts(found)
    if not drawn:
        msg = "identification: nothing is determined, so there is nothing to plot"
        raise InputError(msg)
    return drawn[0]
