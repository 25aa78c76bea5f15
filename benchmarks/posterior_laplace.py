"""The full posterior beside laplace-torch: equal numbers, and the time of each.

Run: python benchmarks/posterior_laplace.py [width] [samples]. It needs laplace-torch, which hessium
does not. Both compute in float64 the errors of all parameters and of as many predictions.
"""

from __future__ import annotations

import importlib
import sys
import time

import numpy as np
import torch
from torch import nn

import hessium as hs

NOISE, ALPHA = 0.3, 1.0


def main(arguments: list[str]) -> None:
    width = int(arguments[0]) if arguments else 50
    samples = int(arguments[1]) if len(arguments) > 1 else 200
    laplace = importlib.import_module("laplace")
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(5, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
    )
    x, y, there = torch.randn(samples, 5), torch.randn(samples, 1), torch.randn(samples, 5)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=samples)
    start = time.perf_counter()
    post = hs.GaussNewtonPosterior(hs.EmpiricalRisk(model, nn.MSELoss(), (x, y)), NOISE, ALPHA)
    mine, predicted = post.parameter_std(), post.prediction_std(there)
    middle = time.perf_counter()
    other = laplace.Laplace(
        model, "regression", subset_of_weights="all", hessian_structure="full",
        prior_precision=ALPHA, sigma_noise=NOISE,
    )  # fmt: skip
    other.fit(loader)
    covariance = other.posterior_covariance
    theirs = covariance.diagonal().sqrt().detach().numpy()
    _, variance = other._glm_predictive_distribution(there)
    end = time.perf_counter()
    spread = variance.detach().sqrt().reshape(-1).numpy()
    print(f"{post.risk.dim} parameters, {samples} measurements")
    print(f"hessium {middle - start:.2f} s, laplace-torch {end - middle:.2f} s")
    print(f"ratio {(end - middle) / (middle - start):.1f}")
    print("largest relative differences:", np.abs(mine / theirs - 1).max(),
          np.abs(predicted[:, 0] / spread - 1).max())  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
