"""Newton's method at the end of a search: to rounding at a simple zero, not at a multiple one."""

from __future__ import annotations

import pytest
import torch

from hessium.landscape.certify import certify
from hessium.landscape.noise_floor import PROBES
from hessium.landscape.polish import polish
from hessium.landscape.trajectory import Stopping, Walk
from support.risk_cases import draw
from support.separable_surface import CUBIC, Separable

QUARTIC = (lambda x: x**4 / 4, lambda x: x**3, lambda x: 3 * x * x)
TILTED = (lambda x: x**4 / 4 + x, lambda x: x**3 + 1, lambda x: 3 * x * x)


def ended(surface: Separable, x: float, y: float = 1.0) -> Walk:
    """A search that ended where it began."""
    theta = surface.change.inverse() @ torch.tensor([x, y], dtype=torch.float64)
    walk = Walk(theta)
    walk.arrive(theta, surface.gradient(theta), Stopping())
    walk.ended = "steps"
    return walk


@pytest.mark.parametrize("x", [1 + 1e-1, 1 + 1e-3, 1 - 1e-6, -1 - 1e-2])
def test_a_simple_zero_is_reached(x: float) -> None:
    surface = Separable(CUBIC)
    place, _ = polish(surface, ended(surface, x, 1.1), draw(PROBES, 2))
    assert abs(abs(float(place.theta[0])) - 1) < 1e-15
    assert abs(float(place.theta[1]) - 1) < 1e-15


@pytest.mark.parametrize("x", [0.9, 1e-2])
def test_a_multiple_zero_gets_one_step(x: float) -> None:
    """A Newton step leaves 8/27 of the gradient of x^4, more than a quarter."""
    surface = Separable(QUARTIC)
    place, _ = polish(surface, ended(surface, x), draw(PROBES, 2))
    assert float(place.theta[0]) == pytest.approx(2 / 3 * x)


def test_it_ends_where_the_gradient_is_rounding() -> None:
    """Three evaluations for the rounding of the Hessian, one at each of two points."""
    surface = Separable(CUBIC)
    polish(surface, ended(surface, 1.0), draw(PROBES, 2))
    assert surface.cost.hessians == 5


@pytest.mark.parametrize(("curvature", "kind"), [(3.0, "unconverged"), (1e8, "unconverged")])
def test_a_long_newton_step_alone_is_not_gradient_flat(curvature: float, kind: str) -> None:
    """33 parameters long, in a direction whose curvature is small beside the other one only."""
    surface = Separable(TILTED, curvature=curvature)
    judged = certify(surface, ended(surface, 0.1), draw(PROBES, 2))
    assert 20 < judged.certificate.newton_step < 40
    assert (judged.certificate.flatness <= 1e-7) is (curvature > 1e6)
    assert judged.kind == kind


def test_a_gradient_in_the_kernel_is() -> None:
    surface = Separable(TILTED, curvature=3.0)
    judged = certify(surface, ended(surface, 1e-5), draw(PROBES, 2))
    assert judged.kind == "gradient-flat"
    assert judged.certificate.flatness <= 1e-7
