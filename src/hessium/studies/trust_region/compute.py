"""Eigenvalues and angles of steps along an optimiser on an inverse problem with a PDE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from hessium._typing import FloatArray
from hessium.curvature import Gram, Hessian
from hessium.problem import EmpiricalRisk, SquaredError
from hessium.runs.experiment import Result, Task
from hessium.studies.eigenvalue_counts import negative, positive
from hessium.studies.networks import tanh_network
from hessium.studies.training import value_and_gradient

METHODS = ("BFGS", "L-BFGS-B", "trust region")
KINDS = (
    "with the equation",
    "residual of the equation, noise",
    "without",
    "with the equation, noise",
)

_SOLVERS = {"BFGS": "BFGS", "L-BFGS-B": "L-BFGS-B", "trust region": "trust-exact"}
_CUT = 1e-6  # of the largest |eigenvalue|, as published
_SETTLED = 0.01  # of |theta|: Newton step along the least counted direction, if converged


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRegionConfig:
    """Settings of `trust-region`.

    Attributes:
        widths: of the tanh network for the conductivity.
        cells: unknowns of the Poisson problem, each of them measured.
        noise: uniform noise of a measurement, relative.
        seeds: of the initial weights.
        max_iterations: of BFGS and L-BFGS-B.
        newton_iterations: of the trust region, each of which costs a Hessian.
        looks: iterations, spread evenly in their logarithm, at which the Hessian is decomposed.
    """

    widths: tuple[int, ...] = (1, 20, 20, 20, 1)
    cells: int = 40
    noise: float = 0.1
    seeds: tuple[int, ...] = (2, 23, 233, 2333, 23333)
    max_iterations: int = 1000
    newton_iterations: int = 400
    looks: int = 24


class Residual(nn.Module):
    r"""$-(\kappa u')'$ of measured values of u, by the same differences.

    It is linear in the conductivity.

    Args:
        network: of the conductivity, which is its output plus 0.5.
        u: at the inner points and both ends, (cells + 2,).
    """

    u: Tensor

    def __init__(self, network: nn.Module, u: Tensor) -> None:
        super().__init__()
        self.network, self.cells = network, len(u) - 2
        self.register_buffer("u", u)

    def forward(self, points: Tensor) -> Tensor:
        """Residual plus load at inner points given by their numbers, (n, 1) to (n, 1)."""
        kappa = self.network(faces(self.cells))[:, 0] + 0.5
        flux = kappa * self.u.diff() * (self.cells + 1)
        return -(flux.diff() * (self.cells + 1))[points[:, 0].long()][:, None]


class Poisson(nn.Module):
    r"""$-(\kappa u')' = 10$ on (0, 1), u = 0 at the ends, by central differences.

    Args:
        network: of the conductivity, which is its output plus 0.5.
        cells: inner points.
    """

    def __init__(self, network: nn.Module, cells: int) -> None:
        super().__init__()
        self.network, self.cells = network, cells

    def forward(self, points: Tensor) -> Tensor:
        """Solution at inner points given by their numbers, (n, 1) to (n, 1)."""
        kappa = self.network(faces(self.cells))[:, 0] + 0.5
        return solution(kappa)[points[:, 0].long()][:, None]


def faces(cells: int) -> Tensor:
    """Places of the conductivity, (cells + 1, 1)."""
    return ((torch.arange(cells + 1, dtype=torch.float64) + 0.5) / (cells + 1))[:, None]


def solution(kappa: Tensor) -> Tensor:
    """Solution at the inner points for a conductivity at the faces, (cells + 1,) to (cells,).

    The tridiagonal system, eliminated: the flux at face j is that at the first less 10 j h, and
    the jumps of u, which are h times flux over conductivity, sum to zero.
    """
    h = 1 / len(kappa)
    loads = 10 * h * torch.arange(len(kappa), dtype=torch.float64)
    first = (loads / kappa).sum() / (1 / kappa).sum()
    return (h * (first - loads) / kappa).cumsum(0)[:-1]


def problem(
    kind: str, widths: tuple[int, ...], cells: int, noise: float, seed: int
) -> EmpiricalRisk:
    """A network for the conductivity, fitted in one of three ways.

    To values of the solution; to the equation with measured values of u in it; or to the
    conductivity itself.

    Args:
        kind: one of `KINDS`. The residual has noise in u and in the load.
        widths: of the network.
        cells: measurements.
        noise: relative, uniform; the same draw for all seeds.
        seed: of the initial weights.
    """
    x = faces(cells)
    kappa = 1 + 1 / (1 + x[:, 0] ** 2)
    network = tanh_network(widths, seed)
    rng = np.random.default_rng(0)

    def measured(clean: Tensor) -> Tensor:
        draws = torch.from_numpy(rng.uniform(-1, 1, len(clean)))
        return clean * (1 + noise * draws) if kind.endswith("noise") else clean

    points = torch.arange(cells, dtype=torch.float64)[:, None]
    if kind == KINDS[1]:
        ends = torch.zeros(1, dtype=torch.float64)
        u = torch.cat([ends, measured(solution(kappa)), ends])
        load = measured(torch.full((cells,), 10.0, dtype=torch.float64))
        return EmpiricalRisk(Residual(network, u), SquaredError(), (points, load[:, None]))
    if kind == KINDS[2]:
        return EmpiricalRisk(network, SquaredError(), (x, (kappa - 0.5)[:, None]))
    targets = measured(solution(kappa))[:, None]
    return EmpiricalRisk(Poisson(network, cells), SquaredError(), (points, targets))


def tasks(config: TrustRegionConfig) -> list[Task]:
    """One run for each kind, method and seed."""
    common = {
        "widths": list(config.widths), "cells": config.cells, "noise": config.noise,
        "max_iterations": config.max_iterations,
        "newton_iterations": config.newton_iterations, "looks": config.looks,
    }  # fmt: skip
    return [
        {"kind": kind, "method": method, "seed": seed, **common}
        for kind in KINDS
        for method in METHODS
        for seed in config.seeds
    ]


def compute(task: Task) -> Result:
    """Run one optimiser and decompose the Hessian at some of its iterations."""
    start = problem(task["kind"], tuple(task["widths"]), task["cells"], task["noise"], task["seed"])
    newton = task["method"] == "trust region"
    most = task["newton_iterations" if newton else "max_iterations"]
    way = _iterates(start, task["method"], most)
    last = len(way) - 1
    looks = np.unique(np.geomspace(1, last + 1, min(task["looks"], last + 1)).round().astype(int))
    rows = [_look(start, way, int(at)) for at in looks - 1]
    return {
        "iteration": looks - 1,
        "iterations": last,
        "parameters": start.dim,
        "converged": rows[-1]["remaining"] <= _SETTLED,
        **{name: np.array([row[name] for row in rows]) for name in rows[0]},
    }


def _iterates(start: EmpiricalRisk, method: str, most: int) -> list[FloatArray]:
    """The parameters after every iteration, the initial ones first."""
    way = [start.theta.numpy().copy()]

    def at(theta: FloatArray) -> EmpiricalRisk:
        return start.at(torch.from_numpy(np.array(theta)))

    def keep(theta: FloatArray) -> None:
        way.append(np.array(theta))

    newton = method == "trust region"
    options: Any = {"maxiter": most, "gtol": 1e-8 if newton else 1e-12}
    if method == "L-BFGS-B":
        options |= {"ftol": 1e-12, "maxfun": 100 * most}
    solve: Any = minimize  # the stubs have one overload for each solver
    solve(
        lambda theta: value_and_gradient(at(theta)),
        way[0],
        jac=True,
        hess=(lambda theta: _hessian(at(theta))) if newton else None,
        method=_SOLVERS[method],
        callback=keep,
        options=options,
    )
    # rejected steps of the trust region leave the parameters where they are
    moved = [i for i in range(1, len(way)) if not np.array_equal(way[i], way[i - 1])]
    return [way[0], *(way[i] for i in moved)]


def _hessian(risk: EmpiricalRisk) -> FloatArray:
    # all columns at once: for so few weights faster than `dense`, which looks for layers first
    columns = Hessian(risk, check=False) @ torch.eye(risk.dim, dtype=torch.float64)
    return np.asarray((columns + columns.mT).numpy() / 2)


def _look(start: EmpiricalRisk, way: list[FloatArray], at: int) -> dict[str, float]:
    """Counts, effective dimension, loss, and angles of the next step."""
    risk = start.at(torch.from_numpy(way[at]))
    values, vectors = np.linalg.eigh(_hessian(risk))
    loss, gradient = value_and_gradient(risk)
    gram = np.linalg.eigvalsh(Gram(risk).dense().numpy())
    gram = np.maximum(gram, 0.0)
    row = {
        "positive": float(positive(values, _CUT)),
        "negative": float(negative(values, _CUT)),
        "effective": float((gram / (gram + _CUT * gram.max())).sum()),
        "loss": loss,
        "gradient_norm": float(np.linalg.norm(gradient)),
        "remaining": float(
            np.linalg.norm(gradient) / (_CUT * np.abs(values).max() * np.linalg.norm(way[at]))
        ),
        "to_gradient": np.nan,
        "to_newton": np.nan,
    }
    if at + 1 < len(way):
        step = way[at + 1] - way[at]
        kept = np.abs(values) > _CUT * np.abs(values).max()
        newton = -vectors[:, kept] @ ((vectors[:, kept].T @ gradient) / values[kept])
        row["to_gradient"] = _cosine(step, -gradient)
        row["to_newton"] = _cosine(step, newton)
    return row


def _cosine(one: FloatArray, other: FloatArray) -> float:
    return float(one @ other) / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-300)
