"""Weight normalisation, old and new: second derivatives against differences of gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from support.risk_cases import classes, draw

X, Y = draw(6, 2, 5, seed=4), classes(6, high=3)


def old(module: nn.Module, dim: int | None = 0) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(module, dim=dim)  # type: ignore[arg-type]


def new(module: nn.Module, dim: int | None = 0) -> nn.Module:
    return nn.utils.parametrizations.weight_norm(module, dim=dim)  # type: ignore[arg-type]


def network(normed: Callable[..., nn.Module], dim: int | None) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            normed(nn.Conv1d(2, 4, 3), dim), nn.Tanh(), nn.Flatten(), normed(nn.Linear(12, 3), dim)
        ).double()
    return model.eval()


def by_differences(risk: hs.EmpiricalRisk, h: float = 1e-5) -> Tensor:
    steps = h * torch.eye(risk.dim, dtype=torch.float64)
    columns = [
        (risk.at(risk.theta + s).gradient() - risk.at(risk.theta - s).gradient()) / (2 * h)
        for s in steps
    ]
    return torch.stack(columns, dim=1)


@pytest.mark.sampled
@pytest.mark.parametrize("normed", [old, new])
@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm(normed: Callable[..., nn.Module], dim: int | None) -> None:
    risk = hs.EmpiricalRisk(network(normed, dim), nn.CrossEntropyLoss(), (X, Y))
    H, H0, H1 = (kind(risk).dense() for kind in (hs.Hessian, hs.GaussNewton, hs.ResidualHessian))
    truth = by_differences(risk)
    assert float((H - truth).norm()) < 1e-8 * float(truth.norm())
    assert float((H0 + H1 - H).norm()) < 1e-12 * float(H.norm())
    expected = nn.CrossEntropyLoss()(risk.model(X), Y).item()
    assert risk.value() == pytest.approx(expected, rel=1e-14)
    eigenvalues = torch.linalg.eigvalsh(hs.Gram(risk).dense())
    largest = torch.linalg.eigvalsh(H0)[-1]
    torch.testing.assert_close(eigenvalues[-1], largest, rtol=1e-12, atol=0)


def test_the_fused_kernel_is_wrong() -> None:
    """The reason for the formula. If this fails, torch has been repaired and it may go."""
    layer = new(nn.Linear(12, 3)).double()
    leaves = list(layer.parameters())

    def second(output: Tensor) -> Tensor:
        value = torch.tanh(output).square().sum()
        slopes = torch.autograd.grad(value, leaves, create_graph=True)
        along = torch.stack([(s * (1 + s.detach())).sum() for s in slopes]).sum()
        return torch.cat([g.reshape(-1) for g in torch.autograd.grad(along, leaves)])

    x = X.reshape(6, -1)[:, :10]
    x = torch.cat([x, x[:, :2]], dim=1)
    fused = second(layer(x))
    bias, g, v = leaves
    formula = second(x @ (v * (g / torch.norm_except_dim(v, 2, 0))).mT + bias)
    wrong = float((fused - formula).norm()) > 1e-6 * float(formula.norm())
    assert wrong or not torch.__version__.startswith(("2.11", "2.13"))
