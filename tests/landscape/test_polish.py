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


@pytest.mark.parametrize("x", [3.0, 1 + 1e-1, 1 + 1e-3, 1 - 1e-6, -1 - 1e-2])
def test_a_simple_zero_is_reached(x: float) -> None:
    surface = Separable(CUBIC)
    local, _ = polish(surface, ended(surface, x, 1.1), draw(PROBES, 2))
    assert abs(abs(float(local.theta[0])) - 1) < 1e-15
    assert abs(float(local.theta[1]) - 1) < 1e-15


@pytest.mark.parametrize("x", [0.9, 1e-2])
def test_a_multiple_zero_gets_five_steps(x: float) -> None:
    """A Newton step leaves two thirds of x and 8/27 of the gradient of x^4."""
    surface = Separable(QUARTIC)
    local, _ = polish(surface, ended(surface, x), draw(PROBES, 2))
    assert float(local.theta[0]) == pytest.approx((2 / 3) ** 5 * x)


def test_it_ends_where_the_gradient_is_rounding() -> None:
    """Three evaluations for the rounding of the Hessian, one at each of two points."""
    surface = Separable(CUBIC)
    polish(surface, ended(surface, 1.0), draw(PROBES, 2))
    assert surface.cost.hessians == 5


@pytest.mark.parametrize(("curvature", "x"), [(3.0, 0.05), (1e8, 0.1)])
def test_no_kernel_no_gradient_flat(curvature: float, x: float) -> None:
    """A Newton step of 133 parameters alone, or |Hg| of 3e-10 |H| |g| alone, is not enough."""
    surface = Separable(TILTED, curvature=curvature)
    judged = certify(surface, ended(surface, x), draw(PROBES, 2))
    assert (judged.certificate.newton_step > 100) is (x == 0.05)
    assert (judged.certificate.flatness <= 1e-7) is (x == 0.1)
    assert judged.kind == "unconverged"


def test_a_gradient_in_the_kernel_is() -> None:
    surface = Separable(TILTED, curvature=3.0)
    judged = certify(surface, ended(surface, 1e-5), draw(PROBES, 2))
    assert judged.kind == "gradient-flat"
    assert judged.certificate.flatness <= 1e-7
