"""What autograd alone cannot see: wrong gradients, opaque backward passes, losses with parameters.

The oracle is the model as a user trains it: its own parameters moved in place, differences of the
loss and of gradients by a plain backward pass.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

import hessium as hs
from hessium.curvature.places import directions
from hessium.errors import InputError, OutsideParameterWarning, SelfCheckError, SelfCheckWarning
from support.risk_cases import draw, mlp

X, Y = draw(10, 3), draw(10, 2, seed=3)


def function(backward: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """tanh with a backward pass of one's own: (input, upstream) -> gradient."""

    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x.tanh()

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return backward(ctx.saved_tensors[0], grads[0])

    return Own.apply


def slope(x: Tensor) -> Tensor:
    return 1 - x.tanh().square()


def under_no_grad(x: Tensor, upstream: Tensor) -> Tensor:
    with torch.no_grad():
        constant = slope(x)
    return upstream * constant


def in_numpy(x: Tensor, upstream: Tensor) -> Tensor:
    product = upstream.detach().numpy() * (1 - np.tanh(x.detach().numpy()) ** 2)
    return torch.from_numpy(product)


# right first derivatives, wrong or missing second ones
OPAQUE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "detached slope": lambda x, u: u * slope(x.detach()),
    "under no_grad": under_no_grad,
    "in numpy": in_numpy,
    "data": lambda x, u: u * slope(x.data),
    "half detached": lambda x, u: u * torch.cat([slope(x[:, :2]), slope(x[:, 2:].detach())], 1),
    "detached upstream": lambda x, u: u.detach() * slope(x),
    "numbers": lambda x, u: u * torch.tensor(slope(x).tolist(), dtype=x.dtype),
    "one entry": lambda x, u: u * torch.where(x == x.max(), slope(x).detach(), slope(x)),
}
# wrong first derivatives
WRONG: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "straight through": lambda x, u: u,
    "reversed": lambda x, u: -u * slope(x),
    "off by a percent": lambda x, u: 1.01 * u * slope(x),
    "clipped": lambda x, u: (u * slope(x)).clamp(-0.02, 0.02),
    "half of the units": lambda x, u: u * slope(x) * (torch.arange(x.shape[1]) < 2),
    "surrogate": lambda x, u: u / (1 + x.abs()),
    "one unit": lambda x, u: u * slope(x) * (torch.arange(x.shape[1]) != 3),
    "first sample": lambda x, u: u * slope(x) * (torch.arange(len(x)) > 0)[:, None],
}


class Net(nn.Module):
    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.last = mlp(3, 5), mlp(5, 2)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.activation(self.first(x)))


