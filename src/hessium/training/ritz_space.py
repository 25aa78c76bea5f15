"""Rayleigh-Ritz space of one spectrum: of an operator A, or of D A D."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from hessium.linalg.congruence import Factor
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.vectors import inner, norm

End = Literal["largest", "smallest"]

_ROOM = 4  # vectors for which there is room at first
_HALF = 0.5  # what is left of a vector, from which one orthogonalisation is enough
SMALL = 0.05  # an end closer to zero is resolved relative to this part of the other end
NEW = 1e-3  # part of a unit vector outside of a space, below which it adds nothing


def stacked(vectors: Sequence[Tensor], like: Tensor) -> Tensor:
    """Vectors as rows (k, n); one alone is not copied."""
    if len(vectors) == 1:
        return vectors[0][None]
    return torch.stack(list(vectors)) if vectors else like[:0]


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
        self._projected = np.zeros((0, 0))

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
        return rows if self.factor is None else self.factor.times_rows(rows)

    def lowered(self, rows: Tensor) -> Tensor:
        """Products with D A D from products with A."""
        return rows if self.factor is None else self.factor.times_rows(rows)

    def fresh(self, rows: Tensor) -> Tensor:
        """Orthonormal rows that extend the basis; fewer if some are in its span."""
        rounding = float(torch.finfo(rows.dtype).eps) ** 0.75
        found: list[Tensor] = []
        for row in rows:
            vector = self._outside(row, found, NEW if found else rounding)
            if vector is not None:
                found.append(vector)
        return stacked(found, rows)

    def _outside(
        self, vector: Tensor, more: Sequence[Tensor], least: float, *, unit: bool = False
    ) -> Tensor | None:
        """Unit vector of the part that is orthogonal to the basis and to some more unit vectors."""
        before = 1.0 if unit else float(norm(vector))
        if not self._size and not more:
            return vector / before if before > 0 else None
        for part in (least, _HALF):
            if self._size:
                vector = self._without(vector, inner(self.basis, vector), self.basis)
            for known in more:
                vector = torch.sub(vector, known, alpha=float(inner(known, vector)))
            length = float(norm(vector))
            if length <= part * before:
                return None
            enough = length > _HALF * before  # what is left is orthogonal to rounding
            vector, before = vector / length, 1.0
            if enough:
                break
        return vector

    def add(self, rows: Tensor, images: Tensor) -> None:
        """Extend the space by orthonormal rows and their products with D A D."""
        self._make_room(len(rows))
        self._rows[self._size : self._size + len(rows)] = rows
        self._products[self._size : self._size + len(rows)] = images
        self._grow(len(rows))

    def _make_room(self, count: int) -> None:
        while self._size + count > len(self._rows):
            self._rows = torch.cat([self._rows, torch.empty_like(self._rows)])
            self._products = torch.cat([self._products, torch.empty_like(self._products)])

    def _grow(self, count: int) -> None:
        """Take in rows behind the present ones."""
        before, end = self._size, self._size + count
        self._size = end
        new = inner(self.basis, self._products[before:end]).double().cpu().numpy()
        projected = np.zeros((end, end))
        projected[:before, :before] = self._projected
        projected[:, before:] = new
        projected[before:, :before] = new[:before].T
        own = projected[before:, before:]
        projected[before:, before:] = (own + own.T) / 2
        self._projected = projected

    def join(self, rows: Iterable[Tensor], images: Iterable[Tensor], least: float) -> None:
        """Extend the space by any vectors with known products.

        Args:
            rows: vectors (n,).
            images: their products with D A D.
            least: part of a vector outside of the space, below which it is left out. Rounding
                errors of the images grow by the inverse of it.
        """
        for row, image in zip(rows, images, strict=True):
            v, av, before = row, image, float(norm(row))
            least_length = least * before
            for _ in range(2):
                shares = inner(self.basis, v)
                v = self._without(v, shares, self.basis)
                length = float(norm(v))
                if length <= least_length:
                    break
                av = self._without(av, shares, self.images)
                if length > _HALF * before:
                    break
                before = length
            if length > least_length:
                self._make_room(1)
                torch.div(v, length, out=self._rows[self._size])
                torch.div(av, length, out=self._products[self._size])
                self._grow(1)

    @staticmethod
    def _without(vector: Tensor, shares: Tensor, rows: Tensor) -> Tensor:
        """A vector less its shares of some rows, in one pass."""
        return torch.addmv(vector, rows.mT, shares, alpha=-1.0)

    def solve(self) -> None:
        """Rayleigh-Ritz in the present space."""
        self.values, self._vectors = np.linalg.eigh(self._projected)
        self._pairs: dict[End, tuple[float, Tensor, Tensor]] = {}
        self._lengths: dict[End, float] = {}

    def _combined(self, at: int) -> tuple[Tensor, Tensor]:
        """A Ritz vector and its product."""
        if self._size == 1:
            return self.basis[0], self.images[0]
        weights = torch.from_numpy(self._vectors[:, at].copy()).to(self.basis)
        return weights @ self.basis, weights @ self.images

    def pair(self, end: End) -> tuple[float, Tensor, Tensor]:
        """Ritz value, Ritz vector and residual at one end."""
        if end not in self._pairs:
            at = -1 if end == "largest" else 0
            x, image = self._combined(at)
            value = float(self.values[at])
            residual = torch.sub(image, x, alpha=value)
            self._pairs[end] = (value, x, residual)
            self._lengths[end] = float(norm(residual))
        return self._pairs[end]

    def residual_norm(self, end: End) -> float:
        """Norm of the residual of `pair`."""
        self.pair(end)
        return self._lengths[end]

    def beyond(self, vector: Tensor) -> Tensor:
        """The part of a vector orthogonal to the Ritz vectors of all targets."""
        for end in self.targets.values():
            _, x, _ = self.pair(end)
            vector = torch.sub(vector, x, alpha=float(inner(x, vector)))
        return vector

    def second(self, end: End) -> float | None:
        """The Ritz value next to an end."""
        if self.values.size < 2:
            return None
        return float(self.values[-2 if end == "largest" else 1])

    def second_vector(self, end: End) -> Tensor:
        """The unit vector of the value next to an end after a step along its residual.

        The step costs no product; with it the vector converges from record to record.
        """
        at, opposite = (-2, 0) if end == "largest" else (1, -1)
        value, far = float(self.values[at]), float(self.values[opposite])
        x, image = self._combined(at)
        # no component is amplified more than those beyond the value
        scale = max(abs(value), abs(value - far) / 2)
        if scale > 0:
            x = x + (1.0 if end == "largest" else -1.0) * (image - value * x) / scale
        return x / norm(x)

    def predicted(
        self, end: End, slope: float, idle: tuple[float, Tensor] | None
    ) -> tuple[float, Tensor]:
        r"""The end of the spectrum as one more product would find it, without that product.

        With the Ritz pair $(\theta, x)$ and its residual r the operator couples x to r alone, by
        $|r|$. The curvature along r is not known; `slope` $\cdot\,\theta$ is put for it, as
        earlier records found it. A vector whose value was known in an earlier record is one
        direction more, with the coupling that r has to it.

        Args:
            end: of the spectrum.
            slope: curvature along the residual, relative to the Ritz value.
            idle: value and unit vector of an earlier record that was not multiplied in this one.

        Returns:
            Estimate of the end, and its vector, of length one to rounding.
        """
        value, x, residual = self.pair(end)
        sign = 1.0 if end == "largest" else -1.0
        scale = float(np.abs(self.values).max())
        rows, sizes, diagonal = [x], [1.0], [sign * value]
        couplings: list[float] = []
        if idle is not None:
            vector = self._outside(idle[1], [], 0.1, unit=True)
            if vector is not None:
                share = float(inner(vector, residual))
                residual = torch.sub(residual, vector, alpha=share)
                rows.append(vector)
                sizes.append(1.0)
                diagonal.append(sign * idle[0])
                couplings.append(sign * share)
        length = self.residual_norm(end) if len(rows) == 1 else float(norm(residual))
        if length > float(torch.finfo(x.dtype).eps) ** 0.75 * scale:
            rows.append(residual)
            sizes.append(length)
            diagonal.append(sign * value - (1 - slope) * max(abs(value), SMALL * scale))
            couplings.append(sign * length)
        matrix = np.diag(np.array(diagonal))
        matrix[0, 1:] = matrix[1:, 0] = couplings
        values, vectors = np.linalg.eigh(matrix)
        weights = [float(w) / size for w, size in zip(vectors[:, -1], sizes, strict=True)]
        found = weights[0] * rows[0]
        for weight, row in zip(weights[1:], rows[1:], strict=True):
            found.add_(row, alpha=weight)
        return sign * float(values[-1]), found
