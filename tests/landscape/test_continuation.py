"""Points followed while the ridge falls: to infinity, to a fold, to zero."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy.special import lambertw
from torch import Tensor, nn

import hessium as hs
from hessium.errors import ConvergenceWarning, InputError


class Point(nn.Module):
    def __init__(self, *coordinates: float) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(coordinates, dtype=torch.float64))


def on(closure: Callable[[Any], Tensor], *coordinates: float) -> hs.EmpiricalRisk:
    return hs.EmpiricalRisk.from_closure(Point(*coordinates), closure)


@pytest.mark.slow
def test_a_minimiser_at_infinity_is_followed_on_its_way() -> None:
    r"""$x e^x = 1/r$ exactly; at r = 0 it is gone."""
    risk = on(lambda m: torch.exp(-m.p[0]) + m.p[1] ** 2, 0.0, 1.0)
    path = hs.continue_ridge(risk, hs.find_critical_point(risk, ridge=0.1))
    *found, last = path
    assert len(found) > 20
    for point in found:
        assert point.kind == "critical"
        assert point.index == 0
        assert abs(float(point.theta[0]) - lambertw(1 / point.ridge).real) < 1e-9
    assert found[-1].ridge == pytest.approx(1e-13)
    assert last.ridge == 0
    assert last.kind != "critical"


@pytest.mark.slow
def test_a_finite_one_survives() -> None:
    risk = on(lambda m: (m.p[0] ** 2 - 1) ** 2 + m.p[0] * m.p[1] + m.p[1] ** 2, 0.8, 0.1)
    start = hs.find_critical_point(risk, ridge=0.1)
    path = hs.continue_ridge(risk, start, factor=0.1)
    assert path[0] is start
    assert path[-1].ridge == 0
    assert path[-2].ridge == pytest.approx(1e-13, rel=1e-6, abs=0)
    assert all(point.kind == "critical" and point.index == start.index for point in path)
    assert float(risk.at(path[-1].theta).gradient().norm()) < 1e-14
    (_, part) = hs.continue_ridge(risk, start, to=0.06)
    assert part.ridge == 0.06


@pytest.mark.parametrize("side", [-1.0, pytest.param(1.0, marks=pytest.mark.slow)])
def test_a_fold_ends_the_path(side: float) -> None:
    r"""$x^2 + \tfrac1{16} + r x = 0$ has no root below r = 1/2: a minimum meets a maximum."""
    risk = on(lambda m: m.p[0] ** 3 / 3 + m.p[0] / 16, -0.5 + side * 0.4)
    start = hs.find_critical_point(risk, ridge=0.6)
    assert start.index == (0 if side > 0 else 1)
    with pytest.warns(ConvergenceWarning, match=r"the path ends at ridge 0\.5.*\(a fold\)"):
        path = hs.continue_ridge(risk, start)
    critical = [point for point in path if point.kind == "critical"]
    assert 0.5 <= critical[-1].ridge < 0.51
    assert all(point.index == start.index for point in critical)
    assert all(point.ridge > 0.4 for point in path)


def test_bad_arguments() -> None:
    risk = on(lambda m: torch.exp(-m.p[0]) + m.p[1] ** 2, 0.0, 1.0)
    good = hs.find_critical_point(risk, ridge=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        lost = hs.find_critical_point(risk)
    with pytest.raises(InputError, match="point: diverging; a critical point is required"):
        hs.continue_ridge(risk, lost)
    with pytest.raises(InputError, match=r"to: 0\.2; a ridge below that of the point, 0\.1"):
        hs.continue_ridge(risk, good, to=0.2)
    with pytest.raises(InputError, match=r"factor: 1\.0; 0 < factor < 1"):
        hs.continue_ridge(risk, good, factor=1.0)
    other = on(lambda m: m.p[0] ** 2, 0.0)
    with pytest.raises(InputError, match="point: 2 parameters; the risk has 1"):
        hs.continue_ridge(other, good)


def test_a_point_of_another_risk_is_refused() -> None:
    risk = on(lambda m: (m.p[0] ** 2 - 1) ** 2 + m.p[1] ** 2, 0.8, 0.1)
    other = on(lambda m: (m.p[0] ** 2 - 2) ** 2 + m.p[1] ** 2, 0.8, 0.1)
    point = hs.find_critical_point(risk, ridge=0.1)
    with pytest.raises(InputError, match=r"point: its gradient is .* on this risk"):
        hs.continue_ridge(other, point)


def test_the_surface_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from hessium.landscape.find import surface_of as real

    made: list[float] = []

    def counted(risk: hs.EmpiricalRisk, ridge: float) -> Any:
        made.append(ridge)
        return real(risk, ridge)

    monkeypatch.setattr("hessium.landscape.continuation.surface_of", counted)
    risk = on(lambda m: (m.p[0] ** 2 - 1) ** 2 + m.p[1] ** 2, 0.8, 0.1)
    path = hs.continue_ridge(risk, hs.find_critical_point(risk, ridge=0.1), to=0.01)
    assert len(path) > 3
    assert len(made) == 1
    surface = real(risk, 0.0)
    theta = path[-1].theta
    steeper = surface.with_ridge(0.5)
    torch.testing.assert_close(steeper.gradient(theta), surface.gradient(theta) + 0.5 * theta)
    assert surface.ridge == 0.0
    assert (surface.cost.gradients, steeper.cost.gradients) == (1, 1)
