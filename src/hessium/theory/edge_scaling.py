r"""Where and how wide the largest eigenvalue fluctuates at an edge of a law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hessium._typing import FloatArray
from hessium.errors import InputError
from hessium.theory import _check
from hessium.theory._arrays import ArrayLike, Real
from hessium.theory.law import Law
from hessium.theory.levy import LevyLaw
from hessium.theory.tracy_widom import TracyWidom

_STEP = 1e-5  # of the interval: where the root of the density is read off


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftEdge:
    r"""The extreme eigenvalue at an edge: $x_* \pm s_n \xi$ with $\xi$ of Tracy-Widom law.

    Attributes:
        location: the edge.
        scale: $s_n = (n C)^{-2/3}$ with density $\approx (C/\pi)\sqrt{|x - x_*|}$.
        side: "left" or "right", where the empty side lies.
        beta: symmetry class.
    """

    location: float
    scale: float
    side: str
    beta: int

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Probability that the extreme eigenvalue at this edge is at most x."""
        standard = (_check.reals("x", x) - self.location) / self.scale
        law = TracyWidom(self.beta)
        return law.cdf(standard) if self.side == "right" else law.sf(-standard)

    def ppf(self, q: ArrayLike) -> FloatArray:
        """Quantiles of the extreme eigenvalue."""
        law, levels = TracyWidom(self.beta), _check.reals("q", q)
        if self.side == "right":
            return np.asarray(self.location + self.scale * law.ppf(levels))
        return np.asarray(self.location - self.scale * law.ppf(1 - levels))

    def mean(self) -> float:
        """Expected extreme eigenvalue."""
        sign = 1 if self.side == "right" else -1
        return self.location + sign * self.scale * TracyWidom(self.beta).mean()


def soft_edge(
    law: Law, n: int, side: str = "right", interval: int | None = None, beta: int = 1
) -> SoftEdge:
    r"""The Tracy-Widom scaling of an n x n matrix at an edge of its law.

    For laws of Levy type the coefficient of the square root is exact,
    $C = \sqrt{2/|x''(w_*)|}/w_*^2$ with $w = 1/G$; for others it is read off the density by
    Richardson extrapolation (about 1e-7).

    Args:
        law: any law.
        n: size of the matrix.
        side: "right" for an upper, "left" for a lower edge of an interval.
        interval: which of `support_intervals`; the outermost on that side if not given.
        beta: 1, 2 or 4.

    Raises:
        InputError: if an argument breaks its rule, or the edge is not soft (the density there is
            no square root: Marchenko-Pastur of ratio 1 at zero, arcsine).
    """
    size = _check.count("n", n)
    if side not in ("left", "right"):
        msg = f'side: {side!r}; "left" or "right" is required'
        raise InputError(msg)
    intervals = law.support_intervals()
    if not intervals:
        msg = "law: has no continuous part, so no soft edge"
        raise InputError(msg)
    which = interval if interval is not None else (0 if side == "left" else len(intervals) - 1)
    if not 0 <= which < len(intervals):
        msg = f"interval: {interval}; the law has intervals 0 to {len(intervals) - 1}"
        raise InputError(msg)
    location = intervals[which][side == "right"]
    if isinstance(law, LevyLaw):
        root = float(law.triple.edges[2 * which + (side == "right")])
        coefficient = _exact(law, root)
    else:
        coefficient = _measured(law, intervals[which], side)
    if coefficient is None:
        msg = f"law: the edge at {location:g} is not soft, the density is no square root there"
        raise InputError(msg)
    return SoftEdge(
        location=location, scale=float((size * coefficient) ** (-2 / 3)), side=side, beta=beta
    )


def _exact(law: LevyLaw, root: float) -> float | None:
    bend = law.triple.curvature(root) if root else 0.0
    if root == 0 or abs(bend * root) < 1e-10:
        return None
    return float(np.sqrt(2 / abs(bend)) / root**2)


def _measured(law: Law, interval: tuple[Real, Real], side: str) -> float | None:
    low, high = interval
    step = _STEP * (high - low)
    distance = step * np.array([1.0, 0.25])
    x = low + distance if side == "left" else high - distance
    far, near = np.pi * law.pdf(x) / np.sqrt(distance)
    if not 0.99 < near / far < 1.01:
        return None
    return float((4 * near - far) / 3)
