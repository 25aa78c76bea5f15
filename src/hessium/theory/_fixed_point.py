r"""Fixed points of self-maps of the upper half-plane.

A holomorphic self-map $f$ of the upper half-plane, or of a product of them, that free convolution
makes has at most one fixed point there. A point $w$ with $\operatorname{Im} w > 0$ and $f(w) = w$
is therefore *the* solution: no branch is chosen and no smoothing is needed. Newton's method is made
global by the hyperbolic displacement $|w - f(w)|^2 / (\operatorname{Im} w \operatorname{Im} f(w))$,
which never grows under $w \mapsto f(w)$ (Schwarz-Pick): a Newton step is taken only where it lowers
the displacement.

A solution is certified by its Newton step $\delta$. In the disc $f(u) - f(0) - u f'(0)$ is bounded
by a multiple of $|1 - f'(0)||u|^2$, so that a fixed point lies within about $2|\delta|$ of $w$ as
soon as $|\delta|$ is small beside $\operatorname{Im} w$, for every such map. For the same reason
Newton's method converges from every point within a fixed hyperbolic distance of the solution, and
the solution itself moves by at most the hyperbolic distance of the parameters: coming down from far
above the axis by small factors of the height reaches every solution that rounding does not hide.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hessium._typing import BoolArray, ComplexArray, FloatArray, IntArray

SelfMap = Callable[[ComplexArray, ComplexArray], tuple[ComplexArray, ComplexArray]]

_TINY = 1e-300
_ROUNDING = float(np.finfo(float).eps)
_NOISE = 64 * _ROUNDING
_NEAR = 0.02  # a Newton step of this share of Im w proves that a fixed point is there
_PRECISE = 1e-12  # of Im w: accepted error of a solution whose residual is above rounding
_LAST = 1e-9  # after a step of this share of Im w the next one is below rounding
_DIRECT = 30  # evaluations before a point counts as stalled; the usual number is 6 to 10
_PER_STAGE = 12
_STAGES = 400
_FIRST, _SHORTEST = 0.25, 0.98  # factors of the height from stage to stage
_LOWEST = 1e-18  # of |z| + |w|: a height below the rounding of z


class HalfPlaneMap(ABC):
    """A self-map of a product of m upper half-planes for each parameter z, at k points at once."""

    @abstractmethod
    def step(
        self, z: ComplexArray, w: ComplexArray
    ) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
        """f(w) and the Newton step, both (m, k), and rows that `judged` reads, (r, k)."""

    @abstractmethod
    def judged(
        self, z: ComplexArray, w: ComplexArray, rows: ComplexArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The magnitude whose rounding enters f, the shift of the solution by it, and the rate.

        The first two have shape (m, k); the rate, shape (k,), is positive at a real fixed point
        that attracts.
        """


