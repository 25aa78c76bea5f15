"""A few numbers by which processes notice that their vectors differ."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from hessium.errors import InputError

_DIFFERENT = 1e-3  # of the norm at most: vectors that differ more are not rounded copies of one
_WIDTH = 64  # columns in which the entries are laid out


def marks_of(vector: Tensor) -> list[float]:
    """Norm, and two sums of the entries of (n,) or (n, k) with weights without a pattern.

    Unit vectors, permutations and changes of sign have other sums. Cost: two passes over memory.
    """
    flat = vector.detach().mT.reshape(-1) if vector.dim() == 2 else vector.detach()
    rows = len(flat) // _WIDTH
    near = _weights(_WIDTH, flat.dtype, flat.device)
    far = _weights(rows + 1, flat.dtype, flat.device)
    folded = flat[: rows * _WIDTH].view(rows, _WIDTH) @ near.mT  # (rows, 2)
    rest = near[:, : len(flat) - rows * _WIDTH] @ flat[rows * _WIDTH :]
    sums = (folded.mT * far[:, :rows]).sum(dim=1) + rest * far[:, rows]
    return [float(flat.norm()), *sums.tolist()]


def require_same_marks(marks: Tensor, dtype: torch.dtype, work: str) -> None:
    """Check that all processes have the same vectors.

    Args:
        marks: of one or two vectors of each process, one row for each, and zeros behind them.
        dtype: of the vectors.
        work: what is done with them, for the message.

    Raises:
        InputError: if they differ by more than rounding.
    """
    relative = min(_DIFFERENT, torch.finfo(dtype).eps ** 0.5)
    allowed = relative * marks[0, ::3].abs().repeat_interleave(3)
    wrong = ((marks - marks[0]).abs() > allowed).any(dim=1)
    if bool(wrong.any()):
        msg = (
            f"process_group: rank {int(wrong.nonzero()[0])} does {work!r} with another vector "
            "than rank 0; all ranks need the same parameters, vectors and seeds (rng=0)"
        )
        raise InputError(msg)


@functools.lru_cache(maxsize=16)
def _weights(length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Two rows of weights between -1 and 1."""
    # multiples of the square root of two by squares fill the circle evenly
    angles = torch.arange(1, length + 1, dtype=torch.float64, device="cpu").square() * math.sqrt(2)
    return torch.stack([angles.cos(), angles.sin()]).to(device, dtype)
