"""Index against energy, and minimisers against the ratio."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hessium.figures import hues
from hessium.figures.formatting import digits
from hessium.figures.records import Chart, Series
from hessium.figures.views.repetitions import curve, points, published, ranges
from hessium.landscape.point import KINDS
from hessium.studies.critical_points.config import CriticalPointsConfig
from hessium.studies.critical_points.fits import PowerFit
from hessium.studies.critical_points.points import accepted, certified, identifiers
from hessium.studies.critical_points.search import MINIMISE, PUBLISHED
from hessium.studies.published import column_table
from hessium.studies.results import ResultTable
from hessium.theory import critical_energy, index, minimiser_energy, wigner_energy

_RANGE = 0.12  # of energies above the critical one over which a 3/2 law is drawn


def index_chart(
    config: CriticalPointsConfig, ratio: float, runs: ResultTable, fit: PowerFit | None
) -> Chart:
    """Points of one ratio beside theory, and what the published test accepts."""
    dim, series = config.dim, []
    targeted = certified(runs, ratio)
    if len(targeted):
        series.append(
            Series(
                label="certified critical points, index-targeted",
                x=targeted.column("energy"),
                y=targeted.column("index") / dim,
                low=targeted.column("index_lower") / dim,
                high=targeted.column("index_upper") / dim,
                error="bars are the certified interval of the index",
                source="measured",
                mark="points",
                hue=0,
                ids=identifiers(targeted),
            )
        )
    ended = accepted(runs.select(method=PUBLISHED, ratio=ratio))
    for hue, kind in enumerate(KINDS):
        some = ended.select(kind=kind)
        if len(some):
            label = f"accepted by the published test, of true class {kind}"
            series.append(
                points(
                    label,
                    some.column("ended_energy"),
                    some.column("ended_index") / dim,
                    error="none: every point is one run",
                    hue=hue + 1,
                    ids=identifiers(some),
                )
            )
    series += _published(config, ratio)  # on top: there are a few, among hundreds
    energy, network = np.linspace(1e-3, 0.55, 111), "theory with the variance εφ of a network's H₁"
    series += [
        curve("theory, Wishart + Wigner", energy, index(energy, ratio)),
        curve(network, energy, index(wigner_energy(energy, ratio), ratio)),
    ]
    if fit is not None:
        label = "3/2 law through the certified points"
        series.append(_power_law(label, fit.critical, fit.coefficient, hue=0))
    return Chart(
        name=f"index-{round(1000 * ratio)}",
        title=f"Index against energy, φ = {digits(ratio)}",
        caption="Certified points are those of the loss with a ridge, their gradient is rounding "
        "error; points that the published test accepts are shown where it accepts them, by class.",
        x_label="energy ε = L / n",
        y_label="index α, share of negative eigenvalues",
        series=tuple(series),
    )


def _power_law(label: str, critical: float, coefficient: float, hue: int) -> Series:
    energy = np.linspace(critical, critical + _RANGE, 25)
    return curve(label, energy, coefficient * (energy - critical) ** 1.5, hue=hue)


def _published(config: CriticalPointsConfig, ratio: float) -> list[Series]:
    table, fits = column_table("pb_fig6a"), column_table("pb_fig6a_fits")
    rows, row = np.isclose(table["ratio"], ratio), np.isclose(fits["ratio"], ratio)
    if config.activation != "tanh" or not rows.any():
        return []
    critical, coefficient = float(fits["energy_c"][row][0]), float(fits["coefficient"][row][0])
    return [
        published(
            "published means, n = 16",
            table["energy"][rows],
            table["index"][rows],
            error="not published",
            hue=5,
        ),
        _power_law("published fit", critical, coefficient, hue=5),
    ]


def minimiser_chart(config: CriticalPointsConfig, runs: ResultTable) -> Chart:
    """Energy of minimisers against the ratio, for each length of the minimisation."""
    ratios = np.array(config.ratios)
    fine = np.linspace(min(ratios.min(), 0.05), max(ratios.max(), 0.7), 41)
    series = [
        curve("½ (1 − φ)², published guess", fine, (1 - fine) ** 2 / 2, hue=hues.PUBLISHED),
        curve("½ (1 − φ/2), linear networks", fine, minimiser_energy(fine)),
        curve("ε_c of Wishart + Wigner, scale 1", fine, critical_energy(fine)),
    ]
    network = 2 * critical_energy(fine) / fine
    shown = network <= 0.6  # at small ratios it lies far above all others
    if shown.any():
        label = "ε_c with the variance of H₁ of a network, εφ"
        series.append(curve(label, fine[shown], network[shown]))
    if config.activation == "tanh":
        dots = column_table("pb_fig6b")
        ratio = 32 / dots["num_samples"]
        kept = (ratio >= fine[0]) & (ratio <= fine[-1] + 0.2)
        x, y = ratio[kept], dots["energy"][kept]
        series.append(published("published dots", x, y, error="not published", hue=5))
    ended = runs.select(method=MINIMISE)
    for k, iterations in enumerate(config.iterations):
        groups = [
            np.array([r["energies"][k] for r in ended.select(ratio=ratio)])
            for ratio in config.ratios
        ]
        if all(len(group) for group in groups):
            label, what = (
                f"{iterations} iterations of L-BFGS, no ridge",
                f"{config.minimisers} runs",
            )
            series.append(ranges(label, ratios, groups, what=what, hue=2 + k))
    return Chart(
        name="minimisers",
        title="Energy of minimisers against the ratio",
        caption="Longer minimisation gives a lower energy; none converges to a minimiser.",
        x_label="ratio φ = parameters / (samples × outputs)",
        y_label="energy ε = L / n",
        series=tuple(series),
    )


def index_charts(
    config: CriticalPointsConfig, runs: ResultTable, fits: Mapping[float, PowerFit | None]
) -> list[Chart]:
    """One for each ratio."""
    return [index_chart(config, ratio, runs, fits[ratio]) for ratio in config.ratios]