@dataclass(frozen=True, slots=True)
class OneVariable(HalfPlaneMap):
    """A map of one half-plane, from f_z(w) and its derivative in w."""

    function: SelfMap

    def step(
        self, z: ComplexArray, w: ComplexArray
    ) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
        """The row is 1 - f'."""
        image, slope = self.function(z, w[0])
        rate = 1 - slope
        return image[None], ((image - w[0]) / rate)[None], rate[None]

    def judged(
        self, z: ComplexArray, w: ComplexArray, rows: ComplexArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Rounding errors of z and w enter f unchanged."""
        size = np.abs(z) + np.abs(w)
        return size, size / np.abs(rows), rows[0].real


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedPoints:
    """Points for each parameter, with their certificates.

    Attributes:
        points: in the upper half-plane, shape (m, k).
        residuals: |f(w) - w| over the magnitude of the terms of f, the largest coordinate.
        distances: Newton steps, rounding included, in units of Im w, the largest coordinate.
        certified: where the point is *the* solution, and known to rounding of z.
        iterations: evaluations of the map by the slowest point.
    """

    points: ComplexArray
    residuals: FloatArray
    distances: FloatArray
    certified: BoolArray
    iterations: int

    def put(self, where: IntArray, other: FixedPoints) -> None:
        """Overwrite points with those of another solution."""
        self.points[:, where] = other.points
        self.residuals[where] = other.residuals
        self.distances[where] = other.distances
        self.certified[where] = other.certified


def _displacement(w: ComplexArray, f: ComplexArray) -> FloatArray:
    heights = np.maximum(w.imag, _TINY) * np.maximum(f.imag, _TINY)
    return np.asarray((_squared(w - f) / heights).max(0))


def _squared(w: ComplexArray) -> FloatArray:
    return np.asarray(w.real**2 + w.imag**2)


def fixed_points(of: HalfPlaneMap, z: ComplexArray, start: ComplexArray) -> FixedPoints:
    """Solve w = f_z(w) in the upper half-plane for every z.

    Newton's method from `start`. A few points stall (next to a closing gap, where the root is
    almost triple, or in bands of little mass, close to the axis) or end on the real axis (at a
    repelling fixed point, which certifies nothing): these are continued from far above the axis.
    Points that rounding hides are returned with `certified` false.

    Args:
        of: the map f_z.
        z: parameters, shape (k,).
        start: first guesses with positive imaginary part, shape (m, k).
    """
    z = np.asarray(z, dtype=np.complex128)
    with np.errstate(all="ignore"):
        found = _iterate(of, z, np.asarray(start, dtype=np.complex128), _DIRECT)
        hard = np.flatnonzero(~found.certified)
        if not hard.size:
            return found
        last = _descend(of, z[hard], start[:, hard])
        found.put(hard[last.certified], _part(last, last.certified))
    return FixedPoints(
        points=found.points,
        residuals=found.residuals,
        distances=found.distances,
        certified=found.certified,
        iterations=found.iterations + last.iterations,
    )


def closed_form(of: HalfPlaneMap, z: ComplexArray, w: ComplexArray) -> FixedPoints:
    """Fixed points known in closed form, shape (k,), as solutions of a map of one half-plane."""
    with np.errstate(all="ignore"):
        image, _, rows = of.step(z, w[None])
        error = np.abs(image - w) / (of.judged(z, w[None], rows)[0] + _TINY)
    return FixedPoints(
        points=w[None],
        residuals=error[0],
        distances=np.zeros(w.size),
        certified=np.isfinite(w),
        iterations=1,
    )


def _part(found: FixedPoints, where: BoolArray) -> FixedPoints:
    return FixedPoints(
        points=found.points[:, where],
        residuals=found.residuals[where],
        distances=found.distances[where],
        certified=found.certified[where],
        iterations=found.iterations,
    )


def _descend(of: HalfPlaneMap, z: ComplexArray, start: ComplexArray) -> FixedPoints:
    """Continuation from z + ih with h falling to zero; the steps shrink where Newton fails."""
    size = np.abs(z) + np.abs(start).max(0) + _TINY
    height = 4 * size
    found = _iterate(of, z + 1j * height, start + 1j * height, 2 * _DIRECT)
    result = _iterate(of, z, start, 1)
    result.certified[:] = False
    iterations = found.iterations
    w, old = found.points, found.points
    old_height, ratio = 2 * height, np.full(z.size, _FIRST)
    todo = np.arange(z.size)
    for _ in range(_STAGES):
        # close enough to solve at z itself: the point moves little from here on
        leap = (height <= 0.3 * z[todo].imag) | (height <= 0.05 * w.imag.min(0))
        if leap.any():
            last = _iterate(of, z[todo[leap]], w[:, leap], _DIRECT)
            iterations += last.iterations
            result.put(todo[leap][last.certified], _part(last, last.certified))
            rest = ~result.certified[todo]
            todo, w, old, height = todo[rest], w[:, rest], old[:, rest], height[rest]
            old_height, ratio = old_height[rest], ratio[rest]
        rest = (ratio < _SHORTEST) & (height > _LOWEST * size[todo])
        if not rest.all():
            todo, w, old, height = todo[rest], w[:, rest], old[:, rest], height[rest]
            old_height, ratio = old_height[rest], ratio[rest]
        if not todo.size:
            break
        lower = height * ratio
        guess = w + (w - old) * ((lower - height) / (height - old_height))
        guess = np.where((guess.imag > 0.5 * ratio * w.imag) & np.isfinite(guess), guess, w)
        stage = _iterate(of, z[todo] + 1j * lower, guess, _PER_STAGE)
        iterations += stage.iterations
        good = stage.certified | (stage.distances < _NEAR)
        old, old_height = np.where(good, w, old), np.where(good, height, old_height)
        w, height = np.where(good, stage.points, w), np.where(good, lower, height)
        ratio = np.where(good, np.maximum(ratio**1.5, 1e-2), np.sqrt(ratio))
    return FixedPoints(
        points=result.points,
        residuals=result.residuals,
        distances=result.distances,
        certified=result.certified,
        iterations=iterations,
    )


def _iterate(
    of: HalfPlaneMap, z: ComplexArray, start: ComplexArray, max_iterations: int
) -> FixedPoints:
    todo = np.arange(z.size)
    zs, w = np.asarray(z, dtype=np.complex128), np.array(start, dtype=np.complex128)
    image, move, rows = of.step(zs, w)
    last = tuple(np.empty_like(a) for a in (w, image, move, rows))
    displacement = _displacement(w, image)
    iterations = 1
    while todo.size:
        trial = w + move
        # at real z solutions come in conjugate pairs: below the axis means the mirror image
        below = trial.imag < 0
        if below.any():
            np.copyto(trial.imag, -trial.imag, where=below & (zs.imag == 0))
        usable = (trial.imag > 0).all(0)
        if not usable.all():
            trial = np.where(usable, trial, image)
        new_image, new_move, new_rows = of.step(zs, trial)
        new = _displacement(trial, new_image)
        iterations += 1
        worse = np.flatnonzero(usable & ~(new < displacement))
        settled = np.zeros(todo.size, dtype=bool)
        if worse.size:
            # at the noise floor a Newton step does not help; keep the better of the two points
            size = of.judged(zs[worse], w[:, worse], rows[:, worse])[0]
            still = (np.abs(image - w)[:, worse] <= _NOISE * size).all(0)
            settled[worse[still]] = True
            retry = worse[~still]
            if retry.size:
                plain = image[:, retry]
                trial[:, retry] = plain
                new_image[:, retry], new_move[:, retry], new_rows[:, retry] = of.step(
                    zs[retry], plain
                )
                new[retry] = _displacement(plain, new_image[:, retry])
                iterations += 1
            k = worse[still]
            trial[:, k], new[k] = w[:, k], displacement[k]
            new_image[:, k], new_move[:, k], new_rows[:, k] = image[:, k], move[:, k], rows[:, k]
        done = settled | (new == 0) | (_squared(move) <= (_LAST * w.imag) ** 2).all(0)
        w, image, move, rows, displacement = trial, new_image, new_move, new_rows, new
        if iterations >= max_iterations:
            done[:] = True
        if done.any():
            for kept, now in zip(last, (w, image, move, rows), strict=True):
                kept[:, todo[done]] = now[:, done]
            on = ~done
            todo, zs, w, displacement = todo[on], zs[on], w[:, on], displacement[on]
            image, move, rows = image[:, on], move[:, on], rows[:, on]
    points, image, move, rows = last
    residuals, distances, certified = _certificate(
        z, points, image, move, *of.judged(z, points, rows)
    )
    return FixedPoints(
        points=points,
        residuals=residuals,
        distances=distances,
        certified=certified,
        iterations=iterations,
    )


def _certificate(
    z: ComplexArray,
    w: ComplexArray,
    image: ComplexArray,
    move: ComplexArray,
    size: FloatArray,
    doubt: FloatArray,
    rate: FloatArray,
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Residuals, distances, and where both prove that the point is the solution."""
    error, shift = np.abs(image - w), np.abs(move)
    # a step is known to rounding only, so a point as close to the axis as that is not certified
    step = np.maximum(shift, _ROUNDING * doubt)
    distance = np.asarray((step / np.maximum(w.imag, _TINY)).max(0))
    solved = (error <= 4 * _NOISE * size).all(0)
    precise = solved | (distance <= _PRECISE)
    # above the axis by less than rounding: an attracting real fixed point
    beside = (z.imag > 0) & solved & (shift <= _NOISE * size).all(0) & (rate > 0)
    certified = (precise & (distance < _NEAR)) | beside
    return np.asarray((error / (size + _TINY)).max(0)), distance, np.asarray(certified)
