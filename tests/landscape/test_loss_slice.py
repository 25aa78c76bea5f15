"""Slices against values, Taylor polynomials with known coefficients, and dense Hessians."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor, nn

import hessium as hs
from hessium.errors import InputError
from hessium.landscape import filter_normalised, trajectory_directions
from hessium.landscape.slices.radius import plane_of, predicted_radius
from hessium.problem.many_points import ManyPoints
from support.risk_cases import draw


class Polynomial(nn.Module):
    def __init__(self, cubic: float, quartic: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3, dtype=torch.float64))
        self.cubic, self.quartic = cubic, quartic


def polynomial(cubic: float, quartic: float) -> hs.EmpiricalRisk:
    """w^T diag(2, 2, 1) w / 2 + c w_0^3 / 6 + d w_0^4 / 24."""

    def closure(model: nn.Module) -> Tensor:
        w: Tensor = model.w  # type: ignore[assignment]
        scale = torch.tensor([2.0, 2.0, 1.0], dtype=torch.float64)
        return (scale * w * w).sum() / 2 + model.cubic * w[0] ** 3 / 6 + model.quartic * w[0] ** 4 / 24  # type: ignore[operator]  # fmt: skip  # noqa: E501

    return hs.EmpiricalRisk.from_closure(Polynomial(cubic, quartic), closure)


def network(steps: int = 0) -> hs.EmpiricalRisk:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x, y = draw(40, 4), torch.arange(40) % 3
    loss = nn.CrossEntropyLoss()
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=max(steps, 1))

    def closure() -> Tensor:
        optimiser.zero_grad()
        value: Tensor = loss(model(x), y)
        value.backward()
        return value

    if steps:
        optimiser.step(closure)
    return hs.EmpiricalRisk(model, loss, [(x[:10], y[:10]), (x[10:25], y[10:25]), (x[25:], y[25:])])


def exact_radius(cubic: float, quartic: float, within: float) -> float:
    """Smallest r with |c r^3 / 6 + d r^4 / 24| = within r^2 on either side, by root finding."""
    r = np.linspace(1e-3, 50, 20001)
    found = []
    for sign in (1, -1):
        error = [
            abs(sign * cubic * t**3 / 6 + quartic * t**4 / 24) - within * 2 * t**2 / 2 for t in r
        ]
        first = int(np.argmax(np.array(error) > 0))
        if error[first] > 0:
            found.append(
                brentq(
                    lambda t, s=sign: (
                        abs(s * cubic * t**3 / 6 + quartic * t**4 / 24) - within * t**2
                    ),
                    r[first - 1], r[first],
                )
            )  # fmt: skip
    return min(found)


@pytest.mark.parametrize(("cubic", "quartic"), [(0.7, 0.3), (0.0, 1.0), (3.0, 0.0), (0.01, -5.0)])
@pytest.mark.parametrize("columns", [1, 2])
def test_the_radius_of_a_quartic_is_right_to_two_percent(
    cubic: float, quartic: float, columns: int
) -> None:
    directions = torch.eye(3, dtype=torch.float64)[:, :columns]
    found = hs.loss_slice(polynomial(cubic, quartic), directions, extent=2.0, num=21, within=0.1)
    assert found.validity_radius == pytest.approx(exact_radius(cubic, quartic, 0.1), rel=0.02)


@pytest.mark.parametrize(("cubic", "quartic"), [(0.7, 0.3), (0.0, 1.0), (3.0, 0.0), (0.01, -5.0)])
@pytest.mark.parametrize("columns", [1, 2])
def test_third_and_fourth_derivatives_predict_it(
    cubic: float, quartic: float, columns: int
) -> None:
    risk = polynomial(cubic, quartic)
    directions = torch.eye(3, dtype=torch.float64)[:, :columns]
    plane, _ = plane_of(hs.Hessian(risk), ManyPoints(risk), directions)
    found, worst = predicted_radius(plane, 0.1, 1.0)
    assert found == pytest.approx(exact_radius(cubic, quartic, 0.1), rel=0.01)
    assert abs(worst[0]) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_both_senses_of_a_direction_are_looked_at(sign: float) -> None:
    """The worse end of the second axis, where cubic and quartic terms add up."""
    risk = polynomial(sign * 0.7, 0.3)
    directions = torch.eye(3, dtype=torch.float64)[:, [1, 0]]
    plane, _ = plane_of(hs.Hessian(risk), ManyPoints(risk), directions)
    found, worst = predicted_radius(plane, 0.1, 1.0)
    assert found == pytest.approx(exact_radius(0.7, 0.3, 0.1), rel=0.01)
    assert abs(worst[1]) == pytest.approx(1.0, abs=0.01)


def test_a_point_of_the_grid_that_violates_the_model_bounds_the_radius() -> None:
    """A bump that no ray from the centre meets, at a point of the grid."""
    place = torch.tensor([0.6, 0.2, 0.0], dtype=torch.float64)

    def closure(model: nn.Module) -> Tensor:
        w: Tensor = model.w  # type: ignore[assignment]
        return (w * w).sum() + torch.exp(-((w - place) / 0.01).square().sum() / 2)

    risk = hs.EmpiricalRisk.from_closure(Polynomial(0.0, 0.0), closure)
    found = hs.loss_slice(risk, torch.eye(3, dtype=torch.float64)[:, :2], extent=1.0, num=11)
    assert found.validity_radius == pytest.approx(float(place.norm()), rel=1e-5)
    assert found.validity_radius < float(place.norm())


def test_progress_counts_the_points() -> None:
    seen: list[tuple[int, int]] = []
    hs.loss_slice(
        network(), "gradient", num=9, progress=lambda done, of, _: seen.append((done, of))
    )
    assert seen[-1] == (9, 9)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert {of for _, of in seen} == {9}


@pytest.mark.parametrize("directions", ["eigenvectors", "columns"])
def test_a_quadratic_equals_its_model_and_its_radius_is_infinite(directions: Any) -> None:
    columns = draw(3, 2, seed=3) if directions == "columns" else directions
    found = hs.loss_slice(polynomial(0.0, 0.0), columns, num=11)
    np.testing.assert_allclose(found.values, found.quadratic, atol=1e-14)
    assert found.validity_radius == math.inf


def test_the_share_of_the_trace_is_exact_where_few_directions_are_left() -> None:
    risk, columns = polynomial(0.0, 0.0), draw(3, 2, seed=3)
    found = hs.loss_slice(risk, columns, num=5)
    H, basis = hs.Hessian(risk).dense(), torch.linalg.qr(columns)[0]
    share = float((basis.mT @ H @ basis).trace() / H.trace())
    assert 0.1 < share < 0.9
    assert found.trace_share == pytest.approx(share, rel=1e-10)
    assert found.trace_share_stderr == pytest.approx(0.0, abs=1e-12)


def test_values_model_and_shares_are_those_of_the_risk_and_its_dense_hessian() -> None:
    risk = network()
    columns = draw(risk.dim, 2, seed=5) / 4
    found = hs.loss_slice(risk, columns, extent=0.5, num=9, sampling=True)
    H, g = hs.Hessian(risk).dense(), risk.gradient()
    for i, a in enumerate(found.coordinates[0]):
        for j, b in enumerate(found.coordinates[1]):
            d = a * columns[:, 0] + b * columns[:, 1]
            assert found.values[i, j] == pytest.approx(risk.at(risk.theta + d).value(), rel=1e-12)
            model = risk.value() + float(g @ d + d @ H @ d / 2)
            assert found.quadratic[i, j] == pytest.approx(model, rel=1e-12)
            assert found.distances[i, j] == pytest.approx(float(d.norm()), abs=1e-12)
    basis = torch.linalg.qr(columns)[0]
    share = float((basis.mT @ H @ basis).trace() / H.trace())
    assert abs(found.trace_share - share) <= 5 * found.trace_share_stderr
    assert found.sampling_stderr is not None
    assert (found.sampling_stderr > 0).all()
    inside, distance = found.project(risk.theta + 0.3 * columns[:, 0])
    np.testing.assert_allclose(inside, [0.3, 0.0], atol=1e-12)
    assert distance < 1e-12


def test_the_stated_radius_holds_between_the_points_of_the_slice() -> None:
    """25 rays that the slice has not seen, on four slices; a radius twice as large fails.

    The radius holds in 99 of 100 slices (`benchmarks/slice_radius.py`): two failures of four have
    probability 6e-4 at that rate.
    """
    kept = exceeded = 0
    for seed in range(4):
        risk = network(steps=4)
        found = hs.loss_slice(risk, "random", extent=1.0, num=11, rng=seed)
        basis = torch.linalg.qr(found.directions)[0]
        H, g, value = hs.Hessian(risk).dense(), risk.gradient(), risk.value()
        slope, bend = basis.mT @ g, basis.mT @ H @ basis
        angles = torch.linspace(0, 2 * math.pi, 26, dtype=torch.float64)[:-1]
        units = torch.stack([angles.cos(), angles.sin()], dim=1)
        for factor in (0.95, 2.0):
            r = factor * found.validity_radius
            scale = (
                r * (units @ slope).abs() + r**2 / 2 * ((units @ bend) * units).sum(1).abs()
            ).max()
            errors = [
                abs(risk.at(risk.theta + r * basis @ u).value() - value
                    - float(r * u @ slope + r**2 / 2 * u @ bend @ u))
                for u in units
            ]  # fmt: skip
            good = max(errors) <= 0.1 * float(scale)
            kept += good and factor < 1
            exceeded += not good and factor > 1
    assert kept >= 3
    assert exceeded == 4


def test_rounding_beside_a_nearly_perfect_fit_is_no_error_of_the_model() -> None:
    """Residuals of 1e-6: outputs are rounded by more than 64 last bits of the loss."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x = draw(40, 4)
    targets = model(x).detach() + 1e-6 * draw(40, 3, seed=1)
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (x, targets))
    columns = torch.linalg.qr(draw(risk.dim, 2, seed=2))[0]
    plane, _ = plane_of(hs.Hessian(risk), ManyPoints(risk), columns)
    points = 10.0 ** np.arange(-17, -11)[:, None] * plane.units(6)[:, None, :].reshape(6, 2)
    values = plane.losses(points)
    assert not plane.wrong(points, values, 0.1).any()
    assert dataclasses.replace(plane, noise=0.0).wrong(points, values, 0.1).any()
    assert plane.noise < 1e-3 * risk.value()
    assert hs.loss_slice(risk, columns, extent=0.3, num=11).validity_radius > 1e-3


