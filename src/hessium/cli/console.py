"""Progress on the command line: bars on a terminal, occasional lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hessium._workers import SECONDS
from hessium.cli.output import output

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_SECONDS_BETWEEN_LINES = 10.0


class Bars:
    """A progress callback that draws while its `with` block lasts.

    On a terminal one bar for each kind of work, with time left; otherwise a line every ten
    seconds, so that a log stays short. Work that ends within that time leaves no line.
    """

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._starts: dict[str, tuple[float, int]] = {}
        self._notes: dict[str, str] = {}
        self._last_line = time.monotonic()

    def __enter__(self) -> Bars:
        if sys.stderr.isatty() and not output().quiet:
            self._bars = _bars()
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def __call__(self, done: int, total: int, what: str) -> None:
        """Show `done` of `total`."""
        now = time.monotonic()
        start, before = self._starts.setdefault(what, (now, done))
        if self._bars is not None:
            if what not in self._tasks:
                self._tasks[what] = self._bars.add_task(what, total=total)
            self._bars.update(self._tasks[what], completed=done, total=total)
        elif not output().quiet and now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            # the first tasks carry the start of the workers: too few to judge by
            known = done - before >= max(3, total // 20)
            left = (now - start) / (done - before) * (total - done) if known else 0.0
            tail = f", about {left:.0f} s left" if known else ""
            note = f" ({self._notes[what]})" if what in self._notes else ""
            sys.stderr.write(f"{what}: {done} of {total}{tail}{note}\n")
            sys.stderr.flush()

    def note(self, what: str, text: str) -> None:
        """Text after the bar of `what`."""
        if self._bars is not None and what in self._tasks:
            self._bars.update(self._tasks[what], description=f"{what} ({text})")
        self._notes[what] = text


def _bars() -> Progress | None:
    """Bars of rich on stderr; None where rich is not installed or the terminal has no control."""
    try:
        from rich import progress
        from rich.console import Console
    except ImportError:
        return None
    console = Console(stderr=True)
    if not console.is_terminal:
        return None
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=None),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
        console=console,
        # bars that flash by in less than two seconds help nobody, but a first task may
        # take long, so a bar is there from its start and stays when it ends
        refresh_per_second=4,
    )


class Tally:
    """Counts the points of a sweep by class, and how many certified ones a minute of work brings.

    Args:
        bars: where to show it.
        what: the name of the sweep there.
    """

    def __init__(self, bars: Bars, what: str) -> None:
        self._bars, self._what = bars, what
        self._kinds: Counter[str] = Counter()
        self._seconds = 0.0

    def __call__(self, result: Mapping[str, Any]) -> None:
        """Count one point."""
        self._kinds[str(result.get("kind", "other"))] += 1
        self._seconds += float(result.get(SECONDS, 0.0))
        self._bars.note(self._what, str(self))

    def __str__(self) -> str:
        minutes = self._seconds / 60
        counts = ", ".join(f"{count} {kind}" for kind, count in self._kinds.most_common())
        rate = self._kinds["critical"] / minutes if minutes > 0.05 else 0.0
        return counts + (f"; {rate:.3g} critical a minute of each worker" if rate else "")
