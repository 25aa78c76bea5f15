"""Training at the edge of stability: sharpness and the threshold of four optimisers and of SGD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import optim

from hessium._typing import FloatArray
from hessium.figures.formatting import between, digits
from hessium.figures.records import (
    CONTROL,
    Chart,
    Findings,
    Series,
    Statement,
    judge,
    measured,
    over,
)
from hessium.figures.views.repetitions import level
from hessium.problem import SquaredError
from hessium.runs.experiment import Result, Task
from hessium.studies.networks import tanh_network
from hessium.studies.real_data import split
from hessium.studies.sources import edge
from hessium.studies.study import Cell, Summary, repeated, study, table
from hessium.training import Monitor, Record

_TRAININGS = "Trainings"
_ROOM = 0.1  # a value within this part of the threshold counts as being at it
_MOST_OUTSIDE = 0.1  # share of the records that may be outside of it
_CLASSES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """An optimiser with its settings.

    Attributes:
        name: in the report.
        kind: class of torch.optim.
        lr: step size.
        momentum: of SGD.
        batch: number of images in a batch; 0 for all of them.
        steps: of the training.
        smaller: the control has a step size so many times smaller.
    """

    name: str
    kind: str
    lr: float
    momentum: float = 0.0
    batch: int = 0
    steps: int
    smaller: float = 10.0


_QUICK = (
    Method(name="gradient descent", kind="SGD", lr=0.4, steps=900),
    Method(name="momentum", kind="SGD", lr=0.6, momentum=0.5, steps=700),
    Method(name="Adam", kind="Adam", lr=0.01, steps=700),
    Method(name="RMSprop", kind="RMSprop", lr=1e-3, steps=900, smaller=1e5),
    Method(name="SGD", kind="SGD", lr=0.6, batch=10, steps=1600),
)
_PAPER = (
    Method(name="gradient descent", kind="SGD", lr=0.4, steps=6000),
    Method(name="momentum", kind="SGD", lr=0.6, momentum=0.5, steps=4000),
    Method(name="Adam", kind="Adam", lr=0.01, steps=3000, smaller=100.0),
    Method(name="RMSprop", kind="RMSprop", lr=1e-3, steps=4000, smaller=1e5),
    Method(name="SGD", kind="SGD", lr=0.6, batch=10, steps=12000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeConfig:
    """Settings of `edge-of-stability`.

    Attributes:
        methods: trained each with its own step size, and with a smaller one as a control.
        images: number of images, as many of each training step as the method says.
        hidden: units of each of the two hidden layers.
        records: of curvature in each training.
        seeds: of the choice of images, the initial weights and the batches.
    """

    methods: tuple[Method, ...] = _QUICK
    images: int = 100
    hidden: int = 20
    records: int = 20
    seeds: tuple[int, ...] = (0,)


def tasks(config: EdgeConfig) -> list[Task]:
    """For each method and seed, a training and its control."""
    return [
        {
            "name": method.name,
            "kind": method.kind,
            "lr": method.lr / (method.smaller if control else 1.0),
            "momentum": method.momentum,
            "batch": method.batch,
            "steps": method.steps,
            "images": config.images,
            "hidden": config.hidden,
            "records": config.records,
            "control": control,
            "seed": seed,
        }
        for method in config.methods
        for control in (False, True)
        for seed in config.seeds
    ]


def compute(task: Task) -> Result:
    """Train, and record sharpness and threshold."""
    seed, batch = int(task["seed"]), int(task["batch"])
    (x, labels), _ = split(int(task["images"]), seed)
    x = x - x.mean(dim=0)
    y = torch.nn.functional.one_hot(labels, _CLASSES).double()
    hidden = int(task["hidden"])
    network = tanh_network((x.shape[1], hidden, hidden, _CLASSES), seed)
    given: dict[str, Any] = {"lr": task["lr"]}
    if task["momentum"]:
        given["momentum"] = task["momentum"]
    optimizer = getattr(optim, task["kind"])(network.parameters(), **given)
    names = ["loss", "sharpness", "preconditioned_sharpness", "threshold"]
    monitor = Monitor(
        network,
        SquaredError(scale=0.5, reduction="mean"),
        list(zip(x.split(batch), y.split(batch), strict=True)) if batch else (x, y),
        optimizer,
        every=task["steps"] // task["records"],
        track=[*names, "batch_sharpness"] if batch else names,
        # eigenvectors overtake each other at the threshold: look for them in every record
        matvecs=60,
        bound_steps=8,
        rng=seed,
    )
    order = torch.Generator().manual_seed(seed)
    for _ in range(task["steps"]):
        chosen = torch.randperm(len(x), generator=order)[:batch] if batch else slice(None)
        optimizer.zero_grad()
        half = 0.5 * (network(x[chosen]) - y[chosen]).square().sum(dim=1).mean()
        half.backward()
        optimizer.step()
        monitor.step()
    records = monitor.records
    return {
        "step": np.array([r.step for r in records]),
        "loss": np.array([np.nan if r.loss is None else r.loss for r in records]),
        "sharpness": _values(records, "sharpness"),
        "value": _values(records, "batch_sharpness" if batch else "preconditioned_sharpness"),
        "threshold": np.array([r.threshold or np.nan for r in records]),
        "products": sum(r.num_matvecs for r in records),
    }


def _values(records: Sequence[Record], name: str) -> FloatArray:
    found = [getattr(record, name) for record in records]
    return np.array([np.nan if one is None else one.value for one in found])


def summarise(config: EdgeConfig, results: Sequence[Result]) -> Summary:
    """Charts, statements and a table."""
    what = repeated(config.seeds)
    count = len(config.seeds)
    runs = [results[i : i + count] for i in range(0, len(results), count)]
    trained = dict(zip(config.methods, runs[::2], strict=True))
    controls = dict(zip(config.methods, runs[1::2], strict=True))
    full = [method for method in config.methods if not method.batch]
    statements: list[Statement] = []
    for method in config.methods:
        statements += _statements(method, trained[method], controls[method], what)
    charts = [
        _chart("edge", "Sharpness relative to the threshold",
               {m.name: trained[m] for m in full}, what),
        _chart("control", "The same with step sizes that are too small",
               {m.name: controls[m] for m in full}, what),
    ]  # fmt: skip
    charts += [
        _stochastic_chart(method, trained[method], what)
        for method in config.methods
        if method.batch
    ]
    findings = Findings(
        statements=tuple(statements),
        charts=tuple(charts),
        tables=(_table(config, trained, controls, what),),
        notes=(
            f"Data: {config.images} images of scikit-learn's digits, the mean image subtracted. "
            f"Network: tanh, 64-{config.hidden}-{config.hidden}-10, loss |f − y|²/2 averaged over "
            "the images, float64.",
            "Thresholds: 2/η for gradient descent and RMSprop, (2 + 2β)/η with momentum β, "
            "38/η for Adam with β₁ = 0.9 (Cohen et al. 2021, arXiv:2103.00065; 2022, "
            "arXiv:2207.14484). For adaptive optimisers the sharpness is that of the Hessian "
            "preconditioned by their state.",
            "Batch sharpness is the mean over batches of gᵀHg/|g|² with gradient and Hessian of "
            "the batch (arXiv:2412.20553). Here the batches of the measurement are one partition "
            "of the images; those of the training are drawn anew in each step.",
            "The control of RMSprop: it moves each weight by about η a step, however small the "
            "gradient. A weight that begins within η times the number of steps of the minimum of "
            "its own coordinate, |g|/H on the diagonal, reaches it; there P falls to ηH/2, and the "
            "ratio is 1. With η/1000, 5 to 18 of 3300 weights begin so near; with η/100000 none.",
            f"At the threshold means within {100 * _ROOM:.0f} % of it. Stays there: in at least "
            f"{100 - 100 * _MOST_OUTSIDE:.0f} % of the records of the last third.",
        ),
    )
    arrays = {
        f"{m.name.replace(' ', '_')}_{kind}_seed{seed}_{name}": np.asarray(result[name])
        for kind, chosen in (("trained", trained), ("control", controls))
        for m, found in chosen.items()
        for seed, result in zip(config.seeds, found, strict=True)
        for name in ("step", "loss", "sharpness", "value", "threshold")
    }
    return findings, arrays


def _ratio(result: Result) -> FloatArray:
    return np.asarray(result["value"] / result["threshold"])


def _last_third(result: Result) -> FloatArray:
    ratio = _ratio(result)
    return ratio[-max(1, ratio.size // 3) :]


def _statements(
    method: Method, trained: Sequence[Result], controls: Sequence[Result], what: str
) -> list[Statement]:
    """Whether a method reaches its threshold and stays there, and the control does not."""
    name = "Batch sharpness" if method.batch else "Sharpness"
    by = f"under {method.name} with step size {digits(method.lr)}"
    chart = "stochastic" if method.batch else "edge"
    highest = [float(np.nanmax(_ratio(one))) for one in trained]
    late = np.concatenate([_last_third(one) for one in trained])
    outside = float(np.mean(~(np.abs(late - 1) <= _ROOM)))
    beyond = [float(np.nanmax(_ratio(one))) for one in controls]
    found = [
        judge(
            f"{name} reaches the stability threshold {by}.",
            min(highest) >= 1 - _ROOM,
            f"Largest ratio to the threshold {between(highest)}, {what}.",
            origin=edge(method.kind, method.batch),
            shown=chart,
        ),
        judge(
            f"{name} stays at the threshold {by}.",
            outside <= _MOST_OUTSIDE,
            f"Ratios of the last third: median {digits(float(np.median(late)))}, from "
            f"{digits(float(late.min()))} to {digits(float(late.max()))}; {100 * outside:.0f} % of "
            f"the records are more than {100 * _ROOM:.0f} % away.",
            origin=edge(method.kind, method.batch),
            shown=chart,
        ),
        judge(
            f"With a step size {method.smaller:g} times smaller, {name.lower()} does not reach it.",
            max(beyond) < 1 - _ROOM,
            f"Largest ratio {between(beyond)} after as many steps.",
            origin=CONTROL,
            shown=_TRAININGS if method.batch else "control",
        ),
    ]
    if method.batch:
        whole = [float(np.nanmax(one["sharpness"] / one["threshold"])) for one in trained]
        found.append(
            judge(
                "The sharpness of the whole loss stays below 2/η under SGD.",
                max(whole) < 1.0,
                f"Largest ratio {between(whole)}.",
                origin=edge(method.kind, method.batch),
                shown=chart,
            )
        )
    return found


def _chart(name: str, title: str, runs: dict[str, Sequence[Result]], what: str) -> Chart:
    series: list[Series] = [
        measured(label, found[0]["step"], [_ratio(one) for one in found], what=what, mark="line")
        for label, found in runs.items()
    ]
    longest = max((found[0]["step"] for found in runs.values()), key=lambda x: float(x[-1]))
    return Chart(
        name=name,
        title=title,
        caption="Largest eigenvalue of the (preconditioned) Hessian over the stability threshold.",
        x_label="step",
        y_label="sharpness / threshold",
        series=(*series, level("threshold", longest, 1.0)),
    )


def _stochastic_chart(method: Method, found: Sequence[Result], what: str) -> Chart:
    steps = found[0]["step"]
    series = [
        measured(label, steps, [one[key] / one["threshold"] for one in found], what=what,
                 mark="line")
        for label, key in (("batch sharpness", "value"), ("sharpness of the whole loss",
                                                          "sharpness"))
    ]  # fmt: skip
    return Chart(
        name="stochastic",
        title=f"SGD with batches of {method.batch}",
        caption="Batch sharpness and the sharpness of the whole loss over 2/η.",
        x_label="step",
        y_label="sharpness / (2/η)",
        series=(*series, level("2/η", steps, 1.0)),
    )


def _table(
    config: EdgeConfig,
    trained: dict[Method, Sequence[Result]],
    controls: dict[Method, Sequence[Result]],
    what: str,
) -> Any:
    rows: list[tuple[Cell, ...]] = []
    for method in config.methods:
        for word, chosen, lr in (
            ("", trained[method], method.lr),
            (", control", controls[method], method.lr / method.smaller),
        ):
            rows.append(
                (
                    method.name + word,
                    digits(lr),
                    over([one["threshold"][-1] for one in chosen], what),
                    over([np.median(_last_third(one)) for one in chosen], what),
                    over([one["loss"][-1] for one in chosen], what),
                    over([one["products"] / len(one["step"]) for one in chosen], what),
                )
            )
    columns = ("method", "step size", "threshold", "late ratio", "final loss", "products a record")
    return table(_TRAININGS, columns, rows, "Late ratio: median of the last third.")


EXPERIMENT = study(
    "edge-of-stability",
    "Training at the edge of stability",
    quick=EdgeConfig(),
    paper=EdgeConfig(methods=_PAPER, images=500, hidden=32, records=60, seeds=(0, 1, 2)),
    tasks=tasks,
    compute=compute,
    summarise=summarise,
)
