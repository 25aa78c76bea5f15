"""Symmetric matrices with chosen eigenvalues, and the spectra that estimators are tried on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hessium.linalg import SymmetricOperator


def with_eigenvalues(values: np.ndarray, seed: int = 0) -> Tensor:
    generator = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(generator.standard_normal((values.size, values.size)))
    matrix = torch.as_tensor((Q * values) @ Q.T)
    return (matrix + matrix.mT) / 2


def _spectra(n: int) -> dict[str, np.ndarray]:
    normal = np.random.default_rng(3).standard_normal(n)
    return {
        "flat": normal,
        "slow": 1.0 / np.arange(1, n + 1),
        "fast": 1.0 / np.arange(1, n + 1) ** 2,
        "outliers": np.concatenate([np.full(6, 30.0), 0.5 * normal[6:]]),
    }


SPECTRA = {name: with_eigenvalues(values) for name, values in _spectra(150).items()}


class Counted(SymmetricOperator):
    """A matrix that counts the vectors it multiplies, and fails after so many."""

    def __init__(self, matrix: Tensor, good_for: int = 10**9) -> None:
        self.matrix = matrix
        self.columns = 0
        self.good_for = good_for

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
        self.columns += block.shape[1]
        product = self.matrix @ block
        return product if self.columns <= self.good_for else product * float("nan")
