"""How the coordinates of vectors are spread over processes that compute together.

A block of vectors is held by rows, (..., n). A share of it is (..., m): the coordinates of one
process, in ascending order. All processes call the same methods in the same order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import torch
from torch import Tensor

Pieces: TypeAlias = tuple[tuple[int, int], ...]  # (start, stop) of coordinates, ascending

# whole vectors that a product holds: the gathered one, its product, and what is sent and received
_WHOLE = 4


class Shares(ABC):
    """The coordinates of vectors (n,) that this process holds.

    Args:
        by_process: the coordinates of each process, together all of them once.
        number: of this process.

    Attributes:
        by_process: the coordinates of each process.
        number: of this process.
        dim: n.
        pieces: of this process.
        count: m, the number of its coordinates.
        largest: of all processes.
        whole_in_products: whether products with shares hold whole vectors.
    """

    whole_in_products = True

    def __init__(self, by_process: Sequence[Pieces], number: int) -> None:
        counts = [sum(stop - start for start, stop in pieces) for pieces in by_process]
        self.by_process, self.number = tuple(by_process), number
        self.dim = sum(counts)
        self.pieces, self.count = by_process[number], counts[number]
        self.largest = max(counts)

    @property
    def divided(self) -> bool:
        """Whether other processes hold a part."""
        return True

    @property
    def beside(self) -> int:
        """Numbers that a product with one vector holds beside its shares."""
        return _WHOLE * self.dim if self.divided and self.whole_in_products else 0

    @abstractmethod
    def every(self, tensor: Tensor) -> Sequence[Tensor]:
        """A small tensor of each process, in their order; all have one shape."""

    @abstractmethod
    def from_first(self, tensor: Tensor) -> Tensor:
        """The tensor of the first process, in all; all have one shape.

        For what libraries compute of it: another processor may round it in another way, and
        processes that decide by other numbers part.
        """

    @abstractmethod
    def whole(self, share: Tensor) -> Tensor:
        """Vectors (b, n) from their shares (b, m). One all-gather."""

    @abstractmethod
    def added(self, summand: Callable[[], Tensor], who: str) -> Tensor:
        """Shares (b, m) of the sum over processes of vectors (b, n). One reduce-scatter.

        Args:
            summand: makes the vectors of this process, without communication.
            who: prefix of the message.

        Raises:
            NonFiniteError: if the sum may have entries that are not finite.
            Exception: the exception of the first process whose `summand` raised one, on all.
        """

    @abstractmethod
    def together(self, work: str) -> AbstractContextManager[Any]:
        """Context of the work of each process; an exception of one is raised on all.

        Raises:
            InputError: if the processes do different work.
        """

    def whole_columns(self, columns: Tensor) -> Tensor:
        """Whole columns (n, k) from the rows (m, k) of each process, one column after another."""
        if not self.divided:
            return columns
        found = columns.new_empty(columns.shape[1], self.dim)
        for row, column in zip(found, columns.unbind(1), strict=True):
            row.copy_(self.whole(column[None])[0])
        return found.mT

    def part(self, vectors: Tensor) -> Tensor:
        """The share (..., m) of vectors (..., n) that are held as a whole; a view if possible."""
        found = [vectors[..., start:stop] for start, stop in self.pieces]
        return found[0] if len(found) == 1 else torch.cat(found, dim=-1)

    def sum(self, numbers: Tensor) -> Tensor:
        """The sum over processes, in their order: the same bits on all."""
        first, *others = self.every(numbers)
        for other in others:
            first = first + other
        return first

    def agree(self, flag: bool) -> bool:
        """Whether the flag is true in all processes."""
        return all(bool(one) for one in self.every(torch.tensor([float(flag)])))


class Undivided(Shares):
    """All coordinates in this process."""

    def __init__(self, dim: int) -> None:
        super().__init__([((0, dim),)], 0)

    @property
    def divided(self) -> bool:
        """False."""
        return False

    def every(self, tensor: Tensor) -> Sequence[Tensor]:
        """The tensor."""
        return (tensor,)

    def from_first(self, tensor: Tensor) -> Tensor:
        """The tensor."""
        return tensor

    def whole(self, share: Tensor) -> Tensor:
        """The share."""
        return share

    def added(self, summand: Callable[[], Tensor], who: str) -> Tensor:
        """The summand."""
        del who
        return summand()

    def together(self, work: str) -> AbstractContextManager[Any]:
        """A context that does nothing."""
        del work
        return nullcontext()
