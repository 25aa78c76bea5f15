"""Several matrices of one risk on common axes, exact or estimated, of one run or of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np

from hessium._typing import FloatArray
from hessium.figures.formatting import digits
from hessium.figures.hues import hue_of, is_quantity
from hessium.figures.records import Chart, Mark, Series, measured
from hessium.figures.views.spectra import overlaid_chart
from hessium.spectra import Inertia, Spectrum

_TOLS = tuple(10.0 ** (-k / 2) for k in range(2, 25))
_MOST_POINTS, _MOST_MARKERS = 150, 30


@runtime_checkable
class Matrix(Protocol):
    """A matrix of which a spectrum was measured."""

    @property
    def spectrum(self) -> Spectrum | None:
        """Exact or estimated; None if it was not measured."""

    @property
    def exact(self) -> bool:
        """Whether all eigenvalues are known."""

    @property
    def nonnegative(self) -> bool:
        """Whether it is positive semidefinite."""

    @property
    def eigenvalues(self) -> FloatArray:
        """Those known one by one, descending."""

    @property
    def residuals(self) -> FloatArray:
        """Their errors."""

    @property
    def scale(self) -> float:
        """The largest absolute one."""

    def inertia(self, tol: float, confidence: float) -> Inertia:
        """Counts by sign beyond tol times the largest."""


Matrices = Mapping[str, Sequence[Matrix]]
"""By label, one for each run."""


def density_chart(matrices: Matrices, what: str, name: str, when: str) -> Chart | None:
    """Densities with their bands, outliers marked; None where every matrix is zero.

    Args:
        matrices: by label; those that are zero are left out.
        what: what the runs are, such as "3 seeds".
        name: of the chart.
        when: for the heading.
    """
    spectra = {
        label: [one.spectrum for one in runs if one.spectrum is not None]
        for label, runs in matrices.items()
    }
    kept = {k: s for k, s in spectra.items() if s and all(one.nodes.any() for one in s)}
    if not kept:
        return None
    chart = overlaid_chart(kept, f"Spectral density{when}", what)
    estimated = not all(one.exact for runs in kept.values() for one in runs)
    band = (
        " The band covers the probes and the Lanczos steps; it is wide where the steps do not "
        "resolve the width of the kernel, mostly near zero."
    )
    height = " A single eigenvalue has the height of the markers."
    return replace(
        chart, name=name, caption=chart.caption + height + (band if estimated else "")
    )  # fmt: skip


def magnitudes_chart(
    matrices: Matrices,
    what: str,
    name: str,
    title: str,
    *,
    scale_of: str,
    scales: Sequence[Matrix] = (),
    signs: Sequence[int] = (1, -1),
) -> Chart | None:
    """Eigenvalues known one by one, of each sign by magnitude, on logarithmic axes.

    Args:
        matrices: by label.
        what: what the runs are.
        name: of the chart.
        title: heading.
        scale_of: label of the matrix whose largest eigenvalue is the unit; the first one if "".
        scales: that matrix for each run, if it is not among the matrices.
        signs: signs to draw.
    """
    if not matrices:
        return None
    scale_of = scale_of or next(iter(matrices))
    units = [one.scale or 1.0 for one in scales or matrices[scale_of]]
    series = [
        one
        for label, runs in matrices.items()
        for sign in signs
        if (one := _magnitudes(label, runs, sign, units, what, all_signs=len(signs) > 1))
    ]
    if not series:
        return None
    exact = all(one.exact for runs in matrices.values() for one in runs)
    return Chart(
        name=name,
        title=title,
        caption="Eigenvalues in descending order of |λ|, each sign by itself."
        + ("" if exact else " Of a matrix known by products, those at the ends of the spectrum.")
        + ("" if len(signs) > 1 else " Positive eigenvalues of the diagonal blocks of H."),
        x_label="position, sorted by |λ|",
        y_label=f"|λ| / max |λ| of {scale_of}",
        x_scale="log",
        y_scale="log",
        series=tuple(series),
    )


def thresholds_chart(
    matrices: Matrices, what: str, name: str, when: str, confidence: float
) -> Chart | None:
    """Numbers of positive and negative eigenvalues over the threshold, with their brackets."""
    series = []
    for label, runs in matrices.items():
        ready = [one for one in runs if one.spectrum is not None]
        if not ready:
            continue
        finest = max(_resolution(one) for one in ready)
        tols = np.array([tol for tol in _TOLS if tol > finest])
        found = [[one.inertia(float(tol), confidence) for tol in tols] for one in ready]
        for side in ("positive", "negative"):
            if side == "negative" and all(one.nonnegative for one in ready):
                continue
            counts = [[getattr(at, side) for at in row] for row in found]
            table = np.array([[c.value for c in row] for row in counts], dtype=np.float64)
            mark: Mark = "line" if side == "positive" else "both"
            one = measured(f"{label}, {side}", tols, table, what=what, mark=mark)
            if len(ready) == 1:
                low, high = (
                    np.array([getattr(c, end) for c in counts[0]], dtype=np.float64)
                    for end in ("lower", "upper")
                )
                error = "band of rounding"
                if not ready[0].exact:
                    error = f"brackets with confidence {digits(confidence)} at each threshold"
                elif (low == high).all():
                    error = "exact"
                open_ = bool((low < high).any())
                one = replace(
                    one, low=low if open_ else None, high=high if open_ else None, error=error
                )
            series.append(replace(one, hue=hue_of(label)))
    if not series:
        return None
    return Chart(
        name=name,
        title=f"Number of eigenvalues beyond a threshold{when}",
        caption=(
            "Positive eigenvalues with λ > tol max |λ| and negative ones with λ < −tol max |λ|; "
            "thresholds below rounding are left out."
        ),
        x_label="tol",
        y_label="number of eigenvalues",
        x_scale="log",
        y_scale="symlog",
        series=tuple(series),
    )


def _resolution(one: Matrix) -> float:
    assert one.spectrum is not None
    return one.spectrum.resolution / (one.scale or 1.0)


def _magnitudes(
    label: str,
    runs: Sequence[Matrix],
    sign: int,
    units: Sequence[float],
    what: str,
    *,
    all_signs: bool,
) -> Series | None:
    """Eigenvalues of one sign in units of the largest one."""
    rows, bars = [], []
    for one, unit in zip(runs, units, strict=False):
        order = np.argsort(-sign * one.eigenvalues, kind="stable")
        values, errors = sign * one.eigenvalues[order], one.residuals[order]
        kept = values > errors  # below, the sign is not certain
        rows.append(values[kept] / unit)
        bars.append(errors[kept] / unit)
    length = min((row.size for row in rows), default=0)
    if length == 0:
        return None
    words = {1: ", positive", -1: ", negative"}[sign]
    label += "" if not all_signs or all(one.nonnegative for one in runs) else words
    # evenly spaced on the logarithmic axis; the arrays hold all of them
    most = _MOST_MARKERS if sign < 0 else _MOST_POINTS
    at = np.unique(np.geomspace(1, length, min(length, most)).round()).astype(int)
    table = np.stack([row[at - 1] for row in rows])
    exact = all(one.exact for one in runs)
    found = measured(
        label, at, table, what=what, mark="points" if sign < 0 else "line" if exact else "both"
    )
    if len(rows) == 1:
        y, room = table[0], bars[0][at - 1]
        found = replace(
            found,
            low=None if exact else np.maximum(y - room, y / 10),
            high=None if exact else y + room,
            error="known to rounding, which is less than the line"
            if exact
            else "bars are residuals: within them lies an eigenvalue",
        )
    return replace(found, hue=hue_of(label) if is_quantity(label) else None)
