"""Seeded choices and numbers, and what a composition is made of."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class Dice:
    """All choices of one composition; global generators are never used.

    Attributes:
        features: names of the choices made so far.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._generator = torch.Generator().manual_seed(seed)
        self.features: list[str] = []

    def of(self, options: Sequence[T]) -> T:
        return self._random.choice(options)

    def named(self, prefix: str, options: Sequence[str]) -> str:
        name = self.of(options)
        self.note(f"{prefix}:{name}")
        return name

    def note(self, feature: str) -> None:
        if feature not in self.features:
            self.features.append(feature)

    def chance(self, p: float) -> bool:
        return self._random.random() < p

    def between(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._generator, dtype=torch.float64)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._generator, dtype=torch.float64)

    def integers(self, high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=self._generator)
