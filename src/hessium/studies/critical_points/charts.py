"""Index against energy, and minimisers against the ratio."""

from __future__ import annotations

import numpy as np

from hessium._typing import FloatArray
from hessium.figures.formatting import digits
from hessium.figures.records import Chart, Series
from hessium.landscape.point import KINDS
from hessium.studies.critical_points.config import CriticalPointsConfig
from hessium.studies.critical_points.fits import PowerFit
from hessium.studies.critical_points.points import Points
from hessium.studies.critical_points.search import MINIMISE, PUBLISHED, SADDLE
from hessium.studies.published import column_table
from hessium.theory import critical_energy, index, minimiser_energy, wigner_energy

_EACH = "none: every point is one run"


def index_charts(
    config: CriticalPointsConfig, points: Points, fits: dict[float, PowerFit | None]
) -> list[Chart]:
    """One for each ratio."""
    return [_index_chart(config, ratio, points, fits[ratio]) for ratio in config.ratios]


def _index_chart(
    config: CriticalPointsConfig, ratio: float, points: Points, fit: PowerFit | None
) -> Chart:
    here = points.where(ratio=ratio)
    series: list[Series] = []
    targeted = here.where(method=SADDLE, kind="critical")
    accepted = here.where(method=PUBLISHED).accepted()
    if len(targeted):
        label = "certified critical points, index-targeted"
        series.append(_cloud(label, targeted, "energy", "index", config.dim, hue=0))
    for hue, kind in enumerate(KINDS):
        some = accepted.where(kind=kind)
        if len(some):
            label = f"accepted by the published test, in truth {kind}"
            series.append(_cloud(label, some, "ended_energy", "ended_index", config.dim, hue + 1))
    series += _published(config, ratio)  # on top: there are a few, among hundreds
    energy = np.linspace(1e-3, 0.55, 111)
    series.append(_line("theory, Wishart + Wigner", energy, index(energy, ratio), hue=5))
    network = index(wigner_energy(energy, ratio), ratio)
    series.append(_line("theory with the variance of H₁ of a network, εφ", energy, network, hue=4))
    if fit is not None:
        above = np.linspace(fit.critical, fit.critical + 0.12, 25)
        rise = fit.coefficient * (above - fit.critical) ** 1.5
        series.append(_line("3/2 law through the certified points", above, rise, hue=0))
    return Chart(
        name=f"index-{round(1000 * ratio)}",
        title=f"Index against energy, φ = {digits(ratio)}",
        caption=(
            "Certified points have a ridge and a gradient at the floor of floating point; what the "
            "published test accepts is shown where it was accepted, by what it turned out to be."
        ),
        x_label="energy ε = L / n",
        y_label="index α, share of negative eigenvalues",
        series=tuple(series),
    )


def _published(config: CriticalPointsConfig, ratio: float) -> list[Series]:
    if config.activation != "tanh":
        return []
    table, fits = column_table("pb_fig6a"), column_table("pb_fig6a_fits")
    rows, row = np.isclose(table["ratio"], ratio), np.isclose(fits["ratio"], ratio)
    if not rows.any():
        return []
    critical, factor = float(fits["energy_c"][row][0]), float(fits["coefficient"][row][0])
    energy = np.linspace(critical, critical + 0.12, 25)
    return [
        Series(
            label="published means, n = 16",
            x=table["energy"][rows],
            y=table["index"][rows],
            error="not published",
            source="published",
            mark="points",
            hue=5,
        ),
        _line("published fit", energy, factor * (energy - critical) ** 1.5, hue=2),
    ]


def _cloud(label: str, points: Points, x: str, y: str, dim: int, hue: int) -> Series:
    low, high = (points.column(f"index_{end}") / dim for end in ("lower", "upper"))
    bracketed = y == "index"
    return Series(
        label=label,
        x=points.column(x),
        y=points.column(y) / dim,
        low=low if bracketed else None,
        high=high if bracketed else None,
        error="bars are the certified interval of the index" if bracketed else _EACH,
        source="measured",
        mark="points",
        hue=hue,
        ids=points.short_ids(),
    )


def _line(label: str, x: FloatArray, y: FloatArray, hue: int) -> Series:
    return Series(label=label, x=x, y=y, error="exact", source="theory", mark="line", hue=hue)


def minimiser_chart(config: CriticalPointsConfig, points: Points) -> Chart:
    """Energy of minimisers against the ratio, for each length of the minimisation."""
    ratios = np.array(config.ratios)
    curve = np.linspace(min(ratios.min(), 0.05), max(ratios.max(), 0.7), 41)
    series = [
        _line("½ (1 − φ)², published guess", curve, (1 - curve) ** 2 / 2, hue=0),
        _line("½ (1 − φ/2), linear networks", curve, minimiser_energy(curve), hue=1),
        _line("ε_c of Wishart + Wigner, scale 1", curve, critical_energy(curve), hue=5),
    ]
    network = 2 * critical_energy(curve) / curve
    shown = network <= 0.6  # at small ratios it lies far above all others
    if shown.any():
        label = "ε_c with the variance of H₁ of a network, εφ"
        series.append(_line(label, curve[shown], network[shown], hue=4))
    if config.activation == "tanh":
        table = column_table("pb_fig6b")
        ratio = 32 / table["num_samples"]
        kept = (ratio >= curve[0]) & (ratio <= curve[-1] + 0.2)
        series.append(
            Series(
                label="published dots",
                x=ratio[kept],
                y=table["energy"][kept],
                error="not published",
                source="published",
                mark="points",
                hue=5,
            )
        )
    runs = [points.where(method=MINIMISE, ratio=ratio) for ratio in config.ratios]
    for k, iterations in enumerate(config.iterations):
        energies = [np.array([r["energies"][k] for r in some.results]) for some in runs]
        if all(one.size for one in energies):
            series.append(
                Series(
                    label=f"{iterations} iterations of L-BFGS, no ridge",
                    x=ratios,
                    y=np.array([np.median(one) for one in energies]),
                    low=np.array([one.min() for one in energies]),
                    high=np.array([one.max() for one in energies]),
                    error=f"median, bars from least to greatest over {config.minimisers} runs",
                    source="measured",
                    mark="points",
                    hue=2 + k,
                )
            )
    return Chart(
        name="minimisers",
        title="Energy of minimisers against the ratio",
        caption="The longer one minimises, the lower the energy; no minimiser is arrived at.",
        x_label="ratio φ = parameters / (samples × outputs)",
        y_label="energy ε = L / n",
        series=tuple(series),
    )
