"""State that belongs to the model: buffers, frozen parameters, the way to follow a training."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

import hessium as hs
from hessium.errors import InputError, StaleStateWarning
from support.risk_cases import draw, mlp

X, Y = 3 * draw(16, 3) + 1, draw(16, 2, seed=3)


class Centred(nn.Module):
    """Keeps a running mean in a buffer that it replaces."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.inner = mlp(3, 4, 2)
        self.register_buffer("mean", torch.zeros(3).double())

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.5 * self.mean + 0.5 * x.detach().mean(0)
        return self.inner(x - self.mean)


def spectral() -> nn.Module:
    layer = nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4))
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(4, 2))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "batch norm": lambda: nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)
    ),
    "momentum none": lambda: nn.Sequential(
        nn.BatchNorm1d(3, momentum=None), nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)
    ),
    "no affine": lambda: nn.Sequential(nn.BatchNorm1d(3, affine=False), nn.Linear(3, 2)),
    "batch norm 2d": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 1, 3)), nn.BatchNorm2d(1), nn.Conv2d(1, 2, 1), nn.Flatten(),
        nn.Linear(6, 2),
    ),
    "instance norm": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 3)), nn.InstanceNorm1d(1, track_running_stats=True), nn.Flatten(),
        nn.Linear(3, 2),
    ),
    "two": lambda: nn.Sequential(
        nn.BatchNorm1d(3), nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)
    ),
    "replaced buffer": Centred,
    "spectral norm": spectral,
}  # fmt: skip


def train(model: nn.Module, steps: int = 5) -> None:
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        (model(X) - Y).square().mean().backward()
        optimizer.step()
    model.eval()


@pytest.mark.parametrize("name", MODELS)
def test_refresh_follows_a_training_and_at_warns(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().double().eval()
    before = hs.EmpiricalRisk(model, nn.MSELoss(), (X, Y))
    train(model)
    theta = parameters_to_vector(model.parameters()).detach()
    with pytest.warns(StaleStateWarning, match=r"risk\.refreshed\(\)"):
        stale = before.at(theta)
    fresh = hs.EmpiricalRisk(model, nn.MSELoss(), (X, Y))
    followed = before.refreshed()
    assert followed.value() == fresh.value() != stale.value()
    assert torch.equal(hs.Hessian(followed).dense(), hs.Hessian(fresh).dense())
    assert before.value() != followed.value()  # the first one is still what it was
    part = before.restrict(before.names[-1:]).refreshed()
    assert torch.equal(part.gradient(), followed.restrict(before.names[-1:]).gradient())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        followed.at(theta)
        mlp_risk = hs.EmpiricalRisk(mlp(3, 2), nn.MSELoss(), (X, Y))
        mlp_risk.at(2 * mlp_risk.theta)


def test_a_refreshed_risk_repeats_only_a_short_check() -> None:
    """In evaluations of the loss by forward passes, counted."""

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = mlp(3, 4, 2)

        def forward(self, x: Tensor) -> Tensor:
            calls[0] += 1  # not an attribute, which would be restored
            return self.inner(x)

    calls = [0]
    model = Counting()
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (X, Y))
    calls[0] = 0
    hs.Hessian(risk)
    first = calls[0]
    train(model)
    calls[0] = 0
    hs.Hessian(risk.refreshed())
    again = calls[0]
    assert first <= 24
    assert again <= 3  # two gradients and the graph of the products


def test_a_wrong_branch_that_training_reaches_is_still_caught() -> None:
    """The short check leads to the full one where it does not agree."""

    class Switching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner: Any = mlp(3, 4, 2)

        def forward(self, x: Tensor) -> Tensor:
            f: Tensor = self.inner(x)
            far = float(self.inner[0].weight.detach().norm()) > 10
            return f * f.detach() if far else f

    risk = hs.EmpiricalRisk(Switching(), nn.MSELoss(), (X, Y))
    hs.Hessian(risk)
    with pytest.raises(hs.errors.SelfCheckError):
        hs.Hessian(risk.at(20 * risk.theta))


@pytest.mark.parametrize("fused", [False, True])
def test_frozen_parameters_that_were_trained_are_noticed(fused: bool) -> None:
    model: Any = mlp(3, 4, 2)
    model[0].requires_grad_(False)
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (X, Y))
    value = risk.value()
    model.requires_grad_(True)
    assert risk.value() == value
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=fused)
    (model(X) - Y).square().mean().backward()
    optimizer.step()
    with pytest.raises(InputError, match=r"frozen parameter '0\.weight' has changed"):
        risk.value()
    with pytest.raises(InputError, match="other parameters require gradients"):
        risk.refreshed()


def test_frozen_embeddings_with_a_padding_row_are_watched_too() -> None:
    """The first entries of a tensor may be constants: a few from all over it are compared."""
    table = nn.Embedding(40, 3, padding_idx=0).double().requires_grad_(False)
    model = nn.Sequential(table, nn.Flatten(), nn.Linear(6, 2).double())
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (torch.arange(32).view(16, 2), Y))
    table.weight.data[1:] += 1
    with pytest.raises(InputError, match=r"frozen parameter '0\.weight' has changed"):
        risk.gradient()


@pytest.mark.parametrize("how", [copy.deepcopy, lambda risk: pickle.loads(pickle.dumps(risk))])
def test_copies_of_a_risk(how: Callable[[hs.EmpiricalRisk], hs.EmpiricalRisk]) -> None:
    """Versions of copied tensors count from zero, which is no change of them."""
    model: Any = MODELS["batch norm"]().double().eval()
    model[0].requires_grad_(False)
    x = X.clone()
    x.sub_(x.mean(0))
    train_once = torch.ones_like(model[0].weight)
    model[0].weight.data.copy_(train_once)
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (x, Y))
    twin = how(risk)
    assert torch.equal(hs.Hessian(twin).dense(), hs.Hessian(risk).dense())
    assert torch.equal(twin.at(0.5 * twin.theta).gradient(), risk.at(0.5 * risk.theta).gradient())


def test_buffers_that_cannot_be_compared() -> None:
    """A sparse adjacency matrix in a buffer, as in graph networks."""

    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = mlp(3, 2)
            self.register_buffer("adjacency", torch.eye(16).double().to_sparse())

        def forward(self, x: Tensor) -> Tensor:
            return torch.sparse.mm(self.adjacency, torch.tanh(self.inner(x)))

    risk = hs.EmpiricalRisk(Graph(), nn.MSELoss(), (X, Y))
    plain = hs.EmpiricalRisk(nn.Sequential(mlp(3, 2), nn.Tanh()), nn.MSELoss(), (X, Y))
    assert hs.Hessian(risk.at(plain.theta)).dense().shape == hs.Hessian(plain).dense().shape


def test_another_architecture_is_noticed() -> None:
    model: Any = mlp(3, 4, 2)
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (X, Y))
    model.append(nn.Linear(2, 2).double())
    with pytest.raises(InputError, match="added, replaced or removed"):
        risk.gradient()


def test_refreshing_a_model_in_training_mode_is_refused() -> None:
    model = MODELS["batch norm"]().double().eval()
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (X, Y))
    model.train()
    with pytest.raises(InputError, match="training mode"):
        risk.refreshed()
