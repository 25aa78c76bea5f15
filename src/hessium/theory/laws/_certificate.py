"""What is done with points at which no certified solution was found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hessium._typing import BoolArray, ComplexArray, IntArray
from hessium.errors import ConvergenceError
from hessium.theory._fixed_point import FixedPoints
from hessium.theory.laws.law import Law

_EDGE = 1e-12
"""Of position and width of the support: points this close to an edge take the value there."""

_ASIDE = 1e-14
"""Of the same: how far above a hidden point its value is taken."""


def nearest_edges(law: Law, z: ComplexArray) -> tuple[IntArray, ComplexArray]:
    """Number and place of the edge nearest to each point; minus one where none is within rounding.

    Edges are numbered through all intervals in ascending order.
    """
    ends = np.ravel(law.support_intervals())
    if not ends.size:
        return np.full(z.shape, -1), z
    low, high = law.support()
    which = np.abs(z[:, None] - ends).argmin(1)
    near = ends[which]
    close = np.abs(z - near) <= _EDGE * (np.abs(near) + (high - low))
    return np.where(close, which, -1), np.where(close, near, z)


def edges_or_error(law: Law, z: ComplexArray) -> tuple[IntArray, ComplexArray]:
    """Number and place of the edges beside points that have no certified solution.

    Raises:
        ConvergenceError: if a point is not within rounding of an edge.
    """
    which, place = nearest_edges(law, z)
    require(law, z, which >= 0)
    return which, place


def resolved(
    law: Law, z: ComplexArray, found: FixedPoints, solve: Callable[[ComplexArray], FixedPoints]
) -> tuple[IntArray, IntArray, ComplexArray]:
    """See to the points that are not certified; those beside an edge are left to the law.

    The others, such as one where the density is infinite, are solved for again a few units of
    rounding higher.

    Returns:
        Which points take the value at an edge, and number and place of those edges.

    Raises:
        ConvergenceError: if a point has no certified solution there either.
    """
    lost = np.flatnonzero(~found.certified)
    if not lost.size:
        return lost, lost, z[lost]
    which, place = nearest_edges(law, z[lost])
    hidden = lost[which < 0]
    if hidden.size:
        low, high = law.support()
        found.put(hidden, solve(z[hidden] + 1j * _ASIDE * (np.abs(z[hidden]) + (high - low))))
        require(law, z[hidden], found.certified[hidden])
    return lost[which >= 0], which[which >= 0], place[which >= 0]


def require(law: Law, z: ComplexArray, certified: BoolArray) -> None:
    """Nothing, if all points are certified.

    Raises:
        ConvergenceError: if one is not.
    """
    if not certified.all():
        lost = z[~certified]
        first = complex(lost[0])
        shown = first.real if first.imag == 0 else first
        msg = (
            f"{law!r}: no certified value at {lost.size} of the points, such as {shown:.17g}; "
            "rounding hides the solution there: rescale the law, or leave these points out"
        )
        raise ConvergenceError(msg)
