"""A loader that shuffles: every pass of one risk has one order, whatever happens between passes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import hessium as hs
from support.risk_cases import draw, mlp, seeded

X, Y = draw(11, 2, 4, 4), draw(11, 2, seed=3)


def convolution() -> nn.Module:
    layers = nn.Conv2d(2, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 2)
    return seeded(nn.Sequential(*layers))


def flat() -> nn.Module:
    return nn.Sequential(nn.Flatten(), mlp(32, 3, 2))


def risks(model: nn.Module, own: bool) -> tuple[hs.EmpiricalRisk, hs.EmpiricalRisk]:
    generator = torch.Generator().manual_seed(4) if own else None
    data = TensorDataset(X, Y)
    loader = DataLoader(data, batch_size=4, shuffle=True, generator=generator)
    loss = hs.SquaredError()
    return hs.EmpiricalRisk(model, loss, loader), hs.EmpiricalRisk(model, loss, (X, Y))


@pytest.mark.sampled
@pytest.mark.parametrize("own", [False, True], ids=["global", "own generator"])
@pytest.mark.parametrize("model", [convolution, flat])
def test_nothing_depends_on_the_order(model: type[nn.Module], own: bool) -> None:
    shuffled, whole = risks(model(), own)
    for kind in (hs.Hessian, hs.GaussNewton, hs.ResidualHessian, hs.EmpiricalFisher):
        operator, expected = kind(shuffled, graph_bytes=0), kind(whole)
        torch.randn(1)
        torch.testing.assert_close(operator.dense(), expected.dense(), rtol=1e-9, atol=1e-9)
    gram, vector = hs.Gram(shuffled), draw(22)
    first = gram @ vector
    torch.randn(1)
    torch.testing.assert_close(gram @ vector, first, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gram.dense() @ vector, first, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        torch.linalg.eigvalsh(gram.dense()),
        torch.linalg.eigvalsh(hs.Gram(whole).dense()),
        rtol=1e-9,
        atol=1e-9,
    )
    assert hs.rank(hs.GaussNewton(shuffled)) == hs.rank(hs.GaussNewton(whole))


def test_linearisation_compares_the_same_samples() -> None:
    shuffled, whole = risks(flat(), own=False)
    linear, expected = hs.Linearization(shuffled), hs.Linearization(whole)
    torch.randn(1)
    near = 1.01 * whole.theta
    assert linear.error(near).relative == pytest.approx(expected.error(near).relative, rel=1e-9)
    best: Tensor = linear.minimiser()
    assert linear.loss(best) < 1e-18


def test_the_loader_keeps_its_own_generator() -> None:
    generator = torch.Generator().manual_seed(4)
    loader = DataLoader(TensorDataset(X, Y), batch_size=4, shuffle=True, generator=generator)
    before = generator.get_state()
    hs.EmpiricalRisk(flat(), hs.SquaredError(), loader).gradient()
    assert torch.equal(before, generator.get_state())