def network(backward: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(0)
    return Net(function(backward)).to(dtype)


def risk_of(model: nn.Module, dtype: torch.dtype) -> hs.EmpiricalRisk:
    return hs.EmpiricalRisk(model, nn.MSELoss(), (X.to(dtype), Y.to(dtype)))


@pytest.mark.sampled
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", OPAQUE)
def test_opaque_backward_passes(name: str, dtype: torch.dtype) -> None:
    """The Hessian is refused and its differences are right; first-order operators are right."""
    model, plain = network(OPAQUE[name], dtype), Net(torch.tanh).to(dtype)
    plain.load_state_dict(model.state_dict())
    risk, expected = risk_of(model, dtype), risk_of(plain, dtype)
    if name == "one entry" and dtype is torch.float32:
        pytest.skip("the difference is below what single precision resolves")
    with pytest.raises(SelfCheckError, match=r"route='finite-difference'|symmetric"):
        hs.Hessian(risk)
    tolerance = {torch.float64: 1e-7, torch.float32: 2e-2}[dtype]
    truth = hs.Hessian(expected).dense()
    found = hs.Hessian(risk, route="finite-difference").dense()
    assert float((found - truth).norm()) < tolerance * float(truth.norm())
    for kind in (hs.GaussNewton, hs.Gram):
        one, other = kind(risk).dense(), kind(expected).dense()
        assert float((one - other).norm()) < 1e-5 * float(other.norm()), kind.__name__


@pytest.mark.sampled
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", WRONG)
def test_wrong_gradients_are_refused(name: str, dtype: torch.dtype) -> None:
    if name == "off by a percent" and dtype is torch.float32:
        pytest.skip("one percent is allowed in single precision")
    risk = risk_of(network(WRONG[name], dtype), dtype)
    with pytest.raises(SelfCheckError, match="gradient gives a slope"):
        hs.Hessian(risk)


@pytest.mark.parametrize("missing", [0, 1])
def test_a_missing_slope_is_seen_along_either_random_direction(missing: int) -> None:
    """A detached linear term, orthogonal to the gradient and to the other direction.

    Its second derivative is zero, so only the slope along that direction shows it.
    """
    model = nn.Linear(30, 1, bias=False).double()
    theta = model.weight.detach().clone().flatten()
    constant = torch.zeros(30, dtype=torch.float64)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        lost = (model.weight.flatten() - theta) @ constant
        return (outputs - targets).square().mean() + lost.detach()

    def risk_of_it() -> hs.EmpiricalRisk:
        data = (draw(40, 30), draw(40, 1, seed=3))
        return hs.EmpiricalRisk(model, loss, data, reduction="mean")

    risk = risk_of_it()
    found = directions(risk)
    others = torch.stack([risk.gradient(), found[1 - missing]], 1)
    basis = torch.linalg.qr(others).Q
    constant.copy_(found[missing] - basis @ (basis.mT @ found[missing]))
    with pytest.raises(SelfCheckError, match="gradient gives a slope"):
        hs.Hessian(risk_of_it())
    constant.zero_()
    hs.Hessian(risk_of_it())


@pytest.mark.parametrize(
    "kind", [hs.GaussNewton, hs.ResidualHessian, hs.EmpiricalFisher, hs.Gram, hs.Linearization]
)
def test_every_operator_asks_for_a_right_gradient(kind: Any) -> None:
    risk = risk_of(network(WRONG["half of the units"], torch.float64), torch.float64)
    with pytest.raises(SelfCheckError, match="gradient gives a slope"):
        kind(risk)


@pytest.mark.sampled
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize(
    "activation", [nn.Tanh, nn.ReLU, nn.GELU, nn.Hardtanh, nn.PReLU, nn.Softplus]
)
def test_right_ones_pass_without_a_warning(activation: Any, dtype: torch.dtype) -> None:
    """Control, with kinks, far more samples than parameters, and at a minimiser."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 20), activation(), nn.Linear(20, 20), activation())
    model = nn.Sequential(model, nn.Linear(20, 2)).to(dtype)
    x, y = draw(500, 3).to(dtype), draw(500, 2, seed=3).to(dtype)
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (x, y))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in (hs.Hessian, hs.GaussNewton, hs.ResidualHessian, hs.EmpiricalFisher):
            kind(risk)
            kind(risk.at(0.5 * risk.theta))


class Adjoint(torch.autograd.Function):
    """A residual block whose backward pass runs the module again, as adjoint solvers do."""

    @staticmethod
    def forward(ctx: Any, block: Any, x: Tensor, *parameters: Tensor) -> Tensor:
        ctx.block = block
        ctx.save_for_backward(x, *parameters)
        with torch.no_grad():
            return x + torch.tanh(block(x))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, *parameters = ctx.saved_tensors
        with torch.enable_grad():
            start = x.detach().requires_grad_()
            end = start + torch.tanh(ctx.block(start))
            found = torch.autograd.grad(end, [start, *parameters], grads[0].detach())
        return None, *found


class Solver(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block, self.last = mlp(3, 3), mlp(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = Adjoint.apply(self.block, x, *self.block.parameters())  # type: ignore[no-untyped-call]
        return self.last(hidden)


def test_adjoints_find_the_parameters_of_the_risk() -> None:
    risk = risk_of(Solver(), torch.float64)
    for place in (risk, risk.at(1.5 * risk.theta)):
        v = torch.ones(risk.dim, dtype=torch.float64)
        up, down = (
            place.at(place.theta + 1e-5 * v).value(),
            place.at(place.theta - 1e-5 * v).value(),
        )
        assert float(place.gradient() @ v) == pytest.approx((up - down) / 2e-5, rel=1e-7)
        with pytest.raises(SelfCheckError):
            hs.Hessian(place)
        # J^T J needs one backward pass
        fisher = hs.EmpiricalFisher(place).dense()
        assert float(fisher.trace()) > 0
        assert torch.linalg.matrix_rank(fisher) <= 10


# --- losses that depend on parameters -------------------------------------------------------------


class Task(nn.Module):
    """A network with parameters that only its loss uses."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp(3, 4, 2)
        self.log_scale = nn.Parameter(torch.tensor([0.3, -0.2]).double())
        self.transitions = nn.Parameter(draw(2, 2, seed=5))
        self.head = nn.Linear(2, 2).double()

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.body(x))

    def weighted(self, f: Tensor, y: Tensor) -> Tensor:
        parts = (f - y).square().mean(0)
        return ((-self.log_scale).exp() * parts + self.log_scale).sum()

    def chained(self, f: Tensor, y: Tensor) -> Tensor:
        score = torch.logsumexp(f[:-1, :, None] + self.transitions, dim=1) * f[1:]
        return score.square().sum() + (f - y).square().sum()

    def by_head(self, f: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.head(f), y.argmax(1))


