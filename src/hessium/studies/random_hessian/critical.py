"""The critical energy against the ratio: closed forms, edges, printed formulas, matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from hessium._typing import AnyArray, FloatArray
from hessium.figures.formatting import between, digits
from hessium.figures.records import (
    Chart,
    Findings,
    Number,
    Series,
    Statement,
    Table,
    exact,
    judge,
)
from hessium.runs.experiment import Experiment, Result, Task
from hessium.studies.published import column_table
from hessium.studies.random_hessian.agreement import Agreement, extrapolated, joined
from hessium.studies.random_hessian.curves import MODELS, law, means
from hessium.studies.random_hessian.formulas import formula_chart, formula_statement
from hessium.studies.random_hessian.sampling import critical
from hessium.theory import critical_energy, hessian_law, soft_edge


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalConfig:
    """Settings of `pb-critical-energy`.

    Attributes:
        ratios: where the edge is followed to zero.
        sampled: where matrices are.
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


class _Runs:
    """Energies by model."""

    def __init__(self, config: CriticalConfig, results: Sequence[Result]) -> None:
        self.config = config
        self.ratios, self.sampled = np.array(config.ratios), np.array(config.sampled)
        count = len(MODELS) * len(config.ratios)
        edges = np.array([r["energy"][0] for r in results[:count]]).reshape(len(MODELS), -1)
        draws = np.array([r["energy"] for r in results[count:]]).reshape(
            len(MODELS), len(config.sampled), len(config.seeds), len(config.sizes)
        )
        self.edges = dict(zip(MODELS, edges, strict=True))
        self.draws = dict(zip(MODELS, draws, strict=True))

    def matrices(self, model: str) -> Agreement:
        """Energies less their Tracy-Widom shift, extrapolated in powers of 1/n."""
        theory = critical_energy(self.sampled, model)
        shift = np.array(
            [[_at_size(r, model, n) for n in self.config.sizes] for r in self.config.sampled]
        )
        corrected = self.draws[model] * (theory[:, None] / shift)[:, None, :]
        return extrapolated(np.moveaxis(corrected, 0, -1), self.config.sizes, 1.0, theory)

    def off(self, model: str) -> FloatArray:
        """Relative distance of the closed form from the energy at which the edge is zero."""
        return np.asarray(self.edges[model] / critical_energy(self.ratios, model) - 1)


def _at_size(ratio: float, model: str, size: int) -> float:
    """The energy at which the smallest of `size` eigenvalues is zero in the mean.

    It lies inside the edge of the law by the mean of the Tracy-Widom law, so above the critical
    energy; corrections of higher order in 1/n are left.
    """
    critical = float(critical_energy(ratio, model))

    def lowest(log_share: float) -> float:
        law = hessian_law(critical * float(np.exp(log_share)), ratio, model)
        return soft_edge(law, size, "left").mean()

    return critical * float(np.exp(brentq(lowest, -0.5, 5.0, xtol=1e-12)))


def summarise(
    config: CriticalConfig, results: Sequence[Result]
) -> tuple[Findings, Mapping[str, AnyArray]]:
    """Charts, statements and tables."""
    runs = _Runs(config, results)
    findings = Findings(
        statements=_statements(runs),
        charts=(_chart(runs), _matrix_chart(runs), formula_chart()),
        tables=(_table(runs), _matrix_table(runs)),
        notes=(
            "Critical energy ε_c: the largest energy at which the limit law has no mass below "
            "zero; scale 1, and it grows with the square of the scale. From ratio one on it is "
            "zero.",
            "Edges are found without the closed forms: the lower end of the support is followed "
            "in the energy to its zero. Matrices: the energy at which the smallest eigenvalue of "
            f"H₀ + √ε H₁ is zero, at n = {', '.join(map(str, config.sizes))}, "
            f"{len(config.seeds)} draws. That eigenvalue lies inside the edge by the mean of the "
            "Tracy-Widom law, which is taken off first; the rest is extrapolated to n → ∞ in "
            "powers of 1/n.",
            "The printed model gives H₁ the variance 2ε. H₁ of a linear network has εφ, if "
            "residuals are independent of data and weights: its critical energy is 2/φ times that "
            "of eq. 21, from 8 times at φ = 1/4 to 3 times at φ = 2/3. With ReLU the printed "
            "variance, εφ/2, is that of the network.",
            "The published table is eq. 21 and 32 of Pennington and Bahri (2017), evaluated to "
            "ten decimals. Their measured energies of trained tanh networks are another quantity "
            "and are not shown here.",
        ),
    )
    arrays: dict[str, AnyArray] = {"ratios": runs.ratios, "sampled_ratios": runs.sampled}
    arrays |= {f"edge_energy_{m}": runs.edges[m] for m in MODELS}
    arrays |= {f"matrix_energy_{m}": runs.draws[m] for m in MODELS}
    return findings, arrays


def _chart(runs: _Runs) -> Chart:
    ratios = np.concatenate([np.geomspace(0.02, 0.5, 41), 1 - np.geomspace(0.49, 0.005, 60)])
    table = column_table("pb_critical_energy")
    series = []
    for hue, (model, name) in enumerate(MODELS.items()):
        series += [
            law(f"closed form, {name}", ratios, critical_energy(ratios, model), hue),
            *([_network(ratios, hue)] if model == "linear" else []),
            Series(
                label=f"eq. {21 if model == 'linear' else 32} as published, {name}",
                x=table["ratio"],
                y=table[f"critical_energy_{model}"],
                error="ten decimals",
                source="published",
                mark="points",
                hue=hue,
            ),
            Series(
                label=f"lower edge crosses zero, {name}",
                x=runs.ratios,
                y=runs.edges[model],
                error="edges: rounding only",
                source="theory",
                mark="points",
                hue=hue + 2,
            ),
        ]
    return Chart(
        name="energy",
        title="Critical energy against the ratio",
        caption=(
            "Below its line a law has no negative eigenvalues: a critical point of that energy is "
            "a minimum."
        ),
        x_label="ratio φ = parameters / (samples × outputs)",
        y_label="critical energy ε_c",
        y_scale="log",
        series=tuple(series),
    )


