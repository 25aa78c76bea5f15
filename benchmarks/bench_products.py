"""Curvature products as a user calls them, in gradients, against the peers."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from curvlinops import GGNLinearOperator, HessianLinearOperator
from hessian_eigenthings import (
    GGNOperator,
    HessianOperator,
    supervised_forward,
    supervised_loss,
    supervised_loss_of_output,
)
from torch import Tensor, nn

import hessium as hs
from models import MODELS
from race import quick, race

BLOCK = 8
COMPILED = ("MLP", "GPT")  # a compilation takes up to two minutes, and fails for conv


def gradient(model: nn.Module, loss: Any, x: Tensor, y: Tensor) -> Callable[[], Tensor]:
    parameters = list(model.parameters())

    def run() -> Tensor:
        return torch.cat(
            [g.reshape(-1) for g in torch.autograd.grad(loss(model(x), y), parameters)]
        )

    return run


def ours(kind: Any, name: str, block: int) -> tuple[Any, Tensor]:
    """An operator as it is made, and vectors."""
    model, loss, x, y = MODELS[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the route of fused attention
        risk = hs.EmpiricalRisk(model, loss, (x, y))
    torch.manual_seed(1)
    vectors = torch.randn(risk.dim, block)
    return kind(risk), vectors / vectors.norm(dim=0)


def curvlinops(kind: Any, name: str) -> Any:
    model, loss, x, y = MODELS[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(model, loss, list(model.parameters()), [(x, y)], check_deterministic=False)


def eigenthings(kind: str, name: str) -> Any:
    model, loss, x, y = MODELS[name]()
    if kind == "hessian":
        return HessianOperator(model, [(x, y)], supervised_loss(loss))
    return GGNOperator(model, [(x, y)], supervised_forward, supervised_loss_of_output(loss))


def compiled_product(name: str, vector: Tensor) -> Callable[[], Tensor]:
    """Forward over reverse of torch.func under torch.compile."""
    model, loss, x, y = MODELS[name]()
    names = [key for key, _ in model.named_parameters()]
    parameters = {key: value.detach() for key, value in model.named_parameters()}
    parts = vector.split([value.numel() for value in parameters.values()])
    tangents = {key: part.view_as(parameters[key]) for key, part in zip(names, parts, strict=True)}

    def value(values: dict[str, Tensor]) -> Tensor:
        return loss(torch.func.functional_call(model, values, (x,)), y)

    def product(values: dict[str, Tensor], along: dict[str, Tensor]) -> Tensor:
        found: Any = torch.func.jvp(torch.func.grad(value), (values,), (along,))[1]
        return torch.cat([found[key].reshape(-1) for key in names])

    fast = torch.compile(product)
    return lambda: fast(parameters, tangents)


PEERS = {
    "Hessian": (hs.Hessian, HessianLinearOperator, "hessian"),
    "Gauss-Newton": (hs.GaussNewton, GGNLinearOperator, "ggn"),
}


@pytest.mark.parametrize("what", PEERS)
@pytest.mark.parametrize("name", MODELS)
def bench_one_product(name: str, what: str) -> None:
    """A peer that is wrong has the relative error beside its name; one that fails is left out."""
    kind, theirs, short = PEERS[what]
    operator, vectors = ours(kind, name, 1)
    vector = vectors[:, 0]
    expected = operator @ vector
    contestants: dict[str, Callable[[], Any]] = {
        "gradient": gradient(*MODELS[name]()),
        "hessium": lambda: operator @ vector,
    }
    peers: dict[str, Callable[[], Callable[[], Any]]] = {
        "curvlinops": lambda: functools.partial(curvlinops(theirs, name).__matmul__, vector),
        "hessian-eigenthings": lambda: functools.partial(eigenthings(short, name).matvec, vector),
    }
    if what == "Hessian" and name in COMPILED and not quick():
        peers["torch.func, compiled"] = lambda: compiled_product(name, vector)
    failed = []
    for peer, make in peers.items():
        try:
            multiply = make()
            error = float((multiply() - expected).norm() / expected.norm())
        except (RuntimeError, NotImplementedError) as reason:
            failed.append(f"{peer} fails: {str(reason).splitlines()[0][:60]}")
            continue
        contestants[peer if error < 1e-4 else f"{peer} (error {error:.1e})"] = multiply
    details = "; ".join([operator.route, *failed])
    race(f"{what} product, {name}", contestants, unit="gradient", rounds=9, details=details)


@pytest.mark.parametrize("what", PEERS)
@pytest.mark.parametrize("name", MODELS)
def bench_block(name: str, what: str) -> None:
    """Eight vectors at once, for each vector."""
    kind, theirs, _ = PEERS[what]
    operator, vectors = ours(kind, name, BLOCK)
    one = gradient(*MODELS[name]())

    def gradients() -> None:
        for _ in range(BLOCK):
            one()

    contestants: dict[str, Callable[[], Any]] = {
        "gradient": gradients,
        "hessium": lambda: operator @ vectors,
    }
    rival = curvlinops(theirs, name)
    try:
        rival @ vectors
        contestants["curvlinops"] = lambda: rival @ vectors
    except (RuntimeError, NotImplementedError):
        pass
    title = f"{what}, block of {BLOCK}, a vector, {name}"
    race(title, contestants, unit="gradient", rounds=3, details=operator.route)


@pytest.mark.parametrize("name", MODELS)
def bench_making(name: str) -> None:
    """Risk, operator and first product: of a new architecture, and once more."""
    model, loss, x, y = MODELS[name]()
    vector = torch.randn(sum(p.numel() for p in model.parameters()))

    def made() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hs.Hessian(hs.EmpiricalRisk(model, loss, (x, y))) @ vector

    contestants = {
        "gradient": gradient(model, loss, x, y),
        "hessium, the next risk and one product": made,
    }
    race(f"making an operator, {name}", contestants, unit="gradient", rounds=3)
