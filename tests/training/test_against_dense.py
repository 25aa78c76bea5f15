"""Records against the dense Hessian at every record, for four optimisers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn, optim

import hessium as hs
from hessium._typing import FloatArray

Make = Callable[[Iterable[nn.Parameter]], optim.Optimizer]
OPTIMIZERS: dict[str, Make] = {
    "gradient descent": lambda p: optim.SGD(p, 0.2),
    "momentum": lambda p: optim.SGD(p, 0.02, momentum=0.9),
    "adam": lambda p: optim.Adam(p, 3e-3),
    "rmsprop": lambda p: optim.RMSprop(p, 1e-3),
}
EDGE: dict[str, Make] = {
    "gradient descent": lambda p: optim.SGD(p, 0.3),
    "momentum": lambda p: optim.SGD(p, 0.7, momentum=0.9),
    "adam": lambda p: optim.Adam(p, 0.01),
    "rmsprop": lambda p: optim.RMSprop(p, 1e-3),
}
SPIKE = 0.5  # of the way through, the parameters jump


def inverse_root(model: nn.Module, optimizer: Any) -> torch.Tensor:
    """P^(-1/2), written down once more."""
    found = []
    for p in model.parameters():
        state = optimizer.state[p]
        if isinstance(optimizer, optim.Adam):
            t = float(state["step"])
            scale = (state["exp_avg_sq"].double() / (1 - 0.999**t)).sqrt() + 1e-8
            scale *= 1 - 0.9**t
        elif isinstance(optimizer, optim.RMSprop):
            scale = state["square_avg"].double().sqrt() + 1e-8
        else:
            scale = torch.ones_like(p).double()
        found.append(scale.reshape(-1) ** -0.5)
    return torch.cat(found).detach()


def trained(
    make: Make, records: int, every: int, width: int, *, edge: bool = False, **options: Any
) -> FloatArray:
    """Rows: products, then for both sharpnesses error, lower end holds, bracket holds, width.

    With `edge`, full batches and a squared error bring the sharpness to the threshold.
    """
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(80, 6, generator=generator)
    targets = x @ torch.randn(6, 3, generator=generator)
    y = torch.sin(targets) if edge else targets.argmax(1)
    model = nn.Sequential(nn.Linear(6, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
    model.append(nn.Linear(width, 3))
    loss: nn.Module = nn.MSELoss() if edge else nn.CrossEntropyLoss()
    optimizer = make(model.parameters())
    monitor = hs.Monitor(model, loss, (x, y), optimizer, every=every, **options)
    rows = []
    for step in range(records * every):
        chosen = slice(None) if edge else torch.randint(0, 80, (16,), generator=generator)
        optimizer.zero_grad()
        loss(model(x[chosen]), y[chosen]).backward()
        optimizer.step()
        if not edge and step == int(SPIKE * records) * every:
            with torch.no_grad():
                for p in model.parameters():
                    p.add_(0.5 * p.std() * torch.randn(p.shape, generator=generator))
        record = monitor.step()
        if record is None:
            continue
        # the oracle: the same parameters in double precision, dense
        risk = hs.EmpiricalRisk(model, loss, (x, y), dtype=torch.float64, check=False)
        dense = hs.Hessian(risk, check=False).dense()
        d = inverse_root(model, optimizer)
        row = [float(record.num_matvecs)]
        for bracket, matrix in (
            (record.sharpness, dense),
            (record.preconditioned_sharpness, d[:, None] * dense * d),
        ):
            truth = float(torch.linalg.eigvalsh(matrix)[-1])
            assert bracket is not None
            row += [
                abs(bracket.value - truth) / truth,
                bracket.lower <= truth,
                truth in bracket,
                bracket.upper / truth,
            ]
        assert record.threshold is not None
        row.append(truth / record.threshold)
        rows.append(row)
    return np.array(rows)


def require_brackets(found: FloatArray) -> None:
    """Inner ends hold always, outer ends where there are any in 95 of a hundred."""
    assert found[:, [2, 6]].all()
    for column in (3, 7):
        closed = np.isfinite(found[:, column + 1])
        assert closed.sum() >= len(found) // 3
        assert found[closed, column].mean() >= 0.95


@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_a_few_records(name: str) -> None:
    found = trained(OPTIMIZERS[name], records=12, every=4, width=6)
    assert np.median(found[:, [1, 5]], axis=0).max() <= 0.01
    require_brackets(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_hundred_records(name: str) -> None:
    found = trained(OPTIMIZERS[name], records=100, every=5, width=16)
    print(f"\n{name}: products median {np.median(found[1:, 0]):.1f}", end="")  # noqa: T201
    for part, column in (("sharpness", 1), ("preconditioned", 5)):
        errors, lower, both, width = found[:, column : column + 4].T
        closed = np.isfinite(width)
        print(  # noqa: T201
            f"; {part}: error median {np.median(errors):.2%}, largest {errors.max():.1%}, lower "
            f"ends {lower.mean():.1%}, closed brackets {both[closed].mean():.1%} of "
            f"{closed.sum()}, upper / truth median {np.median(width[closed]):.2g}",
            end="",
        )
    assert np.median(found[:, [1, 5]], axis=0).max() <= 0.01
    require_brackets(found)
    assert np.median(found[1:, 0]) <= 3


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_hundred_records_with_both_ends(name: str) -> None:
    found = trained(OPTIMIZERS[name], records=100, every=5, width=16, bound_steps=1)
    assert np.isfinite(found[:, [4, 8]]).all()
    require_brackets(found)
    assert np.median(found[:, [1, 5]], axis=0).max() <= 0.01
    assert np.median(found[1:, 0]) <= 3
    print(f"\n{name}: {np.median(found[1:, 0])} products, {found[:, [3, 7]].mean():.1%} hold")  # noqa: T201


@pytest.mark.slow
@pytest.mark.parametrize("name", EDGE)
def test_records_at_the_edge_of_stability(name: str) -> None:
    """Eigenvalues cross there; with one kept vector the median error was 2 to 5 %."""
    found = trained(EDGE[name], records=60, every=25, width=16, edge=True)
    assert np.median(found[20:, 9]) == pytest.approx(1, abs=0.15)
    errors = np.median(found[20:, [1, 5]], axis=0)
    print(f"\n{name}: median errors {errors}, products {np.median(found[20:, 0])}")  # noqa: T201
    assert errors.max() <= 0.01
    require_brackets(found)
