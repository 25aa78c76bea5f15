"""The index against the energy: exact, its 3/2 law, and sampled matrices."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from hessium._typing import FloatArray
from hessium.figures.formatting import between, digits
from hessium.figures.records import (
    CONTROL,
    OURS,
    Chart,
    Findings,
    Series,
    Statement,
    Table,
    exact,
    judge,
)
from hessium.figures.views.repetitions import curve, level, with_stderr
from hessium.runs.experiment import Result, Task
from hessium.studies.random_hessian.agreement import Agreement, extrapolated, joined
from hessium.studies.random_hessian.network_index import network_chart
from hessium.studies.random_hessian.sampling import MODELS, negatives
from hessium.studies.results import ResultTable
from hessium.studies.sources import pennington_bahri
from hessium.studies.study import Cell, Summary, study, table
from hessium.theory import (
    critical_energy,
    energy_for_index,
    index,
    index_coefficient,
    small_index,
)

_EXCESS = "energy above the critical one, (ε − ε_c)/ε_c"
_OFF = 0.1  # relative difference at which the 3/2 law ends


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
    """A model at one ratio, and the energies at which its matrices are sampled."""

    activation: str
    ratio: float
    energies: FloatArray

    @property
    def label(self) -> str:
        return f"φ = {digits(self.ratio)}"

    @property
    def critical(self) -> float:
        return float(critical_energy(self.ratio, self.activation))

    @property
    def small(self) -> FloatArray:
        """The 3/2 law at the sampled energies."""
        return small_index(self.energies, self.ratio, self.activation)

    def exact(self, excess: FloatArray) -> FloatArray:
        """Index at energies above the critical one, in its units."""
        return index((1 + excess) * self.critical, self.ratio, self.activation)

    def share(self, excess: FloatArray) -> FloatArray:
        """Exact index over the 3/2 law."""
        coefficient = index_coefficient(self.ratio, self.activation)
        return np.asarray(self.exact(excess) / (coefficient * excess**1.5))

    def leaves(self) -> float:
        """The first excess at which the two differ by `_OFF`."""
        grid = np.geomspace(1e-3, 1e3, 25)
        first = int(np.argmax(np.abs(self.share(grid) - 1) > _OFF))

        def beyond(log_excess: float) -> float:
            return float(np.abs(self.share(np.array([np.exp(log_excess)])) - 1)[0]) - _OFF

        bracket = np.log(grid[first - 1]), np.log(grid[first])
        return float(np.exp(brentq(beyond, *bracket, xtol=1e-10)))


@functools.cache
def _cases(config: IndexConfig) -> tuple[_Case, ...]:
    return tuple(
        _Case(
            activation=activation,
            ratio=ratio,
            energies=np.array([energy_for_index(a, ratio, activation) for a in config.indices]),
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
        for energy in case.energies.tolist()
        for seed in config.seeds
    ]


def _sampled(config: IndexConfig, results: Sequence[Result]) -> list[Agreement]:
    """Sampled beside exact index, for each case."""
    cases, runs = _cases(config), ResultTable.of(tasks(config), results)
    shape = (len(cases), len(config.indices), len(config.seeds), len(config.sizes))
    shares = runs.column("negatives").reshape(shape) / np.array(config.sizes)
    return [
        extrapolated(
            np.moveaxis(found, 0, -1),
            config.sizes,
            1.0,
            index(case.energies, case.ratio, case.activation),
        )
        for case, found in zip(cases, shares, strict=True)
    ]


def summarise(config: IndexConfig, results: Sequence[Result]) -> Summary:
    """Charts, statements and tables of the draws."""
    cases, sampled = _cases(config), _sampled(config, results)
    findings = Findings(
        statements=_statements(cases, sampled),
        charts=(
            *(_chart(model, cases, sampled) for model in MODELS),
            _departure(config, cases),
            network_chart(config.ratios),
        ),
        tables=_tables(config, cases, sampled),
        notes=(
            "Index: share of negative eigenvalues, α, the mass of the law below zero. Exact: from "
            "the log-potential of the law. 3/2 law: α₀ ((ε − ε_c)/ε_c)^(3/2) with α₀ in closed "
            "form, which Pennington & Bahri (2017) do not give. Both are limits n → ∞.",
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
    return findings, {
        "energy": np.array([case.energies for case in cases]),
        "index": np.array([one.estimate for one in sampled]),
        "index_stderr": np.array([one.stderr for one in sampled]),
        "index_law": np.array([one.theory for one in sampled]),
    }


def _chart(model: str, cases: tuple[_Case, ...], sampled: list[Agreement]) -> Chart:
    excess = np.geomspace(1e-3, 1e3, 49)
    curves: list[Series] = []
    laws: list[Series] = []
    points: list[Series] = []
    pairs = [(c, m) for c, m in zip(cases, sampled, strict=True) if c.activation == model]
    for hue, (case, found) in enumerate(pairs):
        power = small_index((1 + excess) * case.critical, case.ratio, model)
        kept = power <= 0.5  # no index is larger
        curves.append(curve(f"exact index, {case.label}", excess, case.exact(excess), hue=hue))
        laws.append(curve(f"3/2 law, {case.label}", excess[kept], power[kept], hue=hue))
        points.append(
            with_stderr(
                f"sampled matrices, {case.label}",
                case.energies / case.critical - 1,
                found.estimate,
                found.stderr,
                error=f"bars ± one standard error over {found.draws} draws, extrapolated in size",
                hue=hue,
                least=1e-4,
            )
        )
    return Chart(
        name=f"index-{model}",
        title=f"Index against energy, {MODELS[model]}",
        caption="Above the critical energy negative eigenvalues appear with the power 3/2; at "
        "higher energies the exact index lies below that law and tends to one half.",
        x_label=_EXCESS,
        y_label="index α",
        x_scale="log",
        y_scale="log",
        series=(*curves, *laws, *points),
    )


def _departure(config: IndexConfig, cases: tuple[_Case, ...]) -> Chart:
    excess, ratios = np.geomspace(1e-3, 1e2, 41), list(dict.fromkeys(config.ratios))
    return Chart(
        name="departure",
        title="Range of the 3/2 law",
        caption="The exact index over its 3/2 law: one at the critical energy, less above it.",
        x_label=_EXCESS,
        y_label="exact index / 3/2 law",
        x_scale="log",
        series=(
            *(
                curve(
                    f"{MODELS[case.activation]}, {case.label}",
                    excess,
                    case.share(excess),
                    hue=ratios.index(case.ratio),
                )
                for case in cases
            ),
            level("a tenth below the 3/2 law", excess, 1 - _OFF, error="none, a chosen value"),
        ),
    )


def _statements(cases: tuple[_Case, ...], sampled: list[Agreement]) -> tuple[Statement, ...]:
    near, ends = np.geomspace(1e-6, 1e-5, 5), [case.leaves() for case in cases]
    slopes = [np.polyfit(np.log(near), np.log(case.exact(near)), 1)[0] for case in cases]
    exact_one, law_one = joined(sampled), joined(sampled, [case.small for case in cases])
    rejected = np.abs(law_one.z) > law_one.limit
    lowest = float(exact_one.theory[rejected].min()) if rejected.any() else 0.0
    least = float(exact_one.theory.min())
    listed = ", ".join(
        f"{digits(at, 2)} ({MODELS[case.activation]}, {case.label})"
        for case, at in zip(cases, ends, strict=True)
    )
    return (
        judge(
            "The index rises from the critical energy with the power 3/2.",
            bool(np.abs(np.array(slopes) - 1.5).max() < 1e-3),
            f"exponent of the exact index between excesses of 10⁻⁶ and 10⁻⁵: {between(slopes, 5)} "
            f"in {len(cases)} cases",
            origin=pennington_bahri("eq. 20"),
            shown="index-linear",
        ),
        judge(
            "The 3/2 law is within ten percent of the exact index up to an excess of one tenth.",
            min(ends) >= 0.1,
            f"it is ten percent off from {listed} times ε_c above ε_c",
            origin=OURS,
            shown="departure",
            reason="The law is the first term of an expansion about the critical energy; the "
            "next terms are large soon.",
        ),
        judge(
            "Sampled matrices have the exact index.",
            exact_one.holds,
            exact_one.words(),
            origin=CONTROL,
            shown="index-linear",
        ),
        judge(
            f"Sampled matrices have the index of the 3/2 law at indices from {digits(least)} on.",
            law_one.holds,
            f"rejected at {int(rejected.sum())} of {rejected.size} points"
            + (f", the one of least index at {digits(lowest)}" if rejected.any() else "")
            + f", where |z| exceeds {digits(law_one.limit, 2)}",
            origin=OURS,
            shown="index-linear",
            reason="At these indices the law is beyond its range; the exact index lies below it.",
        ),
    )


def _tables(
    config: IndexConfig, cases: tuple[_Case, ...], sampled: list[Agreement]
) -> tuple[Table, Table]:
    rows: list[tuple[Cell, ...]] = []
    for case, found in zip(cases, sampled, strict=True):
        for k in range(len(config.indices)):
            law, *measured = found.cells(k, theory_digits=5, significant=3)
            name, energy = MODELS[case.activation], exact(case.energies[k], 5)
            rows.append((name, case.ratio, energy, law, exact(case.small[k], 5), *measured))
    limits = []
    for case in cases:
        at = np.array(case.leaves())
        limits.append(
            (
                MODELS[case.activation],
                case.ratio,
                exact(case.critical, 5),
                exact(float(index_coefficient(case.ratio, case.activation)), 5),
                exact(float((1 + at) * case.critical), 5),
                exact(float(case.exact(at)), 4),
            )
        )
    return (
        table(
            "Index at the sampled energies",
            ("model", "φ", "ε", "exact index", "3/2 law", "sampled", "z"),
            rows,
            "z compares with the exact index.",
        ),
        table(
            "Where the 3/2 law is ten percent off",
            ("model", "φ", "ε_c", "α₀", "ε there", "exact index there"),
            limits,
        ),
    )


EXPERIMENT = study(
    "pb-index",
    "The index of critical points against their energy",
    quick=IndexConfig(indices=(0.01, 0.03, 0.1, 0.3), sizes=(144, 288), seeds=tuple(range(12))),
    paper=IndexConfig(),
    tasks=tasks,
    compute=negatives,
    summarise=summarise,
)
