"""Paths and barriers against dense scans; permutations against the loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.errors import InputError
from hessium.landscape import align_permutation
from hessium.landscape.slices.loss_path import _between
from support.risk_cases import draw

X, Y = draw(40, 4), torch.arange(40) % 3
LOSS = nn.CrossEntropyLoss()


def trained(seed: int) -> hs.EmpiricalRisk:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 10), nn.Tanh(), nn.Linear(10, 8), nn.Tanh(), nn.Linear(8, 3)).double()  # fmt: skip  # noqa: E501
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=30)

    def closure() -> Tensor:
        optimiser.zero_grad()
        value: Tensor = LOSS(model(X), Y)
        value.backward()
        return value

    optimiser.step(closure)
    return hs.EmpiricalRisk(model, LOSS, (X, Y))


@pytest.mark.slow
def test_the_barrier_is_that_of_a_dense_scan() -> None:
    risk, other = trained(1), trained(2)
    a, b = risk.theta, other.theta
    found = hs.loss_path(risk, [a, b], num=21)
    t = np.linspace(0, 1, 20001)
    at = found.barrier_position
    near = t[abs(t - at) < 0.05]
    scan = [risk.at((1 - s) * a + s * b).value() - (1 - s) * found.knots[0] - s * found.knots[1] for s in near]  # fmt: skip  # noqa: E501
    assert found.barrier == pytest.approx(max(scan), rel=1e-6)
    assert found.barrier >= (found.values - np.interp(found.positions, [0, 1], found.knots)).max()
    assert found.distances[-1] == pytest.approx(float((a - b).norm()))
    two = hs.loss_path(risk, [a, b, a], num=21)
    assert two.barrier == pytest.approx(found.barrier, rel=1e-6)
    assert len(two.values) == 41


def test_a_bent_path_is_lower_and_keeps_its_ends() -> None:
    risk, other = trained(1), trained(2)
    straight = hs.loss_path(risk, [risk.theta, other.theta], num=21)
    bent = hs.loss_path(risk, [risk.theta, other.theta], num=21, bend=True, steps=30)
    assert bent.barrier < straight.barrier / 2
    np.testing.assert_allclose(bent.knots, straight.knots, rtol=1e-12)


def test_a_convex_loss_has_no_barrier() -> None:
    risk = hs.EmpiricalRisk(nn.Linear(4, 3).double(), LOSS, (X, Y))
    found = hs.loss_path(risk, [risk.theta, risk.theta + draw(risk.dim, seed=3)])
    assert found.barrier == 0.0


def test_a_permuted_network_is_brought_back() -> None:
    risk = trained(1)
    weights = dict(zip(risk.names, risk.layout.parts(risk.theta), strict=True))
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    weights["0.weight"], weights["0.bias"] = weights["0.weight"][order], weights["0.bias"][order]
    weights["2.weight"] = weights["2.weight"][:, order]
    shuffled = torch.cat([weights[name].reshape(-1) for name in risk.names])
    assert risk.at(shuffled).value() == pytest.approx(risk.value(), rel=1e-12)
    assert torch.equal(align_permutation(risk, shuffled, risk.theta), risk.theta)
    other = trained(2).theta
    moved = align_permutation(risk, other, risk.theta)
    assert risk.at(moved).value() == pytest.approx(risk.at(other).value(), rel=1e-12)
    assert float((moved - risk.theta).norm()) < float((other - risk.theta).norm())


def test_bad_input() -> None:
    risk = trained(1)
    with pytest.raises(InputError, match="points"):
        hs.loss_path(risk, [risk.theta])
    with pytest.raises(InputError, match="points"):
        hs.loss_path(risk, 2.0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="theta"):
        hs.loss_path(risk, [risk.theta, risk.theta[:-1]])
    conv = nn.Sequential(nn.Conv1d(1, 1, 1), nn.Flatten()).double()
    other = hs.EmpiricalRisk(conv, LOSS, (X[:, None], Y % 2))
    with pytest.raises(InputError, match="Sequential"):
        align_permutation(other, other.theta, other.theta)


def test_a_barrier_between_the_values_is_bounded() -> None:
    """The barrier of a finer grid lies within the bound of a coarse one, which is not far away."""
    risk, other = trained(1), trained(2)
    fine = hs.loss_path(risk, [risk.theta, other.theta], num=201)
    for num in (9, 21):
        found = hs.loss_path(risk, [risk.theta, other.theta], num=num)
        assert found.barrier * (1 - 1e-9) <= fine.barrier <= found.barrier_upper
        excess = found.values - np.interp(found.positions, [0, 1], found.knots)
        assert found.barrier_upper - excess.max() < 0.5 * excess.max()
    assert fine.barrier_upper < fine.barrier * 1.001


def test_numbers_of_the_hessian_along_the_path() -> None:
    risk, other = trained(1), trained(2)

    def top(here: hs.EmpiricalRisk) -> float:
        return float(hs.spectrum(hs.Hessian(here)).nodes[-1])

    found = hs.loss_path(risk, [risk.theta, other.theta], num=3, along={"sharpness": top})
    middle = hs.Hessian(risk.at((risk.theta + other.theta) / 2)).dense()
    assert found.along["sharpness"][1] == pytest.approx(float(torch.linalg.eigvalsh(middle)[-1]))
    frame = found.to_dataframe()
    assert list(frame["sharpness"][~frame["refined"]]) == list(found.along["sharpness"])
    wrong: Any = ["sharpness"]
    with pytest.raises((InputError, TypeError), match="along"):
        hs.loss_path(risk, [risk.theta, other.theta], along=wrong)


def test_the_bound_between_values_holds_for_smooth_functions_and_is_near() -> None:
    """Against dense values; the maximum lies between the coarse ones."""
    for num in (9, 21, 41):
        for phase in np.linspace(0, 1, 17):
            coarse, dense = (
                np.sin(7 * np.linspace(0, 1, n) + phase) for n in (num, 100 * (num - 1) + 1)
            )
            bound = _between(coarse, num)
            assert dense.max() <= bound <= dense.max() + 4 * 49 / (num - 1) ** 2 / 8


def test_the_words_and_the_table_hold_the_refined_peak() -> None:
    """The loss 4 + x - x^4 on the segment from -1 to 2, where x = 3 t - 1."""
    model = nn.Module()
    model.w = nn.Parameter(torch.tensor([0.0], dtype=torch.float64))

    def loss(m: nn.Module) -> Tensor:
        w: Tensor = m.w  # type: ignore[assignment]
        return (4 + w - w**4).sum()

    risk = hs.EmpiricalRisk.from_closure(model, loss)
    ends = [torch.tensor([x], dtype=torch.float64) for x in (-1.0, 2.0)]
    found = hs.loss_path(risk, ends, num=5, along={"twice": lambda r: 2 * r.value()})
    # the excess over the chord is largest where 1 - 4 x^3 is the slope of the chord
    slope = (-10 - 2) / 3
    x = ((1 - slope) / 4) ** (1 / 3)
    t, value = (x + 1) / 3, 4 + x - x**4
    table = found.to_dataframe()
    assert len(table) == 6
    (peak,) = table[table["refined"]].to_dict("records")
    assert peak["positions"] == pytest.approx(t, abs=1e-6)
    assert peak["values"] == pytest.approx(value, abs=1e-6)
    assert peak["distances"] == pytest.approx(3 * t, abs=1e-6)
    assert np.isnan(peak["twice"])
    assert (np.diff(table["positions"]) > 0).all()
    rest = table[~table["refined"]]
    np.testing.assert_array_equal(rest["values"], found.values)
    assert (rest["twice"] == 2 * rest["values"]).all()
    # the largest loss is at another point than the largest excess
    top = max(found.values.max(), value)
    assert f"loss at the ends 2, -10; largest {top:.4g} at t = " in repr(found)
    down = hs.loss_path(risk, [ends[0], 1.5 * ends[0]], num=5)
    assert f"largest {down.peak[0]:.4g} at t = {down.peak[1]:.4g}" in repr(down)
    two = hs.loss_path(risk, [*ends, ends[0]], num=5)
    assert "loss at the given points 2, -10, 2; largest" in repr(two)
    flat = hs.loss_path(hs.EmpiricalRisk.from_closure(model, lambda m: m.w.square().sum()), ends)
    assert not flat.to_dataframe()["refined"].any()
    assert "largest 4 at t = 1;" in repr(flat)
