"""Networks as people use them, small and in float64: convolutions, recurrence, attention, adapters.

Each has every kind of parameter of the large one, and data that come in unequal batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from support.risk_cases import Problem, classes, draw, seeded, split


class Residual(nn.Module):
    """Two convolutions beside a shortcut, which halve the image."""

    def __init__(self, width_in: int, width: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width_in, width, 3, stride=2, padding=1, bias=False), norm(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False), norm(width),
        )  # fmt: skip
        self.shortcut = nn.Conv2d(width_in, width, 1, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


def resnet(norm: Callable[[int], nn.Module]) -> Problem:
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), norm(4), nn.ReLU(), Residual(4, 6, norm),
        Residual(6, 8, norm), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip
    data = split(draw(7, 2, 8, 8), classes(7, high=3), 4, 3)
    return Problem(with_statistics(seeded(model)), nn.CrossEntropyLoss(), data)


def with_statistics(model: nn.Module) -> nn.Module:
    """Running means and variances as training leaves them, not zeros and ones."""
    for number, module in enumerate(model.modules()):
        for name, offset in (("running_mean", 0.0), ("running_var", 1.0)):
            if isinstance(getattr(module, name, None), Tensor):
                statistic = getattr(module, name)
                statistic.copy_(offset + 0.3 * draw(*statistic.shape, seed=number).abs())
    return model


def normalised(norm: nn.Module, *shape: int) -> Problem:
    """A regression through one normalisation layer; `shape` is that of the hidden units."""
    units = math.prod(shape)
    model = nn.Sequential(
        nn.Linear(3, units), nn.Unflatten(1, shape), norm, nn.Tanh(), nn.Flatten(),
        nn.Linear(units, 2),
    )  # fmt: skip
    data = split(draw(7, 3), draw(7, 2, seed=3), 5, 2)
    return Problem(with_statistics(seeded(model)), nn.MSELoss(), data)


def activated(activation: nn.Module) -> Problem:
    model = seeded(nn.Sequential(nn.Linear(3, 6), activation, nn.Linear(6, 2)))
    return Problem(model, nn.HuberLoss(), split(draw(7, 3), draw(7, 2, seed=3), 5, 2))


def loader_with_workers() -> Problem:
    """Five, five and two samples, read by two processes."""
    model = seeded(nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 4)))
    weight = torch.tensor([1.0, 0.5, 2.0, 3.0], dtype=torch.float64)
    data = TensorDataset(draw(12, 3), classes(12, high=4))
    loader = DataLoader(data, batch_size=5, shuffle=True, num_workers=2, persistent_workers=True)
    return Problem(model, nn.CrossEntropyLoss(weight=weight), loader)


class SelfAttention(nn.Module):
    """Causal attention with two heads.

    Args:
        width: of the residual stream.
        fused: by `scaled_dot_product_attention`, or by two matrix products and a softmax.
    """

    def __init__(self, width: int, *, fused: bool) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self._fused = fused

    def forward(self, x: Tensor) -> Tensor:
        samples, length, width = x.shape
        q, k, v = self.qkv(x).view(samples, length, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        if self._fused:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            future = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
            scores = (q @ k.mT / (width // 2) ** 0.5).masked_fill(future, -torch.inf)
            mixed = scores.softmax(dim=-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(x.shape))


class Block(nn.Module):
    def __init__(self, width: int, *, fused: bool) -> None:
        super().__init__()
        self.first = nn.LayerNorm(width)
        self.attention = SelfAttention(width, fused=fused)
        self.second = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.first(x))
        return x + self.mlp(self.second(x))


class LanguageModel(nn.Module):
    """A decoder with tied embeddings; scores come as (samples, vocabulary, positions)."""

    def __init__(self, *, fused: bool, width: int = 8, vocabulary: int = 11) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(6, width)
        self.blocks = nn.Sequential(Block(width, fused=fused), Block(width, fused=fused))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.tokens(tokens) + self.positions(
            torch.arange(tokens.shape[1], device=tokens.device)
        )
        return self.head(self.norm(self.blocks(hidden))).transpose(1, 2)


def padded_tokens(vocabulary: int) -> list[tuple[Tensor, Tensor]]:
    """Sequences of several lengths; what was added to make them equal does not count."""
    tokens = classes(5, 7, high=vocabulary)
    targets = tokens[:, 1:].clone()
    for row, length in enumerate((6, 3, 5, 1, 4)):
        targets[row, length:] = -100
    return split(tokens[:, :-1], targets, 3, 2)


def language_model(*, fused: bool) -> Problem:
    model = seeded(LanguageModel(fused=fused), 0.5)
    return Problem(model, nn.CrossEntropyLoss(), padded_tokens(11))


class MultiheadAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True, kdim=4, vdim=4)
        self.head = nn.Linear(6, 1)

    def forward(self, x: Tensor, context: Tensor, padding: Tensor) -> Tensor:
        return self.head(self.attention(x, context, context, key_padding_mask=padding)[0])


def multihead_attention() -> Problem:
    padding = torch.zeros(5, 4, dtype=torch.bool)
    padding[1, 2:] = padding[4, 3:] = True
    inputs = [draw(5, 3, 6), draw(5, 4, 4, seed=2), padding]
    parts = zip(*(torch.split(i, [3, 2]) for i in inputs), strict=True)
    targets = torch.split(draw(5, 3, 1, seed=4), [3, 2])
    return Problem(
        seeded(MultiheadAttention()), nn.MSELoss(), list(zip(parts, targets, strict=True))
    )


def encoder(**options: Any) -> Problem:
    layer = nn.TransformerEncoderLayer(6, 2, dim_feedforward=8, batch_first=True, **options)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    data = split(draw(5, 3, 6), draw(5, 3, 6, seed=4), 3, 2)
    return Problem(seeded(model, 0.3), nn.MSELoss(), data)


class Recurrent(nn.Module):
    def __init__(self, cell: Callable[..., nn.RNNBase], **options: Any) -> None:
        super().__init__()
        self.cell = cell(3, 4, num_layers=2, batch_first=True, bidirectional=True, **options)
        self.head = nn.Linear(2 * (self.cell.proj_size or 4), 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x)[0][:, -1])


def recurrent(cell: Callable[..., nn.RNNBase], **options: Any) -> Problem:
    data = split(draw(6, 4, 3), draw(6, 2, seed=4), 4, 2)
    return Problem(seeded(Recurrent(cell, **options)), nn.MSELoss(), data)


class Adapted(nn.Module):
    """A frozen linear layer with a trainable correction of rank 2 (LoRA)."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Linear(base.in_features, 2, bias=False)
        self.up = nn.Linear(2, base.out_features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.up(self.down(x))


def adapters() -> Problem:
    """The language model, frozen, with adapters on its attention."""
    model = LanguageModel(fused=True).requires_grad_(False)
    for module in model.modules():
        if isinstance(module, SelfAttention):
            module.qkv, module.out = Adapted(module.qkv), Adapted(module.out)  # type: ignore[assignment]
    return Problem(seeded(model, 0.5), nn.CrossEntropyLoss(), padded_tokens(11))


def upsampler() -> Problem:
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, groups=2, padding_mode="circular"), nn.SiLU(),
        nn.AvgPool2d(2), nn.ConvTranspose2d(4, 3, 2, stride=2), nn.Softplus(),
        nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(3, 1, 1),
    )  # fmt: skip
    data = split(draw(5, 2, 4, 4), classes(5, 1, 8, 8, high=2).double(), 3, 2)
    return Problem(seeded(model), nn.BCEWithLogitsLoss(), data)


