"""The index against the energy: exact, its 3/2 law, and sampled matrices."""

from __future__ import annotations

import functools
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
from hessium.studies.random_hessian.agreement import Agreement, extrapolated, joined
from hessium.studies.random_hessian.curves import MODELS, law, means
from hessium.studies.random_hessian.sampling import negatives
from hessium.theory import (
    critical_energy,
    energy_for_index,
    index,
    index_coefficient,
    small_index,
    wigner_energy,
)

_EXCESS = "energy above the critical one, (ε − ε_c)/ε_c"
_OFF = 0.1  # the law is left where it is off by this share


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexConfig:
    """Settings of `pb-index`.

    Attributes:
        ratios: parameters over samples times outputs, below one.
        indices: the matrices are sampled at the energies with these indices.
        sizes: of the sampled matrices, even; they serve to extrapolate.
        seeds: one draw each.
    """

    ratios: tuple[float, ...] = (0.25, 0.5, 0.75)
    indices: tuple[float, ...] = (0.005, 0.01, 0.03, 0.1, 0.2, 0.3)
    sizes: tuple[int, ...] = (480, 960)
    seeds: tuple[int, ...] = tuple(range(24))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    activation: str
    ratio: float
    energies: tuple[float, ...]

    def excess(self) -> FloatArray:
        """Energies above the critical one, in its units."""
        return self.excess_of(np.array(self.energies))

    def excess_of(self, energies: FloatArray) -> FloatArray:
        return np.asarray(energies / critical_energy(self.ratio, self.activation) - 1)

    def energy(self, excess: FloatArray) -> FloatArray:
        return np.asarray((1 + excess) * critical_energy(self.ratio, self.activation))

    def exact(self, excess: FloatArray) -> FloatArray:
        return index(self.energy(excess), self.ratio, self.activation)

    def share(self, excess: FloatArray) -> FloatArray:
        """Exact index over the 3/2 law."""
        coefficient = index_coefficient(self.ratio, self.activation)
        return np.asarray(self.exact(excess) / (coefficient * excess**1.5))

    def leaves(self) -> float:
        """The first excess at which the two differ by `_OFF`."""
        grid = np.geomspace(1e-3, 1e3, 25)
        off = np.abs(self.share(grid) - 1) - _OFF
        first = int(np.argmax(off > 0))

        def left(log_excess: float) -> float:
            return float(np.abs(self.share(np.array([np.exp(log_excess)])) - 1)[0]) - _OFF

        return float(np.exp(brentq(left, np.log(grid[first - 1]), np.log(grid[first]), xtol=1e-10)))


@functools.cache
def _cases(config: IndexConfig) -> tuple[_Case, ...]:
    return tuple(
        _Case(
            activation=activation,
            ratio=ratio,
            energies=tuple(energy_for_index(a, ratio, activation) for a in config.indices),
        )
        for activation in MODELS
        for ratio in config.ratios
    )


def tasks(config: IndexConfig) -> list[Task]:
    """One draw of one model, ratio and energy at all sizes."""
    return [
        {
            "activation": case.activation,
            "ratio": case.ratio,
            "energy": energy,
            "seed": seed,
            "sizes": list(config.sizes),
        }
        for case in _cases(config)
        for energy in case.energies
        for seed in config.seeds
    ]


def _measured(config: IndexConfig, results: Sequence[Result]) -> list[Agreement]:
    """Sampled beside exact index, for each case."""
    cases, sizes = _cases(config), np.array(config.sizes, dtype=np.float64)
    counts = np.array([r["negatives"] for r in results]).reshape(
        len(cases), len(config.indices), len(config.seeds), len(sizes)
    )
    found = []
    for case, negative in zip(cases, counts, strict=True):
        samples = np.moveaxis(negative / sizes, 0, -1)
        theory = index(np.array(case.energies), case.ratio, case.activation)
        found.append(extrapolated(samples, config.sizes, 1.0, theory))
    return found


