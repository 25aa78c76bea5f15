"""A result on matplotlib axes of the user's."""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
from typing import Any

import matplotlib as mpl
from matplotlib import cbook
from matplotlib.artist import ArtistInspector
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hessium.errors import InputError
from hessium.figures.hues import is_quantity
from hessium.figures.records import Series
from hessium.figures.views import chart_of, options_of
from hessium.plots.draw import draw_on

_DARK = 0.4  # relative luminance of a background, below which it is dark
_TITLE, _LEGEND = 44, 38  # characters of a line


def plot(result: Any, ax: Axes | None, **options: Any) -> Axes:
    """Draw the chart of a result; see `Plottable.plot`.

    On axes that hold a chart already the scale stays, the legend is that of all, and a quantity
    without a colour of its own takes the next one.
    """
    if ax is not None and not isinstance(ax, Axes):
        msg = f"ax: {type(ax).__name__}; matplotlib axes, or None, are required"
        raise InputError(msg)
    axes = _new_axes() if ax is None else ax
    drawn = axes.get_legend_handles_labels()[1]
    if axes.get_xscale() == "asinh" and "linear" in options_of(result):
        transform: Any = axes.xaxis.get_transform()
        options.setdefault("linear", float(transform.linear_width))
    chart, rest = chart_of(result, **options)
    series = tuple(_coloured(one, len(drawn)) for one in chart.series)
    chart = dataclasses.replace(chart, series=series)
    rest = cbook.normalize_kwargs(rest, Line2D)
    _require_known(result, rest)
    handles = draw_on(axes, chart, dark=_is_dark(axes), **rest)
    for handle, one in zip(handles, series, strict=True):
        handle.set_label(
            _with_error(rest.get("label", one.label) if one is series[0] else one.label, one)
        )
    if not drawn:
        title = textwrap.shorten(chart.title, 3 * _TITLE, placeholder=" ...")
        axes.set_title(textwrap.fill(title, _TITLE), fontsize="medium")
    elif axes.get_title():
        axes.set_title("")  # of one of several results
    if series:
        axes.legend(fontsize="small", framealpha=0.7, edgecolor="none")
    return axes


def _require_known(result: Any, rest: dict[str, Any]) -> None:
    """Raise InputError for options that neither the view nor matplotlib knows."""
    known = {*ArtistInspector(Line2D).get_setters(), *inspect.signature(Axes.errorbar).parameters}
    if unknown := sorted(set(rest) - known):
        own = ", ".join(f"{name}=" for name in options_of(result))
        msg = (
            f"{unknown[0]}: no option of the plot of a {type(result).__name__}; it has "
            f"{own + ' and ' if own else ''}those of a line of matplotlib, such as color="
        )
        raise InputError(msg)


def _coloured(series: Series, drawn: int) -> Series:
    if not drawn or series.source != "measured" or is_quantity(series.label):
        return series
    return dataclasses.replace(series, hue=(series.hue or 0) + drawn)


def _with_error(label: str, series: Series) -> str:
    """A label, and the meaning of the bars or of the band."""
    text = textwrap.shorten(label, 2 * _LEGEND, placeholder=" ...")
    if series.low is not None:
        text += f" ({series.error})"
    return textwrap.fill(text, _LEGEND)


def _new_axes() -> Axes:
    """In a figure of pyplot, which notebooks and `plt.show` display."""
    from matplotlib import pyplot as plt

    _, axes = plt.subplots(layout="constrained")
    return axes


def _is_dark(axes: Axes) -> bool:
    background = to_rgba(axes.get_facecolor())
    figure = axes.get_figure()
    if background[3] == 0 and isinstance(figure, Figure):
        background = to_rgba(figure.get_facecolor())
    if background[3] == 0:  # transparent: the text colour tells light from dark
        ink = to_rgba(mpl.rcParams["text.color"])
        return _luminance(ink) > 1 - _DARK
    return _luminance(background) < _DARK


def _luminance(colour: tuple[float, float, float, float]) -> float:
    red, green, blue, _ = colour
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
