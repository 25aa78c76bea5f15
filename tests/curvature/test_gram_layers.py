"""Gram matrices of every kind of layer equal J J^T with J row by row, in float64.

The Jacobian of the comparison is made by one call of `torch.autograd.grad` for each row, on the
plain module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import hessium as hs
from hessium.curvature.tapped_batch import tap
from support.risk_cases import draw, seeded


class Lines(nn.Module):
    """A convolution, batch normalisation, attention with time first inside, RMS normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(2, 4, 3, padding=1), nn.BatchNorm1d(4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.rms, self.up, self.down = nn.RMSNorm(4), nn.Linear(4, 6), nn.Linear(6, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.norm(self.conv(x))).transpose(1, 2)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.head((x + self.down(F.silu(self.up(self.rms(x))))).mean(1))


class Attends(nn.Module):
    """`nn.MultiheadAttention` with other keys than queries, time first, and its options."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, **options)
        wide = options.get("kdim", 4)
        self.keys, self.head = nn.Linear(4, wide), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(0, 1)
        keys = torch.tanh(self.keys(x[:3]))
        mixed, weights = self.attention(x, keys, keys)
        return self.head(mixed.mean(0)) + weights.square().sum((1, 2))[:, None]


class Recurs(nn.Module):
    """A recurrent layer of torch."""

    def __init__(self, kind: Callable[..., nn.RNNBase], **options: Any) -> None:
        super().__init__()
        self.inside = kind(3, 4, **options)
        self.head = nn.LazyLinear(2)
        self.turn = not options.get("batch_first", False)

    def forward(self, x: Tensor) -> Tensor:
        found, _ = self.inside(x.transpose(0, 1) if self.turn else x)
        return self.head(found[-1] if self.turn else found[:, -1])


class Begins(nn.Module):
    """A recurrent layer whose first state is a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)
        self.state = nn.Parameter(torch.zeros(1, 1, 4))

    def forward(self, x: Tensor) -> Tensor:
        state = self.state.expand(-1, len(x), -1).contiguous()
        return self.head(self.inside(x, state)[0][:, -1])


class Cells(nn.Module):
    """Recurrent cells."""

    def __init__(self) -> None:
        super().__init__()
        self.long, self.gated = nn.LSTMCell(3, 4), nn.GRUCell(4, 4)
        self.plain, self.head = nn.RNNCell(4, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = c = g = x.new_zeros(len(x), 4)
        for step in x.unbind(1):
            h, c = self.long(step, (h, c))
            g = self.gated(h, g)
        return self.head(self.plain(g))


class Pictures(nn.Module):
    """A vision transformer: class token, places, layer scale, a temperature, a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, 4, 2, stride=2)
        self.token = nn.Parameter(torch.zeros(1, 1, 4))
        self.places = nn.Parameter(torch.zeros(5, 4))
        self.scale, self.heat = nn.Parameter(torch.ones(4)), nn.Parameter(torch.zeros(()))
        self.gate = nn.Parameter(torch.zeros(4, 1))
        self.qkv, self.head = nn.Linear(4, 12), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1) + self.places
        q, k, v = self.qkv(F.layer_norm(x, (4,))).chunk(3, dim=-1)
        mixed = torch.softmax(q @ k.mT * self.heat.exp(), dim=-1) @ v
        x = x + self.scale * mixed
        hot = torch.where(x > 0, x, self.gate.mT * x)
        return self.head(hot[:, 0] / (1 + self.heat**2))


class Made(nn.Module):
    """Weights computed from parameters: low rank, a mask, a transpose, halves, a symmetric one."""

    mask: Tensor
    turn: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first = parametrizations.weight_norm(nn.Linear(3, 5))
        self.base = nn.Parameter(torch.zeros(4, 5))
        self.left, self.right = nn.Parameter(torch.zeros(4, 2)), nn.Parameter(torch.zeros(2, 5))
        self.both = nn.Parameter(torch.zeros(6, 4))
        self.entries = nn.Parameter(torch.zeros(6))
        self.register_buffer("turn", draw(5, 5, seed=4))
        self.register_buffer("mask", (torch.arange(20).reshape(4, 5) % 3 > 0).double())

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x))
        x = torch.tanh(
            F.linear(x, self.base * self.mask + self.left @ (self.turn @ self.right.T).T)
        )
        one, other = self.both.chunk(2)
        square = torch.zeros(3, 3, dtype=x.dtype)
        row, column = torch.triu_indices(3, 3)
        square[row, column] = self.entries
        square = square + square.mT
        x = torch.tanh(F.linear(x, one)) @ square + F.linear(x, other)
        return torch.tanh(x @ one) @ self.base[:, :2] + x @ self.both[:3].t()[:3, :2]


class Turned(nn.Module):
    """Tied weights: an embedding used as the head by its transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.table = nn.Linear(3, 5), nn.Parameter(torch.zeros(7, 5))

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x)) @ self.table.t()
        return F.linear(torch.tanh(hidden), self.table.T).mean(1)


