"""The self-check finds wrong derivatives, randomness, state and asymmetry: each is planted here."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.errors import InputError, NonFiniteError, SelfCheckError, SelfCheckWarning
from hessium.problem.losses import Loss
from hessium.problem.output_hessian import Diagonal, OutputHessian
from support.risk_cases import draw, mlp

DATA = (draw(6, 3), draw(6, 2, seed=3))


class WrongCurvature(hs.SquaredError):
    """A closed form that forgets the factor 2, as the source of the rank experiment does."""

    def hessian(self, outputs: Tensor, targets: Tensor) -> OutputHessian:
        return Diagonal(torch.ones_like(outputs))


def test_a_wrong_output_hessian_is_caught() -> None:
    risk = hs.EmpiricalRisk(mlp(3, 4, 2), WrongCurvature(), DATA)
    hs.Hessian(risk)
    with pytest.raises(SelfCheckError, match="products disagree with differences"):
        hs.GaussNewton(risk)
    hs.GaussNewton(risk, check=False)


class Product(torch.autograd.Function):
    """Products of neighbours with the right gradient, one half of which has no derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x[:, ::2] * x[:, 1::2]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (x,) = ctx.saved_tensors
        pairs = (grads[0] * x[:, 1::2], grads[0] * x[:, ::2].detach())
        return torch.stack(pairs, dim=2).reshape(x.shape)


class WrongSecondDerivative(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 4).double(), nn.Linear(2, 2).double()

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = Product.apply(self.first(x))  # type: ignore[no-untyped-call]
        return self.second(hidden)


def test_an_operation_with_a_wrong_second_derivative_is_caught() -> None:
    risk = hs.EmpiricalRisk(WrongSecondDerivative(), nn.MSELoss(), DATA)
    with pytest.raises(SelfCheckError, match="symmetric"):
        hs.Hessian(risk)


class Convolved(nn.Module):
    """The same operation behind a convolution, where blocks are multiplied one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.rest = nn.Conv2d(3, 3, 1).double(), WrongSecondDerivative()

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.rest(self.convolution(x[:, :, None, None]).flatten(1))
        return outputs


def test_symmetry_is_checked_where_blocks_are_multiplied_one_by_one() -> None:
    risk = hs.EmpiricalRisk(Convolved(), nn.MSELoss(), DATA)
    assert not hs.Hessian(risk, check=False).multiplies_blocks
    with pytest.raises(SelfCheckError, match="symmetric"):
        hs.Hessian(risk)


CALLS = [0]


class Counting(nn.Module):
    """Depends on how often it has been called: state outside of the module."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.inner = mlp(3, 4, 2)
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        CALLS[0] += 1
        return self.inner(x) * (1 + self.step * CALLS[0])


def test_hidden_state_is_caught() -> None:
    risk = hs.EmpiricalRisk(Counting(1e-3), nn.MSELoss(), DATA, check=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SelfCheckWarning)  # differences of noise do not converge
        with pytest.raises(SelfCheckError, match=r"double backward|repeated product|differences"):
            hs.Hessian(risk, graph_bytes=0)


