"""Closed forms against torch's own formulas, differences, and dense Hessians without them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.autograd import forward_ad

import hessium as hs
from hessium.curvature.closed_forms import mode, pointwise
from hessium.curvature.closed_forms.mode import ClosedForms
from hessium.errors import SelfCheckError
from support.risk_cases import draw

OWN = ("ActivationBackward", "NormalisationBackward", "ConvolutionBackward", "AddcmulBackward0")
MEAN, VARIANCE = draw(4, seed=7), draw(4, seed=8).square() + 0.5


@pytest.fixture(autouse=True)
def for_small_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mode, "_SMALLEST", 1)


def inputs(*shapes: Sequence[int]) -> list[Tensor]:
    return [draw(*shape, seed=k).requires_grad_() for k, shape in enumerate(shapes)]


X = (3, 4, 5, 2)
CASES: dict[str, tuple[Callable[..., Tensor], list[Sequence[int]]]] = {
    "gelu": (F.gelu, [X]),
    "gelu by tanh": (lambda x: F.gelu(x, approximate="tanh"), [X]),
    "silu": (F.silu, [X]),
    "softplus": (lambda x: F.softplus(x, beta=2.0), [X]),
    "mish": (F.mish, [X]),
    "layer norm": (lambda x, w, b: F.layer_norm(x, (5, 2), w, b), [X, (5, 2), (5, 2)]),
    "layer norm, no bias": (lambda x, w: F.layer_norm(x, (2,), w, eps=0.1), [X, (2,)]),
    "layer norm, bare": (lambda x: F.layer_norm(x, (4, 5, 2)), [X]),
    "group norm": (lambda x, w, b: F.group_norm(x, 2, w, b), [X, (4,), (4,)]),
    "group norm, bare": (lambda x: F.group_norm(x, 4), [X]),
    "RMS norm": (lambda x, w: F.rms_norm(x, (5, 2), w, 0.1), [X, (5, 2)]),
    "RMS norm, bare": (lambda x: F.rms_norm(x, (4, 5, 2)), [X]),
    "batch norm": (
        lambda x, w, b: F.batch_norm(x, MEAN, VARIANCE, w, b, eps=0.1), [X, (4,), (4,)],
    ),
    "batch norm, no bias": (lambda x, w: F.batch_norm(x, MEAN, VARIANCE, w), [(3, 4), (4,)]),
    "convolution": (
        lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1), [X, (6, 4, 3, 2), (6,)],
    ),
    "convolution in groups": (
        lambda x, w: F.conv2d(x, w, dilation=(2, 1), groups=2, padding=(1, 0)), [X, (6, 2, 2, 2)],
    ),
    "convolution in 1-d": (lambda x, w: F.conv1d(x, w, padding=1), [(3, 4, 7), (2, 4, 3)]),
    "convolution in 3-d": (lambda x, w: F.conv3d(x, w), [(2, 3, 3, 4, 2), (2, 3, 2, 2, 2)]),
}  # fmt: skip


def replaced(function: Callable[..., Tensor], *, linear: bool = False) -> Callable[..., Tensor]:
    def with_forms(*args: Tensor) -> Tensor:
        with ClosedForms(linear=linear):
            y = function(*args)
        assert type(y.grad_fn).__name__ in OWN
        return y

    return with_forms


def products(function: Callable[..., Tensor], args: list[Tensor], *, batched: bool) -> Tensor:
    """Products of the Hessian of a nonlinear function of the output with three vectors."""
    y = function(*args)
    total = (y.pow(3) * draw(*y.shape, seed=9)).sum()
    gradient = torch.autograd.grad(total, args, create_graph=True)
    vectors = [draw(3, *a.shape, seed=20 + k) for k, a in enumerate(args)]
    if batched:
        found = torch.autograd.grad(gradient, args, vectors, is_grads_batched=True)
        return torch.cat([part.reshape(3, -1) for part in found], 1)
    rows = [
        torch.autograd.grad(gradient, args, [v[k] for v in vectors], retain_graph=True)
        for k in range(3)
    ]
    return torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows])


@pytest.mark.parametrize("name", CASES)
def test_products_are_those_of_torch(name: str) -> None:
    function, shapes = CASES[name]
    args = inputs(*shapes)
    expected = products(function, args, batched=False)
    for batched in (False, True):
        found = products(replaced(function), args, batched=batched)
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_those_of_differences(name: str) -> None:
    function, shapes = CASES[name]
    args = tuple(inputs(*shapes))
    quick: dict[str, Any] = {"fast_mode": True}
    assert torch.autograd.gradcheck(replaced(function), args, **quick)
    assert torch.autograd.gradgradcheck(replaced(function), args, **quick)


@pytest.mark.parametrize("name", CASES)
def test_higher_derivatives_are_those_of_torch(name: str) -> None:
    function, shapes = CASES[name]
    args = inputs(*shapes)

    def fourth(f: Callable[..., Tensor]) -> Tensor:
        y = f(*args)
        scalar = (y.pow(2) * draw(*y.shape, seed=9)).sum()
        for _ in range(3):
            parts = torch.autograd.grad(scalar, args, create_graph=True, allow_unused=True)
            scalar = torch.stack([part.square().sum() for part in parts if part is not None]).sum()
        (found,) = torch.autograd.grad(scalar, args[:1])
        return found

    expected = fourth(function)
    torch.testing.assert_close(fourth(replaced(function)), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_jacobian_products_need_less(name: str) -> None:
    """J v as the derivative of J^T u in u, and J^T w, with forms that are linear only."""
    function, shapes = CASES[name]
    args = inputs(*shapes)

    def both(f: Callable[..., Tensor]) -> Tensor:
        y = f(*args)
        dual = torch.zeros_like(y, requires_grad=True)
        pulled = torch.autograd.grad(y, args, dual, create_graph=True)
        (pushed,) = torch.autograd.grad(
            pulled, dual, [draw(*a.shape, seed=5) for a in args], retain_graph=True
        )
        back = torch.autograd.grad(y, args, draw(*y.shape, seed=6))
        return torch.cat([pushed.reshape(-1), *(part.reshape(-1) for part in back)])

    expected = both(function)
    torch.testing.assert_close(
        both(replaced(function, linear=True)), expected, rtol=1e-11, atol=1e-11
    )


class Net(nn.Module):
    """All kinds of layers that have forms, and some of those that have not."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.GELU(),
            nn.Conv2d(4, 4, 3, 2),
            nn.Mish(), nn.Flatten(), nn.Linear(16, 6), nn.LayerNorm(6), nn.SiLU(),
            nn.Linear(6, 3), nn.Softplus(), nn.Tanh(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@pytest.mark.sampled
@pytest.mark.parametrize("kind", [hs.Hessian, hs.ResidualHessian, hs.GaussNewton])
@pytest.mark.parametrize("route", ["retained", "streaming", "traced"])
def test_operators_are_the_same_without_them(
    kind: Any, route: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = Net().double()
    risk = hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), (draw(8, 2, 5, 5), torch.arange(8) % 3))
    block = draw(risk.dim, 3, seed=4)
    operator = kind(risk, route=route)
    found, single = operator @ block, operator @ block[:, 0]
    monkeypatch.setattr(mode, "_FORMS", {})
    expected = kind(risk, route="streaming", check=False) @ block
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(single, expected[:, 0], rtol=1e-10, atol=1e-12)


