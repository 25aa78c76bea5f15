"""Rayleigh-Ritz space of one spectrum: of an operator A, or of D A D."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from hessium._typing import FloatArray
from hessium.linalg.congruence import Factor
from hessium.linalg.operator import SymmetricOperator

End = Literal["largest", "smallest"]

_ROOM = 4  # vectors for which there is room at first
NEW = 1e-3  # part of a unit vector outside of a space, below which it adds nothing


class Side:
    """The Rayleigh-Ritz space of one spectrum: of A itself, or of D A D.

    Vectors are rows, which stay contiguous as the space grows.

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
        shape = (_ROOM, operator.shape[0])
        self._size = 0
        self._rows = torch.empty(shape, dtype=operator.dtype, device=operator.device)
        self._products = torch.empty_like(self._rows)

    @property
    def basis(self) -> Tensor:
        """Orthonormal rows (k, n)."""
        return self._rows[: self._size]

    @property
    def images(self) -> Tensor:
        """Their products with D A D (k, n)."""
        return self._products[: self._size]

    def lifted(self, rows: Tensor) -> Tensor:
        """Vectors for the product with A."""
        return rows if self.factor is None else (self.factor @ rows.mT).mT

    def lowered(self, rows: Tensor) -> Tensor:
        """Products with D A D from products with A."""
        return rows if self.factor is None else (self.factor @ rows.mT).mT

    def fresh(self, rows: Tensor) -> Tensor:
        """Orthonormal rows that extend the basis; fewer if some are in its span."""
        rounding = float(torch.finfo(rows.dtype).eps) ** 0.75
        found: list[Tensor] = []
        for row in rows:
            vector, before = row, float(row.norm())
            for part in (NEW if found else rounding, 0.5):  # what is left of it, twice
                vector = self._outside(vector, found)
                length = float(vector.norm())
                if length <= part * before:
                    break
                vector, before = vector / length, 1.0
            else:
                found.append(vector)
        return torch.stack(found) if found else rows[:0]

    def _outside(self, vector: Tensor, more: Sequence[Tensor]) -> Tensor:
        """The part of a vector that is orthogonal to the basis and to some more unit vectors."""
        if self._size:
            vector = vector - (self.basis @ vector) @ self.basis
        for known in more:
            vector = vector - (known @ vector) * known
        return vector

    def add(self, rows: Tensor, images: Tensor) -> None:
        """Extend the space by orthonormal rows and their products with D A D."""
        end = self._size + len(rows)
        while end > len(self._rows):
            self._rows = torch.cat([self._rows, torch.empty_like(self._rows)])
            self._products = torch.cat([self._products, torch.empty_like(self._products)])
        self._rows[self._size : end] = rows
        self._products[self._size : end] = images
        self._size = end

    def join(self, rows: Iterable[Tensor], images: Iterable[Tensor], least: float = NEW) -> None:
        """Extend the space by any vectors with known products.

        Args:
            rows: vectors (n,).
            images: their products with D A D.
            least: part of a vector outside of the space, below which it is left out. Rounding
                errors of the images grow by the inverse of it.
        """
        for row, image in zip(rows, images, strict=True):
            v, av = row, image
            for _ in range(2):
                shares = self.basis @ v
                v, av = v - shares @ self.basis, av - shares @ self.images
            length = float(v.norm())
            if length > least * float(row.norm()):
                self.add(v[None] / length, av[None] / length)

    def solve(self) -> None:
        """Rayleigh-Ritz in the present space."""
        small = (self.basis @ self.images.mT).double()
        values, vectors = torch.linalg.eigh((small + small.mT) / 2)
        self.values: FloatArray = values.cpu().numpy()
        self._vectors = vectors.to(self.basis.dtype)
        self._pairs: dict[End, tuple[float, Tensor, Tensor]] = {}

    def pair(self, end: End) -> tuple[float, Tensor, Tensor]:
        """Ritz value, Ritz vector and residual at one end."""
        if end not in self._pairs:
            at = -1 if end == "largest" else 0
            weights = self._vectors[:, at]
            x, image = weights @ self.basis, weights @ self.images
            value = float(self.values[at])
            self._pairs[end] = (value, x, image - value * x)
        return self._pairs[end]

    def beyond(self, vector: Tensor) -> Tensor:
        """The part of a vector orthogonal to the Ritz vectors of all targets."""
        for end in self.targets.values():
            _, x, _ = self.pair(end)
            vector = vector - (x @ vector) * x
        return vector

    def second(self, end: End) -> tuple[float, Tensor] | None:
        """The Ritz value next to an end, and its unit vector after a step along the residual.

        The step costs no product; with it the vector converges from record to record.
        """
        if self.values.size < 2:
            return None
        at, opposite = (-2, 0) if end == "largest" else (1, -1)
        value, far = float(self.values[at]), float(self.values[opposite])
        weights = self._vectors[:, at]
        x, image = weights @ self.basis, weights @ self.images
        # no component is amplified more than those beyond the value
        scale = max(abs(value), abs(value - far) / 2)
        if scale > 0:
            x = x + (1.0 if end == "largest" else -1.0) * (image - value * x) / scale
        return value, x / x.norm()
