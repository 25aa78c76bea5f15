r"""Fixed points of self-maps of the upper half-plane.

A holomorphic self-map $f$ of the upper half-plane, or of a product of them, that free convolution
makes has at most one fixed point there. A point $w$ with $\operatorname{Im} w > 0$ and $f(w) = w$
is therefore *the* solution: no branch is chosen and no smoothing is needed. Newton's method is made
global by the hyperbolic displacement $|w - f(w)|^2 / (\operatorname{Im} w \operatorname{Im} f(w))$,
which never grows under $w \mapsto f(w)$ (Schwarz-Pick): a Newton step is taken only where it lowers
the displacement.

A solution is certified by its Newton step $\delta$. In the disc $f(u) - f(0) - u f'(0)$ is bounded
by a multiple of $|1 - f'(0)||u|^2$, so that a fixed point lies within about $2|\delta|$ of $w$ as
soon as $|\delta|$ is small beside $\operatorname{Im} w$, whatever the map. For the same reason
Newton's method converges from every point within a fixed hyperbolic distance of the solution, and
the solution itself moves by at most the hyperbolic distance of the parameters: coming down from far
above the axis by small factors of the height reaches every solution that rounding does not hide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hessium._typing import BoolArray, FloatArray, IntArray
from hessium.theory._arrays import ComplexArray

SelfMap = Callable[[ComplexArray, ComplexArray], tuple[ComplexArray, ComplexArray]]

_TINY = 1e-300
_ROUNDING = float(np.finfo(float).eps)
_NOISE = 64 * _ROUNDING
_NEAR = 0.02  # a Newton step of this share of Im w proves that a fixed point is there
_PRECISE = 1e-10  # shares of Im w to which a solution is known if its residual is not rounding
_DIRECT = 30  # evaluations before a point counts as stalled; the usual number is 6 to 10
_PER_STAGE = 12
_STAGES = 400
_FIRST, _SHORTEST = 0.25, 0.98  # factors of the height from stage to stage
_LOWEST = 1e-18  # of |z| + |w|: a height that no longer moves z


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A self-map at k points with m coordinates each.

    Attributes:
        image: f(w), shape (m, k).
        newton: what Newton's method adds to w, shape (m, k).
        gain: how much further than a rounding error of f the solution moves, shape (m, k).
        rate: a number whose real part is positive at real fixed points that attract, shape (k,).
        size: the magnitude whose rounding enters f, shape (k,).
    """

    image: ComplexArray
    newton: ComplexArray
    gain: FloatArray
    rate: ComplexArray
    size: FloatArray


Stepper = Callable[[ComplexArray, ComplexArray], Step]


