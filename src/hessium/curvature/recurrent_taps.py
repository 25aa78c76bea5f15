"""Recurrent layers, computed step by step with an offset at every step."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from hessium.curvature.layer_ops import Outer

if TYPE_CHECKING:
    from hessium.curvature.layer_recorder import TapRecorder


def _layer(kind: str, to: TapRecorder, *args: Any) -> tuple[Tensor, ...] | None:
    """The layers of `torch.nn.LSTM` and its sisters on sequences of one length."""
    if len(args) != 9:  # packed sequences
        return None
    x, hx, weights, biases, layers, dropout, train, two_ways, batch_first = args
    states = hx if kind == "lstm" else (hx,)
    ways, each = 1 + two_ways, 4 if biases else 2
    if not isinstance(weights, Sequence) or len(weights) != layers * ways * each:
        return None  # with projections
    if (train and dropout) or any(to.key(s) is not None for s in (x, *states)):
        return None
    x = x.transpose(0, 1) if batch_first else x
    ends: list[tuple[Tensor, ...]] = []
    for layer in range(layers):
        outputs = []
        for way in range(ways):
            at = layer * ways + way
            start = tuple(s[at] for s in states)
            own = (*weights[at * each : (at + 1) * each], None, None)[:4]
            found, end = _sequence(kind, to, x.flip(0) if way else x, start, own)
            outputs.append(found.flip(0) if way else found)
            ends.append(end)
        x = torch.cat(outputs, dim=-1)
    x = x.transpose(0, 1) if batch_first else x
    return (x, *(torch.stack(parts) for parts in zip(*ends, strict=True)))


def _sequence(
    kind: str,
    to: TapRecorder,
    x: Tensor,
    state: tuple[Tensor, ...],
    weights: Sequence[Tensor | None],
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Outputs (time, samples, width) and the last state of one layer in one direction."""
    w, u, b, c = weights
    assert w is not None
    assert u is not None
    z = _linear(to, x, w, b)
    offset = torch.zeros_like(z, requires_grad=True)
    before, outputs = [], []
    for step, shift in zip(z, offset, strict=True):
        before.append(state[0])
        state = _cell(kind, step, F.linear(state[0], u, c) + shift, state)
        outputs.append(state[0])
    if to.key(u) is not None or to.key(c) is not None:
        to.calls.append(
            Outer(
                weight=to.key(u), bias=to.key(c), inputs=torch.stack(before).detach(),
                offset=offset, width=z.shape[-1], entries=(2,),
            )
        )  # fmt: skip
    return torch.stack(outputs), state


def _linear(to: TapRecorder, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    result = F.linear(x, weight, bias)
    if to.key(weight) is None and to.key(bias) is None:
        return result
    call = Outer(
        weight=to.key(weight), bias=to.key(bias), inputs=x, offset=to.offset(result),
        width=weight.shape[0], entries=(result.dim() - 1,),
    )  # fmt: skip
    return to.add(call, result)


def _cell(kind: str, z: Tensor, g: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """One step from the parts of the gates due to inputs, z, and to the state, g."""
    if kind in ("tanh", "relu"):
        return ((torch.tanh if kind == "tanh" else torch.relu)(z + g),)
    if kind == "gru":
        (z1, z2, z3), (g1, g2, g3) = z.chunk(3, -1), g.chunk(3, -1)
        keep = torch.sigmoid(z2 + g2)
        new = torch.tanh(z3 + torch.sigmoid(z1 + g1) * g3)
        return (new + keep * (state[0] - new),)
    i, f, c, o = (z + g).chunk(4, -1)
    cell = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(c)
    return torch.sigmoid(o) * torch.tanh(cell), cell


def _step(
    kind: str,
    to: TapRecorder,
    x: Tensor,
    hx: Any,
    w: Tensor,
    u: Tensor,
    b: Tensor | None = None,
    c: Tensor | None = None,
) -> Any:
    """`torch.nn.LSTMCell` and its sisters."""
    state = tuple(hx) if kind == "lstm" else (hx,)
    if any(to.key(s) is not None for s in (x, *state)):
        return None
    found = _cell(kind, _linear(to, x, w, b), _linear(to, state[0], u, c), state)
    return found if kind == "lstm" else found[0]


RECURRENT: dict[Any, Callable[..., Any]] = {
    function: functools.partial(tap, kind)
    for kind, whole, one in (
        ("lstm", torch.lstm, torch.lstm_cell),
        ("gru", torch.gru, torch.gru_cell),
        ("tanh", torch.rnn_tanh, torch.rnn_tanh_cell),
        ("relu", torch.rnn_relu, torch.rnn_relu_cell),
    )
    for function, tap in ((whole, _layer), (one, _step))
}
