r"""Extreme eigenvalues of an operator that changes slowly, from vectors of the time before.

A record keeps two vectors for each end of each spectrum: of the end, and of the Ritz value next to
it. The next record multiplies those of the ends with the new operator, all in one block product,
and the others where they are close or it is their turn, since their eigenvalue may have overtaken
the end. A product with A serves both spectra: A z is one of A, and D A z is one of D A D, with the
vector $D^{-1} z$. Rayleigh-Ritz values are bounds on one side that always hold. Where a residual is
large, it joins the basis, and the block step is repeated: a locally optimal step (Knyazev 2001)
whose basis grows within a record. A Gaussian vector that is independent of the deflated vectors
bounds what lies beyond them, at a stated confidence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from hessium.linalg.congruence import Factor
from hessium.linalg.operator import SymmetricOperator
from hessium.spectra import Bracket
from hessium.training.random_walk import Walk, normal
from hessium.training.ritz_space import End, Side
from hessium.training.upper_ends import coupled, normal_floor

_JUMP = 0.5  # relative residual from which the kept vectors say little
_SMALL = 0.05  # an end closer to zero is resolved relative to this part of the other end
_MOST = 60  # products of one end in one record
_CLOSE = 0.95  # ratio of the next eigenvalue to an end from which that one is likely to overtake
_SHARED = 0.1  # part of a vector outside of the space of the other spectrum that it must have


def next_to(name: str) -> str:
    """Name of the vector that belongs to the Ritz value next to an end."""
    return f"next to {name}"


@dataclass(slots=True)
class Warm:
    """Vectors for the next record.

    Attributes:
        vectors: unit vectors (n,) by name of the target, and by `next_to` of it.
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