class Odd(nn.Module):
    """Parameters without a closed form, beside a layer with one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(3, 4), nn.Linear(4, 2)
        self.mixing, self.steps = nn.Parameter(torch.zeros(4, 4)), nn.Parameter(torch.zeros(5, 5))
        self.bias = nn.Parameter(torch.zeros(5, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x))
        x = torch.tanh(torch.einsum("bti,io->bto", x, self.mixing))
        x = torch.tanh(self.steps @ x)
        x = F.scaled_dot_product_attention(x, x, x, attn_mask=self.bias)
        return self.head(x.mean(1))


class Shapes(nn.Module):
    """Transposed convolutions, slopes, instance normalisation, a bilinear form."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(4, 6, (3, 2), stride=2, padding=1, output_padding=1, groups=2)
        self.again = nn.ConvTranspose2d(6, 4, 3, padding=(0, 1), dilation=2, bias=False)
        self.slopes, self.slope = nn.PReLU(6), nn.PReLU()
        self.norm = nn.InstanceNorm2d(6, affine=True)
        self.form = nn.Bilinear(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.slope(self.again(self.slopes(self.norm(self.up(x))))).mean((2, 3))
        return self.form(x, x.tanh())


def upwards(dim: int) -> nn.Module:
    kind = {1: nn.ConvTranspose1d, 3: nn.ConvTranspose3d}[dim]
    return nn.Sequential(
        kind(2, 3, 2, stride=2, padding=1), nn.Tanh(), kind(3, 2, 3, groups=1), nn.Flatten(),
        nn.LazyLinear(2),
    )  # fmt: skip


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True)
    return nn.Sequential(layer, nn.Flatten(), nn.LazyLinear(2))


TIMES = draw(5, 4, 3)
CASES: dict[str, tuple[Callable[[], nn.Module], Tensor, set[str]]] = {
    "lines": (Lines, draw(5, 2, 6), set()),
    "as many samples as steps": (Lines, draw(6, 2, 6), set()),
    "encoder": (encoder, draw(5, 3, 4), set()),
    "attention": (Attends, draw(5, 4, 4), set()),
    "attention, as many": (Attends, draw(4, 4, 4), set()),
    "attention, own weights": (lambda: Attends(kdim=3, vdim=3), draw(5, 4, 4), set()),
    "attention, more keys": (
        lambda: Attends(add_bias_kv=True, add_zero_attn=True), draw(5, 4, 4),
        set(),
    ),
    "lstm": (lambda: Recurs(nn.LSTM, num_layers=2, bidirectional=True), TIMES, set()),
    "lstm, samples first": (lambda: Recurs(nn.LSTM, batch_first=True), TIMES, set()),
    "gru": (lambda: Recurs(nn.GRU, num_layers=2, bias=False), TIMES, set()),
    "rnn": (lambda: Recurs(nn.RNN, batch_first=True, bidirectional=True), TIMES, set()),
    "learned state": (Begins, TIMES, set()),
    "cells": (Cells, TIMES, set()),
    "pictures": (Pictures, draw(5, 1, 4, 4), set()),
    "made": (Made, draw(5, 3), set()),
    "turned": (Turned, TIMES, set()),
    "shapes": (Shapes, draw(5, 4, 3, 3), set()),
    "upwards, 1": (lambda: upwards(1), draw(5, 2, 4), set()),
    "upwards, 3": (lambda: upwards(3), draw(4, 2, 3, 2, 2), set()),
    "odd": (Odd, draw(5, 5, 3), {"mixing", "steps", "bias"}),
}  # fmt: skip


