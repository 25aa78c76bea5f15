r"""The gaps of a free product: a complete search over the branches of its factors.

A positive x is off the support of $\mu \boxtimes \nu$ iff real $z_1$ and $z_2$ off the supports
exist with $x = z_1 z_2/E$, $E = E_\mu(z_1) = E_\nu(z_2)$, at which the subordination map attracts:
where x increases with E. Either both $z_i > 0$, and $r_1 + r_2 > 1$ as in a free sum; or one is
negative, E < 0, and $a = -r_1$ exceeds $b = r_2 - 1$.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hessium.theory.convolution._branches import Branches, middle
from hessium.theory.convolution._eta_branches import NegativeBranch, PositiveBranches
from hessium.theory.convolution._eta_transform import LIMIT, EtaTransform, pieces_of
from hessium.theory.convolution._support_search import Stretch, rising_stretches
from hessium.theory.laws.law import Law

_TOUCH = 1e-13  # relative, of positions through their logarithms
_LEVEL = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """An open interval without continuous part; it may contain an atom.

    Attributes:
        low, high: its ends.
        below, upto: mass below it, and below its upper end.
    """

    low: float
    high: float
    below: float
    upto: float


def product_gaps(first: Law, second: Law, at_zero: float) -> tuple[Gap, ...]:
    """All gaps, ascending; those that meet, where E = 0 or infinity, are joined.

    Args:
        first: a factor.
        second: the other.
        at_zero: mass of the product at 0.
    """
    ours, theirs = EtaTransform(first), EtaTransform(second)
    pieces, others = pieces_of(ours), pieces_of(theirs)
    found = [
        *_both_positive(PositiveBranches(ours, pieces, 1.0), PositiveBranches(theirs, others, 1.0)),
        *_one_negative(PositiveBranches(ours, pieces, -1.0), NegativeBranch(theirs)),
        *_one_negative(PositiveBranches(theirs, others, -1.0), NegativeBranch(ours)),
    ]
    found.sort(key=lambda gap: gap.low)
    joined = [Gap(low=-np.inf, high=0.0, below=0.0, upto=at_zero)]
    for gap in found:
        last = joined[-1]
        if gap.low - last.high <= _TOUCH * gap.low and abs(gap.below - last.upto) <= _LEVEL:
            high = max(gap.high, last.high)
            joined[-1] = Gap(low=last.low, high=high, below=last.below, upto=gap.upto)
        else:
            joined.append(gap)
    return tuple(joined)


def _stretches(one: Branches, two: Branches) -> Iterator[tuple[Stretch, float, float]]:
    """Stretches of f, and x at both ends."""
    stretches = rising_stretches(one, two, 1.0, LIMIT)
    if not stretches:
        return
    f = np.array([[stretch.start, stretch.end] for stretch in stretches]).ravel()
    ours = one.at(np.repeat([stretch.first for stretch in stretches], 2), f)
    theirs = two.at(np.repeat([stretch.second for stretch in stretches], 2), f)
    # log z_1 + log z_2 - f, in the form that does not cancel
    ours_near = np.abs(ours[1]) < np.abs(ours[0])
    x = np.exp(np.where(ours_near, ours[1] + theirs[0], ours[0] + theirs[1])).tolist()
    yield from zip(stretches, x[::2], x[1::2], strict=True)


def _wide(low: float, high: float) -> bool:
    """Whether two positions differ by more than rounding."""
    return low < high * (1 - _TOUCH)


def _mass(branches: PositiveBranches, k: int, f: float) -> float:
    w = branches.at(np.array([k]), np.array([f]))[0]
    return float(branches.eta.law.cdf(np.exp(w))[0])


def _both_positive(one: PositiveBranches, two: PositiveBranches) -> Iterator[Gap]:
    if not (one.left.size and two.left.size):
        return
    for stretch, low, high in _stretches(one, two):
        if stretch.start <= -LIMIT and one.left[stretch.first] == two.left[stretch.second] == 0:
            low = 0.0
        if stretch.end >= LIMIT and one.right[stretch.first] == two.right[stretch.second] == np.inf:
            high = np.inf
        if not _wide(low, high):
            continue
        # an atom of the product lies where f = 0
        parts = (stretch.start, min(stretch.end, 0.0)), (max(stretch.start, 0.0), stretch.end)
        levels = [
            _mass(one, stretch.first, f) + _mass(two, stretch.second, f) - 1 + float(f < 0)
            for f in (middle(*part, 1.0) for part in parts if part[0] < part[1])
        ]
        yield Gap(low=low, high=high, below=levels[0], upto=levels[-1])


def _one_negative(one: PositiveBranches, two: NegativeBranch) -> Iterator[Gap]:
    """Here |E| falls as x rises."""
    if not one.left.size:
        return
    for stretch, high, low in _stretches(one, two):
        if _wide(low, high):
            level = _mass(one, stretch.first, middle(stretch.start, stretch.end, 1.0))
            yield Gap(low=low, high=high, below=level, upto=level)
