"""The other claim of the first source: inputs that repeat add no rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

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
    measured,
    over,
)
from hessium.runs.experiment import Experiment, Result, Task
from hessium.studies.eigenvalue_counts import matrices, positive
from hessium.studies.sine import inputs, sine_risk
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


class _Runs:
    """Ranks by kind, shape (seeds, cases)."""

    def __init__(self, config: DuplicateConfig, results: Sequence[Result]) -> None:
        self.config = config
        self.what = f"{len(config.seeds)} seeds"
        pairs = list(zip(tasks(config), results, strict=True))
        self.hessian = {k: self._table(pairs, k, "hessian") for k in self._kinds()}
        self.gauss_newton = {k: self._table(pairs, k, "gauss_newton") for k in self._kinds()}
        self.second = self._second_direction(pairs)

    def _kinds(self) -> tuple[str, str, str]:
        return (EXACT_COPIES, NEAR_COPIES, NEW_POINTS)

    def _table(self, pairs: list[tuple[Task, Result]], kind: str, of: str) -> FloatArray:
        counts = [positive(r[of], self.config.tol) for t, r in pairs if t["kind"] == kind]
        return np.array(counts, dtype=np.float64).reshape(-1, len(self.config.seeds)).T

    def _second_direction(self, pairs: list[tuple[Task, Result]]) -> FloatArray:
        """Of near copies: the first eigenvalue that the distinct points do not explain."""
        k = self.config.distinct
        rows = [r["gram"][-k - 1] / r["gram"][-1] for t, r in pairs if t["kind"] == NEAR_COPIES]
        values = np.array(rows, dtype=np.float64).reshape(-1, len(self.config.seeds)).T
        return np.asarray(np.maximum(values, np.finfo(np.float64).eps))


def summarise(
    config: DuplicateConfig, results: Sequence[Result]
) -> tuple[Findings, Mapping[str, AnyArray]]:
    """Charts, statements and tables of the runs."""
    runs = _Runs(config, results)
    findings = Findings(
        statements=_statements(runs),
        charts=(_copies_chart(runs), _shift_chart(runs), _eigenvalue_chart(runs)),
        tables=(_table(runs),),
        notes=(
            f"{config.distinct} points of the rank experiment, placed and trained as there, each "
            f"used several times. Near copies: every point {config.near_copies} times, each moved "
            "by an independent uniform shift of at most δ. A network input is a number in [0, 1].",
        ),
    )
    arrays: dict[str, AnyArray] = {
        "copies": np.array(config.copies),
        "shifts": np.array(config.shifts),
        "eigenvalue_beyond_distinct": runs.second,
    }
    arrays |= {f"rank_hessian_{k}": v for k, v in runs.hessian.items()}
    arrays |= {f"rank_gauss_newton_{k}": v for k, v in runs.gauss_newton.items()}
    return findings, arrays


def _copies_chart(runs: _Runs) -> Chart:
    m = runs.config.distinct * np.array(runs.config.copies, dtype=np.float64)
    return Chart(
        name="copies",
        title="Exact copies leave the rank where it was",
        caption=(
            f"The same {runs.config.distinct} points used over and over, beside as many different "
            "points: only new points add directions."
        ),
        x_label="number of samples, copies included",
        y_label="eigenvalues of H above 10⁻⁶ of the largest",
        x_scale="log",
        x_ticks=tuple(float(v) for v in m),
        series=(
            measured(
                f"{runs.config.distinct} points, repeated, measured",
                m,
                runs.hessian[EXACT_COPIES],
                what=runs.what,
            ),
            measured(
                "as many different points, measured",
                m,
                runs.hessian[NEW_POINTS],
                what=runs.what,
                nudge=3.0,
            ),
            Series(
                label=f"{runs.config.distinct} different points: the bound on rank H₀",
                x=m,
                y=np.full(m.size, float(runs.config.distinct)),
                error="exact",
                source="theory",
                mark="line",
            ),
        ),
    )


def _shift_chart(runs: _Runs) -> Chart:
    shifts = np.array(runs.config.shifts)
    return Chart(
        name="near-copies",
        title="Near copies: how near is near?",
        caption=(
            f"Each point {runs.config.near_copies} times, moved by at most δ. The count at 10⁻⁶ "
            "does not see small shifts and grows for large ones."
        ),
        x_label="greatest shift δ of a copy",
        y_label="eigenvalues above 10⁻⁶ of the largest",
        x_scale="log",
        x_ticks=tuple(float(s) for s in shifts[::2]),
        series=(
            measured("H, measured", shifts, runs.hessian[NEAR_COPIES], what=runs.what),
            measured(
                "H₀, measured", shifts, runs.gauss_newton[NEAR_COPIES], what=runs.what, nudge=3.0
            ),
        ),
    )


def _eigenvalue_chart(runs: _Runs) -> Chart:
    shifts = np.array(runs.config.shifts)
    middle = shifts.size // 2
    scale = float(np.median(runs.second[:, middle])) / shifts[middle] ** 2
    return Chart(
        name="extra-direction",
        title="What a near copy adds grows with the square of its distance",
        caption=(
            f"Eigenvalue number {runs.config.distinct + 1} of H₀ over the largest. A copy is a new "
            "sample once this crosses the threshold, so how near is near depends on the threshold."
        ),
        x_label="greatest shift δ of a copy",
        y_label="eigenvalue / largest eigenvalue",
        x_scale="log",
        y_scale="log",
        x_ticks=tuple(float(s) for s in shifts[::2]),
        series=(
            measured(
                f"eigenvalue {runs.config.distinct + 1} of H₀, measured",
                shifts,
                runs.second,
                what=runs.what,
            ),
            Series(
                label=f"slope 2 through the median at δ = {digits(shifts[middle])}",
                x=shifts,
                y=scale * shifts**2,
                error="a line of known slope through one measured point",
                source="theory",
                mark="line",
            ),
            Series(
                label="threshold of the source, 10⁻⁶",
                x=shifts[[0, -1]],
                y=np.full(2, runs.config.tol),
                error="exact",
                source="theory",
                mark="line",
            ),
        ),
    )


def _table(runs: _Runs) -> Table:
    config, what = runs.config, runs.what
    cases = [
        *(("exact copies", EXACT_COPIES, i, c, 0.0) for i, c in enumerate(config.copies)),
        *(("different points", NEW_POINTS, i, c, 0.0) for i, c in enumerate(config.copies)),
        *(
            ("near copies", NEAR_COPIES, i, config.near_copies, shift)
            for i, shift in enumerate(config.shifts)
        ),
    ]
    rows: list[tuple[str | Number, ...]] = [
        (
            name,
            exact(config.distinct * copies),
            exact(shift),
            over(runs.hessian[kind][:, i], what),
            over(runs.gauss_newton[kind][:, i], what),
        )
        for name, kind, i, copies, shift in cases
    ]
    return Table(
        title=f"Counts at tol 10⁻⁶ after training, over {what}",
        columns=("inputs", "samples", "shift δ", "H", "H₀"),
        rows=tuple(rows),
    )


def _statements(runs: _Runs) -> tuple[Statement, ...]:
    config = runs.config
    copies, new, near = (runs.hessian[k] for k in (EXACT_COPIES, NEW_POINTS, NEAR_COPIES))
    same = copies == config.distinct
    shifts = np.array(config.shifts)
    kept = (near == config.distinct).all(axis=0)
    safe = shifts[: int(np.argmin(kept))] if not kept.all() else shifts
    slope = np.polyfit(np.log(shifts[2:-1]), np.log(runs.second[:, 2:-1].T), 1)[0]
    return (
        judge(
            "Exact copies of samples leave the rank where it was.",
            bool(same.all()),
            f"rank {between(copies)} with {config.distinct} points used up to "
            f"{max(config.copies)} times, in {same.size} runs",
        ),
        judge(
            "As many different samples do raise it.",
            bool((new[:, -1] > config.distinct).all()),
            f"rank {between(new[:, -1])} with "
            f"{config.distinct * config.copies[-1]} different points",
        ),
        judge(
            "Near copies leave the rank where it was, at whatever distance.",
            bool(kept.all()),
            (f"true in every run up to δ = {digits(safe[-1])}" if safe.size else "true nowhere")
            + f"; at δ = {digits(shifts[-1])} the rank is "
            f"{between(near[:, -1])}",
        ),
        judge(
            "What a near copy adds to the spectrum grows with the square of its distance.",
            bool((np.abs(slope - 2) < 0.2).all()),
            f"exponent fitted between δ = {digits(shifts[2])} and {digits(shifts[-2])}: "
            f"{between(slope)} over {runs.what}",
        ),
    )


EXPERIMENT = Experiment(
    name="rank-vs-duplicates",
    title="Do repeated samples count?",
    shows="Rank of the Hessian when inputs are repeated exactly, or nearly.",
    presets={
        "quick": DuplicateConfig(seeds=(2, 23, 233), copies=(1, 2, 4, 8, 30)),
        "paper": DuplicateConfig(),
    },
    seeds=lambda config: config.seeds,
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)
