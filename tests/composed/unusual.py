"""Blocks that keep state, share memory, change slopes or use rarer operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from composed.dice import Dice


class _Linear(nn.Module):
    """One layer, for those below."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.layer = nn.Linear(w, w)


class History(_Linear):
    """Appends to a list that it holds."""

    def __init__(self, w: int) -> None:
        super().__init__(w)
        self.history: list[float] = []

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.layer(x))
        self.history.append(float(h.detach().sum()))
        return h


class Toggles(_Linear):
    """Switches its own mode on the way."""

    def forward(self, x: Tensor) -> Tensor:
        self.layer.train(not self.layer.training)
        h = torch.sin(self.layer(x))
        self.last = h
        return h


class Noise(_Linear):
    """The same noise in every pass, from a seed."""

    def __init__(self, w: int, kind: str) -> None:
        super().__init__(w)
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "own":
            own = torch.Generator().manual_seed(3)
            noise = torch.rand(x.shape[-1], generator=own, dtype=torch.float64).to(x)
        elif self.kind == "global":
            torch.manual_seed(3)
            noise = torch.rand(x.shape[-1], dtype=torch.float64).to(x)
        else:
            np.random.seed(3)  # noqa: NPY002 - what users do
            noise = torch.as_tensor(np.random.rand(x.shape[-1])).to(x)  # noqa: NPY002
        return torch.tanh(self.layer(x + noise))


class StraightThrough(_Linear):
    """Rounds, with the slope of the identity."""

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.layer(x))
        return h + (torch.round(4 * h) / 4 - h).detach()


class Reversed(torch.autograd.Function):
    """The identity with the opposite slope."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return -slope


class Reversal(_Linear):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = Reversed.apply(torch.tanh(self.layer(x)))  # type: ignore[no-untyped-call]
        return out


class Hooked(_Linear):
    """A hook on activations that halves the slope."""

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.layer(x))
        if h.requires_grad:
            h.register_hook(lambda slope: slope / 2)
        return h


class Reentrant(_Linear):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = checkpoint(lambda h: torch.tanh(self.layer(h)), x, use_reentrant=True)
        return out


class BufferView(_Linear):
    """A buffer that shares its memory with a parameter, and so follows the training."""

    view: Tensor

    def __init__(self, w: int) -> None:
        super().__init__(w)
        self.register_buffer("view", self.layer.weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.layer(x)) @ self.view


class AttributeView(_Linear):
    """An attribute that does."""

    def __init__(self, w: int) -> None:
        super().__init__(w)
        self.view = self.layer.weight.detach()

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.layer(x)) @ self.view.to(x.dtype)


class OneMemory(nn.Module):
    """Two parameters in one memory."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(w, w), nn.Linear(w, w)
        self.b.weight.data = self.a.weight.data

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(x)))


class Odd(nn.Module):
    """Parameters of unusual shapes and strides, and one that is not there."""

    hidden: Tensor

    def __init__(self, w: int, dice: Dice) -> None:
        super().__init__()
        self.scalar = nn.Parameter(dice.normal(1)[0])
        self.turned = nn.Parameter(dice.normal(w, w).mT)
        self.empty = nn.Parameter(torch.zeros(0, w))
        self.register_parameter("missing", None)
        self.register_buffer("hidden", dice.normal(w), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.cat([self.turned, self.empty]) @ x.unsqueeze(-1)
        return torch.tanh(self.scalar * h.squeeze(-1) + self.hidden)


class Solve(_Linear):
    """Linear algebra: a system of equations and a determinant."""

    def forward(self, x: Tensor) -> Tensor:
        w = self.layer.weight
        a = torch.eye(len(w), dtype=w.dtype) + w @ w.mT
        return torch.linalg.solve(a, x.unsqueeze(-1)).squeeze(-1) + torch.logdet(a)


class Experts(nn.Module):
    """The best of three experts for every sample, weighted by its score."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.gate = nn.Linear(w, 3)
        self.experts = nn.ModuleList(nn.Linear(w, w, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        score, best = torch.softmax(self.gate(x), -1).max(-1, keepdim=True)
        each = torch.stack([expert(x) for expert in self.experts], -1)
        chosen = each.gather(-1, best.unsqueeze(-1).expand(*x.shape, 1)).squeeze(-1)
        return x + score * chosen


class Sorted(_Linear):
    def forward(self, x: Tensor) -> Tensor:
        h = self.layer(x).sort(-1).values
        return torch.logcumsumexp(h, -1) - 0.1 * h.cumsum(-1)


class Packed(nn.Module):
    """A recurrent layer over packed sequences of unequal lengths; time is dimension 1."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.cell = nn.GRU(w, w, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        lengths = torch.arange(len(x)) % x.shape[1] + 1
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, True, enforce_sorted=False)
        out: Tensor
        out, _ = nn.utils.rnn.pad_packed_sequence(
            self.cell(packed)[0], batch_first=True, total_length=x.shape[1]
        )
        return out


class Stacked(nn.Module):
    """Two recurrent layers, projected, whose last state gates the outputs."""

    def __init__(self, w: int, *, batch_first: bool) -> None:
        super().__init__()
        self.cell = nn.LSTM(w, 2, num_layers=2, proj_size=1, batch_first=batch_first)
        self.out = nn.Linear(1, w)
        self.over = 1 if batch_first else 0

    def forward(self, x: Tensor) -> Tensor:
        h, (last, _) = self.cell(x)
        return x + self.out(h * (1 + last[-1].unsqueeze(self.over)))


class Slopes(nn.Module):
    """A trained slope for negative values, and gates over halves of the features."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.wide, self.slope = nn.Linear(w, 2 * w), nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.slope(F.glu(self.wide(x), -1))


class Fallback(_Linear):
    """Catches an error of its own on the way."""

    def forward(self, x: Tensor) -> Tensor:
        try:
            return self.layer(x[..., :-1])
        except RuntimeError:
            return torch.tanh(self.layer(x))


class Branches(_Linear):
    """Chooses its path by the sign of what it has computed."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.layer(x)
        return torch.tanh(h) if float(h.detach().mean()) > 0 else torch.sin(h)


NAMES = (
    "history", "toggles", "noise_own", "noise_global", "noise_numpy", "odd", "solve", "experts",
    "sorted", "slopes", "fallback", "branches",
)  # fmt: skip
SUSPECT = (
    "straight_through", "reversal", "tensor_hook", "reentrant", "buffer_view", "attribute_view",
    "one_memory",
)  # fmt: skip


def unusual(name: str, dice: Dice, w: int) -> nn.Module:
    """A block by name for activations whose last dimension is the features."""
    made: dict[str, Callable[[], nn.Module]] = {
        "history": lambda: History(w),
        "toggles": lambda: Toggles(w),
        "noise_own": lambda: Noise(w, "own"),
        "noise_global": lambda: Noise(w, "global"),
        "noise_numpy": lambda: Noise(w, "numpy"),
        "odd": lambda: Odd(w, dice),
        "solve": lambda: Solve(w),
        "experts": lambda: Experts(w),
        "sorted": lambda: Sorted(w),
        "slopes": lambda: Slopes(w),
        "fallback": lambda: Fallback(w),
        "branches": lambda: Branches(w),
        "straight_through": lambda: StraightThrough(w),
        "reversal": lambda: Reversal(w),
        "tensor_hook": lambda: Hooked(w),
        "reentrant": lambda: Reentrant(w),
        "buffer_view": lambda: BufferView(w),
        "attribute_view": lambda: AttributeView(w),
        "one_memory": lambda: OneMemory(w),
    }
    return made[name]()
