"""Laws as charts."""

from __future__ import annotations

import re

import numpy as np

from hessium._typing import FloatArray
from hessium.figures.hues import LAW
from hessium.figures.records import Chart, Series
from hessium.theory import Law, Sensitivity, SoftEdge, SpacingRatio, TracyWidom

_POINTS = 300  # of an interval of the support


def law_chart(law: Law, *, label: str = "", num: int = _POINTS) -> Chart:
    """The density of a law on its support; atoms as points at their mass.

    Args:
        law: of `hessium.theory`.
        label: of the density, by default the law itself.
        num: points on each interval of the support.
    """
    name = label or name_of(law)
    # dense towards the edges, where a density has a root or a pole
    ease = 0.5 * (1 - np.cos(np.linspace(0, np.pi, num + 2)))[1:-1]
    series = []
    for number, (low, high) in enumerate(law.support_intervals()):
        x = low + (high - low) * ease
        y = law.pdf(x)
        finite = np.isfinite(y)
        # the density is zero beyond an edge at which it vanishes
        if finite.any() and finite.all() and max(y[0], y[-1]) < 0.2 * y.max():
            x, y = np.concatenate([[low], x, [high]]), np.concatenate([[0.0], y, [0.0]])
        else:
            x, y = x[finite], y[finite]
        series.append(
            Series(
                label=name if number == 0 else f"{name}, interval {number + 1}",
                x=x,
                y=y,
                error="exact",
                source="theory",
                mark="line",
                hue=LAW,
            )
        )
    if law.atoms:
        atoms = sorted(law.atoms.items())
        series.append(
            Series(
                label="mass of atoms",
                x=np.array([at for at, _ in atoms]),
                y=np.array([mass for _, mass in atoms]),
                error="exact",
                source="theory",
                mark="points",
                hue=LAW,
            )
        )
    return Chart(
        name="law",
        title=name,
        caption=f"Density of {name}.",
        x_label="x",
        y_label="density, and mass of atoms" if law.atoms else "density",
        series=tuple(series),
    )


def name_of(law: object) -> str:
    """The repr of a law with its parameters rounded to three digits."""
    return re.sub(r"\d+\.\d+(e[+-]?\d+)?", lambda found: f"{float(found[0]):.3g}", repr(law))


def edge_chart(law: SoftEdge | TracyWidom, *, label: str = "") -> Chart:
    """The distribution function of an extreme eigenvalue."""
    low, high = (float(end) for end in law.ppf(np.array([1e-4, 1 - 1e-4])))
    x = np.linspace(low, high, _POINTS)
    return _curve(
        label or name_of(law), x, law.cdf(x), "extreme eigenvalue", "distribution function"
    )


def spacing_chart(law: SpacingRatio, *, label: str = "") -> Chart:
    """The density of the ratio of neighbouring spacings."""
    x = np.linspace(0, 1, _POINTS)
    return _curve(label or name_of(law), x, law.pdf(x), "ratio, smaller over larger", "density")


def sensitivity_chart(sensitivity: Sensitivity, *, label: str = "") -> Chart:
    """The derivative of the distribution function in a parameter."""
    low, high = sensitivity.law.support()
    margin = 0.05 * (high - low)
    x = np.linspace(low - margin, high + margin, _POINTS)
    name = label or f"derivative in {sensitivity.parameter}"
    return _curve(name, x, sensitivity.cdf(x), "x", "derivative of the distribution function")


def _curve(label: str, x: FloatArray, y: FloatArray, x_label: str, y_label: str) -> Chart:
    return Chart(
        name="law",
        title=label,
        caption=label,
        x_label=x_label,
        y_label=y_label,
        series=(
            Series(label=label, x=x, y=y, error="exact", source="theory", mark="line", hue=LAW),
        ),
    )


VIEWS = {
    "Law": law_chart,
    "SoftEdge": edge_chart,
    "TracyWidom": edge_chart,
    "SpacingRatio": spacing_chart,
    "Sensitivity": sensitivity_chart,
}
