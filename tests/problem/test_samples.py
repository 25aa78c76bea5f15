"""What counts as a sample: every layout, loss and split beside the loss of all data at once."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

import hessium as hs
from hessium.errors import InputError, RouteWarning, SampleAxisWarning
from support.risk_cases import classes, draw, mlp, seeded

# the convention for outputs without such layers is announced, and not what is tested here
pytestmark = pytest.mark.filterwarnings("ignore::hessium.errors.SampleAxisWarning")

SAMPLES, STEPS = 9, 4
X, Y = draw(SAMPLES, STEPS, 3), draw(SAMPLES, STEPS, 2, seed=3)


class Recurrent(nn.Module):
    """A recurrent layer and a linear one; `last` keeps the last time step only."""

    def __init__(self, *, batch_first: bool = False, last: bool = False) -> None:
        super().__init__()
        self.layer = nn.GRU(3, 4, batch_first=batch_first)
        self.head = nn.Linear(4, 2)
        self.last = last

    def forward(self, x: Any) -> Tensor:
        steps, end = self.layer(x)
        return self.head(end[0] if self.last else steps)


class Attentive(nn.Module):
    """Self-attention in torch's default layout, time first."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.MultiheadAttention(3, 1)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x, x, x, need_weights=False)[0])


class Graphs:
    """Several graphs in one, as graph libraries batch them: nodes, and the graph of each."""

    def __init__(self, x: Tensor) -> None:
        self.edges = torch.zeros(2, 5, dtype=torch.int64)
        self.nodes = x.flatten(0, 1)
        self.graph = torch.arange(len(x)).repeat_interleave(x.shape[1])


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = mlp(3, 4, 2)

    def forward(self, graphs: Graphs) -> Tensor:
        nodes = self.inner(graphs.nodes)
        return nodes.new_zeros(int(graphs.graph.max()) + 1, 2).index_add(0, graphs.graph, nodes)


@dataclass(frozen=True)
class Layout:
    """How samples lie in the tensors of a batch.

    Attributes:
        model: made afresh.
        pair: samples (n, steps, features) and targets to a batch.
        axis: dimension of outputs and targets that is the samples.
    """

    model: Callable[[], nn.Module]
    pair: Callable[[Tensor, Tensor], tuple[Any, Tensor]]
    axis: int = 0


LAYOUTS = {
    "rows": Layout(lambda: mlp(3, 4, 2), lambda x, y: (x[:, 0], y[:, 0])),
    "batch first": Layout(lambda: seeded(Recurrent(batch_first=True)), lambda x, y: (x, y)),
    "time first": Layout(
        lambda: seeded(Recurrent()), lambda x, y: (x.transpose(0, 1), y.transpose(0, 1)), axis=1
    ),
    "attention": Layout(
        lambda: seeded(Attentive()), lambda x, y: (x.transpose(0, 1), y.transpose(0, 1)), axis=1
    ),
    "last step": Layout(
        lambda: seeded(Recurrent(last=True)), lambda x, y: (x.transpose(0, 1), y[:, 0])
    ),
    "packed": Layout(
        lambda: seeded(Recurrent(last=True)), lambda x, y: (pack_sequence(list(x)), y[:, 0])
    ),
    "graphs": Layout(Pooled, lambda x, y: (Graphs(x), y[:, 0])),
}  # fmt: skip


def bent(outputs: Tensor, targets: Tensor) -> Tensor:
    return (1 + (outputs - targets).square()).sqrt()


# for each loss: what is given to the risk, the sum by hand, and D by hand from (samples, entries)
LOSSES: dict[str, tuple[dict[str, Any], Callable[[Tensor, Tensor], Tensor], Any]] = {
    "squares, mean": (
        {"loss": hs.SquaredError(0.5, reduction="mean")},
        lambda f, y: 0.5 * (f - y).square().sum(),
        lambda samples, entries: samples,
    ),
    "squares, sum": (
        {"loss": hs.SquaredError()}, lambda f, y: (f - y).square().sum(), lambda *_: 1
    ),
    "torch's, mean over entries": (
        {"loss": nn.HuberLoss(delta=0.4)},
        lambda f, y: F.huber_loss(f, y, delta=0.4, reduction="sum"),
        lambda samples, entries: entries,
    ),
    "own, mean": (
        {"loss": lambda f, y: bent(f, y).mean(), "reduction": "mean"},
        lambda f, y: bent(f, y).sum(),
        lambda samples, entries: entries,
    ),
    "own, sum": (
        {"loss": lambda f, y: bent(f, y).sum(), "reduction": "sum"},
        lambda f, y: bent(f, y).sum(),
        lambda *_: 1,
    ),
    "own, mean over what a function says": (
        {"loss": lambda f, y: bent(f, y).mean(), "reduction": lambda y: y.numel()},
        lambda f, y: bent(f, y).sum(),
        lambda samples, entries: entries,
    ),
}  # fmt: skip
SPLITS = [(9,), (7, 2), (4, 4, 1)]
# squares divide by the first dimension, and the layers say that it is time
REFUSED = {("time first", "squares, mean"), ("attention", "squares, mean")}


