"""Effective dimension of the Gauss-Newton matrix along a training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hessium as hs
from hessium.linalg import as_operator
from hessium.training import quantities

F64 = torch.float64


def case(**options: Any) -> tuple[nn.Module, hs.EmpiricalRisk, hs.Monitor]:
    torch.manual_seed(0)
    x = torch.randn(30, 3, dtype=F64)
    y = torch.sin(x @ torch.randn(3, 2, dtype=F64))
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    loss = nn.MSELoss()
    monitor = hs.Monitor(model, loss, (x, y), track=["effective_dimension"], **options)
    return model, hs.EmpiricalRisk(model, loss, (x, y)), monitor


def gamma(matrix: torch.Tensor, alpha: float) -> float:
    values = np.linalg.eigvalsh(matrix.numpy())
    return float((values / (values + alpha)).sum())


@pytest.mark.parametrize("alpha", [1e-4, 1e-2, 1.0])
def test_it_is_the_sum_over_the_dense_matrix(alpha: float) -> None:
    _, risk, monitor = case(prior_precision=alpha)
    record = monitor.measure()
    truth = gamma(hs.GaussNewton(risk).dense(), alpha)
    assert record.effective_dimension is not None
    assert record.effective_dimension.value == pytest.approx(truth, rel=1e-6)
    assert truth in record.effective_dimension
    assert record.effective_dimension.confidence is None
    assert record.num_matvecs == min(30 * 2, risk.dim)


def test_it_is_that_of_the_posterior() -> None:
    """With noise s and prior precision a, the mean loss has the penalty a s^2 times 2 / (N m)."""
    noise, prior = 0.3, 2.0
    _, risk, monitor = case(prior_precision=prior * noise**2 * 2 / (30 * 2))
    posterior = hs.GaussNewtonPosterior(risk, noise=noise, prior_precision=prior)
    record = monitor.measure()
    assert record.effective_dimension is not None
    assert record.effective_dimension.value == pytest.approx(
        posterior.effective_dimension.value, rel=1e-6
    )


@pytest.mark.slow
def test_intervals_of_the_quadrature_hold_as_often_as_stated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At confidence 0.8 in 60 draws: fewer than 39 hold with probability 0.3 %."""
    monkeypatch.setattr(quantities, "_MOST_BYTES", 1)
    _, risk, _ = case(prior_precision=1.0)
    matrix = hs.GaussNewton(risk).dense()
    operator: Any = as_operator(matrix)  # cheaper products
    truth, held, wrong = gamma(matrix, 1e-2), 0, 0
    for seed in range(60):
        found, spent = quantities.effective_dimension(
            operator, 1e-2, 4, np.random.default_rng(seed), 0.8
        )
        assert found.confidence == 0.8
        assert spent == 4 * 40
        held += truth in found
        wrong += 1.3 * truth in found
    assert held >= 39
    assert wrong < 39  # the control


def test_it_follows_the_live_model() -> None:
    model, risk, monitor = case(prior_precision=1e-3)
    monitor.measure()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3)
    found = monitor.measure().effective_dimension
    assert found is not None
    truth = gamma(hs.GaussNewton(risk.refreshed()).dense(), 1e-3)
    assert found.value == pytest.approx(truth, rel=1e-6)
    assert found.value < risk.dim
