"""The first samples of every batch, for checks that need not read all data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from hessium.errors import InputError
from hessium.problem.containers import replaced, tensors
from hessium.problem.data import Batch

FEWEST = 16  # samples of a batch: fewer would save little


def shortened(batches: Iterable[Batch], share: float | None) -> Iterator[Batch]:
    """Batches with a share of their samples; None: as they are.

    A batch is shortened along its first dimension if all of its tensors have the same one, and is
    left whole otherwise (graphs, tables, sequences with time first beside labels).
    """
    return iter(batches) if share is None else (_first(batch, share) for batch in batches)


def _first(batch: Batch, share: float) -> Batch:
    found = tensors(batch)
    sizes = {t.shape[0] if _plain(t) else -1 for t in found if t.is_nested or t.dim()}
    if len(sizes) != 1:
        return batch
    (size,) = sizes
    rows = max(FEWEST, math.ceil(share * size))
    if rows >= size:
        return batch

    def cut(tensor: Tensor) -> Tensor:
        if not tensor.dim():
            return tensor
        return tensor.detach()[:rows].requires_grad_(tensor.requires_grad)

    try:
        inputs, targets = replaced(batch, cut)
    except InputError:
        return batch
    return inputs, targets


def _plain(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_nested
