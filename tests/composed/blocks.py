"""Building blocks of random models: modules that act on the last dimension and keep its width."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils import prune as prune
from torch.utils.checkpoint import checkpoint

from composed import functions, unusual
from composed.dice import Dice

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh, "gelu": F.gelu, "silu": F.silu, "softplus": F.softplus, "elu": F.elu,
    "sigmoid": torch.sigmoid, "relu": F.relu, "leaky_relu": F.leaky_relu,
    "hardswish": F.hardswish, "hardsigmoid": F.hardsigmoid, "mish": F.mish, "sin": torch.sin,
}  # fmt: skip
SMOOTH = ("tanh", "gelu", "silu", "softplus", "sigmoid", "mish", "sin")


class Act(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        return ACTIVATIONS[self.name](x)


class Through(nn.Module):
    """Any function of a module, which stays its only child."""

    def __init__(self, layer: nn.Module, function: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer = layer
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layer, x)


class Residual(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Gated(nn.Module):
    def __init__(self, w: int) -> None:
        super().__init__()
        self.value, self.gate = nn.Linear(w, w), nn.Linear(w, w)

    def forward(self, x: Tensor) -> Tensor:
        return self.value(x) * torch.sigmoid(self.gate(x))


class Adapted(nn.Module):
    """A frozen layer with a low-rank adapter, B = 0 as at the start of a fine-tuning."""

    def __init__(self, w: int, start: Tensor) -> None:
        super().__init__()
        self.base = nn.Linear(w, w).requires_grad_(False)
        self.A = nn.Parameter(start)
        self.B = nn.Parameter(torch.zeros(w, len(start)))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.A.mT @ self.B.mT


class Lists(nn.Module):
    """Parameters in a list and a dict."""

    def __init__(self, w: int, dice: Dice) -> None:
        super().__init__()
        self.factors = nn.ParameterList([dice.normal(w) for _ in range(2)])
        self.named = nn.ParameterDict({"shift": dice.normal(w), "scale": dice.normal(1)})

    def forward(self, x: Tensor) -> Tensor:
        for factor in self.factors:
            x = torch.tanh(x * factor)
        return x * self.named["scale"] + self.named["shift"]


class Einsum(nn.Module):
    def __init__(self, w: int, dice: Dice) -> None:
        super().__init__()
        self.core = nn.Parameter(dice.normal(w, w) / w**0.5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("...i,ij,...j->...j", x, self.core, torch.tanh(x))


class Complex(nn.Module):
    """Rotations: real parameters seen as complex numbers."""

    def __init__(self, w: int, dice: Dice) -> None:
        super().__init__()
        self.phase = nn.Parameter(dice.normal(w, 2))

    def forward(self, x: Tensor) -> Tensor:
        z = torch.view_as_complex(self.phase) * x
        return z.real + torch.tanh(z.imag) + 0.1 * z.abs().square()


class Fourier(nn.Module):
    """A filter in the frequencies of the last dimension."""

    def __init__(self, w: int, dice: Dice) -> None:
        super().__init__()
        self.filter = nn.Parameter(dice.normal(w // 2 + 1, 2))
        self.w = w

    def forward(self, x: Tensor) -> Tensor:
        z = torch.fft.rfft(x, dim=-1) * torch.view_as_complex(self.filter)
        return torch.tanh(torch.fft.irfft(z, n=self.w, dim=-1))


class Caches(nn.Module):
    """Keeps its activations as attributes, as for later inspection."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.cache = self.body(x)
        self.calls += 1
        self.body.last_input = x
        return torch.tanh(self.cache)


class Writes(nn.Module):
    """Writes to its buffers, whose values do not enter the result."""

    seen: Tensor
    count: Tensor

    def __init__(self, body: nn.Module, w: int) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("seen", torch.zeros(w))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        self.seen.mul_(0.9).add_(0.1 * x.detach().reshape(-1, x.shape[-1]).mean(0))
        self.count += 1
        self.seen = self.seen + 1
        return torch.tanh(self.body(x))


class InPlace(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        h += 0.5 * x
        h.mul_(0.9)
        return F.elu(h, inplace=True)


class Aliased(nn.Module):
    """One layer under several names, and as an element of a list."""

    def __init__(self, w: int, names: int) -> None:
        super().__init__()
        self.first = nn.Linear(w, w)
        self.second = self.first
        if names > 2:
            self.third = nn.ModuleList([self.first])
        self.names = names

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x))
        x = x + torch.tanh(self.second(x))
        return self.third[0](x) if self.names > 2 else x


class TiedWeights(nn.Module):
    """Two layers whose weights are one parameter, their biases not."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(w, w), nn.Linear(w, w)
        self.decode.weight = self.encode.weight

    def forward(self, x: Tensor) -> Tensor:
        return x + self.decode(torch.tanh(self.encode(x)))


class TransposeTied(nn.Module):
    """Decoder weight is the transpose of the encoder's."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.encode = nn.Linear(w, w)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.encode(x)) @ self.encode.weight


