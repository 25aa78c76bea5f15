"""Figure 1 of Pennington & Bahri (2017): Wishart plus Wigner, law and sampled matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from hessium._typing import FloatArray
from hessium.figures.formatting import digits
from hessium.figures.records import Chart, Findings, judge
from hessium.figures.views.repetitions import density, histogram, mean_and_stderr, with_stderr
from hessium.runs.experiment import Result, Task
from hessium.studies.random_hessian.agreement import Agreement, extrapolated
from hessium.studies.random_hessian.sampling import spectra
from hessium.studies.results import ResultTable
from hessium.studies.sources import pennington_bahri
from hessium.studies.study import Summary, study, table
from hessium.theory import index, soft_edge, wishart_wigner

_EDGES = "Edges of the spectrum"
_MASS = "Mass below zero, the index of a critical point of that energy"
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


def tasks(config: Fig1Config) -> list[Task]:
    """One draw of one ratio and energy at all sizes."""
    common = {"activation": "linear", "sizes": list(config.sizes)}
    return [
        {"ratio": ratio, "energy": energy, "seed": seed, **common}
        for ratio in config.ratios
        for energy in config.energies
        for seed in config.seeds
    ]


class _Sampled:
    """Eigenvalues, shape (cases, draws, size) for each size, and the laws of the cases."""

    def __init__(self, config: Fig1Config, results: Sequence[Result]) -> None:
        self.sizes, self.draws = config.sizes, len(config.seeds)
        self.cases = list(product(config.ratios, config.energies))
        self.laws = [wishart_wigner(energy, ratio) for ratio, energy in self.cases]
        runs = ResultTable.of(tasks(config), results)
        self.eigenvalues = {
            size: runs.column(f"size{size}").reshape(len(self.cases), self.draws, size)
            for size in config.sizes
        }

    def compare(self, values: list[FloatArray], theory: FloatArray) -> Agreement:
        """Numbers of shape (cases, draws) for each size, extrapolated, beside the law's."""
        samples = np.stack([value.T for value in values], axis=1)
        return extrapolated(samples, self.sizes, 1.0, theory)

    def edges(self, side: str) -> Agreement:
        """Extreme eigenvalues less their Tracy-Widom shift."""
        position = 0 if side == "left" else -1
        theory = np.array([law.support()[position] for law in self.laws])
        values = []
        for size, found in self.eigenvalues.items():
            shift = [soft_edge(law, size, side).mean() for law in self.laws] - theory
            values.append(found[:, :, position] - shift[:, None])
        return self.compare(values, theory)

    def index(self) -> tuple[list[int], Agreement]:
        """Mass below zero, of the cases where the law has some."""
        theory = np.array([float(index(energy, ratio)) for ratio, energy in self.cases])
        some = np.flatnonzero(theory > 0)
        values = [(found[some] < 0).mean(axis=2) for found in self.eigenvalues.values()]
        return some.tolist(), self.compare(values, theory[some])

    def quantiles(self) -> Agreement:
        """Shares of eigenvalues below the quantiles of the law, all cases in one row."""
        law_at = [law.ppf(_LEVELS) for law in self.laws]
        values = [
            np.concatenate(
                [
                    (case[:, :, None] < x).mean(axis=1).T
                    for case, x in zip(found, law_at, strict=True)
                ]
            )
            for found in self.eigenvalues.values()
        ]
        return self.compare(values, np.tile(_LEVELS, len(self.laws)))

    def distances(self) -> FloatArray:
        """Kolmogorov distance of all draws of the largest size together, by case."""
        found = []
        for law, values in zip(self.laws, self.eigenvalues[self.sizes[-1]], strict=True):
            together = np.sort(values.ravel())
            levels = (np.arange(together.size) + 0.5) / together.size
            found.append(np.abs(levels - law.cdf(together)).max() + 0.5 / together.size)
        return np.array(found)


