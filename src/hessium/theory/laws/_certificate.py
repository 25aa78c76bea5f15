"""Treatment of points without a certified solution: edges, a second try, or an error."""

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
    """Number and position of the nearest edge; minus one where none is within rounding.

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
    """Number and position of the edges beside points without a certified solution.

    Raises:
        ConvergenceError: if a point is not within rounding of an edge.
    """
    which, place = nearest_edges(law, z)
    require(law, z, which >= 0)
    return which, place


def resolved(
    law: Law, z: ComplexArray, found: FixedPoints, solve: Callable[[ComplexArray], FixedPoints]
) -> tuple[IntArray, IntArray, ComplexArray]:
    """Treat the points that are not certified; a law itself evaluates those beside an edge.

    The others, such as a point of infinite density, are solved again a few units of rounding
    above the axis.

    Returns:
        Which points take the value at an edge, and number and position of those edges.

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
    """Raise an error unless all points are certified.

    Raises:
        ConvergenceError: if a point is not certified.
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
