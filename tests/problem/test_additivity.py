"""Losses of the user's own that do not add up over batches, or couple samples."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

import hessium as hs
from hessium.errors import InputError
from hessium.problem.additivity import couples_samples
from support.risk_cases import TiedEmbedding, classes, draw, mlp, seeded, split

# the convention for outputs without such layers is announced, and not what is tested here
pytestmark = pytest.mark.filterwarnings("ignore::hessium.errors.SampleAxisWarning")

X, LABELS = draw(12, 3), classes(12, high=2)


def contrast(outputs: Tensor, targets: Any) -> Tensor:
    points = F.normalize(outputs, dim=1)
    return F.cross_entropy(points @ points.T, torch.arange(len(points)))


def partial_likelihood(outputs: Tensor, targets: Any) -> Tensor:
    risk = outputs[:, 0]
    return (torch.logcumsumexp(risk.flip(0), 0).flip(0) - risk).sum()


def ranking(outputs: Tensor, targets: Any) -> Tensor:
    return F.relu(1 + outputs[:, None, 0] - outputs[None, :, 0]).mean()


def scatter(outputs: Tensor, targets: Any) -> Tensor:
    return (outputs - outputs.mean(dim=0)).square().sum()


def worst(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets, reduction="none").max()


def weighted(outputs: Tensor, targets: Tensor) -> Tensor:
    weights = torch.linspace(0.1, 2, len(outputs), dtype=torch.float64)
    return (weights * F.cross_entropy(outputs, targets, reduction="none")).sum()


def regularised(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets, reduction="sum") + 1.0


COUPLED: dict[str, tuple[Callable[[Tensor, Any], Tensor], Any]] = {
    "contrast": (contrast, "mean"),
    "partial likelihood": (partial_likelihood, "sum"),
    "ranking": (ranking, "mean"),
    "scatter": (scatter, "sum"),
    "worst": (worst, "mean"),
    "weights of samples": (weighted, "sum"),
    "constant": (regularised, "sum"),
    "said to be a sum": (F.mse_loss, "sum"),
}


@pytest.mark.parametrize("name", COUPLED)
def test_refused_in_every_order_of_the_batches_and_accepted_as_one(name: str) -> None:
    function, reduction = COUPLED[name]
    loss = (lambda f, y: (f - y[:, None]).square().mean()) if function is F.mse_loss else function
    model = mlp(3, 4, 2)
    for batches in itertools.permutations(split(X, LABELS, 6, 5, 1)):
        with pytest.raises(InputError, match=r"loss: over .* it must add up"):
            hs.EmpiricalRisk(model, loss, list(batches), reduction=reduction)
    whole = hs.EmpiricalRisk(model, loss, (X, LABELS), reduction=reduction)
    assert whole.value() == pytest.approx(loss(model(X), LABELS).item(), rel=1e-13)


def test_single_samples_in_every_batch() -> None:
    data = split(X, LABELS, *[1] * 12)
    for loss in (contrast, ranking, partial_likelihood):
        with pytest.raises(InputError, match="it must add up"):
            hs.EmpiricalRisk(mlp(3, 4, 2), loss, data, reduction="mean")
    fine = hs.EmpiricalRisk(
        mlp(3, 4, 2), lambda f, y: F.cross_entropy(f, y), data, reduction="mean"
    )
    assert fine.value() == pytest.approx(F.cross_entropy(mlp(3, 4, 2)(X), LABELS).item(), rel=1e-13)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("padding", ["within a batch", "alike within a batch"])
def test_padded_tokens_in_both_orders(order: int, padding: str) -> None:
    model = seeded(TiedEmbedding())
    tokens, targets = classes(8, 6, high=7), classes(8, 6, high=7, seed=3)
    if padding == "within a batch":
        targets[4, 1:] = targets[6, 4:] = -100
    else:
        targets[4:, 2:] = -100
    data = split(tokens, targets, 4, 4)[::order]
    with pytest.raises(InputError, match=r"loss: over .* it must add up"):
        hs.EmpiricalRisk(model, lambda f, y: F.cross_entropy(f, y), data, reduction="mean")
    exact = hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), data)
    told = hs.EmpiricalRisk(
        model,
        lambda f, y: F.cross_entropy(f, y),
        data,
        reduction="mean",
        num_samples=lambda _, y: (y != -100).sum(),
    )
    assert told.value() == pytest.approx(exact.value(), rel=1e-14)
    with pytest.raises(InputError, match="it must add up"):  # sequences are the wrong weights
        hs.EmpiricalRisk(
            model,
            lambda f, y: F.cross_entropy(f, y),
            data,
            reduction="mean",
            num_samples=lambda _, y: len(y),
        )


def test_a_hinge_that_no_sample_has_reached() -> None:
    def far(outputs: Tensor, targets: Any) -> Tensor:
        return F.relu(5 + outputs[:, None, 0] - outputs[None, :, 0]).mean()

    assert far(mlp(3, 4, 2)(X), None).item() == pytest.approx(5, rel=1e-14)  # it adds up here
    with pytest.raises(InputError, match="it must add up"):
        hs.EmpiricalRisk(mlp(3, 4, 2), far, split(X, LABELS, 7, 5), reduction="mean")


def test_padding_where_other_outputs_have_no_loss() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Softmax(dim=1)).double()
    targets = classes(12, 4, high=2).double()
    kept = torch.ones(12, 4, dtype=torch.bool)
    kept[6:, 1:] = False

    def over_kept(outputs: Tensor, both: Any) -> Tensor:
        wanted, mask = both
        return -(wanted * torch.log(outputs))[mask].mean()

    data = [(X[p], (targets[p], kept[p])) for p in (slice(0, 6), slice(6, 12))]
    with pytest.raises(InputError, match="over samples of two batches"):
        hs.EmpiricalRisk(model, over_kept, data, reduction="mean")


def test_a_loss_that_fails_on_parts_is_not_asked() -> None:
    weights, rows = torch.rand(12, dtype=torch.float64), torch.arange(12)
    model = mlp(3, 4, 2)

    def by_weight(outputs: Tensor, targets: Tensor) -> Tensor:
        return (weights * F.cross_entropy(outputs, targets, reduction="none")).sum()

    def by_index(outputs: Tensor, targets: Tensor) -> Tensor:
        return -F.log_softmax(outputs, -1)[rows, targets].sum()

    for loss in (by_weight, by_index):
        risk = hs.EmpiricalRisk(model, loss, (X, LABELS), reduction="sum")
        assert risk.value() == pytest.approx(loss(model(X), LABELS).item(), rel=1e-14)


def test_targets_in_containers_and_none() -> None:
    model, y = mlp(3, 4, 2), draw(12, 2, seed=4)
    w = draw(12, 1, seed=5).square()

    def loss(outputs: Tensor, targets: Any) -> Tensor:
        return (targets["w"] * (outputs - targets["y"]).square()).mean()

    whole = hs.EmpiricalRisk(model, loss, (X, {"y": y, "w": w}), reduction="mean")
    data = [(X[p], {"y": y[p], "w": w[p]}) for p in (slice(0, 7), slice(7, 12))]
    parts = hs.EmpiricalRisk(model, loss, data, reduction="mean")
    assert parts.value() == pytest.approx(whole.value(), rel=1e-14)

    def centred(outputs: Tensor, targets: Any) -> Tensor:
        return loss(outputs - outputs.mean(dim=0), targets)

    with pytest.raises(InputError, match="it must add up"):
        hs.EmpiricalRisk(model, centred, data, reduction="mean")
    with pytest.raises(InputError, match="it must add up"):
        hs.EmpiricalRisk(model, scatter, [(X[:7], None), (X[7:], None)], reduction="sum")


def test_coupling_is_a_slope_that_depends_on_other_samples() -> None:
    outputs, targets = draw(12, 2), draw(12, 2, seed=1)
    for loss in (contrast, partial_likelihood, ranking, scatter):
        assert couples_samples(functools.partial(loss, targets=None), outputs)
    apart: list[Callable[[Tensor], Tensor]] = [
        lambda f: F.mse_loss(f, targets),
        lambda f: F.cross_entropy(f, LABELS),
        lambda f: f.abs().sum(),
        lambda f: f.sum() * 0,
        lambda f: F.cross_entropy(f, torch.where(LABELS > 0, LABELS, -100)),
    ]
    for loss_of in apart:
        assert not couples_samples(loss_of, outputs)
