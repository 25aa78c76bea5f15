"""The numbers of a matrix that people quote, and the claims that are put to them.

One writer for exact spectra, for repeated ones and for those that are known by products alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from hessium.figures.formatting import between, digits
from hessium.figures.records import Number, Statement, Table, exact, judge
from hessium.spectra import Count

Cell: TypeAlias = Number | str

_NOTE = (
    "Negative mass: the absolute values of the negative eigenvalues over those of all. Rank: "
    "eigenvalues beyond {tol} of the largest absolute one; index: the negative ones among them."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """The numbers of one matrix, each with its error, or in words why there is none.

    Attributes:
        sign: of the matrix, or whose block it is.
        dim: its size.
    """

    sign: str
    dim: int
    largest: Cell
    smallest: Cell
    trace: Cell
    negative_mass: Cell
    index: Cell
    rank: Cell

    def cells(self) -> dict[str, Cell]:
        """The numbers by their names on the page."""
        return {
            "size": exact(self.dim),
            "largest eigenvalue": self.largest,
            "smallest eigenvalue": self.smallest,
            "trace": self.trace,
            "negative mass": self.negative_mass,
            "index": self.index,
            "rank": self.rank,
        }


def not_measured(sign: str, dim: int) -> Quoted:
    """A matrix of which nothing is known."""
    none = "not measured"
    return Quoted(
        sign=sign,
        dim=dim,
        largest=none,
        smallest=none,
        trace=none,
        negative_mass=none,
        index=none,
        rank=none,
    )


def matrix_table(matrices: Sequence[Quoted], tol: float, when: str = "", more: str = "") -> Table:
    """Numbers below each other, matrices side by side."""
    cells = [matrix.cells() for matrix in matrices]
    return Table(
        title=f"The matrices{when}",
        columns=("number", *(matrix.sign for matrix in matrices)),
        rows=tuple((name, *(one[name] for one in cells)) for name in cells[0]),
        note=" ".join(filter(None, (_NOTE.format(tol=digits(tol)), more))),
    )


def block_table(blocks: Sequence[Quoted], tol: float, when: str = "") -> Table:
    """Blocks below each other, numbers side by side."""
    cells = [block.cells() for block in blocks]
    return Table(
        title=f"Diagonal blocks by layer{when}",
        columns=("matrix", *cells[0]),
        rows=tuple((b.sign, *one.values()) for b, one in zip(blocks, cells, strict=True)),
        note=_NOTE.format(tol=digits(tol)),
    )


def in_words(counts: Sequence[Count]) -> str:
    """A count with its bracket; of several the range."""
    words = between([c.value for c in counts], 12)
    if all(c.exact for c in counts):
        return words
    given = {c.confidence for c in counts if c.confidence is not None}
    likely = f" with confidence {digits(min(given))}" if given else " by rounding"
    ends = between([end for c in counts for end in (c.lower, c.upper)], 12)
    return f"{words} (bracket {ends}{likely})"


def definite(
    index: Sequence[Count], tol: float, smallest: str, when: str = "", *, refuted: bool = False
) -> Statement:
    """Whether H has a negative eigenvalue.

    Args:
        index: of each repetition; none where nothing was counted.
        tol: beyond which eigenvalues count.
        smallest: the smallest eigenvalue in words.
        when: for the claim, such as " after training".
        refuted: whether a negative eigenvalue is proved otherwise.
    """
    holds: bool | None = False if refuted else None
    if index and not refuted:
        holds = _all([c.upper == 0 for c in index], [c.lower == 0 for c in index])
    return judge(
        f"The Hessian has no negative eigenvalue beyond tol{when}.",
        holds,
        f"index {in_words(index) if index else 'not counted'} at tol {digits(tol)}; {smallest}",
    )


def agreement(few: int, worst: npt.ArrayLike | None, why: str = "", when: str = "") -> Statement:
    """Whether the largest eigenvalues of H are those of H0.

    Args:
        few: how many are compared.
        worst: greatest relative difference of each repetition; None where there is none.
        why: there is none.
        when: for the claim.
    """
    if worst is None or not few:
        return judge(
            f"The largest eigenvalues of H are those of H₀ within a tenth{when}.", None, why
        )
    errors = np.atleast_1d(np.asarray(worst, dtype=np.float64))
    return judge(
        f"The largest {few} eigenvalues of H are those of H₀ within a tenth{when}.",
        bool((errors < 0.1).all()),
        f"greatest relative difference {between(errors, 2)}",
    )


def undetermined(
    ranks: Sequence[Count], dim: int, num_outputs: int, tol: float, when: str = ""
) -> Statement:
    """Whether the data leave directions undetermined; fewer outputs than parameters prove it."""
    holds: bool | None = None
    if num_outputs < dim:
        holds = True
    elif ranks:
        holds = _all([c.upper < dim for c in ranks], [c.lower < dim for c in ranks])
    return judge(
        f"The data leave directions undetermined: rank(H₀) < parameters{when}.",
        holds,
        f"rank {in_words(ranks) if ranks else 'not counted'} at tol {digits(tol)}, "
        f"{digits(dim, 12)} parameters, {digits(num_outputs, 12)} outputs of all samples together",
    )


def _all(surely: Sequence[bool], perhaps: Sequence[bool]) -> bool | None:
    """True or False where the brackets leave no doubt, else None."""
    return True if all(surely) else None if all(perhaps) else False
