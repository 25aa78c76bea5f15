"""Graphs on which meters, taps, programs and batching fail: the plain route takes over.

The oracle is double backward through the model as a user calls it, column by column.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

import hessium as hs
from hessium.curvature.fx_program import CannotTraceError
from hessium.errors import InputError, RouteWarning
from support.risk_cases import draw, mlp

X, Y = draw(6, 3), draw(6, 2, seed=3)


def by_double_backward(model: nn.Module, loss: Callable[[], Tensor]) -> Tensor:
    parameters = list(model.parameters())
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            found = torch.autograd.grad(loss(), parameters, create_graph=True)
            rows = []
            # entry by entry: the gradient of a concatenation may be no view as complex numbers
            for entry in (entry for g in found for entry in g.reshape(-1)):
                row = torch.autograd.grad(
                    entry, parameters, retain_graph=True, materialize_grads=True
                )
                rows.append(torch.cat([r.reshape(-1) for r in row]))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return torch.stack(rows)


class Spectral(nn.Module):
    """A Fourier layer: real pairs viewed as complex weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.out = nn.Parameter(draw(2, 2, seed=5)), nn.Linear(3, 2).double()

    def forward(self, x: Tensor) -> Tensor:
        modes = torch.fft.rfft(x) * torch.view_as_complex(self.weight)
        return self.out(torch.tanh(torch.fft.irfft(modes, n=3)))


class Shifted(nn.Module):
    """Pairs that start at an odd place of the flat vector."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.shift = mlp(3, 3), nn.Parameter(draw(1))
        self.phase, self.out = nn.Parameter(draw(3, 2, seed=6)), mlp(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.view_as_complex(self.phase) * self.first(x)
        return self.out(z.real + torch.tanh(z.imag)) * self.shift


class Conjugated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(draw(3, 2, 2, seed=5))

    def forward(self, x: Tensor) -> Tensor:
        w = torch.view_as_complex(self.weight)
        z = x.to(w.dtype) @ w
        return (z * z.conj() + z.conj().imag).real


class PerSample(nn.Module):
    """vmap over samples, and a derivative in the inputs, inside the forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = mlp(3, 4, 2)

    def forward(self, x: Tensor) -> Tensor:
        jacobians = torch.func.vmap(torch.func.jacrev(self.inner))(x)
        return self.inner(x) + jacobians.square().sum(-1)


class Stacked(nn.Module):
    """An ensemble by vmap over stacked parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(draw(4, 3, 2, seed=5)), nn.Parameter(draw(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        def one(w: Tensor, b: Tensor) -> Tensor:
            return torch.tanh(x @ w + b)

        return torch.func.vmap(one)(self.weight, self.bias).mean(0)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True).double().eval()
        self.embed, self.out = nn.Linear(1, 4).double(), nn.Linear(4, 2).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.inner(self.embed(x[..., None])).mean(1))


class Partly(nn.Module):
    """Checkpoints one of its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = mlp(3, 4), mlp(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(checkpoint(self.first, x, use_reentrant=False)))


class Hooked(nn.Module):
    """Registers a hook on an activation in every forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.seen = mlp(3, 4, 2), [0]

    def forward(self, x: Tensor) -> Tensor:
        f = self.inner(x)
        if f.requires_grad:
            f.register_hook(self._look)
        return f

    def _look(self, gradient: Tensor) -> None:
        self.seen[0] += 1


class Offloading(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = mlp(3, 4, 2)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autograd.graph.save_on_cpu():
            return self.inner(x)


class Casting(nn.Module):
    """Runs under autocast, by decoration."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = mlp(3, 4, 2)

    @torch.autocast("cpu", dtype=torch.bfloat16)  # type: ignore[untyped-decorator]
    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


critic = nn.TransformerEncoderLayer(4, 2, 4, batch_first=True).double().eval().requires_grad_(False)


def judged(f: Tensor, y: Tensor) -> Tensor:
    return (critic(torch.cat([f, f.square()], 1)[None])[0, :, :2] - y).square().mean()


def mse(f: Tensor, y: Tensor) -> Tensor:
    return (f - y).square().mean()


def by_func(f: Tensor, y: Tensor) -> Tensor:
    return torch.func.vmap(lambda a, b: (a - b).square().sum())(f, y).mean()


def curved(f: Tensor, y: Tensor) -> Tensor:
    """Second derivatives of a function of the outputs, by torch.func."""
    hessians = torch.func.vmap(torch.func.hessian(lambda a: a.tanh().prod()))(f)
    return hessians.square().mean() + mse(f, y)


