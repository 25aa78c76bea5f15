"""Products on networks as people use them, against double backward and against differences."""

from __future__ import annotations

import copy
import dataclasses
import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils._pytree import tree_map

import hessium as hs
from hessium.curvature.base import RiskOperator
from hessium.errors import InputError, RouteWarning
from support.network_cases import (
    MODELS,
    LanguageModel,
    adapters,
    language_model,
    llama,
    padded_tokens,
    scores,
)
from support.risk_cases import Problem, draw, mlp, quiet
from support.second_derivatives import Products, by_differences, by_double_backward, whole

OPERATORS: dict[str, Callable[[hs.EmpiricalRisk], RiskOperator]] = {
    "hessian": hs.Hessian,
    "gauss_newton": hs.GaussNewton,
    "residual": hs.ResidualHessian,
}
STEP = 1e-5  # of the differences: their error is about 1e-10 of the product, by both its causes


def unit_vector(size: int) -> Tensor:
    vector = draw(size, seed=11)
    return vector / vector.norm()


def products(risk: hs.EmpiricalRisk, vector: Tensor) -> Products:
    return Products(**{name: kind(risk) @ vector for name, kind in OPERATORS.items()})


def assert_equal(actual: Products, expected: Products, tolerance: float) -> None:
    scale = sum(float(getattr(expected, name).norm()) for name in OPERATORS)
    for name in OPERATORS:
        error = float((getattr(actual, name) - getattr(expected, name)).norm())
        assert error <= tolerance * scale, name


@pytest.mark.parametrize("name", MODELS)
# Python 3.12 warns that workers are forked
@pytest.mark.sampled
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_products(name: str) -> None:
    problem = MODELS[name]()
    risk = quiet(problem)
    vector = unit_vector(risk.dim)
    actual = products(risk, vector)
    assert_equal(actual, by_double_backward(problem, vector), 1e-12)
    assert_equal(actual, by_differences(problem, vector, STEP), 1e-8)


def test_the_references_tell_a_wrong_normalisation() -> None:
    """Control: the mean of the batches' means is what most tools take, and is another function."""
    problem = language_model(fused=True)
    batches = list(problem.batches)
    vector = unit_vector(quiet(problem).dim)
    parts = [by_double_backward(dataclasses.replace(problem, batches=[b]), vector) for b in batches]
    mean = Products(*(sum(getattr(p, name) for p in parts) / 2 for name in OPERATORS))
    with pytest.raises(AssertionError, match="hessian"):
        assert_equal(mean, by_differences(problem, vector, STEP), 1e-3)


@pytest.mark.parametrize(
    ("plain", "fused"),
    [
        ("language-model-matmul", "language-model-fused"),
        pytest.param("gpt2-eager", "gpt2-sdpa", marks=pytest.mark.slow),
    ],
)
def test_attention_by_products_and_fused_is_the_same(plain: str, fused: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RouteWarning)  # nothing to say about matrix products
        one = MODELS[plain]().risk()
    with pytest.warns(RouteWarning, match="MATH kernel"):
        other = MODELS[fused]().risk()
    vector = unit_vector(one.dim)
    assert_equal(products(one, vector), products(other, vector), 1e-12)


def test_layer_blocks_are_blocks_of_the_whole() -> None:
    risk = quiet(language_model(fused=True))
    hessian = hs.Hessian(risk)
    for layer in ("tokens", "blocks.0.attention", "blocks.1.mlp", "norm"):
        part = risk.restrict([layer])
        places = torch.cat([torch.arange(risk.dim)[risk.layout.slice(n)] for n in part.names])
        assert all(name.startswith(layer) for name in part.names)
        vector = unit_vector(part.dim)
        embedded = torch.zeros(risk.dim, dtype=torch.float64)
        embedded[places] = vector
        expected = (hessian @ embedded)[places]
        torch.testing.assert_close(hs.Hessian(part) @ vector, expected, rtol=1e-11, atol=1e-13)


def test_adapters_are_all_that_is_free() -> None:
    risk = quiet(adapters())
    assert all(".down." in name or ".up." in name for name in risk.names)
    pairs = hs.eigenpairs(hs.Hessian(risk), 2)
    assert pairs.converged.all()
    expected = torch.linalg.eigvalsh(hs.Hessian(risk).dense()).abs().sort().values[-2:]
    torch.testing.assert_close(
        torch.as_tensor(abs(pairs.values)).sort().values, expected, rtol=1e-9, atol=0
    )


