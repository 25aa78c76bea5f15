r"""The gaps of an additive convolution: a complete search over the branches of its parts.

Off the support of $\mu \boxplus \nu$ both subordination points are real and both F take one value
f: $x(f) = w_\mu(f) + w_\nu(f) - f$, on some branch of each. A gap is a stretch of f on which x
increases, $r_\mu + r_\nu > 1$. Cells of f are halved until the bounds of the branches decide
them, so every gap is found that is wider than rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hessium._typing import BoolArray, FloatArray
from hessium.theory._roots import sign_changes
from hessium.theory.convolution._branches import INFINITE, Branches

_POWERS = 2.0 ** np.arange(-50, 51)
_NARROW = 1e-7  # relative; a gap inside such a cell is narrower than its square
_TOUCH = 1e-6  # relative, like _NARROW, with room for rounding of the slope
_AT_ONCE = 1 << 21
_MOST = (
    1 << 11
)  # a search with so many more cells than at first has a slope that vanishes identically


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A pair of branches and the values f between which the position increases."""

    first: int
    second: int
    start: float
    end: float


def slope(one: FloatArray, other: FloatArray) -> FloatArray:
    """The sum r + r' - 1 from rows (r, 1 - r), in the form that cancels less."""
    return np.asarray(np.where(one[1] < other[1], other[0] - one[1], one[0] - other[1]))


def position(one: FloatArray, other: FloatArray) -> FloatArray:
    """The position w + v - f from rows w and w - f, in the form that does not cancel."""
    smaller = np.abs(one[1]) < np.abs(one[0])
    return np.asarray(np.where(smaller, one[1] + other[0], one[0] + other[1]))


def rising_stretches(
    first: Branches, second: Branches, unit: float, limit: float | None = None
) -> list[Stretch]:
    """All stretches with |f| <= limit on which the position increases, ascending in each pair.

    Args:
        first: the branches of one part.
        second: those of the other.
        unit: a typical value of f; cells start as its powers of two.
        limit: values of f beyond it are taken as one point; `INFINITE` units if not given.
    """
    limit = INFINITE * unit if limit is None else limit
    ends = np.concatenate([first.low, first.high, second.low, second.high])
    ends = ends[np.isfinite(ends) & (np.abs(ends) < limit)]
    powers = np.minimum(unit * _POWERS, limit)
    knots = np.unique(np.concatenate([powers, -powers, [0], ends]))
    search = _Search(first, second)
    search.start(knots)
    while search.open.size:
        search.halve()
    return search.stretches()


