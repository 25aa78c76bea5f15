"""Lanczos from a random vector, to bound what lies beyond some Ritz vectors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hessium.linalg.operator import SymmetricOperator
from hessium.training.ritz_space import NEW, Side
from hessium.training.upper_ends import coupled, largest_support


def normal(operator: SymmetricOperator, rng: np.random.Generator) -> Tensor:
    """A standard normal vector (n,), drawn on the CPU in the dtype of the operator."""
    seeded = torch.Generator().manual_seed(int(rng.integers(2**63)))
    drawn = torch.randn(operator.shape[0], generator=seeded, dtype=operator.dtype)
    return drawn.to(operator.device)


class Walk:
    """Lanczos from a random vector in the complement of the Ritz vectors of a side.

    Args:
        side: the space with the Ritz vectors.
        start: a Gaussian vector (n,).
        deviation: its least standard deviation along a unit vector.
    """

    def __init__(self, side: Side, start: Tensor, deviation: float = 1.0) -> None:
        self.side = side
        self._pairs = [side.pair(end) for end in side.targets.values()]
        self._start = start
        beyond = side.beyond(start)
        self._length = float(beyond.norm())
        self._inverse_mass = (self._length / deviation) ** 2
        # no complement is left in the smallest of spaces
        self.done = len(self._pairs) >= len(start) or self._length <= NEW**2 * float(start.norm())
        self._basis = [] if self.done else [beyond / self._length]
        self.images: list[Tensor] = []
        self._alpha: list[float] = []
        self._beta: list[float] = []

    @property
    def direction(self) -> Tensor:
        """The next vector to multiply."""
        return self._basis[-1]

    def take_of_start(self, image: Tensor) -> None:
        """Go on with the product of the start vector itself, not of its part in the complement."""
        for value, x, residual in self._pairs:
            image = image - (value * x + residual) * (x @ self._start)
        self.take(image / self._length)

    def take(self, image: Tensor) -> None:
        """Go on with the product of the last direction."""
        self.images.append(image)
        step = self.side.beyond(image)
        self._alpha.append(float(self._basis[-1] @ step))
        known = torch.stack(self._basis)
        for _ in range(2):
            step = step - (known @ step) @ known
        length = float(step.norm())
        self._beta.append(length)
        scale = abs(self._alpha[-1]) + length
        full = len(self._basis) + len(self._pairs) >= len(step)
        self.done = full or length <= float(torch.finfo(step.dtype).eps) ** 0.75 * scale
        if self.done:
            self._beta[-1] = 0.0
        else:
            self._basis.append(step / length)

    def bounds(self, floor: float) -> dict[str, float]:
        """Bounds of the ends of the whole spectrum, by name of the target."""
        values = np.array([value for value, _, _ in self._pairs])
        couplings = np.array([float(residual.norm()) for _, _, residual in self._pairs])
        inverse_mass = max(self._inverse_mass / floor**2, 1.0)
        found = {}
        for name, end in self.side.targets.items():
            sign = 1.0 if end == "largest" else -1.0
            if not self._alpha:
                found[name] = sign * float((sign * values + couplings).max())
                continue
            beyond = sign * largest_support(
                [sign * a for a in self._alpha], self._beta, inverse_mass
            )
            ends = coupled(values, couplings, beyond)
            found[name] = float(ends[-1] if end == "largest" else ends[0])
        return found

    def join(self) -> None:
        """Add the vectors of the walk to the space of the side."""
        if self.images:
            self.side.join(self._basis[: len(self.images)], self.images)
        self.side.solve()
