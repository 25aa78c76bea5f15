"""Files with the shares of vectors that several processes hold, read by any number of processes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from hessium.linalg.shares import Shares

# a file of one process that holds all coordinates, or the files of all, each with its pieces
Entry: TypeAlias = str | list[list[Any]]


def names_in(entry: Entry) -> list[str]:
    """The files of an entry."""
    return [entry] if isinstance(entry, str) else [name for name, _ in entry]


def read(folder: Path, entry: Entry, shares: Shares, whole: Collection[str]) -> dict[str, Tensor]:
    """The share of this process of all tensors in an entry.

    Args:
        folder: with the files.
        entry: from `entry_of`.
        shares: of this process; the files may hold other shares. The last dimension of a tensor
            are the coordinates.
        whole: names of the tensors that are not shared; the first process writes them.
    """
    if isinstance(entry, str) and not shares.divided:
        return load_file(folder / entry)
    files: list[list[Any]] = [[entry, [[0, shares.dim]]]] if isinstance(entry, str) else entry
    found: dict[str, Tensor] = {}
    for name, pieces in files:
        with safe_open(folder / name, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - no mapping
                part = file.get_slice(key)
                if key in whole:
                    found[key] = part[:]
                    continue
                if key not in found:
                    shape = [*part.get_shape()[:-1], shares.count]
                    found[key] = torch.empty(shape, dtype=part[..., :0].dtype)
                for there, here in _common(pieces, shares.pieces):
                    found[key][..., here] = part[..., there]
    return found


def entry_of(stamp: str, shares: Shares) -> Entry:
    """Names of the files in which each process writes its share."""
    if not shares.divided:
        return f"{stamp}.safetensors"
    return [
        [f"{stamp}-{rank}.safetensors", [list(pair) for pair in pieces]]
        for rank, pieces in enumerate(shares.by_process)
    ]


def _common(
    theirs: Sequence[Sequence[int]], mine: Sequence[Sequence[int]]
) -> list[tuple[slice, slice]]:
    """Where the coordinates of both lie: in the other share, and in that of this process."""
    found, there = list[tuple[slice, slice]](), 0
    for start, stop in theirs:
        here = 0
        for first, last in mine:
            low, high = max(start, first), min(stop, last)
            if low < high:
                found.append(
                    (
                        slice(there + low - start, there + high - start),
                        slice(here + low - first, here + high - first),
                    )
                )
            here += last - first
        there += stop - start
    return found