class _Search:
    """Cells of f on pairs of branches: a positive cell is kept, an undecided one is halved.

    A row of `open` is a cell: the branches i and j and the ends a and b; `values` holds r and
    1 - r of both branches at both ends, shape (ends, branches, 2, cells).
    """

    def __init__(self, first: Branches, second: Branches) -> None:
        self.first, self.second = first, second
        self.open, self.values = np.empty((0, 4)), np.empty((2, 2, 2, 0))
        self.most = _MOST
        self.kept: list[FloatArray] = []
        self.roots: list[FloatArray] = []

    def start(self, knots: FloatArray) -> None:
        """Sort the cells between knots by bounds from samples of the branches."""
        ours, theirs = self.first.bounds(knots), self.second.bounds(knots)
        middle = 0.5 * (knots[1:] + knots[:-1])

        def on(branches: Branches) -> BoolArray:
            return np.asarray((branches.low[:, None] < middle) & (middle < branches.high[:, None]))

        valid, other_valid = on(self.first), on(self.second)
        rows = max(1, _AT_ONCE // (other_valid.size + 1))
        found = []
        for begin in range(0, len(valid), rows):
            part = slice(begin, begin + rows)
            best = slope(
                np.array([a[part, None] for a in ours[:2]]), np.array([a[None] for a in theirs[:2]])
            )
            hit = (best > 0) & valid[part, None] & other_valid[None]
            i, j, cell = np.nonzero(hit)
            found.append(np.column_stack([i + begin, j, knots[cell], knots[cell + 1]]))
        self.open = np.concatenate(found)
        self.most = 4 * len(self.open) + _MOST
        if not self.open.size:
            return
        self.values = np.array([self._values(self.open, f) for f in self.open[:, 2:].T])

    @staticmethod
    def _once(branches: Branches, k: FloatArray, f: FloatArray) -> FloatArray:
        """(r, 1 - r), computed once for cells that share a branch and an end."""
        points, where = np.unique(np.array([k, f]), axis=1, return_inverse=True)
        return branches.at(points[0].astype(int), points[1])[2:, where]

    def _values(self, cells: FloatArray, f: FloatArray) -> FloatArray:
        first, second = (
            self._once(self.first, cells[:, 0], f),
            self._once(self.second, cells[:, 1], f),
        )
        return np.array([first, second])

    def _extremes(self) -> tuple[FloatArray, FloatArray]:
        """Slopes of the largest and of the smallest r of both branches in each cell."""
        ends = self.open[:, 2:].T
        (most, least), (more, less) = (
            branches.extremes(self.open[:, which].astype(int), ends, self.values[:, which])
            for which, branches in enumerate((self.first, self.second))
        )
        return slope(most, more), slope(least, less)

    def halve(self) -> None:
        """Drop cells that cannot be positive, keep those that must be, halve the others."""
        most, least = self._extremes()
        small, width = np.abs(self.open[:, 2:]).min(1), self.open[:, 3] - self.open[:, 2]
        self.kept.append(self.open[least > 0])
        undecided = (most > 0) & (least <= 0)
        narrow = (small == 0) | (width <= _NARROW * small) | (len(self.open) > self.most)
        starts, ends = (slope(*side) > 0 for side in self.values)
        self.kept.append(self.open[undecided & narrow & starts & ends])
        root = undecided & (starts != ends) & (narrow | self._single())
        self.roots.append(self.open[root])
        more = undecided & ~narrow & ~root
        rest, values = self.open[more], self.values[..., more]
        # both ends have one sign, since 0 is a knot: halved in scale
        scales = np.sqrt(np.abs(rest[:, 2])) * np.sqrt(np.abs(rest[:, 3]))
        middle = np.sign(rest[:, 2]) * scales
        fresh = self._values(rest, middle)
        left, right = rest.copy(), rest.copy()
        left[:, 3] = right[:, 2] = middle
        self.open = np.concatenate([left, right])
        self.values = np.concatenate(
            [np.array([values[0], fresh]), np.array([fresh, values[1]])], axis=-1
        )

    def _single(self) -> BoolArray:
        """Whether both r rise or both fall through the cell: one change of sign at most."""
        (rises, falls), (rises_too, falls_too) = (
            branches.turns(self.open[:, which].astype(int), self.open[:, 2:].T)
            for which, branches in enumerate((self.first, self.second))
        )
        return np.asarray((rises & rises_too) | (falls & falls_too))

    def _polished(self) -> FloatArray:
        """The positive parts of cells with one change of sign: regula falsi (Illinois)."""
        cells = np.concatenate([np.empty((0, 4)), *self.roots])
        if not cells.size:
            return cells
        low, high = cells[:, 2:].T
        rising = slope(*self._values(cells, high)) > 0
        root = sign_changes(lambda f: slope(*self._values(cells, f)), low, high)
        cells[:, 2] = np.where(rising, root, cells[:, 2])
        cells[:, 3] = np.where(rising, cells[:, 3], root)
        return cells

    def stretches(self) -> list[Stretch]:
        """Positive cells, joined where they touch up to rounding."""
        cells = np.concatenate([*self.kept, self._polished()])
        if not cells.size:
            return []
        cells = cells[np.lexsort((cells[:, 2], cells[:, 1], cells[:, 0]))]
        near = cells[1:, 2] - cells[:-1, 3] <= _TOUCH * np.abs(cells[1:, 2])
        same = (cells[1:, :2] == cells[:-1, :2]).all(1) & near
        breaks = np.flatnonzero(~same)
        begin, end = np.append(0, breaks + 1), np.append(breaks, len(cells) - 1)
        return [
            Stretch(first=int(c[0]), second=int(c[1]), start=float(c[2]), end=float(cells[e, 3]))
            for c, e in zip(cells[begin], end.tolist(), strict=True)
        ]
