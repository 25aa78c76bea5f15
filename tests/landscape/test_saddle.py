"""Steps of the search for an index: trusted ones only, and an end where nothing decreases."""

from __future__ import annotations

import math

import pytest
import torch

from hessium.landscape.saddle import Saddle
from hessium.landscape.trajectory import Stopping
from support.separable_surface import CUBIC, Separable

WAVY = (lambda x: x + math.sin(x) / 2, lambda x: 1 + math.cos(x) / 2, lambda x: -math.sin(x) / 2)


@pytest.mark.parametrize("x", [0.01, 0.1, 0.5])
def test_a_step_is_trusted(x: float) -> None:
    """The error of the linear model of the gradient, made a step, is less than half the step."""
    surface = Separable(CUBIC)
    theta = torch.tensor([x, 1.0], dtype=torch.float64)
    gradient = surface.gradient(theta)
    modes = Saddle._modes(surface, theta, gradient, coarse=False)
    there, _, _ = Saddle._step(surface, theta, gradient, modes, 0, 1e-6)
    step = float(there[0]) - x
    damped = (1 - x * x) / step  # curvature and damping
    # the linear model of x^2 - 1 is off by the square of the step
    assert step**2 / damped < 0.5 * step
    assert step > 0.1


def test_a_search_without_progress_ends() -> None:
    """The gradient is never below a half."""
    start = torch.tensor([0.3, 1.2], dtype=torch.float64)
    walk = Saddle(0).find(Separable(WAVY), start, Stopping(steps=1000))
    assert walk.ended == "stuck"
    assert walk.steps <= 300


@pytest.mark.parametrize(("index", "x"), [(0, 1.0), (1, -1.0)])
def test_the_index_chooses_the_point(index: int, x: float) -> None:
    start = torch.tensor([0.2, 1.5], dtype=torch.float64)
    walk = Saddle(index).find(Separable(CUBIC), start, Stopping())
    assert walk.ended == "gradient"
    assert float(walk.theta[0]) == pytest.approx(x)
