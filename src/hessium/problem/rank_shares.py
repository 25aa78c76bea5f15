"""Coordinates of vectors, divided among the processes of a group."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, final

import torch
from torch import Tensor

from hessium.errors import NonFiniteError
from hessium.linalg.shares import Pieces, Shares, Undivided
from hessium.problem.ranks import Ranks


@final
class RankShares(Shares):
    r"""Every rank holds some of the coordinates.

    Bytes: `whole` and `added` send $(R - 1) b \lceil n / R \rceil$ numbers from each of R ranks
    for b vectors with equal shares; `added` 64 bytes more to each other rank.

    Args:
        ranks: the processes.
        by_rank: the coordinates of each, together all of them once.
    """

    def __init__(self, ranks: Ranks, by_rank: Sequence[Pieces]) -> None:
        super().__init__(by_rank, ranks.rank)
        self._ranks = ranks
        # one interval for each rank, in order: one vector needs no rearrangement
        self._plain = all(
            len(pieces) == 1 and pieces[0][0] == min(self.dim, number * self.largest)
            for number, pieces in enumerate(by_rank)
        )

    def every(self, tensor: Tensor) -> Sequence[Tensor]:
        """A small tensor of each rank."""
        return self._ranks.every(tensor)

    def from_first(self, tensor: Tensor) -> Tensor:
        """The tensor of rank 0."""
        return self._ranks.from_first(tensor)

    @torch.no_grad()
    def whole(self, share: Tensor) -> Tensor:
        """Vectors (b, n) from their shares (b, m)."""
        padded = share.contiguous()
        if share.shape[1] < self.largest:
            padded = share.new_zeros(len(share), self.largest)
            padded[:, : share.shape[1]] = share
        if self._plain and len(share) == 1:
            out = share.new_empty(len(self.by_process), self.largest)
            parts = self._ranks.every(padded[0], out=out)
            joined = out if parts[0].data_ptr() == out.data_ptr() else torch.stack(parts)
            return joined.view(1, -1)[:, : self.dim]
        vectors = share.new_empty(len(share), self.dim)
        for pieces, found in zip(self.by_process, self._ranks.every(padded), strict=True):
            place = 0
            for start, stop in pieces:
                vectors[:, start:stop] = found[:, place : place + stop - start]
                place += stop - start
        return vectors

    def added(self, summand: Callable[[], Tensor], who: str) -> Tensor:
        """Shares of the sum over ranks of vectors (b, n)."""
        with self._ranks.together("product") as largest:
            vectors = summand()
            largest.append(float(torch.linalg.vector_norm(vectors, math.inf)))
        if not sum(largest) <= torch.finfo(vectors.dtype).max:
            msg = f"{who}: product with a finite vector has entries that are NaN or infinite"
            raise NonFiniteError(msg)
        return self.summed(vectors)

    @torch.no_grad()
    def summed(self, vectors: Tensor) -> Tensor:
        """Shares (b, m) of the sum over ranks of vectors (b, n). One reduce-scatter."""
        if self._plain and len(vectors) == 1:
            missing = len(self.by_process) * self.largest - self.dim
            row = torch.nn.functional.pad(vectors, (0, missing)) if missing else vectors
            sent = row.contiguous().view(len(self.by_process), 1, self.largest)
            return self._ranks.scattered_sum(sent)[:, : self.count]
        sent = vectors.new_zeros(len(self.by_process), len(vectors), self.largest)
        for pieces, there in zip(self.by_process, sent, strict=True):
            place = 0
            for start, stop in pieces:
                there[:, place : place + stop - start] = vectors[:, start:stop]
                place += stop - start
        return self._ranks.scattered_sum(sent)[:, : self.count].contiguous()

    def together(self, work: str) -> AbstractContextManager[Any]:
        """Context of the work of each rank."""
        return self._ranks.together(work)


def shares_of(ranks: Ranks, dim: int) -> Shares:
    """Equal shares of n coordinates, one interval for each rank."""
    if ranks.alone:
        return Undivided(dim)
    each = -(-dim // ranks.size)
    ends = [min(dim, each * number) for number in range(ranks.size + 1)]
    return RankShares(ranks, [((a, b),) for a, b in itertools.pairwise(ends)])