def test_what_has_no_form_is_left_to_torch() -> None:
    x, w = inputs((3, 4, 6, 6), (2, 4, 3, 3))
    with ClosedForms():
        left = [
            F.silu(x * 1.0, inplace=True),
            F.conv2d(x, w, padding="same"),
            F.gelu(x.detach()),
            F.layer_norm(x.transpose(2, 3), (6, 6)),
            F.batch_norm(x, MEAN.clone(), VARIANCE.clone(), w[0, :, 0, 0], training=True),
            F.batch_norm(x, MEAN, VARIANCE),
            torch.tanh(x),
        ]
        with torch.no_grad():
            left.append(F.gelu(x))
    assert not any(type(y.grad_fn).__name__ in OWN for y in left)
    y = F.gelu(x)  # outside
    assert type(y.grad_fn).__name__ not in OWN


def test_activations_that_are_recomputed_are_left_to_torch() -> None:
    class Recomputed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.LayerNorm(4))
            self.last = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            again = torch.utils.checkpoint.checkpoint(self.inner, x, use_reentrant=False)
            return self.last(again)

    model = Recomputed().double()
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (draw(9, 3), draw(9, 2, seed=1)))
    matrix = hs.Hessian(risk).dense()
    model.forward = lambda x: model.last(model.inner(x))  # type: ignore[method-assign]
    plain = hs.EmpiricalRisk(model, nn.MSELoss(), (draw(9, 3), draw(9, 2, seed=1)))
    torch.testing.assert_close(matrix, hs.Hessian(plain).dense(), rtol=1e-10, atol=1e-12)


