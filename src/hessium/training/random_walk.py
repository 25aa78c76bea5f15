"""Lanczos from a random vector, to bound what lies beyond some Ritz vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from hessium.linalg.congruence import Diagonal
from hessium.linalg.operator import SymmetricOperator
from hessium.linalg.vectors import inner, norm
from hessium.training.ritz_space import NEW, Side
from hessium.training.upper_ends import coupled, largest_support


def normal(operator: SymmetricOperator, rng: np.random.Generator) -> Tensor:
    """A standard normal vector (n,), drawn on the CPU in the dtype of the operator."""
    seeded = torch.Generator().manual_seed(int(rng.integers(2**63)))
    n, kind = operator.shape[0], operator.dtype
    drawn = torch.randn(n, generator=seeded, dtype=kind, device="cpu")
    return drawn.to(operator.device)


_OUTSIDE = 0.05  # part of a vector outside of a space that it must have to join it


class Walk:
    """Lanczos from a random vector in the complement of the Ritz vectors of a side.

    Args:
        side: the space with the Ritz vectors.
        start: a standard normal vector (n,).
    """

    def __init__(self, side: Side, start: Tensor) -> None:
        self.side = side
        self._size = len(side.targets)
        beyond = side.beyond(start)
        length = float(norm(beyond))
        self._inverse_mass = length**2
        # no complement is left in the smallest of spaces
        self.done = self._size >= len(start) or length <= NEW**2 * float(norm(start))
        self._basis = [] if self.done else [beyond / length]
        self.images: list[Tensor] = []
        self._alpha: list[float] = []
        self._beta: list[float] = []

    @property
    def direction(self) -> Tensor:
        """The next vector to multiply."""
        return self._basis[-1]

    def take(self, image: Tensor) -> None:
        """Go on with the product of the last direction."""
        self.images.append(image)
        step = self.side.beyond(image)
        self._alpha.append(float(inner(self._basis[-1], step)))
        known = torch.stack(self._basis)
        for _ in range(2):
            step = step - inner(known, step) @ known
        length = float(norm(step))
        self._beta.append(length)
        scale = abs(self._alpha[-1]) + length
        full = len(self._basis) + self._size >= len(step)
        self.done = full or length <= float(torch.finfo(step.dtype).eps) ** 0.75 * scale
        if self.done:
            self._beta[-1] = 0.0
        else:
            self._basis.append(step / length)

    def bounds(self, floor: float) -> dict[str, float]:
        """Bounds of the ends of the whole spectrum, by name of the target.

        Args:
            floor: of the size of a standard normal variable.
        """
        return ends(self.side, self._alpha, self._beta, self._inverse_mass / floor**2)

    def join(self) -> None:
        """Add the vectors of the walk to the space of the side."""
        if self.images:
            self.side.join(self._basis[: len(self.images)], self.images, _OUTSIDE)
        self.side.solve()


def one_step(
    side: Side, start: Tensor, image: Tensor, deviation: float, floor: float
) -> dict[str, float] | None:
    """Bounds from one product with a start vector that has parts along the Ritz vectors as well.

    Args:
        side: the space with the Ritz vectors.
        start: a Gaussian vector (n,).
        image: its product.
        deviation: its least standard deviation along a unit vector.
        floor: of the size of a standard normal variable.

    Returns:
        Bounds by name of the target; None if the start vector has no part in the complement.
    """
    pairs = [side.pair(end) for end in side.targets.values()]
    beyond, step, along = start, image, 0.0
    for _, x, residual in pairs:
        share = float(inner(x, start))
        along += share**2
        beyond = torch.sub(beyond, x, alpha=share)
        step = torch.sub(step, residual, alpha=share)  # the part along x is subtracted below
    length = float(norm(beyond))
    if len(pairs) >= len(start) or length <= NEW**2 * (length**2 + along) ** 0.5:
        return None
    for _, x, _ in pairs:
        step.sub_(x, alpha=float(inner(x, step)))
    alpha = float(inner(beyond, step)) / length**2
    beta = float(norm(step.sub_(beyond, alpha=alpha))) / length
    return ends(side, [alpha], [beta], (length / (deviation * floor)) ** 2)


def shared_step(
    sides: Sequence[Side],
    draw: Callable[[], Tensor],
    multiply: Callable[[Tensor], Tensor],
    floor: float,
) -> dict[str, float] | None:
    r"""Bounds of two spectra from one product, with $z = g_1 + s D g_2$.

    Along every unit vector z has at least the variance of $g_1$, and $D^{-1} z$ at least that of
    $s g_2$, which is all that the bounds need. For a diagonal D, $(1 + s^2 D^2)^{1/2} g$ has the
    law of z.

    Args:
        sides: of A and of D A D, with an invertible D.
        draw: returns a new standard normal vector.
        multiply: the product with A.
        floor: of the size of a standard normal variable.

    Returns:
        Bounds by name of the target; None as in `one_step`.
    """
    plain, scaled = sides
    factor = scaled.factor
    assert factor is not None
    sizes = [float(np.abs(side.values).max()) or 1.0 for side in sides]
    share = (sizes[0] / sizes[1]) ** 0.5  # makes the parts of both products about equal
    start = draw()
    if isinstance(factor, Diagonal):
        start.mul_((share * factor.entries).square_().add_(1.0).sqrt_())
    else:
        start.add_(factor.times_rows(draw()[None])[0], alpha=share)
    image = multiply(start)
    found = one_step(plain, start, image, 1.0, floor)
    lowered = scaled.lowered(image[None])[0]
    more = one_step(scaled, factor.solve_rows(start[None])[0], lowered, share, floor)
    return None if found is None or more is None else found | more


def ends(
    side: Side, alpha: list[float], beta: list[float], inverse_mass: float
) -> dict[str, float]:
    """Bounds of the ends of a spectrum from what is known of the complement of its Ritz vectors.

    Args:
        side: the space with the Ritz vectors.
        alpha: coefficients of the measure of a vector in the complement, see `largest_support`;
            none where there is no complement.
        beta: likewise.
        inverse_mass: of the least mass at an end.

    Returns:
        Bounds by name of the target.
    """
    pairs = [side.pair(end) for end in side.targets.values()]
    values = np.array([value for value, _, _ in pairs])
    couplings = np.array([side.residual_norm(end) for end in side.targets.values()])
    found = {}
    for name, end in side.targets.items():
        sign = 1.0 if end == "largest" else -1.0
        if not alpha:
            found[name] = sign * float((sign * values + couplings).max())
            continue
        beyond = sign * largest_support([sign * a for a in alpha], beta, max(inverse_mass, 1.0))
        both = coupled(values, couplings, beyond)
        found[name] = float(both[-1] if end == "largest" else both[0])
    return found
