"""Progress callbacks of long computations; none is drawn unless it is asked for."""

from __future__ import annotations

import time
from html import escape
from typing import Any, Protocol, runtime_checkable

from hessium.errors import InputError

_PAUSE = 0.2  # seconds between two drawings


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


def notebook() -> Progress:
    """A callback that draws bars in a notebook, one for each kind of work, in one output.

    Returns:
        The callback, for the argument `progress` of any function.

    Raises:
        InputError: if IPython is not installed.

    Example:
        >>> pairs = hs.eigenpairs(H, 3, progress=hs.progress.notebook())  # doctest: +SKIP
    """
    try:
        from IPython import display
    except ImportError as error:
        msg = "progress: IPython is not installed; run this in a notebook"
        raise InputError(msg) from error
    return _NotebookBars(display)


class _NotebookBars:
    """Bars as HTML; drawn a few times a second, and at the end of each kind of work."""

    def __init__(self, display: Any) -> None:
        self._display, self._handle = display, None
        self._parts: dict[str, tuple[int, int]] = {}
        self._last = -_PAUSE

    def __call__(self, done: int, total: int, what: str) -> None:
        """Show `done` out of `total`."""
        self._parts[what] = done, total
        now = time.monotonic()
        if done < total and now - self._last < _PAUSE:
            return
        self._last = now
        page = self._display.HTML(self._html())
        if self._handle is None:
            self._handle = self._display.display(page, display_id=True)
        else:
            self._handle.update(page)

    def _html(self) -> str:
        return "".join(
            f'<div>{escape(what)} <progress value="{done}" max="{max(total, 1)}"></progress> '
            f"{done} of {total}</div>"
            for what, (done, total) in self._parts.items()
        )
