"""Vectorised root finders for increasing functions and for functions with one sign change."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hessium._typing import FloatArray, IntArray

RealMap = Callable[[FloatArray, IntArray], tuple[FloatArray, FloatArray]]

_BRACKETED = 90
_DOUBLINGS = 60
_POLISH, _EXACT = 40, 1e-11


def increasing_roots(
    function: RealMap, target: FloatArray, low: FloatArray, high: FloatArray
) -> FloatArray:
    """Solve function_k(t) = target_k for many functions that increase on (low, high).

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
            # bisect unless the Newton steps shrink, so that a wrong slope costs little
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
    """The sign changes of functions with one each on (low, high): regula falsi (Illinois).

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
