"""The premise of the ADCME tutorial, measured: is the trained network near its Taylor model?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import torch

from hessium._typing import AnyArray, FloatArray
from hessium.curvature import Gram, Linearization
from hessium.figures.formatting import between, digits
from hessium.figures.records import Chart, Findings, Origin, Statement, judge, measured, over
from hessium.figures.views.repetitions import CHOSEN, level
from hessium.runs.experiment import Result, Task
from hessium.studies.results import ResultTable
from hessium.studies.sine import inputs, sine_risk
from hessium.studies.sources import adcme
from hessium.studies.study import Arrays, Summary, repeated, study, table
from hessium.studies.training import train

_PUBLISHED_WIDTH = 20
_LIMIT = 0.1  # errors below it count as small
_STEPS = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearizationConfig:
    """Settings of `linearization`.

    Attributes:
        widths: of the three hidden layers.
        samples: number of training points.
        seeds: of the initial weights.
        rcond: directions of the linear model below this part of the largest are not changed.
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


def summarise(config: LinearizationConfig, results: Sequence[Result]) -> Summary:
    """Charts, statements and tables of the runs."""
    runs, what = ResultTable.of(tasks(config), results), repeated(config.seeds)
    columns = {
        "distance": "distance travelled",
        "error": "error at θ*",
        "gram_change": "change of Gram matrix",
        "linear_distance": "distance of linear minimiser",
        "linear_error": "error there",
        "loss": "loss reached",
    }
    arrays: dict[str, AnyArray] = {"widths": np.array(config.widths)}
    for name in (*columns, "parameters"):
        arrays[name] = runs.grid(name, seed=config.seeds, width=config.widths)
    for width in config.widths:
        arrays[f"way_{width}"] = runs.grid("way", seed=config.seeds, width=(width,))[:, 0]
    findings = Findings(
        statements=_statements(config, arrays),
        charts=_charts(config, arrays, what),
        tables=(
            table(
                f"By width, over {what}",
                ("width", "parameters", *columns.values()),
                (
                    (
                        width,
                        arrays["parameters"][0, i],
                        *(over(arrays[name][:, i], what) for name in columns),
                    )
                    for i, width in enumerate(config.widths)
                ),
            ),
        ),
        notes=(
            f"The problem of the rank experiment with |I| = {config.samples}, trained in the same "
            f"way but to ftol = {digits(config.ftol)} (the ADCME tutorial: 10⁻¹²), with three "
            "hidden layers of the width shown. Longer training moves farther and fits better. "
            "Linear model: f(θ₀) + ∇f(θ₀)ᵀ(θ − θ₀). Its minimiser is the closest one to θ₀ in the "
            f"directions whose curvature is above {digits(config.rcond)} of the largest.",
            "Error of the linear model: ‖f(θ) − f_lin(θ)‖ / ‖f(θ) − f(θ₀)‖ over the samples. At 1 "
            "it predicts the change of the outputs no better than no change at all.",
        ),
    )
    return findings, arrays


def _charts(config: LinearizationConfig, arrays: Arrays, what: str) -> tuple[Chart, ...]:
    widths = arrays["widths"].astype(np.float64)
    shown = [w for w in config.widths if w in (20, 100, max(config.widths))]

    def against_width(
        name: str, title: str, caption: str, y_label: str, lines: dict[str, str]
    ) -> Chart:
        return Chart(
            name=name,
            title=title,
            caption=caption,
            x_label="width of the hidden layers",
            y_label=y_label,
            x_scale="log",
            y_scale="log",
            x_ticks=tuple(widths.tolist()),
            series=(
                *(
                    measured(f"{label}, measured", widths, arrays[of], what=what, nudge=nudge)
                    for (of, label), nudge in zip(lines.items(), (0.0, 3.0, -3.0), strict=False)
                ),
                level("a tenth, the limit used here", widths, _LIMIT, error=CHOSEN),
            ),
        )

    return (
        against_width(
            "distance",
            "Distance travelled in training",
            "Distance from the initial parameters over their norm, for the trained network and for "
            "the minimiser of the linear model.",
            "‖θ* − θ₀‖ / ‖θ₀‖",
            {"distance": "trained network", "linear_distance": "minimiser of the linear model"},
        ),
        against_width(
            "error",
            "Error of the linear model",
            "Error of the linear model at the trained parameters and at its own minimiser, and "
            "the change of H₀ (of its Gram matrix), which the linear model takes as constant.",
            "relative error or change",
            {
                "error": "linear model at the trained network",
                "linear_error": "linear model at its own minimiser",
                "gram_change": "change of the Gram matrix by training",
            },
        ),
        Chart(
            name="way",
            title="Error of the linear model between θ₀ and θ*",
            caption="Error of the linear model on the straight line from θ₀ to the trained "
            "parameters.",
            x_label="fraction of the way from θ₀ to θ*",
            y_label="relative error of the linear model",
            y_scale="log",
            series=tuple(
                measured(
                    f"width {width}, measured",
                    np.linspace(0.0, 1.0, _STEPS)[1:],
                    arrays[f"way_{width}"],
                    what=what,
                    mark="line",
                )
                for width in shown
            ),
        ),
    )


def _statements(config: LinearizationConfig, arrays: Arrays) -> tuple[Statement, ...]:
    claims = (
        (
            "The trained parameters are close to the initial ones",
            "distance",
            "‖θ*−θ₀‖/‖θ₀‖",
            adcme("first paragraph"),
        ),
        (
            "The network is well approximated by its first-order Taylor model",
            "error",
            "error",
            adcme("first paragraph and eq. 1"),
        ),
        (
            "H₀ is constant during training",
            "gram_change",
            "change of the Gram matrix",
            adcme("eq. 2 and the Hessian after it"),
        ),
        (
            "The linear model is close to the network at its own minimiser",
            "linear_error",
            "error at that minimiser",
            adcme("eq. 2"),
        ),
    )
    return tuple(
        _claim(config, arrays[of], claim, name, origin) for claim, of, name, origin in claims
    )


def _claim(
    config: LinearizationConfig, values: FloatArray, claim: str, name: str, origin: Origin
) -> Statement:
    shown = "distance" if claim.startswith("The trained") else "error"
    widths, here = config.widths, _PUBLISHED_WIDTH
    small = [bool(column.max() < _LIMIT) for column in values.T]
    held = len(list(takewhile(bool, reversed(small))))
    since = f"holds from width {widths[-held]} on" if held else "nor for the widest network"
    if here not in widths:
        return judge(
            f"{claim} (within a tenth).",
            None,
            f"width {here} was not run; {since}",
            origin=origin,
            shown=shown,
        )
    at = values[:, widths.index(here)]
    return judge(
        f"{claim} (within a tenth), at width {here}, that of the ADCME tutorial.",
        bool((at < _LIMIT).all()),
        f"{name} at width {here}: {between(at, 2)}; at width {widths[-1]}: "
        f"{between(values[:, -1], 2)}; {since}",
        origin=origin,
        shown=shown,
        reason="A network is close to its linear model in the limit of large widths; this one is "
        "narrow.",
    )


EXPERIMENT = study(
    "linearization",
    "Is the trained network near its Taylor model?",
    quick=LinearizationConfig(widths=(10, 20, 50, 100, 200, 500), seeds=(2, 23, 233), ftol=1e-6),
    paper=LinearizationConfig(),
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)