class SharedFrozen(nn.Module):
    """One frozen layer in two places, a trained one between."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.frozen = nn.Linear(w, w).requires_grad_(False)
        self.again = nn.Sequential(nn.Linear(w, w), self.frozen)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.again(torch.tanh(self.frozen(x))))


class Unregistered(nn.Module):
    """A layer in a plain list: no optimiser trains it, so it is a constant."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.own = nn.Linear(w, w)
        self.hidden = [nn.Linear(w, w).requires_grad_(False)]

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.own(x)) + self.hidden[0](x)


class UnregisteredTrainable(Unregistered):
    """The same, requiring gradients, which nobody uses."""

    def __init__(self, w: int) -> None:
        super().__init__(w)
        self.hidden[0].requires_grad_(True)


class Functional(nn.Module):
    """Derivatives by torch.func inside the forward pass."""

    def __init__(self, w: int, kind: str) -> None:
        super().__init__()
        self.potential = nn.Linear(w, w)
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        def energy(row: Tensor) -> Tensor:
            return F.softplus(self.potential(row)).sum()

        flat = x.reshape(-1, x.shape[-1])
        if self.kind == "vmap_grad":
            out = torch.func.vmap(torch.func.grad(energy))(flat)
        elif self.kind == "jvp":
            out = torch.func.jvp(lambda r: torch.tanh(self.potential(r)), (flat,), (flat,))[1]
        else:
            weights = {k: v * 1.1 for k, v in self.potential.named_parameters()}
            out = torch.tanh(torch.func.functional_call(self.potential, weights, (flat,)))
        return out.reshape(x.shape)


class InnerGradient(nn.Module):
    """A gradient flow: autograd.grad of an energy in the activations, with its graph."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.potential = nn.Linear(w, w)

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            point = x if x.requires_grad else x.detach().requires_grad_()
            energy = F.softplus(self.potential(point)).sum()
            (slope,) = torch.autograd.grad(energy, point, create_graph=True)
        return x - 0.5 * slope


class Partially(nn.Module):
    """Part of the activations is detached."""

    def __init__(self, w: int, whole: bool) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(w, w), nn.Linear(w, w)
        self.whole = whole

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.a(x))
        k = self.b(h)
        return k * h.detach() if self.whole else torch.cat([k[..., :1].detach(), k[..., 1:]], -1)


class Autocast(nn.Module):
    """Mixed precision inside the model; the oracle switches it off by `plain`."""

    plain = False

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        if Autocast.plain:
            return self.body(x)
        with torch.autocast("cpu", torch.bfloat16):
            return self.body(x).to(x.dtype)


class Upcast(nn.Module):
    """Computes in float32 whatever the dtype of the parameters, as many norms do."""

    plain = False

    def __init__(self, w: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(w))

    def forward(self, x: Tensor) -> Tensor:
        h = x if Upcast.plain else x.float()
        h = h * torch.rsqrt(h.square().mean(-1, keepdim=True) + 1e-2)
        return self.weight * h.to(x.dtype)


class Adjoint(nn.Module):
    def __init__(self, w: int) -> None:
        super().__init__()
        self.layer = nn.Linear(w, w)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = functions.Recomputed.apply(  # type: ignore[no-untyped-call]
            x, self.layer, *self.layer.parameters()
        )
        return out


class Recurrent(nn.Module):
    def __init__(self, kind: str, w: int, *, batch_first: bool, both: bool) -> None:
        super().__init__()
        make: Any = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[kind]
        hidden = w if not both else max(1, w // 2)
        self.cell = make(w, hidden, batch_first=batch_first, bidirectional=both)
        self.out = nn.Linear(2 * hidden, w) if both else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.cell(x)[0])
        return out


class Cell(nn.Module):
    """A recurrent cell stepped by hand over dimension `over`."""

    def __init__(self, w: int, over: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(w, w)
        self.over = over

    def forward(self, x: Tensor) -> Tensor:
        steps = x.unbind(self.over)
        h = torch.zeros_like(steps[0])
        out = []
        for step in steps:
            h = self.cell(step.reshape(-1, x.shape[-1]), h.reshape(-1, x.shape[-1]))
            h = h.reshape(step.shape)
            out.append(h)
        return torch.stack(out, self.over)


class Attention(nn.Module):
    def __init__(self, w: int, *, batch_first: bool, causal: bool) -> None:
        super().__init__()
        self.mha = nn.MultiheadAttention(w, 1 + (w + 1) % 2, batch_first=batch_first)
        self.causal, self.over = causal, 1 if batch_first else 0

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[self.over]
        mask = torch.ones(length, length, dtype=torch.bool).triu(1) if self.causal else None
        out: Tensor = self.mha(x, x, x, need_weights=False, attn_mask=mask)[0]
        return x + out


class Sdpa(nn.Module):
    """Attention by the functional form, over dimension 1."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(w, 3 * w, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unsqueeze(1).chunk(3, -1)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).squeeze(1)


