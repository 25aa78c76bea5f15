"""Eigenvalues beyond the edge of a law: p-values, and spikes that would cause them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from hessium import _arguments
from hessium._display import Displayable
from hessium._typing import ArrayLike, FloatArray
from hessium.compare._spectrum import (
    as_measure,
    eigenvalues_of,
    require_beta,
    require_law,
    snapped,
)
from hessium.errors import InputError
from hessium.spectra import Measure
from hessium.theory import Law, SoftEdge, soft_edge
from hessium.theory import outliers as of_spikes

_LEAST = 1e-14  # smallest probability resolved by the Tracy-Widom distribution function


@dataclass(frozen=True, slots=True, kw_only=True)
class Detached:
    r"""One eigenvalue detached from the bulk.

    Attributes:
        value: the eigenvalue.
        score: its distance from the edge over the Tracy-Widom scale, $(x - x_*)/s_n$.
        p_value: probability that the extreme eigenvalue of the bulk lies as far out, at least
            1e-14.
        spike: the $\theta$ that an additive spike $\theta uu^T$ must have, $G(x) = 1/\theta$.
        overlap: predicted $\langle u, v\rangle^2$ with the eigenvector v for such a spike.

    Example:
        >>> a, _ = hs.theory.spiked(hs.theory.goe(200, rng=0), [4.0], rng=0)
        >>> found = hs.compare.outliers(np.linalg.eigvalsh(a), hs.theory.Semicircle(1.0))
        >>> (one,) = found.above
        >>> round(one.value), round(one.spike)
        (4, 4)
    """

    value: float
    score: float
    p_value: float
    spike: float
    overlap: float


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Outliers(Displayable):
    """The detached eigenvalues of a spectrum and its bulk.

    Attributes:
        above: beyond the upper edge, largest first.
        below: beyond the lower edge, smallest first.
        bulk: the other eigenvalues, ascending.
        alpha: false-alarm rate of each side.

    Example:
        >>> values = np.linalg.eigvalsh(hs.theory.goe(200, rng=0))
        >>> found = hs.compare.outliers(values, hs.theory.Semicircle(1.0))
        >>> found.above, found.below
        ((), ())
    """

    above: tuple[Detached, ...]
    below: tuple[Detached, ...]
    bulk: FloatArray
    alpha: float

    @property
    def values(self) -> tuple[float, ...]:
        """All detached eigenvalues, ascending."""
        return tuple(sorted(one.value for one in (*self.above, *self.below)))

    def __repr__(self) -> str:
        return (
            f"Outliers({len(self.below)} below and {len(self.above)} above {self.bulk.size} "
            f"eigenvalues, each side wrong in {self.alpha:g} of spectra without any)"
        )


def outliers(
    spectrum: Measure | ArrayLike, law: Law, *, alpha: float = 1e-3, beta: int = 1
) -> Outliers:
    r"""Eigenvalues that the bulk law does not explain, by the Tracy-Widom law of its edges.

    Proceeds inwards: the extreme eigenvalue is tested against the law of the extreme eigenvalue
    of a matrix of the remaining size; if it is rejected it is set aside and the next one is
    tested. The first that is not rejected ends the search, so the probability of any false alarm on
    a side is `alpha`, up to finite-size corrections of the Tracy-Widom law. At a hard edge
    (Marchenko-Pastur of ratio one at zero) only eigenvalues beyond it by more than rounding are
    detached.

    Args:
        spectrum: all eigenvalues.
        law: of the bulk.
        alpha: false-alarm rate of each side, in (0, 1).
        beta: 1 for real symmetric, 2 for complex Hermitian matrices.

    Raises:
        InputError: if an argument is invalid.

    Example:
        >>> a, _ = hs.theory.spiked(hs.theory.goe(200, rng=0), [4.0], rng=0)
        >>> found = hs.compare.outliers(np.linalg.eigvalsh(a), hs.theory.Semicircle(1.0))
        >>> len(found.above), len(found.below)
        (1, 0)
    """
    alpha = _arguments.fraction("alpha", alpha)
    require_law("law", law)
    require_beta(beta)
    measure = snapped(as_measure(spectrum), law)
    side = partial(_side, law=law, alpha=alpha, beta=beta, rounding=measure.resolution)
    rest, above = side(np.array(eigenvalues_of(measure)), "right")
    rest, below = side(rest, "left")
    return Outliers(above=above, below=below, bulk=rest, alpha=alpha)


def one_more(found: Outliers, law: Law, *, side: str, beta: int) -> Outliers:
    """Set the extreme eigenvalue of the bulk aside as well, whatever its p-value."""
    extreme, score, p_value = _tested(found.bulk, side, law, beta, 0.0)
    one = _detached(extreme, score, p_value, law)
    if side == "right":
        return replace(found, above=(*found.above, one), bulk=found.bulk[:-1])
    return replace(found, below=(*found.below, one), bulk=found.bulk[1:])


def _side(
    values: FloatArray, side: str, *, law: Law, alpha: float, beta: int, rounding: float
) -> tuple[FloatArray, tuple[Detached, ...]]:
    found: list[Detached] = []
    rest = values
    while rest.size > 1:
        extreme, score, p_value = _tested(rest, side, law, beta, rounding)
        if p_value >= alpha or score <= 0:
            break
        found.append(_detached(extreme, score, p_value, law))
        rest = rest[:-1] if side == "right" else rest[1:]
    return rest, tuple(found)


def _tested(
    values: FloatArray, side: str, law: Law, beta: int, rounding: float
) -> tuple[float, float, float]:
    """The extreme value on a side, its distance beyond the edge in Tracy-Widom units, its p."""
    end = law.support()[side == "right"]
    extreme = float(values[-1] if side == "right" else values[0])
    beyond = extreme - end if side == "right" else end - extreme
    edge = _edge(law, values.size, side, end, beta)
    if edge is None:  # no eigenvalue lies beyond a hard edge or an atom, except by rounding
        return (extreme, np.inf, 0.0) if beyond > rounding else (extreme, 0.0, 1.0)
    upper = float(edge.cdf(extreme))
    return extreme, beyond / edge.scale, max(1 - upper if side == "right" else upper, _LEAST)


def _edge(law: Law, size: int, side: str, end: float, beta: int) -> SoftEdge | None:
    intervals = law.support_intervals()
    if not intervals or end in law.atoms:
        return None
    try:
        return soft_edge(law, size, side, beta=beta)
    except InputError:
        return None


def _detached(value: float, score: float, p_value: float, law: Law) -> Detached:
    spike = 1 / float(law.stieltjes(value).real)
    near = [o.overlap for o in of_spikes([spike], law) if np.isclose(o.location, value, rtol=1e-6)]
    return Detached(
        value=value,
        score=float(score),
        p_value=float(p_value),
        spike=spike,
        overlap=near[0] if near else float("nan"),
    )
