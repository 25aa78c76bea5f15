"""Draws a chart with matplotlib; nothing is shown or saved here."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)
from matplotlib.transforms import ScaledTranslation

from hessium.figures.formatting import superscript
from hessium.figures.hues import PUBLISHED, hue_of, is_quantity
from hessium.figures.records import Chart, Series
from hessium.plots.fields import draw_field
from hessium.plots.legends import keys_and_kinds, short_legend
from hessium.plots.panels import panels_below
from hessium.plots.style import DARK_INK, DASHES, INK, MARKERS, PALETTE, RC

_WIDTH, _AXES_HEIGHT, _PANEL_HEIGHT, _LINE = 4.3, 2.9, 1.3, 0.205
_MOST_LINES = 8
_X_CHARACTERS, _Y_CHARACTERS, _PANEL_CHARACTERS, _LEGEND_CHARACTERS = 46, 34, 17, 48
_NEXT = (0, 3, 1, 4, 2, 5)  # from the marker of a colour to those of further series in it
_SHORT = 19  # characters of a legend entry, up to which two fit beside each other


def draw(chart: Chart) -> Figure:
    """A figure of one chart, with its own legend below the axes.

    No state of `matplotlib.pyplot` is touched.
    """
    with mpl.rc_context(RC):
        short = keys_and_kinds(chart.series)
        labels = [_wrapped(one.label, _LEGEND_CHARACTERS) for one in chart.series]
        columns = 2 if len(labels) > 2 and max(map(len, labels)) <= _SHORT else 1
        rows = sum(text.count("\n") + 1 for text in labels)
        rows = -(-rows // columns) if short is None else max(map(len, short))
        rows += _balanced(chart.x_label, _X_CHARACTERS).count("\n") + 1
        height = _AXES_HEIGHT + _PANEL_HEIGHT * len(chart.panels) + _LINE * rows
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        handles = draw_on(axes, chart)
        for number, (handle, series) in enumerate(zip(handles, chart.series, strict=True)):
            if series.ids:  # the SVG writer hangs the ids of the runs on these
                line = handle.lines[0] if hasattr(handle, "lines") else handle
                line.set_gid(f"points-{number}")
        if short is not None:
            handles, labels, columns = *short_legend(chart.series, *short), 2
        figure.legend(
            handles,
            labels,
            ncols=columns,
            loc="outside lower left",
            borderaxespad=0.2,
            handlelength=2.6,
        )
        return figure


def draw_on(
    axes: Axes, chart: Chart, *, dark: bool = False, panel: bool = False, **options: Any
) -> list[Any]:
    """Draw the series of a chart and set scales, ticks and labels of the axes.

    Args:
        axes: to draw on.
        chart: what to draw.
        dark: whether the background is dark.
        panel: whether the axes are low, so that the label of y needs more lines.
        options: for matplotlib, with the first series; a colour for all of its source.

    Returns:
        The legend handle of each series.
    """
    if chart.field is not None:
        ticks = FuncFormatter(lambda value, _: tick_text(float(f"{value:.3g}")))
        draw_field(axes, chart.field, ticks, dark=dark)
    styles = styles_of(chart.series, dark=dark)
    for style, series in zip(styles, chart.series, strict=True):
        if series is chart.series[0]:
            style |= options
        elif "color" in options and series.source == chart.series[0].source:
            style["color"] = options["color"]
    handles = [
        _draw_series(axes, series, style)
        for series, style in zip(chart.series, styles, strict=True)
    ]
    _finish_axis(axes, chart, "x", _X_CHARACTERS)
    _finish_axis(axes, chart, "y", _PANEL_CHARACTERS if panel else _Y_CHARACTERS)
    if chart.panels:
        _draw_panels(axes, chart.panels, dark=dark)
    return handles


def _draw_panels(axes: Axes, panels: tuple[Chart, ...], *, dark: bool) -> None:
    """Charts on axes of their own below these, which share their x axis and give it its label."""
    rooms = panels_below(axes, [panel.title for panel in panels])
    for room, panel in zip(rooms, panels, strict=True):
        draw_on(room, panel, dark=dark, panel=True)
        room.tick_params(labelbottom=room is rooms[-1])
        if room is not rooms[-1]:
            room.set_xlabel("")
    axes.set_xlabel("")
    axes.tick_params(labelbottom=False)


def _wrapped(text: str, width: int) -> str:
    """On lines of this width, a few at most."""
    return "\n".join(textwrap.wrap(text, width, max_lines=_MOST_LINES, placeholder=" ..."))


def _balanced(text: str, width: int) -> str:
    """On as few lines of at most this width, of about the same length."""
    found = _wrapped(text, width)
    least = max(map(len, ["words", *text.split()]))
    while width > least and _wrapped(text, width - 1).count("\n") == found.count("\n"):
        width -= 1
        found = _wrapped(text, width)
    return found


def styles_of(series: tuple[Series, ...], *, dark: bool = False) -> list[dict[str, Any]]:
    """Measured: solid and filled. Published: hollow. Theory: dashed, without points.

    The colour is that of the series' hue, else of its quantity (H, H₀, H₁). A theory without either
    has the colour of the text, so that bounds and thresholds look alike in all charts; published
    numbers are grey; anything else takes the next colour. Series of one colour differ in their
    markers.
    """
    styles = []
    theories: Counter[int | None] = Counter()
    marked: Counter[tuple[int | None, bool]] = Counter()
    for index, one in enumerate(series):
        hue = _hue(one, index)
        ink = DARK_INK if dark else INK
        colour = ink if hue is None else PALETTE[hue % len(PALETTE)][int(dark)]
        style: dict[str, Any] = {"color": colour, "linestyle": "-", "marker": "none"}
        if one.source == "theory":
            # series of one colour differ in their dashes; across colours dashes mean the same kind
            style["linestyle"] = DASHES[theories[hue] % len(DASHES)]
            theories[hue] += 1
        if one.mark == "steps":
            style["drawstyle"] = "steps-post"
        elif one.mark != "line":
            kind = hue, one.source == "published" or one.hollow
            place = (index if hue is None else hue) + _NEXT[marked[kind] % len(_NEXT)]
            style["marker"] = MARKERS[place % len(MARKERS)]
            marked[kind] += 1
        if one.mark == "points":
            style["linestyle"] = "none"
        if one.source == "published":
            style |= {"markerfacecolor": "none", "markersize": 6.0, "linewidth": 1.0}
        if one.hollow:
            style |= {"markerfacecolor": "none", "markersize": 6.0, "markeredgewidth": 1.4}
        styles.append(style)
    return styles


def _hue(one: Series, index: int) -> int | None:
    """Number of the colour of a series; None for the colour of the text."""
    if one.hue is not None:
        return one.hue
    if is_quantity(one.label):
        return hue_of(one.label)
    if one.source == "published":
        return PUBLISHED
    return None if one.source == "theory" else index


def _draw_series(axes: Axes, series: Series, style: dict[str, Any]) -> Any:
    """Draw one series and return its legend handle."""
    if series.low is None or series.high is None:
        (line,) = axes.plot(series.x, series.y, **style)
        _nudge(axes, [line], series.nudge)
        return line
    if series.mark in ("line", "steps"):
        (line,) = axes.plot(series.x, series.y, **style)
        look: dict[str, Any] = {"color": style["color"], "alpha": 0.22, "linewidth": 0}
        look["step"] = "post" if series.mark == "steps" else None
        axes.fill_between(series.x, series.low, series.high, **look)
        return line
    bars = np.maximum(np.stack([series.y - series.low, series.high - series.y]), 0.0)
    container = axes.errorbar(
        series.x, series.y, yerr=bars, capsize=2.5, elinewidth=1.0, capthick=1.0, **style
    )
    line, caps, lines = container.lines
    _nudge(axes, [line, *caps, *lines], series.nudge)
    return container


def _nudge(axes: Axes, artists: list[Any], points: float) -> None:
    # only after they are drawn: the limits of the axes follow the data, not the shift
    if points:
        shift = ScaledTranslation(points / 72, 0, axes.figure.dpi_scale_trans)
        for artist in artists:
            artist.set_transform(axes.transData + shift)


def _finish_axis(axes: Axes, chart: Chart, which: str, characters: int) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    scale = chart.x_scale if which == "x" else chart.y_scale
    ticks = chart.x_ticks if which == "x" else chart.y_ticks
    label = chart.x_label if which == "x" else chart.y_label
    if scale == "symlog":  # asinh has no kink, and areas on it are those of its densities
        linear = chart.x_linear if which == "x" else 1.0
        getattr(axes, f"set_{which}scale")("asinh", linear_width=linear)
        if which == "y" and all(_lowest(one) >= 0 for one in chart.series):
            axes.set_ylim(bottom=0.0)  # no margin below a quantity that is never negative
        low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
        ticks = ticks or symlog_ticks(low, high, linear)
    else:
        getattr(axes, f"set_{which}scale")(scale)
    if which == "y" and chart.y_range is not None:
        axes.set_ylim(chart.y_range)
    getattr(axes, f"set_{which}label")(_balanced(label, characters))
    if ticks:
        axis.set_major_locator(FixedLocator(list(ticks)))
        axis.set_minor_locator(NullLocator())
    elif scale == "linear" and chart.series and all(_counts(one, which) for one in chart.series):
        axis.set_major_locator(MaxNLocator(integer=True))
    elif scale == "log":
        low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
        axis.set_major_locator(LogLocator(subs=_log_steps(high / low), numticks=8))
        axis.set_minor_formatter(NullFormatter())
    if which == "y" and chart.field is not None and chart.field.y_names:
        return
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))


def _log_steps(ratio: float) -> tuple[float, ...]:
    """Which multiples of powers of ten are labelled: several on an axis of few decades."""
    if ratio < 5:
        return (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
    if ratio < 100:
        return (1.0, 2.0, 5.0)
    return (1.0, 3.0) if ratio < 1000 else (1.0,)


def _lowest(series: Series) -> float:
    return float(np.min(series.y if series.low is None else series.low, initial=0.0))


def symlog_ticks(low: float, high: float, linear: float, most: int = 9) -> tuple[float, ...]:
    """Zero and powers of ten on both sides of it, so few that their labels stay apart."""
    first = math.ceil(math.log10(linear) + 0.3)
    reach = max(abs(low), abs(high), linear)
    powers = list(range(first, max(first, math.floor(math.log10(reach))) + 1))
    length = math.asinh(high / linear) - math.asinh(low / linear)
    # labels need a room of 1 / most of the axis, and a decade has log(10) of its length
    step = max(1, math.ceil(length / most / math.log(10)))
    sizes = [10.0**k for k in powers[::-1][::step][::-1]]
    found = [-x for x in sizes[::-1] if -x >= low] + [0.0] + [x for x in sizes if x <= high]
    return tuple(x for x in found if low <= x <= high)


def _counts(series: Series, which: str) -> bool:
    if which == "x":
        return bool((series.x == np.round(series.x)).all())
    ends = [e for e in (series.low, series.high, series.y) if e is not None]
    # the median of an even number of counts is half an integer at most
    return all(bool((2 * e == np.round(2 * e)).all()) for e in ends)


def tick_text(value: float) -> str:
    """A tick label in plain Unicode, so that it follows the page's font: 0.5, 20, 10⁻³."""
    if not math.isfinite(value):
        return ""
    factor, power = f"{value:.2e}".split("e")
    if -3 < int(power) < 4 or value == 0:
        return f"{value:.10g}".replace("-", "−")
    factor = f"{float(factor):.3g}".replace("-", "−")
    ten = "10" + superscript(int(power))
    return factor[:-1] + ten if factor in ("1", "−1") else f"{factor}×{ten}"