class Sequences(nn.Module):
    """A recommender in small: a sequence of items, and a bilinear form with one more."""

    def __init__(self) -> None:
        super().__init__()
        self.items = nn.Embedding(9, 3)
        self.form = nn.Bilinear(3, 3, 2)
        self.slope = nn.PReLU(2)

    def forward(self, item: Tensor, history: Tensor) -> Tensor:
        return self.slope(self.form(self.items(item), self.items(history).sum(dim=1)))


def sequences() -> Problem:
    inputs = zip(
        torch.split(classes(7, high=9), [4, 3]),
        torch.split(classes(7, 3, high=9, seed=5), [4, 3]),
        strict=True,
    )
    targets = torch.split(draw(7, 2, seed=4), [4, 3])
    return Problem(seeded(Sequences()), nn.MSELoss(), list(zip(inputs, targets, strict=True)))


class FourierLayer(nn.Module):
    """A Fourier neural operator: complex numbers inside, real ones outside."""

    def __init__(self) -> None:
        super().__init__()
        self.lift = nn.Linear(1, 3)
        self.weight = nn.Parameter(torch.zeros(3, 3, 4, 2))
        self.project = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.lift(x[..., None]).mT
        modes = torch.fft.rfft(hidden)
        mixed = torch.einsum("nim,iom->nom", modes[..., :4], torch.view_as_complex(self.weight))
        smooth = torch.fft.irfft(mixed, n=x.shape[1])
        return self.project(torch.tanh(hidden + smooth).mT)[..., 0]