def test_random_directions_have_the_norms_of_the_filters() -> None:
    risk = network()
    parts = [risk.layout.parts(c.contiguous()) for c in filter_normalised(risk, 1, rng=1).unbind(1)]
    for name, d, w in zip(risk.names, parts[0], risk.layout.parts(risk.theta), strict=True):
        expected = w.norm(dim=1) if w.dim() > 1 else torch.zeros((), dtype=torch.float64)
        assert torch.allclose(d.norm(dim=1) if d.dim() > 1 else d.norm(), expected), name
    two = filter_normalised(risk, 2)
    assert abs(float(two[:, 0] @ two[:, 1])) < 1e-10


def test_a_trajectory_lies_in_its_plane() -> None:
    end, a, b = draw(20), draw(20, seed=1), draw(20, seed=2)
    thetas = [end + s * a + s**2 * b for s in (1.0, 0.6, 0.3, 0.1, 0.0)]
    columns, coordinates, shares = trajectory_directions(thetas)
    moved = torch.stack(thetas) - end
    torch.testing.assert_close(coordinates @ columns.mT, moved, atol=1e-12, rtol=0)
    assert float(shares.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("directions", {"directions": "top"}),
        ("directions", {"directions": torch.zeros(67, 1, dtype=torch.float64)}),
        ("directions", {"directions": torch.ones(67, 2, dtype=torch.float64)}),
        ("directions", {"directions": torch.ones(4, 2)}),
        ("directions", {"directions": draw(67, 1)[:, :, None]}),
        ("extent", {"extent": 0.0}),
        ("num", {"num": 2}),
        ("within", {"within": 1.5}),
        ("refine", {"refine": 21}),
    ],
)
def test_bad_input(argument: str, options: dict[str, Any]) -> None:
    assert network().dim == 67
    with pytest.raises(InputError, match=argument):
        hs.loss_slice(network(), **options)
