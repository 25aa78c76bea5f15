"""Where inner products of the rows of a Jacobian are added up."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from hessium.linalg.dense_matrices import mirror_lower_


class InnerProducts:
    """Inner products of the rows of later samples with those of first ones, and with their own.

    Without first samples this is one whole matrix. Rows are ordered by sample, then column.

    Args:
        samples: all of them.
        rank: rows of a sample.
        first: number of leading samples whose products with each other are not wanted.
        joint: all products of later rows with each other; else their squares only.
        like: gives dtype and device.

    Attributes:
        cross: later rows by first rows, (m, n).
        own: later rows by later rows, (m, m), of which pairs fill the lower triangle; or (m,).
    """

    def __init__(self, samples: int, rank: int, first: int, joint: bool, like: Tensor) -> None:
        self._samples, self._rank, self._first, self._joint = samples, rank, first, joint
        later = (samples - first) * rank
        self.cross = like.new_zeros(later, first * rank)
        self.own = like.new_zeros((later, later) if joint else (later,))

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        return self.own.itemsize

    def pairs(self, work: int) -> Iterator[tuple[slice, slice]]:
        """Samples of rows and of columns of each block that is wanted, within the work space.

        Bands of rows are thin, since half of the block at the diagonal is not needed.
        """
        count, rank = self._samples, self._rank
        largest = work // (rank * count * rank * self.itemsize)
        step = max(1, min(largest, max(count // 8, -(-128 // rank))))
        for start in range(self._first, count, step):
            some = slice(start, min(start + step, count))
            if self._first:
                yield some, slice(0, self._first)
            yield some, slice(self._first, some.stop) if self._joint else some

    def rows(self, samples: slice) -> slice:
        """Rows of some samples."""
        return slice(samples.start * self._rank, samples.stop * self._rank)

    def add(self, some: slice, seen: slice, part: Tensor) -> None:
        """Add products of the rows of two groups of samples, (rows, columns)."""
        if (block := self._block(some, seen)) is None:
            self.own[self._later(some)] += part.diagonal()
        else:
            block += part

    def multiply(self, some: slice, seen: slice, left: Tensor, right: Tensor) -> None:
        """Add left right^T, given some columns of both groups of rows."""
        if (block := self._block(some, seen)) is None:
            self.own[self._later(some)] += torch.einsum("ij,ij->i", left, left)
        else:
            block.addmm_(left, right.mT)

    def _later(self, samples: slice) -> slice:
        """Rows counted from the first later one."""
        rows, start = self.rows(samples), self._first * self._rank
        return slice(rows.start - start, rows.stop - start)

    def _block(self, some: slice, seen: slice) -> Tensor | None:
        """The view that a pair is added to; None for squares."""
        if seen.stop <= self._first:
            return self.cross[self._later(some), self.rows(seen)]
        return self.own[self._later(some), self._later(seen)] if self._joint else None

    def close(self) -> InnerProducts:
        """Fill the upper triangle."""
        if self._joint:
            mirror_lower_(self.own)
        return self
