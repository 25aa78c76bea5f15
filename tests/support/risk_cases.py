"""Models, losses and splits into batches on which every curvature operator is tried.

Float64 throughout. Each case is made afresh from seeds, so tests cannot disturb each other.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

import hessium as hs
from hessium.errors import RouteWarning


@dataclass(frozen=True)
class Problem:
    """What a user would hold in hand: model, loss and batches."""

    model: nn.Module
    loss: Any
    batches: Iterable[tuple[Any, Any]]
    reduction: Any = None
    restrict: tuple[str, ...] = ()
    closure: Callable[[nn.Module], Tensor] | None = None
    forward: Callable[[nn.Module, Any], Any] | None = None

    def risk(self) -> hs.EmpiricalRisk:
        if self.closure is not None:
            return hs.EmpiricalRisk.from_closure(self.model, self.closure)
        risk = hs.EmpiricalRisk(
            self.model, self.loss, self.batches, reduction=self.reduction, forward=self.forward
        )
        return risk.restrict(self.restrict) if self.restrict else risk


@dataclass(frozen=True)
class Case:
    """A problem, made afresh each time.

    Attributes:
        name: for test ids.
        make: the problem.
        convex: whether the loss is convex in the outputs, so that a Gram matrix exists.
    """

    name: str
    make: Callable[[], Problem]
    convex: bool = True

    def __str__(self) -> str:
        return self.name


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def classes(*shape: int, high: int, seed: int = 1) -> Tensor:
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(seed))


def seeded(model: nn.Module, scale: float = 1.0) -> nn.Module:
    """The model in float64 with parameters from a fixed seed, in eval mode."""
    model = model.double().eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(7)
        for module in model.modules():
            for name in ("reset_parameters", "_reset_parameters"):
                if hasattr(module, name):
                    getattr(module, name)()
        for parameter in model.parameters():
            fan_in = parameter.shape[-1] if parameter.dim() > 1 else 4
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(noise, alpha=scale / fan_in**0.5)
    return model


def mlp(*widths: int, activation: type[nn.Module] = nn.Tanh) -> nn.Module:
    layers: list[nn.Module] = []
    for d_in, d_out in itertools.pairwise(widths):
        layers += [nn.Linear(d_in, d_out), activation()]
    return seeded(nn.Sequential(*layers[:-1]))


def split(x: Any, y: Tensor, *sizes: int) -> list[tuple[Any, Tensor]]:
    return list(zip(torch.split(x, list(sizes)), torch.split(y, list(sizes)), strict=True))


class TiedAutoencoder(nn.Module):
    """Decoder weight is the encoder's, transposed: one parameter, used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(torch.tanh(self.encoder(x)), self.encoder.weight.T)


class TiedEmbedding(nn.Module):
    """A language model in small: embedding, layer norm, and the embedding again as output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.norm(torch.tanh(self.embedding(tokens)))
        return self.head(hidden).transpose(1, 2)


class Attention(nn.Module):
    """One block with fused attention, as transformers have it."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(4, 12)
        self.norm = nn.LayerNorm(4)
        self.out = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).view(*x.shape[:2], 3, 2, 2).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(x.shape)).mean(dim=1)


class Named(nn.Module):
    """Takes keywords, has a frozen parameter, an unused one and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Linear(4, 2)
        self.unused = nn.Parameter(torch.ones(3))
        self.frozen = nn.Parameter(torch.full((4,), 0.5), requires_grad=False)
        self.shift = nn.Buffer(torch.full((4,), 0.1))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(left + right)) * self.frozen
        return self.second(hidden + self.shift)


class BatchCentred(nn.Module):
    """Linear layers only, but every sample feels the others: no layer-wise assembly."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x))
        return self.second(hidden - hidden.mean(dim=0))


class PoissonResidual(nn.Module):
    """u'' + pi^2 sin(pi x) at interior points and u at the ends, for u from a network."""

    def __init__(self) -> None:
        super().__init__()
        self.network = mlp(1, 6, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        point = x.detach().clone().requires_grad_()
        u = self.network(point)
        (slope,) = torch.autograd.grad(u.sum(), point, create_graph=True)
        (bend,) = torch.autograd.grad(slope.sum(), point, create_graph=True)
        equation = bend + torch.pi**2 * torch.sin(torch.pi * point)
        ends = self.network(torch.tensor([[0.0], [1.0]], dtype=x.dtype))
        return torch.cat([equation, 10.0 * ends])


def poisson_loss(module: nn.Module) -> Tensor:
    """The same physics as one number."""
    return module(torch.linspace(0.1, 0.9, 7, dtype=torch.float64)[:, None]).square().sum()


def pseudo_huber(outputs: Tensor, targets: Tensor) -> Tensor:
    """A user's own convex loss, a mean over samples, that couples the outputs of one."""
    return (1 + (outputs - targets).square().sum(dim=1)).sqrt().mean()


def welsch(outputs: Tensor, targets: Tensor) -> Tensor:
    """A user's own loss that is not convex far from the target."""
    return (1 - torch.exp(-(outputs - targets).square())).sum(dim=1).mean()


def masked_mean(outputs: Tensor, targets: Tensor) -> Tensor:
    """A user's own mean over the targets that are not masked."""
    mask = targets != -1
    return (F.softplus(outputs) * mask).sum() / mask.sum()


def _vision() -> nn.Module:
    return seeded(
        nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(12, 3),
        )
    )  # fmt: skip


