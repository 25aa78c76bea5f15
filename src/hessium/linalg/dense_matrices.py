"""Dense symmetric matrices: their memory, and their symmetric part in place."""

from __future__ import annotations

import torch
from torch import Tensor

from hessium._arguments import memory
from hessium.errors import InputError


def symmetrize_(matrix: Tensor) -> Tensor:
    """Replace a matrix by its symmetric part in place, tile by tile, without a second copy."""
    n, tile = matrix.shape[0], 1024
    for i in range(0, n, tile):
        for j in range(i, n, tile):
            upper, lower = matrix[i : i + tile, j : j + tile], matrix[j : j + tile, i : i + tile]
            mean = (upper + lower.mT) / 2
            upper.copy_(mean)
            lower.copy_(mean.mT)
    return matrix


def mirror_lower_(matrix: Tensor) -> Tensor:
    """Copy the lower triangle to the upper one in place, tile by tile."""
    n, tile = matrix.shape[0], 1024
    for j in range(0, n, tile):
        corner = matrix[j : j + tile, j : j + tile]
        corner.copy_(corner.tril() + corner.tril(-1).mT)
        for i in range(j + tile, n, tile):
            matrix[j : j + tile, i : i + tile] = matrix[i : i + tile, j : j + tile].mT
    return matrix


def require_memory(n: int, dtype: torch.dtype, max_bytes: int) -> int:
    """`max_bytes` as an integer, after a check that a dense n x n matrix fits.

    Raises:
        InputError: if it does not fit, with both sizes, or if `max_bytes` is invalid.
    """
    max_bytes = memory("max_bytes", max_bytes)
    needed = n * n * dtype.itemsize
    if needed > max_bytes:
        msg = (
            f"max_bytes: {max_bytes / 2**30:.3g} GiB; a dense {n} x {n} {dtype} matrix needs "
            f"{needed / 2**30:.3g} GiB (raise it, or restrict the risk to some parameters)"
        )
        raise InputError(msg)
    return max_bytes
