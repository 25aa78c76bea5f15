"""Numbers of eigenvalues that only random vectors have seen, from their pooled Gauss rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.special

from hessium._typing import FloatArray
from hessium.spectra.gauss_rule import GaussRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """A number of eigenvalues with its bracket.

    Attributes:
        value: the estimate.
        least: lower end.
        most: upper end.
        open_steps: whether the bracket includes an error of the Lanczos steps.
    """

    value: int
    least: int
    most: int
    open_steps: bool


def unseen_between(
    rules: Sequence[GaussRule], a: float, b: float, delta: float, size: int, alpha: float
) -> Unseen:
    """Number of `size` eigenvalues in (a, b], both ends uncertain by delta.

    Args:
        rules: of Gaussian vectors in the space of these eigenvalues.
        a: lower end.
        b: upper end.
        delta: error of both.
        size: dimension of the space.
        alpha: probability that the bracket does not hold, over the random vectors.
    """
    if not size:
        return Unseen(value=0, least=0, most=0, open_steps=False)
    low, high = _between(rules, a, b, delta)
    lowest, highest = dimensions(low, high, size, len(rules), alpha)
    least, most = math.ceil(lowest), math.floor(highest)
    if least > most:  # no integer between, by an unlikely draw: its neighbours are left
        least, most = most, least
    middle = round(size * (low + high) / 2)
    return Unseen(
        value=min(max(middle, least), most),
        least=least,
        most=most,
        open_steps=size * (high - low) > 1e-6,
    )


def pooled_below(
    rules: Sequence[GaussRule], low: FloatArray, high: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Bounds on the fraction of all |z|^2 up to a point known to lie in [low, high]."""
    total = sum(rule.mass for rule in rules)
    lower, upper = np.zeros(low.size), np.zeros(high.size)
    for rule in rules:
        bounds = rule.cdf_brackets(np.concatenate([low, high]))
        lower += rule.mass / total * bounds[0][: low.size]
        upper += rule.mass / total * bounds[1][low.size :]
    return lower, np.maximum(upper, lower)


def _between(rules: Sequence[GaussRule], a: float, b: float, delta: float) -> tuple[float, float]:
    """Bounds on the fraction of all |z|^2 in (a, b], both ends uncertain by delta."""
    ends = np.array([e for e in (a, b) if math.isfinite(e)])
    lower, upper = pooled_below(rules, ends - delta, ends + delta)
    low = dict(zip(ends.tolist(), lower, strict=True)) | {-math.inf: 0.0, math.inf: 1.0}
    high = dict(zip(ends.tolist(), upper, strict=True)) | {-math.inf: 0.0, math.inf: 1.0}
    return max(0.0, float(low[b] - high[a])), min(1.0, float(high[b] - low[a]))


def dimensions(
    low: float, high: float, size: int, probes: int, alpha: float
) -> tuple[float, float]:
    r"""Dimensions d of a subspace of `size` that could show a fraction in [low, high].

    The least d with $P(B \ge \mathrm{low}) \ge \alpha/2$ and the largest with
    $P(B \le \mathrm{high}) \ge \alpha/2$, B of law Beta(d P / 2, (size - d) P / 2).
    """
    if size == 0:
        return 0.0, 0.0
    low = low if low * size > 1e-4 else 0.0  # less is rounding: one eigenvalue has about 1

    def at_most(d: float, fraction: float) -> float:
        if d <= 0:
            return 1.0
        if d >= size:
            return float(fraction >= 1)
        return float(scipy.special.betainc(d * probes / 2, (size - d) * probes / 2, fraction))

    def bisect(inside: Callable[[float], bool], good: float, bad: float) -> float:
        if inside(bad):
            return bad
        while abs(good - bad) > 1e-6 * (1 + abs(good)):
            middle = (good + bad) / 2
            good, bad = (middle, bad) if inside(middle) else (good, middle)
        return good

    upper = bisect(lambda d: at_most(d, high) >= alpha / 2, size * high, float(size))
    lower = 0.0
    if low > 0:
        likely = min(float(size), max(1.0, size * low))
        lower = bisect(lambda d: 1 - at_most(d, low) >= alpha / 2, likely, 0.0)
    # the bisection stops on the safe side
    return max(0.0, lower - 2e-6 * (1 + lower)), min(float(size), upper + 2e-6 * (1 + upper))