def _cross_entropy(**options: Any) -> Problem:
    data = split(draw(12, 4), classes(12, high=3), 10, 2)
    return Problem(mlp(4, 5, 3), nn.CrossEntropyLoss(**options), data)


def _language() -> Problem:
    targets = classes(5, 6, high=7, seed=2)
    targets[0, 2:] = -100
    targets[4] = -100  # a whole batch that does not count
    data = split(classes(5, 6, high=7), targets, 4, 1)
    return Problem(seeded(TiedEmbedding()), nn.CrossEntropyLoss(), data)


def _named() -> Problem:
    inputs = [{"left": draw(n, 3, seed=n), "right": draw(n, 3, seed=9)} for n in (4, 1)]
    targets = [draw(4, 2, seed=5), draw(1, 2, seed=6)]
    return Problem(seeded(Named()), nn.MSELoss(), list(zip(inputs, targets, strict=True)))


def _masked() -> Problem:
    data = split(draw(8, 4), classes(8, 3, high=3) - 1, 5, 3)
    return Problem(mlp(4, 5, 3), masked_mean, data, reduction=lambda y: float((y != -1).sum()))


def _regression(loss: Any, **options: Any) -> Problem:
    data = split(draw(12, 3), draw(12, 2, seed=3), 10, 2)
    return Problem(mlp(3, 6, 4, 2), loss, data, **options)


def _bce() -> Problem:
    loss = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([1.0, 3.0], dtype=torch.float64))
    return Problem(mlp(3, 4, 2), loss, split(draw(9, 3), classes(9, 2, high=2).double(), 4, 5))


def _soft_targets() -> Problem:
    targets = torch.softmax(draw(12, 3, seed=8), dim=1)
    loss = nn.CrossEntropyLoss(weight=CLASS_WEIGHTS)
    return Problem(mlp(4, 5, 3), loss, split(draw(12, 4), targets, 10, 2))


def _tied() -> Problem:
    return Problem(
        seeded(TiedAutoencoder()), hs.SquaredError(), split(draw(6, 4), draw(6, 4), 4, 2)
    )


def _layer_norm() -> Problem:
    model = nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.GELU(), nn.Linear(5, 2))
    return Problem(seeded(model), nn.MSELoss(), split(draw(7, 3), draw(7, 2, seed=3), 5, 2))


def _attention() -> Problem:
    data = split(draw(5, 3, 4), classes(5, high=2), 3, 2)
    return Problem(seeded(Attention()), nn.CrossEntropyLoss(), data)


def _convolution() -> Problem:
    data = split(draw(6, 2, 4, 4), classes(6, high=3), 4, 2)
    return Problem(_vision(), nn.CrossEntropyLoss(), data)


def _coupled() -> Problem:
    return Problem(seeded(BatchCentred()), nn.MSELoss(), [(draw(6, 3), draw(6, 2))])


def _one_layer() -> Problem:
    model = seeded(nn.Linear(3, 2, bias=False))
    return Problem(model, nn.MSELoss(), [(draw(6, 3), draw(6, 2))])


def _relu() -> Problem:
    loss = hs.SquaredError(0.5, reduction="mean")
    return Problem(mlp(4, 4, 4, activation=nn.ReLU), loss, [(draw(8, 4), draw(8, 4, seed=3))])


def _physics(**options: Any) -> Problem:
    points = torch.linspace(0.1, 0.9, 7, dtype=torch.float64)[:, None]
    data = [(points, torch.zeros(9, 1, dtype=torch.float64))]
    return Problem(PoissonResidual(), hs.SquaredError(), data, **options)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.head = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])[:, 0]


def _recurrent() -> Problem:
    data = split(draw(6, 3, 3), draw(6, seed=4), 4, 2)
    return Problem(seeded(Recurrent()), nn.MSELoss(), data)


