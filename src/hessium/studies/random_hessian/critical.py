"""The critical energy against the ratio: closed forms, edges, printed formulas, matrices."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from hessium.figures.formatting import between, digits
from hessium.figures.records import (
    CONTROL,
    Chart,
    Findings,
    Number,
    Series,
    Statement,
    Table,
    exact,
    judge,
)
from hessium.figures.views.repetitions import (
    curve,
    level,
    mean_and_stderr,
    published,
    with_stderr,
)
from hessium.runs.experiment import Result, Task
from hessium.studies.published import column_table
from hessium.studies.random_hessian.agreement import extrapolated, joined
from hessium.studies.random_hessian.printed import formula_chart, formula_statement
from hessium.studies.random_hessian.sampling import MODELS, critical
from hessium.studies.results import ResultTable
from hessium.studies.sources import pennington_bahri
from hessium.studies.study import Cell, Summary, study, table
from hessium.theory import critical_energy, hessian_law, soft_edge


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalConfig:
    """Settings of `pb-critical-energy`.

    Attributes:
        ratios: at which the lower edge of the law is followed to zero.
        sampled: at which matrices are sampled.
        sizes: of the matrices, even; they serve to extrapolate.
        seeds: one draw each.
    """

    ratios: tuple[float, ...] = (1 / 16, 1 / 8, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 0.9, 0.99)
    sampled: tuple[float, ...] = (1 / 8, 1 / 4, 1 / 2)
    sizes: tuple[int, ...] = (240, 480, 960)
    seeds: tuple[int, ...] = tuple(range(24))


def tasks(config: CriticalConfig) -> list[Task]:
    """Edges first, then matrices; one draw of one model and ratio at all sizes."""
    edges: list[Task] = [{"activation": a, "ratio": r} for a in MODELS for r in config.ratios]
    draws: list[Task] = [
        {"activation": a, "ratio": r, "seed": seed, "sizes": list(config.sizes)}
        for a in MODELS
        for r in config.sampled
        for seed in config.seeds
    ]
    return edges + draws


class _Model:
    """Energies of one model: closed forms, zeros of the edge, and of the smallest eigenvalue."""

    def __init__(self, config: CriticalConfig, runs: ResultTable, activation: str) -> None:
        mine = runs.select(activation=activation)
        sampled, sizes = np.array(config.sampled), config.sizes
        self.activation, self.name = activation, MODELS[activation]
        self.closed = critical_energy(np.array(config.ratios), activation)
        self.edges = mine.filter(lambda task, _: "seed" not in task).column("energy")[:, 0]
        self.off = self.edges / self.closed - 1
        # shape (sampled ratios, seeds, sizes), less the Tracy-Widom shift, extrapolated in 1/n
        self.draws = mine.grid("energy", ratio=config.sampled, seed=config.seeds)
        theory = critical_energy(sampled, activation)
        shift = np.array([[_at_size(ratio, activation, n) for n in sizes] for ratio in sampled])
        corrected = self.draws * (theory[:, None] / shift)[:, None, :]
        self.matrices = extrapolated(np.moveaxis(corrected, 0, -1), sizes, 1.0, theory)


def _at_size(ratio: float, model: str, size: int) -> float:
    """The energy at which the smallest of `size` eigenvalues is zero in the mean.

    It lies inside the edge of the law by the mean of the Tracy-Widom law, so above the critical
    energy; corrections of higher order in 1/n remain.
    """
    critical = float(critical_energy(ratio, model))

    def lowest(log_share: float) -> float:
        law = hessian_law(critical * float(np.exp(log_share)), ratio, model)
        return soft_edge(law, size, "left").mean()

    return critical * float(np.exp(brentq(lowest, -0.5, 5.0, xtol=1e-12)))


def summarise(config: CriticalConfig, results: Sequence[Result]) -> Summary:
    """Charts, statements and tables."""
    runs = ResultTable.of(tasks(config), results)
    models = [_Model(config, runs, activation) for activation in MODELS]
    findings = Findings(
        statements=_statements(config, models),
        charts=(_chart(config, models), _matrix_chart(config, models), formula_chart()),
        tables=_tables(config, models),
        notes=(
            "Critical energy ε_c: the largest energy at which the limit law has no mass below "
            "zero; scale 1, and it grows with the square of the scale. From ratio one on it is "
            "zero.",
            "Edges are found without the closed forms: the lower end of the support is followed "
            "in the energy to its zero. Matrices: the energy at which the smallest eigenvalue of "
            f"H₀ + √ε H₁ is zero, at n = {', '.join(map(str, config.sizes))}, "
            f"{len(config.seeds)} draws. That eigenvalue lies inside the edge by the mean of the "
            "Tracy-Widom law, which is subtracted first; the rest is extrapolated to n → ∞ in "
            "powers of 1/n.",
            "The printed model gives H₁ the variance 2ε. H₁ of a linear network has εφ, if "
            "residuals are independent of data and weights: its critical energy is 2/φ times that "
            "of eq. 21, from 8 times at φ = 1/4 to 3 times at φ = 2/3. With ReLU the printed "
            "variance, εφ/2, is that of the network.",
            "The published table is eq. 21 and 32 of Pennington & Bahri (2017), evaluated to "
            "ten decimals. Their measured energies of trained tanh networks are another quantity "
            "and are not shown here.",
        ),
    )
    return findings, {
        "ratios": np.array(config.ratios),
        "sampled_ratios": np.array(config.sampled),
        **{f"edge_energy_{model.activation}": model.edges for model in models},
        **{f"matrix_energy_{model.activation}": model.draws for model in models},
    }


def _chart(config: CriticalConfig, models: list[_Model]) -> Chart:
    ratios = np.concatenate([np.geomspace(0.02, 0.5, 41), 1 - np.geomspace(0.49, 0.005, 60)])
    printed, series = column_table("pb_critical_energy"), []
    for hue, model in enumerate(models):
        closed = critical_energy(ratios, model.activation)
        series.append(curve(f"closed form, {model.name}", ratios, closed, hue=hue))
        if model.activation == "linear":
            label = "the same with the variance of H₁ of a network, εφ"
            series.append(curve(label, ratios, 2 * closed / ratios, hue=hue))
        series += [
            published(
                f"eq. {21 if model.activation == 'linear' else 32} as published, {model.name}",
                printed["ratio"],
                printed[f"critical_energy_{model.activation}"],
                error="ten decimals",
                hue=hue,
            ),
            Series(
                label=f"lower edge crosses zero, {model.name}",
                x=np.array(config.ratios),
                y=model.edges,
                error="edges: rounding only",
                source="theory",
                mark="points",
                hue=hue,
            ),
        ]
    return Chart(
        name="energy",
        title="Critical energy against the ratio",
        caption="Below its line a law has no negative eigenvalues: a critical point of that energy "
        "is a minimum.",
        x_label="ratio φ = parameters / (samples × outputs)",
        y_label="critical energy ε_c",
        y_scale="log",
        series=tuple(series),
    )


def _matrix_chart(config: CriticalConfig, models: list[_Model]) -> Chart:
    sizes = np.array(config.sizes, dtype=np.float64)
    series: list[Series] = []
    for model in models:
        for i, ratio in enumerate(config.sampled):
            found = with_stderr(
                f"{model.name}, φ = {digits(ratio)}",
                sizes,
                *mean_and_stderr(model.draws[i] / model.matrices.theory[i]),
                error=f"mean, bars ± one standard error over {len(config.seeds)} draws",
                mark="both",
                hue=i,
                nudge=2.0 * (len(series) - 2.5),
            )
            series.append(dataclasses.replace(found, hollow=model.activation == "relu"))
    return Chart(
        name="matrices",
        title="The critical energy of finite matrices",
        caption="The energy at which the smallest eigenvalue of a sampled matrix is zero, over "
        "ε_c. That eigenvalue lies inside the edge of the law, by less in larger matrices.",
        x_label="size n of the matrices",
        y_label="energy where the smallest eigenvalue is zero / ε_c",
        x_scale="log",
        x_ticks=tuple(sizes.tolist()),
        series=(*series, level("limit n → ∞", sizes, 1.0)),
    )


def _statements(config: CriticalConfig, models: list[_Model]) -> tuple[Statement, ...]:
    printed, off = column_table("pb_critical_energy"), np.array([model.off for model in models])
    printed_off = np.array(
        [
            critical_energy(printed["ratio"], model) - printed[f"critical_energy_{model}"]
            for model in MODELS
        ]
    )
    together = joined([model.matrices for model in models])
    shares, errors = together.estimate / together.theory - 1, together.stderr / together.theory
    return (
        judge(
            "The closed forms are the energies at which the lower edge of the law crosses zero.",
            bool(np.abs(off).max() < 1e-8),
            f"largest relative difference {digits(np.abs(off).max(), 2)} at {off.size} ratios "
            f"from {digits(min(config.ratios))} to {digits(max(config.ratios))}",
            origin=pennington_bahri("eq. 21 and 32"),
            shown="energy",
        ),
        judge(
            "They have the published values.",
            bool(np.abs(printed_off).max() <= 6e-11),
            f"largest difference {digits(np.abs(printed_off).max(), 2)} from {printed_off.size} "
            "values of ten decimals",
            origin=CONTROL,
            shown="energy",
        ),
        formula_statement(),
        judge(
            "The smallest eigenvalue of sampled matrices is zero at the critical energy.",
            together.holds,
            f"{together.words()}; extrapolated energies are off by {between(100 * shares, 2)} "
            f"percent, with standard errors of {between(100 * errors, 2)} percent",
            origin=pennington_bahri("eq. 21 and 32"),
            shown="matrices",
        ),
    )


def _tables(config: CriticalConfig, models: list[_Model]) -> tuple[Table, Table]:
    edges = [
        (
            model.name,
            exact(ratio, 6),
            exact(model.closed[i], 6),
            exact(model.edges[i], 6),
            Number(value=model.off[i], basis="difference from the closed form, relative", digits=2),
        )
        for model in models
        for i, ratio in enumerate(config.ratios)
    ]
    basis = "means of draws at one size"
    matrices: list[tuple[Cell, ...]] = []
    for model in models:
        for i, ratio in enumerate(config.sampled):
            law, *measured = model.matrices.cells(i)
            means = [Number(value=v, basis=basis, digits=4) for v in model.draws[i].mean(axis=0)]
            matrices.append((model.name, exact(ratio, 6), law, *means, *measured))
    return (
        table(
            "Critical energies",
            ("model", "φ", "ε_c, closed form", "ε where the edge is zero", "difference"),
            edges,
        ),
        table(
            "The energy at which the smallest eigenvalue of a sampled matrix is zero",
            ("model", "φ", "ε_c", *(f"n = {n}" for n in config.sizes), "n → ∞", "z"),
            matrices,
        ),
    )


EXPERIMENT = study(
    "pb-critical-energy",
    "The energy below which critical points are minima",
    quick=CriticalConfig(sizes=(72, 144, 288), seeds=tuple(range(16))),
    paper=CriticalConfig(),
    tasks=tasks,
    compute=critical,
    summarise=summarise,
)
