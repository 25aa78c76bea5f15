"""Progress callbacks of long computations; only the command line draws bars."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Called with the number of units done, their total, and their name."""

    def __call__(self, done: int, total: int, what: str) -> None:
        """Report `done` out of `total`."""
        ...


def silent(done: int, total: int, what: str) -> None:
    """The progress callback that does nothing."""


def part_of(progress: Progress, *, before: int = 0, after: int = 0) -> Progress:
    """The callback of one part of a computation with parts before and after it."""

    def tell(done: int, total: int, what: str) -> None:
        progress(before + done, before + total + after, what)

    return tell
