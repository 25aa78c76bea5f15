"""A training with the monitor is that without it, to the last bit."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import hessium as hs
from hessium.training.settings import QUANTITIES
from hessium.training.undisturbed import undisturbed

Make = Callable[[nn.Module], torch.optim.Optimizer]

OPTIMIZERS: dict[str, Make] = {
    "momentum": lambda m: torch.optim.SGD(m.parameters(), 0.05, momentum=0.9, weight_decay=1e-3),
    "adam": lambda m: torch.optim.Adam(m.parameters(), 0.01),
}


class Noisy(nn.Module):
    """Draws from three global generators, so that a shifted state shows in the parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2)
        self.drop = nn.Dropout(0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.drop(torch.tanh(self.norm(self.first(x))))
        if self.training:
            hidden = hidden * (1 + 0.1 * random.random() + 0.1 * np.random.random())  # noqa: NPY002
        found: torch.Tensor = self.last(hidden)
        return found


def run(make: Make, *, monitored: bool, workers: int = 0, **options: Any) -> list[Any]:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    model, loss = Noisy(), nn.CrossEntropyLoss()
    x, y = torch.randn(40, 4), torch.randint(0, 2, (40,))
    loader = DataLoader(TensorDataset(x, y), 10, shuffle=True, num_workers=workers)
    optimizer = make(model)
    monitor = None
    if monitored:
        data = [(x[:20].clone(), y[:20]), (x[20:].clone(), y[20:])]
        monitor = hs.Monitor(model, loss, data, optimizer, every=3, **options)
    for _ in range(3):
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss(model(inputs), targets).backward()
            optimizer.step()
            if monitor is not None:
                monitor.step()
    assert monitor is None or len(monitor.records) == 4
    state = [
        *model.state_dict().values(),
        *(v for s in optimizer.state.values() for v in s.values()),
        *(p.grad for p in model.parameters()),
        torch.get_rng_state(),
        torch.from_numpy(np.random.get_state()[1].astype(np.int64)),  # type: ignore[index]  # noqa: NPY002
    ]
    return [*state, random.getstate(), [m.training for m in model.modules()]]


def same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
        for a, b in zip(one, other, strict=True)
    )


def compared() -> None:
    """Exit with an error unless monitored trainings are equal to plain ones."""
    track = [q for q in QUANTITIES if q not in ("inertia", "spectrum")]
    for make in OPTIMIZERS.values():
        plain = run(make, monitored=False)
        assert same(plain, run(make, monitored=True))
        assert same(plain, run(make, monitored=True, track=track, probes=2, prior_precision=0.1))
    plain = run(OPTIMIZERS["momentum"], monitored=False, workers=1)
    assert same(plain, run(OPTIMIZERS["momentum"], monitored=True, workers=1))
    other = run(lambda m: torch.optim.Adam(m.parameters(), 0.0101), monitored=False)
    assert not same(run(OPTIMIZERS["adam"], monitored=False), other)


def test_training_is_the_same_to_the_last_bit(pytestconfig: pytest.Config) -> None:
    """With --shapes in a process of its own: the type checker draws from `random`."""
    if not pytestconfig.getoption("shapes"):
        compared()
        return
    done = subprocess.run(
        [sys.executable, __file__], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr


def test_draws_inside_do_not_show_outside() -> None:
    with undisturbed([nn.Linear(1, 1)], evaluation=True):
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
        random.random()
        np.random.random()  # noqa: NPY002
        torch.rand(1)
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1][1])  # type: ignore[index] # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])


def test_modes_and_random_states_return_after_an_exception() -> None:
    model = Noisy()
    model.drop.training = False
    before = [m.training for m in model.modules()]
    monitor = hs.Monitor(model, nn.CrossEntropyLoss(), (torch.randn(8, 4), torch.ones(8).long()))

    def fail(*_: Any) -> None:
        torch.rand(1)
        raise RuntimeError

    handle = model.last.register_forward_hook(fail)
    state = torch.get_rng_state()
    with pytest.raises(RuntimeError):
        monitor.measure()
    handle.remove()
    assert [m.training for m in model.modules()] == before
    assert torch.equal(torch.get_rng_state(), state)


if __name__ == "__main__":
    compared()
