"""How often measurements read the data: a loader may decode or augment at every pass."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.curvature.product_plan import RouteName
from support.counted_data import CountedData, counted_risk

FEW, MANY = 20, 200  # samples: outputs are fewer than the parameters, or more


def _quartic(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).pow(4).sum()


def _measured(f: Callable[[], Any], data: CountedData) -> int:
    before = data.passes
    f()
    return data.passes - before


@pytest.mark.sampled
@pytest.mark.parametrize("samples", [FEW, MANY])
@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), hs.SquaredError(), nn.HuberLoss()])
@pytest.mark.parametrize("route", ["auto", "streaming"])
def test_the_gauss_newton_part_takes_three_passes(
    samples: int, loss: Any, route: RouteName
) -> None:
    risk, data = counted_risk(samples, loss)
    measurements: list[Callable[[hs.GaussNewton], Any]] = [hs.inertia, hs.spectrum, hs.rank]
    for measure in measurements:
        operator = hs.GaussNewton(risk, route=route)
        assert _measured(functools.partial(measure, operator), data) <= 3


def test_a_loss_of_unknown_shape_is_tried_once() -> None:
    risk, data = counted_risk(FEW, _quartic, reduction="sum")
    operator = hs.GaussNewton(risk)
    assert _measured(lambda: hs.inertia(operator), data) == 4
    assert _measured(operator.companion, data) == 0


def test_what_is_known_of_a_loss_is_what_its_factor_says() -> None:
    weighted = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64))
    assert counted_risk(FEW, weighted)[0].survey.convex
    odd = nn.CrossEntropyLoss(weight=torch.tensor([1.0, -0.2, 0.5], dtype=torch.float64))
    risk, _ = counted_risk(FEW, odd)
    assert not risk.survey.convex
    assert hs.GaussNewton(risk).companion() is None
    # 1 + (5 - 1) y is negative for targets below -1/4
    fivefold = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(5.0, dtype=torch.float64))
    beyond = counted_risk(FEW, fivefold)[0]
    assert not beyond.survey.convex
    assert hs.GaussNewton(beyond).companion() is None


@pytest.mark.parametrize("samples", [FEW, MANY])
def test_products_beside_a_matrix_are_its_own(samples: int) -> None:
    risk, _ = counted_risk(samples, nn.CrossEntropyLoss())
    for operator in (hs.GaussNewton(risk), hs.Hessian(risk), hs.Gram(risk)):
        vectors = torch.randn(operator.shape[0], 3, dtype=torch.float64)
        matrix, products = operator.dense_beside(vectors)
        torch.testing.assert_close(matrix, operator.dense())
        torch.testing.assert_close(products, matrix @ vectors)
        torch.testing.assert_close(products, operator @ vectors)
