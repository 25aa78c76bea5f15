"""Charts of slices and paths: marks, regions, contours, panels."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from torch import Tensor, nn

import hessium as hs
from hessium.errors import InputError
from hessium.figures.fields import Field
from hessium.figures.records import Chart
from hessium.figures.views import chart_of
from hessium.figures.views.marks import Point, marks, named
from hessium.plots import describe, draw, to_svg
from hessium.plots.fields import contour_levels, interpolated
from hessium.runs.codec import decode, encode


def plane(columns: int = 2, radius: float = 0.3) -> hs.LossSlice:
    """x^2 + 2 y^4 + 1 over the first two of three parameters."""
    x = np.linspace(-1, 1, 21)
    values = 1 + np.add.outer(x**2, 2 * x**4)
    shape = values if columns == 2 else values[:, 10]
    return hs.LossSlice(
        coordinates=(x,) * columns, values=shape, quadratic=shape + 0.1, validity_radius=radius,
        within=0.125, theta=torch.zeros(3, dtype=torch.float64),
        directions=torch.eye(3, dtype=torch.float64)[:, :columns],
        labels=("the eigenvector with λ = 2", "random direction 2")[:columns], trace_share=0.5,
        trace_share_stderr=0.1, sampling_stderr=None,
    )  # fmt: skip


def point(at: list[float], **changes: Any) -> hs.landscape.CriticalPoint:
    model = nn.Module()
    model.w = nn.Parameter(torch.tensor(at, dtype=torch.float64))

    def closure(m: nn.Module) -> Tensor:
        w: Tensor = m.w  # type: ignore[assignment]
        return (w - torch.tensor(at, dtype=torch.float64)).square().sum() + 0.75

    found = hs.find_critical_point(hs.EmpiricalRisk.from_closure(model, closure))
    return dataclasses.replace(found, **changes)


@pytest.mark.parametrize("columns", [1, 2])
def test_what_lies_elsewhere_is_hollow_and_says_how_far(columns: int) -> None:
    kind = ("line", "plane")[columns - 1]
    here, there = [0.5, 0.0, 0.0], [0.5, 0.0, 3.0]
    points: list[Point] = [
        point(here), point(there), point(here, ridge=0.02), point(here, kind="diverging"),
        torch.tensor(here), torch.tensor(there, dtype=torch.float64), torch.tensor([9.0, 0, 0]),
    ]  # fmt: skip
    found = plane(columns)
    listed = marks(found, points)
    assert [mark.label for mark in listed] == [
        f"critical point, index 0, in the {kind}",
        f"critical point, index 0, 3 from the {kind}",
        f"critical point of L + 0.01 |θ|², index 0, in the {kind}",
        f"end of a diverging search, no critical point, in the {kind}",
        f"point 1, in the {kind}",
        f"point 2, 3 from the {kind}",
        f"point 3, in the {kind}",
    ]
    assert [mark.filled for mark in listed] == [True, False, False, False, True, False, True]
    assert [mark.inside for mark in listed] == [True] * 6 + [False]
    assert listed[0].loss == 0.75
    assert listed[4].loss == pytest.approx(1.25)  # of the slice, at the projection
    chart, _ = chart_of(found, points=points)
    drawn = chart.series[-6:]
    assert [one.hollow for one in drawn] == [not mark.filled for mark in listed[:6]]
    axes = draw(chart).axes[0]
    faces = [line.get_markerfacecolor() for line in axes.lines[-6:]]
    assert [face == "none" for face in faces] == [not mark.filled for mark in listed[:6]]
    with pytest.raises(InputError, match=r"points: number 1 is \(4,\); .* shape \(3,\)"):
        chart_of(found, points=[torch.zeros(4)])


def test_a_plane_has_equal_units_and_states_what_is_drawn() -> None:
    chart, _ = chart_of(plane())
    figure = draw(chart)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    axes = figure.axes[0]
    box = axes.get_window_extent()
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    assert box.width / (x1 - x0) == pytest.approx(box.height / (y1 - y0), rel=1e-6)
    assert chart.x_label.replace("\N{NO-BREAK SPACE}", " ") == (
        "coordinate along the eigenvector with λ = 2"
    )
    assert chart.field is not None
    assert chart.field.label == "loss"
    assert "errs by at most 12.5 % of its largest change at the same distance" in chart.caption
    assert "interpolated between the 21 x 21 computed ones" in chart.caption
    steep = dataclasses.replace(plane(), values=np.exp(9 * plane().values))
    field = chart_of(steep)[0].field
    assert field is not None
    assert field.log
    assert field.label == "loss, logarithmic colours"
    lost = plane().values.copy()
    lost[0, :3] = [np.inf, np.nan, np.inf]
    chart, _ = chart_of(dataclasses.replace(plane(), values=lost))
    assert "3 values that are not finite have the colour of the largest" in chart.caption
    nothing = dataclasses.replace(plane(), trace_share=math.nan, validity_radius=math.inf)
    caption = chart_of(nothing)[0].caption
    assert "Wherever it was tried, the quadratic model errs" in caption
    assert "nan" not in caption


def test_points_have_the_names_that_are_given() -> None:
    here, there = torch.tensor([0.5, 0.0, 0.0]), torch.tensor([0.0, 0.5, 0.0])
    found = plane()
    names = [mark.label for mark in marks(found, {"start": there, "end": point(here.tolist())})]
    assert names == ["start, in the plane", "end: critical point, index 0, in the plane"]
    pairs: list[Any] = [point(here.tolist()), ("b", there), here, there]
    assert [mark.label.removesuffix(", in the plane") for mark in marks(found, pairs)] == [
        "critical point, index 0", "b", "point 1", "point 2",
    ]  # fmt: skip
    axes = found.plot(points={"start": there}, label="bound")
    legend = axes.get_legend()
    assert legend is not None
    assert "start, in the plane" in [text.get_text() for text in legend.get_texts()]
    with pytest.raises(InputError, match=r"points: a is \(2,\); critical points"):
        found.plot(points={"a": here[:2]})
    with pytest.raises(InputError, match="points: Tensor; a list of critical points or"):
        named(here)
    with pytest.raises(InputError, match="points: the name 1; names must be strings"):
        named({1: here})


@pytest.mark.parametrize("radius", [0.3, math.inf])  # with a first series, and without any
def test_an_option_that_is_none_is_one_sentence(radius: float) -> None:
    message = (
        r"^point: no option of the plot of a LossSlice; it has points= and those of a line of "
        r"matplotlib, such as color=$"
    )
    with pytest.raises(InputError, match=message):
        plane(radius=radius).plot(point=[torch.zeros(3)])


def scaled(*columns: list[float]) -> hs.LossSlice:
    return dataclasses.replace(
        plane(len(columns)),
        directions=torch.tensor(columns, dtype=torch.float64).mT,
        labels=tuple(f"direction {i + 1}" for i in range(len(columns))),
    )


def test_directions_of_other_lengths_and_angles_are_stated() -> None:
    found = scaled([2, 0, 0], [0, 0.5, 0])
    assert "(lengths per unit 2 and 0.5)" in repr(found)
    assert "angle" not in repr(found)
    chart, _ = chart_of(found)
    assert chart.x_label.replace("\N{NO-BREAK SPACE}", " ") == (
        "coordinate along direction 1 (per unit: length 2)"
    )
    assert "not orthonormal: lengths per unit 2 and 0.5." in chart.caption
    assert "A distance in the parameters is as long along either axis." in chart.caption
    figure = draw(chart)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    axes = figure.axes[0]
    box = axes.get_window_extent()
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    # pixels for each unit of distance
    assert box.width / (x1 - x0) / 2 == pytest.approx(box.height / (y1 - y0) / 0.5, rel=1e-6)
    skew = scaled([1, 0, 0], [0.6, 0.8, 0])
    assert skew.angle == pytest.approx(math.degrees(math.acos(0.6)))
    assert "(angle 53.1 degrees)" in repr(skew)
    caption = chart_of(skew)[0].caption
    assert "not orthonormal: angle 53.1 degrees." in caption
    assert "The picture does not keep angles." in caption
    long = chart_of(scaled([30.6, 0, 0], [0, 1, 0]))[0]
    assert "The axes have different scales" in long.caption
    assert long.field is not None
    assert not long.field.equal
    assert "(length per unit 30.6)" in repr(scaled([30.6, 0, 0]))
    for orthonormal in (plane(), plane(1)):
        assert not orthonormal.units
        assert "per unit" not in repr(orthonormal)
        chart, _ = chart_of(orthonormal)
        assert "orthonormal" not in chart.caption
        assert "per unit" not in chart.x_label


def test_a_line_shows_the_interval_of_its_radius() -> None:
    chart, _ = chart_of(plane(1))
    bound = chart.series[2]
    assert "errs by at most 12.5 %" in bound.label
    np.testing.assert_allclose(bound.x, [-0.3, -0.3, 0.3, 0.3])
    assert bound.y.tolist() == [1.0, 2.1, 2.1, 1.0]  # from the lowest to the highest value drawn
    assert len(chart_of(plane(1, radius=1.5))[0].series) == 2  # beyond the slice


def field_of(z: np.ndarray[Any, Any], *, log: bool = False) -> Field:
    x = np.linspace(-1, 1, z.shape[1])
    return Field(label="z", x=x, y=x[: z.shape[0]], z=z, log=log, error="exact")


def test_contours_are_drawn_between_the_values_without_overshoot() -> None:
    x = np.linspace(-1, 1, 21)
    bowl = np.add.outer(2 * x**2, (x - 0.3) ** 2)
    fx, fy, fz = interpolated(field_of(bowl))
    assert len(fx) == 121
    np.testing.assert_allclose(fz, np.add.outer(2 * fy**2, (fx - 0.3) ** 2), atol=1e-12)
    # logarithms: a product of exponentials of parabolas is exact
    fx, fy, fz = interpolated(field_of(np.exp(bowl), log=True))
    np.testing.assert_allclose(fz, np.exp(np.add.outer(2 * fy**2, (fx - 0.3) ** 2)), rtol=1e-12)
    # a plateau, as where values are not finite: nothing above it, nothing new below its edge
    cut = bowl.copy()
    cut[:8, :8] = bowl.max()
    fx, fy, fz = interpolated(field_of(cut))
    assert fz.max() <= bowl.max()
    inner = np.ix_(fy <= x[6], fx <= x[6])
    np.testing.assert_allclose(fz[inner], bowl.max(), rtol=1e-12)
    smooth = np.add.outer(2 * fy**2, (fx - 0.3) ** 2)
    edge = np.ix_(fy <= x[11], fx <= x[11])
    assert (fz[edge] >= smooth[edge].min() - 0.01).all()
    assert fz.min() >= bowl.min() - 0.03


@pytest.mark.parametrize(
    ("low", "high", "log", "expected"),
    [
        (0.3, 40.0, True, [0.5, 1, 2, 5, 10, 20]),
        (1e-9, 1e3, True, [10.0**k for k in range(-8, 3)]),
        (0.007, 13.0, True, [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]),
        (1.0, 300.0, True, [2, 5, 10, 20, 50, 100, 200]),
        (2.0, 2.9, True, [2.1, 2.2, 2.3, 2.4, 2.5, 2.6, 2.7, 2.8]),
        (0.0, 1.0, False, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
    ],
)
def test_contours_are_at_round_numbers_above_the_smallest_value(
    low: float, high: float, log: bool, expected: list[float]
) -> None:
    np.testing.assert_allclose(contour_levels(low, high, log=log), expected, rtol=1e-12)


@pytest.mark.parametrize("log", [False, True])
def test_a_plateau_at_the_minimum_is_not_outlined_and_the_bar_ends_there(log: bool) -> None:
    x = np.linspace(-1, 1, 21)
    z = np.maximum(np.exp(7 * np.add.outer(x**2, x**2)) if log else np.add.outer(x**2, x**2), 0.2)
    if log:
        z = np.maximum(z, 3.0)
    chart, _ = chart_of(plane())
    figure = draw(dataclasses.replace(chart, series=(), field=field_of(z, log=log)))
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    filled, lines = (one for one in figure.axes[0].collections if isinstance(one, ContourSet))
    inner, bounds = np.asarray(lines.levels), np.asarray(filled.levels)
    assert inner[0] > z.min() * 1.001
    assert (bounds[0], bounds[-1]) == (z.min(), z.max())
    assert filled.extend == "neither"
    bar = figure.axes[1]
    assert bar.get_ylim() == pytest.approx((z.min(), z.max()))
    ticks = bar.get_yticks()
    assert set(ticks) <= set(inner)
    assert all(np.isclose(float(f"{tick:.2g}"), tick) for tick in ticks)


def path(upper: float = 0.9) -> hs.LossPath:
    t = np.linspace(0, 2, 9)
    values = 1 - 0.25 * t + np.abs(np.sin(np.pi * t)) * np.where(t < 1, 0.8, 0.3)
    rank = np.arange(9.0)
    rank[3] = np.nan
    return hs.LossPath(
        positions=t, values=values, distances=t, knots=np.array([1, 0.75, 0.5]), barrier=0.8,
        barrier_upper=upper, barrier_position=0.5, bent=False, middles=torch.zeros(0, 3),
        along={"sharpness": t**2, "rank": rank},
    )  # fmt: skip


def test_a_path_shows_its_barrier_and_the_numbers_along_it() -> None:
    chart, _ = chart_of(path())
    stem = chart.series[2]
    assert stem.label == "barrier 0.8 at 0.5, bracket [0.8, 0.9]"
    assert stem.x.tolist() == [0.5, 0.5]
    np.testing.assert_allclose(stem.y, [0.875, 1.675])  # from the chord
    assert stem.high is not None
    np.testing.assert_allclose(stem.high, [0.875, 1.775])
    assert [panel.y_label for panel in chart.panels] == ["sharpness", "rank"]
    assert chart.panels[1].series[0].x.size == 8  # without what is not finite
    figure = draw(chart)
    main, *below = figure.axes
    assert [axes.get_ylabel() for axes in below] == ["sharpness", "rank"]
    assert all(axes.get_shared_x_axes().joined(main, axes) for axes in below)
    assert (main.get_xlabel(), below[1].get_xlabel()) == ("", chart.x_label)
    np.testing.assert_allclose(
        np.asarray(below[0].lines[0].get_ydata(), dtype=np.float64), path().along["sharpness"]
    )
    assert "sharpness: 9 points" in describe(chart)
    assert "sharpness" in to_svg(figure, chart, "p")
    assert describe(decode(Chart, encode(chart))) == describe(chart)
    open_end, _ = chart_of(path(math.inf))
    assert open_end.series[2].label.endswith("bracket [0.8, ∞]")
    assert "no upper bound" in open_end.caption
    flat = dataclasses.replace(path(), barrier=0.0, along={})
    assert len(chart_of(flat)[0].series) == 2


@pytest.mark.parametrize("in_a_grid", [True, False])
def test_panels_share_the_room_of_axes_that_are_given(in_a_grid: bool) -> None:
    figure = Figure()
    axes = figure.add_subplot() if in_a_grid else figure.add_axes((0.1, 0.1, 0.8, 0.8))
    assert path().plot(axes) is axes
    path().plot(axes)
    assert len(figure.axes) == 3  # the second path is drawn in the same panels
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    tops = [one.get_position().y1 for one in figure.axes]
    bottoms = [one.get_position().y0 for one in figure.axes]
    assert bottoms[0] > tops[1] > bottoms[1] > tops[2] > bottoms[2] > 0
    assert len(figure.axes[1].lines) == 2
