"""Draws a field on axes: filled contours or cells, with a colour bar."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator
from scipy.interpolate import Akima1DInterpolator

from hessium._typing import FloatArray
from hessium.figures.fields import Field
from hessium.plots.style import PALETTE

_LEVELS = 12
_FINE = 120  # intervals of an axis, between which contours are straight
_LABEL = 34  # characters of a line beside the colour bar


def draw_field(axes: Axes, field: Field, tick_text: FuncFormatter, *, dark: bool = False) -> None:
    """Draw the values, light to dark on a light page and dark to light on a dark one."""
    low, high = _range(field.z)
    light, deep = ("#10202c", PALETTE[0][1]) if dark else ("#f4f8fb", PALETTE[0][0])
    colours = LinearSegmentedColormap.from_list("hessium", [light, deep])
    norm = LogNorm(low, high) if field.log else Normalize(low, high)
    if field.style == "cells":
        drawn: Any = axes.pcolormesh(
            _edges(field.x), _edges(field.y), field.z, cmap=colours, norm=norm, shading="flat"
        )
    else:
        levels = _levels(low, high, log=field.log)
        x, y, z = interpolated(field)
        drawn = axes.contourf(x, y, z, levels, cmap=colours, norm=norm, extend="both")
        ink = "#c8d4dc" if dark else "#3a4a56"
        axes.contour(x, y, z, levels, colors=ink, linewidths=0.5)
    axes.grid(visible=False)
    if field.equal:
        axes.set_aspect("equal")
    if field.y_names:
        axes.set_yticks(field.y, labels=list(field.y_names))
    figure = axes.get_figure()
    if isinstance(figure, Figure):
        bar = figure.colorbar(drawn, ax=axes, format=tick_text)
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


def _range(values: FloatArray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _levels(low: float, high: float, *, log: bool) -> FloatArray:
    if not log:
        return np.asarray(MaxNLocator(_LEVELS).tick_values(low, high))
    decades = np.log10(high / low)
    if decades >= 6:
        return np.asarray(LogLocator().tick_values(low, high))
    return np.asarray(np.logspace(np.log10(low), np.log10(high), _LEVELS))


def _edges(centres: FloatArray) -> FloatArray:
    if centres.size == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    inner = (centres[1:] + centres[:-1]) / 2
    return np.r_[2 * centres[0] - inner[0], inner, 2 * centres[-1] - inner[-1]]
