"""What a series of checkpoints says on its page."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from hessium.errors import InputError
from hessium.figures.formatting import digits
from hessium.figures.records import Chart, Findings, Number, Statement, Table, exact
from hessium.figures.views.monitors import monitor_chart
from hessium.figures.views.spectra import spectrum_chart
from hessium.profiles.cells import NOT_MEASURED, Cell
from hessium.spectra import Bracket
from hessium.training import Record

if TYPE_CHECKING:
    from hessium.profiles.checkpoint_series import CheckpointSeries

_CURVES = (
    "sharpness",
    "preconditioned_sharpness",
    "most_negative",
    "loss",
    "gradient_norm",
    "distance",
    "trace",
    "gauss_newton_trace",
    "batch_sharpness",
    "directional_sharpness",
    "gradient_share",
    "layer_traces",
)
_MOST_REASONS = 5
_MOST_ROWS, _MOST_SPECTRA, _ROOM = 40, 12, 0.1
_BRACKET = "value [lower, upper end of the bracket]; the inner end always holds"
_METHOD = (
    "Extreme eigenvalues: Rayleigh-Ritz from the vectors of the checkpoint before. The end of a "
    "bracket at the value is a Rayleigh quotient and always holds; the other one comes from a "
    "random vector in the complement and holds at the stated confidence."
)


def series_findings(series: CheckpointSeries) -> Findings:
    """Tables, charts and statements."""
    return Findings(
        statements=tuple(_statements(series)),
        charts=(*_curves(series), *_spectra(series)),
        tables=(_rows_table(series),),
        quoted=(_ends_table(series),),
        notes=tuple(_notes(series)),
    )


def _curves(series: CheckpointSeries) -> list[Chart]:
    charts = []
    for name in _CURVES:
        if name not in series.track:
            continue
        try:
            chart = monitor_chart(series, quantity=name)
        except InputError:  # no number of it is finite
            continue
        charts.append(dataclasses.replace(chart, name=name.replace("_", "-")))
    return charts


def _spectra(series: CheckpointSeries) -> list[Chart]:
    """Small multiples: spectra of some checkpoints on the same axis."""
    found = [r for r in series.records if r.spectrum is not None]
    if not found:
        return []
    places = np.unique(np.linspace(0, len(found) - 1, _MOST_SPECTRA).round().astype(int))
    charts = []
    linear = None
    for place in places[::-1]:  # the axis of the last one, whose spectrum is of most interest
        record = found[place]
        assert record.spectrum is not None
        chart = spectrum_chart(record.spectrum, label=f"H at step {record.step}", linear=linear)
        linear = chart.x_linear
        charts.append(
            dataclasses.replace(
                chart, name=f"spectrum-{record.step}", title=f"Spectrum at step {record.step}"
            )
        )
    return charts[::-1]


def _statements(series: CheckpointSeries) -> list[Statement]:
    """Whether the sharpness is at its threshold at the end."""
    finite = [record for record in series.records if not record.reason]
    if not finite:
        return []
    last = finite[-1]
    which = "last" if last is series.records[-1] else "last finite"
    limit, value = last.threshold, limited(last)
    if limit is None or value is None or not np.isfinite(limit):
        return []
    name = "Preconditioned sharpness" if last.preconditioned_sharpness else "Sharpness"
    at_edge = abs(value.value / limit - 1) <= _ROOM
    return [
        Statement(
            claim=f"{name} is within 10 % of the stability threshold at the {which} checkpoint.",
            verdict="holds" if at_edge else "does not hold",
            evidence=f"{digits(value.value)} at step {last.step}, threshold {digits(limit)}: a "
            f"ratio of {digits(value.value / limit)}.",
        )
    ]


def limited(record: Record) -> Bracket | None:
    """What the threshold of a record limits: preconditioned sharpness, or the sharpness itself."""
    if record.preconditioned_sharpness is not None:
        return record.preconditioned_sharpness
    return record.sharpness


def _ends_table(series: CheckpointSeries) -> Table:
    """First and last checkpoint side by side."""
    ends = [series.records[0], series.records[-1]][: len(series.records)]
    names = [name for name in series.track if name not in ("layer_traces", "inertia", "spectrum")]
    rows = [
        (name.replace("_", " "), *(_cell(getattr(one, name)) for one in ends)) for name in names
    ]
    return Table(
        title="First and last checkpoint" if len(ends) > 1 else "The checkpoint",
        columns=("quantity", *(f"step {one.step}" for one in ends)),
        rows=tuple(rows),
    )


def _rows_table(series: CheckpointSeries) -> Table:
    names = [n for n in ("loss", *_CURVES[:2], "threshold") if n in series.track]
    places = np.arange(len(series.records))
    if places.size > _MOST_ROWS:
        places = np.unique(np.linspace(0, places[-1], _MOST_ROWS).round().astype(int))
    rows = [
        (
            str(series.records[i].step),
            *(_cell(getattr(series.records[i], name)) for name in names),
            exact(series.records[i].num_matvecs),
        )
        for i in places
    ]
    more = "" if places.size == len(series.records) else " Some of the checkpoints are shown."
    return Table(
        title="Checkpoints",
        columns=("step", *(name.replace("_", " ") for name in names), "products"),
        rows=tuple(rows),
        note=f"`curvature.csv` has all columns.{more}",
    )


def _cell(value: object) -> Cell:
    if isinstance(value, Bracket):
        if not np.isfinite(value.value):
            return NOT_MEASURED
        if not np.isfinite([value.lower, value.upper]).all():
            return Number(value=value.value, basis="one end of the bracket is open")
        sure = f"{_BRACKET}, the other one at confidence {value.confidence:g}"
        return Number(value=value.value, low=value.lower, high=value.upper, basis=sure)
    if isinstance(value, (int, float)) and np.isfinite(value):
        return Number(value=float(value), basis="computed once, to rounding", digits=4)
    return NOT_MEASURED


def _notes(series: CheckpointSeries) -> list[str]:
    notes = []
    if series.stopped:
        notes.append(
            f"Stopped before the end by {series.stopped}; {series.missing} checkpoints are "
            "missing. The same command resumes."
        )
    lost = [record for record in series.records if record.reason]
    notes.extend(f"Step {r.step} holds no curvature: {r.reason}." for r in lost[:_MOST_REASONS])
    if len(lost) > _MOST_REASONS:
        notes.append(
            f"So do {len(lost) - _MOST_REASONS} later checkpoints; `curvature.csv` has the reasons."
        )
    notes.append(_METHOD)
    if not series.optimizer and series.plan.threshold is None:
        notes.append(
            "No state of an optimiser was found in the checkpoints, so there is no threshold. "
            "Return (risk, optimizer) from the function, or tell the threshold."
        )
    return notes
