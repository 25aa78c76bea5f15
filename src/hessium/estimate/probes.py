"""Random probe vectors.

Drawn on the CPU, one after the other, so that a seed gives the same vectors on every device, in
every precision and for every block size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from hessium._typing import FloatArray
from hessium.linalg.operator import SymmetricOperator

Draw: TypeAlias = Callable[[np.random.Generator, int], FloatArray]


def signs(generator: np.random.Generator, n: int) -> FloatArray:
    """Independent signs (Rademacher), shape (n,): the quadratic form of least variance."""
    packed = generator.integers(0, 256, size=-(-n // 8), dtype=np.uint8)
    return np.asarray(np.unpackbits(packed, count=n) * 2.0 - 1.0, dtype=np.float64)


def sphere(generator: np.random.Generator, n: int) -> FloatArray:
    r"""Uniform on the sphere of radius $\sqrt n$, shape (n,)."""
    vector = generator.standard_normal(n)
    vector *= n**0.5 / float(np.linalg.norm(vector))
    return vector


def probe_block(
    draw: Draw, generator: np.random.Generator, operator: SymmetricOperator, count: int
) -> Tensor:
    """The next `count` probes as columns (n, count), each contiguous in memory."""
    n = operator.shape[0]
    block = torch.empty(count, n, dtype=operator.dtype, device=operator.device)
    for row in block:
        row.copy_(torch.from_numpy(draw(generator, n)))
    return block.mT