def test_the_padding_row_of_an_embedding_is_fixed() -> None:
    """No gradient reaches it by torch's own rule, so it counts as a constant, not as zero."""
    model = nn.Sequential(nn.Embedding(5, 3, padding_idx=0), nn.Flatten(), nn.Tanh(), mlp(6, 2))
    tokens = torch.tensor([[0, 1], [2, 0], [3, 4], [1, 1]])
    problem = Problem(model.double(), nn.MSELoss(), [(tokens, draw(4, 2))])
    risk = problem.risk()
    matrix = hs.Hessian(risk).dense()
    assert not matrix[:3].any()
    assert not matrix[:, :3].any()
    vector = unit_vector(risk.dim)
    vector[:3] = 0
    assert_equal(products(risk, vector), by_differences(problem, vector, STEP), 1e-8)


# --- precision ------------------------------------------------------------------------------------


def single(problem: Problem, dtype: torch.dtype = torch.float32) -> Problem:
    """Model and data as they come out of training."""
    batches = tree_map(
        lambda t: t.to(dtype) if isinstance(t, Tensor) and t.is_floating_point() else t,
        [(inputs, targets) for inputs, targets in problem.batches],
    )
    return dataclasses.replace(problem, model=problem.model.to(dtype), batches=batches)


@pytest.mark.parametrize("name", ["resnet-batch-norm", "loader-with-workers", "lstm"])
def test_upcast_on_request(name: str) -> None:
    """The float32 numbers, in float64 arithmetic: as if the user had converted all of it."""
    problem = single(MODELS[name]())
    if isinstance(problem.loss, nn.CrossEntropyLoss) and problem.loss.weight is not None:
        problem.loss.float()
    risk = hs.EmpiricalRisk(problem.model, problem.loss, problem.batches, dtype=torch.float64)
    assert risk.dtype == torch.float64
    assert {p.dtype for p in problem.model.parameters()} == {torch.float32}
    vector = unit_vector(risk.dim)
    actual = products(risk, vector)
    converted = single(dataclasses.replace(problem, loss=problem.loss.double()), torch.float64)
    assert_equal(actual, by_double_backward(converted, vector), 1e-12)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_model_that_rounds_inside_is_refused_or_upcast(attention: str) -> None:
    model, data = llama(attention), padded_tokens(17)

    def risk(model: nn.Module, **options: Any) -> hs.EmpiricalRisk:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RouteWarning)
            return hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), data, forward=scores, **options)

    with pytest.raises(InputError, match=r"computes in torch.float32 inside.*dtype=torch.float64"):
        risk(copy.deepcopy(model).double())
    exact = risk(model, dtype=torch.float64)
    vector = unit_vector(exact.dim)
    product = hs.Hessian(exact) @ vector
    # differences of gradients: a single float32 operation left would make them 1e-2 wrong
    up, down = (exact.at(exact.theta + t * vector).gradient() for t in (STEP, -STEP))
    assert float(((up - down) / (2 * STEP) - product).norm()) < 1e-8 * float(product.norm())
    # and the model as it is, in float32, is the same to its rounding
    rounded = hs.Hessian(risk(model)) @ vector.float()
    assert 1e-9 < float((rounded - product).norm() / product.norm()) < 1e-4
    halved = risk(copy.deepcopy(model).bfloat16(), dtype=torch.float32)
    assert halved.dtype == torch.float32
    assert torch.isfinite(hs.GaussNewton(halved) @ vector.float()).all()


def test_adapters_on_a_base_in_half_precision() -> None:
    problem = single(adapters())
    for parameter in problem.model.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.bfloat16()
    with pytest.raises(InputError, match=r"model: .*(BFloat16|bfloat16)"):
        quiet(problem)
    with pytest.warns(RouteWarning, match="MATH"):
        risk = hs.EmpiricalRisk(problem.model, problem.loss, problem.batches, dtype=torch.float64)
    vector = unit_vector(risk.dim)
    converted = dataclasses.replace(problem, model=copy.deepcopy(problem.model).double())
    assert_equal(products(risk, vector), by_double_backward(converted, vector), 1e-12)


def in_single(outputs: Tensor, targets: Tensor) -> Tensor:
    """A user's own loss that casts, as those of language models do."""
    return F.mse_loss(outputs.float(), targets.float())


