"""The Jacobian as a linear map against rows from single backward passes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.curvature.jacobian_columns import cross_gram, outer_gram, over_columns
from hessium.problem.other_inputs import OnInputs
from support.posterior_cases import jacobian
from support.risk_cases import classes, draw, mlp, poisson_loss, seeded, split


@pytest.mark.parametrize("by_rows", [False, True])
def test_products_blocks_and_the_dense_matrix(by_rows: bool) -> None:
    model, x, y = mlp(3, 5, 2), draw(7, 3), draw(7, 2, seed=3)
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), split(x, y, 3, 4))
    if by_rows:
        risk.refuted.add("layer-wise")
    J, expected = hs.Jacobian(risk), jacobian(model, x)
    assert J.shape == expected.shape
    assert J.T.shape == expected.shape[::-1]
    np.testing.assert_allclose(J.dense().numpy(), expected, atol=1e-14)
    v, u = draw(risk.dim, 3), draw(14, 2, seed=2)
    np.testing.assert_allclose((J @ v).numpy(), expected @ v.numpy(), atol=1e-13)
    np.testing.assert_allclose((J @ v[:, 0]).numpy(), expected @ v[:, 0].numpy(), atol=1e-13)
    np.testing.assert_allclose((J.T @ u).numpy(), expected.T @ u.numpy(), atol=1e-13)
    assert J.T.T is J
    map_ = J.to_scipy()
    np.testing.assert_allclose(map_ @ v.numpy(), expected @ v.numpy(), atol=1e-13)
    np.testing.assert_allclose(map_.T @ u.numpy(), expected.T @ u.numpy(), atol=1e-13)
    np.testing.assert_allclose(outer_gram(risk).numpy(), expected @ expected.T, atol=1e-13)
    part = hs.Jacobian(risk.restrict(["2.weight"]))
    np.testing.assert_allclose(
        part.dense().numpy(), expected[:, risk.layout.slice("2.weight")], atol=1e-14
    )


def test_gauss_newton_is_two_j_transposed_j() -> None:
    risk = hs.EmpiricalRisk(mlp(3, 5, 2), hs.SquaredError(), (draw(7, 3), draw(7, 2, seed=3)))
    J = hs.Jacobian(risk).dense()
    torch.testing.assert_close(hs.GaussNewton(risk).dense(), 2 * J.mT @ J, rtol=1e-12, atol=1e-13)


def test_small_blocks_of_columns_cover_all_parameters() -> None:
    model = seeded(nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 3)))
    tokens = classes(6, 3, high=5)
    risk = hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), (tokens, classes(6, high=3)))
    expected = jacobian(model, tokens)
    for refuted in (set(), {"layer-wise"}):
        risk.refuted.clear()
        risk.refuted.update(refuted)
        found = torch.zeros(18, risk.dim, dtype=torch.float64)

        def begin(found: torch.Tensor = found) -> object:
            def consume(at: slice, block: torch.Tensor) -> None:
                found[:, at] += block

            return consume

        over_columns(risk, begin, 8 * 18 * 7)  # type: ignore[arg-type]
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-14)


def test_coupled_samples_are_found_and_taken_row_by_row() -> None:
    class Coupled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2).double()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            f = self.layer(x)
            return (f - f.mean(dim=0)).tanh()

    model = seeded(Coupled())
    x = draw(5, 3)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, draw(5, 2)))
    np.testing.assert_allclose(hs.Jacobian(risk).dense().numpy(), jacobian(model, x), atol=1e-13)
    assert "layer-wise" in risk.refuted


def test_other_inputs_follow_the_data() -> None:
    model, x, there = mlp(3, 5, 2), draw(7, 3), draw(4, 3, seed=8)
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), split(x, draw(7, 2), 3, 4))
    both = OnInputs(risk, [there.float()]).after(risk)
    assert (both.num_outputs, both.num_samples) == (22, 11)
    expected = np.r_[jacobian(model, x), jacobian(model, there.float().double())]
    np.testing.assert_allclose(outer_gram(both).numpy(), expected @ expected.T, atol=1e-12)


class Kernels(nn.Module):
    """A convolution, a weight that is used twice, and a layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.twice, self.last = nn.Conv1d(1, 2, 2), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.conv(x[:, None])).flatten(1)
        return torch.tanh(self.last(self.twice(torch.tanh(self.twice(hidden)))))


@pytest.mark.parametrize("refuted", [False, True])
@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("wide", [False, True])
def test_rows_at_other_inputs_times_rows_of_the_data(
    wide: bool, joint: bool, refuted: bool
) -> None:
    # by gradients of each parameter, or by inner products of a layer's inputs and derivatives
    model = mlp(3, 40, 40, 2) if wide else seeded(Kernels())
    x, there = draw(7, 3), draw(4, 3, seed=8)
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), split(x, draw(7, 2), 3, 4))
    if refuted:
        risk.refuted.add("layer-wise")
    cross, own = cross_gram(risk, OnInputs(risk, [there]), joint=joint)
    assert (own.dim() == 2) is joint
    J, G = jacobian(model, x), jacobian(model, there)
    np.testing.assert_allclose(cross.numpy(), G @ J.T, atol=1e-12)
    whole = G @ G.T
    np.testing.assert_allclose(own.numpy(), whole if joint else np.diagonal(whole), atol=1e-12)
    assert ("layer-wise" in risk.refuted) is refuted


def test_samples_that_others_influence_are_found_in_cross_products() -> None:
    class Coupled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            f = super().forward(x)
            return (f - f.mean(dim=0)).tanh()

    model, x, there = seeded(Coupled(3, 2)), draw(5, 3), draw(4, 3, seed=8)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, draw(5, 2)))
    cross, _ = cross_gram(risk, OnInputs(risk, [there]), joint=False)
    np.testing.assert_allclose(
        cross.numpy(), jacobian(model, there) @ jacobian(model, x).T, atol=1e-12
    )


def test_bad_input() -> None:
    risk = hs.EmpiricalRisk(mlp(3, 5, 2), nn.MSELoss(), (draw(7, 3), draw(7, 2)))
    J = hs.Jacobian(risk)
    with pytest.raises(ValueError, match="vectors"):
        J @ draw(3)
    with pytest.raises(ValueError, match="float32"):
        J.T @ draw(14).float()
    with pytest.raises(ValueError, match="max_bytes"):
        J.dense(max_bytes=100)
    with pytest.raises(ValueError, match="no Jacobian"):
        hs.Jacobian(hs.EmpiricalRisk.from_closure(mlp(1, 4, 1), poisson_loss))
