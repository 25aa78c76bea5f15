"""The Newton-Kantorovich theorem where both of its numbers are known, and where it must decline."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hessium.landscape.certify import Judged, certify
from hessium.landscape.kantorovich import Kantorovich, kantorovich
from hessium.landscape.levenberg_marquardt import LevenbergMarquardt
from hessium.landscape.noise_floor import PROBES, LocalModel
from hessium.landscape.trajectory import Stopping
from hessium.linalg.damped import eigensystem
from support.risk_cases import draw
from support.separable_surface import CUBIC, Separable

ROTATED = torch.tensor([[1.2, -0.5], [0.5, 1.2]], dtype=torch.float64)
SHEARED = torch.tensor([[3.0, 1.0], [-0.4, 1e3]], dtype=torch.float64)


def at(surface: Separable, x: float, floor: float = 1e-30) -> tuple[LocalModel, Tensor]:
    """The local (x, 1), with rounding errors that are given instead of measured; and theta."""
    theta = surface.change.inverse() @ torch.tensor([x, 1.0], dtype=torch.float64)
    values, vectors = eigensystem(surface.hessian(theta))
    local = LocalModel(
        theta=theta,
        gradient=surface.gradient(theta),
        values=values,
        vectors=vectors,
        floors=torch.full((2,), floor, dtype=torch.float64),
        cut=1e-14 * float(values.abs().max()),
    )
    return local, theta


def theorem_at(surface: Separable, x: float, floor: float = 1e-30) -> Kantorovich:
    return kantorovich(surface, at(surface, x, floor)[0], draw(2, 2))


@pytest.mark.parametrize("x", [0.5, 0.8, 0.9, 1.1, 1.3, 1.6, 3.0, -0.9, -2.0])
@pytest.mark.parametrize("change", [None, ROTATED, SHEARED])
def test_h_of_a_cubic(x: float, change: Tensor | None) -> None:
    """For g = x^2 - 1: h = |g| L / H^2 = |x^2 - 1| / (2 x^2), in any coordinates.

    The largest of a few probes may miss the direction of x, so the estimate may be below the truth;
    it finds 60 % of it here, and never more than all.
    """
    exact = abs(x * x - 1) / (2 * x * x)
    found = theorem_at(Separable(CUBIC, change=change), x)
    assert 0.6 * exact <= found.h <= 1.001 * exact
    if found.holds:
        zero = torch.tensor([math.copysign(1, x), 1.0], dtype=torch.float64)
        surface = Separable(CUBIC, change=change)
        there = surface.change.inverse() @ zero
        assert float((there - at(surface, x)[1]).norm()) <= found.distance


@pytest.mark.parametrize(("x", "holds"), [(0.75, False), (0.9, True), (1.3, True), (1.7, False)])
def test_a_quarter_is_the_largest(x: float, holds: bool) -> None:
    """x in [0.816, 1.414] is where h is at most 1/4."""
    assert theorem_at(Separable(CUBIC), x).holds is holds


@pytest.mark.parametrize("factor", [1e-40, 1e-6, 1e20])
def test_the_unit_of_the_loss_does_not_matter(factor: float) -> None:
    plain = theorem_at(Separable(CUBIC), 1.2)
    scaled = theorem_at(Separable(CUBIC, factor=factor), 1.2, 1e-30 * factor)
    assert scaled.h == pytest.approx(plain.h)
    assert scaled.distance == pytest.approx(plain.distance)


def test_rounding_counts_as_gradient() -> None:
    """h = (|g| + rounding) L / H^2, here with g = 0, both components rounded."""
    surface = Separable(CUBIC, curvature=1e8)
    assert theorem_at(surface, 1.0, 1e-3).h == pytest.approx(1e-3 / 2, rel=0.02)


def test_a_hessian_that_jumps_is_not_lipschitz() -> None:
    """f'' from 1 to 3 at the point: whatever the distance of the probes the theorem declines."""
    bent = (
        lambda x: x * x / 2 + (x > 0) * x * x,
        lambda x: x + 2 * (x > 0) * x,
        lambda x: 1.0 + 20.0 * (x > 0),
    )
    assert theorem_at(Separable(bent), 0.0, 1e-12).h > 1


TAILS = {
    "logarithm": (math.log, lambda x: 1 / x, lambda x: -1 / x**2),
    "exponential": (lambda x: math.exp(-x), lambda x: -math.exp(-x), lambda x: math.exp(-x)),
    "inverse": (lambda x: 1 / x, lambda x: -1 / x**2, lambda x: 2 / x**3),
    "inverse square": (lambda x: x**-2, lambda x: -2 * x**-3, lambda x: 6 * x**-4),
    "arc tangent": (math.atan, lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2),
}


@pytest.mark.parametrize("name", TAILS)
@pytest.mark.parametrize("x", [3.0, 30.0])
def test_a_zero_at_infinity_is_not_beside_the_point(name: str, x: float) -> None:
    """Curvature falls off within a Newton step, and less steeply beyond: h must not look small."""
    for seed in range(3):
        local, _ = at(Separable(TAILS[name], change=ROTATED), x)
        surface = Separable(TAILS[name], change=ROTATED)
        assert not kantorovich(surface, local, draw(2, 2, seed=seed)).holds


def test_no_curvature_no_theorem() -> None:
    local, _ = at(Separable(CUBIC), 1.0)
    flat = LocalModel(
        theta=local.theta,
        gradient=local.gradient,
        values=local.values,
        vectors=local.vectors,
        floors=local.floors,
        cut=1e3,
    )
    assert math.isinf(kantorovich(Separable(CUBIC), flat, draw(2, 2)).h)


def test_no_theorem_beside_a_border() -> None:
    border = (
        lambda x: x - math.sqrt(x) if x >= 0 else math.nan,
        lambda x: 1 - 0.5 / math.sqrt(x) if x > 0 else math.nan,
        lambda x: 0.25 * x**-1.5 if x > 0 else math.nan,
    )
    assert math.isinf(theorem_at(Separable(border), 0.02).h)
    assert theorem_at(Separable(border), 0.25, 1e-12).h < 1e-3


def fold(apart: float, seed: int) -> tuple[Judged, float]:
    """Search in (x - 1)^3 / 3 - apart (x - 1), multiplied out: zeros of g at 1 +- sqrt(apart)."""
    surface = Separable(
        (
            lambda x: x**3 / 3 - x * x + (1 - apart) * x,
            lambda x: x * x - 2 * x + (1 - apart),
            lambda x: 2 * x - 2,
        ),
        change=ROTATED,
    )
    start = ROTATED.inverse() @ torch.tensor([1.6, 0.3], dtype=torch.float64)
    walk = LevenbergMarquardt().find(surface, start, Stopping(gradient=1e-16, steps=200))
    judged = certify(surface, walk, draw(PROBES, 2, seed=seed))
    return judged, float((ROTATED @ judged.theta)[0]) - 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("apart", [1e-6, 1e-9, 1e-12, 1e-13])
def test_two_points_that_rounding_separates(apart: float, seed: int) -> None:
    judged, x = fold(apart, seed)
    assert judged.kind == "critical"
    assert judged.index.exact
    assert judged.index == (1 if x < 0 else 0)
    assert abs(abs(x) - math.sqrt(apart)) <= 0.1 * math.sqrt(apart)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("apart", [1e-15, 1e-16, 0.0, -1e-16, -1e-15, -1e-13, -1e-9])
def test_two_points_that_it_does_not(apart: float, seed: int) -> None:
    """One multiple zero, or none, or two: the gradient at hand does not tell."""
    assert fold(apart, seed)[0].kind == "unconverged"
