r"""Location and scale of the extreme eigenvalue at a soft edge of a law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hessium._display import Plottable
from hessium._typing import ArrayLike, FloatArray, Real
from hessium.errors import InputError
from hessium.theory import _check
from hessium.theory.fluctuations.tracy_widom import TracyWidom
from hessium.theory.laws.law import Law, checked_law
from hessium.theory.laws.levy import LevyLaw

# of the interval: the distances at which the root of the density is read off
_DISTANCES = 0.01 * 0.25 ** np.arange(16)
_AGREEMENT = (
    1e-5  # largest relative difference of two extrapolations that is accepted as convergence
)
# The law for beta = 4 is that of Bornemann's tables, the limit of the edge 2^{1/6} times it
_STRETCH = {1: 1.0, 2: 1.0, 4: 2 ** (-1 / 6)}


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftEdge(Plottable):
    r"""The extreme eigenvalue at an edge: $x_* \pm s_n \xi$ with $\xi$ of Tracy-Widom law.

    Attributes:
        location: the edge.
        scale: $s_n = (n C)^{-2/3}$ with density $\approx (C/\pi)\sqrt{|x - x_*|}$, times
            $2^{-1/6}$ for beta = 4, where `TracyWidom` has the normalisation of Bornemann's tables.
        side: "left" or "right", where the empty side lies.
        beta: symmetry class.

    Example:
        >>> edge = hs.theory.soft_edge(hs.theory.MarchenkoPastur(0.25), n=100)
        >>> edge.side, edge.scale > 0
        ('right', True)
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
        return np.asarray(self.location - self.scale * law.isf(levels))

    def mean(self) -> float:
        """Expected extreme eigenvalue."""
        sign = 1 if self.side == "right" else -1
        return self.location + sign * self.scale * TracyWidom(self.beta).mean()


def soft_edge(
    law: Law, n: int, side: str = "right", interval: int | None = None, beta: int = 1
) -> SoftEdge:
    r"""The Tracy-Widom scaling of an n x n matrix at an edge of its law.

    For laws of Levy type the coefficient of the square root is exact,
    $C = \sqrt{2/|x''(w_*)|}/w_*^2$ with $w = 1/G$; for others it is extrapolated
    from the density: to 1e-8 where the square root holds over a share of 1e-6 of the interval or
    more. Extrapolations that disagree by 1e-5 raise an error.

    Args:
        law: any law.
        n: size of the matrix; for beta = 4 the number of distinct eigenvalues.
        side: "right" for an upper, "left" for a lower edge of an interval.
        interval: which of `support_intervals`; the outermost on that side if not given.
        beta: 1, 2 or 4.

    Raises:
        InputError: if an argument breaks its rule, or the edge is not soft (the density does
            not vanish as a square root: Marchenko-Pastur of ratio 1 at zero, arcsine).

    Example:
        >>> edge = hs.theory.soft_edge(hs.theory.Semicircle(1.0), n=100)
        >>> round(edge.location, 6), round(edge.scale, 6)
        (2.0, 0.046416)
    """
    size, stretch = _check.count("n", n), _STRETCH[TracyWidom(beta).beta]
    if side not in ("left", "right"):
        msg = f'side: {side!r}; "left" or "right" is required'
        raise InputError(msg)
    intervals = checked_law("law", law).support_intervals()
    if not intervals:
        msg = "law: a soft edge is required, but the law consists of atoms only"
        raise InputError(msg)
    outermost = 0 if side == "left" else len(intervals) - 1
    which = outermost if interval is None else _check.count("interval", interval, 0)
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
        msg = f"law: the edge at {location:g} is not soft; a density like a square root is required"
        raise InputError(msg)
    return SoftEdge(
        location=location,
        scale=float(stretch * (size * coefficient) ** (-2 / 3)),
        side=side,
        beta=beta,
    )


def _exact(law: LevyLaw, root: float) -> float | None:
    bend = law.triple.curvature(root) if root else 0.0
    if root == 0 or abs(bend * root) < 1e-10:
        return None
    return float(np.sqrt(2 / abs(bend)) / root**2)


def _measured(law: Law, interval: tuple[Real, Real], side: str) -> float | None:
    low, high = interval
    distance = _DISTANCES * (high - low)
    x = low + distance if side == "left" else high - distance
    # next to the edge the spacing of float64 matters
    distance = x - low if side == "left" else high - x
    density = law.pdf(x)
    known = (distance > 0) & (density > 0)
    # Richardson extrapolation; keep the value that differs least from its neighbours
    column = np.pi * density[known] / np.sqrt(distance[known])
    best, error = 0.0, np.inf
    for power in range(1, column.size):
        fresh = column[1:] + (column[1:] - column[:-1]) / (4.0**power - 1)
        doubt = np.maximum(np.abs(fresh - column[1:]), np.abs(fresh - column[:-1]))
        k = int(np.argmin(doubt))
        if doubt[k] < error:
            best, error = float(fresh[k]), float(doubt[k])
        column = fresh
    return best if error < _AGREEMENT * abs(best) else None
