"""The other claim of the ADCME tutorial: repeated inputs add no rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hessium._typing import AnyArray, FloatArray
from hessium.figures.formatting import between, digits
from hessium.figures.records import (
    CONTROL,
    OURS,
    Chart,
    Findings,
    Statement,
    Table,
    judge,
    measured,
    over,
)
from hessium.figures.views.repetitions import curve, level
from hessium.runs.experiment import Result, Task
from hessium.studies.eigenvalue_counts import matrices, positive_of
from hessium.studies.results import Of, ResultTable
from hessium.studies.sine import inputs, sine_risk
from hessium.studies.sources import adcme
from hessium.studies.study import Arrays, Summary, repeated, study, table
from hessium.studies.training import train

EXACT_COPIES, NEAR_COPIES, NEW_POINTS = "copies", "near", "distinct"


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateConfig:
    """Settings of `rank-vs-duplicates`.

    Attributes:
        distinct: number of different points to begin with.
        copies: how often each is used.
        shifts: greatest distance of a near copy from its original.
        near_copies: how often each point is used where copies are shifted.
        seeds: of the initial weights and the shifts.
        tol: eigenvalues count above this fraction of the largest.
        max_iterations: of L-BFGS-B.
    """

    distinct: int = 3
    copies: tuple[int, ...] = (1, 2, 4, 8, 16, 30)
    shifts: tuple[float, ...] = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    near_copies: int = 4
    seeds: tuple[int, ...] = (2, 23, 233, 2333, 23333)
    tol: float = 1e-6
    max_iterations: int = 15000


def tasks(config: DuplicateConfig) -> list[Task]:
    """Exact copies, near copies, and as many different points for comparison."""
    common = {"distinct": config.distinct, "max_iterations": config.max_iterations}
    cases: list[dict[str, object]] = [
        *({"kind": EXACT_COPIES, "copies": c, "shift": 0.0} for c in config.copies),
        *({"kind": NEW_POINTS, "copies": c, "shift": 0.0} for c in config.copies),
        *({"kind": NEAR_COPIES, "copies": config.near_copies, "shift": s} for s in config.shifts),
    ]
    return [{**common, **case, "seed": seed} for case in cases for seed in config.seeds]


def points(task: Task) -> FloatArray:
    """Inputs of a task, shape (distinct * copies,)."""
    if task["kind"] == NEW_POINTS:
        return inputs(task["distinct"] * task["copies"])
    x = np.repeat(inputs(task["distinct"]), task["copies"])
    random = np.random.default_rng(task["seed"])
    return x + task["shift"] * random.uniform(-1.0, 1.0, x.size)


def compute(task: Task) -> Result:
    """Spectra after training."""
    trained = train(sine_risk(points(task), task["seed"]), max_iterations=task["max_iterations"])
    return {**matrices(trained.risk), "loss": trained.loss, "iterations": trained.iterations}


def measured_arrays(config: DuplicateConfig, results: Sequence[Result]) -> dict[str, AnyArray]:
    """Ranks by kind of copies, and the first eigenvalue that the distinct points leave over.

    All of shape (seeds, cases).
    """
    runs, k = ResultTable.of(tasks(config), results), config.distinct
    arrays: dict[str, AnyArray] = {
        "copies": np.array(config.copies),
        "shifts": np.array(config.shifts),
    }

    def by_kind(kind: str, of: Of) -> FloatArray:
        axis = {"shift": config.shifts} if kind == NEAR_COPIES else {"copies": config.copies}
        return runs.select(kind=kind).grid(of, seed=config.seeds, **axis)

    for matrix in ("hessian", "gauss_newton"):
        for kind in (EXACT_COPIES, NEAR_COPIES, NEW_POINTS):
            arrays[f"rank_{matrix}_{kind}"] = by_kind(kind, positive_of(matrix, config.tol))
    beyond = by_kind(NEAR_COPIES, lambda r: r["gram"][-k - 1] / r["gram"][-1])
    arrays["eigenvalue_beyond_distinct"] = np.maximum(beyond, np.finfo(np.float64).eps)
    return arrays


def summarise(config: DuplicateConfig, results: Sequence[Result]) -> Summary:
    """Charts, statements and tables of the runs."""
    arrays, what = measured_arrays(config, results), repeated(config.seeds)
    findings = Findings(
        statements=_statements(config, arrays, what),
        charts=_charts(config, arrays, what),
        tables=(_table(config, arrays, what),),
        notes=(
            f"{config.distinct} points of the rank experiment, placed and trained as there, each "
            f"used several times. Near copies: every point {config.near_copies} times, each moved "
            "by an independent uniform shift of at most δ. A network input is a number in [0, 1].",
        ),
    )
    return findings, arrays


def _charts(config: DuplicateConfig, arrays: Arrays, what: str) -> tuple[Chart, ...]:
    k, shifts, beyond = config.distinct, arrays["shifts"], arrays["eigenvalue_beyond_distinct"]
    m, middle = k * arrays["copies"].astype(np.float64), shifts.size // 2
    scale = float(np.median(beyond[:, middle])) / shifts[middle] ** 2
    ticks = tuple(shifts[::2].tolist())
    exact, near, new = (
        arrays[f"rank_hessian_{kind}"] for kind in (EXACT_COPIES, NEAR_COPIES, NEW_POINTS)
    )
    near_h0 = arrays[f"rank_gauss_newton_{NEAR_COPIES}"]
    return (
        Chart(
            name="copies",
            title="Exact copies do not change the rank",
            caption=f"The same {k} points used over and over, beside as many different points: "
            "only new points add directions.",
            x_label="number of samples, copies included",
            y_label="eigenvalues of H above 10⁻⁶ of the largest",
            x_scale="log",
            x_ticks=tuple(m.tolist()),
            series=(
                measured(f"{k} points, repeated, measured", m, exact, what=what),
                measured("as many different points, measured", m, new, what=what, nudge=3.0),
                curve(f"{k} different points: the bound on rank H₀", m, np.full(m.size, k)),
            ),
        ),
        Chart(
            name="near-copies",
            title="Rank against the distance of near copies",
            caption=f"Each point {config.near_copies} times, moved by at most δ. The count at 10⁻⁶ "
            "is unchanged by small shifts and grows for large ones.",
            x_label="greatest shift δ of a copy",
            y_label="eigenvalues above 10⁻⁶ of the largest",
            x_scale="log",
            x_ticks=ticks,
            series=(
                measured("H, measured", shifts, near, what=what),
                measured("H₀, measured", shifts, near_h0, what=what, nudge=3.0),
            ),
        ),
        Chart(
            name="extra-direction",
            title="A near copy adds an eigenvalue proportional to the square of its distance",
            caption=f"Eigenvalue number {k + 1} of H₀ over the largest. A copy counts as a new "
            "sample once this crosses the threshold, so the distance at which it does depends on "
            "the threshold.",
            x_label="greatest shift δ of a copy",
            y_label="eigenvalue / largest eigenvalue",
            x_scale="log",
            y_scale="log",
            x_ticks=ticks,
            series=(
                measured(f"eigenvalue {k + 1} of H₀, measured", shifts, beyond, what=what),
                curve(
                    f"slope 2 through the median at δ = {digits(shifts[middle])}",
                    shifts,
                    scale * shifts**2,
                    error="a line of known slope through one measured point",
                ),
                level(
                    "threshold of the ADCME tutorial, 10⁻⁶",
                    shifts,
                    config.tol,
                    error="none, a chosen value",
                ),
            ),
        ),
    )


def _table(config: DuplicateConfig, arrays: Arrays, what: str) -> Table:
    cases = [
        *(("exact copies", EXACT_COPIES, i, c, 0.0) for i, c in enumerate(config.copies)),
        *(("different points", NEW_POINTS, i, c, 0.0) for i, c in enumerate(config.copies)),
        *(
            ("near copies", NEAR_COPIES, i, config.near_copies, shift)
            for i, shift in enumerate(config.shifts)
        ),
    ]
    return table(
        f"Counts at tol 10⁻⁶ after training, over {what}",
        ("inputs", "samples", "shift δ", "H", "H₀"),
        (
            (
                name,
                config.distinct * copies,
                shift,
                over(arrays[f"rank_hessian_{kind}"][:, i], what),
                over(arrays[f"rank_gauss_newton_{kind}"][:, i], what),
            )
            for name, kind, i, copies, shift in cases
        ),
    )


def _statements(config: DuplicateConfig, arrays: Arrays, what: str) -> tuple[Statement, ...]:
    copies, new, near = (
        arrays[f"rank_hessian_{kind}"] for kind in (EXACT_COPIES, NEW_POINTS, NEAR_COPIES)
    )
    shifts, beyond = arrays["shifts"], arrays["eigenvalue_beyond_distinct"]
    same, kept = copies == config.distinct, (near == config.distinct).all(axis=0)
    safe = shifts[: int(np.argmin(kept))] if not kept.all() else shifts
    slope = np.polyfit(np.log(shifts[2:-1]), np.log(beyond[:, 2:-1].T), 1)[0]
    return (
        judge(
            "Exact copies of samples do not change the rank.",
            bool(same.all()),
            f"rank {between(copies)} with {config.distinct} points used up to "
            f"{max(config.copies)} times, in {same.size} runs",
            origin=adcme("paragraph on the rank of X"),
            shown="copies",
        ),
        judge(
            "As many different samples do raise it.",
            bool((new[:, -1] > config.distinct).all()),
            f"rank {between(new[:, -1])} with "
            f"{config.distinct * config.copies[-1]} different points",
            origin=CONTROL,
            shown="copies",
        ),
        judge(
            "Near copies do not change the rank, at any distance.",
            bool(kept.all()),
            (f"true in every run up to δ = {digits(safe[-1])}" if safe.size else "true at no δ")
            + f"; at δ = {digits(shifts[-1])} the rank is {between(near[:, -1])}",
            origin=adcme("paragraph on the rank of X"),
            shown="near-copies",
            reason="A near copy adds an eigenvalue that grows with the square of its distance. It "
            "counts as a new direction once it crosses the threshold.",
        ),
        judge(
            "The eigenvalue that a near copy adds grows with the square of its distance.",
            bool((np.abs(slope - 2) < 0.2).all()),
            f"exponent fitted between δ = {digits(shifts[2])} and {digits(shifts[-2])}: "
            f"{between(slope)} over {what}",
            origin=OURS,
            shown="extra-direction",
        ),
    )


EXPERIMENT = study(
    "rank-vs-duplicates",
    "Do repeated samples count?",
    quick=DuplicateConfig(seeds=(2, 23, 233), copies=(1, 2, 4, 8, 30)),
    paper=DuplicateConfig(),
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)
