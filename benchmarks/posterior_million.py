"""Posterior of a million parameters: its cost in gradients of the whole data, and its memory.

Run: python benchmarks/posterior_million.py [float32|float64] [samples] [profile]. It prints the
processor time of the posterior, of the errors of 100 parameters and of 1,000 predictions over
that of one full-batch gradient of the same model in the same process, and the growth of the
peak of resident memory.
"""

from __future__ import annotations

import cProfile
import pstats
import resource
import sys
import time
from collections.abc import Callable

import torch
from torch import nn

import hessium as hs

NOISE, ALPHA = 0.3, 1.0


def peak() -> float:
    """Gigabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def spent(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def main(arguments: list[str]) -> None:
    dtype = getattr(torch, arguments[0]) if arguments else torch.float32
    samples = int(arguments[1]) if len(arguments) > 1 else 1000
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(10, 680), nn.Tanh(), nn.Linear(680, 680), nn.Tanh(), nn.Linear(680, 680),
        nn.Tanh(), nn.Linear(680, 100), nn.Tanh(), nn.Linear(100, 1),
    ).to(dtype)  # fmt: skip
    x, y, there = (torch.randn(samples, k, dtype=dtype) for k in (10, 1, 10))
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (x, y))

    def gradient() -> None:
        model.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()

    small = hs.EmpiricalRisk(nn.Linear(3, 1), nn.MSELoss(), (torch.randn(5, 3), torch.randn(5, 1)))
    hs.GaussNewtonPosterior(small, NOISE, ALPHA)  # pays for imports
    gradient()
    before = peak()
    profile = cProfile.Profile()
    if "profile" in arguments:
        profile.enable()
    units = [spent(gradient) for _ in range(5)]
    made: list[hs.GaussNewtonPosterior] = []
    costs = {
        "posterior": spent(lambda: made.append(hs.GaussNewtonPosterior(risk, NOISE, ALPHA))),
        "100 parameters": spent(lambda: made[0].parameter_std(["8.weight"])),
        f"{samples} predictions": spent(lambda: made[0].prediction_std(there)),
    }
    profile.disable()
    units += [spent(gradient) for _ in range(5)]
    unit = sorted(units)[len(units) // 2]
    words = ", ".join(f"{what} {cost / unit:.1f}" for what, cost in costs.items())
    print(
        f"{risk.dim} parameters, {samples} measurements, {dtype}, {made[0].method}; in gradients "
        f"of {1e3 * unit:.0f} ms: {words}; together {sum(costs.values()) / unit:.1f}; "
        f"memory {peak() - before:.2f} GiB"
    )
    if "profile" in arguments:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(45)


if __name__ == "__main__":
    main(sys.argv[1:])