def case(name: str) -> tuple[nn.Module, Tensor, set[str]]:
    make, x, unknown = CASES[name]
    model = make().double().eval()
    with torch.no_grad():
        model(x)  # lazy layers
    model = seeded(model)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean, module.running_var = draw(4).abs(), 0.5 + draw(4, seed=2).abs()
    return model, x, unknown


def jacobian(model: nn.Module, x: Tensor) -> Tensor:
    parameters = list(model.parameters())
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        f = model(x)
    rows = [
        torch.autograd.grad(entry, parameters, retain_graph=True, materialize_grads=True)
        for entry in f.reshape(-1)
    ]
    return torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows])


@pytest.mark.filterwarnings("ignore:scaled_dot_product_attention")
@pytest.mark.parametrize("name", CASES)
def test_every_layer(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, unknown = case(name)
    J = jacobian(model, x)
    expected = 2 * J @ J.mT  # of squared errors
    y = draw(len(x), J.shape[0] // len(x), seed=3)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), [(x[:3], y[:3]), (x[3:], y[3:])])
    batch = tap(risk, x, rest=True)
    assert batch is not None
    assert {risk.names[leaf] for leaf in batch.unknown} == unknown
    monkeypatch.setattr(hs.Gram, "_from_rows", None)
    found = hs.Gram(risk).dense()
    assert float((found - expected).norm()) <= 1e-11 * float(expected.norm())
    assert "layer-wise" not in risk.refuted
    error = hs.Jacobian(risk).dense() - J
    assert float(error.norm()) <= 1e-11 * float(J.norm())


@pytest.mark.filterwarnings("ignore:scaled_dot_product_attention")
@pytest.mark.parametrize("name", ["odd", "lines"])
def test_rows_come_from_pieces_of_the_batch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without layers: the same matrix from pieces of the batch."""
    model, x, _ = case(name)
    x = torch.cat([x, 0.5 * x, x.cos(), x.sin()])
    J = jacobian(model, x)
    y = draw(len(x), J.shape[0] // len(x), seed=3)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, y))
    risk.refuted.add("layer-wise")
    operator = hs.Gram(risk)
    passed: list[int] = []
    inner = hs.EmpiricalRisk.outputs

    def counted(self: Any, parameters: Any, inputs: Tensor, **options: Any) -> Tensor:
        passed.append(len(inputs))
        return inner(self, parameters, inputs, **options)

    monkeypatch.setattr(hs.EmpiricalRisk, "outputs", counted)
    found = operator.dense()
    assert float((found - 2 * J @ J.mT).norm()) <= 1e-11 * float(found.norm())
    assert passed.count(len(x)) <= 4  # the check, and the batch that pieces are compared with
    assert min(passed) < len(x)
    assert "sample by sample" not in risk.refuted


class Coupled(nn.Module):
    """Outputs of a sample depend on the others."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x))
        return self.second(hidden - hidden.mean(dim=0))


def test_coupled_samples_are_not_cut() -> None:
    model, x = seeded(Coupled()), draw(20, 3)
    J = jacobian(model, x)
    risk = hs.EmpiricalRisk(model, hs.SquaredError(), (x, draw(20, 2, seed=3)))
    found = hs.Gram(risk).dense()
    assert float((found - 2 * J @ J.mT).norm()) <= 1e-11 * float(found.norm())
    assert {"layer-wise", "sample by sample"} <= risk.refuted
