"""A ReLU network for `hessium compare hessium.examples.relu_landscape:make`."""

from __future__ import annotations

import torch
from torch import nn

import hessium as hs


def make() -> hs.EmpiricalRisk:
    """Two layers of 12 units without biases, random weights, data and targets, ratio 1/4."""
    n, samples = 12, 96
    generator = torch.Generator().manual_seed(0)
    draw = torch.randn(2 * n + 2 * samples, n, generator=generator, dtype=torch.float64)
    first, second, x, y = draw.split([n, n, samples, samples])
    model = nn.Sequential(nn.Linear(n, n, bias=False), nn.ReLU(), nn.Linear(n, n, bias=False))
    model = model.double()
    with torch.no_grad():
        for parameter, weight in zip(model.parameters(), (first, second), strict=True):
            parameter.copy_(weight / n**0.5)
    return hs.EmpiricalRisk(model, hs.SquaredError(scale=0.5, reduction="mean"), (x, y))