def test_a_loss_that_rounds_is_refused_or_upcast() -> None:
    model, data = mlp(3, 4, 2), (draw(6, 3), draw(6, 2, seed=3))
    with pytest.raises(InputError, match=r"loss: .*in_single.* computes in torch.float32 inside"):
        hs.EmpiricalRisk(model, in_single, data, reduction="mean")
    risk = hs.EmpiricalRisk(model, in_single, data, reduction="mean", dtype=torch.float64)
    vector = unit_vector(risk.dim)
    expected = by_double_backward(Problem(model, nn.MSELoss(reduction="sum"), [data]), vector)
    # a mean over samples is what was said, and one over entries what it is: refused elsewhere
    torch.testing.assert_close(hs.Hessian(risk) @ vector, expected.hessian / 12)


class Autocast(nn.Module):
    """Switches to half precision by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = mlp(3, 4, 2).float()

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.inner(x).float()


def test_autocast_inside_the_model_is_refused_or_suspended() -> None:
    model, data = Autocast(), (draw(6, 3).float(), draw(6, 2, seed=3).float())
    with pytest.raises(InputError, match=r"computes in torch\.bfloat16 inside"):
        hs.EmpiricalRisk(model, nn.MSELoss(), data)
    found = hs.EmpiricalRisk(model, nn.MSELoss(), data, dtype=torch.float32)
    expected = hs.EmpiricalRisk(model.inner, nn.MSELoss(), data)
    assert torch.equal(hs.Hessian(found).dense(), hs.Hessian(expected).dense())


# --- what has no Hessian, or not this way ---------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt2-sdpa", "encoder", "lstm"])
def test_dropout_is_refused_until_it_is_off(name: str) -> None:
    problem = MODELS[name]()
    for module in problem.model.modules():
        if isinstance(module, nn.LSTM):
            module.dropout = 0.1
    problem.model.train()
    with pytest.raises(InputError, match=r"in training mode.*call model\.eval\(\) first"):
        quiet(problem)


class Blocked(nn.Module):
    """A first layer out of reach of gradients."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.first, self.second, self.how = mlp(3, 4), mlp(4, 2), how

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "detach":
            return self.second(self.first(x).detach())
        if self.how == "no_grad":
            with torch.no_grad():
                hidden = self.first(x)
            return self.second(hidden)
        hidden = torch.utils.checkpoint.checkpoint(self.first, x, use_reentrant=True)
        return self.second(hidden)


@pytest.mark.parametrize("how", ["detach", "no_grad", "reentrant"])
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")
def test_a_gradient_that_is_cut_off_is_refused(how: str) -> None:
    """Its rows of the Hessian would be zero, and no look at gradients alone could tell."""
    data = (draw(6, 3), draw(6, 2, seed=3))
    pattern = re.escape("the loss changes with 'first.0.weight', but no gradient reaches it")
    with pytest.raises(InputError, match=pattern):
        hs.EmpiricalRisk(Blocked(how), nn.MSELoss(), data)
    if how != "reentrant":
        model = Blocked(how)
        model.first.requires_grad_(False)
        assert hs.EmpiricalRisk(model, nn.MSELoss(), data).dim == 10


class Bags(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(9, 2, mode="mean")

    def forward(self, items: Tensor) -> Tensor:
        return torch.tanh(self.bag(items))


def test_an_operation_without_a_second_derivative_is_named() -> None:
    data = (torch.arange(12).view(6, 2) % 9, draw(6, 2))
    risk = hs.EmpiricalRisk(Bags().double(), nn.MSELoss(), data)
    with pytest.raises(InputError, match=r"differentiate .* twice \(.*_embedding_bag_backward"):
        hs.Hessian(risk)


# --- on a GPU -------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", [n for n in MODELS if n != "loader-with-workers"])
def test_products_on_a_gpu(name: str) -> None:
    problem = MODELS[name]()
    vector = unit_vector(quiet(problem).dim)
    expected = by_double_backward(problem, vector)
    inputs, targets = tree_map(lambda t: t.cuda(), whole(problem))
    there = dataclasses.replace(
        problem, model=copy.deepcopy(problem.model).cuda(), batches=[(inputs, targets)]
    )
    found = products(quiet(there), vector.cuda())
    on_cpu = Products(**{name: getattr(found, name).cpu() for name in OPERATORS})
    assert_equal(on_cpu, expected, 1e-10)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_half_precision_attention_on_a_gpu() -> None:
    model = LanguageModel(fused=True).cuda().bfloat16().eval()
    data = [(x.cuda(), y.cuda()) for x, y in padded_tokens(11)]
    with pytest.warns(RouteWarning, match="MATH"):
        risk = hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), data, dtype=torch.float32)
    assert hs.eigenpairs(hs.Hessian(risk), 1).converged.all()
