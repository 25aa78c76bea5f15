"""Coverage of 95 % intervals over noise draws on inverse problems, and what the checks say.

Run: python benchmarks/posterior_coverage.py [draws] [looks] [profiles] [problem ...] [--seed N]
[--noise SIGMA ...]. For each problem and noise it prints the coverage of every parameter and of
predictions (noise estimated, Student's t), then of the first `looks` draws the share in which
`trust_radius` warns and what it says that the intervals cover, and of the first `profiles` draws
the share in which `profile_likelihood` of a parameter warns. The noise grows from values at which
the quadratic model is good to values at which it is bad. The limits of `trust_radius` were chosen
on draws of the seeds 501 and 601; other seeds test them.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.errors import SelfCheckError

CONFIDENCE = 0.95
Counts = tuple[int, int, int]  # draws, those of trust_radius, those of profile_likelihood


class Inverse(nn.Module):
    """A vector of parameters and a map from parameters and sensors to measurements."""

    def __init__(self, solve: Callable[[Tensor, Tensor], Tensor], theta: Tensor) -> None:
        super().__init__()
        self.solve = solve
        self.theta = nn.Parameter(theta.clone())

    def forward(self, sensors: Tensor) -> Tensor:
        return self.solve(self.theta, sensors)


def poisson(theta: Tensor, sensors: Tensor) -> Tensor:
    """-(kappa u')' = 1 on (0, 1), u = 0 at the ends, log kappa a polynomial of degree two."""
    n = 32
    faces = (torch.arange(n + 1) + 0.5) / (n + 1)
    kappa = torch.exp(theta[0] + theta[1] * (faces - 0.5) + theta[2] * (faces - 0.5) ** 2)
    matrix = torch.diag(kappa[:-1] + kappa[1:])
    matrix = matrix - torch.diag(kappa[1:-1], 1) - torch.diag(kappa[1:-1], -1)
    u = torch.linalg.solve(matrix * (n + 1) ** 2, torch.ones(n, 1))[:, 0]
    return u[sensors[:, 0].long()][:, None]


def heat(theta: Tensor, sensors: Tensor) -> Tensor:
    """u_t = kappa u_xx + s(x) by implicit steps: unknown kappa, source strength, heat loss."""
    n, steps = 16, 12
    kappa, strength, loss = theta[0].exp(), theta[1], theta[2].exp()
    x = torch.arange(1, n + 1) / (n + 1)
    laplace = torch.diag(torch.full((n,), -2.0)) + torch.diag(torch.ones(n - 1), 1)
    laplace = (laplace + torch.diag(torch.ones(n - 1), -1)) * (n + 1) ** 2
    step = 0.04
    matrix = torch.eye(n) * (1 + step * loss) - step * kappa * laplace
    inverse = torch.linalg.inv(matrix)
    u = torch.sin(math.pi * x)
    source = step * strength * torch.exp(-20 * (x - 0.3) ** 2)
    history = []
    for _ in range(steps):
        u = inverse @ (u + source)
        history.append(u)
    return torch.stack(history)[sensors[:, 0].long(), sensors[:, 1].long()][:, None]


def logistic(theta: Tensor, sensors: Tensor) -> Tensor:
    """u' = r u (1 - u / K) by Runge-Kutta steps of a half: unknown r, K and the start."""
    rate, capacity, u = theta.unbind()
    h = 0.5

    def slope(v: Tensor) -> Tensor:
        return rate * v * (1 - v / capacity)

    history = []
    for _ in range(int(sensors.max()) + 1):
        k1 = slope(u)
        k2 = slope(u + h / 2 * k1)
        k3 = slope(u + h / 2 * k2)
        k4 = slope(u + h * k3)
        u = u + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        history.append(u)
    return torch.stack(history)[sensors[:, 0].long()][:, None]


def decay(theta: Tensor, sensors: Tensor) -> Tensor:
    """A regression on ten points: a exp(-b x) + c."""
    return theta[0] * torch.exp(-theta[1] * sensors) + theta[2]


@dataclass(frozen=True)
class Setting:
    solve: Callable[[Tensor, Tensor], Tensor]
    truth: tuple[float, ...]
    sensors: Tensor
    others: Tensor
    noises: tuple[float, ...]


def settings() -> dict[str, Setting]:
    times, places = torch.meshgrid(torch.arange(1, 12, 2), torch.tensor([3, 8, 12]), indexing="ij")
    on_grid = torch.stack([times.reshape(-1), places.reshape(-1)], dim=1).double()
    return {
        "poisson": Setting(
            poisson, (0.3, 1.0, -0.5), torch.arange(2, 32, 3).double()[:, None],
            torch.tensor([[6.0], [15.0], [26.0]]).double(), (3e-4, 1e-2, 4e-2),
        ),
        "heat": Setting(
            heat, (-2.3, 2.0, -1.0), on_grid, torch.tensor([[2.0, 5.0], [8.0, 10.0]]).double(),
            (3e-4, 0.02, 0.1),
        ),
        "logistic": Setting(
            logistic, (1.0, 2.0, 0.2), torch.arange(16).double()[:, None],
            torch.tensor([[3.0], [7.0], [15.0]]).double(), (0.02, 0.3),
        ),
        "decay": Setting(
            decay, (2.0, 1.5, 0.5), torch.linspace(0, 3, 10)[:, None].double(),
            torch.tensor([[0.5], [1.7], [2.9]]).double(), (0.02, 0.1, 0.5, 1.0),
        ),
    }  # fmt: skip


def fitted(setting: Setting, y: Tensor) -> Tensor:
    """Levenberg-Marquardt from the truth, for all draws at once, (draws, n) to (draws, P)."""

    def residual(at: Tensor, measured: Tensor) -> Tensor:
        return setting.solve(at, setting.sensors)[:, 0] - measured

    residuals, jacobians = torch.func.vmap(residual), torch.func.vmap(torch.func.jacrev(residual))
    theta = torch.tensor(setting.truth).repeat(len(y), 1)
    damping = torch.full((len(y),), 1e-6)
    value, open_ = residuals(theta, y).square().sum(dim=1), torch.arange(len(y))
    for _ in range(60):
        at, J = theta[open_], jacobians(theta[open_], y[open_])
        slope = (J.mT @ residuals(at, y[open_])[:, :, None])[:, :, 0]
        matrix = J.mT @ J
        shift = damping[open_, None] * (matrix.diagonal(dim1=1, dim2=2) + 1e-12)
        step = -torch.linalg.solve(matrix + torch.diag_embed(shift), slope)
        there = residuals(at + step, y[open_]).square().sum(dim=1)
        good = there <= value[open_]
        theta[open_[good]], value[open_[good]] = (at + step)[good], there[good]
        damping[open_] = torch.where(
            good, (damping[open_] / 10).clamp(min=1e-12), damping[open_].clamp(min=1e-6) * 10
        )
        small = (step.abs() / (at.abs() + 1e-8)).amax(dim=1) < 1e-9
        open_ = open_[~(good & small) & (damping[open_] <= 1e8)]
        if not len(open_):
            break
    return theta


def run(name: str, setting: Setting, noise: float, counts: Counts, seed: int) -> str:
    """One line."""
    truth = torch.tensor(setting.truth)
    clean = setting.solve(truth, setting.sensors)
    wanted = setting.solve(truth, setting.others).numpy()[:, 0]
    draws, looks, profiles = counts
    rng = np.random.default_rng(seed)
    hits, predicted, warned, said, profiled, refused = [], [], [], [], [], []
    started = time.process_time()
    measured = clean + noise * torch.from_numpy(rng.standard_normal((draws, *clean.shape)))
    for number, (y, theta) in enumerate(
        zip(measured, fitted(setting, measured[:, :, 0]), strict=True)
    ):
        model = Inverse(setting.solve, theta)
        risk = hs.EmpiricalRisk(model, hs.SquaredError(), (setting.sensors, y), check=False)
        try:
            post = hs.GaussNewtonPosterior(risk, check=number == 0)
        except (ValueError, ArithmeticError, SelfCheckError):
            refused.append(number)  # a fit so far away that rounding hides its derivatives
            continue
        factor = post.coverage_factor(CONFIDENCE)
        error = (model.theta.detach() - truth).abs().numpy()
        hits.append(error < factor * post.parameter_std())
        with torch.no_grad():
            there = model(setting.others).numpy()[:, 0]
        spread = post.prediction_std(setting.others)[:, 0]
        predicted.append(np.abs(there - wanted) < factor * spread)
        if number < looks:
            radius = post.trust_radius(k=0, random=0)
            warned.append(not radius.valid)
            said.append(radius.coverage)
        if number < profiles:
            found = [post.profile_likelihood("theta", index=i) for i in range(len(truth))]
            profiled.append(not all(one.valid for one in found))
    spent = (time.process_time() - started) / draws
    known = np.array([one for one in said if one.size == len(truth)])
    return (
        f"{name:9s} noise {noise:<7g} {len(hits)} draws, {len(refused)} refused: "
        f"parameters {_percent(np.mean(hits, 0))}, "
        f"predictions {_percent(np.mean(predicted, 0))}; trust_radius warns in "
        f"{_percent(_share(warned))} of {len(warned)}, and says "
        f"{_percent(np.nanmedian(known, axis=0)) if len(known) else 'nothing'} (median); profiles "
        f"warn in {_percent(_share(profiled))} of {len(profiled)}; {spent:.2f} s"
    )


def _share(answers: list[bool]) -> float:
    return sum(answers) / len(answers) if answers else math.nan


def _percent(shares: object) -> str:
    return f"{np.round(100 * np.asarray(shares, dtype=float), 1)} %"


def main(arguments: list[str]) -> None:
    torch.set_default_dtype(torch.float64)
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", help="draws, looks, profiles, and problems")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--noise", type=float, nargs="*")
    options = parser.parse_args(arguments)
    numbers = [int(one) for one in options.what if one.isdigit()]
    draws, looks, profiles = (*numbers, *(300, 100, 0)[len(numbers) :])
    chosen = [one for one in options.what if not one.isdigit()] or list(settings())
    for name in chosen:
        setting = settings()[name]
        for noise in options.noise or setting.noises:
            counts = (draws, looks, profiles)
            print(run(name, setting, noise, counts, options.seed), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
