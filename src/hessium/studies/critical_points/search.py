"""One search: data, network, start and method from a task; a point with its certificate.

Kept apart from words and charts, so that a changed sentence recomputes nothing.
"""

from __future__ import annotations

import math
import time

import numpy as np
import torch
from scipy.optimize import minimize

from hessium._typing import FloatArray
from hessium.landscape.certify import Judged, certify
from hessium.landscape.gradient_norm import GradientNorm
from hessium.landscape.levenberg_marquardt import LevenbergMarquardt
from hessium.landscape.newton_mr import NewtonMR
from hessium.landscape.noise_floor import PROBES
from hessium.landscape.saddle import Saddle
from hessium.landscape.starts import down_to_energy, down_to_index, index_at
from hessium.landscape.trajectory import Finder, Stopping, Walk
from hessium.landscape.two_layer import TwoLayerSurface
from hessium.runs.experiment import Result, Task

PLAIN = "gradient-norm"
PUBLISHED = "published test"
SADDLE = "saddle"
MINIMISE = "minimise"
ACCEPTED = 1e-3  # |g| at which the published protocol accepts: |g|^2 <= 1e-6


def tolerance(target: int) -> int:
    """Largest distance of an index from its target: a tenth of it, at least 3."""
    return max(3, target // 10)


def search(task: Task) -> Result:
    """Run a task; see `CriticalPointsConfig` for its settings."""
    start = time.process_time()
    rng = np.random.default_rng([task["seed"], task["size"], round(1e6 * task["ratio"])])
    surface = _surface(task, rng)
    if task["method"] == MINIMISE:
        return {**_minimisers(task, surface, rng), "cpu": time.process_time() - start}
    if task["method"] == SADDLE:
        judged, walk, restarts, steps = _targeted(task, surface, rng)
    else:
        judged, walk = _from_random_energy(task, surface, rng)
        restarts, steps = 0, walk.steps
    certificate = judged.certificate
    size = task["size"]
    return {
        "kind": judged.kind,
        "energy": surface.loss(judged.theta) / size,
        "index": judged.index.value,
        "index_lower": judged.index.lower,
        "index_upper": judged.index.upper,
        "threshold": _finite(certificate.threshold),
        "symmetry_zeros": certificate.symmetry_zeros,
        "radius": float(judged.theta.norm()),
        "gradient": _finite(judged.gradient),
        "relative_gradient": _finite(certificate.relative_gradient),
        "excess": _finite(certificate.excess),
        "flatness": _finite(certificate.flatness),
        "newton_step": _finite(certificate.newton_step),
        "moved": _finite(certificate.moved),
        "kantorovich": _finite(certificate.kantorovich),
        "growth": _finite(certificate.growth),
        "reason": certificate.reason,
        # where the finder itself stopped, as its own test would report it
        "ended": walk.ended,
        "ended_gradient": walk.gradients[-1],
        "ended_energy": surface.loss(walk.theta) / size,
        "ended_index": index_at(surface, walk.theta),
        "restarts": restarts,
        "steps": steps,
        "gradients": surface.cost.gradients,
        "hessians": surface.cost.hessians,
        "products": surface.cost.products,
        "cpu": time.process_time() - start,
        "spectrum": np.empty(0) if judged.spectrum is None else judged.spectrum.nodes,
        "theta": judged.theta.numpy(),
    }


def samples_of(size: int, ratio: float) -> int:
    """M of ratio = 2 n / m."""
    return round(2 * size / ratio)


def _surface(task: Task, rng: np.random.Generator) -> TwoLayerSurface:
    """Gaussian data, fresh in every task: memorisation."""
    size, samples = task["size"], samples_of(task["size"], task["ratio"])
    x, y = (torch.from_numpy(rng.standard_normal((samples, size))) for _ in range(2))
    return TwoLayerSurface(x, y, size, activation=task["activation"], ridge=task["ridge"])


def _weights(surface: TwoLayerSurface, rng: np.random.Generator) -> torch.Tensor:
    """N(0, 1/fan-in)."""
    draws = rng.standard_normal(surface.dim)
    return torch.from_numpy(draws / math.sqrt(surface.hidden))


def _probes(surface: TwoLayerSurface, rng: np.random.Generator) -> torch.Tensor:
    """Directions of the certificate's tests."""
    return torch.from_numpy(rng.standard_normal((PROBES, surface.dim)))


def _targeted(
    task: Task, surface: TwoLayerSurface, rng: np.random.Generator
) -> tuple[Judged, Walk, int, int]:
    """Fresh weights for each attempt, until a critical point has about the wanted index."""
    target, near = task["target"], tolerance(task["target"])
    steps, restarts, best = 0, -1, None
    for _ in range(task["restarts"] + 1):
        first = down_to_index(surface, _weights(surface, rng), target)
        walk = Saddle(target, near).find(surface, first, Stopping(steps=task["max_steps"]))
        judged = certify(surface, walk, _probes(surface, rng))
        steps, restarts = steps + walk.steps, restarts + 1
        critical = judged.kind == "critical"
        off = abs(judged.index.value - target)
        rank = (not critical, off if critical else judged.gradient)
        if best is None or rank < best[0]:
            best = (rank, judged, walk)
        if critical and off <= near:
            break
    assert best is not None
    return best[1], best[2], restarts, steps


def _from_random_energy(
    task: Task, surface: TwoLayerSurface, rng: np.random.Generator
) -> tuple[Judged, Walk]:
    """Plain descent to an energy that is uniform between zero and the start's, then the finder."""
    weights = _weights(surface, rng)
    level = float(rng.uniform()) * surface.value(weights)
    first = down_to_energy(surface, weights, level, steps=2000)
    finders: dict[str, Finder] = {
        PUBLISHED: LevenbergMarquardt(),
        PLAIN: GradientNorm(),
        "levenberg-marquardt": LevenbergMarquardt(),
        "newton-mr": NewtonMR(),
    }
    gradient = ACCEPTED if task["method"] in (PUBLISHED, PLAIN) else 1e-10
    walk = finders[task["method"]].find(
        surface, first, Stopping(gradient=gradient, steps=task["max_steps"])
    )
    return certify(surface, walk, _probes(surface, rng)), walk


def _minimisers(task: Task, surface: TwoLayerSurface, rng: np.random.Generator) -> Result:
    """Energies along one minimisation by L-BFGS, at the numbers of iterations asked for."""

    def function(x: FloatArray) -> tuple[float, FloatArray]:
        theta = torch.from_numpy(x)
        return surface.value(theta), surface.gradient(theta).numpy()

    x, done = _weights(surface, rng).numpy(), 0
    energies, radii, gradients = [], [], []
    for iterations in task["iterations"]:
        found = minimize(
            function,
            x,
            jac=True,
            method="L-BFGS-B",
            options={
                "maxiter": iterations - done,
                "maxfun": 10**7,
                "ftol": 0.0,
                "gtol": 0.0,
                "maxcor": 30,
            },
        )
        x, done = np.array(found.x), iterations
        theta = torch.from_numpy(x)
        energies.append(surface.loss(theta) / task["size"])
        radii.append(float(theta.norm()))
        gradients.append(float(surface.gradient(theta).norm()))
    return {
        "kind": "minimisation",
        "energy": energies[-1],
        "energies": np.array(energies),
        "radii": np.array(radii),
        "gradients": np.array(gradients),
    }


def _finite(value: float) -> float:
    """JSON knows no infinity."""
    return min(value, 1e300)
