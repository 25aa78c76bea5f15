"""Figure 6 of Pennington & Bahri (2017): index against energy, tanh networks, with classes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

from hessium._typing import AnyArray
from hessium.figures.formatting import digits
from hessium.figures.records import Findings
from hessium.runs.experiment import Result
from hessium.studies.critical_points.charts import index_charts, minimiser_chart
from hessium.studies.critical_points.config import CriticalPointsConfig, seeds, tasks
from hessium.studies.critical_points.distances import (
    distance_statement,
    distance_table,
    distances,
)
from hessium.studies.critical_points.fits import fit_power
from hessium.studies.critical_points.points import certified, points_of
from hessium.studies.critical_points.search import MINIMISE, SADDLE, search
from hessium.studies.critical_points.statements import statements, tables
from hessium.studies.study import Summary, study

NAME = "pb-fig6"


def summarise(config: CriticalPointsConfig, results: Sequence[Result], name: str = NAME) -> Summary:
    """Charts, statements and tables of a sweep."""
    points, fits = points_of(name, config, results), {}
    for ratio in config.ratios:
        some = certified(points, ratio)
        fits[ratio] = fit_power(
            some.column("index") / config.dim, some.column("energy"), fits=len(config.ratios)
        )
    charts = index_charts(config, points, fits)
    if config.minimisers:
        charts.append(minimiser_chart(config, points))
    beside = distances(config, points, fits)
    findings = Findings(
        statements=(*statements(config, points, fits), distance_statement(beside)),
        charts=tuple(charts),
        tables=(*tables(config, points, fits), distance_table(beside)),
        notes=(
            "Four classes, never pooled. Critical: the Newton-Kantorovich theorem gives a zero of "
            "the gradient beside the point. Gradient-flat: the gradient lies in the kernel of the "
            "Hessian. Diverging: |θ| still grows. Unconverged: the rest.",
            f"Certified points belong to the loss with a ridge, r/2 |θ|² with r = "
            f"{digits(config.ridge)}; their energy is without it. Without a ridge critical points "
            "of low index lie at infinity. Published points have none: the two are not one "
            "quantity, and their difference is shown, not assumed.",
            "The published test is applied to the published starts (descent to a uniform energy), "
            "with Levenberg-Marquardt to make |g|² small: plain descent, as published, takes more "
            "than 10⁴ steps, see the table. Points are drawn where it accepts them.",
            "The theory line is the exact index of Wishart + Wigner at scale 1; the scale of H₀ in "
            "these networks is not 1, and no single one fits all ratios. Pennington & Bahri (2017) "
            "give H₁ the variance 2ε. H₁ of a linear network has εφ, if residuals are independent "
            "of data and weights, and the second line assumes that. At critical points they are "
            "not independent.",
        ),
    )
    kept = points.select(method=SADDLE)
    arrays: dict[str, AnyArray] = {
        column: kept.column(column) for column in ("energy", "index", "gradient", "cpu")
    }
    runs = points.select(method=MINIMISE)
    if len(runs):
        arrays["minimiser_energies"] = runs.column("energies")
    return findings, arrays


EXPERIMENT = study(
    NAME,
    "Critical points of tanh networks: index against energy",
    quick=CriticalPointsConfig(
        size=8,
        ratios=(1 / 2, 1 / 4, 1 / 8),
        targeted=31,
        published=8,
        plain_steps=2000,
        others=3,
        minimisers=2,
    ),
    paper=CriticalPointsConfig(),
    tasks=tasks,
    compute=search,
    summarise=summarise,
    seeds=seeds,
    points=True,
)

SWEEP = replace(
    EXPERIMENT,
    name="sweep",
    title="Critical points of two-layer networks",
    presets={},
    summarise=functools.partial(summarise, name="sweep"),
)
"""The same computations under settings of the user's own."""