def summarise(
    config: IndexConfig, results: Sequence[Result]
) -> tuple[Findings, Mapping[str, AnyArray]]:
    """Charts, statements and tables of the draws."""
    cases, measured = _cases(config), _measured(config, results)
    findings = Findings(
        statements=_statements(cases, measured),
        charts=(
            *(_chart(m, cases, measured) for m in MODELS),
            _departure(cases),
            _network(config.ratios),
        ),
        tables=(_table(config, cases, measured), _limits(cases)),
        notes=(
            "Index: share of negative eigenvalues, α = ∫₋∞⁰ ρ. Exact: from the log-potential of "
            "the law. 3/2 law: α₀ ((ε − ε_c)/ε_c)^(3/2) with α₀ in closed form; the source gives "
            "none. Both are limits n → ∞.",
            f"Matrices of sizes {', '.join(map(str, config.sizes))}, {len(config.seeds)} draws "
            "each, extrapolated to n → ∞ with a correction 1/n. Linear: Wishart plus GOE. ReLU: "
            "Wishart plus one of the equal blocks of H₁, a product of two Gaussian matrices.",
            "The printed model gives H₁ the variance 2ε. H₁ of a linear network has εφ, if "
            "residuals are independent of data and weights: predictions for it are those at the "
            "energy εφ/2, and critical energies 2/φ times as large. In ε/ε_c the curves are the "
            "same.",
            "Points below an index of about 2/n need larger matrices: there single eigenvalues "
            "fluctuate across zero.",
        ),
    )
    arrays: dict[str, AnyArray] = {
        "energy": np.array([case.energies for case in cases]),
        "index": np.array([one.estimate for one in measured]),
        "index_stderr": np.array([one.stderr for one in measured]),
        "index_law": np.array([one.theory for one in measured]),
    }
    return findings, arrays


def _chart(model: str, cases: tuple[_Case, ...], measured: list[Agreement]) -> Chart:
    excess = np.geomspace(1e-3, 1e3, 49)
    series: dict[str, list[Series]] = {"exact": [], "law": [], "points": []}
    pairs = [(c, m) for c, m in zip(cases, measured, strict=True) if c.activation == model]
    for hue, (case, found) in enumerate(pairs):
        name = f"φ = {digits(case.ratio)}"
        power = small_index(case.energy(excess), case.ratio, model)
        kept = power <= 0.5  # no index is larger
        series["exact"].append(law(f"exact index, {name}", excess, case.exact(excess), hue))
        series["law"].append(law(f"3/2 law, {name}", excess[kept], power[kept], hue))
        series["points"].append(
            means(
                f"sampled matrices, {name}",
                case.excess(),
                found.estimate,
                found.stderr,
                f"bars ± one standard error over {found.draws} draws, extrapolated in size",
                hue=hue,
                floor=1e-4,
            )
        )
    return Chart(
        name=f"index-{model}",
        title=f"Index against energy, {MODELS[model]}",
        caption=(
            "Above the critical energy negative eigenvalues appear with the power 3/2; the exact "
            "index bends away and tends to one half."
        ),
        x_label=_EXCESS,
        y_label="index α",
        x_scale="log",
        y_scale="log",
        series=tuple(one for group in series.values() for one in group),
    )


def _departure(cases: tuple[_Case, ...]) -> Chart:
    excess = np.geomspace(1e-3, 1e2, 41)
    hues = {ratio: hue for hue, ratio in enumerate(dict.fromkeys(c.ratio for c in cases))}
    curves = tuple(
        law(
            f"{MODELS[case.activation]}, φ = {digits(case.ratio)}",
            excess,
            case.share(excess),
            hues[case.ratio],
        )
        for case in cases
    )
    limit = law("ten percent below the 3/2 law", excess[[0, -1]], np.full(2, 1 - _OFF), 5)
    return Chart(
        name="departure",
        title="Where the 3/2 law ends",
        caption="The exact index over its 3/2 law: one at the critical energy, less above it.",
        x_label=_EXCESS,
        y_label="exact index / 3/2 law",
        x_scale="log",
        series=(*curves, limit),
    )


def _network(ratios: tuple[float, ...]) -> Chart:
    energy = np.geomspace(1e-3, 10, 61)
    series = []
    for hue, ratio in enumerate(ratios):
        name = f"φ = {digits(ratio)}"
        network = index(wigner_energy(energy, ratio), ratio)
        series += [
            law(f"variance 2ε as printed, {name}", energy, index(energy, ratio), hue),
            law(f"variance εφ of a network, {name}", energy, network, hue),
        ]
    return Chart(
        name="index-network",
        title="The index with the variance that H₁ of a linear network has",
        caption="The same curves, moved by a factor 2/φ in the energy.",
        x_label="energy ε = L / n",
        y_label="index α",
        x_scale="log",
        series=tuple(series),
    )


