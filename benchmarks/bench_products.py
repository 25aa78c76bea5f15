"""Curvature products in units of a gradient, against the peers."""

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
from models import MODELS, gpt
from race import race

BLOCK = 8


def setting(name: str) -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    if name == "GPT, fused attention":
        return gpt(fused=True)
    return MODELS[name]()


def gradient(model: nn.Module, loss: Any, x: Tensor, y: Tensor) -> Callable[[], Tensor]:
    parameters = list(model.parameters())

    def run() -> Tensor:
        return torch.cat(
            [g.reshape(-1) for g in torch.autograd.grad(loss(model(x), y), parameters)]
        )

    return run


def ours(kind: Any, name: str, block: int) -> tuple[Any, Tensor]:
    """An operator made ready for a thousand products, and vectors."""
    model, loss, x, y = setting(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the route of fused attention
        risk = hs.EmpiricalRisk(model, loss, (x, y))
    operator = kind(risk).prepare(1000, block)
    torch.manual_seed(1)
    vectors = torch.randn(risk.dim, block)
    return operator, vectors / vectors.norm(dim=0)


def curvlinops(kind: Any, name: str) -> Any:
    model, loss, x, y = setting(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(model, loss, list(model.parameters()), [(x, y)], check_deterministic=False)


def eigenthings(kind: str, name: str) -> Any:
    model, loss, x, y = setting(name)
    if kind == "hessian":
        return HessianOperator(model, [(x, y)], supervised_loss(loss))
    return GGNOperator(model, [(x, y)], supervised_forward, supervised_loss_of_output(loss))


PEERS = {
    "Hessian": (hs.Hessian, HessianLinearOperator, "hessian"),
    "Gauss-Newton": (hs.GaussNewton, GGNLinearOperator, "ggn"),
}


@pytest.mark.parametrize("what", PEERS)
@pytest.mark.parametrize("name", MODELS)
def bench_one_product(benchmark: Any, name: str, what: str) -> None:
    """Where a peer is wrong, by how much stands beside its name."""
    kind, theirs, short = PEERS[what]
    operator, vectors = ours(kind, name, 1)
    vector = vectors[:, 0]
    expected = operator @ vector
    contestants: dict[str, Callable[[], Any]] = {
        "gradient": gradient(*setting(name)),
        "hessium": lambda: operator @ vector,
    }
    peers: dict[str, Any] = {"curvlinops": curvlinops(theirs, name)}
    peers["hessian-eigenthings"] = eigenthings(short, name)
    for peer, matrix in peers.items():
        multiply: Callable[[], Any] = functools.partial(
            getattr(matrix, "matvec", matrix.__matmul__), vector
        )
        error = float((multiply() - expected).norm() / expected.norm())
        contestants[peer if error < 1e-4 else f"{peer} (error {error:.1e})"] = multiply
    race(benchmark, f"{what} product, {name} [{operator.route}]", contestants, rounds=9)


@pytest.mark.parametrize("what", PEERS)
@pytest.mark.parametrize("name", MODELS)
def bench_block(benchmark: Any, name: str, what: str) -> None:
    """Eight vectors at once; ratios are for the whole block."""
    kind, theirs, _ = PEERS[what]
    operator, vectors = ours(kind, name, BLOCK)
    rival = curvlinops(theirs, name)
    contestants: dict[str, Callable[[], Any]] = {
        "gradient": gradient(*setting(name)),
        "hessium": lambda: operator @ vectors,
        "curvlinops": lambda: rival @ vectors,
    }
    title = f"{what}, block of {BLOCK}, {name} [{operator.route}]"
    race(benchmark, title, contestants, rounds=5)


def bench_fused_attention(benchmark: Any) -> None:
    """No peer multiplies where attention is torch's fused function; ours runs its MATH kernel."""
    operator, vectors = ours(hs.Hessian, "GPT, fused attention", 1)
    plain, _ = ours(hs.Hessian, "GPT", 1)
    vector = vectors[:, 0]
    difference = float((operator @ vector - plain @ vector).norm() / (plain @ vector).norm())
    assert difference < 1e-5
    attempts: list[Callable[[], Any]] = [
        lambda: curvlinops(HessianLinearOperator, "GPT, fused attention") @ vector,
        lambda: eigenthings("hessian", "GPT, fused attention").matvec(vector),
    ]
    for make in attempts:
        with pytest.raises((RuntimeError, NotImplementedError)):
            make()
    race(
        benchmark,
        "Hessian product, GPT with fused attention",
        {
            "gradient": gradient(*setting("GPT, fused attention")),
            "hessium": lambda: operator @ vector,
            "hessium on plain attention": lambda: plain @ vector,
        },
        rounds=9,
    )
