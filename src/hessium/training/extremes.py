r"""Extreme eigenvalues of an operator that changes slowly, from vectors of the time before.

A record keeps one vector for each end of each spectrum. The next record multiplies these with the
new operator, all in one block product. Rayleigh-Ritz values are bounds on one side that always
hold. Where a residual is large, it joins the basis, and the block step is repeated: a locally
optimal step (Knyazev 2001) whose basis grows within a record. A Gaussian vector that is independent
of the deflated vectors bounds what lies beyond them, at a stated confidence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from hessium._typing import FloatArray
from hessium.linalg.congruence import Factor
from hessium.linalg.operator import SymmetricOperator
from hessium.spectra import Bracket
from hessium.training.upper_ends import coupled, largest_support, normal_floor

End = Literal["largest", "smallest"]

_JUMP = 0.5  # relative residual from which the kept vectors say little
_SMALL = 0.05  # an end closer to zero is resolved relative to this part of the other end
_NEW = 1e-3  # part of a unit vector outside of a space, below which it adds nothing
_MOST = 60  # products of one end in one record


@dataclass(slots=True)
class Warm:
    """Vectors for the next record.

    Attributes:
        vectors: unit vectors (n,) by name of the target.
        seconds: the Ritz value next to each end, relative to it.
    """

    vectors: dict[str, Tensor] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extremes:
    """Brackets of extreme eigenvalues.

    Attributes:
        brackets: by name of the target.
        vectors: the Ritz vectors (n,), by name.
        residuals: their residuals relative to the Ritz values.
        restarted: whether kept vectors had a large residual, so that random ones joined them.
        num_matvecs: products with the operator.
    """

    brackets: dict[str, Bracket]
    vectors: dict[str, Tensor]
    residuals: Mapping[str, float]
    restarted: bool
    num_matvecs: int


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
        return found[:, r.diagonal().abs() > _NEW]

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


def measure_extremes(
    operator: SymmetricOperator,
    sides: Sequence[tuple[Factor | None, Mapping[str, End]]],
    warm: Warm,
    rng: np.random.Generator,
    *,
    tol: float,
    confidence: float,
    steps: int,
    most: int | None = None,
) -> Extremes:
    """Brackets of the ends of some spectra; `warm` is replaced by the vectors found.

    Args:
        operator: A, that all spectra share.
        sides: factor (None for A itself) and targets of each spectrum.
        warm: vectors of the last record; empty at first.
        rng: of random vectors.
        tol: estimated relative error at which an end is accepted.
        confidence: of the random side of each bracket.
        steps: products with the random vector of each spectrum; 0 leaves that side open. After a
            jump there are `DEEP` of them.
        most: products after which an end is taken as it is; a block step and one product for the
            bounds are always made.
    """
    work = _Work(operator, [Side(operator, *side) for side in sides], warm, rng, tol)
    ends = sum(len(side.targets) for side in work.sides)
    limit = _MOST * ends if most is None else most
    restarted = work.begin()
    if restarted and steps:
        steps = DEEP
    if work.num_matvecs + len(sides) * steps > limit:
        steps = min(steps, 1)
    work.refine(limit - len(sides) * steps)
    bounds = work.look_beyond(steps, confidence) if steps else {}
    work.refine(limit)
    return work.result(bounds, confidence, restarted)


DEEP = 8  # products with the random vector where the space is explored


def normal(operator: SymmetricOperator, rng: np.random.Generator) -> Tensor:
    """A standard normal vector (n, 1), drawn on the CPU in the dtype of the operator."""
    seeded = torch.Generator().manual_seed(int(rng.integers(2**63)))
    shape = (operator.shape[0], 1)
    return torch.randn(shape, generator=seeded, dtype=operator.dtype).to(operator.device)


class _Work:
    def __init__(
        self,
        operator: SymmetricOperator,
        sides: Sequence[Side],
        warm: Warm,
        rng: np.random.Generator,
        tol: float,
    ) -> None:
        self.operator, self.sides, self.warm, self.rng, self.tol = operator, sides, warm, rng, tol
        self.num_matvecs = 0
        self.known = all(name in warm.vectors for side in sides for name in side.targets)

    def products(self, blocks: Sequence[Tensor]) -> list[Tensor]:
        """Products with A of the columns of some blocks, at once."""
        if not any(block.shape[1] for block in blocks):
            return list(blocks)
        block = torch.cat(list(blocks), dim=1)
        self.num_matvecs += block.shape[1]
        return list((self.operator @ block).split([b.shape[1] for b in blocks], dim=1))

    def extend(self, directions: Sequence[Tensor]) -> bool:
        """One block step: add directions to the sides; returns whether any was new."""
        new = [
            side.fresh(d) if d.shape[1] else d
            for side, d in zip(self.sides, directions, strict=True)
        ]
        lifted = [side.lifted(block) for side, block in zip(self.sides, new, strict=True)]
        images = self.products(lifted)
        for side, block, image in zip(self.sides, new, images, strict=True):
            if block.shape[1]:
                side.add(block, side.lowered(image))
                side.solve()
        return any(block.shape[1] for block in new)

    def begin(self) -> bool:
        """The kept vectors; random ones join them where there are none, or residuals jumped."""
        starts = []
        for side in self.sides:
            kept = [self.warm.vectors[n] for n in side.targets if n in self.warm.vectors]
            random = [normal(self.operator, self.rng)] if not kept else []
            starts.append(torch.cat([*(v[:, None] for v in kept), *random], dim=1))
        self.extend(starts)
        if not self.known:
            return False
        jumped = [
            any(self._residual(side, end) > _JUMP for end in side.targets.values())
            for side in self.sides
        ]
        if any(jumped):
            none = self.sides[0].basis[:, :0]
            self.extend([normal(self.operator, self.rng) if jump else none for jump in jumped])
        return any(jumped)

    def refine(self, limit: int) -> None:
        """Add residuals until the estimated error of each end is within the tolerance."""
        none = self.sides[0].basis[:, :0]
        while self.num_matvecs < limit:
            directions = []
            for side in self.sides:
                open_ends = [
                    side.pair(end)[2]
                    for name, end in side.targets.items()
                    if self._error(side, name, end) > self.tol
                ]
                directions.append(torch.stack(open_ends, dim=1) if open_ends else none)
            if not any(d.shape[1] for d in directions) or not self.extend(directions):
                return

    def _scale(self, side: Side, value: float) -> float:
        return max(abs(value), _SMALL * float(np.abs(side.values).max())) or 1.0

    def _residual(self, side: Side, end: End) -> float:
        value, _, residual = side.pair(end)
        return float(residual.norm()) / self._scale(side, value)

    def _error(self, side: Side, name: str, end: End) -> float:
        """Estimated relative error of an end: by how much a residual can move it."""
        value, _, residual = side.pair(end)
        sign = 1.0 if end == "largest" else -1.0
        second = side.second(end)
        if second is None:
            second = self.warm.seconds.get(name, 0.0) * value
        reach = coupled(np.array([sign * value]), np.array([float(residual.norm())]), sign * second)
        rounding = float(torch.finfo(residual.dtype).eps) ** 0.75 * float(np.abs(side.values).max())
        return max(float(reach[-1]) - sign * value - rounding, 0.0) / self._scale(side, value)

    def look_beyond(self, steps: int, confidence: float) -> dict[str, float]:
        """Bounds of the ends from random vectors in the complements of the Ritz vectors."""
        floor = normal_floor(confidence)
        if steps == 1 and len(self.sides) > 1:
            walks = self._shared_walks()
        else:
            walks = [_Walk(side, normal(self.operator, self.rng)) for side in self.sides]
        for _ in range(steps - len(walks[0].images)):
            going = [walk for walk in walks if not walk.done]
            images = self.products([walk.side.lifted(walk.direction) for walk in going])
            for walk, image in zip(going, images, strict=True):
                walk.take(walk.side.lowered(image))
        found: dict[str, float] = {}
        for walk in walks:
            found |= walk.bounds(floor)
            if steps > 1:
                walk.join()
        return found

    def _shared_walks(self) -> list[_Walk]:
        r"""One product for two spectra: with $z = g_1 + s D g_2$.

        Along every unit vector z has at least the variance of $g_1$, and $D^{-1} z$ at least that
        of $s g_2$, which is all that the bounds need. Without an inverse of D both are drawn.
        """
        plain, scaled = self.sides
        one, other = (normal(self.operator, self.rng) for _ in range(2))
        factor = scaled.factor
        if plain.factor is not None or factor is None or not factor.invertible:
            return [_Walk(plain, one), _Walk(scaled, other)]
        sizes = [float(np.abs(side.values).max()) or 1.0 for side in (plain, scaled)]
        share = (sizes[0] / sizes[1]) ** 0.5  # makes the parts of both products about equal
        one, other = plain.beyond(one), share * scaled.beyond(other)
        start = one + factor @ other
        walks = [_Walk(plain, start), _Walk(scaled, other + factor.solve(one), share)]
        if any(walk.done for walk in walks):
            return walks
        (image,) = self.products([start])
        for walk in walks:
            walk.take_of_start(walk.side.lowered(image))
        return walks

    def result(self, bounds: Mapping[str, float], confidence: float, restarted: bool) -> Extremes:
        brackets, vectors, residuals = {}, {}, {}
        for side in self.sides:
            for name, end in side.targets.items():
                value, x, residual = side.pair(end)
                largest = float(np.abs(side.values).max())
                margin = float(torch.finfo(x.dtype).eps) ** 0.75 * largest
                sign = 1.0 if end == "largest" else -1.0
                beyond = bounds.get(name, sign * math.inf) + sign * margin
                inner = value - sign * margin
                outer = max(beyond, value) if sign > 0 else min(beyond, value)
                brackets[name] = Bracket(
                    value=value,
                    lower=min(inner, outer),
                    upper=max(inner, outer),
                    confidence=confidence,
                )
                vectors[name] = x / x.norm()
                residuals[name] = float(residual.norm()) / self._scale(side, value)
                second = side.second(end)
                if second is not None and value:
                    self.warm.seconds[name] = second / value
        self.warm.vectors = dict(vectors)
        return Extremes(
            brackets=brackets,
            vectors=vectors,
            residuals=residuals,
            restarted=restarted,
            num_matvecs=self.num_matvecs,
        )


class _Walk:
    """Lanczos from a random vector in the complement of the Ritz vectors of a side.

    Args:
        side: the space with the Ritz vectors.
        start: a Gaussian vector (n, 1).
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
        self.done = len(self._pairs) >= len(start) or self._length <= _NEW**2 * float(start.norm())
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
            image = image - (value * x + residual)[:, None] * (x @ self._start)
        self.take(image / self._length)

    def take(self, image: Tensor) -> None:
        """Go on with the product of the last direction."""
        self.images.append(image)
        step = self.side.beyond(image)
        self._alpha.append(float((self._basis[-1] * step).sum()))
        known = torch.cat(self._basis, dim=1)
        for _ in range(2):
            step = step - known @ (known.mT @ step)
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
        for vector, image in zip(self._basis, self.images, strict=False):
            v, av = vector, image
            for _ in range(2):
                shares = self.side.basis.mT @ v
                v, av = v - self.side.basis @ shares, av - self.side.images @ shares
            length = float(v.norm())
            if length > _NEW:
                self.side.add(v / length, av / length)
        self.side.solve()
