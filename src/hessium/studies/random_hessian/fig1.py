"""The first figure of the second source: Wishart plus Wigner, law and sampled matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hessium._typing import AnyArray, FloatArray
from hessium.figures.formatting import digits
from hessium.figures.records import (
    Chart,
    Findings,
    Number,
    Statement,
    Table,
    exact,
    judge,
)
from hessium.runs.experiment import Experiment, Result, Task
from hessium.studies.random_hessian.agreement import Agreement, extrapolated
from hessium.studies.random_hessian.curves import law, means
from hessium.studies.random_hessian.sampling import spectra
from hessium.theory import Law, index, soft_edge, wishart_wigner

_LEVELS = np.linspace(0.1, 0.9, 9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fig1Config:
    """Settings of `pb-fig1`.

    Attributes:
        ratios: parameters over samples times outputs.
        energies: loss over outputs at the critical point.
        sizes: of the sampled matrices, even; the last one is shown, all serve to extrapolate.
        seeds: one draw each.
        bins: of the histograms.
    """

    ratios: tuple[float, ...] = (0.25, 0.5, 0.75)
    energies: tuple[float, ...] = (0.0, 0.1, 0.5, 1.0)
    sizes: tuple[int, ...] = (480, 960)
    seeds: tuple[int, ...] = tuple(range(24))
    bins: int = 30


def _cases(config: Fig1Config) -> list[tuple[float, float]]:
    return [(ratio, energy) for ratio in config.ratios for energy in config.energies]


def tasks(config: Fig1Config) -> list[Task]:
    """One draw of one ratio and energy at all sizes."""
    common = {"activation": "linear", "sizes": list(config.sizes)}
    return [
        {"ratio": ratio, "energy": energy, "seed": seed, **common}
        for ratio, energy in _cases(config)
        for seed in config.seeds
    ]


class _Runs:
    """Eigenvalues by case and size, and the laws."""

    def __init__(self, config: Fig1Config, results: Sequence[Result]) -> None:
        self.config = config
        self.cases = _cases(config)
        self.laws: list[Law] = [wishart_wigner(energy, ratio) for ratio, energy in self.cases]
        self.draws = len(config.seeds)
        self.eigenvalues = {
            size: np.array([r[f"size{size}"] for r in results]).reshape(
                len(self.cases), self.draws, size
            )
            for size in config.sizes
        }

    def over_sizes(self, values: list[FloatArray]) -> FloatArray:
        """From (cases, draws) for each size to (draws, sizes, cases)."""
        return np.stack([value.T for value in values], axis=1)

    def edges(self, side: str) -> Agreement:
        """Extreme eigenvalues less their Tracy-Widom shift."""
        position = 0 if side == "left" else -1
        theory = np.array([law.support()[position] for law in self.laws])
        values = []
        for size, found in self.eigenvalues.items():
            shift = [soft_edge(law, size, side).mean() for law in self.laws] - theory
            values.append(found[:, :, position] - shift[:, None])
        return extrapolated(self.over_sizes(values), self.config.sizes, 1.0, theory)

    def index(self) -> tuple[list[int], Agreement]:
        """Mass below zero, where the law has some."""
        theory = np.array([float(index(energy, ratio)) for ratio, energy in self.cases])
        some = np.flatnonzero(theory > 0)
        values = [(found[some] < 0).mean(axis=2) for found in self.eigenvalues.values()]
        return some.tolist(), extrapolated(
            self.over_sizes(values), self.config.sizes, 1.0, theory[some]
        )

    def levels(self) -> Agreement:
        """Shares of eigenvalues below the quantiles of the law, all cases in one row."""
        law_at = [law.ppf(_LEVELS) for law in self.laws]
        values = [
            np.stack(
                [(case[:, :, None] < x).mean(axis=1) for case, x in zip(found, law_at, strict=True)]
            )
            for found in self.eigenvalues.values()
        ]
        samples = np.stack(values)  # sizes, cases, draws, levels
        samples = samples.transpose(2, 0, 1, 3).reshape(self.draws, len(values), -1)
        return extrapolated(samples, self.config.sizes, 1.0, np.tile(_LEVELS, len(self.laws)))

    def distances(self) -> FloatArray:
        """Kolmogorov distance of all draws of the largest size together, by case."""
        found = []
        for limit, values in zip(self.laws, self.eigenvalues[self.config.sizes[-1]], strict=True):
            together = np.sort(values.ravel())
            levels = (np.arange(together.size) + 0.5) / together.size
            found.append(np.abs(levels - limit.cdf(together)).max() + 0.5 / together.size)
        return np.array(found)


def summarise(
    config: Fig1Config, results: Sequence[Result]
) -> tuple[Findings, Mapping[str, AnyArray]]:
    """Charts, statements and tables of the draws."""
    runs = _Runs(config, results)
    lower, upper = runs.edges("left"), runs.edges("right")
    some, below = runs.index()
    findings = Findings(
        statements=_statements(runs, lower, upper, below),
        charts=tuple(_chart(runs, ratio) for ratio in config.ratios),
        tables=(_edge_table(runs, lower, upper), _index_table(runs, some, below)),
        notes=(
            "Law: R(g) = 1/(1 − φg) + 2εg, the free sum of Marchenko-Pastur (ratio φ, mean 1) and "
            "a semicircle of variance 2ε; it is the limit n → ∞. Matrices: J Jᵀ with J of shape "
            "n × n/φ and entries N(0, φ/n), plus GOE with off-diagonal entries N(0, 2ε/n); the "
            "sources print entries without the 1/n.",
            "Sizes "
            + ", ".join(str(n) for n in config.sizes)
            + f", {runs.draws} draws each. Estimates are extrapolated to n → ∞ with a correction "
            "1/n. The extreme eigenvalue of a finite matrix lies inside the edge by the mean of "
            "the Tracy-Widom law (β = 1), which is taken off first.",
            "These are random matrices, not networks: that H₀ and H₁ of a network are free and "
            "have these laws is the assumption of the source, and nothing here tests it.",
        ),
    )
    arrays: dict[str, AnyArray] = {
        "cases": np.array(runs.cases),
        "kolmogorov_distance": runs.distances(),
        "lower_edge": lower.estimate,
        "upper_edge": upper.estimate,
        "index": below.estimate,
        **{f"eigenvalues_{size}": values for size, values in runs.eigenvalues.items()},
    }
    return findings, arrays


def _chart(runs: _Runs, ratio: float) -> Chart:
    curves, points = [], []
    which = [i for i, (phi, _) in enumerate(runs.cases) if phi == ratio]
    size = runs.config.sizes[-1]
    for hue, i in enumerate(which):
        energy, limit = digits(runs.cases[i][1]), runs.laws[i]
        low, high = limit.support()
        x = low + (high - low) * 0.5 * (1 - np.cos(np.linspace(0, np.pi, 241)))
        curves.append(law(f"law, ε = {energy}", x, limit.pdf(x), hue))
        ends = np.linspace(low, high, runs.config.bins + 1)
        width = ends[1] - ends[0]
        shares = np.array([np.histogram(v, ends)[0] for v in runs.eigenvalues[size][i]]) / size
        points.append(
            means(
                f"sampled matrices, ε = {energy}",
                0.5 * (ends[:-1] + ends[1:]),
                shares.mean(axis=0) / width,
                shares.std(axis=0, ddof=1) / np.sqrt(runs.draws) / width,
                f"mean density in a bin, bars ± one standard error over {runs.draws} draws of "
                f"n = {size}",
                hue=hue,
            )
        )
    return Chart(
        name=f"ratio-{round(100 * ratio)}",
        title=f"Wishart plus Wigner at ratio φ = {digits(ratio)}",
        caption=(
            "Residuals of energy ε smear the spectrum of H₀ and push eigenvalues below zero. "
            "Points are averages over bins, so they stay below a narrow peak."
        ),
        x_label="eigenvalue λ",
        y_label="density ρ(λ)",
        series=(*curves, *points),
    )


def _statements(
    runs: _Runs, lower: Agreement, upper: Agreement, below: Agreement
) -> tuple[Statement, ...]:
    levels, distances, size = runs.levels(), runs.distances(), runs.config.sizes[-1]
    return (
        judge(
            "Sampled spectra follow the law.",
            levels.holds,
            f"shares of eigenvalues below {_LEVELS.size} quantiles of {len(distances)} laws: "
            f"{levels.words()}; not extrapolated, the largest Kolmogorov distance is "
            f"{digits(distances.max() * size, 2)}/n at n = {size}",
        ),
        judge("The lower edges are those of the law.", lower.holds, lower.words()),
        judge("The upper edges are those of the law.", upper.holds, upper.words()),
        judge("The mass below zero is that of the law.", below.holds, below.words()),
    )


def _edge_table(runs: _Runs, lower: Agreement, upper: Agreement) -> Table:
    rows: list[tuple[str | Number, ...]] = []
    for i, (ratio, energy) in enumerate(runs.cases):
        row: list[str | Number] = [exact(ratio), exact(energy)]
        for side in (lower, upper):
            row += [exact(float(side.theory[i]), 6), side.number(i), side.score(i)]
        rows.append(tuple(row))
    columns = ("φ", "ε", "lower edge, law", "sampled", "z", "upper edge, law", "sampled", "z")
    return Table(title="Edges of the spectrum", columns=columns, rows=tuple(rows))


def _index_table(runs: _Runs, some: list[int], below: Agreement) -> Table:
    rows: list[tuple[str | Number, ...]] = [
        (
            exact(runs.cases[i][0]),
            exact(runs.cases[i][1]),
            exact(float(below.theory[k]), 5),
            below.number(k),
            below.score(k),
        )
        for k, i in enumerate(some)
    ]
    return Table(
        title="Mass below zero, the index of a critical point of that energy",
        columns=("φ", "ε", "index, law", "sampled", "z"),
        rows=tuple(rows),
        note="Where the law has no mass below zero there is no row.",
    )


EXPERIMENT = Experiment(
    name="pb-fig1",
    title="Spectra of random Hessians, by ratio and energy",
    shows="The Wishart + Wigner law of the Hessian at three ratios and four energies, with "
    "sampled matrices over it.",
    presets={
        "quick": Fig1Config(sizes=(180, 360), seeds=tuple(range(12))),
        "paper": Fig1Config(),
    },
    seeds=lambda config: config.seeds,
    tasks=tasks,
    compute=spectra,
    summarise=summarise,
)