def summarise(config: Fig1Config, results: Sequence[Result]) -> Summary:
    """Charts, statements and tables of the draws."""
    runs = _Sampled(config, results)
    lower, upper, shares = runs.edges("left"), runs.edges("right"), runs.quantiles()
    (some, below), distances, size = runs.index(), runs.distances(), config.sizes[-1]
    charts = tuple(_chart(config, runs, ratio) for ratio in config.ratios)
    findings = Findings(
        statements=(
            judge(
                "Sampled spectra follow the law.",
                shares.holds,
                f"shares of eigenvalues below {_LEVELS.size} quantiles of {len(distances)} laws: "
                f"{shares.words()}; not extrapolated, the largest Kolmogorov distance is "
                f"{digits(distances.max() * size, 2)}/n at n = {size}",
                origin=pennington_bahri("section 4, eq. 18, figure 1"),
                shown=charts[0].name,
            ),
            judge(
                "The lower edges are those of the law.",
                lower.holds,
                lower.words(),
                origin=pennington_bahri("section 4, eq. 18"),
                shown=_EDGES,
            ),
            judge(
                "The upper edges are those of the law.",
                upper.holds,
                upper.words(),
                origin=pennington_bahri("section 4, eq. 18"),
                shown=_EDGES,
            ),
            judge(
                "The mass below zero is that of the law.",
                below.holds,
                below.words(),
                origin=pennington_bahri("section 4, eq. 19"),
                shown=_MASS,
            ),
        ),
        charts=charts,
        tables=(
            table(
                _EDGES,
                ("φ", "ε", "lower edge, law", "sampled", "z", "upper edge, law", "sampled", "z"),
                ((*case, *lower.cells(i), *upper.cells(i)) for i, case in enumerate(runs.cases)),
            ),
            table(
                _MASS,
                ("φ", "ε", "index, law", "sampled", "z"),
                ((*runs.cases[i], *below.cells(k, theory_digits=5)) for k, i in enumerate(some)),
                "Cases without mass below zero in the law are left out.",
            ),
        ),
        notes=(
            "Law: R(g) = 1/(1 − φg) + 2εg, the free sum of Marchenko-Pastur (ratio φ, mean 1) and "
            "a semicircle of variance 2ε; it is the limit n → ∞. Matrices: J Jᵀ with J of shape "
            "n × n/φ and entries N(0, φ/n), plus GOE with off-diagonal entries N(0, 2ε/n); "
            "Pennington & Bahri (2017) print the entries without the 1/n.",
            f"Sizes {', '.join(map(str, config.sizes))}, {runs.draws} draws each. Estimates are "
            "extrapolated to n → ∞ with a correction 1/n. The extreme eigenvalue of a finite "
            "matrix lies inside the edge by the mean of the Tracy-Widom law (β = 1), which is "
            "subtracted first.",
            "These are random matrices, not networks: that H₀ and H₁ of a network are free and "
            "have these laws is an assumption of Pennington & Bahri (2017), not tested here.",
        ),
    )
    return findings, {
        "cases": np.array(runs.cases),
        "kolmogorov_distance": distances,
        "lower_edge": lower.estimate,
        "upper_edge": upper.estimate,
        "index": below.estimate,
        **{f"eigenvalues_{size}": values for size, values in runs.eigenvalues.items()},
    }


def _chart(config: Fig1Config, runs: _Sampled, ratio: float) -> Chart:
    highest = max(float(density("", law).y.max()) for law in runs.laws)  # of all charts
    curves, points = [], []
    size, which = config.sizes[-1], [i for i, (phi, _) in enumerate(runs.cases) if phi == ratio]
    for hue, i in enumerate(which):
        energy, law = digits(runs.cases[i][1]), runs.laws[i]
        curves.append(density(f"law, ε = {energy}", law, hue=hue))
        x, shares = histogram(
            runs.eigenvalues[size][i], np.linspace(*law.support(), config.bins + 1)
        )
        points.append(
            with_stderr(
                f"sampled matrices, ε = {energy}",
                x,
                *mean_and_stderr(shares),
                error=f"mean density in a bin, bars ± one standard error over {runs.draws} draws "
                f"of n = {size}",
                hue=hue,
            )
        )
    return Chart(
        name=f"ratio-{round(100 * ratio)}",
        title=f"Wishart plus Wigner at ratio φ = {digits(ratio)}",
        caption="Residuals of energy ε broaden the spectrum of H₀ and push eigenvalues below zero. "
        "Points are averages over bins, so they stay below a narrow peak.",
        x_label="eigenvalue λ",
        y_label="density ρ(λ)",
        y_range=(-0.04 * highest, 1.04 * highest),
        series=(*curves, *points),
    )


EXPERIMENT = study(
    "pb-fig1",
    "Spectra of random Hessians, by ratio and energy",
    quick=Fig1Config(sizes=(180, 360), seeds=tuple(range(12))),
    paper=Fig1Config(),
    tasks=tasks,
    compute=spectra,
    summarise=summarise,
)
