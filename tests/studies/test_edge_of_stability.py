"""Gradient descent reaches its threshold; a small step size does not; verdicts tell them apart."""

from __future__ import annotations

import pytest
import torch

import hessium as hs
from hessium.studies import edge_of_stability
from hessium.studies.edge_of_stability import EdgeConfig, Method
from hessium.studies.networks import tanh_network
from hessium.studies.real_data import split


@pytest.mark.slow
def test_gradient_descent_is_at_the_edge_and_its_control_is_not() -> None:
    method = Method(name="gradient descent", kind="SGD", lr=0.4, steps=900)
    config = EdgeConfig(methods=(method,))
    found = [edge_of_stability.compute(task) for task in edge_of_stability.tasks(config)]
    late = found[0]["value"][-6:] / 5.0  # 2 / lr
    assert abs(late - 1).max() < 0.1
    assert (found[1]["value"] / 50.0).max() < 0.2
    findings, _ = edge_of_stability.summarise(config, found)
    assert [s.verdict for s in findings.statements] == ["holds"] * 3
    swapped, _ = edge_of_stability.summarise(config, found[::-1])
    assert [s.verdict for s in swapped.statements] == ["does not hold"] * 3


def test_no_weight_of_the_control_of_rmsprop_can_reach_its_own_minimum() -> None:
    """Where one can, P falls to half of step size times curvature there, and the ratio is one."""
    config = EdgeConfig()
    (method,) = (one for one in config.methods if one.kind == "RMSprop")
    (x, labels), _ = split(config.images, 0)
    x, y = x - x.mean(dim=0), torch.nn.functional.one_hot(labels, 10).double()
    network = tanh_network((64, config.hidden, config.hidden, 10), 0)
    risk = hs.EmpiricalRisk(network, hs.SquaredError(scale=0.5, reduction="mean"), (x, y))
    gradient, curvature = risk.gradient(), hs.Hessian(risk).dense().diagonal()
    bent = (curvature > 1e-12) & (gradient != 0)
    distance = (gradient.abs() / curvature)[bent]
    reach = method.steps * method.lr / method.smaller
    assert int((distance < reach).sum()) == 0
    assert int((distance < 1000 * reach).sum()) > 0  # a step size 100 times too small is too large
