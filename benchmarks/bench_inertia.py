"""Counting signs by LDL^T against solving for all eigenvalues, on Hessians of networks."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

import hessium as hs
from race import large, once, race


@pytest.mark.parametrize("widths", [(32, 24, 24, 4), (64, 48, 10), (64, 48, 32, 10)])
def bench_inertia(widths: tuple[int, ...]) -> None:
    if widths[-2:] == (32, 10):
        large()
        once()
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for d_in, d_out in itertools.pairwise(widths):
        layers += [nn.Linear(d_in, d_out), nn.Tanh()]
    model = nn.Sequential(*layers[:-1]).double()
    data = torch.randn(256, widths[0]).double(), torch.randint(0, widths[-1], (256,))
    matrix = hs.Hessian(hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), data)).dense()
    values = torch.linalg.eigvalsh(matrix)
    found = hs.inertia(matrix)
    assert found.method == "ldl"
    assert int(found.negative) == int((values < -1e-6 * values.abs().max()).sum())
    race(
        f"inertia of a {len(matrix):,} x {len(matrix):,} Hessian",
        {
            "hessium": lambda: hs.inertia(matrix),
            "all eigenvalues": lambda: torch.linalg.eigvalsh(matrix),
        },
        rounds=3,
    )
