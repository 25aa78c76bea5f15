"""A result by its numbers, where there is nothing better to draw."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hessium.errors import InputError
from hessium.figures.frames import columns_of, scalars_of
from hessium.figures.records import Chart, Series

_MOST = 12
# settings and costs, which are not findings
_BESIDE = ("tol", "scale", "confidence", "num_matvecs", "steps", "freedom", "stderr", "resolution")
_ENDS = ("lower", "upper", "low", "high")


def numbers_chart(result: Any, *, label: str = "") -> Chart:
    """Columns of a result against their index, or its scalars, each with its bracket.

    Args:
        result: any result.
        label: heading of the chart, by default the name of the class.

    Raises:
        InputError: if no number of the result is finite.
    """
    name = type(result).__name__
    series = _columns(result) or _scalars(result)
    if not series:
        msg = f"{name}: holds no finite number, so there is nothing to plot"
        raise InputError(msg)
    return Chart(
        name="numbers",
        title=label or name,
        caption=repr(result),
        x_label="index",
        y_label="value",
        series=tuple(series[:_MOST]),
    )


def _columns(result: Any) -> list[Series]:
    found = []
    for name, column in columns_of(result).items():
        if len(column) < 2 or not all(isinstance(v, (int, float, np.number)) for v in column):
            continue
        y = np.array(column, dtype=np.float64)
        if np.isfinite(y).all():
            x = np.arange(1.0, y.size + 1)
            found.append(
                Series(label=name, x=x, y=y, error="none", source="measured", mark="points")
            )
    return found


def _scalars(result: Any) -> list[Series]:
    """Value, lower and upper of one name are one point with its bracket."""
    numbers = {
        name: float(value)
        for name, value in scalars_of(result).items()
        if isinstance(value, (int, float, np.number))
        and not isinstance(value, bool)
        and math.isfinite(value)
    }
    found: list[Series] = []
    for name, value in numbers.items():
        head, _, last = name.rpartition(".")
        if last in _ENDS or last in _BESIDE:
            continue
        ends = [numbers.get(f"{head}.{end}".lstrip(".")) for end in _ENDS]
        low, high = (ends[0], ends[1]) if ends[0] is not None else (ends[2], ends[3])
        error = numbers.get(f"{head}.stderr".lstrip("."))
        if low is None and error is not None:
            low, high = value - 2 * error, value + 2 * error
        bracket = last == "value" and low is not None and high is not None
        label = (head or type(result).__name__) if last == "value" else name
        found.append(
            Series(
                label=label,
                x=np.array([len(found) + 1.0]),
                y=np.array([value]),
                low=np.array([low]) if bracket else None,
                high=np.array([high]) if bracket else None,
                error="bracket" if ends[0] is not None or error is None else "two standard errors",
                source="measured",
                mark="points",
            )
        )
    return found
