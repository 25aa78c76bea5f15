"""The premise of the first source, measured: is the trained network near its Taylor model?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import torch

from hessium._typing import AnyArray, FloatArray
from hessium.curvature import Gram, Linearization
from hessium.figures.formatting import between, digits
from hessium.figures.records import (
    Chart,
    Findings,
    Series,
    Statement,
    Table,
    exact,
    judge,
    measured,
    over,
)
from hessium.runs.experiment import Experiment, Result, Task
from hessium.studies.sine import inputs, sine_risk
from hessium.studies.training import train

_PAGE_WIDTH = 20
_LIMIT = 0.1
_STEPS = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearizationConfig:
    """Settings of `linearization`.

    Attributes:
        widths: of the three hidden layers.
        samples: number of training points.
        seeds: of the initial weights.
        rcond: directions of the linear model below this part of the largest are left alone.
        ftol: of L-BFGS-B; the rank experiment trains to 1e-12.
        max_iterations: of L-BFGS-B.
    """

    widths: tuple[int, ...] = (10, 20, 50, 100, 200, 500, 1000)
    samples: int = 10
    seeds: tuple[int, ...] = (2, 23, 233, 2333, 23333)
    rcond: float = 1e-6
    ftol: float = 1e-12
    max_iterations: int = 15000


def tasks(config: LinearizationConfig) -> list[Task]:
    """One training for each width and seed, the widest first."""
    common = {k: getattr(config, k) for k in ("samples", "rcond", "ftol", "max_iterations")}
    return [
        {"width": width, "seed": seed, **common}
        for width in reversed(config.widths)
        for seed in config.seeds
    ]


def compute(task: Task) -> Result:
    """Distance travelled, and network against linear model on the way and at its minimiser."""
    width = task["width"]
    start = sine_risk(inputs(task["samples"]), task["seed"], (1, width, width, width, 1))
    model = Linearization(start)
    trained = train(start, max_iterations=task["max_iterations"], ftol=task["ftol"])
    way = model.along(trained.risk.theta, _STEPS)
    linear = model.error(model.minimiser(rcond=task["rcond"]))
    before, after = Gram(start).dense(), Gram(trained.risk).dense()
    return {
        "distance": way[-1].distance,
        "error": way[-1].relative,
        "way": np.array([point.relative for point in way[1:]]),
        "linear_distance": linear.distance,
        "linear_error": linear.relative,
        "gram_change": float(torch.linalg.norm(after - before) / torch.linalg.norm(before)),
        "loss": trained.loss,
        "loss_of_linear_minimiser": linear.loss,
        "iterations": trained.iterations,
        "parameters": start.dim,
    }


class _Runs:
    """Numbers on the grid of seeds and widths."""

    def __init__(self, config: LinearizationConfig, results: Sequence[Result]) -> None:
        keys = [(t["width"], t["seed"]) for t in tasks(config)]
        self._results = dict(zip(keys, results, strict=True))
        self.config = config
        self.widths = np.array(config.widths, dtype=np.float64)
        self.what = f"{len(config.seeds)} seeds"

    def table(self, of: str) -> FloatArray:
        """Shape (seeds, widths)."""
        config = self.config
        rows = [[self._results[w, s][of] for w in config.widths] for s in config.seeds]
        return np.array(rows, dtype=np.float64)

    def way(self, width: int) -> FloatArray:
        """Error of the linear model along the way, shape (seeds, steps)."""
        return np.array([self._results[width, s]["way"] for s in self.config.seeds])

    def series(self, label: str, of: str, nudge: float = 0.0) -> Series:
        """A number against the width."""
        return measured(label, self.widths, self.table(of), what=self.what, nudge=nudge)


def summarise(
    config: LinearizationConfig, results: Sequence[Result]
) -> tuple[Findings, Mapping[str, AnyArray]]:
    """Charts, statements and tables of the runs."""
    runs = _Runs(config, results)
    names = ("distance", "error", "gram_change", "linear_distance", "linear_error", "loss")
    findings = Findings(
        statements=_statements(runs),
        charts=(_distance_chart(runs), _error_chart(runs), _way_chart(runs)),
        tables=(_table(runs),),
        notes=(
            f"The problem of the rank experiment with |I| = {config.samples}, trained in the same "
            f"way but to ftol = {digits(config.ftol)} (the source: 10⁻¹²), with three hidden "
            "layers of the width shown. Training on goes further and fits better. Linear model: "
            "f(θ₀) + ∇f(θ₀)ᵀ(θ − θ₀). Its minimiser is the closest one to θ₀ in the directions "
            f"whose curvature is above {digits(config.rcond)} of the largest.",
            "Error of the linear model: ‖f(θ) − f_lin(θ)‖ / ‖f(θ) − f(θ₀)‖ over the samples. At 1 "
            "it predicts the change of the outputs no better than no change at all.",
        ),
    )
    arrays: dict[str, AnyArray] = {n: runs.table(n) for n in names}
    arrays |= {f"way_{w}": runs.way(w) for w in config.widths}
    return findings, {"widths": np.array(config.widths), **arrays}


def _limit(x: FloatArray) -> Series:
    return Series(
        label="a tenth: what we call close",
        x=x[[0, -1]],
        y=np.full(2, _LIMIT),
        error="exact",
        source="theory",
        mark="line",
    )


def _distance_chart(runs: _Runs) -> Chart:
    return Chart(
        name="distance",
        title="How far training goes",
        caption=(
            "Distance from the initial parameters over their norm, for the trained network and for "
            "the minimiser of the linear model."
        ),
        x_label="width of the hidden layers",
        y_label="‖θ* − θ₀‖ / ‖θ₀‖",
        x_scale="log",
        y_scale="log",
        x_ticks=tuple(runs.widths.tolist()),
        series=(
            runs.series("trained network, measured", "distance"),
            runs.series("minimiser of the linear model, measured", "linear_distance", 3.0),
            _limit(runs.widths),
        ),
    )


def _error_chart(runs: _Runs) -> Chart:
    return Chart(
        name="error",
        title="How wrong the linear model is",
        caption=(
            "Error of the linear model at the trained parameters and at its own minimiser, and "
            "the change of H₀ (of its Gram matrix), which the linear model takes as constant."
        ),
        x_label="width of the hidden layers",
        y_label="relative error or change",
        x_scale="log",
        y_scale="log",
        x_ticks=tuple(runs.widths.tolist()),
        series=(
            runs.series("linear model at the trained network, measured", "error"),
            runs.series("linear model at its own minimiser, measured", "linear_error", 3.0),
            runs.series("change of the Gram matrix by training, measured", "gram_change", -3.0),
            _limit(runs.widths),
        ),
    )


def _way_chart(runs: _Runs) -> Chart:
    shown = [w for w in runs.config.widths if w in (20, 100, 1000)] or [runs.config.widths[0]]
    way = np.linspace(0.0, 1.0, _STEPS)[1:]
    return Chart(
        name="way",
        title="Along the way",
        caption="Error of the linear model on the straight line from θ₀ to the trained parameters.",
        x_label="fraction of the way from θ₀ to θ*",
        y_label="relative error of the linear model",
        y_scale="log",
        series=tuple(
            measured(f"width {w}, measured", way, runs.way(w), what=runs.what, mark="line")
            for w in shown
        ),
    )


def _table(runs: _Runs) -> Table:
    columns = ("distance", "error", "gram_change", "linear_distance", "linear_error", "loss")
    tables = [runs.table(name) for name in columns]
    parameters = runs.table("parameters")[0]
    rows = [
        (
            exact(int(width)),
            exact(int(parameters[i])),
            *(over(table[:, i], runs.what) for table in tables),
        )
        for i, width in enumerate(runs.widths)
    ]
    return Table(
        title=f"By width, over {runs.what}",
        columns=(
            "width",
            "parameters",
            "distance travelled",
            "error at θ*",
            "change of Gram matrix",
            "distance of linear minimiser",
            "error there",
            "loss reached",
        ),
        rows=tuple(rows),
    )


def _statements(runs: _Runs) -> tuple[Statement, ...]:
    claims = (
        ("The trained parameters are close to the initial ones", "distance", "‖θ*−θ₀‖/‖θ₀‖"),
        ("The network is well approximated by its first-order Taylor model", "error", "error"),
        ("H₀ is constant during training", "gram_change", "change of the Gram matrix"),
        ("The network follows the linear model to its minimiser", "linear_error", "error there"),
    )
    return tuple(_claim(runs, claim, of, name) for claim, of, name in claims)


def _claim(runs: _Runs, claim: str, of: str, name: str) -> Statement:
    table = runs.table(of)
    close = [bool((column < _LIMIT).all()) for column in table.T]
    held = len(list(takewhile(bool, reversed(close))))
    since = f"holds from width {runs.widths[-held]:.0f} on" if held else "not for the widest either"
    if _PAGE_WIDTH not in runs.config.widths:
        return judge(
            f"{claim} (within a tenth).", None, f"width {_PAGE_WIDTH} was not run; {since}"
        )
    at = table[:, runs.config.widths.index(_PAGE_WIDTH)]
    last = table[:, -1]
    return judge(
        f"{claim} (within a tenth), at the source's width {_PAGE_WIDTH}.",
        bool((at < _LIMIT).all()),
        f"{name} at width {_PAGE_WIDTH}: {between(at, 2)}; at width "
        f"{runs.widths[-1]:.0f}: {between(last, 2)}; {since}",
    )


EXPERIMENT = Experiment(
    name="linearization",
    title="Is the trained network near its Taylor model?",
    shows=(
        "The premise of the rank argument, measured over the width of the network: distance "
        "travelled in training and error of the first-order model."
    ),
    presets={
        "quick": LinearizationConfig(seeds=(2, 23, 233), ftol=1e-6),
        "paper": LinearizationConfig(),
    },
    seeds=lambda config: config.seeds,
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)
