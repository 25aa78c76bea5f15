"""Assembly of the exact dense Hessian, once and at many parameters, against the peers."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from curvlinops import HessianLinearOperator
from torch import Tensor, nn

import hessium as hs
from race import large, race

SETTINGS = [
    ("499", (10, 16, 16, 3), nn.CrossEntropyLoss(), 100),
    ("1,492", (32, 24, 24, 4), nn.MSELoss(), 200),
    ("5,018", (64, 48, 32, 10), nn.CrossEntropyLoss(), 256),
]


def problem(
    widths: tuple[int, ...], loss: nn.Module, samples: int
) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for d_in, d_out in itertools.pairwise(widths):
        layers += [nn.Linear(d_in, d_out), nn.Tanh()]
    x = torch.randn(samples, widths[0])
    if isinstance(loss, nn.CrossEntropyLoss):
        return nn.Sequential(*layers[:-1]), x, torch.randint(0, widths[-1], (samples,))
    return nn.Sequential(*layers[:-1]), x, torch.randn(samples, widths[-1])


def torch_func(model: nn.Module, loss: Any, x: Tensor, y: Tensor) -> Callable[[], Tensor]:
    parameters = dict(model.named_parameters())

    def value(values: dict[str, Tensor]) -> Tensor:
        return loss(torch.func.functional_call(model, values, (x,)), y)

    def run() -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            blocks: Any = torch.func.hessian(value)(parameters)
        return torch.cat(
            [
                torch.cat([blocks[a][b].reshape(parameters[a].numel(), -1) for b in parameters], 1)
                for a in parameters
            ]
        )

    return run


def curvlinops(model: nn.Module, loss: Any, x: Tensor, y: Tensor) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            operator = HessianLinearOperator(
                model, loss, list(model.parameters()), [(x, y)], check_deterministic=False
            )
            return operator @ torch.eye(operator.shape[0])

    return run


@pytest.mark.parametrize("use", ["one-off", "repeated"])
@pytest.mark.parametrize(("name", "widths", "loss", "samples"), SETTINGS)
def bench_dense_hessian(
    name: str, widths: tuple[int, ...], loss: nn.Module, samples: int, use: str
) -> None:
    """One-off: from model and data, with every check. Repeated: at one of many parameters."""
    if name == "5,018":
        large()
    model, x, y = problem(widths, loss, samples)
    risk = hs.EmpiricalRisk(model, loss, (x, y))
    theta = risk.theta

    def ours() -> Tensor:
        if use == "one-off":
            return hs.Hessian(hs.EmpiricalRisk(model, loss, (x, y))).dense()
        return hs.Hessian(risk.at(theta), check=False).dense()

    contestants = {
        "hessium": ours,
        "torch.func.hessian": torch_func(model, loss, x, y),
        "curvlinops": curvlinops(model, loss, x, y),
    }
    expected = ours()
    for run in contestants.values():
        assert float((run().detach() - expected).norm()) < 1e-5 * float(expected.norm())
    rounds = 5 if risk.dim < 5000 else 3
    race(f"dense Hessian, {name} parameters, {use}", contestants, rounds=rounds)
