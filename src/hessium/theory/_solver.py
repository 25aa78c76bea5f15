r"""Fixed points of self-maps of the upper half-plane, and roots of increasing functions.

A holomorphic self-map $f$ of the upper half-plane that is not the identity has at most one fixed
point there. A point $w$ with $\operatorname{Im} w > 0$ and $f(w) = w$ is therefore *the* solution:
no branch is chosen and no smoothing is needed. Newton's method is made global by the hyperbolic
displacement $|w - f(w)|^2 / (\operatorname{Im} w \operatorname{Im} f(w))$, which never grows under
$w \mapsto f(w)$ (Schwarz-Pick): a Newton step is taken only where it lowers the displacement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hessium._typing import BoolArray, FloatArray, IntArray
from hessium.theory._arrays import ComplexArray

SelfMap = Callable[[ComplexArray, ComplexArray], tuple[ComplexArray, ComplexArray]]
RealMap = Callable[[FloatArray, IntArray], tuple[FloatArray, FloatArray]]

_TINY = 1e-300
_ROUNDING = np.finfo(float).eps
_NOISE = 64 * _ROUNDING
_SOLVED = 1e-9
_INTERIOR = 1e-4  # next to a real fixed point it is (1 - slope)^2, small only close to an edge
_DIRECT = 30  # evaluations before a point counts as stalled; the usual number is 6 to 10
_STAGES = 27  # 4^-27 is below the rounding unit
_PER_STAGE = 12
_BRACKETED = 90
_DOUBLINGS = 60
_POLISH, _EXACT = 40, 1e-11


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedPoints:
    """Solutions for each parameter, with their certificates.

    Attributes:
        points: solutions in the upper half-plane.
        residuals: |f(w) - w| / (|z| + |w|) at the solutions.
        displacements: hyperbolic, rounding included; tiny at a solution, and not small next to a
            real fixed point, of which there may be others.
        iterations: evaluations of the map by the slowest point.
    """

    points: ComplexArray
    residuals: FloatArray
    displacements: FloatArray
    iterations: int

    @property
    def interior(self) -> BoolArray:
        """Where the point is *the* solution: far nearer to its image than to the real axis."""
        return (self.residuals < _SOLVED) & (self.displacements < _INTERIOR)


def _displacement(w: ComplexArray, f: ComplexArray) -> FloatArray:
    return np.abs(w - f) ** 2 / (np.maximum(w.imag, _TINY) * np.maximum(f.imag, _TINY))


def fixed_points(step: SelfMap, z: ComplexArray, start: ComplexArray) -> FixedPoints:
    """Solve w = f_z(w) in the upper half-plane for every z.

    Newton from `start`; the few points where that stalls (next to a closing gap, where the root is
    almost triple) or ends on the real axis (at a repelling fixed point, which certifies nothing)
    come down from far above the axis instead, z + ih with h falling to zero.

    Args:
        step: takes parameters z and points w, gives f_z(w) and its derivative in w.
        z: parameters, shape (k,).
        start: first guesses with positive imaginary part, shape (k,).
    """
    z = np.asarray(z, dtype=np.complex128)
    with np.errstate(all="ignore"):
        first = _iterate(step, z, np.asarray(start, dtype=np.complex128), _DIRECT)
        certain = first.interior | (z.imag > 0)  # above the axis there is one fixed point
        stalled = np.flatnonzero(~((first.residuals <= 4 * _NOISE) & certain))
        if not stalled.size:
            return first
        points, residuals = first.points, first.residuals
        displacements, iterations = first.displacements, first.iterations
        hard = z[stalled]
        height = 4 * (np.abs(hard) + np.abs(start[stalled]) + _TINY)
        w = hard + 1j * height
        for _ in range(_STAGES):
            stage = _iterate(step, hard + 1j * height, w, _PER_STAGE)
            iterations += stage.iterations
            w, height = stage.points, height / 4
        last = _iterate(step, hard, w, _DIRECT)
        better = ~(last.displacements >= displacements[stalled])
        points[stalled[better]] = last.points[better]
        residuals[stalled[better]] = last.residuals[better]
        displacements[stalled[better]] = last.displacements[better]
    return FixedPoints(
        points=points,
        residuals=residuals,
        displacements=displacements,
        iterations=iterations + last.iterations,
    )


def _iterate(
    step: SelfMap, z: ComplexArray, start: ComplexArray, max_iterations: int
) -> FixedPoints:
    points = np.array(start, dtype=np.complex128)
    residuals, displacements = np.full((2, points.size), np.inf)
    todo = np.arange(points.size)
    zs, w = np.asarray(z, dtype=np.complex128), points.copy()
    f, slope = step(zs, w)
    displacement = _displacement(w, f)
    iterations = 1
    while todo.size and iterations < max_iterations:
        newton = w + (f - w) / (1 - slope)
        # at real z solutions come in conjugate pairs: below the axis means the mirror image
        newton = np.where((newton.imag < 0) & (zs.imag == 0), newton.conj(), newton)
        usable = np.isfinite(newton) & (newton.imag > 0)
        trial = np.where(usable, newton, f)
        trial_f, trial_slope = step(zs, trial)
        trial_displacement = _displacement(trial, trial_f)
        iterations += 1
        worse = usable & ~(trial_displacement < displacement)
        # at the noise floor a Newton step no longer helps; the better of the two points stays
        settled = worse & (np.abs(f - w) <= _NOISE * (np.abs(zs) + np.abs(w)))
        retry = worse & ~settled
        if retry.any():
            plain = f[retry]
            trial[retry] = plain
            trial_f[retry], trial_slope[retry] = step(zs[retry], plain)
            trial_displacement[retry] = _displacement(plain, trial_f[retry])
            iterations += 1
        moved = np.abs(trial - w)
        keep = ~settled
        w = np.where(keep, trial, w)
        f = np.where(keep, trial_f, f)
        slope = np.where(keep, trial_slope, slope)
        displacement = np.where(keep, trial_displacement, displacement)
        done = settled | (displacement == 0) | (moved <= 1e-16 * np.abs(w))
        points[todo] = w
        size = np.abs(zs) + np.abs(w) + _TINY
        residuals[todo] = np.abs(f - w) / size
        # no step is known better than rounding: a point that lies so close to the axis is nowhere
        rounding = _ROUNDING * size / np.maximum(w.imag, _TINY)
        displacements[todo] = np.maximum(displacement, rounding**2)
        if done.any():
            on = ~done
            todo, zs, w, f = todo[on], zs[on], w[on], f[on]
            slope, displacement = slope[on], displacement[on]
    return FixedPoints(
        points=points, residuals=residuals, displacements=displacements, iterations=iterations
    )


def increasing_roots(
    function: RealMap, target: FloatArray, low: FloatArray, high: FloatArray
) -> FloatArray:
    """Solve function_k(t) = target_k for functions that increase on (low, high), all at once.

    Newton's method, kept inside a bracket that shrinks at every step; an infinite end is found by
    doubling. Ends are limits: the function is never evaluated at `low` or `high` themselves.

    Args:
        function: takes t and the numbers k of their equations, gives values and slopes.
        target: right sides, shape (n,).
        low: lower ends of the brackets, shape (n,).
        high: upper ends.
    """
    low, high, target = (np.array(a, dtype=np.float64) for a in (low, high, target))
    todo = np.arange(target.size)
    with np.errstate(all="ignore"):
        for sign, end, other in ((1.0, high, low), (-1.0, low, high)):
            open_ended = np.flatnonzero(np.isinf(end))
            width = np.maximum(1.0, np.abs(other))
            for _ in range(_DOUBLINGS):
                if not open_ended.size:
                    break
                end[open_ended] = other[open_ended] + sign * width[open_ended]
                width = 4 * width
                short = function(end[open_ended], open_ended)[0] - target[open_ended]
                open_ended = open_ended[sign * short < 0]
        t, last = np.asarray(0.5 * (low + high)), np.asarray(high - low)
        for _ in range(_BRACKETED):
            value, slope = function(t[todo], todo)
            now, wanted = t[todo], target[todo]
            above = value > wanted
            high[todo] = np.where(above, now, high[todo])
            low[todo] = np.where(above, low[todo], now)
            newton = now - (value - wanted) / slope
            # steps have to shrink, or else the bracket is halved: a bad slope costs little
            inside = (newton > low[todo]) & (newton < high[todo])
            inside &= np.abs(newton - now) <= 0.5 * last[todo]
            settled = np.abs(value - wanted) <= 4e-16 * (np.abs(value) + np.abs(wanted))
            middle = 0.5 * (low[todo] + high[todo])
            fresh = np.where(settled, now, np.where(inside, newton, middle))
            t[todo], last[todo] = fresh, np.abs(fresh - now)
            todo = todo[~(settled | (np.abs(fresh - now) <= 4e-16 * np.abs(now)))]
            if not todo.size:
                break
    return np.asarray(t)


def sign_changes(
    function: Callable[[FloatArray], FloatArray], low: FloatArray, high: FloatArray
) -> FloatArray:
    """Where functions change sign on (low, high), once each: regula falsi (Illinois), all at once.

    Args:
        function: takes one point for each function, gives their values.
        low: lower ends, shape (n,).
        high: upper ends, with values of the opposite sign.
    """
    low, high = low.copy(), high.copy()
    at_low, at_high = function(low), function(high)
    size = np.maximum(np.abs(at_low), np.abs(at_high))
    rising, side, root = at_high > 0, np.zeros(low.size), low.copy()
    for k in range(_POLISH):
        with np.errstate(all="ignore"):
            guess = high - at_high * (high - low) / (at_high - at_low)
        # every third step halves the cell: a function may jump at an end
        secant = (guess > low) & (guess < high) & (k % 3 != 2)
        guess = np.where(secant, guess, 0.5 * (low + high))
        value = function(guess)
        up = (value > 0) == rising
        at_low = np.where(up, np.where(side > 0, 0.5 * at_low, at_low), value)
        at_high = np.where(up, value, np.where(side < 0, 0.5 * at_high, at_high))
        low, high = np.where(up, low, guess), np.where(up, guess, high)
        side, root = np.where(up, 1, -1), guess
        # at an edge the position is stationary, and its error is the square of this one
        if ((np.abs(value) <= _EXACT * size) | (high - low <= _EXACT * np.abs(guess))).all():
            break
    return root