def fourier() -> Problem:
    data = split(draw(5, 8), draw(5, 8, seed=4), 3, 2)
    return Problem(seeded(FourierLayer()), nn.MSELoss(), data)


def parametrised() -> Problem:
    """Spectral and weight normalisation: parameters that are functions of parameters."""
    parametrizations = nn.utils.parametrizations
    model = nn.Sequential(
        parametrizations.spectral_norm(nn.Linear(3, 5)), nn.Tanh(),
        parametrizations.orthogonal(nn.Linear(5, 5)), nn.Tanh(), nn.Linear(5, 2),
    )  # fmt: skip
    return Problem(model.double().eval(), nn.MSELoss(), split(draw(7, 3), draw(7, 2, seed=3), 5, 2))


def gpt2(attention: str) -> Problem:
    """DistilGPT2 with its six layers and its structure, narrow."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config: Any = GPT2Config(  # type: ignore[call-arg]
        n_layer=6, n_embd=12, n_head=3, vocab_size=17, n_positions=8, attn_implementation=attention,
        use_cache=False, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config)
    return Problem(seeded(model, 0.3), nn.CrossEntropyLoss(), padded_tokens(17), forward=scores)


def llama(attention: str) -> nn.Module:
    """RMSNorm, rotary positions, gated MLP, two query heads for each key head.

    In float32: it rounds to that inside, whatever the dtype of its parameters.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    config: Any = LlamaConfig(  # type: ignore[call-arg]
        num_hidden_layers=2, hidden_size=16, intermediate_size=16, num_attention_heads=4,
        num_key_value_heads=2, vocab_size=17, max_position_embeddings=8, pad_token_id=None,
        bos_token_id=None, eos_token_id=None, attn_implementation=attention, use_cache=False,
    )  # fmt: skip
    return seeded(LlamaForCausalLM(config), 0.3).float()


def scores(model: nn.Module, tokens: Tensor) -> Tensor:
    """What a causal model of `transformers` returns, classes second as torch's losses want them."""
    return model(tokens).logits.transpose(1, 2)


MODELS: dict[str, Callable[[], Problem]] = {
    "loader-with-workers": loader_with_workers,
    "batch-norm": lambda: normalised(nn.BatchNorm1d(4), 4, 3),
    "layer-norm": lambda: normalised(nn.LayerNorm([4, 3]), 4, 3),
    "group-norm": lambda: normalised(nn.GroupNorm(2, 4), 4, 3),
    "instance-norm": lambda: normalised(nn.InstanceNorm1d(4, affine=True), 4, 3),
    "rms-norm": lambda: normalised(nn.RMSNorm(3), 4, 3),
    "local-response-norm": lambda: normalised(nn.LocalResponseNorm(3), 4, 3),
    "gelu": lambda: activated(nn.GELU()),
    "gelu-tanh": lambda: activated(nn.GELU(approximate="tanh")),
    "silu": lambda: activated(nn.SiLU()),
    "softplus": lambda: activated(nn.Softplus(beta=2.0)),
    "mish": lambda: activated(nn.Mish()),
    "elu": lambda: activated(nn.ELU()),
    "selu": lambda: activated(nn.SELU()),
    "log-sigmoid": lambda: activated(nn.LogSigmoid()),
    "hardswish": lambda: activated(nn.Hardswish()),
    "softmax": lambda: activated(nn.Softmax(dim=1)),
    "glu": lambda: activated(nn.Sequential(nn.Linear(6, 12), nn.GLU())),
    "resnet-batch-norm": lambda: resnet(nn.BatchNorm2d),
    "resnet-group-norm": lambda: resnet(lambda width: nn.GroupNorm(2, width)),
    "upsampler": upsampler,
    "language-model-matmul": lambda: language_model(fused=False),
    "language-model-fused": lambda: language_model(fused=True),
    "adapters": adapters,
    "multihead-attention": multihead_attention,
    "encoder": encoder,
    "encoder-norm-first": lambda: encoder(norm_first=True, activation="gelu"),
    "lstm": lambda: recurrent(nn.LSTM),
    "lstm-projected": lambda: recurrent(nn.LSTM, proj_size=2),
    "gru": lambda: recurrent(nn.GRU),
    "rnn": lambda: recurrent(nn.RNN),
    "sequences": sequences,
    "fourier": fourier,
    "parametrised": parametrised,
    "gpt2-eager": lambda: gpt2("eager"),
    "gpt2-sdpa": lambda: gpt2("sdpa"),
}
