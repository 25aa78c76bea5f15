"""Eigenpairs and stochastic estimates as charts."""

from __future__ import annotations

import numpy as np

from hessium.estimate import DiagonalEstimate, Eigenpairs, Estimate, NormEstimate, SpectralSum
from hessium.figures.frames import plain
from hessium.figures.hues import hue_of
from hessium.figures.records import Chart, Series
from hessium.figures.views.numbers import numbers_chart


def eigenpairs_chart(pairs: Eigenpairs, *, label: str = "eigenvalues") -> Chart:
    """Eigenvalues by index, with their residuals as bars."""
    values, room = pairs.values, pairs.residuals
    reach = float(np.abs(values).max(initial=0.0)) or 1.0
    return Chart(
        name="eigenpairs",
        title=f"{values.size} of {pairs.dim} eigenvalues ({pairs.which})",
        caption="Bars are residuals: within each lies an eigenvalue.",
        x_label="eigenvalue index, alternating ends" if pairs.which == "BE" else "eigenvalue index",
        y_label="eigenvalue λ",
        y_scale="linear" if float(np.abs(values).min(initial=reach)) > 1e-3 * reach else "symlog",
        series=(
            Series(
                label=label,
                x=np.arange(1.0, values.size + 1),
                y=values,
                low=values - room,
                high=values + room,
                error="bars: residuals",
                source="measured",
                mark="points",
                hue=hue_of(label),
            ),
        ),
    )


def samples_chart(result: Estimate | SpectralSum, *, label: str = "estimate") -> Chart:
    """Single estimates, their mean and its 95 % interval."""
    if isinstance(result, SpectralSum) and result.steps == 0:
        return numbers_chart(result)
    samples = np.asarray(result.samples, dtype=np.float64)
    x = np.arange(1.0, max(samples.size, 2) + 1)
    low, high = result.interval(0.95)
    finite = bool(np.isfinite([low, high]).all())
    ends = np.array([x[0], x[-1]])
    series = [
        Series(
            label=f"{label}, mean",
            x=ends,
            y=np.full(2, result.value),
            low=np.full(2, min(low, result.value)) if finite else None,
            high=np.full(2, max(high, result.value)) if finite else None,
            error="95 % interval" if finite else "unknown",
            source="measured",
            mark="line",
            hue=0,
        )
    ]
    if samples.size > 1 and np.isfinite(samples).all():
        series.append(
            Series(
                label="of each probe",
                x=x[: samples.size],
                y=samples,
                error="one probe each",
                source="measured",
                mark="points",
                hue=5,
            )
        )
    return Chart(
        name="estimate",
        title="Stochastic estimate",
        caption=repr(result),
        x_label="probe",
        y_label="value",
        series=tuple(series),
    )


def norm_chart(result: NormEstimate, *, label: str = "Frobenius norm") -> Chart:
    """The norm with its 95 % interval."""
    low, high = result.interval(0.95)
    return Chart(
        name="norm",
        title=label,
        caption=repr(result),
        x_label="",
        y_label="norm",
        x_ticks=(0.0,),
        series=(
            Series(
                label=label,
                x=np.array([1.0]),
                y=np.array([float(result.value)]),
                low=np.array([low]),
                high=np.array([high]),
                error="95 % interval",
                source="measured",
                mark="points",
            ),
        ),
    )


def diagonal_chart(result: DiagonalEstimate, *, label: str = "diagonal") -> Chart:
    """Diagonal entries by index, with two standard errors."""
    value, error = (
        np.asarray(plain(part), dtype=np.float64) for part in (result.value, result.stderr)
    )
    finite = bool(np.isfinite(error).all())
    return Chart(
        name="diagonal",
        title="Diagonal",
        caption=repr(result),
        x_label="parameter index",
        y_label="diagonal entry",
        series=(
            Series(
                label=label,
                x=np.arange(1.0, value.size + 1),
                y=value,
                low=value - 2 * error if finite else None,
                high=value + 2 * error if finite else None,
                error="two standard errors" if finite else "unknown",
                source="measured",
                mark="points",
                hue=hue_of(label),
            ),
        ),
    )


VIEWS = {
    "Eigenpairs": eigenpairs_chart,
    "Estimate": samples_chart,
    "NormEstimate": norm_chart,
    "SpectralSum": samples_chart,
    "DiagonalEstimate": diagonal_chart,
}
