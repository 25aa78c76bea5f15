"""Shares of one of several processes, without the others."""

from __future__ import annotations

from hessium.linalg.shares import Pieces, Shares, Undivided


class FixedShares(Undivided):
    """The coordinates of one process, without communication.

    Args:
        by_process: the coordinates of each.
        number: of the process.
    """

    def __init__(self, by_process: list[Pieces], number: int) -> None:
        Shares.__init__(self, by_process, number)

    @property
    def divided(self) -> bool:
        return len(self.by_process) > 1
