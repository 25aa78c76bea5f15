"""Fits, distances, level statistics and audits as charts."""

from __future__ import annotations

import dataclasses

import numpy as np

from hessium.compare import (
    Assumptions,
    Cumulants,
    Distance,
    Fit,
    Freeness,
    LevelStatistics,
    Outliers,
    Ranks,
    SpectraDistance,
    TermCurvature,
)
from hessium.errors import InputError
from hessium.figures.hues import LAW
from hessium.figures.records import Chart, Series
from hessium.figures.views.counts import counts_chart
from hessium.figures.views.laws import law_chart
from hessium.figures.views.spectra import overlaid_chart, spectrum_chart
from hessium.spectra import Spectrum
from hessium.theory import SpacingRatio

_BINS = 20


def fit_chart(fit: Fit) -> Chart:
    """A histogram of the eigenvalues, the fitted law, and the outliers on the axis."""
    named = ", ".join(
        f"{name} {one.value:.3g} [{one.low:.3g}, {one.high:.3g}]"
        for name, one in fit.parameters.items()
    )
    chart = law_chart(fit.law, label=f"{fit.family}, fitted")
    series = [_histogram(fit), *chart.series]
    if fit.outliers:
        x = np.array(fit.outliers)
        series.append(
            Series(
                label=f"outliers ({x.size})", x=x, y=np.zeros(x.size), error="measured",
                source="measured", mark="points", hue=0,
            )
        )  # fmt: skip
    title = f"{fit.family}: {named} ({fit.confidence:.0%}), p {_p(fit.p_value)}"
    return dataclasses.replace(
        chart, name="fit", title=title, x_label="eigenvalue λ", series=tuple(series)
    )


def _histogram(fit: Fit) -> Series:
    """Share of all eigenvalues per unit length, without outliers and those at atoms of the law."""
    values = fit.spectrum.nodes
    for place in fit.outliers:
        values = np.delete(values, np.abs(values - place).argmin())
    for place in fit.law.atoms:
        values = values[np.abs(values - place) > fit.spectrum.resolution]
    low, high = fit.law.support()
    edges = np.linspace(min(low, values.min()), max(high, values.max()), _BINS + 1)
    counts = np.histogram(values, edges)[0]
    heights = counts / (fit.spectrum.dim * np.diff(edges))
    return Series(  # from zero up at the first edge, and down to zero at the last one
        label=f"{values.size} eigenvalues", x=np.r_[edges[0], edges], y=np.r_[0.0, heights, 0.0],
        error="measured", source="measured", mark="steps", hue=0,
    )  # fmt: skip


def distance_chart(distance: Distance) -> Chart:
    """Free cumulants of the spectrum with their errors beside those of the law."""
    found, law = distance.cumulants, distance.law_cumulants
    count = min(found.free.size, law.size)
    chart = cumulants_chart(found)
    theory = Series(
        label="law", x=np.arange(1.0, count + 1), y=law[:count], error="exact", source="theory",
        mark="points", hue=LAW,
    )  # fmt: skip
    title = f"Kolmogorov distance {distance.kolmogorov:.3g}, p {_p(distance.p_value)}"
    return dataclasses.replace(chart, name="distance", title=title, series=(*chart.series, theory))


def cumulants_chart(cumulants: Cumulants) -> Chart:
    """Free cumulants by order, with two standard errors."""
    y, error = cumulants.free, cumulants.free_errors
    known = bool(np.isfinite(error).all())
    return Chart(
        name="cumulants",
        title="Free cumulants",
        caption=cumulants.basis,
        x_label="order",
        y_label="free cumulant",
        x_ticks=tuple(float(k) for k in range(1, y.size + 1)),
        series=(
            Series(
                label="measured", x=np.arange(1.0, y.size + 1), y=y,
                low=y - 2 * error if known else None, high=y + 2 * error if known else None,
                error="two standard errors" if known else "unknown", source="measured",
                mark="points", hue=0,
            ),
        ),
    )  # fmt: skip


def freeness_chart(freeness: Freeness) -> Chart:
    """The distance from a free sum beside those of rotated copies."""
    null = np.sort(freeness.rotated_distances)
    x = np.array([freeness.distance] * 2)
    return Chart(
        name="freeness",
        title=f"Distance from a free sum, p {_p(freeness.distance_p_value)}",
        caption=repr(freeness),
        x_label="distance",
        y_label="fraction of rotated copies up to the distance",
        series=(
            Series(
                label="rotated copies", x=null, y=np.arange(1, null.size + 1) / null.size,
                error="exact", source="theory", mark="steps", hue=LAW,
            ),
            Series(
                label="this pair", x=x, y=np.array([0.0, 1.0]), error="exact", source="measured",
                mark="line", hue=0,
            ),
        ),
    )  # fmt: skip


