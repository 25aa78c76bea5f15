"""Matrices whose eigenvalues are chosen, among them the ones that break eigensolvers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from hessium._typing import FloatArray
from hessium.linalg import SymmetricOperator


def with_eigenvalues(
    values: FloatArray, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Q diag(values) Q^T with a random rotation, formed in float64 without overflow."""
    unit = float(np.abs(values).max()) or 1.0
    generator = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(generator.standard_normal((values.size, values.size)))
    matrix = torch.as_tensor((Q * (values / unit)) @ Q.T * unit)
    return (matrix / 2 + matrix.mT / 2).to(dtype)


def _clusters(width: float) -> Callable[[int, np.random.Generator], FloatArray]:
    def draw(n: int, rng: np.random.Generator) -> FloatArray:
        return rng.choice([1.0, 2.0, -3.0], n) + width * rng.standard_normal(n)

    return draw


# name -> (n, generator) -> n eigenvalues
SPECTRA: dict[str, Callable[[int, np.random.Generator], FloatArray]] = {
    "normal": lambda n, rng: rng.standard_normal(n),
    "negative definite": lambda n, rng: -rng.uniform(0.1, 1.0, n),
    "network-like": lambda n, rng: np.where(
        np.arange(n) < 3, 10.0 * (1 + np.arange(n)), 1e-2 * rng.standard_normal(n)
    ),
    "geometric": lambda n, rng: np.geomspace(1e-16, 1.0, n),
    "degenerate": lambda n, rng: rng.integers(-2, 3, n).astype(float),
    "clusters 1e-4": _clusters(1e-4),
    "clusters 1e-8": _clusters(1e-8),
    "clusters 1e-12": _clusters(1e-12),
    "rank three": lambda n, rng: np.where(np.arange(n) < 3, 1.0 + np.arange(n), 0.0),
    "symmetric about zero": lambda n, rng: np.linspace(-1.0, 1.0, n),
    "zero": lambda n, rng: np.zeros(n),
    "identity": lambda n, rng: np.ones(n),
}


def _decays(n: int) -> dict[str, FloatArray]:
    normal = np.random.default_rng(3).standard_normal(n)
    return {
        "flat": normal,
        "slow": 1.0 / np.arange(1, n + 1),
        "fast": 1.0 / np.arange(1, n + 1) ** 2,
        "outliers": np.concatenate([np.full(6, 30.0), 0.5 * normal[6:]]),
    }


# name -> a matrix, for estimators by random probes
MATRICES = {name: with_eigenvalues(values) for name, values in _decays(150).items()}


class Diagonal(SymmetricOperator):
    """diag(d), of any size."""

    def __init__(self, entries: Tensor) -> None:
        self.entries = entries

    @property
    def shape(self) -> tuple[int, int]:
        return (len(self.entries), len(self.entries))

    @property
    def dtype(self) -> torch.dtype:
        return self.entries.dtype

    @property
    def device(self) -> torch.device:
        return self.entries.device

    def _matmat(self, block: Tensor) -> Tensor:
        return self.entries[:, None] * block


class Counted(SymmetricOperator):
    """A matrix that counts its products, and from some product on gives NaN."""

    def __init__(self, matrix: Tensor, nan_at: int | None = None) -> None:
        self.matrix = matrix
        self.products = 0
        self.nan_at = nan_at

    @property
    def shape(self) -> tuple[int, int]:
        return (self.matrix.shape[0], self.matrix.shape[1])

    @property
    def dtype(self) -> torch.dtype:
        return self.matrix.dtype

    @property
    def device(self) -> torch.device:
        return self.matrix.device

    def _matmat(self, block: Tensor) -> Tensor:
        self.products += block.shape[1]
        product = self.matrix @ block
        spoiled = self.nan_at is not None and self.products >= self.nan_at
        return product.fill_(torch.nan) if spoiled else product
