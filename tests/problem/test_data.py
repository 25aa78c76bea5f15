"""Batches of every kind become pairs, or the refusal says what to write; passes must agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import hessium as hs
from hessium.errors import InputError
from support.risk_cases import classes, draw, mlp, split

X, LABELS = draw(12, 3), classes(12, high=2)
EXAMPLES = [{"input": x, "labels": label} for x, label in zip(X, LABELS, strict=True)]


@dataclass
class Graph:
    input: Tensor
    y: Tensor


def risk(data: Any, **options: Any) -> hs.EmpiricalRisk:
    return hs.EmpiricalRisk(
        mlp(3, 4, 2), options.pop("loss", nn.CrossEntropyLoss()), data, **options
    )


TRUE = F.cross_entropy(mlp(3, 4, 2)(X), LABELS).item()
WAYS: dict[str, Callable[[], hs.EmpiricalRisk]] = {
    "loader of dicts": lambda: risk(
        DataLoader(EXAMPLES, batch_size=5, shuffle=True), targets="labels"  # type: ignore[arg-type]
    ),
    "one dict": lambda: risk({"input": X, "labels": LABELS}, targets="labels"),
    "dicts and a function": lambda: risk(
        DataLoader(EXAMPLES, batch_size=5),  # type: ignore[arg-type]
        targets=lambda batch: batch["labels"],
        forward=lambda model, batch: model(batch["input"]),
    ),
    "objects with an attribute": lambda: risk(
        [Graph(X[:5], LABELS[:5]), Graph(X[5:], LABELS[5:])],
        targets="y",
        forward=lambda model, batch: model(batch.input),
    ),
    "triples": lambda: risk(
        [(X[:5], LABELS[:5], torch.ones(5)), (X[5:], LABELS[5:], torch.ones(7))],
        loss=lambda f, both: (both[1] * F.cross_entropy(f, both[0], reduction="none")).mean(),
        reduction="mean",
        targets=lambda batch: batch[1:],
        forward=lambda model, batch: model(batch[0]),
    ),
    "a pair without targets": lambda: risk(
        (X, None), loss=lambda f, _: F.cross_entropy(f, LABELS), reduction="mean"
    ),
    "a tuple of pairs": lambda: risk(tuple(split(X, LABELS, 4, 4, 4))),
    "a list of lists": lambda: risk([[X[:5], LABELS[:5]], [X[5:], LABELS[5:]]]),
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_read_as_meant(name: str) -> None:
    made = WAYS[name]()
    assert made.value() == pytest.approx(TRUE, rel=1e-13)
    assert made.num_samples == 12


UNCLEAR: dict[str, tuple[Any, str]] = {
    "two lists": (([X, X], [X, X]), "a tuple of two lists .* list\\(zip\\(inputs, targets\\)\\)"),
    "two tuples": (((X, X), (X, X)), "a tuple of two tuples .* write \\[\\(inputs, targets\\)\\]"),
    "mixed": (([X, X, X], (X, X, X)), "a tuple of a list and a tuple"),
    "one dict": ({"x": X, "labels": LABELS}, "data: a dict .* targets='labels'"),
    "dicts": ([{"x": X, "labels": LABELS}], "keys 'x', 'labels', .* targets='labels'.*forward="),
    "triples": ([(X, LABELS, X)], r"a tuple of 3, .* targets=lambda batch: batch\[1:\]"),
    "objects": ([Graph(X, LABELS)], "batch 0 is a Graph, .* targets='y'"),
    "tensors": ([X, LABELS], r"batch 0 is a Tensor, .* the tuple \(inputs, targets\)"),
    "a string": ("digits", "data: str"),
    "arrays": ((X.numpy(), LABELS), r"inputs of batch 0 are a NumPy array.*torch.from_numpy"),
    "array of targets": ((X, LABELS.numpy()), "targets of batch 0 are a NumPy array"),
    "sparse": ((X.to_sparse(), LABELS), r"inputs of batch 0 are a tensor of .*to_dense\(\)"),
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_refused_with_what_to_write(name: str) -> None:
    data, pattern = UNCLEAR[name]
    with pytest.raises(InputError, match=pattern) as caught:
        risk(data)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors_of_strided_layout_are_refused() -> None:
    nested = torch.nested.nested_tensor([X[:2], X[2:]], layout=torch.strided)
    with pytest.raises(InputError, match=r"inputs of batch 0 are a nested .*torch\.jagged"):
        risk((nested, LABELS))


def test_targets_that_are_not_there() -> None:
    with pytest.raises(InputError, match="targets: 'label' gave no targets of batch 0, a dict"):
        risk({"input": X, "labels": LABELS}, targets="label")


class Shrinking:
    """An iterable whose batches can be taken away or made smaller."""

    def __init__(self) -> None:
        self.sizes = [5, 4, 3]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(split(X[: sum(self.sizes)], LABELS[: sum(self.sizes)], *self.sizes))


class Stream(IterableDataset[Any]):
    def __init__(self) -> None:
        self.length = 12

    def __iter__(self) -> Iterator[Any]:
        return iter(list(zip(X, LABELS, strict=True))[: self.length])


def test_a_pass_with_other_batches() -> None:
    shrinking = Shrinking()
    made = risk(shrinking)
    shrinking.sizes = [5, 4]
    with pytest.raises(InputError, match="data: 2 batches in this pass, 3 when the risk was made"):
        made.value()
    shrinking.sizes = [5, 4, 2]
    with pytest.raises(InputError, match="data: 11 samples in this pass, 12 when"):
        made.gradient()
    shrinking.sizes = [5, 4, 2, 1]
    with pytest.raises(InputError, match="more than 3 batches in this pass"):
        hs.Hessian(made)
    shrinking.sizes = [4, 4, 4]
    assert made.value() == pytest.approx(TRUE, rel=1e-13)

    stream = Stream()
    made = risk(DataLoader(stream, batch_size=5))
    stream.length = 11
    with pytest.raises(InputError, match="data: 11 samples in this pass, 12 when"):
        made.value()


def test_lists_that_change() -> None:
    pairs = split(X.clone(), LABELS, 5, 7)
    made = risk(pairs)
    pairs.append(pairs[0])
    with pytest.raises(InputError, match="more than 2 batches"):
        made.value()
    del pairs[1:]
    with pytest.raises(InputError, match="data: 1 batches in this pass, 2 when"):
        made.value()

    x = X.clone()
    made = risk(split(x, LABELS, 5, 7))
    x[0] += 1
    with pytest.raises(InputError, match="was written to or replaced"):
        made.value()
    x = X.clone()
    made = risk(DataLoader(TensorDataset(x, LABELS), batch_size=5, shuffle=True))
    x.mul_(2)
    with pytest.raises(InputError, match="was written to or replaced"):
        made.value()


def test_what_is_given_is_never_written_to() -> None:
    x, y = X.clone(), draw(12, 2, seed=2)
    kept = y.clone()
    model = nn.Sequential(nn.ReLU(inplace=True), mlp(3, 4, 2))
    with pytest.raises(InputError, match=r"model: .* writes to its inputs.*inputs.clone\(\)"):
        hs.EmpiricalRisk(model, nn.MSELoss(), (x, y))
    assert torch.equal(x, X)
    cloned = hs.EmpiricalRisk(
        model, nn.MSELoss(), (x, y), forward=lambda module, inputs: module(inputs.clone())
    )
    hs.Hessian(cloned)
    assert torch.equal(x, X)
    for loss in (lambda f, t: f.sub_(t).square().mean(), lambda f, t: t.sub_(f).square().mean()):
        with pytest.raises(InputError, match=r"loss: .* writes to its outputs or targets in place"):
            hs.EmpiricalRisk(mlp(3, 4, 2), loss, (x, y), reduction="mean")
    assert torch.equal(y, kept)
