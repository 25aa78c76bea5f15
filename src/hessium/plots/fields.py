"""Draws a field on axes: filled contours or cells, with a colour bar."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from scipy.interpolate import Akima1DInterpolator

from hessium._typing import FloatArray
from hessium.figures.fields import Field
from hessium.plots.style import PALETTE

_LEVELS = 12
_MARGIN = 0.02  # of the range, at either end without a contour
_TICKS = 13  # of the colour bar
_FINE = 120  # intervals of an axis, between which contours are straight
_LABEL = 34  # characters of a line beside the colour bar


def draw_field(axes: Axes, field: Field, tick_text: FuncFormatter, *, dark: bool = False) -> None:
    """Draw the values, light to dark on a light page and dark to light on a dark one."""
    low, high = _range(field.z, log=field.log)
    light, deep = ("#10202c", PALETTE[0][1]) if dark else ("#f4f8fb", PALETTE[0][0])
    colours = LinearSegmentedColormap.from_list("hessium", [light, deep])
    norm = LogNorm(low, high) if field.log else Normalize(low, high)
    levels = contour_levels(low, high, log=field.log)
    if field.style == "cells":
        drawn: Any = axes.pcolormesh(
            _edges(field.x), _edges(field.y), field.z, cmap=colours, norm=norm, shading="flat"
        )
    else:
        x, y, z = interpolated(field)
        bounds = np.r_[low, levels, high]
        drawn = axes.contourf(x, y, z, bounds, cmap=colours, norm=norm)
        ink = "#c8d4dc" if dark else "#3a4a56"
        axes.contour(x, y, z, levels, colors=ink, linewidths=0.5)
    axes.grid(visible=False)
    if field.equal:
        axes.set_aspect(field.unit_ratio)
    if field.y_names:
        axes.set_yticks(field.y, labels=list(field.y_names))
    figure = axes.get_figure()
    if isinstance(figure, Figure):
        ticks = None if field.style == "cells" else _ticks(levels)
        bar = figure.colorbar(drawn, ax=axes, format=tick_text, ticks=ticks, spacing="proportional")
        bar.set_label(field.label)
        bar.outline.set_linewidth(0.6)
        bar.minorticks_off()


def interpolated(field: Field) -> tuple[FloatArray, FloatArray, FloatArray]:
    """A finer grid with values between those of the field, of their logarithms where it says so.

    By Akima's cubics (1970, J. ACM 17, 589) along one axis after the other: exact for parabolas on
    equidistant points, and no overshoot beside a jump or a plateau.
    """
    x, y = _finer(field.x), _finer(field.y)
    z = np.log(field.z) if field.log else field.z
    low, high = z.min(), z.max()
    z = Akima1DInterpolator(field.x, z, axis=1)(x)
    z = np.clip(Akima1DInterpolator(field.y, z, axis=0)(y), low, high)
    return x, y, np.clip(np.exp(z), field.z.min(), field.z.max()) if field.log else z


def _finer(axis: FloatArray) -> FloatArray:
    parts = math.ceil(_FINE / (axis.size - 1))
    steps = np.arange(parts) / parts
    return np.append((axis[:-1, None] + np.diff(axis)[:, None] * steps).reshape(-1), axis[-1])


def _range(values: FloatArray, *, log: bool) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if high > low:
        return low, high
    return (low / 2, high * 2) if log else (low - 0.5, high + 0.5)


def contour_levels(low: float, high: float, *, log: bool) -> FloatArray:
    """Round numbers within the range.

    They have equal steps; with logarithms they are 1, 2 and 5 in each decade, or whole decades
    where there are many. None is nearer to an end than a fiftieth of the range, of the logarithms
    where they are drawn: a contour at the smallest value would outline where interpolation ends,
    not the loss.
    """
    if log and high >= 10 * low:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        decades = np.arange(first, last + 1)
        steps = (1, 2, 5) if math.log10(high / low) <= _LEVELS // 3 else (1,)
        every = max(1, math.ceil((last - first) / _LEVELS)) if len(steps) == 1 else 1
        found = np.array([float(f"{m}e{d}") for d in decades[::every] for m in steps])
    else:
        found = np.asarray(MaxNLocator(_LEVELS, steps=[1, 2, 5, 10]).tick_values(low, high))
        found = found[(found > low) & (found < high)]
    ends = np.array([low, high])
    (first, last), places = (np.log(ends), np.log(found)) if log else (ends, found)
    margin = _MARGIN * (last - first)
    return np.asarray(found[(places > first + margin) & (places < last - margin)])


def _ticks(levels: FloatArray) -> FloatArray:
    """Every second level or fewer, where there are many."""
    return levels[:: math.ceil(len(levels) / _TICKS)] if len(levels) else levels


def _edges(centres: FloatArray) -> FloatArray:
    if centres.size == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    inner = (centres[1:] + centres[:-1]) / 2
    return np.r_[2 * centres[0] - inner[0], inner, 2 * centres[-1] - inner[-1]]
