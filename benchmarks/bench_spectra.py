"""Whole tasks in units of a gradient: ten eigenvalues, a spectral measure, a trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from curvlinops import HessianLinearOperator
from hessian_eigenthings import lanczos, spectral_density, trace
from torch import Tensor, nn

import hessium as hs
from bench_products import curvlinops, eigenthings, gradient
from models import MODELS, gpt, mlp
from race import large, tasks


def trained(name: str) -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    """Fifteen Adam steps: a spectrum with outliers and both signs."""
    model, loss, x, y = mlp() if name == "MLP" else gpt()
    if name == "MLP":  # clusters, a fifth of the labels random
        torch.manual_seed(1)
        centres = torch.randn(10, 784)
        x = centres[y] + torch.randn(512, 784)
        y = torch.where(torch.rand(512) < 0.2, torch.randint(0, 10, (512,)), y)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(15):
        optimiser.zero_grad()
        loss(model(x), y).backward()
        optimiser.step()
    model.zero_grad()
    return model, loss, x, y


def patched(
    setting: tuple[nn.Module, nn.Module, Tensor, Tensor], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let the makers of `bench_products` see this setting."""
    monkeypatch.setitem(MODELS, name, lambda: setting)


@pytest.mark.parametrize("name", ["MLP", "GPT"])
def bench_ten_eigenvalues(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Largest in magnitude, to a relative residual of 1e-3; everything from model and data on."""
    if name == "GPT":
        large()
    model, loss, x, y = trained(name)
    patched((model, loss, x, y), name, monkeypatch)
    reference = hs.eigenpairs(
        hs.Hessian(hs.EmpiricalRisk(model.double(), loss, (_double(x), y))), 10, tol=1e-5
    ).values
    model.float()

    def judged(values: Any, products: int) -> str:
        error = np.abs(np.asarray(values)[:10] / reference[: len(values)] - 1).max()
        return f"{products} products, error {error:.0e}"

    def ours() -> str:
        found = hs.eigenpairs(hs.Hessian(hs.EmpiricalRisk(model, loss, (x, y))), 10, tol=1e-3)
        return judged(found.values, found.num_matvecs)

    def bare() -> str:
        risk = hs.EmpiricalRisk(model, loss, (x, y), check=False)
        found = hs.eigenpairs(hs.Hessian(risk, check=False), 10, tol=1e-3)
        return judged(found.values, found.num_matvecs)

    def arpack() -> str:
        operator = curvlinops(HessianLinearOperator, name)
        counted = {"n": 0}
        inner = operator.to_scipy()

        def multiply(v: Any) -> Any:
            counted["n"] += 1
            return inner @ v

        wrapped = scipy.sparse.linalg.LinearOperator(inner.shape, matvec=multiply, dtype=np.float32)
        values = scipy.sparse.linalg.eigsh(
            wrapped, k=10, which="LM", tol=1e-3, return_eigenvectors=False
        )
        return judged(values[np.argsort(-np.abs(values))], counted["n"])

    def rival(**options: Any) -> Callable[[], str]:
        def run() -> str:
            found = lanczos(eigenthings("hessian", name), k=10, tol=1e-3, seed=0, **options)
            values = found.eigenvalues.numpy()
            return judged(values[np.argsort(-np.abs(values))], options.get("max_iter", 20))

        return run

    tasks(
        f"ten eigenvalues to 1e-3, {name}",
        {
            "hessium with all its checks": ours,
            "hessium, checks off": bare,
            "curvlinops + ARPACK": arpack,
            "hessian-eigenthings": rival(),
            "hessian-eigenthings, 50 steps": rival(max_iter=50),
        },
        gradient(model, loss, x, y),
    )


def _double(x: Tensor) -> Tensor:
    return x.double() if x.is_floating_point() else x


@pytest.mark.parametrize("name", ["MLP", "GPT"])
def bench_spectral_measure(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten probes, eighty steps, one pass of reorthogonalisation."""
    if name == "GPT":
        large()
    model, loss, x, y = trained(name)
    patched((model, loss, x, y), name, monkeypatch)
    cut = 1e-3

    def ours() -> str:
        found = hs.spectral_measure(hs.Hessian(hs.EmpiricalRisk(model, loss, (x, y))), 10, 80)
        below = found.cdf(-cut * np.abs(found.nodes).max())
        return f"mass below -1e-3 of the largest {float(below):.3f}"

    def rival() -> str:
        found = spectral_density(eigenthings("hessian", name), num_runs=2, lanczos_steps=80, seed=0)
        return f"{type(found).__name__}"

    tasks(
        f"spectral measure 10 x 80, {name}",
        {"hessium": ours, "hessian-eigenthings": rival},
        gradient(model, loss, x, y),
        parts={"hessian-eigenthings": 0.2},
    )


@pytest.mark.parametrize("name", ["MLP", "GPT"])
def bench_trace(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred products."""
    if name == "GPT":
        large()
    model, loss, x, y = trained(name)
    patched((model, loss, x, y), name, monkeypatch)

    def ours() -> str:
        found = hs.trace(hs.Hessian(hs.EmpiricalRisk(model, loss, (x, y))), matvecs=100)
        return f"{found.value:.4g} +- {found.stderr:.1g}"

    def rival() -> str:
        found = trace(eigenthings("hessian", name), num_matvecs=20, method="hutchinson", seed=0)
        return f"{float(found.estimate):.4g}"

    tasks(
        f"trace, 100 products, {name}",
        {"hessium": ours, "hessian-eigenthings": rival},
        gradient(model, loss, x, y),
        parts={"hessian-eigenthings": 0.2},
    )


def bench_default_tolerance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten eigenvalues as `eigenpairs(H, 10)` finds them, where labels are random."""
    large()
    setting = mlp()
    patched(setting, "MLP", monkeypatch)

    def ours() -> str:
        model, loss, x, y = setting
        found = hs.eigenpairs(hs.Hessian(hs.EmpiricalRisk(model, loss, (x, y))), 10)
        return f"{found.num_matvecs} products"

    tasks(
        "ten eigenvalues at the default tolerance, MLP with random labels",
        {"hessium": ours},
        gradient(*setting),
    )