class Writing(nn.Module):
    """Writes to one of its frozen parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = mlp(3, 4, 2)
        self.seen = nn.Parameter(torch.zeros(1).double(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.seen.add_(1)
        return self.inner(x)


def test_a_forward_pass_that_writes_is_caught() -> None:
    with pytest.raises(InputError, match="writes to parameter 'seen'"):
        hs.EmpiricalRisk(Writing(), nn.MSELoss(), DATA)
    risk = hs.EmpiricalRisk(Writing(), nn.MSELoss(), DATA, check=False)
    with pytest.raises(InputError, match="the frozen parameter 'seen' has changed"):
        hs.Hessian(risk)


class Detached(nn.Module):
    """A gate without a gradient: the gradient is none of the loss, but consistent with itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = mlp(3, 4), mlp(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        return self.second(torch.tanh(hidden) * hidden.detach().sigmoid())


class Checkpointed(nn.Module):
    """Recomputes its activations in backward."""

    def __init__(self, *, reentrant: bool) -> None:
        super().__init__()
        self.inner, self.reentrant = mlp(3, 4, 2), reentrant

    def forward(self, x: Tensor) -> Tensor:
        return torch.utils.checkpoint.checkpoint(self.inner, x, use_reentrant=self.reentrant)


def test_a_stopped_gradient_is_caught() -> None:
    with pytest.raises(SelfCheckError, match="along its gradient the gradient gives a slope"):
        hs.Hessian(hs.EmpiricalRisk(Detached(), nn.MSELoss(), DATA))


@pytest.mark.parametrize("kind", [hs.Hessian, hs.GaussNewton, hs.ResidualHessian, hs.Gram])
def test_checkpoints_recompute_at_the_parameters_of_the_risk(kind: Any) -> None:
    model = Checkpointed(reentrant=False)
    found = hs.EmpiricalRisk(model, nn.MSELoss(), DATA)
    expected = hs.EmpiricalRisk(model.inner, nn.MSELoss(), DATA)
    for one, other in ((found, expected), (r.at(2 * r.theta) for r in (found, expected))):
        torch.testing.assert_close(kind(one).dense(), kind(other).dense(), rtol=1e-10, atol=1e-12)


def test_reentrant_checkpoints_are_refused() -> None:
    x = DATA[0].clone().requires_grad_()
    with pytest.raises(InputError, match="use_reentrant=False"):
        hs.EmpiricalRisk(Checkpointed(reentrant=True), nn.MSELoss(), (x, DATA[1]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_slope_check_lets_kinks_and_critical_points_pass(dtype: torch.dtype) -> None:
    x, y = (t.to(dtype) for t in DATA)
    relu = mlp(3, 6, 6, 2, activation=nn.ReLU).to(dtype)
    hs.Hessian(hs.EmpiricalRisk(relu, nn.L1Loss(), (x, y)))
    linear = nn.Linear(3, 2).to(dtype)
    risk = hs.EmpiricalRisk(linear, nn.MSELoss(), (x, y))
    best = risk.at(hs.Linearization(risk).minimiser())
    assert float(best.gradient().norm()) < 1e3 * torch.finfo(dtype).eps
    hs.Hessian(best)


def test_the_slope_check_lets_a_loss_pass_that_bends_within_its_step() -> None:
    """A sharp network with a large norm of its parameters, in one dimension."""

    # both steps of the check end at zeros of the sine, and agree on a slope of zero
    omega = 20 * torch.pi / torch.finfo(torch.float64).eps ** (1 / 3)

    class Wave(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1).double())

        def forward(self, x: Tensor) -> Tensor:
            return torch.sin(omega * self.weight) + 0 * x

    risk = hs.EmpiricalRisk(
        Wave(), nn.MSELoss(), (torch.zeros(1).double(), -torch.ones(1).double())
    )
    assert float(hs.Hessian(risk).dense()) == pytest.approx(2 * omega**2, rel=1e-12)


def test_an_infinite_slope_is_caught() -> None:
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2).double())

        def forward(self, x: Tensor) -> Tensor:
            return x[:, :2] * self.weight.abs().sqrt()

    risk = hs.EmpiricalRisk(Root(), nn.MSELoss(), DATA)
    with pytest.raises(NonFiniteError, match="gradient"):
        hs.Hessian(risk)


def test_layer_norm_passes_where_forward_over_reverse_is_wrong() -> None:
    """The reason for double backward: a control that torch.func.hessian would fail here.

    If this fails because torch agrees with itself, forward-mode routes may be considered again.
    """
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 2)).double()
    x, y = DATA
    names = [name for name, _ in model.named_parameters()]
    parameters = dict(model.named_parameters())

    def loss(values: dict[str, Tensor]) -> Tensor:
        return (torch.func.functional_call(model, values, (x,)) - y).square().mean()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own deprecations
        blocks: Any = torch.func.hessian(loss)(parameters)
    theirs = torch.cat(
        [
            torch.cat([blocks[a][b].reshape(parameters[a].numel(), -1) for b in names], 1)
            for a in names
        ]
    )
    ours = hs.Hessian(hs.EmpiricalRisk(model, nn.MSELoss(), DATA)).dense()
    # central differences of the gradient in float64 decide
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), DATA)
    h = 1e-5
    columns = []
    for i in range(risk.dim):
        step = torch.zeros(risk.dim, dtype=torch.float64)
        step[i] = h
        up, down = risk.at(risk.theta + step), risk.at(risk.theta - step)
        columns.append((up.gradient() - down.gradient()) / (2 * h))
    truth = torch.stack(columns, dim=1)
    assert float((ours - truth).norm()) < 1e-8 * float(truth.norm())
    if torch.__version__.startswith("2.13"):
        assert float((theirs.detach() - truth).norm()) > 1e-3 * float(truth.norm())


def test_losses_are_abstract_or_final() -> None:
    with pytest.raises(TypeError):
        Loss()  # type: ignore[abstract]