@pytest.mark.sampled
@pytest.mark.parametrize("split", SPLITS, ids=str)
@pytest.mark.parametrize("told", [False, True], ids=["counted", "told"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", LAYOUTS)
def test_the_risk_is_the_loss_of_all_data(
    name: str, loss: str, told: bool, split: tuple[int, ...]
) -> None:
    layout = LAYOUTS[name]
    options, by_hand, divisor = LOSSES[loss]
    model = layout.model()
    data = [
        layout.pair(x, y) for x, y in zip(X.split(list(split)), Y.split(list(split)), strict=True)
    ]
    if told:
        options = {**options, "num_samples": lambda _, y: y.shape[layout.axis]}

    def make() -> hs.EmpiricalRisk:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RouteWarning)  # of attention
            return hs.EmpiricalRisk(model, data=data, **options)

    if (name, loss) in REFUSED and not told:
        with pytest.raises(InputError, match="samples are dimension 1; pass num_samples="):
            make()
        return
    risk = make()
    inputs, targets = layout.pair(X, Y)
    expected = by_hand(model(inputs), targets) / divisor(SAMPLES, targets.numel())
    slopes = torch.autograd.grad(expected, list(model.parameters()))
    assert risk.num_samples == SAMPLES
    assert risk.num_outputs == targets.numel()
    assert risk.value() == pytest.approx(expected.item(), rel=1e-13)
    torch.testing.assert_close(
        risk.gradient(), torch.cat([s.reshape(-1) for s in slopes]), rtol=1e-11, atol=1e-13
    )
    if loss != "own, mean":  # its batches are weighed by samples, whatever they are means over
        assert risk.denominator == divisor(SAMPLES, targets.numel())
    else:
        assert risk.denominator == SAMPLES


def test_the_table_is_large_enough() -> None:
    assert len(list(itertools.product(LAYOUTS, LOSSES, SPLITS))) >= 40


class Tokens(nn.Module):
    """Scores of the next token, (sequences, classes, steps)."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(7, 4), nn.Linear(4, 7)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.tanh(self.table(tokens))).transpose(1, 2)


def token_mean(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets)


IDS, NEXT = classes(6, 5, high=7), classes(6, 5, high=7, seed=4)
RAGGED = [(IDS[:4], NEXT[:4]), (IDS[4:, :2], NEXT[4:, :2])]


def test_means_of_sequences_of_other_lengths_need_weights() -> None:
    model = seeded(Tokens())
    with pytest.raises(
        InputError, match=r"\(4, 7, 5\) in batch 0 and \(2, 7, 2\) in batch 1.*num_samples="
    ):
        hs.EmpiricalRisk(model, token_mean, RAGGED, reduction="mean")
    exact = hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), RAGGED)
    for told in (
        {"reduction": "mean", "num_samples": lambda _, targets: targets.numel()},
        {"reduction": lambda targets: float(targets.numel())},
    ):
        risk = hs.EmpiricalRisk(model, token_mean, RAGGED, **told)
        assert risk.value() == pytest.approx(exact.value(), rel=1e-14)
        torch.testing.assert_close(risk.gradient(), exact.gradient(), rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(
            hs.Hessian(risk).dense(), hs.Hessian(exact).dense(), rtol=1e-10, atol=1e-13
        )


def test_squares_of_which_another_dimension_differs() -> None:
    model = mlp(3, 4, 2)  # acts on every time step alike, so that no layer tells time from samples
    data = [(draw(4, n, 3, seed=n), draw(4, n, 2)) for n in (5, 3)]
    with pytest.raises(InputError, match="only another one differs between the batches"):
        hs.EmpiricalRisk(model, hs.SquaredError(reduction="mean"), data)
    told = hs.EmpiricalRisk(
        model, hs.SquaredError(reduction="mean"), data, num_samples=lambda _, y: y.shape[1]
    )
    assert told.num_samples == told.denominator == 8
    assert hs.EmpiricalRisk(model, hs.SquaredError(), data).denominator == 1


def own_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return F.cross_entropy(model(batch["x"]), batch["labels"])


def test_a_model_that_returns_its_own_mean() -> None:
    model, x, labels = mlp(3, 4, 2), draw(9, 3), classes(9, high=2)
    batches = [{"x": x[:6], "labels": labels[:6]}, {"x": x[6:], "labels": labels[6:]}]

    def make(data: Any, **options: Any) -> hs.EmpiricalRisk:
        return hs.EmpiricalRisk(
            model, lambda value, _: value, data, reduction="mean", forward=own_loss, **options
        )

    exact = hs.EmpiricalRisk(model, nn.CrossEntropyLoss(), (x, labels))
    told = make(batches, num_samples=lambda batch, _: len(batch["labels"]))
    assert (told.num_samples, told.has_outputs) == (9, False)
    assert told.value() == pytest.approx(exact.value(), rel=1e-14)
    torch.testing.assert_close(
        hs.Hessian(told).dense(), hs.Hessian(exact).dense(), rtol=1e-12, atol=1e-14
    )
    for options in ({}, {"num_samples": 9}):
        with pytest.raises(InputError, match=r"one number for batch 0.*(num_samples=|a function)"):
            make(batches, **options)
    alone = make({"x": x, "labels": labels})
    assert alone.value() == pytest.approx(exact.value(), rel=1e-14)
    assert "samples" not in repr(alone)
    assert "outputs" not in repr(alone)
    with pytest.raises(InputError, match="num_samples: unknown"):
        _ = alone.num_samples


def test_rows_that_disagree_leave_the_count_open() -> None:
    model, x = mlp(3, 4, 2), draw(10, 3)
    mask = torch.arange(10) % 3 == 0

    def masked(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs[mask], targets)

    labels = classes(4, high=2)
    risk = hs.EmpiricalRisk(model, masked, (x, labels), reduction="mean")
    assert risk.value() == pytest.approx(masked(model(x), labels).item(), rel=1e-14)
    with pytest.raises(InputError, match=r"shape \(10, 2\), its targets 4 rows.*num_samples="):
        _ = risk.num_samples
    with pytest.raises(InputError, match="over 2 batches needs the weight"):
        hs.EmpiricalRisk(model, masked, [(x, labels), (x + 1, labels)], reduction="mean")
    assert (
        hs.EmpiricalRisk(model, masked, (x, labels), reduction="mean", num_samples=4).num_samples
        == 4
    )


def test_an_integer_must_agree_with_the_rows() -> None:
    model, x, y = mlp(3, 4, 2), draw(9, 3), draw(9, 2)
    data = [(x[:5], y[:5]), (x[5:], y[5:])]

    def make(count: int) -> hs.EmpiricalRisk:
        return hs.EmpiricalRisk(
            model, lambda f, t: bent(f, t).mean(), data, reduction="mean", num_samples=count
        )

    assert make(9).num_samples == 9
    with pytest.raises(InputError, match=r"num_samples: 8, .* the outputs have 9 rows"):
        make(8)


@pytest.mark.filterwarnings("default::hessium.errors.SampleAxisWarning")
def test_a_first_dimension_taken_by_convention_is_announced() -> None:
    """Linear layers on (a, b, features) do not say which of the two is the samples."""
    model, x, y = nn.Linear(3, 2).double(), draw(4, 5, 3), draw(4, 5, 2)
    with pytest.warns(SampleAxisWarning, match="num_samples="):
        risk = hs.EmpiricalRisk(model, nn.MSELoss(), (x, y))
    assert risk.num_samples == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = hs.EmpiricalRisk(model, nn.MSELoss(), (x, y), num_samples=5)
        convolved = nn.Sequential(nn.Conv1d(5, 5, 1), nn.Linear(3, 2)).double()
        hs.EmpiricalRisk(convolved, nn.MSELoss(), (x, y))
    assert told.num_samples == 5
    assert told.sample_axis == 1
    with pytest.raises(InputError, match="samples are dimension 1"):
        hs.EmpiricalFisher(told)
