"""Rayleigh-Ritz space of one spectrum: of an operator A, or of D A D."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from hessium._typing import FloatArray
from hessium.linalg.congruence import Factor
from hessium.linalg.operator import SymmetricOperator

End = Literal["largest", "smallest"]

NEW = 1e-3  # part of a unit vector outside of a space, below which it adds nothing


class Side:
    """The Rayleigh-Ritz space of one spectrum: of A itself, or of D A D.

    Args:
        operator: A.
        factor: D, or None.
        targets: names of its ends, "largest" or "smallest" each.
    """

    def __init__(
        self, operator: SymmetricOperator, factor: Factor | None, targets: Mapping[str, End]
    ) -> None:
        self.targets = dict(targets)
        self.factor = factor
        shape = (operator.shape[0], 0)
        self.basis = torch.empty(shape, dtype=operator.dtype, device=operator.device)
        self.images = torch.empty_like(self.basis)

    def lifted(self, block: Tensor) -> Tensor:
        """Vectors for the product with A."""
        return block if self.factor is None else self.factor @ block

    def lowered(self, block: Tensor) -> Tensor:
        """Products with D A D from products with A."""
        return block if self.factor is None else self.factor @ block

    def fresh(self, block: Tensor) -> Tensor:
        """Orthonormal columns that a block adds to the basis; fewer if it is in its span."""
        rounding = float(torch.finfo(block.dtype).eps) ** 0.75
        for part in (rounding, 0.5):  # what is left of each vector: at first, and once more
            before = block.norm(dim=0)
            block = block - self.basis @ (self.basis.mT @ block)
            lengths = block.norm(dim=0)
            kept = lengths > part * before
            block = block[:, kept] / lengths[kept]
        found, r = torch.linalg.qr(block)
        return found[:, r.diagonal().abs() > NEW]

    def add(self, block: Tensor, images: Tensor) -> None:
        """Extend the space by orthonormal columns and their products with D A D."""
        self.basis = torch.cat([self.basis, block], dim=1)
        self.images = torch.cat([self.images, images], dim=1)

    def solve(self) -> None:
        """Rayleigh-Ritz in the present space."""
        small = (self.basis.mT @ self.images).double()
        values, vectors = torch.linalg.eigh((small + small.mT) / 2)
        self.values: FloatArray = values.cpu().numpy()
        self._vectors = vectors.to(self.basis.dtype)
        self._pairs: dict[End, tuple[float, Tensor, Tensor]] = {}

    def pair(self, end: End) -> tuple[float, Tensor, Tensor]:
        """Ritz value, Ritz vector and residual at one end."""
        if end not in self._pairs:
            at = -1 if end == "largest" else 0
            weights = self._vectors[:, at]
            x, image = self.basis @ weights, self.images @ weights
            value = float(self.values[at])
            self._pairs[end] = (value, x, image - value * x)
        return self._pairs[end]

    def beyond(self, block: Tensor) -> Tensor:
        """The part of a block orthogonal to the Ritz vectors of all targets."""
        for end in self.targets.values():
            _, x, _ = self.pair(end)
            block = torch.addmm(block, x[:, None], x[None, :] @ block, alpha=-1.0)
        return block

    def second(self, end: End) -> float | None:
        """The Ritz value next to an end."""
        if self.values.size < 2:
            return None
        return float(self.values[-2] if end == "largest" else self.values[1])