class Statistics(nn.Module):
    """Batch normalisation in evaluation mode over the last dimension."""

    def __init__(self, w: int, dice: Dice) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(w)
        self.norm.running_mean.copy_(0.3 * dice.normal(w))  # type: ignore[union-attr]
        self.norm.running_var.copy_(0.5 + dice.uniform(w))  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.reshape(-1, x.shape[-1])).reshape(x.shape)


class Temporal(nn.Module):
    """A convolution along time of (samples, time, features)."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(w, w, 3, padding=1, groups=w)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.mT).mT


def mlp(dice: Dice, w: int, *, smooth: bool = False) -> nn.Module:
    act = dice.named("act", SMOOTH if smooth else tuple(ACTIVATIONS))
    return nn.Sequential(nn.Linear(w, w), Act(act))


def checkpointed(layer: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = checkpoint(layer, x, use_reentrant=False)
    return out


POINTWISE = (
    "mlp", "residual", "gated", "layer_norm", "rms_norm", "group_norm", "batch_norm", "weight_norm",
    "weight_norm_old", "spectral_norm", "lora", "parameter_lists", "einsum", "complex", "fourier",
    "checkpoint", "vmap_grad", "jvp", "functional_call", "inner_gradient", "function_right",
    "function_no_grad", "function_detached", "function_once", "function_numpy", "function_wrong",
    "adjoint", "detach_part", "detach_factor", "caches", "writes", "in_place", "autocast", "upcast",
    "twice", "alias", "three_names", "tied_weights", "transpose_tied", "shared_frozen",
    "unregistered", "unregistered_trainable", "forward_hook", "backward_hook", "frozen",
    "bilinear", "no_grad_statistics", "cached", "references", "symmetric", "orthogonal", "pruned",
    "scripted", *unusual.NAMES, *unusual.SUSPECT,
)  # fmt: skip
SEQUENCE = (
    "lstm",
    "gru",
    "rnn",
    "bi_lstm",
    "bi_gru",
    "cell",
    "attention",
    "encoder_layer",
    "stacked",
)
BATCH_FIRST_ONLY = ("sdpa", "conv_time", "packed")
# wrong or cut gradients and opaque second derivatives: to be refused; drawn less often
SUSPECT = (
    "function_no_grad", "function_detached", "function_once", "function_numpy", "function_wrong",
    "detach_part", "detach_factor", "autocast", "no_grad_statistics", "references",
    *unusual.SUSPECT,
)  # fmt: skip


class Cached(nn.Module):
    """A constant computed in the first forward pass and kept as an attribute."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.layer = nn.Linear(w, w)
        self.table: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.table is None:
            self.table = torch.cos(torch.arange(x.shape[-1], dtype=x.dtype))
        return self.layer(x * self.table)


class References(nn.Module):
    """A weight that is read from a list beside its place in the module."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.layer = nn.Linear(w, w)
        self.weights = [self.layer.weight]

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.weights[0] + self.layer.bias)


class Symmetric(nn.Module):
    """A parametrisation of one's own."""

    def forward(self, w: Tensor) -> Tensor:
        return w.triu() + w.triu(1).mT


def _symmetric(w: int) -> nn.Module:
    layer = nn.Linear(w, w)
    nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
    return layer


def _scripted(w: int) -> nn.Module:
    scripted: nn.Module = torch.jit.script(nn.Sequential(nn.Linear(w, w), nn.Tanh()))
    return scripted


class NoGradStatistics(nn.Module):
    """Normalises by statistics of the activations that are computed under no_grad."""

    def __init__(self, w: int) -> None:
        super().__init__()
        self.layer = nn.Linear(w, w)

    def forward(self, x: Tensor) -> Tensor:
        h = self.layer(x)
        with torch.no_grad():
            size = h.square().mean(-1, keepdim=True).sqrt() + 0.1
        return h / size


class Bilinear(nn.Module):
    def __init__(self, w: int) -> None:
        super().__init__()
        self.form = nn.Bilinear(w, w, 2)
        self.out = nn.Linear(2, w)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.out(self.form(x, x)))


def _hooked(w: int, *, backward: bool) -> nn.Module:
    layer = nn.Linear(w, w)
    if backward:
        layer.register_full_backward_hook(lambda module, before, after: None)
    else:
        layer.register_forward_hook(lambda module, args, out: torch.tanh(out) * 1.5)
    return layer


