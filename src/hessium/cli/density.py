"""A density as bars of characters."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from hessium._typing import FloatArray
from hessium.figures.formatting import digits, telling
from hessium.theory import Law

_WIDTH, _HEIGHT, _MARGIN = 66, 10, 10
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_PLAIN = " .:-=+*%#"


def bars(law: Law) -> Iterator[str]:
    """Lines of at most 80 columns: the mean density in 66 columns of equal width, and an axis.

    The columns reach from just below the support to just above it; zero is marked on the axis.
    """
    # a stream of another encoding gets ASCII instead of an exception
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        "█┴─│".encode(encoding)
        shades, bar, line, tick = _EIGHTHS, "│", "─", "┴"
    except (UnicodeEncodeError, LookupError):
        shades, bar, line, tick = _PLAIN, "|", "-", "+"
    low, high = law.support()
    room = 0.02 * (high - low)
    ends = np.linspace(low - room, high + room, _WIDTH + 1)
    density = _means(law, ends)
    top = float(density.max())
    eighths = np.round(8 * _HEIGHT * density / top).astype(int)
    # a positive density is visible, however small
    eighths[(density > 0) & (eighths == 0)] = 1
    for row in reversed(range(_HEIGHT)):
        level = digits(top) if row == _HEIGHT - 1 else "0" if row == 0 else ""
        cells = "".join(shades[k] for k in np.clip(eighths - 8 * row, 0, 8))
        yield f"{level:>{_MARGIN}} {bar}{cells}".rstrip()
    zero = int((0.0 - ends[0]) / (ends[-1] - ends[0]) * _WIDTH) if ends[0] < 0 < ends[-1] else None
    axis = [line] * _WIDTH
    if zero is not None:
        axis[zero] = tick
    yield " " * (_MARGIN + 2) + "".join(axis)
    first, last = float(ends[0]), float(ends[-1])
    enough = telling(first, last)
    yield " " * (_MARGIN + 2) + _labels(digits(first, enough), digits(last, enough), zero)


def _means(law: Law, ends: FloatArray) -> FloatArray:
    """Mass of the continuous part in each column over its width."""
    mass = np.diff(law.cdf(ends))
    for place, weight in law.atoms.items():
        column = int(np.searchsorted(ends, place, side="left")) - 1
        mass[column] -= weight
    return np.asarray(np.maximum(mass, 0.0) / np.diff(ends))


def _labels(left: str, right: str, zero: int | None) -> str:
    words = left + " " * (_WIDTH - len(left) - len(right)) + right
    free = len(left) < (zero or 0) < _WIDTH - len(right) - 1
    return words[:zero] + "0" + words[zero + 1 :] if zero is not None and free else words
