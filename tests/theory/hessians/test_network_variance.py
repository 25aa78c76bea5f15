"""The variance of H1 of sampled two-layer networks: energy x ratio, not twice the energy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import t as student
from torch import nn

import hessium as hs
from hessium.errors import InputError
from hessium.theory import critical_energy, index, relu_residual, wigner_energy, wishart_wigner

ENERGY = 0.4
CASES = ((5, 5), (6, 12), (6, 48), (4, 64))  # width and samples: ratios 2, 1, 1/4, 1/8
FALSE_ALARM = 1e-4
DRAWS = 16


def variance(n: int, samples: int, activation: str, seed: int) -> float:
    """tr H1^2 over the parameters, differentiated, of a network at its initialisation.

    Targets are the outputs less residuals N(0, 2 energy), independent of data and weights.
    """
    rng = np.random.default_rng([seed, n, samples])
    middle: nn.Module = nn.ReLU() if activation == "relu" else nn.Identity()
    model = nn.Sequential(nn.Linear(n, n, bias=False), middle, nn.Linear(n, n, bias=False)).double()
    for parameter in model.parameters():
        parameter.data = torch.from_numpy(rng.standard_normal((n, n)) / np.sqrt(n))
    x = torch.from_numpy(rng.standard_normal((samples, n)))
    residuals = np.sqrt(2 * ENERGY) * torch.from_numpy(rng.standard_normal((samples, n)))
    with torch.no_grad():
        y = model(x) - residuals
    risk = hs.EmpiricalRisk(model, hs.SquaredError(0.5, reduction="mean"), (x, y))
    matrix = hs.ResidualHessian(risk, check=False).dense()
    return float(matrix.square().sum()) / risk.dim


def score(n: int, samples: int, activation: str, expected: float) -> float:
    """The mean of the draws less what is expected, in standard errors."""
    found = np.array([variance(n, samples, activation, seed) for seed in range(DRAWS)])
    return float((found.mean() - expected) / (found.std(ddof=1) / np.sqrt(DRAWS)))


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_variance_of_sampled_networks(activation: Any) -> None:
    """A false alarm in one of 2,500 runs: Student, Bonferroni over four cases.

    Negative controls: twice the energy is denied wherever the ratio is not 2, and with the other
    activation's factor the variance is denied as well.
    """
    limit = float(student.ppf(1 - FALSE_ALARM / 2, DRAWS - 1))
    share = 0.5 if activation == "relu" else 1.0
    for n, samples in CASES:
        ratio = 2 * n / samples
        assert abs(score(n, samples, activation, share * ENERGY * ratio)) < limit
        if ratio < 1:
            assert abs(score(n, samples, activation, 2 * ENERGY)) > limit
            assert abs(score(n, samples, activation, (1.5 - share) * ENERGY * ratio)) > limit


def test_the_energy_at_which_the_wigner_model_has_it() -> None:
    for ratio in (0.1, 0.5, 2.0):
        energy = float(wigner_energy(ENERGY, ratio))
        residual = wishart_wigner(energy, ratio).var() - wishart_wigner(0.0, ratio).var()
        assert residual == pytest.approx(ENERGY * ratio)
        assert relu_residual(ENERGY, ratio).var() == pytest.approx(ENERGY * ratio / 2)


def test_critical_energies_are_two_over_the_ratio_times_as_large() -> None:
    for ratio in (0.1, 0.5, 0.9):
        critical = 2 / ratio * float(critical_energy(ratio))
        below, above = wigner_energy(np.array([0.999, 1.001]) * critical, ratio)
        assert float(index(below, ratio)) == 0
        assert float(index(above, ratio)) > 0


def test_bad_arguments() -> None:
    with pytest.raises(InputError, match="ratio"):
        wigner_energy(1.0, 0.0)
