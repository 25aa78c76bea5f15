"""Short legends of charts whose series are all combinations of a few kinds and a few keys."""

from __future__ import annotations

from typing import Any

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hessium.figures.records import Series
from hessium.plots.style import DASHES, INK, PALETTE

_LEAST = 6  # series, below which a row for each is short enough


def keys_and_kinds(series: tuple[Series, ...]) -> tuple[dict[str, int], dict[str, int]] | None:
    """Keys with their colours, and kinds with a series that shows each; None where none fit.

    Labels are "KIND, KEY" then, as in "law, ε = 0.1" and "sampled matrices, ε = 0.1": a key has one
    colour, a colour one key, and a kind one look.
    """
    parts = [one.label.rpartition(", ") for one in series]
    if sum(bool(kind) for kind, _, _ in parts) < _LEAST:
        return None
    keys: dict[str, int] = {}
    kinds: dict[str, int] = {}
    for number, (one, (kind, _, key)) in enumerate(zip(series, parts, strict=True)):
        if not kind:  # a series of its own
            kinds[key] = number
            continue
        if one.hue is None:
            return None
        first = series[kinds.setdefault(kind, number)]
        if keys.setdefault(key, one.hue) != one.hue or _look(first) != _look(one):
            return None
    looks = [_dashes(series, number) for number in kinds.values() if parts[number][0]]
    few = len(set(keys.values())) == len(keys) and len(keys) + len(kinds) < len(series)
    return (keys, kinds) if few and len(set(looks)) == len(looks) else None


def _look(one: Series) -> tuple[str, str, bool]:
    return one.source, one.mark, one.hollow


def _dashes(series: tuple[Series, ...], number: int) -> tuple[str, str, bool, int]:
    """The look of a series, with its place among the theories of its colour."""
    one = series[number]
    before = [s for s in series[:number] if s.hue == one.hue and s.source == "theory"]
    return *_look(one), len(before) if one.source == "theory" else 0


def short_legend(
    series: tuple[Series, ...], keys: dict[str, int], kinds: dict[str, int]
) -> tuple[list[Patch | Line2D], list[str]]:
    """Handles and labels in two columns: the colours of the keys, and the looks of the kinds."""
    left: list[tuple[Patch | Line2D, str]] = [
        (Patch(color=PALETTE[hue % len(PALETTE)][0]), key) for key, hue in keys.items()
    ]
    right: list[tuple[Patch | Line2D, str]] = []
    for kind, number in kinds.items():
        one, (*_, place) = series[number], _dashes(series, number)
        alone = one.label == kind
        look: dict[str, Any] = {"linestyle": "-"}
        if one.source == "theory":
            look["linestyle"] = DASHES[place % len(DASHES)]
        if one.mark == "points":
            look["linestyle"] = "none"
        if one.mark in ("points", "both"):
            look["marker"] = "o"
        if one.source == "published" or one.hollow:
            look["markerfacecolor"] = "none"
        own = alone and one.hue is not None
        colour = PALETTE[(one.hue or 0) % len(PALETTE)][0] if own else INK
        right.append((Line2D([], [], color=colour, **look), kind))
    rows = max(len(left), len(right))
    blank = (Patch(color="none"), "")
    both = [*left, *[blank] * (rows - len(left)), *right, *[blank] * (rows - len(right))]
    return [handle for handle, _ in both], [label for _, label in both]
