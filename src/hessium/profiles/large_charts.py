"""Charts of a matrix that is known by products alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hessium._typing import FloatArray
from hessium.figures.formatting import digits
from hessium.figures.records import Chart, Series
from hessium.profiles.estimated import Estimated, Side
from hessium.profiles.plan import Plan

_WIDTH = 0.15  # of the kernel, in units of asinh(eigenvalue / linear)
_POINTS = 400
_LEAST = 0.05  # eigenvalues per unit, below which nothing is drawn
_TOLS = tuple(10.0 ** (-k / 2) for k in range(2, 17))
_HUES = {"H": 0, "H₀": 1}


def density_chart(matrices: Sequence[Estimated]) -> Chart | None:
    """Densities on one axis, linear about zero and logarithmic beyond, outliers marked."""
    drawn = [m for m in matrices if m.measure is not None]
    if not drawn:
        return None
    linear = _linear(drawn[0])
    series = [one for m in drawn for one in _density(m, linear)]
    return Chart(
        name="density",
        title="Density of eigenvalues",
        caption=(
            f"Each eigenvalue is a Gaussian of standard deviation {digits(_WIDTH)} on the axis "
            f"t = asinh(λ / λ₀), λ₀ = {digits(linear, 2)}: linear about zero, logarithmic beyond. "
            "One eigenvalue alone reaches the height of the markers. The band holds the draw of "
            "the probes and what the Lanczos steps leave open: it is wide where the kernel is "
            "narrower than they resolve, mostly near zero. For proofs take the counts."
        ),
        x_label="eigenvalue λ",
        y_label="eigenvalues per unit of t",
        x_scale="symlog",
        x_linear=linear,
        y_scale="log",
        series=tuple(series),
    )


def _linear(matrix: Estimated) -> float:
    """Spacing of the Gauss nodes of the bulk: what lies closer to zero is not resolved."""
    assert matrix.measure is not None
    rules = matrix.measure.rules
    reach = max(float(np.abs(rule.gauss()[0]).max()) for rule in rules)
    steps = max(rule.diagonal.size for rule in rules)
    linear = reach / steps or matrix.scale or 1.0
    return float(f"{linear:.1g}")


def _density(matrix: Estimated, linear: float) -> list[Series]:
    measure = matrix.measure
    assert measure is not None
    ends = np.arcsinh(np.array([measure.nodes[0], measure.nodes[-1]]) / linear)
    t = np.linspace(ends[0] - 4 * _WIDTH, ends[1] + 4 * _WIDTH, _POINTS)
    band = measure.density(linear * np.sinh(t), _WIDTH, linear=linear)
    finite = bool(np.isfinite(band.upper).all())
    n = measure.dim
    there = np.flatnonzero(n * band.value > _LEAST)
    part = slice(there[0], there[-1] + 1)

    def shown(values: FloatArray) -> FloatArray:
        return np.maximum(n * values[part], _LEAST)

    curve = Series(
        label=f"{matrix.sign}, {measure.probes} probes, measured",
        x=band.x[part],
        y=shown(band.value),
        low=shown(band.lower) if finite else None,
        high=shown(band.upper) if finite else None,
        error=(
            f"band of {band.confidence:.0%} at each point, Student's t over {measure.probes} "
            "probes and the error of the rules, of the smoothed density"
            if finite
            else "one probe, so without an error"
        ),
        source="measured",
        mark="line",
        hue=_HUES[matrix.sign],
    )
    known = measure.known
    if not known.size:
        return [curve]
    alone = 1 / (_WIDTH * math.sqrt(2 * math.pi))
    outliers = Series(
        label=f"{matrix.sign}, {known.size} eigenvalues found one by one, measured",
        x=np.sort(known),
        y=np.full(known.size, alone),
        error="known within their residuals, less than a marker",
        source="measured",
        mark="points",
        hue=_HUES[matrix.sign],
    )
    return [curve, outliers]


def ends_chart(matrices: Sequence[Estimated]) -> Chart | None:
    """Eigenvalues found one by one, from each end inwards."""
    scale = max((m.scale for m in matrices), default=0.0)
    series = []
    for m in matrices:
        names = (("positive", 1), ("negative", -1)) if m.sign == "H" else (("", 1),)
        for name, sign in names:
            order = np.argsort(-sign * m.values, kind="stable")
            chosen = order[sign * m.values[order] > 0]
            if not chosen.size:
                continue
            y, room = sign * m.values[chosen] / scale, m.residuals[chosen] / scale
            series.append(
                Series(
                    label=f"{m.sign}{', ' + name if name else ''}, measured",
                    x=np.arange(1.0, chosen.size + 1),
                    y=y,
                    low=np.maximum(y - room, y / 10),
                    high=y + room,
                    error="bars are residuals: within them lies an eigenvalue",
                    source="measured",
                    mark="both",
                )
            )
    if not series:
        return None
    return Chart(
        name="ends",
        title="Ends of the spectrum",
        caption="Eigenvalues of each sign in the order of their size, over the largest.",
        x_label="eigenvalue index, sorted by magnitude",
        y_label="|eigenvalue| / largest",
        y_scale="log",
        series=tuple(series),
    )


def tol_chart(matrices: Sequence[Estimated], plan: Plan) -> Chart | None:
    """Brackets of counts against the threshold."""
    series = []
    for m in matrices:
        if m.measure is None:
            continue
        resolved = [tol for tol in _TOLS if tol * m.scale > m.measure.resolution]
        sides: tuple[Side, ...] = ("positive", "negative") if m.sign == "H" else ("positive",)
        for side in sides:
            counts = [m.count(side, tol, plan.confidence) for tol in resolved]
            rows = [(c.value, c.lower, c.upper) for c in counts if c is not None]
            table = np.array(rows, dtype=np.float64)
            if not len(table):
                continue
            series.append(
                Series(
                    label=f"{side} eigenvalues of {m.sign}, measured",
                    x=np.array(resolved),
                    y=table[:, 0],
                    low=table[:, 1],
                    high=table[:, 2],
                    error=f"bands are brackets, each with confidence {digits(plan.confidence)}",
                    source="measured",
                    mark="line",
                )
            )
    if not series:
        return None
    return Chart(
        name="threshold",
        title="Counts depend on the threshold",
        caption=(
            "Eigenvalues beyond tol times the largest absolute one of their matrix. Where a band "
            "opens, the steps do not tell on which side of the threshold the eigenvalues lie."
        ),
        x_label="tol, fraction of the largest |eigenvalue|",
        y_label="number of eigenvalues",
        x_scale="log",
        y_scale="symlog",
        series=tuple(series),
    )
