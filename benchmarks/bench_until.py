"""Gradients until an estimate is within one percent, ours and the peers.

The budget is doubled until the median error over five seeds (three of the largest budgets) is at
most one percent, or three doublings have not lowered it by a tenth. The reference
is dense, in float64. A network of 4,954 parameters after training, so that its spectrum has a bulk,
outliers and both signs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from curvlinops import HessianLinearOperator, hutchinson_trace, hutchpp_trace, xtrace
from hessian_eigenthings import lanczos, spectral_density, trace
from scipy.stats import wasserstein_distance
from torch import Tensor, nn

import hessium as hs
from bench_products import curvlinops, eigenthings, gradient
from models import MODELS
from race import clock, once, quick, row, seconds

SEEDS = 5
GOAL = 0.01
MOST = 2048  # products
MANY, FEWER = 512, 3  # from so many products on fewer seeds are enough
EXACT = ("hessium, Gram matrix",)  # the same for every seed
STALLED = 3  # doublings without a tenth of progress, after which a method is given up
SHIFT = 0.1  # of the largest eigenvalue, added before the logarithm of the determinant

Setting = tuple[nn.Module, nn.Module, Tensor, Tensor]
Method = Callable[[int, int], float]  # (products, seed) -> relative error


@cache
def setting() -> Setting:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 40), nn.Tanh(), nn.Linear(40, 6)
    )
    centres = torch.randn(6, 32)
    y = torch.randint(0, 6, (300,))
    x = centres[y] + 1.5 * torch.randn(300, 32)
    loss = nn.CrossEntropyLoss()
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(40):
        optimiser.zero_grad()
        loss(model(x), y).backward()
        optimiser.step()
    model.zero_grad()
    return model, loss, x, y


@cache
def reference() -> np.ndarray[Any, np.dtype[np.float64]]:
    """All eigenvalues."""
    model, loss, x, y = setting()
    risk = hs.EmpiricalRisk(model, loss, (x, y)).in_dtype(torch.float64)
    return np.asarray(torch.linalg.eigvalsh(hs.Hessian(risk).dense()))


def operator() -> hs.Hessian:
    model, loss, x, y = setting()
    return hs.Hessian(hs.EmpiricalRisk(model, loss, (x, y)))


def compete(title: str, methods: dict[str, Method]) -> None:
    """The cheapest budget of each method that reaches the goal, in gradients."""
    one = gradient(*setting())
    costs, words = {}, []
    for name, method in methods.items():
        budget, found = 8, list[float]()
        most = 16 if quick() else MOST
        while budget <= most:
            before = seconds(one)
            start = clock()
            seeds = 1 if name in EXACT else SEEDS if budget < MANY else FEWER
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pairs that have not converged
                errors = [method(budget, seed) for seed in range(seeds)]
            cost = (clock() - start) / seeds / (before * seconds(one)) ** 0.5
            found.append(float(np.median(errors)))
            if found[-1] <= GOAL:
                costs[name] = cost
                words.append(f"{name}: {budget} products, error {found[-1]:.1e}")
                break
            stalls = len(found) > STALLED and found[-1] > 0.9 * found[-1 - STALLED]
            if stalls or budget == most:
                words.append(f"{name}: error {found[-1]:.1e} after {budget} products")
                break
            budget *= 2
    row(title, costs, unit="gradient", details="; ".join(words))


def bench_trace_to_one_percent() -> None:
    exact = reference().sum()
    op = operator()
    rival = curvlinops(HessianLinearOperator, "until")
    other = eigenthings("hessian", "until")

    def peer(estimate: Callable[..., Any]) -> Method:
        def run(budget: int, seed: int) -> float:
            torch.manual_seed(seed)
            return abs(float(estimate(rival, budget)) / exact - 1)

        return run

    def eigen(budget: int, seed: int) -> float:
        found = trace(other, num_matvecs=budget, method="hutch++", seed=seed)
        return abs(float(found.estimate) / exact - 1)

    compete(
        "trace to 1 %, 4,954 parameters",
        {
            "hessium": lambda budget, seed: abs(
                hs.trace(op, matvecs=budget, rng=seed).value / exact - 1
            ),
            "curvlinops, Hutchinson": peer(hutchinson_trace),
            "curvlinops, Hutch++": peer(lambda op, n: hutchpp_trace(op, 3 * (n // 3))),
            "curvlinops, XTrace": peer(xtrace),
            "hessian-eigenthings, Hutch++": eigen,
        },
    )


def bench_eigenvalues_to_one_percent() -> None:
    """The ten largest in magnitude; the worst of them counts."""
    values = reference()
    exact = values[np.argsort(-np.abs(values))][:10]
    op = operator()
    other = eigenthings("hessian", "until")

    def ours(budget: int, seed: int) -> float:
        found = hs.eigenpairs(op, 10, tol=1e-12, max_products=max(budget, 21), rng=seed)
        return worst(found.values)

    def eigen(budget: int, seed: int) -> float:
        found = lanczos(other, k=10, max_iter=max(budget, 12), tol=1e-12, seed=seed)
        return worst(found.eigenvalues.numpy())

    def worst(values: Any) -> float:
        found = values[np.argsort(-np.abs(values))][:10]
        return float(np.abs(found / exact - 1).max())

    compete(
        "ten eigenvalues to 1 %, 4,954 parameters", {"hessium": ours, "hessian-eigenthings": eigen}
    )


def bench_density_to_one_percent() -> None:
    """Wasserstein distance over the distance of the extreme eigenvalues."""
    exact = reference()
    width = exact[-1] - exact[0]
    op = operator()
    other = eigenthings("hessian", "until")

    def ours(budget: int, seed: int) -> float:
        steps = min(budget // 2, 40)
        found = hs.spectral_measure(op, budget // steps, steps, rng=seed)
        return wasserstein_distance(found.nodes, exact, found.weights) / width

    def eigen(budget: int, seed: int) -> float:
        steps = min(budget // 2, 40)
        found = spectral_density(other, num_runs=budget // steps, lanczos_steps=steps, seed=seed)
        density = found.density.numpy().clip(min=0)
        return wasserstein_distance(found.grid.numpy(), exact, density) / width

    compete(
        "density to 1 % of its width, 4,954 parameters",
        {"hessium": ours, "hessian-eigenthings": eigen},
    )


def bench_logdet_to_one_percent() -> None:
    """log det(H0 + s I), s a tenth of the largest eigenvalue of H."""
    once()
    model, loss, x, y = setting()
    shift = SHIFT * reference()[-1]
    risk = hs.EmpiricalRisk(model, loss, (x, y)).in_dtype(torch.float64)
    values = np.asarray(torch.linalg.eigvalsh(hs.GaussNewton(risk).dense())).clip(min=0)
    exact = np.log1p(values / shift).sum()
    op = hs.GaussNewton(hs.EmpiricalRisk(model, loss, (x, y)))
    constant = op.shape[0] * np.log(shift)  # without it the relative error would depend on s

    def ours(budget: int, seed: int) -> float:
        steps = min(budget // 2, 20)
        found = hs.log_determinant(
            op, shift=shift, method="quadrature", probes=budget // steps, steps=steps, rng=seed
        )
        return abs((found.value - constant) / exact - 1)

    def deflated(budget: int, seed: int) -> float:
        found = hs.log_determinant(
            op, shift=shift, method="quadrature", deflate=10, probes=max(2, budget // 16), steps=16,
            rng=seed,
        )  # fmt: skip
        return abs((found.value - constant) / exact - 1)

    def dense(_budget: int, _seed: int) -> float:
        return abs((hs.log_determinant(op, shift=shift).value - constant) / exact - 1)

    compete(
        "log det(H0 + s I) to 1 %, 4,954 parameters",
        {
            "hessium, Gram matrix": dense,
            "hessium, quadrature": ours,
            "hessium, quadrature, ten deflated": deflated,
        },
    )


MODELS["until"] = setting
