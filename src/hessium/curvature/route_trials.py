"""Routes of plain products, timed on the columns that a caller asks for.

A block can be multiplied one vector after the other or several at once, on one thread or on all.
Which is fastest depends on the network and on the machine. The first products try every option on
columns of the caller's own: the trial costs only by how much slower some options are. Options
agree to rounding; the last bits of the first products may therefore differ from those of later
ones, and, where several threads are set, between runs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hessium.curvature.product_plan import Graphs, worth_recording

WIDTHS = (1, 8, 64)  # columns at once: one, as many as stay in a cache, as many as hide overheads
_TIMES = 2  # each option is timed so often
_HOPELESS = 1.5  # an option that was slower by this factor is not timed again
_CLEAR = 1.03  # a later option must be faster by this factor: less is noise


@dataclass(frozen=True, slots=True)
class Option:
    """A way to multiply columns.

    Attributes:
        width: columns at once.
        one_thread: one thread of torch, whatever is set.
    """

    width: int
    one_thread: bool


Multiply = Callable[[Tensor, Option], Tensor]


@dataclass(slots=True)
class Trials:
    """Seconds a column of every option, shared by the operators of one kind on one model.

    Attributes:
        seconds: of each timing.
        refuted: widths whose products differed from single ones.
    """

    seconds: dict[Option, list[float]] = field(default_factory=dict)
    refuted: set[int] = field(default_factory=set)

    def multiply(
        self,
        block: Tensor,
        multiply: Multiply,
        same: Callable[[Tensor, Tensor], bool],
        *,
        first: int,
        room: int,
        threads: bool,
    ) -> Tensor:
        """The product with a block (n, k), its columns shared among the options to be timed.

        Args:
            block: shape (n, k).
            multiply: product with some columns by an option.
            same: whether two products are equal to rounding.
            first: width that is taken untried.
            room: columns at once for which there is memory.
            threads: whether one thread is an option beside all.
        """
        options = self._options(block.shape[1], first, room, threads=threads)
        parts, at = list[Tensor](), 0
        while at < block.shape[1]:
            option = self._pending(options, block.shape[1] - at)
            if option is None:
                parts.append(multiply(block[:, at:], self._best(options)))
                break
            columns = block[:, at : at + option.width]
            if option.width > 1 and option not in self.seconds:  # compared, and warmed up
                pair, alone = columns[:, :2], Option(1, option.one_thread)
                if not same(multiply(pair, option), multiply(pair, alone)):
                    self.refuted.add(option.width)
                    options = [o for o in options if o.width != option.width]
                    continue
            parts.append(self._timed(columns, multiply, option))
            at += columns.shape[1]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _options(self, columns: int, first: int, room: int, *, threads: bool) -> list[Option]:
        """Options for so many columns, the one that is taken untried first."""
        # half a block is enough to judge its width
        fit = [w for w in WIDTHS if w == 1 or (2 * columns >= w and columns >= 4 and w <= room)]
        fit = [w for w in fit if w not in self.refuted]
        untried = max(w for w in fit if w <= first)
        fit.sort(key=lambda w: (w != untried, w))
        return [Option(w, one) for w in fit for one in ((False, True) if threads else (False,))]

    def _pending(self, options: list[Option], columns: int) -> Option | None:
        """The next option to be timed on so many columns; None if all are known well enough."""
        if len(options) == 1:
            return None
        known = min(self._seconds(o) for o in options)
        due = list[tuple[int, int, Option]]()
        for option in options:
            times = len(self.seconds.get(option, []))
            open_yet = times < _TIMES and self._seconds(option) <= _HOPELESS * known
            if 2 * columns >= option.width and (not times or open_yet):
                due.append((times, option.width, option))
        # narrow ones first: they take few columns
        return min(due, key=lambda entry: entry[:2])[2] if due else None

    def _best(self, options: list[Option]) -> Option:
        """The fastest option; an earlier one unless a later one is clearly faster."""
        best = options[0]
        for option in options[1:]:
            if self._seconds(option) * _CLEAR < self._seconds(best):
                best = option
        return best

    def _seconds(self, option: Option) -> float:
        return min(self.seconds.get(option, [math.inf]))

    def _timed(self, columns: Tensor, multiply: Multiply, option: Option) -> Tensor:
        # where one thread does all the work, its own clock is not disturbed by other processes
        alone = not columns.is_cuda and torch.get_num_threads() == 1
        clock = time.process_time if alone else time.perf_counter
        start = clock()
        product = multiply(columns, option)
        if product.is_cuda:
            torch.cuda.synchronize(product.device)
        self.seconds.setdefault(option, []).append((clock() - start) / columns.shape[1])
        return product


class PlainProducts:
    """Products of one operator without announced work.

    Args:
        trials: timings, shared with other operators.
    """

    def __init__(self, trials: Trials) -> None:
        self._trials = trials
        self._seconds, self._open = 0.0, True

    def product(
        self,
        block: Tensor,
        multiply: Multiply,
        same: Callable[[Tensor, Tensor], bool],
        *,
        first: int,
        room: int,
        threads: bool,
    ) -> Tensor:
        """As `Trials.multiply`; at least `first` columns have room."""
        start = time.perf_counter()
        product = self._trials.multiply(
            block, multiply, same, first=first, room=max(first, room), threads=threads
        )
        self._seconds += time.perf_counter() - start
        return product

    def record_now(self, graphs: Graphs) -> bool:
        """Whether recording is due: once, when the products so far have taken much longer."""
        due = self._open and not graphs.recorded and worth_recording(self._seconds, graphs)
        self._open &= not due
        return due


def faster_on_one_thread(multiply: Callable[[Option], Tensor]) -> bool:
    """Whether single products are faster on one thread than on all. Cost: two to four products."""
    trials, vector = Trials(), torch.empty(0, 1)
    options = [Option(1, False), Option(1, True)]
    while (option := trials._pending(options, 1)) is not None:
        trials._timed(vector, lambda _, how: multiply(how), option)
    return trials._best(options).one_thread
