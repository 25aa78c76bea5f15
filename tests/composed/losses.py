"""Losses as users hand them in, each with what plain torch makes of the whole data set."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

import hessium as hs
from composed.blocks import Attention
from composed.dice import Dice

Plain = Callable[[Tensor, Any], Tensor]


@dataclass
class Kit:
    """A loss with the targets that it wants.

    Attributes:
        loss: what the user hands in.
        plain: the same of all outputs and targets together, without the library.
        targets: shape of the outputs of a batch -> targets.
        reduction: what the user says, if anything.
        denominator: (all outputs, all targets, number of samples) -> D, where it is defined.
        one_batch: whether the loss is defined for one batch only.
        coupled: whether it couples samples.
        reads: whether it reads free parameters other than through the outputs.
        lies: whether it stops gradients.
        modules: to be converted with the model.
        log_outputs: whether outputs are log-probabilities.
    """

    loss: Any
    plain: Plain
    targets: Callable[[tuple[int, ...]], Any]
    reduction: Any = None
    denominator: Callable[[Tensor, Any, int], float] | None = None
    one_batch: bool = False
    coupled: bool = False
    reads: bool = False
    lies: bool = False
    modules: tuple[nn.Module, ...] = ()
    log_outputs: bool = False


CLASSES = ("ce", "ce_weight", "ce_ignore", "ce_smooth", "ce_soft", "ce_function", "nll")
ELEMENTWISE = (
    "mse", "mse_sum", "mse_function", "mse_partial_sum", "bce", "bce_weight", "huber", "smooth_l1",
    "l1", "poisson", "kl", "kl_batchmean",
)  # fmt: skip
OURS = ("squared_error", "squared_error_mean")
CALLABLES = (
    "mean", "sum", "counted", "rows", "tokens", "penalty", "penalty_sum", "temperature",
    "learned_weights", "critic", "critic_attention", "critic_closure", "holds_model", "holds_part",
    "item", "quartic", "constants", "contrastive", "variance", "detach", "no_grad_weights",
    "scaled_by_item", "counting", "gaussian", "cosine", "triplet",
)  # fmt: skip
RARE = ("contrastive", "variance", "detach", "no_grad_weights", "scaled_by_item")


def make(name: str, dice: Dice, net: nn.Module, width: int, ns: SimpleNamespace) -> Kit:
    """A loss by name; `width` is the number of classes, or of the last dimension of the outputs."""
    if name in CLASSES:
        return _classes(name, dice, width)
    if name in ELEMENTWISE:
        return _elementwise(name, dice)
    if name in OURS:
        scale = dice.of((1.0, 0.5))
        mean = name.endswith("mean")

        def plain(f: Tensor, y: Tensor) -> Tensor:
            # rows are samples where a sample has several rows
            count = max(ns.samples, len(f)) if ns.flat else ns.samples
            return scale * (f - y).square().sum() / (count if mean else 1)

        return Kit(
            hs.SquaredError(scale=scale, reduction="mean" if mean else "sum"), plain,
            lambda shape: dice.normal(*shape),
            denominator=lambda f, y, n: (len(f) if ns.flat else n) if mean else 1.0,
        )  # fmt: skip
    return _callable(name, dice, net, width, ns)


def _classes(name: str, dice: Dice, width: int) -> Kit:
    def labels(shape: tuple[int, ...]) -> Tensor:
        y = dice.integers(width, shape[0], *shape[2:])
        if name == "ce_ignore":
            flat = y.view(-1)
            flat[dice.between(0, len(flat) - 1)] = -100 if len(flat) > 1 else flat[0]
        return y

    def soft(shape: tuple[int, ...]) -> Tensor:
        return torch.softmax(dice.normal(*shape), 1)

    weight = 0.2 + dice.uniform(width)
    losses: dict[str, Callable[[], Any]] = {
        "ce": nn.CrossEntropyLoss,
        "ce_weight": lambda: nn.CrossEntropyLoss(weight=weight),
        "ce_ignore": lambda: nn.CrossEntropyLoss(weight=weight if dice.chance(0.5) else None),
        "ce_smooth": lambda: nn.CrossEntropyLoss(
            label_smoothing=0.2, weight=weight if dice.chance(0.5) else None
        ),
        "ce_soft": nn.CrossEntropyLoss,
        "ce_function": lambda: dice.of(
            (F.cross_entropy, functools.partial(F.cross_entropy, label_smoothing=0.1))
        ),
        "nll": nn.NLLLoss,
    }
    loss = losses[name]()
    if isinstance(loss, nn.Module) and dice.chance(0.25):
        loss.reduction = "sum"  # type: ignore[assignment]

    def denominator(f: Tensor, y: Tensor, n: int) -> float:
        if getattr(loss, "reduction", "mean") == "sum":
            return 1.0
        if y.is_floating_point():
            return f.numel() / f.shape[1]
        counted = y[y != -100]
        w = getattr(loss, "weight", None)
        return float(len(counted) if w is None else w.to(torch.float64)[counted].sum())

    return Kit(
        loss, loss, soft if name == "ce_soft" else labels, denominator=denominator,
        modules=(loss,) if isinstance(loss, nn.Module) else (), log_outputs=name == "nll",
    )  # fmt: skip


def _elementwise(name: str, dice: Dice) -> Kit:
    def normal(shape: tuple[int, ...]) -> Tensor:
        return dice.normal(*shape)

    def halves(shape: tuple[int, ...]) -> Tensor:
        return dice.uniform(*shape).round() if dice.chance(0.5) else dice.uniform(*shape)

    kinds: dict[str, tuple[Callable[[], Any], Callable[[tuple[int, ...]], Tensor]]] = {
        "mse": (nn.MSELoss, normal),
        "mse_sum": (lambda: nn.MSELoss(reduction="sum"), normal),
        "mse_function": (lambda: F.mse_loss, normal),
        "mse_partial_sum": (lambda: functools.partial(F.mse_loss, reduction="sum"), normal),
        "bce": (nn.BCEWithLogitsLoss, halves),
        "bce_weight": (lambda: nn.BCEWithLogitsLoss(pos_weight=dice.uniform(1) + 0.5), halves),
        "huber": (lambda: nn.HuberLoss(delta=0.7), normal),
        "smooth_l1": (lambda: nn.SmoothL1Loss(beta=0.6), normal),
        "l1": (nn.L1Loss, normal),
        "poisson": (nn.PoissonNLLLoss, lambda shape: dice.integers(4, *shape).double()),
        "kl": (nn.KLDivLoss, lambda shape: torch.softmax(dice.normal(*shape), -1)),
        "kl_batchmean": (
            lambda: nn.KLDivLoss(reduction="batchmean"),
            lambda shape: torch.softmax(dice.normal(*shape), -1),
        ),
    }
    make_loss, targets = kinds[name]
    loss = make_loss()

    def denominator(f: Tensor, y: Tensor, n: int) -> float:
        if name in ("mse_sum", "mse_partial_sum"):
            return 1.0
        return f.shape[0] if name == "kl_batchmean" else f.numel()

    return Kit(
        loss, loss, targets, denominator=denominator, log_outputs=name.startswith("kl"),
        modules=(loss,) if isinstance(loss, nn.Module) else (),
    )  # fmt: skip


class WithCritic(nn.Module):
    """Distance of what a frozen network makes of outputs and targets."""

    reduction = "mean"

    def __init__(self, critic: nn.Module) -> None:
        super().__init__()
        self.critic = critic.requires_grad_(False)

    def forward(self, f: Tensor, y: Tensor) -> Tensor:
        return (self.critic(f) - self.critic(y)).square().mean()


class Counting(nn.Module):
    """Keeps a running mean of itself and its last value, beside the result."""

    running: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running", torch.zeros(()))

    def forward(self, f: Tensor, y: Tensor) -> Tensor:
        value = F.huber_loss(f, y)
        self.running.mul_(0.9).add_(0.1 * value.detach())
        self.last = value
        return value


class HoldsModel(nn.Module):
    """Mean squared error with a penalty on the parameters of the model that it holds."""

    def __init__(self, held: nn.Module) -> None:
        super().__init__()
        self.held = held

    def forward(self, f: Tensor, y: Tensor) -> Tensor:
        penalty = torch.stack([p.square().sum() for p in self.held.parameters()]).sum()
        return (f - y).square().mean() + 0.02 * penalty


def _callable(name: str, dice: Dice, net: nn.Module, width: int, ns: SimpleNamespace) -> Kit:
    """Plain functions and modules, of outputs of any shape whose last dimension is `width`."""
    # a sum over samples is the loss of the whole data set without any denominator
    modules: tuple[nn.Module, ...] = ()
    reduction: Any = "mean"
    flags: dict[str, Any] = {}

    def function(f: Tensor, y: Tensor) -> Tensor:
        return (f - y).square().mean()

    loss: Any = function
    if name == "sum":
        loss, reduction = (lambda f, y: (torch.cosh(f - y) - 1).sum()), "sum"
    elif name == "counted":
        loss = lambda f, y: (f - y).pow(4).sum() / y.numel()  # noqa: E731
        reduction = Tensor.numel
    elif name == "rows":
        loss = lambda f, y: torch.log1p((f - y).square()).sum() / len(y)  # noqa: E731
        reduction = len
        flags["one_batch"] = ns.time_first
    elif name == "tokens":  # a mean over entries that count
        loss = lambda f, y: ((f - y).square() * (y > 0)).sum() / (y > 0).sum().clamp(min=1)  # noqa: E731
        reduction = lambda y: max(1, int((y > 0).sum()))  # noqa: E731
        flags["one_batch"] = True
    elif name in ("penalty", "penalty_sum"):
        reduction = "sum" if name.endswith("sum") else "mean"
        flags.update(reads=True, one_batch=name.endswith("sum"))

        def loss(f: Tensor, y: Tensor) -> Tensor:
            fit = (f - y).square().mean() if reduction == "mean" else (f - y).square().sum()
            return fit + 0.01 * torch.stack([p.square().sum() for p in net.parameters()]).sum()
    elif name == "temperature":
        net.log_temperature = nn.Parameter(0.3 * dice.normal(1))
        flags.update(reads=True)
        loss = lambda f, y: F.softplus(-y * f * net.log_temperature.exp()).mean()  # noqa: E731
    elif name == "learned_weights":
        net.log_weights = nn.Parameter(0.3 * dice.normal(2))
        flags.update(reads=True)

        def loss(f: Tensor, y: Tensor) -> Tensor:
            s: Any = net.log_weights
            one, two = (f - y).square().mean(), torch.log(torch.cosh(f - y)).mean()
            weighted: Tensor = torch.exp(-s[0]) * one + torch.exp(-s[1]) * two + s.sum()
            return weighted
    elif name in ("critic", "critic_attention"):
        critic: nn.Module = nn.Sequential(nn.Linear(width, 3), nn.Tanh(), nn.Linear(3, 2))
        if name == "critic_attention":
            critic = Attention(width, batch_first=True, causal=False)
        loss = WithCritic(critic)
        modules = (loss,)
    elif name == "critic_closure":
        ns.critic = nn.Linear(width, 2).requires_grad_(False)
        modules = (ns.critic,)
        loss = lambda f, y: (torch.tanh(ns.critic(f)) - y[..., :1]).square().mean()  # noqa: E731
    elif name in ("holds_model", "holds_part"):
        parts = [m for m in net.modules() if any(p.requires_grad for p in m.parameters())]
        loss = HoldsModel(net if name == "holds_model" else parts[-1])
        modules = (loss,)
        flags.update(reads=True)
    elif name == "item":
        loss = lambda f, y: (f - y).square().mean() / (1 + y.abs().mean().item())  # noqa: E731
        flags["one_batch"] = True
    elif name == "counting":
        loss = Counting()
        modules = (loss,)
    elif name == "gaussian":
        loss = lambda f, y: F.gaussian_nll_loss(f, y, F.softplus(f[..., :1]).expand_as(f) + 0.1)  # noqa: E731
    elif name == "cosine":
        loss = lambda f, y: (1 - F.cosine_similarity(f, y, dim=-1)).mean()  # noqa: E731
    elif name == "triplet":

        def loss(f: Tensor, y: Tensor) -> Tensor:
            y = y.flatten(0, -2)
            return F.triplet_margin_loss(f.flatten(0, -2), y, -y)

    elif name == "quartic":
        loss = lambda f, y: ((f - y).square().sum(-1) + 0.1).sqrt().mean() + f.pow(4).mean()  # noqa: E731
    elif name == "constants":
        ns.weights = dice.uniform(width)
        loss = lambda f, y: (ns.weights * (f - y).square()).mean()  # noqa: E731
    elif name == "contrastive":
        flags.update(one_batch=True, coupled=True)

        def loss(f: Tensor, y: Tensor) -> Tensor:
            z = F.normalize(f.reshape(len(f), -1), dim=-1)
            return F.cross_entropy(
                z @ z.mT / 0.5 + y.reshape(len(y), -1)[:, :1], torch.arange(len(f))
            )
    elif name == "variance":
        flags.update(one_batch=True, coupled=True)
        loss = lambda f, y: (f - y).square().mean() + 0.5 * f.var(0).mean()  # noqa: E731
    elif name == "detach":
        flags["lies"] = True
        loss = lambda f, y: ((f - y).abs().detach() * (f - y).square()).mean()  # noqa: E731
    elif name == "no_grad_weights":
        flags["lies"] = True

        def loss(f: Tensor, y: Tensor) -> Tensor:
            with torch.no_grad():
                w = torch.softmax(f, -1)
            return (w * (f - y).square()).mean()
    elif name == "scaled_by_item":
        flags.update(lies=True, one_batch=True)
        loss = lambda f, y: (f - y).square().mean() / (0.5 + f.abs().mean().item())  # noqa: E731

    def denominator(f: Tensor, y: Tensor, n: int) -> float:
        if reduction == "sum":
            return 1.0
        return n if reduction == "mean" else math.nan

    if name == "mean" and dice.chance(0.5):
        loss = lambda f, y: F.smooth_l1_loss(torch.sinh(f), y)  # noqa: E731
    return Kit(
        loss, loss, lambda shape: dice.normal(*shape), reduction=reduction,
        denominator=denominator, modules=modules, **flags,
    )  # fmt: skip
