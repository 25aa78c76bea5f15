"""The linear model is exact for models linear in their parameters; else it says how wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import hessium as hs
from support.risk_cases import classes, draw, mlp, seeded, split


def test_a_linear_model_is_its_own_linearisation_and_minimiser() -> None:
    x, y = draw(4, 6), draw(4, 2, seed=3)
    model = seeded(nn.Linear(6, 2))
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), split(x, y, 3, 1))
    linear = hs.Linearization(risk)
    far = risk.theta + draw(risk.dim, seed=5)
    error = linear.error(far)
    assert error.relative < 1e-14
    assert error.loss == pytest.approx(error.linear_loss, rel=1e-13)
    assert linear.loss(far) == pytest.approx(risk.at(far).value(), rel=1e-13)
    best = linear.minimiser()
    # 4 samples, 7 parameters for each output: interpolation, by the shortest step
    assert risk.at(best).value() < 1e-25
    design = torch.cat([x, torch.ones(4, 1).double()], dim=1).numpy()
    weights = np.linalg.lstsq(design, (y - model(x)).detach().numpy(), rcond=None)[0]
    assert float((best - risk.theta).norm()) == pytest.approx(np.linalg.norm(weights), rel=1e-10)


def test_minimiser_with_more_data_than_parameters_is_least_squares() -> None:
    x, y = draw(30, 3), draw(30, 1, seed=3)
    risk = hs.EmpiricalRisk(seeded(nn.Linear(3, 1)), hs.SquaredError(0.5, reduction="mean"), (x, y))
    best = hs.Linearization(risk).minimiser()
    design = torch.cat([x, torch.ones(30, 1).double()], dim=1)
    expected = torch.linalg.lstsq(design, y).solution.flatten()
    torch.testing.assert_close(best, expected, rtol=1e-10, atol=1e-10)


def test_error_of_a_tanh_network_is_second_order_in_the_distance() -> None:
    risk = hs.EmpiricalRisk(mlp(3, 8, 2), nn.MSELoss(), split(draw(9, 3), draw(9, 2, seed=3), 5, 4))
    linear = hs.Linearization(risk)
    direction = draw(risk.dim, seed=4)
    errors = [linear.error(risk.theta + t * direction) for t in (1e-2, 1e-3)]
    assert errors[0].absolute / errors[1].absolute == pytest.approx(100, rel=0.1)
    assert errors[0].relative / errors[1].relative == pytest.approx(10, rel=0.1)
    path = linear.along(risk.theta + direction, steps=3)
    assert [e.distance for e in path] == pytest.approx(
        [0, errors[0].distance * 50, errors[0].distance * 100]
    )
    assert path[0].relative == path[0].absolute == 0


def test_its_hessian_is_gauss_newton_and_constant() -> None:
    x, y = draw(5, 3), draw(5, 2, seed=3)
    risk = hs.EmpiricalRisk(mlp(3, 4, 2), hs.SquaredError(), (x, y))
    linear = hs.Linearization(risk)
    H0 = linear.hessian().dense()
    step = draw(risk.dim, seed=6)
    at = [linear.loss(risk.theta + t * step) for t in (-1.0, 0.0, 1.0)]
    second = at[0] - 2 * at[1] + at[2]
    assert second == pytest.approx(float(step @ H0 @ step), rel=1e-10)


def test_minimiser_needs_a_squared_error() -> None:
    risk = hs.EmpiricalRisk(mlp(3, 4, 2), nn.CrossEntropyLoss(), (draw(5, 3), classes(5, high=2)))
    with pytest.raises(ValueError, match="squared errors only"):
        hs.Linearization(risk).minimiser()
    huber = hs.EmpiricalRisk(
        mlp(3, 4, 2), nn.HuberLoss(delta=0.1), (draw(5, 3), draw(5, 2, seed=3))
    )
    with pytest.raises(ValueError, match="not quadratic"):
        hs.Linearization(huber).minimiser()
    with pytest.raises(ValueError, match="steps: 1"):
        hs.Linearization(risk).along(risk.theta, steps=1)
