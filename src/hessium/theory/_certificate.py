"""What is done with points at which no certified solution was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hessium._typing import BoolArray, IntArray
from hessium.errors import ConvergenceError
from hessium.theory._arrays import ComplexArray

if TYPE_CHECKING:
    from hessium.theory.law import Law

_EDGE = 1e-12
"""Of position and width of the support: points this close to an edge take the value there."""


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