def _statements(cases: tuple[_Case, ...], measured: list[Agreement]) -> tuple[Statement, ...]:
    near = np.geomspace(1e-6, 1e-5, 5)
    slopes = [np.polyfit(np.log(near), np.log(c.exact(near)), 1)[0] for c in cases]
    leaves = [case.leaves() for case in cases]
    laws = [small_index(np.array(c.energies), c.ratio, c.activation) for c in cases]
    exact_one = joined(measured)
    law_one = joined(measured, laws)
    denied = np.abs(law_one.z) > law_one.limit
    lowest = float(exact_one.theory[denied].min()) if denied.any() else 0.0
    least = float(min(m.theory.min() for m in measured))
    return (
        judge(
            "The index rises from the critical energy with the power 3/2.",
            bool(np.abs(np.array(slopes) - 1.5).max() < 1e-3),
            f"exponent of the exact index between excesses of 10⁻⁶ and 10⁻⁵: {between(slopes, 5)} "
            f"in {len(cases)} cases",
        ),
        judge(
            "The 3/2 law is within ten percent of the exact index up to an excess of one tenth.",
            min(leaves) >= 0.1,
            "it is ten percent off from "
            + ", ".join(
                f"{digits(at, 2)} ({MODELS[c.activation]}, φ = {digits(c.ratio)})"
                for c, at in zip(cases, leaves, strict=True)
            )
            + " times ε_c above ε_c",
        ),
        judge("Sampled matrices have the exact index.", exact_one.holds, exact_one.words()),
        judge(
            f"Sampled matrices have the index of the 3/2 law at indices from {digits(least)} on.",
            law_one.holds,
            f"denied at {int(denied.sum())} of {denied.size} points"
            + (f", the one of least index at {digits(lowest)}" if denied.any() else "")
            + f", where |z| exceeds {digits(law_one.limit, 2)}",
        ),
    )


def _table(config: IndexConfig, cases: tuple[_Case, ...], measured: list[Agreement]) -> Table:
    rows: list[tuple[str | Number, ...]] = []
    for case, found in zip(cases, measured, strict=True):
        power = small_index(np.array(case.energies), case.ratio, case.activation)
        rows += [
            (
                MODELS[case.activation],
                exact(case.ratio),
                exact(case.energies[k], 5),
                exact(float(found.theory[k]), 5),
                exact(float(power[k]), 5),
                found.number(k, 3),
                found.score(k),
            )
            for k in range(len(config.indices))
        ]
    return Table(
        title="Index at the sampled energies",
        columns=("model", "φ", "ε", "exact index", "3/2 law", "sampled", "z"),
        rows=tuple(rows),
        note="z compares with the exact index.",
    )


def _limits(cases: tuple[_Case, ...]) -> Table:
    rows: list[tuple[str | Number, ...]] = []
    for case in cases:
        at = np.array(case.leaves())
        energy = float(critical_energy(case.ratio, case.activation))
        coefficient = float(index_coefficient(case.ratio, case.activation))
        rows.append(
            (
                MODELS[case.activation],
                exact(case.ratio),
                exact(energy, 8),
                exact(coefficient, 8),
                exact(float(case.energy(at)), 5),
                exact(float(case.exact(at)), 4),
            )
        )
    return Table(
        title="Where the 3/2 law is ten percent off",
        columns=("model", "φ", "ε_c", "α₀", "ε there", "exact index there"),
        rows=tuple(rows),
    )


EXPERIMENT = Experiment(
    name="pb-index",
    title="The index of critical points against their energy",
    shows="Exact index, small-index law and its slope 3/2 for both models, with sampled matrices.",
    presets={
        "quick": IndexConfig(
            indices=(0.01, 0.03, 0.1, 0.3), sizes=(144, 288), seeds=tuple(range(12))
        ),
        "paper": IndexConfig(),
    },
    seeds=lambda config: config.seeds,
    tasks=tasks,
    compute=negatives,
    summarise=summarise,
)
