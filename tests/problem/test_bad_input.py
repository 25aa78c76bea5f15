"""Every kind of bad input gets one sentence with the argument, its value and the rule."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import hessium as hs
from hessium.errors import InputError
from support.risk_cases import classes, draw, mlp

X, Y = draw(6, 3), draw(6, 2, seed=3)


def regression(model: nn.Module | None = None, x: Any = X, y: Any = Y, **options: Any) -> Any:
    return hs.EmpiricalRisk(
        model or mlp(3, 4, 2), options.pop("loss", nn.MSELoss()), (x, y), **options
    )


def poisoned(tensor: Tensor, value: float) -> Tensor:
    copy = tensor.clone()
    copy.view(-1)[4] = value
    return copy


def with_parameter(value: float) -> nn.Module:
    model = mlp(3, 4, 2)
    with torch.no_grad():
        next(model.parameters()).view(-1)[1] = value
    return model


def integer_parameter() -> nn.Module:
    model = mlp(3, 4, 2)
    model.table = nn.Parameter(torch.arange(3), requires_grad=False)
    return model


def mixed_precision() -> nn.Module:
    model = mlp(3, 4, 2)
    for parameter in list(model.parameters())[:2]:
        parameter.data = parameter.data.float()
    return model


def sharing_memory(how: str) -> Any:
    model: Any = mlp(3, 3, 3, 2)
    first, second = model[0], model[2]
    if how == "parameters":
        second.weight.data = first.weight.data
    elif how == "frozen":
        second.weight.data = first.weight.data
        second.requires_grad_(False)
    elif how == "buffer":
        second.register_buffer("view", first.weight.detach()[1:])
    else:
        second.view = first.weight.detach()
    return model


def regression_sharing_memory(how: str) -> Any:
    return regression(sharing_memory(how))


def frozen() -> nn.Module:
    return mlp(3, 4, 2).requires_grad_(False)


def training(layer: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), layer, nn.Linear(4, 2)).double().train()


class Noisy(nn.Module):
    """Random by a functional call, which no list of module types can know."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = mlp(3, 4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(self.inner(x), 0.5, training=True)


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = mlp(3, 4, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.inner(x), x


def vector_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().sum(dim=1)


def nan_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).sum() * float("nan")


class Sparse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3, 2, dtype=torch.float64).to_sparse())

    def forward(self, x: Tensor) -> Tensor:
        return torch.sparse.mm(self.weight.t(), x.T).T


def with_extra(parameter: Tensor, *, frozen: bool = False) -> nn.Module:
    model = mlp(3, 4, 2).requires_grad_(not frozen)
    model.extra = nn.Parameter(parameter)
    return model


def calls_backward(module: nn.Module) -> Tensor:
    loss = module(X).square().sum()
    loss.backward(retain_graph=True)
    return loss


def closure(function: Callable[..., Any]) -> hs.EmpiricalRisk:
    return hs.EmpiricalRisk.from_closure(mlp(3, 4, 2), function)


