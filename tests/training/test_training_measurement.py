"""What a measurement keeps when it moves to another model."""

from __future__ import annotations

import torch
from torch import nn

import hessium as hs
from hessium.curvature.graph import UNKNOWN
from hessium.training.measurement import Measurement
from hessium.training.settings import Settings

SETTINGS = Settings(
    track=("sharpness",), optimizer=None, tol=0.01, confidence=0.95, bound_steps=2, probes=2,
    spectrum_every=1, seed=0, mode="eval",
)  # fmt: skip


def risk(width: int = 3, samples: int = 12, seed: int = 0) -> hs.EmpiricalRisk:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 2)).double()
    x = torch.randn(samples, 4, dtype=torch.float64)
    return hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), (x, torch.arange(samples) % 2))


def test_memory_that_sufficed_is_no_promise_for_other_graphs() -> None:
    for other in (risk(seed=1), risk(width=5), risk(samples=1200)):
        measurement = Measurement(risk(), SETTINGS)
        limit = measurement._graph_bytes
        measurement.record(0, 1, None)
        assert measurement._graph_bytes == UNKNOWN  # records of one training
        measurement.move(other, SETTINGS, None)
        assert measurement._graph_bytes == limit  # another checkpoint may come with longer inputs
