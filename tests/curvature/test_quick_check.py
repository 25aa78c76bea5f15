"""The self-check on a part of the samples: what it costs, and when all samples are needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.errors import SelfCheckError
from support.risk_cases import draw

N = 320  # samples; an eighth is 40


class Counting(nn.Module):
    """Counts the samples of all forward passes, outside of its attributes."""

    def __init__(self, act: Callable[[Tensor], Tensor] = torch.tanh, *, scale: float = 1.0) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(3, 5).double(), nn.Linear(5, 2).double()
        self.act, self.scale = act, scale

    def forward(self, x: Tensor) -> Tensor:
        ROWS.append(len(x))
        return self.two(self.act(self.one(x))) * self.scale


ROWS: list[int] = []
DATA = draw(N, 3), draw(N, 2, seed=3)


def samples_read(risk: hs.EmpiricalRisk, kind: Any = hs.Hessian) -> int:
    ROWS.clear()
    kind(risk)
    return sum(ROWS)


def risk_of(model: nn.Module, loss: Any = None) -> hs.EmpiricalRisk:
    return hs.EmpiricalRisk(model, loss or nn.MSELoss(), DATA)


def fresh() -> type[Counting]:
    """A class that no risk has seen."""

    class Own(Counting):
        pass

    return Own


def test_the_first_operator_reads_all_samples_once() -> None:
    own = fresh()
    # products on the part; its gradient; two gradients and four values nearby; all samples once
    assert samples_read(risk_of(own())) == N + 8 * N // 8


@pytest.mark.parametrize("kind", [hs.Hessian, hs.GaussNewton, hs.EmpiricalFisher])
def test_later_operators_read_a_part(kind: Any) -> None:
    own = fresh()
    model = own()
    first = samples_read(risk_of(model), kind)
    again = [
        samples_read(risk_of(model), kind),  # other data would do as well
        samples_read(risk_of(own()), kind),  # another network of the same architecture
    ]
    assert max(again) <= N * 12 // 8 < first + N // 8


def test_a_hessian_of_a_known_architecture_reads_three_eighths() -> None:
    own = fresh()
    risk = risk_of(own())
    hs.Hessian(risk)
    assert samples_read(risk.at(2 * risk.theta)) == 3 * N // 8
    assert samples_read(risk_of(own())) == 3 * N // 8


def test_what_differs_is_checked_anew() -> None:
    own = fresh()
    full = samples_read(risk_of(own()))
    assert samples_read(risk_of(own())) < full // 2
    hooked = own()
    hooked.one.register_forward_hook(lambda module, args, output: output)
    cubed = own()
    cubed.extra = lambda x: x  # type: ignore[assignment]
    others = [
        risk_of(own(torch.sigmoid)),
        risk_of(own(scale=2.0)),
        risk_of(own(), nn.L1Loss()),
        risk_of(own(), nn.MSELoss(reduction="sum")),
        risk_of(hooked),
        risk_of(cubed),
        hs.EmpiricalRisk(own(), nn.MSELoss(), DATA, forward=lambda model, x: model(x) + 1),
        hs.EmpiricalRisk(own().float(), nn.MSELoss(), (DATA[0].float(), DATA[1].float())),
    ]
    for risk in others:
        assert samples_read(risk) >= full, risk


def test_functions_are_told_apart_by_what_they_capture() -> None:
    own = fresh()
    model = own()

    def scaled(by: Any) -> Callable[[Any, Any], Any]:
        return lambda model, x: model(x) * by

    def read(by: Any) -> int:
        return samples_read(hs.EmpiricalRisk(model, nn.MSELoss(), DATA, forward=scaled(by)))

    factor = torch.tensor(2.0, dtype=torch.float64)
    first = read(2.0)
    assert read(2.0) < first // 2
    assert read(3.0) >= first
    assert read(factor) >= first
    assert read(factor) < first // 2
    assert read(factor.clone()) >= first


def test_what_cannot_be_hashed_or_compared_is_no_obstacle() -> None:
    own = fresh()
    model = own()

    @dataclasses.dataclass
    class Settings:
        factor: float = 2.0

    def scaled(by: Any) -> Callable[[Any, Any], Any]:
        return lambda model, x: model(x) * (by.factor if isinstance(by, Settings) else float(by[0]))

    for captured in (np.array([2.0, 3.0]), Settings(), [2.0]):

        def read(by: Any) -> int:
            return samples_read(hs.EmpiricalRisk(model, nn.MSELoss(), DATA, forward=scaled(by)))

        first = read(captured)
        assert read(captured) < first // 2
    assert read([3.0]) >= first
    model.table = np.zeros((2, 2))  # type: ignore[assignment]
    assert samples_read(risk_of(model)) > N


class Wrong(torch.autograd.Function):
    """tanh whose second derivative is missing for inputs above a threshold."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.tanh()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (x,) = ctx.saved_tensors
        slope = 1 - x.tanh().square()
        return grads[0] * torch.where(x > LIMIT[0], slope.detach(), slope)


LIMIT = [10.0]


def test_a_known_architecture_is_not_trusted() -> None:
    """What was right at other parameters and data is found to be wrong at these."""
    model = Counting(Wrong.apply)
    LIMIT[0] = 10.0
    hs.Hessian(risk_of(model))
    LIMIT[0] = 1.0
    with pytest.raises(SelfCheckError, match="products disagree with differences"):
        hs.Hessian(risk_of(model))
    with pytest.raises(SelfCheckError, match="products disagree with differences"):
        hs.Hessian(risk_of(Counting(Wrong.apply)))


def test_every_batch_has_its_part() -> None:
    """The last batch alone reaches the wrong derivatives."""
    x, y = DATA
    batches = [(0.01 * x[:160], y[:160]), (3.0 * x[160:], y[160:])]
    LIMIT[0] = 0.8
    with pytest.raises(SelfCheckError, match="products disagree with differences"):
        hs.Hessian(hs.EmpiricalRisk(Counting(Wrong.apply), nn.MSELoss(), batches))


def test_sorted_data_have_their_part() -> None:
    """The last quarter of the samples alone reaches the wrong derivatives."""
    x, y = DATA
    LIMIT[0] = 0.8
    sorted_x = torch.cat([0.01 * x[:240], 3.0 * x[240:]])
    with pytest.raises(SelfCheckError, match="products disagree with differences"):
        hs.Hessian(hs.EmpiricalRisk(Counting(Wrong.apply), nn.MSELoss(), (sorted_x, y)))


def test_modules_that_know_their_parents() -> None:
    own = fresh()
    model = own()
    model.one.parent = [model]  # type: ignore[assignment]
    assert samples_read(risk_of(model)) > N


def test_timings_on_a_part_are_not_those_of_all() -> None:
    risk = risk_of(fresh()())
    hs.Hessian(risk)
    assert not any(trial.seconds for trial in risk.trials.values())


def test_products_must_be_finite_on_all_samples() -> None:
    """One sample of the last, where a norm has no second derivative."""
    x, y = DATA[0].clone(), DATA[1]
    x[-1] = 0.0
    model = nn.Sequential(nn.Linear(3, 5, bias=False), Norm(), nn.Linear(1, 2)).double()
    with pytest.raises(hs.errors.NonFiniteError):
        hs.Hessian(hs.EmpiricalRisk(model, nn.MSELoss(), (x, y)))


class Norm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.square().sum(1, keepdim=True).sqrt()
