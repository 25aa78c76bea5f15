"""The full posterior beside laplace-torch: equal numbers, and the processor time of each.

Run: python benchmarks/posterior_laplace.py [width] [samples]. It needs laplace-torch, which hessium
does not. Both compute in float64 the errors of all parameters and of as many predictions, after a
first run on a small network that pays for imports.
"""

from __future__ import annotations

import importlib
import sys
import time

import numpy as np
import torch
from torch import nn

import hessium as hs
from hessium._typing import FloatArray

NOISE, ALPHA = 0.3, 1.0


def compared(width: int, samples: int) -> tuple[int, float, float, float]:
    """Parameters, seconds of each, and the largest relative difference."""
    laplace = importlib.import_module("laplace")
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(5, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
    )
    x, y, there = torch.randn(samples, 5), torch.randn(samples, 1), torch.randn(samples, 5)
    start = time.process_time()
    post = hs.GaussNewtonPosterior(hs.EmpiricalRisk(model, nn.MSELoss(), (x, y)), NOISE, ALPHA)
    mine = np.r_[post.parameter_std(), post.prediction_std(there)[:, 0]]
    middle = time.process_time()
    other = laplace.Laplace(
        model, "regression", subset_of_weights="all", hessian_structure="full",
        prior_precision=ALPHA, sigma_noise=NOISE,
    )  # fmt: skip
    pairs = torch.utils.data.TensorDataset(x, y)
    other.fit(torch.utils.data.DataLoader(pairs, batch_size=samples))
    std = other.posterior_covariance.diagonal().sqrt().detach().numpy()
    variance = other._glm_predictive_distribution(there)[1]
    theirs: FloatArray = np.r_[std, variance.detach().sqrt().reshape(-1).numpy()]
    end = time.process_time()
    return post.risk.dim, middle - start, end - middle, float(np.abs(mine / theirs - 1).max())


def main(arguments: list[str]) -> None:
    width = int(arguments[0]) if arguments else 50
    samples = int(arguments[1]) if len(arguments) > 1 else 200
    torch.set_default_dtype(torch.float64)
    compared(4, 10)
    dim, mine, theirs, difference = compared(width, samples)
    print(f"{dim} parameters, {samples} measurements: largest relative difference {difference:.1e}")
    print(f"hessium {mine:.2f} s, laplace-torch {theirs:.2f} s: ratio {theirs / mine:.1f}")


if __name__ == "__main__":
    main(sys.argv[1:])
