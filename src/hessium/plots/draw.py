"""From a stored chart to a matplotlib figure; nothing is shown or saved here."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation

from hessium.experiments.records import Chart, Series
from hessium.plots.style import DASHES, MARKERS, PALETTE, RC

_WIDTH, _AXES_HEIGHT, _LEGEND_LINE = 4.9, 2.9, 0.19
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def draw(chart: Chart) -> Figure:
    """A figure of one chart, with its own legend below the axes.

    No state of `matplotlib.pyplot` is touched.
    """
    with mpl.rc_context(RC):
        labels = [textwrap.fill(series.label, 58) for series in chart.series]
        lines = sum(label.count("\n") + 1 for label in labels)
        height = _AXES_HEIGHT + 0.2 + _LEGEND_LINE * lines
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        styles = _styles(chart.series)
        for series, label, style in zip(chart.series, labels, styles, strict=True):
            _draw_series(axes, series, label, style)
        _finish_axis(axes, chart, "x")
        _finish_axis(axes, chart, "y")
        figure.legend(loc="outside lower left", ncols=1, borderaxespad=0.2, handlelength=2.6)
        return figure


def _styles(series: tuple[Series, ...]) -> list[dict[str, Any]]:
    """Measured: solid and filled. Published: hollow. Theory: dashed, without points."""
    styles = []
    theories = 0
    for index, one in enumerate(series):
        colour = PALETTE[index % len(PALETTE)][0]
        style: dict[str, Any] = {"color": colour, "linestyle": "-", "marker": "none"}
        if one.source == "theory":
            style["linestyle"] = DASHES[theories % len(DASHES)]
            theories += 1
        if one.mark != "line":
            style["marker"] = MARKERS[index % len(MARKERS)]
        if one.mark == "points":
            style["linestyle"] = "none"
        if one.source == "published":
            style |= {"markerfacecolor": "none", "markersize": 6.0, "linewidth": 1.0}
        styles.append(style)
    return styles


def _draw_series(axes: Axes, series: Series, label: str, style: dict[str, Any]) -> None:
    shift = ScaledTranslation(series.nudge / 72, 0, axes.figure.dpi_scale_trans)
    if series.low is None or series.high is None:
        axes.plot(series.x, series.y, label=label, transform=axes.transData + shift, **style)
        return
    if series.mark == "line":
        axes.plot(series.x, series.y, label=label, **style)
        axes.fill_between(
            series.x, series.low, series.high, color=style["color"], alpha=0.22, linewidth=0
        )
        return
    bars = np.stack([series.y - series.low, series.high - series.y])
    axes.errorbar(
        series.x,
        series.y,
        yerr=np.maximum(bars, 0.0),
        label=label,
        transform=axes.transData + shift,
        capsize=2.5,
        elinewidth=1.0,
        **style,
    )


def _finish_axis(axes: Axes, chart: Chart, which: str) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    scale = chart.x_scale if which == "x" else chart.y_scale
    ticks = chart.x_ticks if which == "x" else chart.y_ticks
    label = chart.x_label if which == "x" else chart.y_label
    options = {"linthresh": 1.0} if scale == "symlog" else {}
    getattr(axes, f"set_{which}scale")(scale, **options)
    getattr(axes, f"set_{which}label")(textwrap.fill(label, 62 if which == "x" else 42))
    if ticks:
        axis.set_major_locator(FixedLocator(list(ticks)))
        axis.set_minor_locator(NullLocator())
    elif scale == "log":
        axis.set_major_locator(LogLocator(numticks=8))
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))


def tick_text(value: float) -> str:
    """A tick label in plain Unicode, so that it follows the page's font: 0.5, 20, 10⁻³."""
    if value == 0:
        return "0"
    size = abs(value)
    exponent = math.floor(math.log10(size) + 1e-12)
    if -3 < exponent < 4:
        return f"{value:.10g}".replace("-", "−")
    factor = value / 10.0**exponent
    power = "10" + str(exponent).translate(_SUPERSCRIPT)
    if math.isclose(factor, 1.0, rel_tol=1e-9):
        return power
    return f"{factor:.3g}×{power}".replace("-", "−")
