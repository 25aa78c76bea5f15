"""Curvature over the steps of a training as charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np

from hessium.errors import InputError
from hessium.figures.fields import Field
from hessium.figures.records import Chart, Series
from hessium.figures.views.numbers import numbers_chart
from hessium.spectra import Bracket
from hessium.training import Record

_WIDE = 1.5  # brackets are cut at this many times the largest value or threshold
_OPEN = "none: one end of the bracket is open"
_LAYERS = 40


@runtime_checkable
class Recorded(Protocol):
    """A monitor, or what else holds records of a training in the order of steps."""

    @property
    def records(self) -> Sequence[Record]:
        """The records."""

    @property
    def track(self) -> Sequence[str]:
        """Names of the quantities in them."""


def monitor_chart(monitor: Recorded, *, quantity: str = "") -> Chart:
    """A quantity of the records over steps, with its brackets and, for sharpness, the threshold.

    Brackets are a band where all records have both ends, else bars at those that have.

    Args:
        monitor: with its records.
        quantity: a tracked field; by default preconditioned sharpness if tracked, else the
            sharpness, else the first one. "layer_traces" is drawn as a heat map.

    Raises:
        InputError: if no record holds the quantity.
    """
    name = quantity or _default(monitor)
    field, series = None, []
    if name == "layer_traces":
        field = _layers(monitor)
    else:
        series = _values(monitor, name)
        series += [one for one in (_spikes(monitor, name), _threshold(monitor, name)) if one]
    if not series and field is None:
        msg = f"quantity: no record holds a finite {name!r}; tracked are {', '.join(monitor.track)}"
        raise InputError(msg)
    return Chart(
        name="monitor",
        title=f"{name.replace('_', ' ').capitalize()} while training",
        caption=repr(monitor.records[-1]),
        x_label="step",
        y_label=name.replace("_", " "),
        y_scale="linear",
        series=tuple(series),
        field=field,
    )


def _default(monitor: Recorded) -> str:
    for name in ("preconditioned_sharpness", "sharpness"):
        if name in monitor.track:
            return name
    return monitor.track[0]


def _number(value: object) -> float:
    if isinstance(value, Bracket):
        return value.value
    return float(value) if isinstance(value, (int, float)) else float("nan")


def _column(monitor: Recorded, name: str) -> tuple[np.ndarray, np.ndarray]:
    steps = np.array([float(record.step) for record in monitor.records])
    values = np.array([_number(getattr(record, name, None)) for record in monitor.records])
    kept = np.isfinite(values)
    return steps[kept], values[kept]


def _values(monitor: Recorded, name: str) -> list[Series]:
    """The values; their brackets as a band, or as bars where some records have an open end."""
    x, y = _column(monitor, name)
    if not y.size:
        return []
    found = [getattr(record, name) for record in monitor.records]
    found = [one for one in found if one is not None and np.isfinite(_number(one))]
    label = name.replace("_", " ")
    line = Series(label=label, x=x, y=y, error="exact", source="measured", mark="line", hue=0)
    if not all(isinstance(one, Bracket) for one in found):
        return [line]
    low, high = (np.array([getattr(one, end) for one in found]) for end in ("lower", "upper"))
    closed = np.isfinite(low) & np.isfinite(high)
    line = replace(line, error=_OPEN)
    if not closed.any():
        return [line]
    limit = _threshold(monitor, name)
    reach = max(float(np.abs(y).max()), 0.0 if limit is None else float(limit.y.max()))
    low, high = np.maximum(low, -_WIDE * reach), np.minimum(high, _WIDE * reach)
    cut = bool((np.abs([low[closed], high[closed]]) == _WIDE * reach).any())
    error = f"confidence {found[0].confidence:g}" if found[0].confidence else "certain"
    error += f", cut at {_WIDE:g} times the largest value" if cut else ""
    if closed.all():
        return [replace(line, low=low, high=high, error=f"bracket, {error}")]
    bars = Series(
        label=f"bracket of {closed.sum()} records of {y.size}", x=x[closed], y=y[closed],
        low=low[closed], high=high[closed], error=f"{error}; the others have no outer end",
        source="measured", mark="points", hue=0,
    )  # fmt: skip
    return [line, bars]


def _spikes(monitor: Recorded, name: str) -> Series | None:
    """Records that started over, as after a spike of the loss."""
    found = [(r.step, _number(getattr(r, name))) for r in monitor.records if r.restarted]
    found = [(step, value) for step, value in found if np.isfinite(value)]
    if not found or "sharpness" not in name:
        return None
    x, y = (np.array(column, dtype=np.float64) for column in zip(*found, strict=True))
    return Series(
        label="started over", x=x, y=y, error="a jump of the curvature", source="measured",
        mark="points",
    )  # fmt: skip


def _threshold(monitor: Recorded, name: str) -> Series | None:
    """The threshold, where it limits the quantity: H itself for optimisers without a state."""
    limited = name in ("preconditioned_sharpness", "sharpness", "batch_sharpness")
    same = all(
        r.preconditioned_sharpness is None or r.preconditioned_sharpness == r.sharpness
        for r in monitor.records
    )
    if not limited or not (same or name == "preconditioned_sharpness"):
        return None
    x, y = _column(monitor, "threshold")
    if not y.size:
        return None
    return Series(
        label="stability threshold", x=x, y=y, error="exact", source="theory", mark="line"
    )


def _layers(monitor: Recorded) -> Field | None:
    """Traces of the blocks over steps: one row for each layer."""
    found = list(
        {r.step: (r.step, r.layer_traces) for r in monitor.records if r.layer_traces}.values()
    )
    if not found:
        return None
    names = tuple(found[-1][1])[:_LAYERS]
    found = [one for one in found if set(names) <= set(one[1])]
    return Field(
        label="trace of the block of H",
        x=np.array([float(step) for step, _ in found]),
        y=np.arange(float(len(names))),
        z=np.array([[traces[name].value for _, traces in found] for name in names]),
        style="cells",
        y_names=names,
        error="Student's interval over the probes",
    )


def record_chart(record: Record, *, label: str = "") -> Chart:
    """The numbers of one record, each with its bracket."""
    return numbers_chart(record, label=label or f"Curvature at step {record.step}")


VIEWS = {"Monitor": monitor_chart, "Record": record_chart}
