"""Gradient descent reaches its threshold; a small step size does not; verdicts tell them apart."""

from __future__ import annotations

import pytest

from hessium.studies import edge_of_stability
from hessium.studies.edge_of_stability import EdgeConfig, Method


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
