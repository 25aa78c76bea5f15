"""A part of the samples of every batch, for checks that need not read all data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from hessium.errors import InputError
from hessium.problem.containers import replaced, tensors
from hessium.problem.data import Batch

FEWEST = 16  # samples of a batch, if one sample has few entries: fewer would save little
_ENTRIES = 128  # of the inputs, in the fewest samples if those have many


def shortened(batches: Iterable[Batch], share: float | None) -> Iterator[Batch]:
    """Batches with a share of their samples; None: as they are.

    A batch is shortened along its first dimension if all of its tensors have the same one, and is
    left whole otherwise (graphs, tables, sequences with time first beside labels). The samples are
    equally spaced: data may be sorted.
    """
    return iter(batches) if share is None else (_first(batch, share) for batch in batches)


def _first(batch: Batch, share: float) -> Batch:
    found = tensors(batch)
    sizes = {t.shape[0] if _plain(t) else -1 for t in found if t.is_nested or t.dim()}
    if len(sizes) != 1:
        return batch
    (size,) = sizes
    rows = max(_fewest(batch, size), math.ceil(share * size))
    if rows >= size or _may_point(batch[0], size):
        return batch
    step = size // rows

    def cut(tensor: Tensor) -> Tensor:
        if not tensor.dim():
            return tensor
        return tensor.detach()[::step][:rows].contiguous().requires_grad_(tensor.requires_grad)

    try:
        inputs, targets = replaced(batch, cut)
    except InputError:
        return batch
    return inputs, targets


def _fewest(batch: Batch, size: int) -> int:
    """The fewest samples of a part: two or more, as normalisations in training mode need."""
    entries = sum(t.numel() for t in tensors(batch[0]))
    return min(FEWEST, max(2, math.ceil(_ENTRIES * size / max(1, entries))))


def _may_point(inputs: Any, size: int) -> bool:
    """Whether integers on an accelerator may be numbers of samples, where a wrong one is fatal."""
    found = [t for t in tensors(inputs) if t.device.type != "cpu" and not _fractions(t)]
    return any(t.numel() and int(t.max()) < size for t in found)


def _fractions(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.dtype is torch.bool


def _plain(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_nested
