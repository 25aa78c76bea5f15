"""Closures as engineers write them for L-BFGS, against functions of the module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium.errors import InputError
from hessium.problem.closures import Evaluated
from support.risk_cases import draw


def network(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 1)).to(dtype)


def engineer(
    net: nn.Module, kappa: Tensor | None, x: Tensor, set_to_none: bool = True
) -> tuple[Callable[[], Tensor], torch.optim.LBFGS]:
    """A physics-informed loss with an unknown coefficient, and its optimiser."""
    free = [*net.parameters(), *([] if kappa is None else [kappa])]
    optimizer = torch.optim.LBFGS(free, max_iter=5)
    x.requires_grad = True

    def closure() -> Tensor:
        optimizer.zero_grad(set_to_none=set_to_none)
        u = net(x)
        slope = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
        residual = (slope if kappa is None else kappa * slope) + u - 1.0
        loss = residual.square().mean()
        if loss.requires_grad:
            loss.backward()
        return loss

    return closure, optimizer


def written(net: nn.Module, x: Tensor) -> hs.EmpiricalRisk:
    """The same loss with kappa = 1 as a function of the module."""

    def loss(module: nn.Module) -> Tensor:
        at = x.detach().to(next(module.parameters()).dtype).requires_grad_()
        u = module(at)
        slope = torch.autograd.grad(u.sum(), at, create_graph=True)[0]
        found: Tensor = (slope + u - 1.0).square().mean()
        return found

    return hs.EmpiricalRisk.from_closure(net, loss)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_the_closure_of_an_optimiser_is_a_risk_and_its_gradients_stay(set_to_none: bool) -> None:
    net, x = network(), draw(7, 1)
    closure, optimizer = engineer(net, None, x, set_to_none)
    optimizer.step(closure)
    kept = [p.grad for p in net.parameters()]
    copies = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    points = None if x.grad is None else x.grad.clone()
    risk = hs.EmpiricalRisk.from_closure(net, closure)
    expected = written(net, x)
    there = 1.2 * risk.theta
    for one, other in ((risk, expected), (risk.at(there), expected.at(there))):
        assert one.value() == pytest.approx(other.value(), rel=1e-14)
        assert torch.allclose(one.gradient(), other.gradient(), rtol=1e-12)
        assert torch.allclose(hs.Hessian(one).dense(), hs.Hessian(other).dense(), rtol=1e-10)
    assert all(p.grad is grad for p, grad in zip(net.parameters(), kept, strict=True))
    assert all(
        p.grad is not None and torch.equal(p.grad, copy)
        for p, copy in zip(net.parameters(), copies, strict=True)
    )
    assert x.grad is None or (points is not None and torch.equal(x.grad, points))
    optimizer.step(closure)  # which still works
    assert risk.refreshed().value() != risk.value()


def test_loose_tensors_beside_a_network_are_parameters() -> None:
    net, x, kappa = network(), draw(7, 1), torch.tensor([1.0], dtype=torch.float64)
    kappa.requires_grad_()
    closure, optimizer = engineer(net, kappa, x)
    risk = hs.EmpiricalRisk.from_closure(net, closure, parameters={"kappa": kappa})
    assert risk.dim == 20
    assert set(risk.names) >= {"kappa", "model.0.weight"}
    at = risk.layout.slice("kappa").start
    # derivatives in the loose tensor, by differences of the loss
    unit = torch.zeros(risk.dim, dtype=torch.float64)
    unit[at] = 1e-5
    up, here, down = (risk.at(risk.theta + s * unit) for s in (1, 0, -1))
    assert float(risk.gradient()[at]) == pytest.approx((up.value() - down.value()) / 2e-5, rel=1e-6)
    column = (up.gradient() - down.gradient()) / 2e-5
    assert torch.allclose(hs.Hessian(here).dense()[:, at], column, rtol=1e-5, atol=1e-8)
    rest = risk.restrict(["model"])
    assert torch.allclose(hs.Hessian(rest).dense(), hs.Hessian(written(net, x)).dense())
    optimizer.step(closure)
    assert float(kappa.detach()) != 1.0
    assert float(risk.refreshed().theta[at]) == float(kappa.detach())


def test_loose_tensors_alone() -> None:
    a = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    b = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def closure() -> Tensor:
        loss = (torch.stack([a[0] * b, a[1]]) ** 3).sum() + b.square()
        loss.backward()
        return loss

    risk = hs.EmpiricalRisk.from_closure({"a": a, "b": b}, closure)
    assert (risk.names, risk.dim) == (("a", "b"), 3)
    # (a0 b)^3 + a1^3 + b^2
    expected = [
        [6 * 0.3 * 8.0, 0.0, 9 * 0.09 * 4.0],
        [0.0, -1.2, 0.0],
        [9 * 0.09 * 4.0, 0.0, 6 * 0.027 * 2.0 + 2.0],
    ]
    found = hs.Hessian(risk).dense()
    assert torch.allclose(found, torch.tensor(expected, dtype=torch.float64))
    assert a.grad is None
    assert b.grad is None


@pytest.mark.parametrize("takes_module", [False, True])
def test_a_closure_over_single_precision_is_computed_in_double(takes_module: bool) -> None:
    net, x = network(torch.float32), draw(7, 1).float()
    closure, _ = engineer(net, None, x)
    given = (lambda module: closure()) if takes_module else closure
    risk = hs.EmpiricalRisk.from_closure(net, given, dtype=torch.float64)
    assert risk.dtype == torch.float64
    expected = written(network(torch.float32).double(), x)
    assert risk.value() == pytest.approx(expected.value(), rel=1e-14)
    exact = hs.Hessian(expected).dense()
    assert (hs.Hessian(risk).dense() - exact).norm() <= 1e-13 * exact.norm()
    # the negative control: single precision does not reach that
    single = hs.Hessian(hs.EmpiricalRisk.from_closure(net, closure)).dense().double()
    assert (single - exact).norm() > 1e-9 * exact.norm()


def test_what_is_no_closure_is_refused() -> None:
    net, other, x = network(), network(), draw(3, 1)
    nothing: Any = list[int]().clear
    with pytest.raises(InputError, match="another module than"):
        hs.EmpiricalRisk.from_closure(net, lambda: other(x).sum() if x.requires_grad else x.sum())
    with pytest.raises(InputError, match="cannot be called with the module alone"):
        hs.EmpiricalRisk.from_closure(net, lambda a, b: net(x).sum())
    with pytest.raises(InputError, match="closure: returned NoneType"):
        hs.EmpiricalRisk.from_closure(net, nothing)
    with pytest.raises(InputError, match="a leaf with requires_grad=True"):
        hs.EmpiricalRisk.from_closure(net, lambda: x.sum(), parameters={"x": x})
    free = x.clone().requires_grad_()
    for name in ("a.b", "model", "forward"):
        with pytest.raises(InputError, match="cannot be used"):
            hs.EmpiricalRisk.from_closure(net, lambda: free.sum(), parameters={name: free})


def test_tensors_with_a_graph_keep_it_when_they_are_converted() -> None:
    leaf = torch.ones(2, requires_grad=True)
    outer = 2 * leaf
    with Evaluated({}, torch.float64):
        stacked = torch.stack([outer, outer])
    assert stacked.dtype == torch.float64
    (found,) = torch.autograd.grad(stacked.sum(), leaf)
    assert torch.equal(found, torch.full((2,), 4.0))