def levels_chart(levels: LevelStatistics) -> Chart:
    """A histogram of spacing ratios beside the laws of independent and repelling levels."""
    edges = np.linspace(0, 1, _BINS + 1)
    counts = np.histogram(np.minimum(levels.ratios, 1 / np.maximum(levels.ratios, 1e-300)), edges)[
        0
    ]
    heights = counts / max(counts.sum(), 1) * _BINS
    errors = np.sqrt(np.maximum(counts, 1)) / max(counts.sum(), 1) * _BINS
    middle = 0.5 * (edges[1:] + edges[:-1])
    grid = np.linspace(0, 1, 200)
    series = [
        Series(
            label=f"measured, {levels.ratios.size} ratios", x=middle, y=heights,
            low=np.maximum(heights - errors, 0), high=heights + errors,
            error="square root of the count", source="measured", mark="points", hue=0,
        )
    ]  # fmt: skip
    for number, ensemble in enumerate(("poisson", "goe")):
        law = SpacingRatio(ensemble)
        series.append(
            Series(
                label=f"law of {ensemble.upper() if ensemble != 'poisson' else 'independent'} "
                "levels",
                x=grid, y=law.pdf(grid), error="exact", source="theory", mark="line",
                hue=LAW + number,
            )
        )  # fmt: skip
    return Chart(
        name="levels",
        title="Ratios of neighbouring spacings",
        caption=repr(levels),
        x_label="ratio of spacings, smaller over larger",
        y_label="density",
        series=tuple(series),
    )


def assumptions_chart(found: Assumptions) -> Chart:
    """Densities of H, H0 and H1 on one axis."""
    parts = {"H": found.hessian, "H₀": found.gauss_newton, "H₁": found.residual}
    spectra = {name: one for name, one in parts.items() if isinstance(one, Spectrum)}
    if not spectra:
        msg = "assumptions: hold no spectra to plot"
        raise InputError(msg)
    failed = [check.assumption for check in found.checks if not check.holds]
    return overlaid_chart(spectra, f"{len(failed)} of {len(found.checks)} assumptions rejected")


def spectra_distance_chart(distance: SpectraDistance) -> Chart:
    """The Kolmogorov distance of two spectra with its bracket."""
    bracket = distance.kolmogorov_bracket
    known = bool(np.isfinite([bracket.lower, bracket.upper]).all())
    return Chart(
        name="spectra-distance",
        title=f"Two spectra, p {_p(distance.p_value)}",
        caption=repr(distance),
        x_label="",
        y_label="Kolmogorov distance",
        x_ticks=(0.0,),
        series=(
            Series(
                label=f"{distance.kolmogorov:.3g}, largest at λ = {distance.kolmogorov_at:.3g}",
                x=np.array([1.0]), y=np.array([distance.kolmogorov]),
                low=np.array([bracket.lower]) if known else None,
                high=np.array([bracket.upper]) if known else None,
                error="95 % bracket" if known else "unknown", source="measured", mark="points",
                hue=0,
            ),
        ),
    )  # fmt: skip


def ranks_chart(ranks: Ranks) -> Chart:
    """Ranks of H, H0 and H1 with their brackets."""
    counts = {"H": ranks.hessian, "H₀": ranks.gauss_newton, "H₁": ranks.residual}
    return counts_chart(counts, f"Ranks, {ranks.parameters} parameters")


def outliers_chart(outliers: Outliers) -> Chart:
    """The bulk as a density, outliers as points."""
    found = [one.value for one in (*outliers.above, *outliers.below)]
    return spectrum_chart(Spectrum.of(np.concatenate([outliers.bulk, found])), label="eigenvalues")


def _p(value: float) -> str:
    return "< 1e-15" if value < 1e-15 else f"= {value:.2g}"


def terms_chart(found: TermCurvature) -> Chart:
    """Curvature of each term along the eigenvectors of the sum.

    Raises:
        InputError: if the sum has no eigenvector.
    """
    x = np.arange(1.0, len(found.along) + 1)
    if not x.size:
        msg = "terms: no eigenvector of the sum is there, so there is nothing to plot"
        raise InputError(msg)
    return Chart(
        name="terms",
        title=f"curvature of {len(found.names)} terms along the eigenvectors of their sum",
        caption=repr(found),
        x_label="eigenvector of the sum",
        y_label="curvature of the weighted term",
        series=tuple(
            Series(
                label=name, x=x, y=found.along[:, at], error="exact", source="measured",
                mark="both",
            )
            for at, name in enumerate(found.names)
        ),
    )  # fmt: skip


VIEWS = {
    "Fit": fit_chart,
    "Distance": distance_chart,
    "Cumulants": cumulants_chart,
    "Freeness": freeness_chart,
    "LevelStatistics": levels_chart,
    "Assumptions": assumptions_chart,
    "Outliers": outliers_chart,
    "Ranks": ranks_chart,
    "SpectraDistance": spectra_distance_chart,
    "TermCurvature": terms_chart,
}
