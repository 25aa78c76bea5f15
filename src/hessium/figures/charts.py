"""Charts as data: curves, clouds and colours on one pair of axes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from hessium._typing import AnyArray, FloatArray
from hessium.errors import InputError
from hessium.figures.fields import Field

Numbers: TypeAlias = AnyArray | Sequence[Any]  # numbers in an array or in nested sequences

Source = Literal["measured", "published", "theory"]
Mark = Literal["points", "line", "both", "steps"]
Scale = Literal["linear", "log", "symlog"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_MOST_POINTS = 100_000  # of a chart: beyond that, drawing takes minutes
_MOST_SERIES, _MOST_TICKS, _MOST_PANELS = 50, 100, 8
_MOST_NUDGE = 100.0


def require(condition: bool, message: str) -> None:
    """Raise InputError with a message unless a condition holds."""
    if not condition:
        raise InputError(message)


def require_name(field_name: str, name: str) -> None:
    """Names become file names and identifiers of a page."""
    require(
        _NAME.fullmatch(name) is not None,
        f"{field_name}: {name[:80]!r}; at most 64 letters a-z, digits and -, no - at the start",
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """One curve or cloud of a chart.

    Attributes:
        label: legend entry; names the law or the source.
        x, y: positions and values, shape (k,).
        low, high: ends of the error bars, shape (k,), or None.
        error: meaning of the bars, or `EXACT`, or why there are none.
        source: origin of the numbers, which decides the style.
        mark: points, a line, both, or steps: y from this x to the next.
        nudge: sideways shift in typographic points, for points that would hide each other.
        hue: series with the same number share a colour. None is the colour of its quantity, if
            the label begins with one (H, H₀, H₁), of the text for theory, grey for published
            numbers, else the next one.
        ids: of the runs behind the points, one each, or none.
        hollow: whether markers are drawn hollow, as for points beside the plane of a chart.
    """

    label: str
    x: FloatArray
    y: FloatArray
    low: FloatArray | None = None
    high: FloatArray | None = None
    error: str
    source: Source
    mark: Mark
    nudge: float = 0.0
    hue: int | None = None
    ids: tuple[str, ...] = ()
    hollow: bool = False

    def __post_init__(self) -> None:
        require(bool(self.error.strip()), f"error of {self.label!r}: empty; say what it is")
        require((self.low is None) == (self.high is None), f"low, high of {self.label!r}: both")
        shape = np.shape(self.x)
        require(len(shape) == 1, f"x of {self.label!r}: shape {shape}; must be (k,)")
        for name in ("x", "y", "low", "high"):
            given = getattr(self, name)
            if given is None:
                continue
            array = np.array(given, dtype=np.float64)
            require(array.shape == shape, f"{name} of {self.label!r}: {array.shape} is not {shape}")
            require(bool(np.isfinite(array).all()), f"{name} of {self.label!r}: not all finite")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        require(
            abs(self.nudge) <= _MOST_NUDGE,
            f"nudge of {self.label!r}: {self.nudge}; at most {_MOST_NUDGE:g} points either way",
        )
        require(
            len(self.ids) in (0, shape[0]), f"ids of {self.label!r}: {len(self.ids)} for {shape}"
        )


def measured(
    label: str,
    x: Numbers,
    samples: Numbers,
    *,
    what: str,
    mark: Mark = "both",
    nudge: float = 0.0,
    hue: int | None = None,
) -> Series:
    """Median and range over repetitions.

    Args:
        label: legend entry.
        x: positions, shape (k,).
        samples: repeated measurements, shape (repetitions, k).
        what: what the repetitions are, such as "5 seeds".
        mark: points, a line, or both.
        nudge: see `Series`.
        hue: see `Series`.
    """
    table = np.asarray(samples, dtype=np.float64)
    if len(table) == 1:  # one run has no range
        return Series(
            label=label,
            x=np.asarray(x, dtype=np.float64),
            y=table[0],
            error=f"none, {what}",
            source="measured",
            mark=mark,
            nudge=nudge,
            hue=hue,
        )
    return Series(
        label=label,
        x=np.asarray(x, dtype=np.float64),
        y=np.median(table, axis=0),
        low=table.min(axis=0),
        high=table.max(axis=0),
        error=f"median, {'band' if mark == 'line' else 'bars'} from least to greatest over {what}",
        source="measured",
        mark=mark,
        nudge=nudge,
        hue=hue,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One pair of axes with everything on it.

    Attributes:
        name: file name of the figure, without suffix.
        title: short heading.
        caption: one or two sentences.
        x_label, y_label: meaning and unit.
        x_scale, y_scale: linear, log, or symlog (linear about zero, logarithmic beyond, by asinh).
        x_linear: of symlog, x is at asinh(x / x_linear).
        x_ticks, y_ticks: positions of labelled ticks, or empty for automatic ones.
        y_range: ends of the y axis, for charts to be compared; None follows the data.
        series: what is drawn, first below.
        field: values in colours below the series, if any.
        panels: charts below this one on the same x axis, without fields and panels of their own.
    """

    name: str
    title: str
    caption: str
    x_label: str
    y_label: str
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"
    x_linear: float = 1.0
    x_ticks: tuple[float, ...] = ()
    y_ticks: tuple[float, ...] = ()
    y_range: tuple[float, float] | None = None
    series: tuple[Series, ...]
    field: Field | None = None
    panels: tuple[Chart, ...] = ()

    def __post_init__(self) -> None:
        require_name("name", self.name)
        require(
            0 < self.x_linear < math.inf,
            f"x_linear of chart {self.name}: {self.x_linear}; must be finite and > 0",
        )
        for name in ("x_ticks", "y_ticks"):
            ticks = getattr(self, name)
            require(
                len(ticks) <= _MOST_TICKS and all(map(math.isfinite, ticks)),
                f"{name} of chart {self.name}: {len(ticks)}; at most {_MOST_TICKS} finite numbers",
            )
        low, high = (0.0, 1.0) if self.y_range is None else self.y_range
        require(
            -math.inf < low < high < math.inf,
            f"y_range of chart {self.name}: {self.y_range}; must be finite and ascending",
        )
        drawn = bool(self.series) or self.field is not None
        require(drawn, f"series of chart {self.name}: empty; nothing to draw")
        require(
            len(self.series) <= _MOST_SERIES,
            f"series of chart {self.name}: {len(self.series)}; at most {_MOST_SERIES} can be drawn",
        )
        points = sum(one.x.size for one in self.series)
        require(
            points <= _MOST_POINTS,
            f"points of chart {self.name}: {points}; at most {_MOST_POINTS} can be drawn",
        )
        require(
            len(self.panels) <= _MOST_PANELS
            and not any(panel.panels or panel.field for panel in self.panels),
            f"panels of chart {self.name}: at most {_MOST_PANELS}, without fields and panels",
        )