def recomputing(f: Tensor, y: Tensor) -> Tensor:
    value: Any = checkpoint(lambda a: (a.tanh() - y).square().mean(), f, use_reentrant=False)
    return value


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[Tensor, Tensor], Tensor]]] = {
    "complex views": (Spectral, mse),
    "complex views at odd places": (Shifted, mse),
    "conjugate views": (Conjugated, mse),
    "torch.func in forward": (PerSample, mse),
    "vmap over parameters": (Stacked, mse),
    "attention": (Attention, mse),
    "attention in the loss": (lambda: mlp(3, 2), judged),
    "vmap in the loss": (lambda: mlp(3, 4, 2), by_func),
    "torch.func.hessian in the loss": (lambda: mlp(3, 4, 2), curved),
    "checkpoint in the loss": (lambda: mlp(3, 4, 2), recomputing),
    "checkpoint": (Partly, mse),
    "tensor hooks": (Hooked, mse),
    "saved on CPU": (Offloading, mse),
    "transposed outputs": (lambda: nn.Sequential(mlp(3, 4), Turned()), mse),
}


class Turned(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(4, 2).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x).mT.contiguous().mT


# torch's own, inside torch.func
@pytest.mark.sampled
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
@pytest.mark.parametrize("route", ["auto", "streaming", "traced"])
@pytest.mark.parametrize("name", CASES)
def test_unusual_graphs(name: str, route: Any) -> None:
    make, loss = CASES[name]
    model = make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RouteWarning)
        risk = hs.EmpiricalRisk(model, loss, (X, Y), reduction="mean")
    expected = by_double_backward(model, lambda: loss(model(X), Y))
    if route == "traced":  # asked for, and said to be impossible for some
        try:
            operator = hs.Hessian(risk, route=route)
        except CannotTraceError:
            return
    else:
        operator = hs.Hessian(risk, route=route)
    operator.prepare(10_000, 64)
    assert float((operator.dense() - expected).norm()) < 1e-9 * float(expected.norm())
    v = draw(risk.dim, 9, seed=8)
    assert float((operator @ v - expected @ v).norm()) < 1e-9 * float((expected @ v).norm())
    total = hs.GaussNewton(risk).dense() + hs.ResidualHessian(risk).dense()
    assert float((total - expected).norm()) < 1e-8 * float(expected.norm())


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
def test_what_cannot_be_measured_is_not_kept_and_said() -> None:
    risk = hs.EmpiricalRisk(mlp(3, 4, 2), curved, (X, Y), reduction="mean")
    operator = hs.Hessian(risk)
    operator @ risk.theta
    kept = "cached" in operator.route
    assert kept or "cannot be measured" in operator.route


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_autocast_is_suspended_where_a_dtype_is_given(dtype: torch.dtype) -> None:
    model, plain = Casting(), Casting().inner
    plain.load_state_dict(model.inner.state_dict())
    model = model.to(torch.float32)
    plain = plain.to(torch.float32)
    data = (X.float(), Y.float())
    found = hs.Hessian(hs.EmpiricalRisk(model, nn.MSELoss(), data, dtype=dtype)).dense()
    expected = hs.Hessian(hs.EmpiricalRisk(plain, nn.MSELoss(), data, dtype=dtype)).dense()
    assert torch.equal(found, expected)


# --- operations with a first derivative only ------------------------------------------------------


