"""Cost against parameters, samples and probes over three decades; the plot goes to docs/."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import hessium as hs
from hessium.figures.records import Chart, Series
from hessium.plots import draw, to_png
from race import large, note, once

FIGURE = Path(__file__).parent.parent / "docs" / "scaling.png"
GRID = np.array([1, 3, 10, 32, 100, 316, 1000])


def network(width: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(32, width), nn.Tanh(), nn.Linear(width, 10))


def risk(width: int, samples: int) -> hs.EmpiricalRisk:
    x, y = torch.randn(samples, 32), torch.randint(0, 10, (samples,))
    return hs.EmpiricalRisk(network(width), nn.CrossEntropyLoss(), (x, y))


def seconds(run: Callable[[], Any]) -> float:
    """Processor time of one call, the median of several that together take a while."""
    run()
    times: list[float] = []
    while len(times) < 3 or (sum(times) < 0.5 and len(times) < 50):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return float(np.median(times))


def of_parameters(k: int) -> float:
    """43 parameters a unit: 8,600 to 8.6 million."""
    operator = hs.Hessian(risk(200 * k, 64))
    vector = torch.randn(operator.shape[0])
    return seconds(lambda: operator @ vector)


def of_samples(k: int) -> float:
    operator = hs.Hessian(risk(64, 64 * k))
    vector = torch.randn(operator.shape[0])
    return seconds(lambda: operator @ vector)


def of_probes(k: int) -> float:
    operator = hs.Hessian(risk(8, 16))
    return seconds(lambda: hs.spectral_measure(operator, k, 5))


def bench_scaling() -> None:
    """The slope on log axes, from the middle on, where the fixed costs of a call have faded."""
    once()
    large()
    series, slopes = [], []
    for label, measure, unit in (
        ("parameters: one product", of_parameters, "8,610"),
        ("samples: one product", of_samples, "64"),
        ("probes: spectral measure of 5 steps", of_probes, "1"),
    ):
        cost = np.array([measure(int(k)) for k in GRID])
        late = GRID >= 10
        slope = float(np.polyfit(np.log(GRID[late]), np.log(cost[late]), 1)[0])
        slopes.append(f"{label.split(':')[0]} {slope:.2f}")
        series.append(
            Series(
                label=f"{label} (x {unit}), slope {slope:.2f}",
                x=GRID.astype(float),
                y=cost / cost[0],
                error="median of at least three calls, processor time",
                source="measured",
                mark="both",
            )
        )
        assert slope < 1.25
    linear = Series(
        label="linear",
        x=GRID.astype(float),
        y=GRID / 1.0,
        error="exact",
        source="theory",
        mark="line",
    )
    chart = Chart(
        name="scaling",
        title="Cost grows linearly",
        caption="Time over that of the smallest problem.",
        x_label="size, over the smallest",
        y_label="processor time, over the smallest",
        x_scale="log",
        y_scale="log",
        series=(linear, *series),
    )
    FIGURE.write_bytes(to_png(draw(chart)))
    note(f"exponents of the cost: {', '.join(slopes)}")
