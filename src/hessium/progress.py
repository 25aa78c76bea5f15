"""How long work reports how far it is. The library never draws; the command line does."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Called with units done, units in all, and what the units are."""

    def __call__(self, done: int, total: int, what: str) -> None:
        """Take note of `done` out of `total`."""
        ...


def silent(done: int, total: int, what: str) -> None:
    """The progress callback that does nothing."""
