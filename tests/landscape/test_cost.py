"""What a search for an index costs when it fails, in derivatives asked for, not in seconds.

Data and starts are seeded: each count is the same in every run up to the rounding of the machine.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import pytest
from torch import nn

import hessium as hs
from hessium.errors import ConvergenceWarning
from hessium.landscape import starts
from support.risk_cases import draw

SIZE = 4
INDICES = (1, 2, 4, 7, 10)
MOST = 3.0  # times a search that succeeds


def search(middle: nn.Module, index: int) -> hs.CriticalPoint:
    """At a tanh network most indices are found, at a linear one few, at a ReLU one a kink."""
    first, last = nn.Linear(SIZE, SIZE, bias=False), nn.Linear(SIZE, SIZE, bias=False)
    model = nn.Sequential(first, middle, last).double()
    data = draw(16, SIZE, seed=1), draw(16, SIZE, seed=2)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(0.5, reduction="mean"), data)
    start = draw(risk.dim, seed=3) / math.sqrt(SIZE)
    ridge = 1e-2 if isinstance(middle, nn.Tanh) else 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return hs.find_critical_point(risk, start, method="saddle", index=index, ridge=ridge)


def failures_over_successes(networks: Sequence[nn.Module]) -> float:
    """The mean number of gradients and Hessians of either."""
    costs: dict[bool, list[int]] = {True: [], False: []}
    for middle in networks:
        for index in INDICES:
            found = search(middle, index)
            good = found.kind == "critical" and abs(int(found.index) - index) <= index // 10
            costs[good].append(found.num_gradients + found.num_hessians)
    assert min(len(costs[True]), len(costs[False])) >= 4, costs
    return float(np.mean(costs[False]) / np.mean(costs[True]))


@pytest.mark.slow
def test_a_failure_costs_no_more_than_three_successes() -> None:
    assert failures_over_successes([nn.Tanh(), nn.Identity()]) <= MOST


@pytest.mark.slow
def test_control_descents_that_never_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "_PLATEAU", 1500)
    assert failures_over_successes([nn.Tanh(), nn.Identity()]) > MOST


@pytest.mark.parametrize("index", [4, 7, 10])
def test_a_search_ends_soon_at_a_kink(index: int) -> None:
    """No step is trusted there; without a rule for that it goes on for 150 of them."""
    found = search(nn.ReLU(), index)
    assert found.kind == "unconverged"
    assert found.steps <= 60