class Residual(nn.Module):
    """A differential equation: the forward pass differentiates in its inputs, twice."""

    def __init__(self, *, functional: bool) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, 6), nn.SiLU(), nn.LayerNorm(6), nn.Linear(6, 6), nn.GELU(), nn.Linear(6, 1)
        )
        self.functional = functional

    def forward(self, x: Tensor) -> Tensor:
        if self.functional:
            slope = torch.func.grad(lambda one: self.net(one).squeeze())
            bend = torch.func.jacrev(slope)
            return torch.func.vmap(slope)(x)[:, :1] - torch.func.vmap(bend)(x)[:, 1, 1:]
        x = x.detach().requires_grad_()
        (slopes,) = torch.autograd.grad(self.net(x).sum(), x, create_graph=True)
        (bends,) = torch.autograd.grad(slopes[:, 1].sum(), x, create_graph=True)
        return slopes[:, :1] - bends[:, 1:]


@pytest.mark.parametrize("functional", [False, True])
@pytest.mark.parametrize("kind", [hs.Hessian, hs.GaussNewton])
def test_derivatives_inside_of_a_forward_pass(
    kind: Any, functional: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = Residual(functional=functional).double()
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (draw(7, 2), draw(7, 1, seed=1)))
    block = draw(risk.dim, 2, seed=4)
    found = kind(risk, check=False) @ block
    monkeypatch.setattr(mode, "_FORMS", {})
    expected = kind(risk, check=False) @ block
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # inside torch
def test_transforms_and_duals_around_a_call_are_left_to_torch() -> None:
    z, scales = inputs((6, 8), (3,))
    with ClosedForms():
        found = torch.func.vmap(lambda c: F.gelu(z) * c)(scales).sum(0)
        with forward_ad.dual_level():
            pair = forward_ad.unpack_dual(F.gelu(forward_ad.make_dual(z, torch.ones_like(z))))
    torch.testing.assert_close(found, F.gelu(z) * scales.sum())
    (slope,) = torch.autograd.grad(F.gelu(z).sum(), z)
    torch.testing.assert_close(pair.tangent, slope)


def test_keywords_of_torch_and_rows_without_samples() -> None:
    x, w = inputs((4, 5), (4, 5))
    for function in (
        lambda x, w: torch.layer_norm(x, normalized_shape=(4, 5), weight=w),
        lambda x, w: torch.group_norm(x * w, num_groups=5),
    ):
        expected = products(function, [x, w], batched=False)
        found = products(replaced(function), [x, w], batched=True)
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def test_blocks_are_vectorised() -> None:
    """No operation of a form is without a batching rule, which torch replaces by a slow loop."""
    for name in CASES:
        function, shapes = CASES[name]
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*batching rule")
            products(replaced(function), inputs(*shapes), batched=True)


def test_a_wrong_form_is_found_whatever_the_size_of_the_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mode, "_SMALLEST", 2**12)
    right = pointwise._Slope.backward

    def wrong(ctx: Any, *grads: Any) -> Any:
        in_g, in_x, *rest = right(ctx, *grads)
        return (in_g, 3 * in_x, *rest)

    monkeypatch.setattr(pointwise._Slope, "backward", staticmethod(wrong))
    for samples in (64, 100, 128, 600):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 64), nn.GELU(), nn.Linear(64, 3)).double()
        data = draw(samples, 8), draw(samples, 3, seed=1)
        with pytest.raises(SelfCheckError, match="products disagree"):
            hs.Hessian(hs.EmpiricalRisk(model, nn.MSELoss(), data))


def test_another_forward_pass_of_the_same_risk_may_recompute() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 2)).double()
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (draw(9, 3), draw(9, 2, seed=1)))
    again = risk.through(
        lambda model, x: torch.utils.checkpoint.checkpoint(model, x, use_reentrant=False)
    )
    v = draw(risk.dim, seed=2)
    found = hs.Hessian(again, check=False) @ v
    torch.testing.assert_close(found, hs.Hessian(risk) @ v, rtol=1e-10, atol=1e-12)