def _encoder() -> Problem:
    layer = nn.TransformerEncoderLayer(4, 2, dim_feedforward=5, dropout=0.0, batch_first=True)
    data = split(draw(4, 3, 4), draw(4, 3, 4, seed=4), 3, 1)
    return Problem(seeded(layer, 0.3), nn.MSELoss(), data)


def _pixels() -> Problem:
    model = seeded(nn.Conv2d(2, 3, 3, padding=1))
    loss = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([[[2.0]], [[1.0]], [[0.5]]]).double())
    return Problem(model, loss, split(draw(5, 2, 3, 3), classes(5, 3, 3, 3, high=2).double(), 3, 2))


def _likelihood() -> Problem:
    model = seeded(nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(dim=1)))
    loss = nn.NLLLoss(weight=CLASS_WEIGHTS, ignore_index=0)
    return Problem(model, loss, split(draw(12, 4), classes(12, high=3), 10, 2))


def _divergence() -> Problem:
    model = seeded(nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3), nn.LogSoftmax(dim=1)))
    targets = torch.softmax(draw(12, 3, seed=8), dim=1)
    return Problem(model, nn.KLDivLoss(reduction="batchmean"), split(draw(12, 4), targets, 10, 2))


def _probabilities() -> Problem:
    model = seeded(nn.Sequential(nn.Linear(4, 3), nn.Sigmoid()))
    return Problem(model, nn.BCELoss(), split(draw(9, 4), classes(9, 3, high=2).double(), 4, 5))


def _margins() -> Problem:
    data = split(draw(9, 4), classes(9, 3, high=2).double(), 4, 5)
    return Problem(mlp(4, 5, 3), nn.MultiLabelSoftMarginLoss(), data)


def _counts() -> Problem:
    return Problem(mlp(3, 4, 2), nn.PoissonNLLLoss(), split(draw(9, 3), draw(9, 2).abs(), 4, 5))


CLASS_WEIGHTS = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)

CASES = [
    Case("mse-10+2", lambda: _regression(nn.MSELoss())),
    Case("squared-error-sum", lambda: _regression(hs.SquaredError())),
    Case("squared-error-mean", lambda: _regression(hs.SquaredError(0.5, reduction="mean"))),
    Case("huber", lambda: _regression(nn.HuberLoss(delta=0.7))),
    Case("smooth-l1-sum", lambda: _regression(nn.SmoothL1Loss(reduction="sum", beta=0.5))),
    Case("l1", lambda: _regression(nn.L1Loss())),
    Case("functional-mse", lambda: _regression(F.mse_loss)),
    Case("own-loss", lambda: _regression(pseudo_huber, reduction="mean")),
    Case("own-loss-not-convex", lambda: _regression(welsch, reduction="mean"), convex=False),
    Case("masked-mean", _masked),
    Case("bce-pos-weight", _bce),
    Case("cross-entropy", _cross_entropy),
    Case("cross-entropy-sum", lambda: _cross_entropy(reduction="sum")),
    Case("class-weights", lambda: _cross_entropy(weight=CLASS_WEIGHTS)),
    Case("ignored-class", lambda: _cross_entropy(ignore_index=1)),
    Case(
        "smoothing-weights-ignored",
        lambda: _cross_entropy(weight=CLASS_WEIGHTS, label_smoothing=0.2, ignore_index=0),
    ),
    Case("soft-targets", _soft_targets),
    Case("tied-embedding-ignored-tokens", _language),
    Case("tied-autoencoder", _tied),
    Case("layer-norm", _layer_norm),
    Case("attention", _attention),
    Case("conv-batchnorm-eval-maxpool", _convolution),
    Case("keywords-frozen-unused-buffer", _named),
    Case("samples-coupled", _coupled),
    Case("one-layer-without-bias", _one_layer),
    Case("relu-two-layers", _relu),
    Case("physics-residual", _physics),
    Case("physics-closure", lambda: _physics(closure=poisson_loss)),
    Case("lstm-1d-outputs", _recurrent),
    Case("transformer-encoder-layer", _encoder),
    Case("pixelwise-bce", _pixels),
    Case("nll-weights-ignored", _likelihood),
    Case("kl-batchmean", _divergence),
    Case("bce", _probabilities),
    Case("multi-label-soft-margin", _margins),
    Case("poisson", _counts),
    Case("restricted", lambda: _regression(nn.MSELoss(), restrict=("2", "0.bias"))),
]


def quiet(problem: Problem) -> hs.EmpiricalRisk:
    """The risk without the warning about a replaced kernel, which has its own test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RouteWarning)
        return problem.risk()


def build(case: Case) -> hs.EmpiricalRisk:
    return quiet(case.make())
