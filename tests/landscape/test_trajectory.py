"""Whether a trajectory grows, rests or stalls, by its radii, steps and gradients."""

from __future__ import annotations

import pytest
import torch

from hessium.landscape.trajectory import Walk, interpolate


def walk_of(*radii: float, last: float) -> Walk:
    walk = Walk(torch.tensor([radii[-1]], dtype=torch.float64))
    walk.radii = list(radii)
    walk.last = torch.tensor([last], dtype=torch.float64)
    return walk


@pytest.mark.parametrize(
    ("radii", "last", "grows"),
    [
        ((1.0, 1.0, 1.0, 1.01), 0.01, False),  # one per cent
        ((1.0, 1.0, 1.0, 1.03), 0.03, True),
        ((1.0, 1.0, 1.0, 2.0), 1e-9, False),  # the last step was short
        ((1.0, 1.0, 1e-5, 2e-5), 1e-5, False),  # it went to zero
        ((1.0, 1.0, 1e-2, 2e-2), 1e-2, True),
    ],
)
def test_growth(radii: tuple[float, ...], last: float, grows: bool) -> None:
    assert walk_of(*radii, last=last).grows is grows


@pytest.mark.parametrize(("last", "rests"), [(1e-14, True), (1e-9, False)])
def test_rest(last: float, rests: bool) -> None:
    assert walk_of(1.0, 1.0, last=last).rests is rests
    assert not Walk(torch.ones(1).double()).rests


def test_a_slow_decrease_is_a_stall() -> None:
    walk = Walk(torch.zeros(1).double())
    walk.gradients = [0.99**k for k in range(100)]  # to 82 % in 20 steps
    assert walk.stalls(20)
    walk.gradients = [0.97**k for k in range(100)]  # to 54 %
    assert not walk.stalls(20)


def test_points_on_the_polygon_of_a_path() -> None:
    path = [torch.tensor([x], dtype=torch.float64) for x in (0.0, 1.0, 5.0, 6.0)]
    for at, expected in ((0.0, 0.0), (0.5, 0.5), (1.25, 2.0), (2.5, 5.5), (3.0, 6.0)):
        assert float(interpolate(path, at)) == pytest.approx(expected)