def pointwise(name: str, dice: Dice, w: int) -> nn.Module:
    """A block by name for activations whose last dimension is the features."""
    made: dict[str, Callable[[], nn.Module]] = {
        "mlp": lambda: mlp(dice, w),
        "residual": lambda: Residual(mlp(dice, w)),
        "gated": lambda: Gated(w),
        "layer_norm": lambda: nn.LayerNorm(w),
        "rms_norm": lambda: nn.RMSNorm(w, eps=1e-3),
        "group_norm": lambda: Through(
            nn.GroupNorm(1, w), lambda m, x: m(x.reshape(-1, w)).reshape(x.shape)
        ),
        "batch_norm": lambda: Statistics(w, dice),
        "weight_norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(w, w)),
        "weight_norm_old": lambda: nn.utils.weight_norm(nn.Linear(w, w)),
        "spectral_norm": lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(w, w)),
        "lora": lambda: Adapted(w, dice.normal(2, w)),
        "parameter_lists": lambda: Lists(w, dice),
        "einsum": lambda: Einsum(w, dice),
        "complex": lambda: Complex(w, dice),
        "fourier": lambda: Fourier(w, dice),
        "checkpoint": lambda: Through(mlp(dice, w), checkpointed),
        "vmap_grad": lambda: Functional(w, "vmap_grad"),
        "jvp": lambda: Functional(w, "jvp"),
        "functional_call": lambda: Functional(w, "functional_call"),
        "inner_gradient": lambda: InnerGradient(w),
        "function_right": lambda: _apply(functions.Swish, w),
        "function_no_grad": lambda: _apply(functions.SwishUnderNoGrad, w),
        "function_detached": lambda: _apply(functions.SwishOfDetached, w),
        "function_once": lambda: _apply(functions.SwishOnce, w),
        "function_numpy": lambda: _apply(functions.SwishInNumpy, w),
        "function_wrong": lambda: _apply(functions.WrongSlope, w),
        "adjoint": lambda: Adjoint(w),
        "detach_part": lambda: Partially(w, False),
        "detach_factor": lambda: Partially(w, True),
        "caches": lambda: Caches(mlp(dice, w)),
        "writes": lambda: Writes(mlp(dice, w), w),
        "in_place": lambda: InPlace(nn.Linear(w, w)),
        "autocast": lambda: Autocast(mlp(dice, w)),
        "upcast": lambda: Upcast(w),
        "twice": lambda: Through(mlp(dice, w), lambda m, x: m(m(x)) + x),
        "alias": lambda: Aliased(w, 2),
        "three_names": lambda: Aliased(w, 3),
        "tied_weights": lambda: TiedWeights(w),
        "transpose_tied": lambda: TransposeTied(w),
        "shared_frozen": lambda: SharedFrozen(w),
        "unregistered": lambda: Unregistered(w),
        "unregistered_trainable": lambda: UnregisteredTrainable(w),
        "forward_hook": lambda: _hooked(w, backward=False),
        "backward_hook": lambda: _hooked(w, backward=True),
        "frozen": lambda: mlp(dice, w).requires_grad_(False),
        "bilinear": lambda: Bilinear(w),
        "cached": lambda: Cached(w),
        "references": lambda: References(w),
        "symmetric": lambda: _symmetric(w),
        "orthogonal": lambda: nn.utils.parametrizations.orthogonal(nn.Linear(w, w)),
        "pruned": lambda: nn.utils.prune.random_unstructured(nn.Linear(w, w), "weight", 0.4),
        "scripted": lambda: _scripted(w),
        "no_grad_statistics": lambda: NoGradStatistics(w),
    }
    return made[name]() if name in made else unusual.unusual(name, dice, w)


def _apply(function: Any, w: int) -> nn.Module:
    return Through(nn.Linear(w, w), lambda layer, x: function.apply(layer(x)))


def sequential(name: str, dice: Dice, w: int, *, batch_first: bool) -> nn.Module:
    """A block by name that mixes times; time is dimension 1, or 0 without `batch_first`."""
    if name in ("lstm", "gru", "rnn"):
        return Recurrent(name, w, batch_first=batch_first, both=False)
    if name in ("bi_lstm", "bi_gru"):
        return Recurrent(name[3:], w, batch_first=batch_first, both=True)
    if name == "cell":
        return Cell(w, 1 if batch_first else 0)
    if name == "attention":
        return Attention(w, batch_first=batch_first, causal=dice.chance(0.5))
    if name == "encoder_layer":
        return nn.TransformerEncoderLayer(
            w, 1 + (w + 1) % 2, dim_feedforward=w, batch_first=batch_first,
            norm_first=dice.chance(0.5), activation=dice.of(("relu", "gelu")),
        )  # fmt: skip
    if name == "stacked":
        return unusual.Stacked(w, batch_first=batch_first)
    if name == "packed":
        return unusual.Packed(w)
    return Sdpa(w) if name == "sdpa" else Temporal(w)