class Distances(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(draw(4, 3, seed=5))

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(-0.1 * torch.cdist(x, self.centres))[:, :2]


def ctc(f: Tensor, y: Tensor) -> Tensor:
    lengths = torch.full((1,), len(f)), torch.full((1,), 2)
    scores = torch.cat([f, f.square()], 1).log_softmax(-1)[:, None]
    return F.ctc_loss(scores, torch.tensor([[1, 2]]), *lengths)


def margin(f: Tensor, y: Tensor) -> Tensor:
    return F.multi_margin_loss(f.tanh(), (y[:, 0] > 0).long(), p=2)


ONCE: dict[str, tuple[str, Callable[[], nn.Module], Callable[[Tensor, Tensor], Tensor]]] = {
    "hardsigmoid": ("model", lambda: nn.Sequential(mlp(3, 4), nn.Hardsigmoid(), mlp(4, 2)), mse),
    "hard gates": (
        "model", lambda: nn.Sequential(nn.Hardsigmoid(), mlp(3, 3), nn.Hardsigmoid(), mlp(3, 2)),
        mse,
    ),
    "cdist": ("model", Distances, mse),
    "ctc": ("loss", lambda: mlp(3, 2), ctc),
    "multi-margin": ("loss", lambda: mlp(3, 4, 2), margin),
}  # fmt: skip


@pytest.mark.parametrize("name", ONCE)
def test_operations_without_a_second_derivative(name: str) -> None:
    """The message says where and which, and names the route that works; H0 asks for less."""
    culprit, make, loss = ONCE[name]
    model = make()
    risk = hs.EmpiricalRisk(model, loss, [(X, Y)], reduction="mean")
    pattern = rf"^{culprit}: torch cannot differentiate .* twice \(\w+\).*finite-difference.*works"
    with pytest.raises(InputError, match=pattern):
        hs.Hessian(risk)
    differences = hs.Hessian(risk, route="finite-difference").dense()
    assert bool(torch.isfinite(differences).all())
    if name != "ctc":  # which couples its time steps
        fisher = hs.EmpiricalFisher(risk).dense()  # first derivatives of both suffice
        assert float(fisher.trace()) > 0
    if culprit == "loss":
        with pytest.raises(InputError, match=r"^loss: "):
            hs.GaussNewton(risk)
        return
    f = model(X).reshape(-1)
    size = f.numel()
    rows = [torch.autograd.grad(v, list(model.parameters()), retain_graph=True) for v in f]
    jacobian = torch.stack([torch.cat([g.reshape(-1) for g in row]) for row in rows])
    expected = 2 / size * jacobian.mT @ jacobian
    found = hs.GaussNewton(risk)
    assert float((found.dense() - expected).norm()) < 1e-10 * float(expected.norm())
    v = draw(risk.dim, 3, seed=9)
    assert float((found @ v - expected @ v).norm()) < 1e-10 * float(expected.norm())
    linear = torch.cat(hs.Linearization(risk).outputs(risk.theta + v[:, 0])).reshape(-1)
    assert float((linear - f.detach() - jacobian @ v[:, 0]).norm()) < 1e-10 * float(linear.norm())


def test_input_derivatives_through_such_an_operation() -> None:
    """The gradient itself needs a second derivative that does not exist."""

    def closure(model: nn.Module) -> Tensor:
        x = X.clone().requires_grad_()
        return torch.autograd.grad(model(x).sum(), x, create_graph=True)[0].square().sum()

    model = nn.Sequential(mlp(3, 4), nn.Hardsigmoid(), mlp(4, 1))
    risk = hs.EmpiricalRisk.from_closure(model, closure)
    with pytest.raises(InputError, match=r"cannot differentiate again .*hardsigmoid_backward"):
        risk.gradient()


def test_rows_of_parameters_without_a_dimension() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.inner = nn.Parameter(torch.tensor(0.3).double()), mlp(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return F.hardsigmoid(self.gate * self.inner(x))

    risk = hs.EmpiricalRisk(Gated(), nn.MSELoss(), (X, Y))
    v = draw(risk.dim, 2, seed=3)
    operator = hs.GaussNewton(risk)
    torch.testing.assert_close(operator @ v, operator.dense() @ v, rtol=1e-10, atol=1e-12)


def test_a_norm_at_zero_names_its_parameter() -> None:
    class Radial(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.centres, self.out = nn.Parameter(X[:3].clone()), nn.Linear(3, 2).double()

        def forward(self, x: Tensor) -> Tensor:
            distance = torch.linalg.vector_norm(x[:, None] - self.centres, dim=-1)
            return self.out(torch.exp(-distance.square()))

    with pytest.raises(hs.errors.NonFiniteError, match=r"rows of centres.*second derivative"):
        hs.Hessian(hs.EmpiricalRisk(Radial(), nn.MSELoss(), (X, Y)))


# --- losses without outputs -----------------------------------------------------------------------


def closure_risk() -> hs.EmpiricalRisk:
    return hs.EmpiricalRisk.from_closure(mlp(3, 4, 2), lambda m: mse(m(X), Y))


@pytest.mark.parametrize(
    "ask",
    [
        hs.GaussNewton,
        hs.ResidualHessian,
        hs.EmpiricalFisher,
        hs.Gram,
        hs.Linearization,
        lambda risk: hs.compare.assumptions(risk, rng=0),
        lambda risk: hs.compare.ranks(risk),
        lambda risk: hs.Hessian(risk) and hs.Gram(risk),
    ],
)
def test_a_closure_has_no_outputs(ask: Callable[[hs.EmpiricalRisk], Any]) -> None:
    hs.Hessian(closure_risk())
    with pytest.raises(InputError, match="no outputs"):
        ask(closure_risk())
