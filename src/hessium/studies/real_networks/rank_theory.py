"""Ranks of deep linear networks against their formulas, and what activations do to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from hessium._typing import AnyArray
from hessium.compare import ranks
from hessium.figures.formatting import digits
from hessium.figures.records import OURS, Chart, Findings, Statement, judge
from hessium.figures.views.repetitions import curve, ranges
from hessium.problem import EmpiricalRisk
from hessium.runs.experiment import Result, Task
from hessium.studies.real_networks.setting import plain_network, squared_risk, written
from hessium.studies.results import ResultTable
from hessium.studies.sources import singh
from hessium.studies.study import Summary, repeated, study, table
from hessium.theory import linear_network_rank

_MATRICES = {"gauss_newton": "H₀", "residual": "H₁", "hessian": "H"}
_Sweep: TypeAlias = dict[str, list[Result]]  # by activation


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


def summarise(config: RankTheoryConfig, results: Sequence[Result]) -> Summary:
    """Charts, statements and tables of the runs."""
    runs, what = ResultTable.of(tasks(config), results), repeated(config.seeds)
    count, size = len(config.cases), len(config.sizes)
    cases = runs.results[:count]
    # after the cases, for each activation the sweep of samples and then that of widths
    parts = np.arange(count, len(runs)).reshape(len(config.activations), -1)
    by_size, by_width = (
        {
            a: [runs.results[i] for i in row[chosen]]
            for a, row in zip(config.activations, parts, strict=True)
        }
        for chosen in (slice(size), slice(size, None))
    )
    findings = Findings(
        statements=_statements(config, cases, by_size, by_width, what),
        charts=(
            _chart(config, "samples", by_size, what),
            _chart(config, "width", by_width, what),
        ),
        tables=(
            table(
                "Linear networks",
                (
                    "widths",
                    "data rank",
                    "loss",
                    *(f"{name}: measured / formula" for name in _MATRICES.values()),
                    "parameters",
                ),
                (
                    (
                        "-".join(map(str, widths)),
                        rank,
                        loss,
                        *(
                            f"{', '.join(map(str, sorted(set(column))))} / {formula}"
                            for column, formula in zip(
                                result["measured"].T.tolist(), result["theory"], strict=True
                            )
                        ),
                        result["parameters"],
                    )
                    for (widths, rank, loss), result in zip(config.cases, cases, strict=True)
                ),
                f"Measured: every value that occurs over {what}.",
            ),
        ),
        notes=(
            "Formulas: Singh, Bachmann and Hofmann, NeurIPS 2021. With q = min(data rank, widths, "
            "outputs), M the sum of the hidden widths, L layers: rank H₀ = q(r + K − q), "
            "rank H₁ = 2qM + 2qs − Lq², rank H = 2qM − Lq² + q(r + K); K − 1 stands for K with "
            "cross-entropy. Weights, data and targets are Gaussian; no biases.",
            "Ranks count eigenvalues beyond 10⁻¹⁰ of the largest, in float64. The formulas are of "
            "linear networks; for others they do not bound ranks at this threshold.",
        ),
    )
    return findings, {
        f"{name}_{activation}": np.array([r["measured"] for r in found])
        for name, sweep in (("samples", by_size), ("width", by_width))
        for activation, found in sweep.items()
    }


def _excess(result: Result) -> AnyArray:
    """Measured ranks less those of the formulas, shape (seeds, 3)."""
    return np.asarray(result["measured"] - np.array(result["theory"]))


def _statements(
    config: RankTheoryConfig, cases: Sequence[Result], by_size: _Sweep, by_width: _Sweep, what: str
) -> tuple[Statement, ...]:
    equal = [not _excess(r).any() for r in cases]
    narrow = sum(
        min(w[1:-1]) < min(r, w[-1] - (loss == "cross-entropy")) for w, r, loss in config.cases
    )
    entropy = sum(loss == "cross-entropy" for _, _, loss in config.cases)
    found = [
        judge(
            "The three ranks of deep linear networks are those of the formulas, in every "
            "configuration.",
            all(equal),
            f"{sum(equal)} of {len(equal)} configurations equal for {what}, {narrow} of them "
            f"with a bottleneck, {entropy} with cross-entropy",
            origin=singh("rank formulas of deep linear networks"),
            shown="Linear networks",
        )
    ]
    for activation in config.activations:
        if activation == "linear":
            continue
        sweep = [*by_size[activation], *by_width[activation]]
        above = np.array([_excess(r).max(axis=0) for r in sweep])
        within = int((above <= 0).all(axis=1).sum())
        worst = zip(_MATRICES.values(), above.max(axis=0).clip(min=0), strict=True)
        found.append(
            judge(
                f"The formulas bound the ranks of {written(activation)} networks of the same "
                "widths.",
                within == len(sweep),
                f"{within} of {len(sweep)} configurations within; largest excess "
                + ", ".join(f"{label} {digits(int(excess), 12)}" for label, excess in worst),
                origin=OURS,
                shown="samples",
                reason="An activation makes the null space smaller.",
            )
        )
    return tuple(found)


def _chart(config: RankTheoryConfig, name: str, sweep: _Sweep, what: str) -> Chart:
    samples = name == "samples"
    x = np.array(config.sizes if samples else config.hidden, dtype=np.float64)
    x_label = "number of samples" if samples else "width of both hidden layers"
    widths = "-".join(map(str, config.sweep)) if samples else "10-h-h-4"
    first = next(iter(sweep.values()))
    theory = np.array([r["theory"] for r in first])
    return Chart(
        name=name,
        title=f"Rank of the Hessian against the {x_label} ({widths})",
        caption="Linear networks have the rank of the formula; an activation makes the null space "
        "smaller.",
        x_label=x_label,
        y_label="rank at 10⁻¹⁰ of the largest eigenvalue",
        series=(
            *(
                ranges(
                    f"H of a {written(activation)} network, measured",
                    x,
                    [r["measured"][:, 2] for r in found],
                    what=what,
                    nudge=3.0 * k,
                    hue=k,
                )
                for k, (activation, found) in enumerate(sweep.items())
            ),
            *(
                curve(f"rank of {label}, formula of the linear network", x, theory[:, k])
                for k, label in enumerate(_MATRICES.values())
            ),
            curve("number of parameters", x, [r["parameters"] for r in first]),
        ),
    )


EXPERIMENT = study(
    "singh-ranks",
    "Ranks of deep networks against their formulas",
    quick=RankTheoryConfig(sizes=(1, 2, 4, 8, 12, 24), hidden=(1, 2, 4, 6, 8), seeds=(0, 1)),
    paper=RankTheoryConfig(),
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)
