"""Data that count how often they are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

import hessium as hs


class CountedData:
    """Batches that count how often they are read from the start."""

    def __init__(self, batches: list[tuple[Tensor, Tensor]]) -> None:
        self._batches = batches
        self.passes = 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.passes += 1
        return iter(self._batches)


def counted_risk(samples: int, loss: Any, **arguments: Any) -> tuple[hs.EmpiricalRisk, CountedData]:
    """A tanh network 4-8-3 with 67 parameters, and its data in two batches."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x = torch.randn(samples, 4, dtype=torch.float64)
    classes = isinstance(loss, nn.CrossEntropyLoss)
    y = torch.arange(samples) % 3 if classes else torch.randn(samples, 3, dtype=torch.float64)
    half = samples // 2
    data = CountedData([(x[:half], y[:half]), (x[half:], y[half:])])
    return hs.EmpiricalRisk(net, loss, data, **arguments), data
