"""The networks on which products are measured: dense layers, convolutions, attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class Attention(nn.Module):
    """Causal self-attention, by plain matrix products or by torch's fused function."""

    def __init__(self, width: int, heads: int, *, fused: bool) -> None:
        super().__init__()
        self.heads, self.fused = heads, fused
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, t, d = x.shape
        q, k, v = (
            part.view(b, t, self.heads, -1).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1)
        )
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            mask = torch.ones(t, t, dtype=torch.bool, device=x.device).tril()
            scores = (q @ k.mT) * (q.shape[-1] ** -0.5)
            y = scores.masked_fill(~mask, float("-inf")).softmax(-1) @ v
        return self.out(y.transpose(1, 2).reshape(b, t, d))


class Block(nn.Module):
    def __init__(self, width: int, heads: int, *, fused: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, fused=fused)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    """Decoder-only transformer; logits (batch, vocabulary, positions), as cross-entropy wants."""

    def __init__(
        self,
        vocabulary: int,
        width: int,
        heads: int,
        layers: int,
        context: int,
        *,
        fused: bool,
        tied: bool = False,
    ) -> None:
        super().__init__()
        self.token = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads, fused=fused) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        if tied:
            nn.init.normal_(self.token.weight, std=width**-0.5)
            self.head.weight = self.token.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.token(tokens) + self.position.weight[: tokens.shape[1]]
        return self.head(self.norm(self.blocks(x))).mT


def mlp() -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    """784-256-256-10 tanh, 512 samples: 269,322 parameters."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(784, 256), nn.Tanh(), nn.Linear(256, 256), nn.Tanh(), nn.Linear(256, 10)
    )
    return model, nn.CrossEntropyLoss(), torch.randn(512, 784), torch.randint(0, 10, (512,))


def conv() -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    """Three convolutions with ReLU and pooling, 128 images of 3 x 32 x 32."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(2048, 10),
    )  # fmt: skip
    return model, nn.CrossEntropyLoss(), torch.randn(128, 3, 32, 32), torch.randint(0, 10, (128,))


def conv_norm() -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    """Three convolutions with group normalisation, 64 images of 3 x 32 x 32: 114,378 parameters."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.GroupNorm(8, 32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.GroupNorm(8, 64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1), nn.GroupNorm(8, 128), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(2048, 10),
    )  # fmt: skip
    return model, nn.CrossEntropyLoss(), torch.randn(64, 3, 32, 32), torch.randint(0, 10, (64,))


class Residual(nn.Module):
    """Two convolutions with batch normalisation and a sum."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(outside), nn.BatchNorm2d(outside)
        self.skip: nn.Module = nn.Identity()
        if stride > 1:
            self.skip = nn.Conv2d(inside, outside, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.norm1(self.first(x)))
        return torch.relu(self.norm2(self.second(hidden)) + self.skip(x))


def resnet() -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    """Three residual blocks with batch normalisation, evaluation mode, 32 images of 3 x 32 x 32."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), Residual(16, 16, 1), Residual(16, 32, 2),
        Residual(32, 64, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    x = torch.randn(32, 3, 32, 32)
    for _ in range(3):  # running statistics
        model(x)
    return model.eval(), nn.CrossEntropyLoss(), x, torch.randint(0, 10, (32,))


def gpt(*, fused: bool = False) -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    """Two layers of width 128, context 64, vocabulary 256, 8 sequences: 470,528 parameters."""
    torch.manual_seed(0)
    model = GPT(256, 128, 4, 2, 64, fused=fused)
    tokens = torch.randint(0, 256, (8, 65))
    return model, nn.CrossEntropyLoss(), tokens[:, :-1], tokens[:, 1:]


def gpt_tied() -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    """As `gpt`, with a tied head and torch's fused attention."""
    torch.manual_seed(0)
    model = GPT(256, 128, 4, 2, 64, fused=True, tied=True)
    tokens = torch.randint(0, 256, (8, 65))
    return model, nn.CrossEntropyLoss(), tokens[:, :-1], tokens[:, 1:]


MODELS: dict[str, Callable[[], tuple[nn.Module, nn.Module, Any, Any]]] = {
    "MLP": mlp,
    "conv": conv,
    "GPT": gpt,
    "conv with GroupNorm": conv_norm,
    "ResNet with BatchNorm": resnet,
    "GPT, tied, fused attention": gpt_tied,
}