class Holding(nn.Module):
    """A loss that is a module and holds the model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, f: Tensor, y: Tensor) -> Tensor:
        penalty = sum(p.square().sum() for p in self.model.parameters())
        return (f - y).square().mean() + 0.1 * penalty


class HoldingOne(nn.Module):
    """A loss that is a module and holds one parameter of the model."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.weight = model.head.weight

    def forward(self, f: Tensor, y: Tensor) -> Tensor:
        return (f @ self.weight - y).square().mean()


def losses(model: Any) -> dict[str, Any]:
    def l2(f: Tensor, y: Tensor) -> Tensor:
        return (f - y).square().mean() + 0.05 * sum(p.square().sum() for p in model.parameters())

    def consistency(f: Tensor, y: Tensor) -> Tensor:
        return (f - y).square().mean() + (model(X + 0.1) - f).square().mean()

    def cubic(f: Tensor, y: Tensor) -> Tensor:
        return (f - y).square().mean() + model.get_parameter("head.weight").abs().pow(3).sum()

    def by_name(f: Tensor, y: Tensor) -> Tensor:
        own = dict(model.named_parameters())
        return (f * own["log_scale"] - y).square().mean()

    return {
        "l2": l2,
        "consistency": consistency,
        "cubic": cubic,
        "by name": by_name,
        "task weights": model.weighted,
        "transitions": model.chained,
        "head": model.by_head,
        "holds the model": Holding(model),
        "holds a parameter": HoldingOne(model),
    }