def _network(ratios: FloatArray, hue: int) -> Series:
    label = "the same with the variance of H₁ of a network, εφ"
    return law(label, ratios, 2 * critical_energy(ratios) / ratios, hue)


def _matrix_chart(runs: _Runs) -> Chart:
    sizes = np.array(runs.config.sizes, dtype=np.float64)
    series: list[Series] = []
    for model, name in MODELS.items():
        critical = critical_energy(runs.sampled, model)
        for i, ratio in enumerate(runs.config.sampled):
            values = runs.draws[model][i] / critical[i]
            series.append(
                means(
                    f"sampled matrices, {name}, φ = {digits(ratio)}",
                    sizes,
                    values.mean(axis=0),
                    values.std(axis=0, ddof=1) / np.sqrt(len(values)),
                    f"mean, bars ± one standard error over {len(values)} draws",
                    nudge=2.0 * (len(series) - 2.5),
                )
            )
    limit = law("law, n → ∞", sizes[[0, -1]], np.ones(2))
    return Chart(
        name="matrices",
        title="Finite matrices on their way to the critical energy",
        caption=(
            "The energy at which the smallest eigenvalue of a sampled matrix is zero, over ε_c. "
            "That eigenvalue lies inside the edge of the law, the less the larger "
            "the matrix."
        ),
        x_label="size n of the matrices",
        y_label="energy where the smallest eigenvalue is zero / ε_c",
        x_scale="log",
        x_ticks=tuple(sizes.tolist()),
        series=(*series, limit),
    )


def _statements(runs: _Runs) -> tuple[Statement, ...]:
    off = np.array([runs.off(model) for model in MODELS])
    table = column_table("pb_critical_energy")
    printed_off = np.concatenate(
        [
            critical_energy(table["ratio"], model) - table[f"critical_energy_{model}"]
            for model in MODELS
        ]
    )
    together = joined([runs.matrices(model) for model in MODELS])
    shares = together.estimate / together.theory - 1
    return (
        judge(
            "The closed forms are the energies at which the lower edge of the law crosses zero.",
            bool(np.abs(off).max() < 1e-8),
            f"largest relative difference {digits(np.abs(off).max(), 2)} at {off.size} ratios "
            f"from {digits(runs.ratios.min())} to {digits(runs.ratios.max())}",
        ),
        judge(
            "They have the published values.",
            bool(np.abs(printed_off).max() <= 6e-11),
            f"largest difference {digits(np.abs(printed_off).max(), 2)} from {printed_off.size} "
            "values of ten decimals",
        ),
        formula_statement(),
        judge(
            "The smallest eigenvalue of sampled matrices is zero at the critical energy.",
            together.holds,
            f"{together.words()}; extrapolated energies are off by "
            f"{between(100 * shares, 2)} percent, with standard errors of "
            f"{between(100 * together.stderr / together.theory, 2)} percent",
        ),
    )


def _table(runs: _Runs) -> Table:
    rows: list[tuple[str | Number, ...]] = []
    basis = "difference from the closed form, relative"
    for model, name in MODELS.items():
        values, off = critical_energy(runs.ratios, model), runs.off(model)
        rows += [
            (
                name,
                exact(ratio, 6),
                exact(float(values[i]), 10),
                exact(float(runs.edges[model][i]), 10),
                Number(value=float(off[i]), basis=basis, digits=2),
            )
            for i, ratio in enumerate(runs.config.ratios)
        ]
    columns = ("model", "φ", "ε_c, closed form", "ε where the edge is zero", "difference")
    return Table(title="Critical energies", columns=columns, rows=tuple(rows))


def _matrix_table(runs: _Runs) -> Table:
    rows: list[tuple[str | Number, ...]] = []
    for model, name in MODELS.items():
        found = runs.matrices(model)
        rows += [
            (
                name,
                exact(ratio, 6),
                exact(float(found.theory[i]), 6),
                *(
                    Number(
                        value=float(runs.draws[model][i, :, k].mean()),
                        basis="means of draws at one size",
                        digits=4,
                    )
                    for k in range(len(runs.config.sizes))
                ),
                found.number(i),
                found.score(i),
            )
            for i, ratio in enumerate(runs.config.sampled)
        ]
    sizes = tuple(f"n = {n}" for n in runs.config.sizes)
    return Table(
        title="The energy at which the smallest eigenvalue of a sampled matrix is zero",
        columns=("model", "φ", "ε_c", *sizes, "n → ∞", "z"),
        rows=tuple(rows),
    )


EXPERIMENT = Experiment(
    name="pb-critical-energy",
    title="The energy below which critical points are minima",
    shows="Critical energy against the ratio for both models: closed forms, edges of the law, "
    "printed formulas and sampled matrices.",
    presets={
        "quick": CriticalConfig(sizes=(72, 144, 288), seeds=tuple(range(16))),
        "paper": CriticalConfig(),
    },
    seeds=lambda config: config.seeds,
    tasks=tasks,
    compute=critical,
    summarise=summarise,
)
