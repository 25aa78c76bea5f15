"""The protocol of the ADCME tutorial: one training, and the spectra before and after it.

Kept apart from words and charts, so that a changed sentence recomputes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from hessium.runs.experiment import Result, Task
from hessium.studies.eigenvalue_counts import matrices
from hessium.studies.sine import inputs, sine_risk
from hessium.studies.training import train

SIZES = (*range(1, 11), *range(20, 91, 10))


@dataclass(frozen=True, slots=True, kw_only=True)
class RankConfig:
    """Settings of `rank-vs-samples`.

    Attributes:
        sizes: numbers of samples.
        seeds: of the initial weights.
        tol: eigenvalues count above this fraction of the largest.
        max_iterations: of L-BFGS-B.
    """

    sizes: tuple[int, ...] = SIZES
    seeds: tuple[int, ...] = (2, 23, 233, 2333, 23333)
    tol: float = 1e-6
    max_iterations: int = 15000


def tasks(config: RankConfig) -> list[Task]:
    """One training for each size and seed, the largest first so that workers end together."""
    return [
        {"samples": size, "seed": seed, "max_iterations": config.max_iterations}
        for size in reversed(config.sizes)
        for seed in config.seeds
    ]


def compute(task: Task) -> Result:
    """Spectra at initialisation and after training."""
    start = sine_risk(inputs(task["samples"]), task["seed"])
    trained = train(start, max_iterations=task["max_iterations"])
    spectra = {f"start_{k}": v for k, v in matrices(start).items()}
    spectra |= {f"end_{k}": v for k, v in matrices(trained.risk).items()}
    return {
        **spectra,
        "loss": trained.loss,
        "gradient_norm": trained.gradient_norm,
        "iterations": trained.iterations,
        "message": trained.message,
    }
