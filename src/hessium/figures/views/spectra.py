"""Spectra as charts of their density, one or several on one axis."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from hessium._arguments import positive
from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.figures.formatting import digits
from hessium.figures.hues import LAW, hue_of
from hessium.figures.records import Chart, Series, measured
from hessium.figures.views.counts import count_chart, inertia_chart, rank_profile_chart
from hessium.figures.views.laws import name_of
from hessium.spectra import Band, DiscreteMeasure, Spectrum
from hessium.spectra.smoothing import gaussian_kernel
from hessium.theory import Law

WIDTH = 0.15  # of the kernel, in units of asinh(eigenvalue / linear)
_POINTS = 400
_BINS = 4000  # of a law, before it is smoothed
_LEAST = 0.05  # eigenvalues per unit of t, below which nothing is drawn
_APART = 2.0  # widths of the kernel between outliers and the bulk
_FEW = 0.05  # of all eigenvalues, which outliers may be


def spectrum_chart(
    spectrum: Spectrum,
    *,
    law: Law | None = None,
    label: str = "",
    linear: float | None = None,
    width: float = WIDTH,
) -> Chart:
    r"""The density of eigenvalues with its band, outliers marked, beside a law on request.

    Args:
        spectrum: exact or estimated.
        law: drawn over it, smoothed by the same kernel.
        label: of the spectrum; one that begins with H, H0 or H1 has the colour of that matrix.
        linear: the axis is $t = \mathrm{asinh}(\lambda / \mathrm{linear})$.
        width: standard deviation of the kernel, in units of t.

    Raises:
        InputError: if `law` is not a law.

    Example:
        >>> from hessium.figures.views.spectra import spectrum_chart
        >>> chart = spectrum_chart(hs.spectrum(H), label="H")
        >>> chart.series[0].label
        'H'
    """
    if law is not None and not isinstance(law, Law):
        msg = f"law: {type(law).__name__}; a law of hessium.theory is required"
        raise InputError(msg)
    linear = _linear(spectrum) if linear is None else positive("linear", linear)
    width = positive("width", width)
    series = [*density_series(spectrum, label or "spectrum", linear, width)]
    if law is not None:
        series.append(law_series(law, spectrum.dim, linear, width))
    kind = "exact" if spectrum.exact else "estimated"
    return Chart(
        name="spectrum",
        title=f"{spectrum.dim} eigenvalues, {kind}",
        caption=(
            f"Each eigenvalue is a Gaussian of standard deviation {digits(width)} on the axis "
            f"t = asinh(λ / λ₀), λ₀ = {digits(linear, 2)}: linear about zero, logarithmic beyond."
        ),
        x_label=f"eigenvalue λ (λ₀ = {digits(linear, 2)}, kernel {digits(width)})",
        y_label="eigenvalues per asinh(λ/λ₀)",
        x_scale="symlog",
        x_linear=linear,
        y_scale="log",
        series=tuple(series),
    )


def overlaid_chart(
    spectra: Mapping[str, Spectrum | Sequence[Spectrum]], title: str, what: str = ""
) -> Chart:
    """Densities of several spectra on one axis.

    Args:
        spectra: by label, one or one for each run, of which the median and the range are drawn.
        title: heading.
        what: what the runs are, such as "3 seeds".
    """
    runs = {k: [s] if isinstance(s, Spectrum) else list(s) for k, s in spectra.items()}
    label, first = next(iter(runs.items()))
    linear = _linear(first[0])
    return dataclasses.replace(
        spectrum_chart(first[0], label=label, linear=linear),
        name="densities",
        title=title,
        series=tuple(
            part
            for name, found in runs.items()
            for part in (
                density_series(found[0], name, linear, WIDTH)
                if len(found) == 1
                else [_density_over(found, name, linear, WIDTH, what)]
            )
        ),
    )


def density_series(spectrum: Spectrum, label: str, linear: float, width: float) -> list[Series]:
    """The smoothed density of a spectrum, and its outliers."""
    band = spectrum.density(_grid([spectrum], linear, width), width, linear=linear)
    n = spectrum.dim
    seen = np.flatnonzero(n * band.value > _LEAST)
    part = slice(seen[0], seen[-1] + 1) if seen.size else slice(None)
    finite = bool(np.isfinite(band.upper).all())

    def shown(values: FloatArray) -> FloatArray:
        return np.maximum(n * values[part], _LEAST)

    if spectrum.exact and not (band.upper[part] > 1.01 * band.value[part]).any():
        finite, error = False, "exact to rounding, which is less than the line"
    elif spectrum.exact:
        error = "band of rounding"
    elif finite:
        error = (
            f"{band.confidence:.0%} band at each point, over {spectrum.probes} probes and the "
            "error of the steps"
        )
    else:
        error = "one probe, so no error is known"
    hue = hue_of(label)
    series = [
        Series(
            label=label,
            x=band.x[part],
            y=shown(band.value),
            low=shown(band.lower) if finite else None,
            high=shown(band.upper) if finite else None,
            error=error,
            source="measured",
            mark="line",
            hue=hue,
        )
    ]
    outliers = isolated(spectrum, linear, width)
    if outliers.size:
        series.append(
            Series(
                label=f"{label}, {'outliers' if spectrum.exact else 'eigenpairs'} "
                f"({outliers.size})",
                x=outliers,
                y=np.full(outliers.size, 1 / (width * math.sqrt(2 * math.pi))),
                error=error if spectrum.exact else "eigenpairs known to their residuals",
                source="measured",
                mark="points",
                hue=hue,
            )
        )
    return series


def _density_over(
    runs: Sequence[Spectrum], label: str, linear: float, width: float, what: str
) -> Series:
    """Median and range of the densities of several runs."""
    x = _grid(runs, linear, width)
    rows = [one.dim * one.density(x, width, linear=linear).value for one in runs]
    found = measured(label, x, np.maximum(rows, _LEAST), what=what, mark="line")
    return dataclasses.replace(found, hue=hue_of(label))


def _grid(runs: Sequence[Spectrum], linear: float, width: float) -> FloatArray:
    """Points over the support of some spectra, evenly spaced in t."""
    ends = np.arcsinh(np.array([one.support() for one in runs]) / linear)
    t = np.linspace(ends.min() - 4 * width, ends.max() + 4 * width, _POINTS)
    return np.asarray(linear * np.sinh(t))


def isolated(spectrum: Spectrum, linear: float, width: float) -> FloatArray:
    """Known eigenvalues at both ends of the spectrum that stand apart from the bulk."""
    values = np.sort(spectrum.known)
    if not spectrum.exact:
        return values
    gaps = np.flatnonzero(np.diff(np.arcsinh(values / linear)) > _APART * width)
    most = max(3, int(_FEW * values.size))
    left = max((gap + 1 for gap in gaps if gap + 1 <= most < values.size), default=0)
    right = max((values.size - 1 - gap for gap in gaps if values.size - 1 - gap <= most), default=0)
    return np.concatenate([values[:left], values[max(left, values.size - right) :]])


def law_series(law: Law, size: float, linear: float, width: float, *, atoms: bool = True) -> Series:
    """A law as the spectrum of a matrix of some size, smoothed by the kernel of the spectrum.

    Args:
        law: of unit mass.
        size: number of eigenvalues that it stands for.
        linear: of the axis.
        width: of the kernel.
        atoms: whether its atoms are drawn.
    """
    low, high = (math.asinh(end / linear) for end in law.support())
    margin = 4 * width
    edges = np.linspace(low - margin, high + margin, _BINS + 1)
    masses = np.diff(law.cdf(linear * np.sinh(edges)))
    if not atoms:
        for place, mass in law.atoms.items():
            masses[np.searchsorted(edges, math.asinh(place / linear)) - 1] -= mass
    t = np.linspace(low - margin, high + margin, _POINTS)
    y = size * gaussian_kernel(t, 0.5 * (edges[1:] + edges[:-1]), masses, width)
    seen = np.flatnonzero(y > _LEAST)
    part = slice(seen[0], seen[-1] + 1) if seen.size else slice(None)
    return Series(
        label=f"law: {name_of(law)}",
        x=linear * np.sinh(t[part]),
        y=np.maximum(y[part], _LEAST),
        error="exact",
        source="theory",
        mark="line",
        hue=LAW,
    )


def measure_chart(measure: DiscreteMeasure, *, label: str = "distribution function") -> Chart:
    """The distribution function of nodes and weights."""
    x = np.unique(measure.nodes)
    return Chart(
        name="measure",
        title="Distribution function",
        caption=repr(measure),
        x_label="eigenvalue λ",
        y_label="fraction of eigenvalues up to λ",
        series=(
            Series(
                label=label,
                x=np.concatenate([x[:1], x]),
                y=np.concatenate([[0.0], measure.cdf(x)]),
                error="exact",
                source="measured",
                mark="steps",
            ),
        ),
    )


def band_chart(band: Band, *, label: str = "value") -> Chart:
    """A function with its band."""
    order = np.argsort(band.x)
    finite = bool(np.isfinite(band.upper).all())
    sure = "" if band.confidence is None else f" at {band.confidence:.0%} for each point"
    return Chart(
        name="band",
        title="Function of the eigenvalue",
        caption=repr(band),
        x_label="eigenvalue λ",
        y_label=label,
        series=(
            Series(
                label=label,
                x=band.x[order],
                y=band.value[order],
                low=band.lower[order] if finite else None,
                high=band.upper[order] if finite else None,
                error=f"band of {', '.join(band.reasons) or 'nothing'}{sure}" if finite else "open",
                source="measured",
                mark="line",
            ),
        ),
    )


def _linear(spectrum: Spectrum) -> float:
    """Where the axis turns logarithmic: the resolution of the steps, or 1 % of the largest."""
    reach = float(np.abs(spectrum.nodes).max()) or 1.0
    steps = max((rule.diagonal.size for rule in spectrum.rules), default=100)
    rest = max((float(np.abs(rule.gauss()[0]).max()) for rule in spectrum.rules), default=reach)
    return float(f"{rest / steps or reach:.1g}")


VIEWS = {
    "Spectrum": spectrum_chart,
    "DiscreteMeasure": measure_chart,
    "Band": band_chart,
    "Count": count_chart,
    "Inertia": inertia_chart,
    "RankProfile": rank_profile_chart,
}
