"""Ranks of deep linear networks against their formulas, and what activations do to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from hessium._typing import AnyArray
from hessium.compare import ranks
from hessium.figures.formatting import digits
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
from hessium.problem import EmpiricalRisk
from hessium.runs.experiment import Experiment, Result, Task
from hessium.studies.real_networks.setting import plain_network, squared_risk
from hessium.theory import linear_network_rank

_MATRICES = {"gauss_newton": "H₀", "residual": "H₁", "hessian": "H"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RankTheoryConfig:
    """Settings of `singh-ranks`.

    Attributes:
        cases: (widths, rank of the data, loss): input, hidden layers, output.
        sizes: numbers of samples of the first sweep, at widths `sweep`.
        sweep: widths of the network there.
        hidden: widths of both hidden layers of the second sweep, at 60 samples.
        activations: networks of both sweeps.
        samples: of the cases and the second sweep.
        seeds: of weights and data.
    """

    cases: tuple[tuple[tuple[int, ...], int, str], ...] = (
        ((5, 6, 3), 5, "squared-error"),
        ((6, 6, 6), 6, "squared-error"),
        ((8, 12, 5), 8, "squared-error"),
        ((5, 2, 3), 5, "squared-error"),
        ((8, 3, 6), 8, "squared-error"),
        ((6, 5, 7, 3), 6, "squared-error"),
        ((6, 5, 7, 3), 4, "squared-error"),
        ((6, 2, 5, 3), 6, "squared-error"),
        ((8, 4, 3, 5, 6), 8, "squared-error"),
        ((3, 4, 2, 5, 6), 2, "squared-error"),
        ((4, 4, 4, 4, 4, 4), 4, "squared-error"),
        ((5, 6, 3), 5, "cross-entropy"),
        ((8, 3, 6), 8, "cross-entropy"),
        ((4, 5, 5, 3), 3, "cross-entropy"),
        ((6, 2, 5, 4), 6, "cross-entropy"),
        ((10, 7, 4, 7, 5), 6, "cross-entropy"),
    )
    sizes: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 10, 12, 16, 24)
    sweep: tuple[int, ...] = (10, 8, 8, 4)
    hidden: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 8, 10, 12)
    activations: tuple[str, ...] = ("linear", "relu", "tanh")
    samples: int = 60
    seeds: tuple[int, ...] = (0, 1, 2)


def tasks(config: RankTheoryConfig) -> list[Task]:
    """The cases, the sweep of samples, the sweep of widths."""
    cases: list[dict[str, Any]] = [
        {"widths": list(w), "rank": r, "loss": loss, "samples": config.samples}
        for w, r, loss in config.cases
    ]
    cases = [c | {"activation": "linear"} for c in cases]
    d, k = config.sweep[0], config.sweep[-1]
    for activation in config.activations:
        common = {"loss": "squared-error", "activation": activation}
        cases += [
            {"widths": list(config.sweep), "rank": min(m, d), "samples": m, **common}
            for m in config.sizes
        ]
        cases += [
            {"widths": [d, h, h, k], "rank": d, "samples": config.samples, **common}
            for h in config.hidden
        ]
    return [{**case, "seeds": list(config.seeds)} for case in cases]


def compute(task: Task) -> Result:
    """The three ranks for each seed, and those of the formula."""
    found = []
    for seed in task["seeds"]:
        measured = ranks(_risk(task, seed))
        found.append([int(getattr(measured, name)) for name in _MATRICES])
    theory = linear_network_rank(task["widths"], task["rank"], loss=task["loss"])
    return {
        "measured": np.array(found),
        "theory": [getattr(theory, name) for name in _MATRICES],
        "parameters": theory.parameters,
    }


def _risk(task: Task, seed: int) -> EmpiricalRisk:
    rng = np.random.default_rng([seed, *task["widths"]])
    d, k, m = task["widths"][0], task["widths"][-1], task["samples"]
    x = rng.standard_normal((m, task["rank"])) @ rng.standard_normal((task["rank"], d))
    network = plain_network(task["widths"], task["activation"], rng)
    if task["loss"] == "squared-error":
        return squared_risk(network, x, rng.standard_normal((m, k)))
    labels = torch.from_numpy(rng.integers(k, size=m))
    return EmpiricalRisk(network, nn.CrossEntropyLoss(), (torch.from_numpy(x), labels))


class _Runs:
    """Results of the three parts."""

    def __init__(self, config: RankTheoryConfig, results: Sequence[Result]) -> None:
        self.config = config
        self.what = f"{len(config.seeds)} seeds"
        self.cases = results[: len(config.cases)]
        rest = list(results[len(config.cases) :])
        self.by_size: dict[str, list[Result]] = {}
        self.by_width: dict[str, list[Result]] = {}
        for activation in config.activations:
            for sweep, count in (
                (self.by_size, len(config.sizes)),
                (self.by_width, len(config.hidden)),
            ):
                sweep[activation], rest = rest[:count], rest[count:]


def summarise(
    config: RankTheoryConfig, results: Sequence[Result]
) -> tuple[Findings, Mapping[str, AnyArray]]:
    """Charts, statements and tables of the runs."""
    runs = _Runs(config, results)
    findings = Findings(
        statements=_statements(runs),
        charts=(
            _chart(runs, "samples", runs.by_size, config.sizes, "number of samples"),
            _chart(runs, "width", runs.by_width, config.hidden, "width of both hidden layers"),
        ),
        tables=(_table(runs),),
        notes=(
            "Formulas: Singh, Bachmann and Hofmann, NeurIPS 2021. With q = min(data rank, widths, "
            "outputs), M the sum of the hidden widths, L layers: rank H₀ = q(r + K − q), "
            "rank H₁ = 2qM + 2qs − Lq², rank H = 2qM − Lq² + q(r + K); K − 1 stands for K with "
            "cross-entropy. Weights, data and targets are Gaussian; no biases.",
            "Ranks count eigenvalues beyond 10⁻¹⁰ of the largest, in float64. The formulas are of "
            "linear networks; for others they are no bound at this threshold.",
        ),
    )
    arrays = {
        f"{name}_{activation}": np.array([r["measured"] for r in found])
        for name, sweep in (("samples", runs.by_size), ("width", runs.by_width))
        for activation, found in sweep.items()
    }
    return findings, arrays


def _statements(runs: _Runs) -> tuple[Statement, ...]:
    equal = [bool((r["measured"] == np.array(r["theory"])).all()) for r in runs.cases]
    narrow = sum(
        min(w[1:-1]) < min(r, w[-1] - (loss == "cross-entropy")) for w, r, loss in runs.config.cases
    )
    entropy = sum(loss == "cross-entropy" for _, _, loss in runs.config.cases)
    found = [
        judge(
            "The three ranks of deep linear networks are those of the formulas, in every "
            "configuration.",
            all(equal),
            f"{sum(equal)} of {len(equal)} configurations equal for {runs.what}, {narrow} of them "
            f"with a bottleneck, {entropy} with cross-entropy",
        )
    ]
    for activation in runs.config.activations:
        sweep = [*runs.by_size[activation], *runs.by_width[activation]]
        if activation == "linear":
            continue
        above = [(r["measured"] - np.array(r["theory"])).max(axis=0) for r in sweep]
        worst = np.max(above, axis=0)
        within = sum(bool((one <= 0).all()) for one in above)
        found.append(
            judge(
                f"The formulas bound the ranks of {activation} networks of the same widths.",
                within == len(sweep),
                f"{within} of {len(sweep)} configurations within; largest excess "
                + ", ".join(
                    f"{label} {digits(max(int(w), 0), 12)}"
                    for label, w in zip(_MATRICES.values(), worst, strict=True)
                ),
            )
        )
    return tuple(found)


def _chart(
    runs: _Runs, name: str, sweep: Mapping[str, list[Result]], x: Sequence[int], x_label: str
) -> Chart:
    at = np.array(x, dtype=np.float64)
    first = next(iter(sweep.values()))
    theory = np.array([r["theory"] for r in first], dtype=np.float64)
    series = []
    for hue, (activation, found) in enumerate(sweep.items()):
        table = np.array([r["measured"][:, 2] for r in found], dtype=np.float64).T
        series.append(
            Series(
                label=f"H of a {activation} network, measured",
                x=at,
                y=np.median(table, axis=0),
                low=table.min(axis=0),
                high=table.max(axis=0),
                error=f"median, bars from least to greatest over {runs.what}",
                source="measured",
                mark="points",
                nudge=3.0 * hue,
            )
        )
    lines = [
        Series(
            label=f"rank of {label}, formula of the linear network",
            x=at,
            y=theory[:, k],
            error="exact",
            source="theory",
            mark="line",
            hue=5 - k,
        )
        for k, label in enumerate(_MATRICES.values())
    ]
    size = np.array([r["parameters"] for r in first], dtype=np.float64)
    lines.append(
        Series(
            label="number of parameters",
            x=at,
            y=size,
            error="exact",
            source="theory",
            mark="line",
            hue=5,
        )
    )
    widths = "-".join(map(str, runs.config.sweep)) if name == "samples" else "10-h-h-4"
    return Chart(
        name=name,
        title=f"Rank of the Hessian against the {x_label} ({widths})",
        caption="Linear networks sit on their formula; an activation fills the null space.",
        x_label=x_label,
        y_label="rank at 10⁻¹⁰ of the largest eigenvalue",
        series=(*series, *lines),
    )


def _table(runs: _Runs) -> Table:
    rows: list[tuple[str | Number, ...]] = []
    for (widths, rank, loss), result in zip(runs.config.cases, runs.cases, strict=True):
        row: list[str | Number] = ["-".join(map(str, widths)), exact(rank), loss]
        for k in range(len(_MATRICES)):
            seen = sorted(set(result["measured"][:, k].tolist()))
            row.append(f"{', '.join(map(str, seen))} / {result['theory'][k]}")
        rows.append((*row, exact(result["parameters"])))
    columns = (
        "widths", "data rank", "loss", *(f"{m}: measured / formula" for m in _MATRICES.values()),
        "parameters",
    )  # fmt: skip
    return Table(
        title="Linear networks",
        columns=columns,
        rows=tuple(rows),
        note=f"Measured: every value that occurs over {runs.what}.",
    )


EXPERIMENT = Experiment(
    name="singh-ranks",
    title="Ranks of deep networks against their formulas",
    shows="Ranks of H₀, H₁ and H of deep linear networks beside the formulas of Singh et al., with "
    "bottlenecks and cross-entropy, and how ReLU and tanh networks leave them.",
    presets={
        "quick": RankTheoryConfig(sizes=(1, 2, 4, 8, 12, 24), hidden=(1, 2, 4, 6, 8), seeds=(0, 1)),
        "paper": RankTheoryConfig(),
    },
    seeds=lambda config: config.seeds,
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)