def by_hand(model: nn.Module, loss: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    """Gradient and Hessian from differences; the parameters are moved in place, and back."""
    parameters = list(model.parameters())
    start = parameters_to_vector(parameters).detach().clone()

    def gradient(theta: Tensor) -> Tensor:
        vector_to_parameters(theta, parameters)
        found = torch.autograd.grad(loss(), parameters, materialize_grads=True)
        return torch.cat([g.reshape(-1) for g in found])

    h, columns = 1e-5, []
    for i in range(len(start)):
        e = torch.zeros_like(start)
        e[i] = h
        columns.append((gradient(start + e) - gradient(start - e)) / (2 * h))
    at = gradient(start)
    vector_to_parameters(start, parameters)
    return at, torch.stack(columns)


@pytest.mark.parametrize("name", losses(Task()))
def test_losses_that_read_parameters(name: str) -> None:
    model = Task().double()
    loss = losses(model)[name]
    risk = hs.EmpiricalRisk(model, loss, (X, Y), reduction="mean")
    gradient, hessian = by_hand(model, lambda: loss(model(X), Y))
    assert float((risk.gradient() - gradient).norm()) < 1e-8
    found = hs.Hessian(risk).dense()
    assert float((found - hessian).norm()) < 1e-7 * float(hessian.norm())
    for kind in (hs.GaussNewton, hs.ResidualHessian, hs.EmpiricalFisher, hs.Gram):
        with pytest.raises(InputError, match="loss: depends on the parameters"):
            kind(risk)
    shifted = risk.at(risk.theta * 1.1)
    vector_to_parameters(shifted.theta, model.parameters())
    assert shifted.value() == pytest.approx(float(loss(model(X), Y).detach()), rel=1e-12)


def test_single_precision_models_with_losses_that_hold_them() -> None:
    model = Task().float()
    risk = hs.EmpiricalRisk(
        model, Holding(model), (X.float(), Y.float()), reduction="mean", dtype=torch.float64
    )
    twin = Task().double()
    twin.load_state_dict(model.state_dict())
    loss = Holding(twin)
    _, hessian = by_hand(twin, lambda: loss(twin(X.float().double()), Y.float().double()))
    assert float((hs.Hessian(risk).dense() - hessian).norm()) < 1e-7 * float(hessian.norm())
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_parameters_read_as_tensors_are_refused() -> None:
    model: Any = mlp(3, 4, 2)
    weight = model[0].weight
    with pytest.raises(InputError, match=r"loss: .* reads '0.weight' from somewhere else"):
        hs.EmpiricalRisk(
            model, lambda f, y: (f - y).square().mean() + weight.square().sum(), (X, Y),
            reduction="mean",
        )  # fmt: skip


# --- trainable tensors outside the module ---------------------------------------------------------

outside = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
beside = nn.Linear(2, 2).double()
OUTSIDE: dict[str, Callable[[nn.Module], hs.EmpiricalRisk]] = {
    "closure": lambda m: hs.EmpiricalRisk.from_closure(
        m, lambda n: (outside * n(X)).square().sum()
    ),
    "loss": lambda m: hs.EmpiricalRisk(
        m, lambda f, y: (outside * f - y).square().mean(), (X, Y), reduction="mean"
    ),
    "forward": lambda m: hs.EmpiricalRisk(
        m, nn.MSELoss(), (X, Y), forward=lambda n, x: beside(n(x))
    ),
    "loss module": lambda m: hs.EmpiricalRisk(
        m, lambda f, y: (beside(f) - y).square().mean(), (X, Y), reduction="mean"
    ),
    "list of layers": lambda m: hs.EmpiricalRisk(Listed(m), nn.MSELoss(), (X, Y)),
}


class Listed(nn.Module):
    def __init__(self, first: nn.Module) -> None:
        super().__init__()
        self.first, self.rest = first, [nn.Linear(2, 2).double()]

    def forward(self, x: Tensor) -> Tensor:
        return self.rest[0](self.first(x))


@pytest.mark.parametrize("name", OUTSIDE)
def test_trainable_tensors_outside_the_model_are_named(name: str) -> None:
    with pytest.warns(OutsideParameterWarning, match=r"not among the parameters.*nn.Parameter"):
        OUTSIDE[name](mlp(3, 4, 2))


def test_points_of_input_derivatives_are_no_parameters() -> None:
    """Control: collocation points require gradients, in the data, held by a closure, or inside."""
    points = X.clone().requires_grad_()

    def slopes(model: nn.Module, x: Tensor) -> Tensor:
        u = model(x).sum()
        return torch.autograd.grad(u, x, create_graph=True)[0]

    def inside(model: nn.Module, x: Tensor) -> Tensor:
        return slopes(model, x.clone().requires_grad_())

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hs.EmpiricalRisk.from_closure(mlp(3, 4, 1), lambda m: slopes(m, points).square().sum())
        hs.EmpiricalRisk(mlp(3, 4, 1), hs.SquaredError(), (points, X), forward=slopes)
        hs.EmpiricalRisk(mlp(3, 4, 1), hs.SquaredError(), (X, X), forward=inside)


def test_a_derivative_lost_at_one_point_is_announced() -> None:
    """sin(a)/a, guarded at zero, where autograd differentiates the constant."""

    class Guarded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.out = nn.Parameter(torch.zeros(2).double()), mlp(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            safe = torch.where(self.a == 0, torch.ones_like(self.a), self.a)
            return self.out(x) * torch.where(self.a == 0, torch.ones_like(safe), safe.sin() / safe)

    with pytest.warns(SelfCheckWarning, match="most in the rows of 'a', but agree beside them"):
        hs.Hessian(hs.EmpiricalRisk(Guarded(), nn.MSELoss(), (X, Y)))


def test_a_kink_exactly_at_the_parameters_is_announced() -> None:
    """ReLU of exact zeros: neither gradient nor Hessian exists, and autograd gives one side."""
    model = mlp(3, 5, 2, activation=nn.ReLU)
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (X, Y))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hs.Hessian(risk)  # kinks elsewhere say nothing
    nn.init.zeros_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    with pytest.warns(SelfCheckWarning, match="a kink exactly here") as said:
        hs.Hessian(hs.EmpiricalRisk(model, nn.MSELoss(), (X, Y)))
    assert len(said) == 1


def test_a_term_that_sets_in_later_and_has_no_gradient_is_refused() -> None:
    """The short check of a known model looks at the slope too."""
    model: Any = mlp(3, 4, 2)

    def loss(f: Tensor, y: Tensor) -> Tensor:
        size = model[0].weight.norm()
        late = 10 * (size.detach() - 10).relu().square()
        return (f - y).square().mean() + late * model[0].weight.detach().square().sum()

    risk = hs.EmpiricalRisk(model, loss, (X, Y), reduction="mean")
    hs.Hessian(risk)
    with pytest.raises(SelfCheckError, match="gradient gives a slope"):
        hs.Hessian(risk.at(20 * risk.theta))


class Adapting(nn.Module):
    """Takes a step of gradient descent in its own parameters (as meta-learning does)."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = mlp(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        own = list(self.inner.parameters())
        support = torch.tanh(self.inner(X)).square().mean()
        grads = torch.autograd.grad(support, own, create_graph=True)
        weight, bias = (p - 0.1 * g for p, g in zip(own, grads, strict=True))
        return F.linear(x, weight, bias)


def test_models_that_differentiate_in_their_parameters() -> None:
    model = Adapting()
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (X, Y))
    _, expected = by_hand(model, lambda: F.mse_loss(model(X), Y))
    found = hs.Hessian(risk).dense()
    assert float((found - expected).norm()) < 1e-7 * float(expected.norm())


@pytest.mark.parametrize("unit", [1e-20, 1e-12, 1e-6, 1e6])
def test_parameters_in_physical_units(unit: float) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rate = nn.Parameter(torch.tensor([0.7 * unit], dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return torch.exp(-(x[:, :2] ** 2) * self.rate / unit)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = hs.Hessian(hs.EmpiricalRisk(Scaled(), nn.MSELoss(), (X, Y))).dense() * unit**2
    rate = torch.tensor(0.7, dtype=torch.float64)
    value: Any = torch.autograd.functional.hessian(
        lambda r: F.mse_loss(torch.exp(-(X[:, :2] ** 2) * r), Y), rate
    )
    assert float(found) == pytest.approx(float(value), rel=1e-10)


def test_tensors_kept_between_passes_are_refused() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)).double()
    with (
        nn.utils.parametrize.cached(),
        pytest.raises(InputError, match="a second forward pass does not depend on"),
    ):
        hs.EmpiricalRisk(nn.Sequential(layer, nn.Tanh()), nn.MSELoss(), (X, Y))


def test_jacobians_row_by_row_stay_within_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that do not fit are formed again for every product, with the same result."""
    risk = risk_of(network(in_numpy, torch.float64), torch.float64)
    kept = hs.GaussNewton(risk)
    v = draw(risk.dim, 3, seed=4)
    monkeypatch.setattr("hessium.curvature.graph._ROWS_BYTES", 1000)
    again = hs.GaussNewton(risk)
    torch.testing.assert_close(again @ v, kept @ v, rtol=1e-12, atol=1e-14)


def test_undecided_checks_are_announced() -> None:
    """Gradients of a loss that rounds to a grid cannot be compared with its values."""

    class Coarse(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return (x * 1e3).round() / 1e3

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return grads[0]

    model = mlp(3, 4, 2)
    risk = hs.EmpiricalRisk(
        model,
        lambda f, y: Coarse.apply((f - y).square().sum()),  # type: ignore[no-untyped-call]
        (X, Y),
        reduction="sum",
    )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            hs.Hessian(risk)
        except SelfCheckError:
            return
    assert any(issubclass(w.category, SelfCheckWarning) for w in said)
