r"""Extreme eigenvalues of an operator that changes slowly, from vectors of the time before.

A record keeps two vectors for each end of each spectrum: of the end, and of the Ritz value next to
it. The next record multiplies those of the ends with the new operator, all in one block product. A
product with A serves both spectra: A z is one of A, and D A z is one of D A D, with the vector
$D^{-1} z$. Rayleigh-Ritz values are bounds on one side that always hold. What one more step along
the residual would add to them is estimated without a product, with a curvature along the residual
that records with such steps have shown: that is the value of the record, and its vector starts the
next one. An ordinary record stops there. Near a threshold, in exact records, and where the other
records may take more products, such steps are made until the estimated error is within the
tolerance: locally optimal steps (Knyazev 2001) whose basis grows within a record. The vectors next
to the ends are multiplied where their eigenvalues may have overtaken the ends. In these records a
Gaussian vector that is independent of the deflated ones bounds the rest, at a stated confidence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from hessium.linalg.congruence import Factor
from hessium.linalg.operator import SymmetricOperator
from hessium.spectra import Bracket
from hessium.training.random_walk import Walk, ends, normal, one_step, shared_step
from hessium.training.ritz_space import SMALL, End, Side, stacked
from hessium.training.upper_ends import coupled, normal_floor
from hessium.training.warm_start import Extremes, Warm, next_to

_JUMP = 0.7  # relative residual from which the kept vectors say little
_MOST = 60  # products of one end in one record
_CLOSE = 0.95  # ratio of the next eigenvalue to an end from which that one is likely to overtake
_SAME = 0.9  # cosine of vectors that have changed places
_SHARED = 0.1  # part of a vector outside of the space of the other spectrum that it must have
_SETTLED = 3.0  # tolerances within which an end shows what a residual should have predicted


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
    more: int = 0,
    most: int | None = None,
    explore: bool = False,
    exact: bool = True,
    near: Mapping[str, float] = MappingProxyType({}),
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
            jump there are `DEEP` of them. None for one where the record takes more than its block
            step, and none where that is all.
        usual: products of a block step and one random vector.
        more: further products where an end is not within `tol`.
        most: products after which an end is taken as it is; the block step is always made.
        explore: whether the vectors next to all ends are multiplied, not the close ones alone.
        exact: whether all ends are refined to `tol`, also beyond the usual products.
        near: values by name from which an end is refined to `tol` in any case.
    """
    work = _Work(operator, [Side(operator, *side) for side in sides], warm, rng, tol)
    ends = sum(len(targets) for _, targets in sides)
    limit = _MOST * ends if most is None else most
    restarted = work.begin()
    if restarted and steps != 0:
        steps = DEEP
    work.exact, work.near = exact or restarted or not work.known, near
    work.learns = exact or more > 0
    planned = 1 if steps is None else steps
    if work.num_matvecs + len(sides) * planned > limit:
        planned = min(planned, 1)
        steps = steps and planned
    shared = 1 if planned == 1 else len(sides) * planned
    if work.num_matvecs + shared + ends <= limit:
        work.explore(everything=explore)
    work.refine(usual + more - shared, limit - shared)
    if steps is None:
        alone = work.num_matvecs <= ends and not (explore or work.exact)
        steps = 0 if alone or work.num_matvecs >= limit else 1
    bounds = work.look_beyond(steps, confidence) if steps else {}
    if steps > 1:
        work.refine(usual + more, limit)
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
        self.num_matvecs = self.bound_steps = 0
        self.exact = self.learns = True
        self.near: Mapping[str, float] = {}
        self.explored: set[str] = set()
        self.known = all(name in warm.vectors for side in sides for name in side.targets)
        self._steps = dict.fromkeys((name for side in sides for name in side.targets), 0)
        self._passed: dict[str, list[tuple[int, float, float]]] = {n: [] for n in self._steps}
        factors = [side.factor for side in sides]
        self._common = factors[0] is None and all(f is None or f.invertible for f in factors)

    def products(self, blocks: Sequence[Tensor]) -> list[Tensor]:
        """Products with A of the rows of some blocks, at once."""
        if not any(len(block) for block in blocks):
            return list(blocks)
        used = [block for block in blocks if len(block)]
        rows = torch.cat(used) if len(used) > 1 else used[0]
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
            rows = scaled.factor.solve_rows(lifted[0])
            scaled.join(rows, scaled.lowered(images[0]), _SHARED)
        plain.join(lifted[1], images[1], _SHARED)

    def begin(self) -> bool:
        """The kept vectors; random ones join them where there are none, or residuals jumped."""
        starts = []
        for side in self.sides:
            kept = [self.warm.vectors[n] for n in side.targets if n in self.warm.vectors]
            kept = kept or [normal(self.operator, self.rng)]
            starts.append(stacked(kept, kept[0]))
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

    def explore(self, *, everything: bool) -> None:
        """Multiply the vectors next to the ends: all, or those that may overtake."""
        directions = []
        for side in self.sides:
            chosen = [
                self.warm.vectors[next_to(name)]
                for name, end in side.targets.items()
                if next_to(name) in self.warm.vectors
                and (everything or (self._close(name) and self._wanted(side, name, end)))
            ]
            directions.append(stacked(chosen, side.basis))
            if chosen:
                self.explored |= set(side.targets)
        if any(len(d) for d in directions):
            self.extend(directions)

    def _close(self, name: str) -> bool:
        return self.warm.seconds.get(name, 0.0) > _CLOSE

    def _wanted(self, side: Side, name: str, end: End) -> bool:
        """Whether an end is refined at any cost."""
        if self.exact:
            return True
        # the end lies at most so far beyond the Ritz value, unless another one overtook it
        reach = side.pair(end)[0] + side.residual_norm(end)
        return name in self.near and reach >= self.near[name]

    def refine(self, usual: int, limit: int) -> None:
        """Add directions until the estimated error of each end is within the tolerance.

        Args:
            usual: products after which ends that are not wanted at any cost are left as they are.
            limit: products after which all are.
        """
        while self.num_matvecs < limit:
            directions, moved = [], []
            for side in self.sides:
                found = []
                for name, end in side.targets.items():
                    if self.num_matvecs >= usual and not self._wanted(side, name, end):
                        continue
                    if self._error(side, name, end) > self.tol:
                        found.append(self._estimate(side, name, end)[1])
                        moved.append((side, name, end))
                directions.append(stacked(found, side.basis))
            for one in moved:
                self._pass(*one)
            if not moved or not self.extend(directions):
                return

    def _pass(self, side: Side, name: str, end: End) -> None:
        """Note an end before a step along its residual."""
        value = side.pair(end)[0] * (1.0 if end == "largest" else -1.0)
        self._passed[name].append((self._steps[name], value, side.residual_norm(end)))
        self._steps[name] += 1

    def _scale(self, side: Side, value: float) -> float:
        return max(abs(value), SMALL * float(np.abs(side.values).max())) or 1.0

    def _residual(self, side: Side, end: End) -> float:
        return side.residual_norm(end) / self._scale(side, side.pair(end)[0])

    def _estimate(self, side: Side, name: str, end: End) -> tuple[float, Tensor]:
        """The end with the gain that is expected of one more step, and its vector."""
        slope = min(self.warm.slope(name, self._steps[name]), self._second(side, name, end))
        idle = None
        if name not in self.explored and next_to(name) in self.warm.vectors:
            ratio, value = self.warm.seconds.get(name, 0.0), side.pair(end)[0]
            idle = (ratio * value, self.warm.vectors[next_to(name)])
        return side.predicted(end, slope, idle)

    def _second(self, side: Side, name: str, end: End) -> float:
        """The largest value next to an end that is known, relative to it; one if none is."""
        value, found = side.pair(end)[0], side.second(end)
        ratios = [found / value] if found is not None and value else []
        ratios += [self.warm.seconds[name]] if name in self.warm.seconds else []
        return min(max(ratios, default=1.0), 1.0)

    def _error(self, side: Side, name: str, end: End) -> float:
        """Estimated relative error of an end: by how much a residual can move it."""
        value, x, _ = side.pair(end)
        sign = 1.0 if end == "largest" else -1.0
        found = side.second(end)
        second = self.warm.seconds.get(name, 0.0) * value if found is None else found
        reach = coupled(
            np.array([sign * value]), np.array([side.residual_norm(end)]), sign * second
        )
        rounding = float(torch.finfo(x.dtype).eps) ** 0.75 * float(np.abs(side.values).max())
        return max(float(reach[-1]) - sign * value - rounding, 0.0) / self._scale(side, value)

    def look_beyond(self, steps: int, confidence: float) -> dict[str, float]:
        """Bounds of the ends from random vectors in the complements of the Ritz vectors."""
        floor, self.bound_steps = normal_floor(confidence), steps
        if steps == 1 and len(self.sides) == 1:
            (side,) = self.sides
            start = normal(self.operator, self.rng)
            image = side.lowered(self.products([side.lifted(start[None])])[0])
            found = one_step(side, start, image[0], 1.0, floor)
            return ends(side, [], [], 1.0) if found is None else found
        if steps == 1 and self._common:
            shared = shared_step(
                self.sides,
                lambda: normal(self.operator, self.rng),
                lambda v: self.products([v[None]])[0][0],
                floor,
            )
            if shared is not None:
                return shared
        walks = [Walk(side, normal(self.operator, self.rng)) for side in self.sides]
        for _ in range(steps):
            going = [walk for walk in walks if not walk.done]
            images = self.products([walk.side.lifted(walk.direction[None]) for walk in going])
            for walk, image in zip(going, images, strict=True):
                walk.take(walk.side.lowered(image)[0])
        bounds: dict[str, float] = {}
        for walk in walks:
            bounds |= walk.bounds(floor)
            if steps > 1:
                walk.join()
        return bounds

    def result(self, bounds: Mapping[str, float], confidence: float, restarted: bool) -> Extremes:
        """Brackets of all ends; the kept vectors are replaced."""
        brackets, vectors, residuals = {}, {}, {}
        for side in self.sides:
            for name, end in side.targets.items():
                value, x, _ = side.pair(end)
                estimate, start = self._estimate(side, name, end)
                margin = float(torch.finfo(x.dtype).eps) ** 0.75 * float(np.abs(side.values).max())
                sign = 1.0 if end == "largest" else -1.0
                beyond = bounds.get(name, sign * math.inf) + sign * margin
                inner = value - sign * margin
                outer = max(beyond, value) if sign > 0 else min(beyond, value)
                brackets[name] = Bracket(
                    value=sign * min(sign * estimate, sign * outer),
                    lower=min(inner, outer),
                    upper=max(inner, outer),
                    confidence=confidence,
                )
                vectors[name] = x.clone() if x._is_view() else x  # not a view of all vectors
                residuals[name] = self._residual(side, end)
                settled = self.learns and self.known and not restarted
                if settled and self._error(side, name, end) <= _SETTLED * self.tol:
                    for one in self._passed[name]:
                        self.warm.learn(name, *one, sign * estimate)
                self._keep_second(side, name, end, start)
                self.warm.vectors[name] = start
        return Extremes(
            brackets=brackets,
            vectors=vectors,
            residuals=residuals,
            restarted=restarted,
            bound_steps=self.bound_steps,
            num_matvecs=self.num_matvecs,
        )

    def _keep_second(self, side: Side, name: str, end: End, start: Tensor) -> None:
        """The vector next to an end, if it is closer than the one that is kept, or newer."""
        (value, x, _), second, warm = side.pair(end), side.second(end), self.warm
        kept = warm.vectors.get(next_to(name))
        if second is not None and value:
            ratio = second / value
            if kept is None or name in self.explored or ratio > warm.seconds.get(name, 0.0):
                warm.seconds[name], kept = ratio, side.second_vector(end)
        if kept is not None:
            changed_places = abs(float(start @ kept)) > _SAME
            warm.vectors[next_to(name)] = x.clone() if changed_places else kept