def stepper(step: SelfMap) -> Stepper:
    """The steps of a map of one variable, from f_z(w) and its derivative in w."""

    def steps(z: ComplexArray, w: ComplexArray) -> Step:
        image, slope = step(z, w[0])
        rate = 1 - slope
        size = np.abs(z) + np.abs(w[0])
        return Step(
            image=image[None],
            newton=((image - w[0]) / rate)[None],
            gain=(1 / np.abs(rate))[None],
            rate=rate,
            size=size,
        )

    return steps


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedPoints:
    """Points for each parameter, with their certificates.

    Attributes:
        points: in the upper half-plane, shape (m, k).
        residuals: |f(w) - w| over the magnitude of what enters f, the largest coordinate.
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
    apart = np.abs(w - f) ** 2 / (np.maximum(w.imag, _TINY) * np.maximum(f.imag, _TINY))
    return np.asarray(apart.max(0))


def fixed_points(step: Stepper, z: ComplexArray, start: ComplexArray) -> FixedPoints:
    """Solve w = f_z(w) in the upper half-plane for every z.

    Newton from `start`; the few points where that stalls (next to a closing gap, where the root is
    almost triple, or in bands of little mass, close to the axis) or ends on the real axis (at a
    repelling fixed point, which certifies nothing) come down from far above the axis instead.
    Points that rounding hides are returned with `certified` false.

    Args:
        step: takes parameters z, shape (k,), and points w, shape (m, k).
        z: parameters, shape (k,).
        start: first guesses with positive imaginary part, shape (m, k).
    """
    z = np.asarray(z, dtype=np.complex128)
    with np.errstate(all="ignore"):
        found = _iterate(step, z, np.asarray(start, dtype=np.complex128), _DIRECT)
        hard = np.flatnonzero(~found.certified)
        if not hard.size:
            return found
        last = _descend(step, z[hard], start[:, hard])
        found.put(hard[last.certified], _part(last, last.certified))
    return FixedPoints(
        points=found.points,
        residuals=found.residuals,
        distances=found.distances,
        certified=found.certified,
        iterations=found.iterations + last.iterations,
    )


def _part(found: FixedPoints, where: BoolArray) -> FixedPoints:
    return FixedPoints(
        points=found.points[:, where],
        residuals=found.residuals[where],
        distances=found.distances[where],
        certified=found.certified[where],
        iterations=found.iterations,
    )


def _descend(step: Stepper, z: ComplexArray, start: ComplexArray) -> FixedPoints:
    """From z + ih with h falling to zero, by factors that shrink where Newton's method fails."""
    size = np.abs(z) + np.abs(start).max(0) + _TINY
    height = 4 * size
    found = _iterate(step, z + 1j * height, start + 1j * height, 2 * _DIRECT)
    result = _iterate(step, z, start, 1)
    result.certified[:] = False
    iterations = found.iterations
    w, old = found.points, found.points
    old_height, ratio = 2 * height, np.full(z.size, _FIRST)
    todo = np.arange(z.size)
    for _ in range(_STAGES):
        # within reach of z itself: the point hardly moves any more
        leap = (height <= 0.3 * z[todo].imag) | (height <= 0.05 * w.imag.min(0))
        if leap.any():
            last = _iterate(step, z[todo[leap]], w[:, leap], _DIRECT)
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
        stage = _iterate(step, z[todo] + 1j * lower, guess, _PER_STAGE)
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
    step: Stepper, z: ComplexArray, start: ComplexArray, max_iterations: int
) -> FixedPoints:
    points = np.array(start, dtype=np.complex128)
    residuals, distances = np.full((2, z.size), np.inf)
    certified = np.zeros(z.size, dtype=bool)
    todo = np.arange(z.size)
    zs, w = np.asarray(z, dtype=np.complex128), points.copy()
    now = step(zs, w)
    displacement = _displacement(w, now.image)
    iterations = 1
    while True:
        newton = w + now.newton
        # at real z solutions come in conjugate pairs: below the axis means the mirror image
        newton = np.where((newton.imag < 0) & (zs.imag == 0), newton.conj(), newton)
        usable = (np.isfinite(newton) & (newton.imag > 0)).all(0)
        trial = np.where(usable, newton, now.image)
        then = step(zs, trial)
        trial_displacement = _displacement(trial, then.image)
        iterations += 1
        worse = usable & ~(trial_displacement < displacement)
        # at the noise floor a Newton step no longer helps; the better of the two points stays
        gap = np.abs(now.image - w)
        settled = worse & (gap <= _NOISE * (now.size + np.abs(w))).all(0)
        retry = np.flatnonzero(worse & ~settled)
        if retry.size:
            plain = now.image[:, retry]
            again = step(zs[retry], plain)
            trial[:, retry] = plain
            then = _merged(then, again, retry)
            trial_displacement[retry] = _displacement(plain, again.image)
            iterations += 1
        moved = np.abs(trial - w)
        keep = ~settled
        w = np.where(keep, trial, w)
        now = _chosen(keep, then, now)
        displacement = np.where(keep, trial_displacement, displacement)
        done = settled | (displacement == 0) | (moved <= 1e-16 * np.abs(w)).all(0)
        last = iterations >= max_iterations
        out = np.ones(todo.size, dtype=bool) if last else done
        if out.any():
            k = todo[out]
            points[:, k] = w[:, out]
            residuals[k], distances[k], certified[k] = _certificate(
                zs[out], w[:, out], _taken(now, out)
            )
            if out.all():
                break
            on = ~out
            todo, zs, w = todo[on], zs[on], w[:, on]
            now, displacement = _taken(now, on), displacement[on]
    return FixedPoints(
        points=points,
        residuals=residuals,
        distances=distances,
        certified=certified,
        iterations=iterations,
    )


def _certificate(
    z: ComplexArray, w: ComplexArray, at: Step
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Residuals, distances, and where both say that the point is the solution."""
    size = at.size + np.abs(w)
    error, shift = np.abs(at.image - w), np.abs(at.newton)
    # no step is known better than rounding: a point that lies so close to the axis is nowhere
    rounding = _ROUNDING * size * at.gain
    distance = np.asarray((np.maximum(shift, rounding) / np.maximum(w.imag, _TINY)).max(0))
    solved = (error <= 4 * _NOISE * size).all(0)
    precise = solved | (distance <= _PRECISE)
    # above the axis, but nearer to it than rounding: the real fixed point that attracts
    beside = (z.imag > 0) & solved & (shift <= _NOISE * size).all(0) & (at.rate.real > 0)
    certified = (precise & (distance < _NEAR)) | beside
    return np.asarray((error / (size + _TINY)).max(0)), distance, np.asarray(certified)


def _taken(at: Step, where: BoolArray) -> Step:
    return Step(
        image=at.image[:, where],
        newton=at.newton[:, where],
        gain=at.gain[:, where],
        rate=at.rate[where],
        size=at.size[where],
    )


def _chosen(keep: BoolArray, one: Step, other: Step) -> Step:
    if keep.all():
        return one
    return Step(
        image=np.where(keep, one.image, other.image),
        newton=np.where(keep, one.newton, other.newton),
        gain=np.where(keep, one.gain, other.gain),
        rate=np.where(keep, one.rate, other.rate),
        size=np.where(keep, one.size, other.size),
    )


def _merged(into: Step, other: Step, where: IntArray) -> Step:
    into.image[:, where], into.newton[:, where] = other.image, other.newton
    into.gain[:, where], into.rate[where], into.size[where] = other.gain, other.rate, other.size
    return into
