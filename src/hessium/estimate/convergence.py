"""Which Ritz values are wanted, when they have converged, and how many products that will take."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch

from hessium._typing import FloatArray, IntArray

Which = Literal["LA", "SA", "LM", "BE"]

ORDER: dict[str, str] = {
    "LA": "largest",
    "SA": "smallest",
    "LM": "largest in magnitude",
    "BE": "from both ends",
}


def wanted(values: FloatArray, which: Which) -> IntArray:
    """Indices into ascending values, in the order of `which`."""
    j = values.size
    if which == "LA":
        return np.arange(j)[::-1]
    if which == "SA":
        return np.arange(j)
    if which == "LM":
        return np.argsort(-np.abs(values), kind="stable")
    ends = np.empty(j, dtype=np.int64)
    ends[0::2] = np.arange(j)[::-1][: (j + 1) // 2]
    ends[1::2] = np.arange(j // 2)
    return ends


def bounds_of(values: FloatArray, tol: float, scale: float, dtype: torch.dtype) -> FloatArray:
    """Tolerances of the residuals: relative, but not below the rounding of products."""
    floor = torch.finfo(dtype).eps ** (3 / 4) * scale
    return np.maximum(tol * np.abs(values), floor or 1.0)


class Forecast:
    """Predicted number of products, from the convergence rate of the residuals so far.

    Args:
        limit: predicted where nothing converges.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._first: tuple[int, float] | None = None

    def __call__(self, products: int, worst: float) -> int:
        """The number, where the worst residual is `worst` times its tolerance."""
        if worst <= 1:
            return products
        level = math.log(worst)
        if self._first is None:
            self._first = (products, level)
        start, high = self._first
        if level >= high or products == start:
            return self._limit
        rate = (high - level) / (products - start)
        return min(self._limit, products + math.ceil(level / rate))