def measure_extremes(
    operator: SymmetricOperator,
    sides: Sequence[tuple[Factor | None, Mapping[str, End]]],
    warm: Warm,
    rng: np.random.Generator,
    *,
    tol: float,
    confidence: float,
    steps: int | None,
    usual: int = 3,
    most: int | None = None,
    explore: bool = False,
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
            jump there are `DEEP` of them. None for what is left of `usual`, at least one.
        usual: products of a record where curvature moves slowly.
        most: products after which an end is taken as it is; a block step and one product for the
            bounds are always made.
        explore: whether the vectors next to all ends are multiplied, not the close ones alone.
    """
    work = _Work(operator, [Side(operator, *side) for side in sides], warm, rng, tol)
    ends = sum(len(side.targets) for side in work.sides)
    limit = _MOST * ends if most is None else most
    restarted = work.begin(explore=explore)
    if restarted and steps != 0:
        steps = DEEP
    planned = 1 if steps is None else steps
    if work.num_matvecs + len(sides) * planned > limit:
        steps = planned = min(planned, 1)
    work.refine(limit - len(sides) * planned)
    if steps is None:
        steps = max(1, (usual - work.num_matvecs) // len(sides))
    bounds = work.look_beyond(steps, confidence) if steps else {}
    work.refine(limit)
    return work.result(bounds, confidence, restarted)


DEEP = 8  # products with the random vector where the space is explored


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
        self.explored: set[str] = set()
        self.known = all(name in warm.vectors for side in sides for name in side.targets)
        factors = [side.factor for side in sides]
        self._common = factors[0] is None and all(f is None or f.invertible for f in factors)

    def products(self, blocks: Sequence[Tensor]) -> list[Tensor]:
        """Products with A of the rows of some blocks, at once."""
        if not any(len(block) for block in blocks):
            return list(blocks)
        rows = torch.cat([block for block in blocks if len(block)])
        self.num_matvecs += len(rows)
        return list((self.operator @ rows.mT).mT.split([len(block) for block in blocks]))

    def extend(self, directions: Sequence[Tensor]) -> bool:
        """One block step: add directions to the sides; returns whether any was new."""
        new = [
            side.fresh(rows) if len(rows) else rows
            for side, rows in zip(self.sides, directions, strict=True)
        ]
        lifted = [side.lifted(rows) for side, rows in zip(self.sides, new, strict=True)]
        images = self.products(lifted)
        for side, rows, image in zip(self.sides, new, images, strict=True):
            if len(rows):
                side.add(rows, side.lowered(image))
        self._share(lifted, images)
        for side in self.sides:
            side.solve()
        return any(len(rows) for rows in new)

    def _share(self, lifted: Sequence[Tensor], images: Sequence[Tensor]) -> None:
        """Give each space the products of the other: that of z is one of D^-1 z with D A D."""
        if len(self.sides) < 2 or not self._common:
            return
        plain, scaled = self.sides
        assert scaled.factor is not None
        if len(lifted[0]):
            rows = scaled.factor.solve(lifted[0].mT).mT
            scaled.join(rows, scaled.lowered(images[0]), _SHARED)
        plain.join(lifted[1], images[1], _SHARED)

    def begin(self, *, explore: bool) -> bool:
        """The kept vectors; random ones join them where there are none, or residuals jumped."""
        starts = []
        for side in self.sides:
            close = {n for n in side.targets if explore or self.warm.seconds.get(n, 0.0) > _CLOSE}
            self.explored |= close if self.known else set(side.targets)
            names = [*side.targets, *(next_to(n) for n in side.targets if n in close)]
            kept = [self.warm.vectors[n] for n in names if n in self.warm.vectors]
            starts.append(torch.stack(kept or [normal(self.operator, self.rng)]))
        self.extend(starts)
        if not self.known:
            return False
        jumped = [
            any(self._residual(side, end) > _JUMP for end in side.targets.values())
            for side in self.sides
        ]
        if any(jumped):
            self.extend(
                [
                    normal(self.operator, self.rng)[None] if jump else side.basis[:0]
                    for side, jump in zip(self.sides, jumped, strict=True)
                ]
            )
        return any(jumped)

    def refine(self, limit: int) -> None:
        """Add residuals until the estimated error of each end is within the tolerance."""
        while self.num_matvecs < limit:
            directions = []
            for side in self.sides:
                open_ends = [
                    side.pair(end)[2]
                    for name, end in side.targets.items()
                    if self._error(side, name, end) > self.tol
                ]
                directions.append(torch.stack(open_ends) if open_ends else side.basis[:0])
            if not any(len(d) for d in directions) or not self.extend(directions):
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
        found = side.second(end)
        second = self.warm.seconds.get(name, 0.0) * value if found is None else found[0]
        reach = coupled(np.array([sign * value]), np.array([float(residual.norm())]), sign * second)
        rounding = float(torch.finfo(residual.dtype).eps) ** 0.75 * float(np.abs(side.values).max())
        return max(float(reach[-1]) - sign * value - rounding, 0.0) / self._scale(side, value)

    def look_beyond(self, steps: int, confidence: float) -> dict[str, float]:
        """Bounds of the ends from random vectors in the complements of the Ritz vectors."""
        floor = normal_floor(confidence)
        if steps == 1 and len(self.sides) > 1:
            walks = self._shared_walks()
        else:
            walks = [Walk(side, normal(self.operator, self.rng)) for side in self.sides]
        for _ in range(steps - len(walks[0].images)):
            going = [walk for walk in walks if not walk.done]
            images = self.products([walk.side.lifted(walk.direction[None]) for walk in going])
            for walk, image in zip(going, images, strict=True):
                walk.take(walk.side.lowered(image)[0])
        found: dict[str, float] = {}
        for walk in walks:
            found |= walk.bounds(floor)
            if steps > 1:
                walk.join()
        return found

    def _shared_walks(self) -> list[Walk]:
        r"""One product for two spectra: with $z = g_1 + s D g_2$.

        Along every unit vector z has at least the variance of $g_1$, and $D^{-1} z$ at least that
        of $s g_2$, which is all that the bounds need. Without an inverse of D both are drawn.
        """
        plain, scaled = self.sides
        one, other = (normal(self.operator, self.rng) for _ in range(2))
        factor = scaled.factor
        if factor is None or not self._common:
            return [Walk(plain, one), Walk(scaled, other)]
        sizes = [float(np.abs(side.values).max()) or 1.0 for side in (plain, scaled)]
        share = (sizes[0] / sizes[1]) ** 0.5  # makes the parts of both products about equal
        one, other = plain.beyond(one), share * scaled.beyond(other)
        start = one + factor @ other
        inverse = factor.solve(one[:, None])[:, 0]
        walks = [Walk(plain, start), Walk(scaled, other + inverse, share)]
        if any(walk.done for walk in walks):
            return walks
        (image,) = self.products([start[None]])
        for walk in walks:
            walk.take_of_start(walk.side.lowered(image)[0])
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
                    ratio = second[0] / value
                    if name in self.explored or ratio > self.warm.seconds.get(name, -math.inf):
                        self.warm.seconds[name] = ratio
                        self.warm.vectors[next_to(name)] = second[1]
        self.warm.vectors |= vectors
        return Extremes(
            brackets=brackets,
            vectors=vectors,
            residuals=residuals,
            restarted=restarted,
            num_matvecs=self.num_matvecs,
        )