class Escaping(nn.Module):
    """Reads its weight from a list, out of reach of who wants to replace it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 3, dtype=torch.float64))
        self.aside = [self.weight]

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.aside[0].T


class Shut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = mlp(3, 4, 2)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def token_mean(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs, targets, ignore_index=0)


def coupled(outputs: Tensor, targets: Tensor) -> Tensor:
    half = len(outputs) // 2
    return (outputs[:half] - outputs[half : 2 * half]).square().sum()


def batches(loss: Any, y: Tensor, **options: Any) -> Any:
    data = [(X[:4], y[:4]), (X[4:], y[4:])]
    return hs.EmpiricalRisk(mlp(3, 4, 2), loss, data, **options)


META = torch.zeros(6, 3, device="meta", dtype=torch.float64)

BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "dtype": (lambda: regression(dtype=torch.bfloat16), "dtype: torch.bfloat16; torch.float32, torch.float64 or None"),
    "no batches": (lambda: hs.EmpiricalRisk(mlp(3, 4, 2), nn.MSELoss(), []), "data: no batches"),
    "no samples": (lambda: regression(x=X[:0], y=Y[:0]), "data: batch 0 has no samples"),
    "nan inputs": (lambda: regression(x=poisoned(X, float("nan"))), "data: inputs of batch 0 have 1 of 18"),
    "inf targets": (lambda: regression(y=poisoned(Y, float("inf"))), "data: targets of batch 0 have 1 of 12"),
    "nan parameter": (lambda: regression(with_parameter(float("nan"))), "model: parameter '0.weight' has 1"),
    "vector loss": (lambda: regression(loss=vector_loss, reduction="mean"), r"loss: returned shape \(6,\)"),
    "nan loss": (lambda: regression(loss=nan_loss, reduction="sum"), "loss: is nan on batch 0"),
    "no reduction": (lambda: regression(loss=vector_loss), "loss: vector_loss has no known reduction"),
    "reduction none": (lambda: regression(loss=nn.MSELoss(reduction="none")), "reduction: 'none'"),
    "reduction twice": (lambda: regression(reduction="sum"), "reduction: 'sum' contradicts MSELoss"),
    "dropout": (lambda: regression(training(nn.Dropout())), r"model: Dropout '1' is in training mode.*eval\(\)"),
    "batch norm": (lambda: regression(training(nn.BatchNorm1d(4))), "model: BatchNorm1d '1' is in training mode"),
    "random model": (lambda: regression(Noisy()), "data, model: two passes gave losses"),
    "generator": (lambda: hs.EmpiricalRisk(mlp(3, 4, 2), nn.MSELoss(), ((X, Y) for _ in range(2))), "data: generator can be read only once"),
    "dataset": (lambda: hs.EmpiricalRisk(mlp(3, 4, 2), nn.MSELoss(), TensorDataset(X, Y)), "data: TensorDataset yields single samples"),
    "float16": (lambda: regression(mlp(3, 4, 2).half()), "model: parameter '0.weight' has dtype torch.float16"),
    "bfloat16": (lambda: regression(mlp(3, 4, 2).bfloat16()), "dtype torch.bfloat16"),
    "integers": (lambda: regression(integer_parameter()), "model: parameter 'table' has dtype torch.int64"),
    "mixed": (lambda: regression(mixed_precision()), "model: trainable parameters differ in dtype"),
    "complex": (lambda: regression(x=X.to(torch.complex128)), "data: inputs of batch 0 are complex"),
    "frozen": (lambda: regression(frozen()), "model: all 4 parameters are frozen"),
    "broadcast": (lambda: regression(mlp(3, 4, 1), y=Y[:, 0]), r"data: targets have shape \(6,\), outputs \(6, 1\)"),
    "broadcast huber": (lambda: regression(mlp(3, 4, 1), y=Y[:, 0], loss=nn.HuberLoss()), "no silent broadcasting"),
    "broadcast ours": (lambda: regression(mlp(3, 4, 1), y=Y[:, 0], loss=hs.SquaredError()), "no silent broadcasting"),
    "device": (lambda: regression(x=META), "data: inputs of batch 0 are on meta.*parameters on cpu"),
    "input dtype": (lambda: regression(x=X.float()), r"model: its forward pass failed.*float64.*float32"),
    "input shape": (lambda: regression(x=X[:, :2]), r"model: its forward pass failed.*\(6, 2\)"),
    "output pair": (lambda: regression(Pair()), "model: returned a tuple; a tensor is required"),
    "class range": (lambda: regression(y=classes(6, high=5), loss=nn.CrossEntropyLoss()), "data: class targets span"),
    "all ignored": (lambda: regression(y=torch.full((6,), -100), loss=nn.CrossEntropyLoss()), "data: the mean is over 0 targets"),
    "scale": (lambda: hs.SquaredError(scale=-1.0), "scale: -1.0; a positive finite number"),
    "scale inf": (lambda: hs.SquaredError(scale=float("inf")), "scale: inf"),
    "closure vector": (lambda: hs.EmpiricalRisk.from_closure(mlp(3, 4, 2), lambda m: m(X)), r"closure: returned shape \(6, 2\)"),
    "theta shape": (lambda: regression().at(torch.zeros(3).double()), r"theta: \(3,\) torch.float64.*shape \(26,\)"),
    "theta dtype": (lambda: regression().at(torch.zeros(26)), "theta: .*float32.*float64"),
    "theta nan": (lambda: regression().at(torch.full((26,), float("nan")).double()), "theta: 26 entries are NaN"),
    "restrict": (lambda: regression().restrict(["7.weight"]), "names: '7.weight' matches none of 0.weight"),
    "restrict none": (lambda: regression().restrict([]), r"names: \[\]; a non-empty list"),
    "closure without module": (lambda: closure(lambda: X.sum()), "closure: returned a number without a graph"),
    "closure of two": (lambda: closure(lambda m, x: m(x).sum()), "closure: .* must take the module"),
    "closure float": (lambda: closure(lambda m: m(X).sum().item()), "closure: returned float; one real number"),
    "closure none": (lambda: closure(lambda m: None), "closure: returned NoneType"),
    "closure complex": (lambda: closure(lambda m: m(X).sum() * 1j), "closure: returned a number of dtype torch.complex128"),
    "closure detached": (lambda: closure(lambda m: m(X).sum().detach()), "closure: returned a number without a graph"),
    "closure nan": (lambda: closure(lambda m: m(X).sum() * float("nan")), "closure: returned nan; a finite"),
    "closure fails": (lambda: closure(lambda m: m(X[:, :2]).sum()), "closure: failed"),
    "closure backward": (lambda: closure(calls_backward), r"closure: calls backward\(\)"),
    "loss of integers": (lambda: regression(loss=lambda f, y: (f > y).sum(), reduction="sum"), "loss: returned a number of dtype torch.int64"),
    "loss complex": (lambda: regression(loss=lambda f, y: (f - y).sum() * 1j, reduction="sum"), "loss: returned a number of dtype torch.complex128"),
    "loss float": (lambda: regression(loss=lambda f, y: (f - y).sum().item(), reduction="sum"), "loss: returned float"),
    "loss fails": (lambda: regression(loss=lambda f, y: f[{}], reduction="sum"), "loss: CallableLoss.* failed on batch 0"),
    "reduction fails": (lambda: regression(loss=lambda f, y: f.sum(), reduction=lambda y: y["mask"].sum()), "loss: CallableLoss.* failed on batch 0"),
    "count fails": (lambda: regression(num_samples=lambda x, y: y["mask"]), "num_samples: failed on batch 0"),
    "count takes one": (lambda: regression(num_samples=lambda y: 6), r"num_samples: failed .*a function \(inputs, targets\)"),
    "count of a half": (lambda: regression(num_samples=lambda x, y: 5.5), "num_samples of batch 0: 5.5; an integer"),
    "count zero": (lambda: regression(num_samples=0), "num_samples: 0; an integer >= 1"),
    "meta parameter": (lambda: regression(mlp(3, 4, 2).to("meta")), "model: '0.weight' is on the meta device"),
    "sparse parameter": (lambda: regression(Sparse()), "model: parameter 'weight' is sparse"),
    "complex parameter": (lambda: regression(with_extra(torch.ones(2, dtype=torch.complex128))), "model: parameter 'extra' has dtype torch.complex128; .*view_as_real"),
    "lazy": (lambda: regression(nn.LazyLinear(2)), "model: 'weight' has no shape yet; run one batch"),
    "lazy buffer": (lambda: regression(nn.Sequential(nn.Linear(3, 2), nn.LazyBatchNorm1d(affine=False))), "model: '1.running_mean' has no shape yet"),
    "no entries": (lambda: regression(with_extra(torch.zeros(0).double(), frozen=True)), "model: its trainable parameters have no entries"),
    "gram of closure": (lambda: hs.Gram(hs.EmpiricalRisk.from_closure(mlp(3, 2), lambda m: m(X).sum())), "risk: the loss is returned by a closure .* no Gram matrix"),
    "vector length": (lambda: hs.Hessian(regression()) @ torch.zeros(3).double(), r"vectors: \(3,\)"),
    "vector dtype": (lambda: hs.Hessian(regression()) @ torch.zeros(26), "vectors: torch.float32.*torch.float64"),
    "memory": (lambda: hs.Hessian(regression()).dense(max_bytes=100), "max_bytes: .* dense 26 x 26"),
    "escaping": (lambda: regression(Escaping()), "model: its forward pass reads 'weight' from somewhere else"),
    **{
        f"memory shared with {how}": (partial(regression_sharing_memory, how), "model: '.*' and '.*' share memory")
        for how in ("parameters", "frozen", "buffer", "attribute")
    },
    "no grad inside": (lambda: regression(Shut()), "model, loss: no trainable parameter is reached"),
    "max norm": (lambda: regression(nn.Sequential(nn.Embedding(5, 2, max_norm=1.0), nn.Flatten()).double(), x=classes(6, 1, high=5)), "model: '0' has max_norm"),
    "sparse": (lambda: regression(nn.Sequential(nn.Embedding(5, 2, sparse=True), nn.Flatten()).double(), x=classes(6, 1, high=5)), "model: '0' has sparse gradients"),
    "not additive": (lambda: batches(token_mean, torch.tensor([0, 1, 0, 1, 1, 1]), reduction="mean"), "loss: over .* it is .* it must add up"),
    "coupled over batches": (lambda: batches(coupled, Y, reduction="sum"), "it must add up"),
    "coupled gram": (lambda: hs.Gram(regression(loss=coupled, reduction="sum")), "loss: couples different samples"),
    "kl broadcast": (lambda: regression(y=Y[0].exp(), loss=nn.KLDivLoss(reduction="batchmean")), "no silent broadcasting"),
    "module says sum": (lambda: regression(loss=nn.HingeEmbeddingLoss(reduction="sum"), reduction="mean"), "reduction: 'mean' contradicts the reduction 'sum'"),
    "own loss broadcasts": (lambda: regression(mlp(3, 4, 1), y=Y[:, 0], loss=lambda f, y: (f - y).square().mean(), reduction="mean"), r"data: targets have shape \(6,\), outputs \(6, 1\), and the loss broadcasts"),
    "class of a loss": (lambda: regression(loss=nn.MSELoss), r"loss: MSELoss is a class; make one: MSELoss\(\)"),
    "two tuples": (lambda: hs.EmpiricalRisk(mlp(3, 4, 2), nn.MSELoss(), ((X, X), (Y, Y))), "data: a tuple of two tuples"),
    "tol": (lambda: hs.rank(torch.eye(3), tol=2.0), "tol: 2.0; 0 <= tol < 1"),
    "asymmetric": (lambda: hs.spectrum(torch.triu(torch.ones(3, 3))), "matrix: differs from its transpose"),
    "not square": (lambda: hs.spectrum(torch.ones(3, 2)), r"matrix: shape \(3, 2\)"),
    "nan matrix": (lambda: hs.spectrum(torch.full((2, 2), float("nan"))), "matrix: 4 entries are NaN"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_one_sentence(name: str) -> None:
    build, pattern = BAD[name]
    with pytest.raises(InputError, match=pattern) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_model_put_in_training_mode_after_the_risk_was_made() -> None:
    model = training(nn.Dropout()).eval()
    risk = regression(model)
    model.train()
    with pytest.raises(InputError, match="training mode"):
        hs.Hessian(risk)


def test_model_put_in_training_mode_after_the_operator_was_made() -> None:
    model = nn.Sequential(mlp(3, 4, 2).double(), nn.Dropout(0.3)).eval()
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (draw(6, 3), draw(6, 2, seed=1)))
    H = hs.Hessian(risk, route="streaming")
    kept = hs.Hessian(risk)
    vector = draw(risk.dim)
    expected = kept @ vector
    model.train()
    for ask in (lambda: H @ vector, H.dense, lambda: hs.eigenpairs(H, 1)):
        with pytest.raises(InputError, match="Dropout '1' is in training mode"):
            ask()
    assert torch.equal(kept @ vector, expected)  # its graph was made before


def test_batch_norm_without_running_statistics() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2, track_running_stats=False)).double()
    with pytest.raises(InputError, match="running statistics"):
        hs.EmpiricalRisk(model.eval(), hs.SquaredError(), (draw(6, 3), draw(6, 2, seed=1)))


def test_without_checks_a_batch_norm_in_training_mode_leaves_its_buffers_alone() -> None:
    model = training(nn.BatchNorm1d(4))
    before = [b.clone() for b in model.buffers()]
    risk = regression(model, check=False)
    risk.value()
    hs.Hessian(risk, check=False).dense()
    assert all(torch.equal(b, a) for b, a in zip(before, model.buffers(), strict=True))


x: Any = torch.zeros(4, 3)
untyped: Any = hs
WRONG_TYPES: list[Callable[[], Any]] = [
    lambda: untyped.EmpiricalRisk("net", nn.MSELoss(), (x, x)),
    lambda: untyped.EmpiricalRisk(nn.Linear(3, 3), 3.0, (x, x)),
    lambda: untyped.EmpiricalRisk(nn.Linear(3, 3), nn.MSELoss(), 5),
    lambda: untyped.EmpiricalRisk(nn.Linear(3, 3), nn.MSELoss(), x),
    lambda: untyped.EmpiricalRisk(nn.Linear(3, 3), nn.MSELoss(), [x, x]),
    lambda: untyped.EmpiricalRisk(
        nn.Linear(3, 3), lambda f, y: f.sum(), (x, x), reduction="median"
    ),
    lambda: untyped.Hessian("risk"),
    lambda: untyped.GaussNewton(None),
    lambda: untyped.Gram(3),
    lambda: untyped.Linearization("risk"),
    lambda: untyped.spectrum("matrix"),
    lambda: untyped.Hessian(untyped.EmpiricalRisk(nn.Linear(3, 3), nn.MSELoss(), (x, x))) @ [1.0],
    lambda: untyped.EmpiricalRisk(nn.Linear(3, 3), nn.MSELoss(), (x, x)).at([1.0]),
    lambda: untyped.EmpiricalRisk(nn.Linear(3, 3), nn.MSELoss(), (x, x)).restrict("weight"),
    lambda: untyped.EmpiricalRisk(nn.Linear(3, 3), nn.MSELoss(), (x, x)).restrict([0]),
    lambda: untyped.EmpiricalRisk(nn.Linear(3, 3), nn.MSELoss(), {"x": x}, targets=3),
    lambda: untyped.EmpiricalRisk(nn.Linear(3, 3), nn.MSELoss(), (x, x), num_samples="x"),
    lambda: untyped.EmpiricalRisk(nn.Linear(3, 3), nn.MSELoss(), (x, x), num_samples=True),
    lambda: untyped.EmpiricalRisk(nn.Linear(3, 3), nn.MSELoss(), (x, x), num_samples=2.5),
    lambda: untyped.EmpiricalRisk.from_closure(
        nn.Linear(3, 3), lambda m: m(x).sum(), num_samples="x"
    ),
    lambda: untyped.EmpiricalRisk.from_closure(nn.Linear(3, 3), x.sum()),
    lambda: untyped.SquaredError(scale="a"),
    lambda: untyped.SquaredError(scale=True),
    lambda: untyped.SquaredError(scale=None),
]


@pytest.mark.unchecked
@pytest.mark.parametrize("number", range(len(WRONG_TYPES)))
def test_wrong_types_are_refused_by_the_library_itself(number: int) -> None:
    with pytest.raises(InputError, match=r"^[^\n]*:[^\n]*$"):
        WRONG_TYPES[number]()
